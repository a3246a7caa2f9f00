//! Arguments of the commands that begin with a spec: to run it, to check it, and to lock what it reads.

use std::num::NonZeroUsize;

use clap::Args;
use r1x_store::EarlierSweep;

use super::excess;
use crate::args::{ComputeArgs, Global, RunsArgs, SpecArgs};
use crate::command;
use crate::command::run::Ask;
use crate::failure::Failure;
use crate::lock::Locking;
use crate::report::Form;
use crate::reuse::ReuseChoice;

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
    /// Refuse to begin unless everything that the spec reads is what SPEC.lock says
    #[arg(long)]
    locked: bool,
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

/// Arguments of `r1x check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    spec: RunsArgs,
    /// Refuse unless everything that the spec reads is what SPEC.lock says
    #[arg(long)]
    locked: bool,
    /// Only warn when the run takes more memory than there is
    #[arg(long)]
    force: bool,
}

/// Arguments of `r1x lock`.
#[derive(Debug, Args)]
pub struct LockArgs {
    #[command(flatten)]
    spec: SpecArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

fn locking(locked: bool) -> Locking {
    if locked { Locking::Required } else { Locking::Told }
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
        locking: locking(asked.locked),
        reuse: if asked.no_reuse { ReuseChoice::Refused } else { ReuseChoice::Allowed },
        form: if asked.json { Form::Json } else { Form::Tables },
        jobs: asked.jobs,
        earlier: if asked.anew { EarlierSweep::Leave } else { EarlierSweep::GoOn },
    };
    match &asked.member {
        Some(member) => command::sweep::member::run(global, &ask, member),
        None => command::run::run(global, &ask),
    }
}

/// Carries out `r1x check`.
///
/// # Errors
/// The errors of `r1x check`.
pub fn check(global: &Global, asked: &CheckArgs) -> Result<i32, Failure> {
    let CheckArgs { spec, locked, force } = asked;
    command::check::check(global, &spec.source(), excess(*force), locking(*locked))
}

/// Carries out `r1x lock`.
///
/// # Errors
/// The errors of `r1x lock`.
pub fn lock(global: &Global, asked: &LockArgs) -> Result<i32, Failure> {
    command::lock::lock(global, &asked.spec.source(), asked.json)
}
