//! Reward `multiple-choice`: 1 when the letter chosen is that of the right choice, else 0.
//!
//! Where several places name a letter, the last one in the first place that has any decides. A completion that
//! names none gets 0, never a guess, and so does one that names several at once. Which words name a letter, and
//! which only mention one, is decided in `reading.rs` and `place.rs`.

mod lex;
mod place;
mod reading;

use r1x_plugin::settings::{Key, Kind, Settings, schema};
use r1x_plugin::text::{last_between, last_boxed, shorten, split_thought};
use r1x_plugin::{Map, Needs, PerProblem, PluginInfo, Reward, Rollout, Score, Value};

use lex::{Token, lex, lex_end, lex_start};
use place::phrase;
use reading::{Choices, Label, Reading, begun, denies, read};

const PLACES: &[&str] = &["boxed", "answer_tag", "phrase", "last_letter"];

const KEYS: &[Key] = &[
    Key {
        name: "choices",
        kind: Kind::Whole(2, 26),
        default: "4",
        about: "How many choices there are, from A; the column `choices` counts where a problem has it.",
    },
    Key {
        name: "extract",
        kind: Kind::Choices(PLACES),
        default: r#"["boxed","answer_tag","phrase"]"#,
        about: "Where to look for the letter; `phrase` is \"Answer: B\", \"so it is option B\", \"答案是B\" or a letter alone.",
    },
    Key {
        name: "prefilled",
        kind: Kind::Flag,
        default: "false",
        about: "The prompt already ends with <think>: before </think> there is no answer.",
    },
];

/// Bytes of a box or a tag that are read.
const CONTENT: usize = 2000;
/// Bytes at the end in which a letter that stands alone is looked for.
const LAST_BYTES: usize = 20_000;

/// The configured reward.
#[derive(Debug)]
pub struct MultipleChoice {
    choices: usize,
    extract: Vec<&'static str>,
    prefilled: bool,
    problem: PerProblem<Problem>,
}

/// The letter of a choice.
fn letter(index: usize) -> char {
    u8::try_from(index).map_or('?', |index| char::from(b'A' + index.min(25)))
}

/// The last capital that stands alone and is neither denied, nor one of a list, nor an article, nor a pronoun.
fn last_letter(text: &str, choices: &Choices) -> Reading {
    let tokens = lex_end(text, LAST_BYTES);
    let count = choices.count;
    let is_letter = |token: &Token| token.upper && token.letter.is_some_and(|index| index < count);
    let mut end = tokens.len();
    while let Some(at) = tokens[..end].iter().rposition(is_letter) {
        let before = tokens[..at].iter().rposition(|token| !joins(token));
        let listed = before.is_some_and(|before| before + 1 < at && is_letter(&tokens[before]));
        let denied = before.is_some_and(|before| denies(&tokens[before]));
        match begun(&tokens[at..], choices) {
            Reading::One(index) if !listed && !denied => return Reading::One(index),
            // A whole list is passed over, and what denies one letter of it denies all.
            _ if listed => end = before.unwrap_or(0),
            _ => end = at,
        }
    }
    Reading::Nothing
}

/// Whether a token joins the letters of a list.
fn joins(token: &Token) -> bool {
    ["and", "or", "nor"].contains(&token.word()) || token.is_any(",/&")
}

/// What a problem says.
#[derive(Debug)]
struct Problem {
    right: usize,
    choices: Choices,
}

fn read_problem(columns: &Map<String, Value>, count: usize) -> Result<Problem, String> {
    let texts: Vec<Vec<Token>> = match columns.get("choices") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| lex(&item.to_string()), lex))
            .collect(),
        Some(other) => {
            return Err(format!(
                "column `choices` must be a list, not {}",
                r1x_plugin::kind(other)
            ));
        }
    };
    let count = if texts.is_empty() { count } else { texts.len().min(26) };
    let choices = Choices { count, texts };
    let wrong = |given: String| {
        format!(
            "column `answer`: {given} is none of {count} choices (a letter from A, or a number from 0)"
        )
    };
    let right = match columns.get("answer").ok_or("column `answer` is missing")? {
        Value::Number(number) => {
            let index = number.as_u64().and_then(|index| usize::try_from(index).ok());
            index.filter(|index| *index < count).ok_or_else(|| wrong(number.to_string()))?
        }
        Value::String(text) => {
            right_of(text, &choices).ok_or_else(|| wrong(format!("{:?}", shorten(text, 40))))?
        }
        other => return Err(wrong(r1x_plugin::kind(other).to_owned())),
    };
    Ok(Problem { right, choices })
}

