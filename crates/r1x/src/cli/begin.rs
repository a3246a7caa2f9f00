//! Arguments of the commands that begin with a spec: to run it, to check it, and to lock what it reads.

use clap::Args;

use super::excess;
use crate::args::{ComputeArgs, Global, SpecArgs};
use crate::command;
use crate::failure::Failure;
use crate::lock::Locking;

/// Arguments of `r1x run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Refuse to begin unless everything that the spec reads is what SPEC.lock says
    #[arg(long)]
    locked: bool,
    /// Begin even when the run takes more memory than there is
    #[arg(long)]
    force: bool,
    /// Print one JSON object at the end instead of tables
    #[arg(long)]
    json: bool,
}

/// Arguments of `r1x check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    spec: SpecArgs,
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
    let RunArgs { spec, compute, locked, force, json } = asked;
    let (spec, compute) = (spec.source(), compute.compute());
    command::run::run(global, &spec, &compute, excess(*force), locking(*locked), *json)
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
