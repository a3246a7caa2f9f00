//! Reward `math`: 1 when the answer is the same mathematics as the expected one, else 0.
//!
//! Answers are found in a box, in the answer's tags, or as the last number; read as LaTeX or plain text; and
//! compared as texts, then by value.

pub mod canon;
pub mod clean;
pub mod double;
pub mod equal;
pub mod find;
pub mod node;
pub mod read;
pub mod value;

use equal::Strictness;
use find::boxes::{Boxed, Row, boxed};
use node::Node;
use r1x_plugin::settings::{Key, Kind, Settings, schema};
use r1x_plugin::text::{last_between, shorten, split_thought};
use r1x_plugin::{Map, Needs, PerProblem, PluginInfo, Reward, Rollout, Score, Value};

const EXTRACTORS: &[&str] = &["boxed", "answer_tag", "last_number", "whole"];

const KEYS: &[Key] = &[
    Key {
        name: "extract",
        kind: Kind::Choices(EXTRACTORS),
        default: r#"["boxed","answer_tag","last_number"]"#,
        about: "Where to look for the answer; the first place that has one decides.",
    },
    Key {
        name: "prefilled",
        kind: Kind::Flag,
        default: "false",
        about: "The prompt already ends with <think>: before </think> there is no answer.",
    },
    Key {
        name: "strict_units",
        kind: Kind::Flag,
        default: "false",
        about: "A unit, percent sign or base that only one side has makes them unequal.",
    },
    Key {
        name: "tolerance",
        kind: Kind::Number(0.0, 0.1),
        default: "0",
        about: "Relative difference that does not count where a side is written in decimals.",
    },
];

/// The configured reward.
#[derive(Debug)]
pub struct Math {
    extract: Vec<&'static str>,
    prefilled: bool,
    strictness: Strictness,
    expected: PerProblem<Vec<Expected>>,
}

/// One of the expected answers.
#[derive(Debug)]
struct Expected {
    text: String,
    answer: Answer,
}

/// Longest answer that is read, bytes; a longer one equals itself only.
const MAX_ANSWER: usize = 8192;

/// An answer as text, and as mathematics where it is some.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// As the reader takes it.
    cleaned: String,
    /// Its letters, spaces and braces aside.
    normal: String,
    node: Option<Node>,
}

impl Answer {
    /// Reads an answer.
    pub fn new(text: &str) -> Self {
        if text.len() > MAX_ANSWER {
            return Self { cleaned: String::new(), normal: text.to_owned(), node: None };
        }
        let cleaned = clean::clean(text);
        let normal = clean::normal_of(&cleaned);
        let node = read::read_cleaned(&cleaned);
        Self { cleaned, normal, node }
    }

    /// Whether two answers are equal words. A long answer has none.
    fn same_words(&self, other: &Self) -> bool {
        let words = clean::words_of(&self.cleaned);
        !words.is_empty() && words == clean::words_of(&other.cleaned)
    }

    /// Whether it has several parts, so that several boxes can be meant by it.
    fn is_several(&self) -> bool {
        matches!(self.node, Some(Node::List(_) | Node::Set(_) | Node::Bracket(..)))
            || self.node.as_ref().is_some_and(Node::has_two_signs)
    }

    /// Whether it is understood as mathematics rather than words.
    pub fn is_mathematics(&self) -> bool {
        self.node.as_ref().is_some_and(|node| !matches!(node, Node::Text(_)))
    }
}

/// Whether an answer is the same as the expected one: as it is written, as mathematics where both are, else as
/// words.
pub fn same(gold: &Answer, answer: &Answer, strictness: Strictness) -> bool {
    if !gold.normal.is_empty() && gold.normal == answer.normal {
        return true;
    }
    match (&gold.node, &answer.node) {
        (Some(expected), Some(given)) if gold.is_mathematics() && answer.is_mathematics() => {
            equal::equal(expected, given, strictness)
        }
        _ => gold.same_words(answer),
    }
}

impl Math {
    /// How strict comparisons are.
    pub fn strictness(&self) -> Strictness {
        self.strictness
    }

    /// The answer's text and where it was found.
    fn extract<'a>(&self, completion: &'a str) -> Option<(Boxed<'a>, &'static str)> {
        let (_, text) = split_thought(completion, self.prefilled);
        let alone = |text: &'a str| Boxed { last: text, row: None };
        self.extract.iter().find_map(|&place| {
            let found = match place {
                "boxed" => boxed(text),
                // A box inside the tags is the answer.
                "answer_tag" => last_between(text, "<answer>", "</answer>")
                    .map(|inside| boxed(inside).unwrap_or_else(|| alone(inside))),
                "last_number" => find::last_number(text).map(alone),
                _ => Some(alone(text)),
            };
            let found = found.map(|found| Boxed { last: found.last.trim(), ..found });
            found.filter(|found| !found.last.is_empty()).map(|found| (found, place))
        })
    }

    /// Whether what was found is one of the expected answers, and whether it is understood.
    fn judge(&self, found: &Boxed, golds: &[Expected]) -> (bool, bool) {
        let last = Answer::new(found.last);
        let row = found.row.as_ref().map(|Row { text, joined }| (Answer::new(text), *joined));
        let right = golds.iter().any(|Expected { answer: gold, .. }| match &row {
            // "1 and 2" in two boxes is one answer, which neither box is.
            Some((row, true)) => same(gold, row, self.strictness),
            Some((row, false)) if gold.is_several() => {
                same(gold, &last, self.strictness) || same(gold, row, self.strictness)
            }
            _ => same(gold, &last, self.strictness),
        });
        (right, last.is_mathematics())
    }
}

