//! Reward `language`: the share of words in the wanted language, as DeepSeek-R1 rewards it for the thought.
//!
//! Which language a word is in is decided by the `language` module of the SDK, which other rewards share.

use r1x_plugin::language::{CODES, Language as Spoken, Share, by_code, share};
use r1x_plugin::settings::{Key, Kind, Settings, schema};
use r1x_plugin::text::split_thought;
use r1x_plugin::{Map, Needs, PluginInfo, Reward, Rollout, Score, Value};

const KEYS: &[Key] = &[
    Key {
        name: "language",
        kind: Kind::Choice(CODES),
        default: r#""en""#,
        about: "The wanted language; the column `language` counts where a problem has it.",
    },
    Key {
        name: "part",
        kind: Kind::Choice(&["thought", "answer", "whole"]),
        default: r#""thought""#,
        about: "What is judged: the text before </think>, after it, or all.",
    },
    Key {
        name: "prefilled",
        kind: Kind::Flag,
        default: "true",
        about: "The prompt already ends with <think>.",
    },
    Key {
        name: "at_least",
        kind: Kind::Number(0.0, 1.0),
        default: "0",
        about: "A smaller share than this earns nothing.",
    },
];

/// The configured reward.
#[derive(Clone, Debug)]
pub struct Language {
    language: &'static Spoken,
    settings: Settings,
}

impl Language {
    fn part<'a>(&self, completion: &'a str) -> &'a str {
        let (thought, answer) = split_thought(completion, self.settings.flag("prefilled"));
        match self.settings.text("part") {
            "answer" => answer,
            "whole" => completion,
            _ => thought,
        }
    }

    /// The language of the problem, else that of the configuration.
    fn wanted(&self, rollout: &Rollout) -> Result<&'static Spoken, String> {
        match r1x_plugin::parse_columns(rollout)?.get("language") {
            None | Some(Value::Null) => Ok(self.language),
            Some(Value::String(code)) => by_code(code).ok_or_else(|| {
                format!("column `language`: {code:?} is not known, only {}", CODES.join(", "))
            }),
            Some(other) => {
                Err(format!("column `language` must be a code, not {}", r1x_plugin::kind(other)))
            }
        }
    }
}

impl Reward for Language {
    fn info() -> PluginInfo {
        PluginInfo {
            name: "language".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: "The share of words in the wanted language, by default in the thought"
                .to_owned(),
            needs: Needs::empty(),
            columns: Vec::new(),
            optional_columns: vec!["language".to_owned()],
            parts: vec!["share".to_owned(), "words".to_owned()],
            min: Some(0.0),
            max: Some(1.0),
            config_schema: Some(schema(KEYS)),
        }
    }

    fn configure(config: &Map<String, Value>) -> Result<Self, String> {
        let settings = Settings::read(config, KEYS)?;
        let language = by_code(settings.text("language")).ok_or("`language` is not known")?;
        Ok(Self { language, settings })
    }

    fn score(&self, rollout: &Rollout) -> Result<Score, String> {
        let language = self.wanted(rollout)?;
        let Share { matching, all } = share(self.part(&rollout.completion), language);
        // No words are no evidence of the language.
        let value = if all == 0 { 0.0 } else { matching as f64 / all as f64 };
        let reward = if value < self.settings.number("at_least") { 0.0 } else { value };
        let info = format!("{matching} of {all} words in {}", language.code);
        Ok(Score::new(reward, info).part("share", value).part("words", all as f64))
    }
}

r1x_plugin::export_reward!(Language);

#[cfg(test)]
mod tests {
    use super::*;
    use r1x_plugin::testing::{check_adversarial, check_cases};

    #[test]
    fn every_case_of_the_table() {
        check_cases::<Language>(include_str!("../cases.jsonl"));
        check_adversarial::<Language>(r#"{"part":"whole"}"#, "{}");
        check_adversarial::<Language>(r#"{"language":"ja","part":"whole"}"#, "{}");
    }

    #[test]
    fn unknown_languages_are_named() {
        let read = |text: &str| Language::configure(&r1x_plugin::parse_config(text).unwrap());
        assert!(read(r#"{"language":"xx"}"#).unwrap_err().contains("one of en"));
        let reward = read("{}").unwrap();
        let error =
            reward.score(&r1x_plugin::test_rollout("x", r#"{"language":"xx"}"#)).unwrap_err();
        assert!(error.contains("\"xx\" is not known"));
    }
}
