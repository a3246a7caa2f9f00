//! TRL's tables of completions (`log_completions`): a row a completion, a column a reward function.
//!
//! Columns: `step`, `prompt`, `completion`, one for each reward function, what reward functions have logged beside, and
//! `advantage`, which earlier versions lack. The table does not say which columns are rewards, so all of numbers are;
//! nor does it say their weights, so each counts once.

use r1x_core::FinishReason;
use r1x_tasks::dataset::rows::FileRow;

use super::Format;
use super::row::{Found, Mistake, Score, cell, plain, rest, step, text};

pub const FORMAT: Format =
    Format { word: "trl", about: "TRL's tables of completions", answer: "answer", read };

/// Columns that are no rewards.
const OWN: [&str; 4] = ["step", "prompt", "completion", "advantage"];

fn read(row: &FileRow, answer: &str) -> Result<Found, Mistake> {
    let scores = row.columns().filter(|(name, _)| !OWN.contains(name) && *name != answer);
    let score = |(name, value): (&str, _)| Score {
        name: name.to_owned(),
        weight: 1.0,
        cell: cell(row, value),
    };
    Ok(Found {
        step: step(row, "step")?,
        prompt: text(row, "prompt")?,
        example: None,
        answer: plain(row, row.get(answer)),
        completion: text(row, "completion")?,
        scores: scores.map(score).collect(),
        advantage: row.get("advantage").and_then(|value| row.as_number(value)),
        tokens: None,
        finish: FinishReason::Unknown,
        columns: rest(row, &OWN),
    })
}
