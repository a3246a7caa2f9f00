//! Reward `ifeval`: how many of a problem's verifiable instructions a response follows.
//!
//! Columns are those of the IFEval data set.

pub mod follow;
pub mod instruction;

use r1x_plugin::settings::{Key, Kind, Settings, schema};
use r1x_plugin::text::split_thought;
use r1x_plugin::{Map, Needs, PluginInfo, Reward, Rollout, Score, Value};

use follow::follows;
use instruction::Instruction;

const KEYS: &[Key] = &[
    Key {
        name: "mode",
        kind: Kind::Choice(&["strict", "loose"]),
        default: r#""strict""#,
        about: "loose: also without the first line, the last line, and stars.",
    },
    Key {
        name: "reward",
        kind: Kind::Choice(&["prompt", "instruction"]),
        default: r#""prompt""#,
        about: "prompt: 1 when all instructions are followed. instruction: the share of them.",
    },
    Key {
        name: "part",
        kind: Kind::Choice(&["after_think", "whole"]),
        default: r#""after_think""#,
        about: "What counts as the response.",
    },
    Key {
        name: "prefilled",
        kind: Kind::Flag,
        default: "false",
        about: "The prompt already ends with <think>: before </think> there is no response.",
    },
];

/// The configured reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IfEval {
    loose: bool,
    share: bool,
    whole: bool,
    prefilled: bool,
}

/// A response as it is, and the seven other ways the loose reading looks at it.
fn variants(response: &str) -> Vec<String> {
    let without_first = response.split_once('\n').map_or("", |(_, rest)| rest).trim();
    let without_last = response.rsplit_once('\n').map_or("", |(rest, _)| rest).trim();
    let without_both = without_first.rsplit_once('\n').map_or("", |(rest, _)| rest).trim();
    let plain = [response, without_first, without_last, without_both];
    let starless = plain.iter().map(|text| text.replace('*', ""));
    plain.iter().map(|text| (*text).to_owned()).chain(starless).collect()
}

fn follows_loosely(instruction: &Instruction, variants: &[String]) -> bool {
    variants.iter().any(|text| follows(instruction, text))
}

impl Reward for IfEval {
    fn info() -> PluginInfo {
        PluginInfo {
            name: "ifeval".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: "Whether a response follows IFEval's verifiable instructions".to_owned(),
            needs: Needs::empty(),
            columns: vec!["instruction_id_list".to_owned(), "kwargs".to_owned()],
            optional_columns: Vec::new(),
            parts: ["prompt_strict", "instruction_strict", "prompt_loose", "instruction_loose"]
                .map(str::to_owned)
                .to_vec(),
            min: Some(0.0),
            max: Some(1.0),
            config_schema: Some(schema(KEYS)),
        }
    }

    fn configure(config: &Map<String, Value>) -> Result<Self, String> {
        let settings = Settings::read(config, KEYS)?;
        Ok(Self {
            loose: settings.text("mode") == "loose",
            share: settings.text("reward") == "instruction",
            whole: settings.text("part") == "whole",
            prefilled: settings.flag("prefilled"),
        })
    }

    fn score(&self, rollout: &Rollout) -> Result<Score, String> {
        let columns = r1x_plugin::parse_columns(rollout)?;
        let instructions = instruction::read(&columns)?;
        let response = match self.whole {
            true => rollout.completion.as_str(),
            false => split_thought(&rollout.completion, self.prefilled).1.trim_start(),
        };
        let variants = variants(response);
        let verdicts: Vec<(bool, bool)> = instructions
            .iter()
            .map(|(_, instruction)| {
                let strict = follows(instruction, response);
                (strict, strict || follows_loosely(instruction, &variants))
            })
            .collect();
        let share = |is: fn(&(bool, bool)) -> bool| {
            verdicts.iter().filter(|verdict| is(verdict)).count() as f64 / verdicts.len() as f64
        };
        let (strict, loose) = (share(|verdict| verdict.0), share(|verdict| verdict.1));
        let whole = |share: f64| f64::from(share == 1.0);
        let counted = if self.loose { loose } else { strict };
        let reward = if self.share { counted } else { whole(counted) };
        let failed: Vec<&str> = instructions
            .iter()
            .zip(&verdicts)
            .filter(|(_, (strict, loose))| !if self.loose { *loose } else { *strict })
            .map(|((id, _), _)| id.as_str())
            .collect();
        let info = match failed.is_empty() {
            true => "follows all".to_owned(),
            false => format!("does not follow {}", failed.join(", ")),
        };
        Ok(Score::new(reward, info)
            .part("prompt_strict", whole(strict))
            .part("instruction_strict", strict)
            .part("prompt_loose", whole(loose))
            .part("instruction_loose", loose))
    }
}

r1x_plugin::export_reward!(IfEval);

#[cfg(test)]
mod tests;
