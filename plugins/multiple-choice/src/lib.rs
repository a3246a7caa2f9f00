//! Reward `multiple-choice`: 1 when the letter chosen is that of the right choice, else 0.
//!
//! Where several places name a letter, the last one in the first place that has any decides. A completion that
//! names none gets 0, never a guess. Must not know how problems are made.

use r1x_plugin::settings::{Key, Kind, Settings, schema};
use r1x_plugin::text::{last_between, last_boxed, shorten, split_thought};
use r1x_plugin::{Map, Needs, PluginInfo, Reward, Rollout, Score, Value};

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
        about: "Where to look for the letter; `phrase` is \"Answer: B\" or \"answer is (B)\".",
    },
    Key {
        name: "prefilled",
        kind: Kind::Flag,
        default: "false",
        about: "The prompt already ends with <think>: before </think> there is no answer.",
    },
];

/// The configured reward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultipleChoice {
    choices: usize,
    extract: Vec<&'static str>,
    prefilled: bool,
}

/// The letter of a choice.
fn letter(index: usize) -> char {
    u8::try_from(index).map_or('?', |index| char::from(b'A' + index.min(25)))
}

/// The choice that a text names by its letter alone, or by its letter and what follows a mark: `B`, `(B)`,
/// `B) Paris`, `**B.**`, `\text{B}`.
fn leading(text: &str, count: usize) -> Option<usize> {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || "$*`_\"'([{".contains(c));
    for wrapping in ["\\text{", "\\textbf{", "\\mathrm{", "\\mathbf{", "\\boxed{"] {
        if let Some(inside) = text.strip_prefix(wrapping) {
            return leading(inside, count);
        }
    }
    let mut characters = text.chars();
    let index = index_of(characters.next()?, count)?;
    let rest = characters.as_str();
    let alone = rest.trim_start_matches(|c: char| "$*`_\"'}])".contains(c));
    // A word follows "A" as an article; a mark or a line's end follows a choice.
    let ends = alone.trim().is_empty()
        || alone.starts_with(['.', ':', ',', ';', '\n', '\r'])
        || (rest.len() > alone.len() && !alone.starts_with(char::is_alphanumeric));
    ends.then_some(index)
}

fn index_of(c: char, count: usize) -> Option<usize> {
    let upper = c.to_ascii_uppercase();
    let index = upper.is_ascii_uppercase().then(|| usize::from(upper as u8 - b'A'))?;
    (index < count).then_some(index)
}

/// The last "answer: B" or "answer is (B)", in any case.
fn phrase(text: &str, count: usize) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    let mut found = None;
    for (at, word) in lower.match_indices("answer") {
        let rest =
            text[at + word.len()..].trim_start_matches(['*', '_']).trim_start_matches([' ', '\t']);
        let after = rest
            .strip_prefix(':')
            .or_else(|| rest.strip_prefix("is:"))
            .or_else(|| rest.strip_prefix("is "));
        // The rest of the line is enough, and keeps the work linear.
        let line = after.and_then(|after| after.lines().next());
        found = line.and_then(|line| leading(line, count)).or(found);
    }
    found
}

/// The last capital that stands alone.
fn last_letter(text: &str, count: usize) -> Option<usize> {
    let words = text.rsplit(|c: char| !c.is_alphanumeric());
    words.into_iter().find_map(|word| {
        let mut characters = word.chars();
        match (characters.next(), characters.next()) {
            (Some(c), None) if c.is_ascii_uppercase() => index_of(c, count),
            _ => None,
        }
    })
}

/// What a problem says.
struct Problem {
    count: usize,
    right: usize,
    choices: Vec<String>,
}

fn read_problem(rollout: &Rollout, count: usize) -> Result<Problem, String> {
    let columns = r1x_plugin::parse_columns(rollout)?;
    let choices: Vec<String> = match columns.get("choices") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect(),
        Some(other) => {
            return Err(format!(
                "column `choices` must be a list, not {}",
                r1x_plugin::kind(other)
            ));
        }
    };
    let count = if choices.is_empty() { count } else { choices.len().min(26) };
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
            let by_text = choices.iter().position(|choice| choice == text);
            leading(text, count)
                .or(by_text)
                .ok_or_else(|| wrong(format!("{:?}", shorten(text, 40))))?
        }
        other => return Err(wrong(r1x_plugin::kind(other).to_owned())),
    };
    Ok(Problem { count, right, choices })
}

impl MultipleChoice {
    /// The choice named, and where.
    fn chosen(&self, completion: &str, problem: &Problem) -> Option<(usize, &'static str)> {
        let (_, text) = split_thought(completion, self.prefilled);
        let named = |text: &str| {
            let spelled = |choice: &String| choice.trim().eq_ignore_ascii_case(text.trim());
            leading(text, problem.count).or_else(|| problem.choices.iter().position(spelled))
        };
        self.extract.iter().find_map(|&place| {
            let index = match place {
                "boxed" => last_boxed(text).and_then(named),
                "answer_tag" => last_between(text, "<answer>", "</answer>").and_then(named),
                "phrase" => phrase(text, problem.count),
                _ => last_letter(text, problem.count),
            };
            index.map(|index| (index, place))
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
        })
    }

    fn score(&self, rollout: &Rollout) -> Result<Score, String> {
        let problem = read_problem(rollout, self.choices)?;
        let right = letter(problem.right);
        Ok(match self.chosen(&rollout.completion, &problem) {
            None => {
                let cut = if rollout.truncated { " (cut at the token limit)" } else { "" };
                Score::new(0.0, format!("no letter found{cut}")).part("found", false)
            }
            Some((index, place)) if index == problem.right => {
                Score::new(1.0, format!("{place}: {right}")).part("found", true)
            }
            Some((index, place)) => {
                let info = format!("{place}: {}, not {right}", letter(index));
                Score::new(0.0, info).part("found", true)
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
        let phrases = "answer is ".repeat(50_000);
        assert_eq!(phrase(&phrases, 4), None);
    }

    #[test]
    fn columns_of_another_type_cannot_be_judged() {
        let reward = MultipleChoice::configure(&Map::new()).unwrap();
        let score = |columns| reward.score(&r1x_plugin::test_rollout("A", columns)).unwrap_err();
        assert!(score("{}").contains("`answer` is missing"));
        assert!(score(r#"{"answer":"E"}"#).contains("none of 4 choices"));
        assert!(score(r#"{"answer":4}"#).contains("none of 4 choices"));
        assert!(score(r#"{"answer":0,"choices":1}"#).contains("must be a list"));
    }
}
