//! verl's dumps of rollouts (`trainer.rollout_data_dir`): a file of JSON lines a step, an object a rollout.
//!
//! Keys: `input`, `output`, `gts` (the right answer), `score`, `step` in later versions, and what the reward function has
//! returned beside. The score is the total; other numbers are kept as rewards of weight 0, so that they can be looked
//! at and change no total.

use r1x_core::FinishReason;
use r1x_tasks::dataset::rows::FileRow;

use super::Format;
use super::row::{Found, Mistake, Score, cell, needed, plain, rest, step, text};

pub const FORMAT: Format =
    Format { word: "verl", about: "verl's dumps of rollouts", answer: "gts", read };

/// The reward that is the total.
const TOTAL: &str = "score";
/// Keys that are no rewards.
const OWN: [&str; 4] = ["step", "input", "output", "gts"];

fn read(row: &FileRow, answer: &str) -> Result<Found, Mistake> {
    needed(row, TOTAL)?;
    let scores = row.columns().filter(|(name, _)| !OWN.contains(name) && *name != answer);
    let score = |(name, value): (&str, _)| Score {
        name: name.to_owned(),
        weight: if name == TOTAL { 1.0 } else { 0.0 },
        cell: cell(row, value),
    };
    Ok(Found {
        step: step(row, "step")?,
        prompt: text(row, "input")?,
        example: None,
        answer: plain(row, row.get(answer)),
        completion: text(row, "output")?,
        scores: scores.map(score).collect(),
        advantage: None,
        tokens: None,
        finish: FinishReason::Unknown,
        columns: rest(row, &["step", "input", "output"]),
    })
}
