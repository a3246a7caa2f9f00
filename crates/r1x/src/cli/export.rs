//! Arguments of the commands that get data out of a store.

use std::path::PathBuf;

use clap::Args;
use r1x_files::whole::Existing;
use r1x_store::Tokens;

use crate::args::Global;
use crate::command::export::{self, To, What};
use crate::command::grep::{self, Case, Syntax, Within};
use crate::failure::Failure;

/// Arguments of `r1x export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Its name, or the beginning of it; `latest` is the newest
    run: String,
    /// The file or folder to write; what is there already stays as it is
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Who is to read it [default: by the ending of OUT, .jsonl or .parquet]
    #[arg(long, value_enum)]
    to: Option<To>,
    /// What of the run [default: rollouts, and metrics for TensorBoard]
    #[arg(long, value_enum)]
    what: Option<What>,
    /// Only this stage
    #[arg(long, value_name = "ID")]
    stage: Option<String>,
    /// Only rows that meet a condition in SQL, such as `reward > 0.5 AND step >= 100`, over the columns of v_rollouts
    /// (of v_eval_samples with --what evals, of v_selections with --what data, of v_problems with --what problems)
    #[arg(long = "where", value_name = "SQL")]
    condition: Option<String>,
    /// Tokens and their log-probs as well, where the run has recorded them
    #[arg(long)]
    tokens: bool,
    /// Replace an earlier export
    #[arg(long)]
    force: bool,
    /// Print a JSON object about what was written
    #[arg(long)]
    json: bool,
}

/// Arguments of `r1x grep`.
#[derive(Debug, Args)]
pub struct GrepArgs {
    /// Its name, or the beginning of it; `latest` is the newest
    run: String,
    /// What to look for
    #[arg(allow_hyphen_values = true)]
    pattern: String,
    /// Only this stage
    #[arg(long, value_name = "ID")]
    stage: Option<String>,
    /// Take large and small letters for the same
    #[arg(short, long)]
    ignore_case: bool,
    /// Read the pattern as a regular expression
    #[arg(long)]
    regex: bool,
    /// Where to look
    #[arg(long = "in", value_enum, value_name = "WHERE", default_value = "completion")]
    within: Within,
    /// Matching texts to show at most; all are counted
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// Carries out `r1x export`.
///
/// # Errors
/// The errors of `r1x export`.
pub fn export(global: &Global, asked: ExportArgs) -> Result<i32, Failure> {
    let ExportArgs { run, output, to, what, stage, condition, tokens, force, json } = asked;
    let tokens = if tokens { Tokens::Read } else { Tokens::Left };
    let existing = if force { Existing::Replaced } else { Existing::Kept };
    let ask = export::Ask { run, output, to, what, stage, condition, tokens, existing, json };
    export::export(global, &ask)
}

/// Carries out `r1x grep`.
///
/// # Errors
/// The errors of `r1x grep`.
pub fn grep(global: &Global, asked: GrepArgs) -> Result<i32, Failure> {
    let GrepArgs { run, pattern, stage, ignore_case, regex, within, limit, json } = asked;
    let syntax = if regex { Syntax::Regex } else { Syntax::Text };
    let case = if ignore_case { Case::Ignored } else { Case::Told };
    grep::grep(global, &grep::Ask { run, pattern, syntax, case, within, stage, limit, json })
}
