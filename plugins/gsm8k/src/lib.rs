//! Reward `gsm8k`: the five rewards of the best-known public recipe for GSM8K, together or each alone.
//!
//! They are kept as that recipe has them, oddities included, so that its curves can be compared; `exact: true`
//! closes the oddities.

pub mod form;

use r1x_plugin::settings::{Key, Kind, Settings, schema};
use r1x_plugin::text::shorten;
use r1x_plugin::{Map, Needs, PluginInfo, Reward, Rollout, Score, Value};

/// Names of the five, in the order in which the recipe lists them.
pub const REWARDS: &[&str] = &["xmlcount", "soft_format", "strict_format", "int", "correctness"];

const KEYS: &[Key] = &[
    Key {
        name: "rewards",
        kind: Kind::Choices(REWARDS),
        default: r#"["xmlcount","soft_format","strict_format","int","correctness"]"#,
        about: "Which of the five are added up; all are recorded as parts.",
    },
    Key {
        name: "dotall",
        kind: Kind::Flag,
        default: "false",
        about: "Copies of the recipe differ: let a thought or an answer of several lines keep the two formats.",
    },
    Key {
        name: "guard",
        kind: Kind::Flag,
        default: "false",
        about: "Copies of the recipe differ: without <answer> there is no answer, instead of the whole text.",
    },
    Key {
        name: "exact",
        kind: Kind::Flag,
        default: "false",
        about: "Close the holes: one answer in its tags, numbers compared by value, no digits of other scripts.",
    },
];

/// The configured reward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gsm8k {
    rewards: Vec<&'static str>,
    dotall: bool,
    guard: bool,
    exact: bool,
}

/// What follows the first `####` of a worked solution, else the whole text; `,` and `$` go.
fn gold(solution: &str) -> String {
    let answer = solution.split("####").nth(1).unwrap_or(solution);
    answer.trim_matches(form::is_space).replace([',', '$'], "")
}

impl Gsm8k {
    /// The answer as the recipe extracts it; `None` where nothing counts as one.
    fn answer<'a>(&self, text: &'a str) -> Option<&'a str> {
        const OPEN: &str = "<answer>";
        const CLOSE: &str = "</answer>";
        if self.exact {
            return r1x_plugin::text::only_between(text, OPEN, CLOSE).ok().map(str::trim);
        }
        if self.guard && !text.contains(OPEN) {
            return None;
        }
        let opened = text.rsplit_once(OPEN).map_or(text, |(_, rest)| rest);
        let closed = opened.split_once(CLOSE).map_or(opened, |(inside, _)| inside);
        Some(closed.trim_matches(form::is_space))
    }

    fn is_correct(&self, answer: &str, gold: &str) -> bool {
        if !self.exact {
            return answer == gold;
        }
        let value =
            |text: &str| r1x_plugin::rational::Rational::parse(&text.replace([',', '$'], ""));
        value(answer).is_some_and(|answer| value(gold) == Some(answer))
    }

    /// The value of each of the five.
    fn values(&self, text: &str, gold: &str) -> [f64; 5] {
        let answer = self.answer(text);
        let is_int = |answer: &str| match self.exact {
            true => !answer.is_empty() && answer.bytes().all(|byte| byte.is_ascii_digit()),
            false => form::is_digit(answer),
        };
        let half = |holds: bool| if holds { 0.5 } else { 0.0 };
        let correct = answer.is_some_and(|answer| self.is_correct(answer, gold));
        [
            form::xml_count(text),
            half(form::soft(text, self.dotall)),
            half(form::strict(text, self.dotall)),
            half(answer.is_some_and(is_int)),
            if correct { 2.0 } else { 0.0 },
        ]
    }
}

impl Reward for Gsm8k {
    fn info() -> PluginInfo {
        PluginInfo {
            name: "gsm8k".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: "The five rewards of the public GSM8K recipe: correctness, int, two formats, xmlcount"
                .to_owned(),
            needs: Needs::empty(),
            columns: vec!["answer".to_owned()],
            optional_columns: Vec::new(),
            parts: REWARDS.iter().map(|&name| name.to_owned()).collect(),
            // Text after the last tag costs without bound.
            min: None,
            max: Some(4.0),
            config_schema: Some(schema(KEYS)),
        }
    }

    fn configure(config: &Map<String, Value>) -> Result<Self, String> {
        let settings = Settings::read(config, KEYS)?;
        let chosen = settings.texts("rewards");
        Ok(Self {
            rewards: REWARDS.iter().copied().filter(|name| chosen.contains(name)).collect(),
            dotall: settings.flag("dotall"),
            guard: settings.flag("guard"),
            exact: settings.flag("exact"),
        })
    }

    fn score(&self, rollout: &Rollout) -> Result<Score, String> {
        let columns = r1x_plugin::parse_columns(rollout)?;
        let gold = gold(&r1x_plugin::column_text(&columns, "answer")?);
        let text = &rollout.completion;
        let values = self.values(text, &gold);
        let chosen = REWARDS.iter().zip(values).filter(|(name, _)| self.rewards.contains(name));
        let reward = chosen.map(|(_, value)| value).sum();
        let reason = match self.answer(text) {
            None => "no answer".to_owned(),
            Some(answer) if values[4] > 0.0 => format!("answers {}", shorten(answer, 40)),
            Some(answer) => format!("answers {}, not {}", shorten(answer, 40), shorten(&gold, 40)),
        };
        let score = Score::new(reward, reason);
        Ok(REWARDS.iter().zip(values).fold(score, |score, (name, value)| score.part(name, value)))
    }
}

r1x_plugin::export_reward!(Gsm8k);

#[cfg(test)]
mod tests {
    use super::*;
    use r1x_plugin::testing::{check_adversarial, check_cases, check_holes, give};

    #[test]
    fn every_case_of_the_table() {
        check_cases::<Gsm8k>(include_str!("../cases.jsonl"));
        for config in ["{}", r#"{"dotall":true,"guard":true}"#, r#"{"exact":true}"#] {
            check_adversarial::<Gsm8k>(config, "{\"answer\":\"#### 9\"}");
        }
    }

    #[test]
    fn the_recipe_is_met_row_by_row_and_its_holes_can_be_closed() {
        let table = include_str!("../compat/table.jsonl");
        assert!(table.lines().count() >= 200);
        check_cases::<Gsm8k>(table);
        check_holes::<Gsm8k>(table, r#"{"exact":true}"#);
    }

    #[test]
    fn one_of_the_five_alone() {
        let text = "<reasoning>\nx\n</reasoning>\n<answer>\n7\n</answer>\n";
        for (name, expected) in REWARDS.iter().zip([0.5, 0.0, 0.5, 0.5, 2.0]) {
            let config = format!(r#"{{"rewards":["{name}"]}}"#);
            let score = give::<Gsm8k>(&config, text, r#"{"answer":"5 + 2\n####7"}"#);
            assert_eq!(score.reward, Some(expected), "{name}");
        }
        let wrong = Gsm8k::configure(&r1x_plugin::parse_config(r#"{"rewards":["all"]}"#).unwrap());
        assert!(wrong.unwrap_err().contains("xmlcount"));
    }
}
