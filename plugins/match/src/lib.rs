//! Reward `match`: 1 when a part of the completion is the expected text, contains it, or matches a pattern.
//!
//! Patterns run in time linear in the text, so that no completion can stall them.

use r1x_plugin::settings::{Key, Kind, Settings, schema};
use r1x_plugin::text::{last_between, last_boxed, shorten, split_thought};
use r1x_plugin::{Map, Needs, PluginInfo, Reward, Rollout, Score, Value};
use regex_lite::{Regex, RegexBuilder};

/// Memory that a compiled pattern may take, bytes.
const MAX_PROGRAM: usize = 256 << 10;

const KEYS: &[Key] = &[
    Key {
        name: "mode",
        kind: Kind::Choice(&["exact", "contains", "regex", "full_regex"]),
        default: r#""exact""#,
        about: "Be the text, contain it, contain a match of the pattern, or be one from start to end.",
    },
    Key {
        name: "part",
        kind: Kind::Choice(&["after_think", "answer_tag", "boxed", "whole"]),
        default: r#""after_think""#,
        about: "What is compared; a part that is absent earns 0.",
    },
    Key {
        name: "pattern",
        kind: Kind::Text,
        default: r#""""#,
        about: "The text or pattern; where it is empty, the problem's column `answer` is taken (a list: any of them).",
    },
    Key {
        name: "ignore_case",
        kind: Kind::Flag,
        default: "false",
        about: "Capitals do not count.",
    },
    Key {
        name: "ignore_space",
        kind: Kind::Flag,
        default: "true",
        about: "White space at the ends does not count, and inside any run of it is one space.",
    },
    Key {
        name: "prefilled",
        kind: Kind::Flag,
        default: "false",
        about: "The prompt already ends with <think>: before </think> there is no answer.",
    },
];

/// How texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Exact,
    Contains,
    Regex,
    FullRegex,
}

/// The configured reward.
#[derive(Debug)]
pub struct Match {
    mode: Mode,
    settings: Settings,
    /// The pattern of the configuration, compiled.
    pattern: Option<Expected>,
}

/// What to look for.
#[derive(Debug)]
enum Expected {
    Text(String),
    Pattern(Regex),
}

impl Match {
    fn plain(&self, text: &str) -> String {
        let text = match self.settings.flag("ignore_space") {
            true => text.split_whitespace().collect::<Vec<_>>().join(" "),
            false => text.to_owned(),
        };
        if self.settings.flag("ignore_case") { text.to_lowercase() } else { text }
    }

    fn expected(&self, text: &str) -> Result<Expected, String> {
        let source = match self.mode {
            Mode::Exact | Mode::Contains => return Ok(Expected::Text(self.plain(text))),
            Mode::Regex => text.to_owned(),
            Mode::FullRegex => format!("^(?:{text})$"),
        };
        RegexBuilder::new(&source)
            .size_limit(MAX_PROGRAM)
            .case_insensitive(self.settings.flag("ignore_case"))
            .build()
            .map(Expected::Pattern)
            .map_err(|error| format!("{:?} is no pattern: {error}", shorten(text, 60)))
    }

    fn part<'a>(&self, completion: &'a str) -> Option<&'a str> {
        let (_, after) = split_thought(completion, self.settings.flag("prefilled"));
        match self.settings.text("part") {
            "answer_tag" => last_between(after, "<answer>", "</answer>"),
            "boxed" => last_boxed(after),
            "whole" => Some(completion),
            _ => Some(after),
        }
    }

    /// Whether word by word is all there is to compare, which needs no copy and ends at the first difference.
    fn by_words(&self) -> bool {
        self.mode == Mode::Exact
            && self.settings.flag("ignore_space")
            && !self.settings.flag("ignore_case")
    }

    fn holds(&self, text: &str, expected: &Expected) -> bool {
        match expected {
            Expected::Text(expected) if self.mode == Mode::Exact => text == expected,
            Expected::Text(expected) => text.contains(expected.as_str()),
            Expected::Pattern(pattern) => pattern.is_match(text),
        }
    }

    /// The texts or patterns of the problem.
    fn of_problem(&self, rollout: &Rollout) -> Result<Vec<Expected>, String> {
        let columns = r1x_plugin::parse_columns(rollout)?;
        let texts = match columns.get("answer") {
            None => {
                return Err("there is nothing to compare with: set `pattern`, or give problems a column `answer`".to_owned());
            }
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| {
                    item.as_str().map(str::to_owned).ok_or_else(|| {
                        format!("column `answer`: {} is no text", r1x_plugin::kind(item))
                    })
                })
                .collect::<Result<_, _>>()?,
            Some(_) => vec![r1x_plugin::column_text(&columns, "answer")?],
        };
        texts.iter().map(|text| self.expected(text)).collect()
    }
}

