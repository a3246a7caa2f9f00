//! `r1x resume`: go on from the newest checkpoint of an interrupted or crashed run.
//!
//! Must not change what was recorded: steps after the checkpoint are done again as a new attempt.

use crate::cli::{ComputeArgs, Global};
use crate::command::run::{Wired, drive};
use crate::failure::{Failure, code};
use crate::session;

/// Goes on with a run.
///
/// # Errors
/// When it is done, running, or has no checkpoint.
pub fn resume(
    global: &Global,
    run: &str,
    compute: &ComputeArgs,
    json: bool,
) -> Result<i32, Failure> {
    let device = session::device(compute)?;
    let store = session::store(global)?;
    let summary = store.run(run)?;
    if matches!(summary.status.as_str(), "done" | "running") {
        return Err(Failure::new(
            code::INPUT,
            format!("run {} is {}", summary.name, summary.status),
            "only a run that was interrupted, failed or crashed can go on",
        ));
    }
    let plan = session::plan_of(&store, run)?;
    let checkpoints = store.checkpoints(run)?;
    let Some(checkpoint) = checkpoints.iter().rev().find(|c| c.exists) else {
        return Err(Failure::new(
            code::INPUT,
            format!("run {} has no checkpoint yet", summary.name),
            "start it again with `r1x run`",
        ));
    };
    let world = session::world(compute.threads())?;
    let problems = session::problems(&plan)?;
    let (mut rewarder, _) = session::rewarder(&plan, &world)?;
    let folder = store.run_folder(&summary.name);
    rewarder.keep_failures(session::failures(&folder));
    let mut policy = session::policy(&plan, compute, &device, &folder)?;
    let from = policy.load(&folder.join(&checkpoint.path))?;
    let mut writer = store.resume_run(run, &from)?;
    eprintln!("going on from {} (stage {}, step {})", checkpoint.path, from.stage, from.step);
    drive(Wired { plan: &plan, policy, rewarder, problems, from }, &mut writer, json)
}
