//! Arguments of the command that runs specs.

use std::num::NonZeroUsize;

use clap::Args;
use r1x_store::EarlierSweep;

use crate::args::{ComputeArgs, Global, RunsArgs};
use crate::command;
use crate::command::run::Ask;
use crate::failure::Failure;
use crate::report::Form;
use crate::reuse::Reuse;

use super::excess;

/// Arguments of `r1x run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    spec: RunsArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Runs of a sweep at a time, each with its share of the threads; results do not depend on it [default: 1]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Begin a sweep anew instead of going on with the latest one that has these values and plans
    #[arg(long)]
    anew: bool,
    /// Begin even when the run takes more memory than there is
    #[arg(long)]
    force: bool,
    /// Run every stage, also those that an earlier run in the store has run already
    #[arg(long)]
    no_reuse: bool,
    /// Print one JSON object at the end instead of tables
    #[arg(long)]
    json: bool,
    /// The member of a sweep to run, which the r1x that makes the sweep says
    #[arg(long, hide = true, value_name = "SWEEP/INDEX")]
    member: Option<String>,
}

/// Carries out `r1x run`.
///
/// # Errors
/// The errors of `r1x run`.
pub fn run(global: &Global, asked: &RunArgs) -> Result<i32, Failure> {
    let ask = Ask {
        spec: asked.spec.source(),
        compute: asked.compute.compute(),
        excess: excess(asked.force),
        reuse: if asked.no_reuse { Reuse::Refused } else { Reuse::Allowed },
        form: if asked.json { Form::Json } else { Form::Tables },
        jobs: asked.jobs,
        earlier: if asked.anew { EarlierSweep::Leave } else { EarlierSweep::GoOn },
    };
    match &asked.member {
        Some(member) => command::sweep::member::run(global, &ask, member),
        None => command::run::run(global, &ask),
    }
}
