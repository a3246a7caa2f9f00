//! Reward `length`: what a completion earns or loses by its length alone.
//!
//! `overlong` is DAPO's soft punishment; `cosine` a half wave from one value to another, of which a gate or two
//! instances make the cosine reward of right and wrong answers.

use r1x_plugin::settings::{Key, Kind, Settings, schema};
use r1x_plugin::{Map, Needs, PluginInfo, Reward, Rollout, Score, Value};

/// Longest length that can be configured.
const LONGEST: u64 = 10_000_000;

const KEYS: &[Key] = &[
    Key {
        name: "shape",
        kind: Kind::Choice(&["overlong", "cosine", "linear"]),
        default: r#""overlong""#,
        about: "overlong: 0, then falling to -1 over `buffer`. cosine, linear: from `start` to `end`.",
    },
    Key {
        name: "max",
        kind: Kind::Whole(1, LONGEST),
        default: "",
        about: "The length at which -1 or `end` is reached.",
    },
    Key {
        name: "buffer",
        kind: Kind::Whole(1, LONGEST),
        default: "1",
        about: "overlong: the last part of `max`, in which the punishment grows.",
    },
    Key {
        name: "start",
        kind: Kind::Number(-10.0, 10.0),
        default: "1",
        about: "cosine, linear: the reward of length 0.",
    },
    Key {
        name: "end",
        kind: Kind::Number(-10.0, 10.0),
        default: "0.5",
        about: "cosine, linear: the reward of length `max` and beyond.",
    },
    Key {
        name: "unit",
        kind: Kind::Choice(&["tokens", "characters"]),
        default: r#""tokens""#,
        about: "What is counted.",
    },
];

/// The configured reward.
#[derive(Clone, Debug, PartialEq)]
pub struct Length {
    shape: Shape,
    max: f64,
    characters: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Overlong { buffer: f64 },
    Cosine { start: f64, end: f64 },
    Linear { start: f64, end: f64 },
}

impl Length {
    fn value(&self, length: f64) -> f64 {
        let share = (length / self.max).min(1.0);
        match self.shape {
            Shape::Overlong { buffer } => {
                let over = length - (self.max - buffer);
                if over <= 0.0 { 0.0 } else { -(over / buffer).min(1.0) }
            }
            Shape::Cosine { start, end } => {
                end + 0.5 * (start - end) * (1.0 + (share * std::f64::consts::PI).cos())
            }
            Shape::Linear { start, end } => start + (end - start) * share,
        }
    }
}

impl Reward for Length {
    fn info() -> PluginInfo {
        PluginInfo {
            name: "length".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description:
                "Shaping by length: soft punishment of overlong completions, cosine, linear"
                    .to_owned(),
            needs: Needs::empty(),
            columns: Vec::new(),
            optional_columns: Vec::new(),
            parts: vec!["length".to_owned()],
            min: Some(-10.0),
            max: Some(10.0),
            config_schema: Some(schema(KEYS)),
        }
    }

    fn configure(config: &Map<String, Value>) -> Result<Self, String> {
        let settings = Settings::read(config, KEYS)?;
        let (max, buffer) = (settings.whole("max"), settings.whole("buffer"));
        let (start, end) = (settings.number("start"), settings.number("end"));
        let shape = match settings.text("shape") {
            "cosine" => Shape::Cosine { start, end },
            "linear" => Shape::Linear { start, end },
            _ if !config.contains_key("buffer") => {
                return Err(
                    "`buffer` is missing: over how many of `max` the punishment grows".to_owned()
                );
            }
            _ if buffer > max => {
                return Err(format!("`buffer` must be at most `max` ({max}), not {buffer}"));
            }
            _ => Shape::Overlong { buffer: buffer as f64 },
        };
        Ok(Self { shape, max: max as f64, characters: settings.text("unit") == "characters" })
    }

    fn score(&self, rollout: &Rollout) -> Result<Score, String> {
        let (length, unit) = match self.characters {
            true => (rollout.completion.chars().count() as f64, "characters"),
            false => (f64::from(rollout.completion_tokens), "tokens"),
        };
        let value = self.value(length);
        Ok(Score::new(value, format!("{length} {unit} of {}", self.max)).part("length", length))
    }
}

r1x_plugin::export_reward!(Length);

#[cfg(test)]
mod tests {
    use super::*;
    use r1x_plugin::testing::{check_adversarial, check_cases};

    #[test]
    fn every_case_of_the_table() {
        check_cases::<Length>(include_str!("../cases.jsonl"));
        check_adversarial::<Length>(r#"{"shape":"cosine","max":100,"unit":"characters"}"#, "{}");
    }

    #[test]
    fn the_half_wave_is_halfway_in_the_middle() {
        let read = |text: &str| Length::configure(&r1x_plugin::parse_config(text).unwrap());
        let cosine = read(r#"{"shape":"cosine","max":100,"start":1,"end":-1}"#).unwrap();
        assert!(cosine.value(50.0).abs() < 1e-15);
        assert!((cosine.value(25.0) - 0.5_f64.sqrt()).abs() < 1e-15);
        assert!(read("{}").unwrap_err().contains("`max` is missing"));
        assert!(read(r#"{"max":10}"#).unwrap_err().contains("`buffer` is missing"));
        assert!(read(r#"{"max":10,"buffer":11}"#).unwrap_err().contains("at most `max`"));
    }
}
