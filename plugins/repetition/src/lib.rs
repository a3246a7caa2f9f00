//! Reward `repetition`: a penalty for the share of word sequences that occurred before in the same completion.
//!
//! The measure is the one that open reproductions of R1 use: 1 minus distinct n-grams over all n-grams, times the
//! largest penalty.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use r1x_plugin::settings::{Key, Kind, Settings, schema};
use r1x_plugin::{Map, Needs, PluginInfo, Reward, Rollout, Score, Value};

const KEYS: &[Key] = &[
    Key { name: "ngram", kind: Kind::Whole(1, 100), default: "3", about: "Length of a sequence." },
    Key {
        name: "max_penalty",
        kind: Kind::Number(-10.0, 0.0),
        default: "-1",
        about: "What a completion of nothing but repetition would get.",
    },
    Key {
        name: "unit",
        kind: Kind::Choice(&["words", "characters"]),
        default: r#""words""#,
        about: "What a sequence is of; characters suit scripts without spaces.",
    },
];

/// The configured reward.
#[derive(Clone, Debug, PartialEq)]
pub struct Repetition {
    ngram: usize,
    max_penalty: f64,
    characters: bool,
}

impl Repetition {
    /// Distinct sequences and all sequences.
    fn count(&self, text: &str) -> (usize, usize) {
        let lower = text.to_lowercase();
        let pieces: Vec<u64> = match self.characters {
            true => {
                lower.chars().filter(|c| !c.is_whitespace()).map(|c| mixed(u64::from(c))).collect()
            }
            false => lower.split_whitespace().map(hash).collect(),
        };
        let all = (pieces.len() + 1).saturating_sub(self.ngram);
        if all == 0 {
            return (0, 0);
        }
        // The hash of each window follows from that of the one before, whatever its length.
        let leaving = (0..self.ngram).fold(1_u64, |power, _| power.wrapping_mul(BASE));
        let mut window = 0_u64;
        let mut seen: HashSet<u64, BuildHasherDefault<Mixed>> = HashSet::default();
        for (at, piece) in pieces.iter().enumerate() {
            window = window.wrapping_mul(BASE).wrapping_add(*piece);
            if at >= self.ngram {
                window = window.wrapping_sub(pieces[at - self.ngram].wrapping_mul(leaving));
            }
            if at + 1 >= self.ngram {
                seen.insert(mixed(window));
            }
        }
        (seen.len(), all)
    }
}

/// Weight of one place in the hash of a window.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hash of a number that [`mixed`] made is that number.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = mixed(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Spreads a number over 64 bits. Two windows that collide would only look more repetitive, and are not to be
/// expected among the few million of a completion.
fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 32)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let value = (value ^ (value >> 29)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    value ^ (value >> 32)
}

fn hash(word: &str) -> u64 {
    word.bytes().fold(0, |state: u64, byte| {
        mixed(state.wrapping_mul(BASE).wrapping_add(u64::from(byte) + 1))
    })
}

impl Reward for Repetition {
    fn info() -> PluginInfo {
        PluginInfo {
            name: "repetition".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description:
                "A penalty for the share of n-grams that occurred before in the completion"
                    .to_owned(),
            needs: Needs::empty(),
            columns: Vec::new(),
            optional_columns: Vec::new(),
            parts: vec!["repeated".to_owned()],
            min: Some(-10.0),
            max: Some(0.0),
            config_schema: Some(schema(KEYS)),
        }
    }

    fn configure(config: &Map<String, Value>) -> Result<Self, String> {
        let settings = Settings::read(config, KEYS)?;
        Ok(Self {
            ngram: usize::try_from(settings.whole("ngram")).unwrap_or(1),
            max_penalty: settings.number("max_penalty"),
            characters: settings.text("unit") == "characters",
        })
    }

    fn score(&self, rollout: &Rollout) -> Result<Score, String> {
        let (distinct, all) = self.count(&rollout.completion);
        let repeated = if all == 0 { 0.0 } else { 1.0 - distinct as f64 / all as f64 };
        let info = format!("{} of {all} {}-grams seen before", all - distinct, self.ngram);
        Ok(Score::new(repeated * self.max_penalty, info).part("repeated", repeated))
    }
}

r1x_plugin::export_reward!(Repetition);

#[cfg(test)]
mod tests {
    use super::*;
    use r1x_plugin::testing::{check_adversarial, check_cases};

    #[test]
    fn every_case_of_the_table() {
        check_cases::<Repetition>(include_str!("../cases.jsonl"));
        check_adversarial::<Repetition>("{}", "{}");
        check_adversarial::<Repetition>(r#"{"unit":"characters","ngram":100}"#, "{}");
    }
}