/// The expected answers: one, or several of which each will do.
fn golds(columns: &Map<String, Value>) -> Result<Vec<String>, String> {
    match columns.get("answer") {
        Some(Value::Array(items)) if !items.is_empty() => items
            .iter()
            .map(|item| match item {
                Value::String(text) => Ok(text.clone()),
                Value::Number(number) => Ok(number.to_string()),
                other => Err(format!("column `answer`: {} is no answer", r1x_plugin::kind(other))),
            })
            .collect(),
        _ => Ok(vec![r1x_plugin::column_text(columns, "answer")?]),
    }
}

impl Reward for Math {
    fn info() -> PluginInfo {
        PluginInfo {
            name: "math".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: "1 when the answer is the same mathematics as the expected one, else 0"
                .to_owned(),
            needs: Needs::empty(),
            columns: vec!["answer".to_owned()],
            optional_columns: Vec::new(),
            parts: vec!["found".to_owned(), "understood".to_owned()],
            min: Some(0.0),
            max: Some(1.0),
            config_schema: Some(schema(KEYS)),
        }
    }

    fn configure(config: &Map<String, Value>) -> Result<Self, String> {
        let settings = Settings::read(config, KEYS)?;
        let places = settings.texts("extract");
        let known = |place: &&str| EXTRACTORS.iter().find(|known| *known == place).copied();
        Ok(Self {
            extract: places.iter().filter_map(known).collect(),
            prefilled: settings.flag("prefilled"),
            strictness: Strictness {
                units: settings.flag("strict_units"),
                tolerance: settings.number("tolerance"),
            },
            expected: PerProblem::default(),
        })
    }

    fn score(&self, rollout: &Rollout) -> Result<Score, String> {
        let golds = self.expected.of(rollout, |columns| {
            let read = |text: String| Expected { answer: Answer::new(&text), text };
            Ok(golds(columns)?.into_iter().map(read).collect())
        })?;
        let Some((found, place)) = self.extract(&rollout.completion) else {
            let cut = if rollout.truncated { " (cut at the token limit)" } else { "" };
            return Ok(Score::new(0.0, format!("no answer found{cut}"))
                .part("found", false)
                .part("understood", false));
        };
        let (right, understood) = self.judge(&found, &golds);
        let verb = if right { "is" } else { "is not" };
        let text = match &found.row {
            Some(row) if row.joined => &row.text,
            _ => found.last,
        };
        let texts: Vec<&str> = golds.iter().map(|gold| gold.text.as_str()).collect();
        let info =
            format!("{place}: {} {verb} {}", shorten(text, 60), shorten(&texts.join(" or "), 60));
        Ok(Score::new(f64::from(right), info).part("found", true).part("understood", understood))
    }
}

r1x_plugin::export_reward!(Math);

#[cfg(test)]
mod tests {
    use super::*;
    use r1x_plugin::testing::{check_adversarial, check_cases, give};

    #[test]
    fn every_case_of_the_table() {
        check_cases::<Math>(include_str!("../cases.jsonl"));
        for answer in ["9", r"\frac{x^2+1}{x}", r"\{1,2\}", r"\text{no}"] {
            let columns =
                Value::from(Map::from_iter([("answer".to_owned(), answer.into())])).to_string();
            check_adversarial::<Math>("{}", &columns);
            check_adversarial::<Math>(r#"{"extract":["answer_tag","whole"]}"#, &columns);
        }
    }

    #[test]
    fn expensive_answers_are_cheap() {
        let tower = format!("9{}", "^{9".repeat(30) + &"}".repeat(30));
        let product = (0..250).map(|n| format!("(x+{n})")).collect::<String>();
        let powers = format!("({}1)^{{4000}}", "x^{60}+".repeat(60));
        for answer in [tower, product, powers, "200!".repeat(40), "1/".repeat(300) + "7"] {
            let columns =
                Value::from(Map::from_iter([("answer".to_owned(), answer.clone().into())]));

            give::<Math>("{}", &format!("\\boxed{{{answer}}}"), &columns.to_string());
        }
    }

    #[test]
    fn expected_answers_are_those_of_the_rollouts_own_problem() {
        let math = Math::configure(&Map::new()).unwrap();
        let reward = |columns| {
            let rollout = r1x_plugin::test_rollout(r"\boxed{1}", columns);
            math.score(&rollout).map(|score| score.reward)
        };
        for _ in 0..2 {
            assert_eq!(reward(r#"{"answer":1}"#), Ok(Some(1.0)));
            assert_eq!(reward(r#"{"answer":1}"#), Ok(Some(1.0)));
            assert_eq!(reward(r#"{"answer":["2","3"]}"#), Ok(Some(0.0)));
            assert!(reward(r#"{"answer":[]}"#).is_err());
        }
    }

    #[test]
    fn columns_of_another_type_cannot_be_judged() {
        let math = Math::configure(&Map::new()).unwrap();
        let score = |columns| math.score(&r1x_plugin::test_rollout(r"\boxed{1}", columns));
        assert!(score("{}").unwrap_err().contains("`answer` is missing"));
        assert!(score(r#"{"answer":[]}"#).unwrap_err().contains("not a list"));
        assert!(score(r#"{"answer":[true]}"#).unwrap_err().contains("a boolean"));
    }
}
