//! Arguments of the commands that make recorded runs again.

use clap::Args;

use crate::args::{ComputeArgs, Global};
use crate::command::reproduce::Extent;
use crate::command::{replay, reproduce};
use crate::failure::Failure;

use super::excess;

/// Arguments of `r1x reproduce`.
#[derive(Debug, Args)]
pub struct ReproduceArgs {
    /// Its name, or the beginning of it
    run: String,
    #[command(flatten)]
    compute: ComputeArgs,
    /// The last step to make, counted from 0 as `show` does [default: the last one that is recorded]
    #[arg(long, value_name = "STEP")]
    to: Option<u64>,
    /// Stage of that step [default: the last one that has sampled in it, or has it]
    #[arg(long, requires = "to")]
    stage: Option<String>,
    /// Begin even when the run takes more memory than there is
    #[arg(long)]
    force: bool,
    /// Print one JSON object at the end instead of tables
    #[arg(long)]
    json: bool,
}

/// Arguments of `r1x replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// What to make again: RUN@STEP or RUN@STEP.GROUP, as `show` takes it
    address: String,
    /// Stage of the step [default: the last one that has sampled in it, or has it]
    #[arg(long)]
    stage: Option<String>,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Begin even when the run takes more memory than there is
    #[arg(long)]
    force: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// Carries out `r1x reproduce`.
///
/// # Errors
/// The errors of `r1x reproduce`.
pub fn reproduce(global: &Global, asked: ReproduceArgs) -> Result<i32, Failure> {
    let ReproduceArgs { run, compute, to, stage, force, json } = asked;
    let asked = (&Extent { to, stage }, excess(force));
    reproduce::reproduce(global, &run, &compute.compute(), asked, json)
}

/// Carries out `r1x replay`.
///
/// # Errors
/// The errors of `r1x replay`.
pub fn replay(global: &Global, asked: &ReplayArgs) -> Result<i32, Failure> {
    let ReplayArgs { address, stage, compute, force, json } = asked;
    let place = (&compute.compute(), excess(*force));
    replay::replay(global, address, stage.as_deref(), place, *json)
}
