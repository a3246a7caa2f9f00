//! Arguments of `r1x model` and its verbs.

use std::path::PathBuf;

use clap::Subcommand;
use r1x_core::plan::Precision;

use crate::command::model as verbs;
use crate::failure::Failure;

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print the log-prob of given tokens under a published model
    Score {
        /// The model's folder: config.json and its weights
        folder: PathBuf,
        /// Token ids: a JSON list of numbers a line
        #[arg(long, value_name = "FILE")]
        ids: PathBuf,
        /// What the factors of matrix products are rounded to: f32 or bf16
        #[arg(long, default_value = "f32", value_parser = precision)]
        precision: Precision,
        /// Also the norm of the gradient of each parameter, for the mean negative log-prob of a line
        #[arg(long)]
        grad_norms: bool,
        /// Print one JSON object a line of the file, with every log-prob
        #[arg(long)]
        json: bool,
    },
}

fn precision(word: &str) -> Result<Precision, String> {
    match word {
        "f32" => Ok(Precision::F32),
        "bf16" => Ok(Precision::Bf16),
        other => Err(format!("`{other}` is not one of f32 and bf16")),
    }
}

/// Runs a verb.
///
/// # Errors
/// Those of the verb.
pub fn dispatch(verb: Verb) -> Result<i32, Failure> {
    match verb {
        Verb::Score { folder, ids, precision, grad_norms, json } => {
            let asked = verbs::score::Request { folder, ids, precision, grad_norms };
            verbs::score::score(&asked, json)
        }
    }
}