fn same_words(text: &str, expected: &Expected) -> bool {
    match expected {
        Expected::Text(expected) => text.split_whitespace().eq(expected.split_whitespace()),
        Expected::Pattern(_) => false,
    }
}

impl Reward for Match {
    fn info() -> PluginInfo {
        PluginInfo {
            name: "match".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description:
                "1 when the answer is the expected text, contains it, or matches a pattern"
                    .to_owned(),
            needs: Needs::empty(),
            columns: Vec::new(),
            optional_columns: vec!["answer".to_owned()],
            parts: vec!["found".to_owned()],
            min: Some(0.0),
            max: Some(1.0),
            config_schema: Some(schema(KEYS)),
        }
    }

    fn configure(config: &Map<String, Value>) -> Result<Self, String> {
        let settings = Settings::read(config, KEYS)?;
        let mode = match settings.text("mode") {
            "contains" => Mode::Contains,
            "regex" => Mode::Regex,
            "full_regex" => Mode::FullRegex,
            _ => Mode::Exact,
        };
        let mut reward = Self { mode, settings, pattern: None };
        let pattern = reward.settings.text("pattern").to_owned();
        if !pattern.is_empty() {
            let compiled =
                reward.expected(&pattern).map_err(|error| format!("`pattern`: {error}"))?;
            reward.pattern = Some(compiled);
        }
        Ok(reward)
    }

    fn score(&self, rollout: &Rollout) -> Result<Score, String> {
        let of_problem = match &self.pattern {
            Some(_) => Vec::new(),
            None => self.of_problem(rollout)?,
        };
        let Some(part) = self.part(&rollout.completion) else {
            let name = self.settings.text("part");
            return Ok(Score::new(0.0, format!("no {name}")).part("found", false));
        };
        let expected = self.pattern.iter().chain(&of_problem);
        let holds = match self.by_words() {
            true => expected.into_iter().any(|expected| same_words(part, expected)),
            false => {
                let text = self.plain(part);
                expected.into_iter().any(|expected| self.holds(&text, expected))
            }
        };
        let info = if holds { "matches" } else { "does not match" };
        Ok(Score::new(f64::from(holds), info).part("found", true))
    }
}

r1x_plugin::export_reward!(Match);

#[cfg(test)]
mod tests {
    use super::*;
    use r1x_plugin::testing::{check_adversarial, check_cases};

    #[test]
    fn every_case_of_the_table() {
        check_cases::<Match>(include_str!("../cases.jsonl"));
        for config in [
            r#"{"mode":"regex","pattern":"(a*)*b|(x+x+)+y","part":"whole"}"#,
            r#"{"mode":"full_regex","pattern":"(a|a)*","part":"after_think"}"#,
            r#"{"pattern":"x","part":"answer_tag"}"#,
        ] {
            check_adversarial::<Match>(config, "{}");
        }
    }

    #[test]
    fn what_cannot_be_a_pattern_is_refused() {
        let read =
            |text: &str| Match::configure(&r1x_plugin::parse_config(text).unwrap()).map(|_| ());
        assert!(read(r#"{"mode":"regex","pattern":"("}"#).unwrap_err().contains("no pattern"));
        assert!(
            read(r#"{"mode":"regex","pattern":"(x{900}){900}"}"#)
                .unwrap_err()
                .contains("no pattern")
        );
        let none = Match::configure(&Map::new()).unwrap();
        let error = none.score(&r1x_plugin::test_rollout("x", "{}")).unwrap_err();
        assert!(error.contains("set `pattern`"));
    }
}
