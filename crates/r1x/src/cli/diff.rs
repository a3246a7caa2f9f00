//! Arguments of the command that compares recorded runs.

use clap::Args;

use crate::args::Global;
use crate::command::diff;
use crate::failure::Failure;

/// Arguments of `r1x diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The first run: its name, or the beginning of it; `latest` is the newest
    a: String,
    /// The second run
    b: String,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// Carries out `r1x diff`.
///
/// # Errors
/// The errors of `r1x diff`.
pub fn diff(global: &Global, asked: &DiffArgs) -> Result<i32, Failure> {
    diff::diff(global, &asked.a, &asked.b, asked.json)
}