/// The right choice as a text: that of a choice, a letter, or an index from 0.
fn right_of(text: &str, choices: &Choices) -> Option<usize> {
    let tokens = lex(text);
    let words = tokens.iter().filter(|token| token.kind == lex::Kind::Word).count();
    let marked = tokens.iter().take(2).any(|token| token.is_any("(.:),"));
    match begun(&tokens, choices) {
        Reading::One(index) if words == 1 || marked || !choices.texts.is_empty() => Some(index),
        _ => text.trim().parse().ok().filter(|index| *index < choices.count),
    }
}

impl MultipleChoice {
    /// What the completion says, and where.
    fn chosen(&self, completion: &str, choices: &Choices) -> Option<(Reading, &'static str)> {
        let (_, text) = split_thought(completion, self.prefilled);
        let content = |inside: &str| read(&lex_start(inside, CONTENT), choices, Label::Colon);
        self.extract.iter().find_map(|&place| {
            let said = match place {
                "boxed" => last_boxed(text).map_or(Reading::Nothing, content),
                "answer_tag" => {
                    last_between(text, "<answer>", "</answer>").map_or(Reading::Nothing, content)
                }
                "phrase" => phrase(text, choices),
                _ => last_letter(text, choices),
            };
            matches!(said, Reading::One(_) | Reading::Several).then_some((said, place))
        })
    }
}

impl Reward for MultipleChoice {
    fn info() -> PluginInfo {
        PluginInfo {
            name: "multiple-choice".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: "1 when the letter chosen is that of the right choice, else 0".to_owned(),
            needs: Needs::empty(),
            columns: vec!["answer".to_owned()],
            optional_columns: vec!["choices".to_owned()],
            parts: vec!["found".to_owned()],
            min: Some(0.0),
            max: Some(1.0),
            config_schema: Some(schema(KEYS)),
        }
    }

    fn configure(config: &Map<String, Value>) -> Result<Self, String> {
        let settings = Settings::read(config, KEYS)?;
        let places = settings.texts("extract");
        let known = |place: &&str| PLACES.iter().find(|known| *known == place).copied();
        Ok(Self {
            choices: usize::try_from(settings.whole("choices")).unwrap_or(26),
            extract: places.iter().filter_map(known).collect(),
            prefilled: settings.flag("prefilled"),
            problem: PerProblem::default(),
        })
    }

    fn score(&self, rollout: &Rollout) -> Result<Score, String> {
        let problem = self.problem.of(rollout, |columns| read_problem(columns, self.choices))?;
        let Problem { right, choices } = &*problem;
        let named = letter(*right);
        Ok(match self.chosen(&rollout.completion, choices) {
            Some((Reading::One(index), place)) if index == *right => {
                Score::new(1.0, format!("{place}: {named}")).part("found", true)
            }
            Some((Reading::One(index), place)) => {
                let info = format!("{place}: {}, not {named}", letter(index));
                Score::new(0.0, info).part("found", true)
            }
            Some((_, place)) => {
                Score::new(0.0, format!("{place}: several choices")).part("found", false)
            }
            None => {
                let cut = if rollout.truncated { " (cut at the token limit)" } else { "" };
                Score::new(0.0, format!("no letter found{cut}")).part("found", false)
            }
        })
    }
}

r1x_plugin::export_reward!(MultipleChoice);

#[cfg(test)]
mod tests {
    use super::*;
    use r1x_plugin::testing::{check_adversarial, check_cases};

    #[test]
    fn every_case_of_the_table() {
        check_cases::<MultipleChoice>(include_str!("../cases.jsonl"));
        let config = r#"{"extract":["boxed","answer_tag","phrase","last_letter"]}"#;
        check_adversarial::<MultipleChoice>(config, r#"{"answer":"B"}"#);
        let choices = Choices { count: 4, texts: Vec::new() };
        for text in ["answer is ", "A or B, ", "option A ", "is (", "选", "\\boxed{A, B "] {
            let text = text.repeat(50_000);
            let said = phrase(&text, &choices);
            assert!(!matches!(said, Reading::One(_)), "{said:?} for {}", shorten(&text, 20));
            last_letter(&text, &choices);
        }
    }

    #[test]
    fn columns_of_another_type_cannot_be_judged() {
        let reward = MultipleChoice::configure(&Map::new()).unwrap();
        let score = |columns| reward.score(&r1x_plugin::test_rollout("A", columns)).unwrap_err();
        assert!(score("{}").contains("`answer` is missing"));
        assert!(score(r#"{"answer":"E"}"#).contains("none of 4 choices"));
        assert!(score(r#"{"answer":4}"#).contains("none of 4 choices"));
        assert!(score(r#"{"answer":0,"choices":1}"#).contains("must be a list"));
        assert!(score(r#"{"answer":"Oslo"}"#).contains("none of 4 choices"));
    }
}
