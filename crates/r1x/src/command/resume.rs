//! `r1x resume`: go on from the newest checkpoint of an interrupted or crashed run.
//!
//! Must not change what was recorded: steps after the checkpoint are done again as a new attempt.

use std::io::{BufRead, IsTerminal};

use r1x_core::plan::RunPlan;
use r1x_core::port::Cursor;
use r1x_model::Model;
use r1x_store::{CheckpointCard, Store};

use crate::cli::{ComputeArgs, Global};
use crate::command::run::{Wired, drive, steps_done};
use crate::failure::{Failure, code};
use crate::output::{self, Stream};
use crate::session;

/// What becomes of steps whose checkpoints are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// A person on a terminal is asked; elsewhere the run does not go on.
    Ask,
    /// They are done again.
    Redo,
}

/// Goes on with a run.
///
/// # Errors
/// When it is done, running, or has no checkpoint, or would repeat steps that nobody asked to repeat.
pub fn resume(
    global: &Global,
    run: &str,
    compute: &ComputeArgs,
    lost: Lost,
    json: bool,
) -> Result<i32, Failure> {
    let device = session::device(compute)?;
    let store = session::existing(global)?;
    let summary = store.run(run)?;
    if matches!(summary.status.as_str(), "done" | "gate missed" | "running") {
        return Err(Failure::new(
            code::INPUT,
            format!("run {} is {}", summary.name, state(&summary.status)),
            "only a run that was interrupted, failed or crashed can go on",
        ));
    }
    let run = summary.name.as_str();
    let plan = session::plan_of(&store, run)?;
    let checkpoints = store.checkpoints(run)?;
    if checkpoints.is_empty() {
        return Err(Failure::new(
            code::INPUT,
            format!("run {run} has no checkpoint yet"),
            "start it again with `r1x run`",
        ));
    }
    let world = session::world(compute.threads())?;
    let problems = session::problems(&plan)?;
    let (mut rewarder, _) = session::rewarder(&plan, &world, Some(&store))?;
    let folder = store.run_folder(run);
    rewarder.keep_failures(session::failures(&folder));
    let mut policy = session::policy(&plan, compute, &device, &folder)?;
    let Restored { from, checkpoint, unusable } =
        restore(&store, run, &checkpoints, policy.as_mut())?;
    let again = Again::count(&store, run, &from)?;
    if !unusable.is_empty() && again.steps > 0 && lost == Lost::Ask {
        consent(&unusable, &again.sentence(&plan))?;
    }
    // Before the run is taken up again: what cannot go on stays as it is.
    let checked = r1x_train::check(&plan, &*policy, &problems, from.clone())
        .map_err(|errors| Failure::all(errors.into_iter().map(Failure::from)))?;
    let mut writer = store.resume_run(run, &from, session::folder().as_deref())?;
    eprintln!("going on from {}: {}", checkpoint.path, steps_done(&plan, &from));
    if again.steps > 0 {
        eprintln!("{}", again.sentence(&plan));
    }
    let wired = Wired { plan: &plan, checked, policy, rewarder, problems, store: &store };
    drive(wired, &mut writer, json)
}

fn state(status: &str) -> &str {
    match status {
        "gate missed" => "done, and missed a gate",
        other => other,
    }
}

/// What was read back.
struct Restored<'a> {
    from: Cursor,
    checkpoint: &'a CheckpointCard,
    /// Newer checkpoints that are gone or damaged, and how.
    unusable: Vec<String>,
}

/// Loads the newest checkpoint that can be loaded.
fn restore<'a>(
    store: &Store,
    run: &str,
    checkpoints: &'a [CheckpointCard],
    policy: &mut dyn Model,
) -> Result<Restored<'a>, Failure> {
    let folder = store.run_folder(run);
    let mut unusable = Vec::new();
    for checkpoint in checkpoints.iter().rev() {
        if !checkpoint.exists {
            unusable.push(format!("{} is gone", folder.join(&checkpoint.path).display()));
            continue;
        }
        match policy.load(&folder.join(&checkpoint.path)) {
            Ok(from) => return Ok(Restored { from, checkpoint, unusable }),
            Err(error) => unusable.push(error.message),
        }
    }
    Err(Failure::new(
        code::INPUT,
        format!("no checkpoint of run {run} can be read: {}", unusable.join("; ")),
        "put one of them back, or start again with `r1x run`",
    ))
}

/// Recorded steps that come after a cursor, which will be done again.
struct Again {
    steps: u64,
    /// The stage they begin in and the first of them.
    first: (usize, u64),
}

impl Again {
    fn count(store: &Store, run: &str, from: &Cursor) -> Result<Self, Failure> {
        let after = |index: i64, steps: i64| match index.cmp(&(from.stage as i64)) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => steps.cast_unsigned().saturating_sub(from.step),
            std::cmp::Ordering::Greater => steps.cast_unsigned(),
        };
        let stages = store.run_card(run)?.stages;
        let steps = stages.iter().map(|stage| after(stage.index, stage.steps)).sum();
        // A checkpoint after the last step of a stage leads to the first of the next one.
        let first = stages.iter().find(|stage| after(stage.index, stage.steps) > 0);
        let stage = first.map_or(from.stage, |stage| stage.index as usize);
        let step = if stage == from.stage { from.step } else { 0 };
        Ok(Self { steps, first: (stage, step) })
    }

    fn sentence(&self, plan: &RunPlan) -> String {
        let stage = plan.stages.get(self.first.0).map_or("the end", |stage| stage.id.as_str());
        let (steps, are) = if self.steps == 1 { ("step", "is") } else { ("steps", "are") };
        format!(
            "{} recorded {steps} {are} done again, from step {} of stage `{stage}` on",
            self.steps, self.first.1
        )
    }
}

/// Asks a person, who must be there.
fn consent(unusable: &[String], again: &str) -> Result<(), Failure> {
    let gone = match unusable {
        [one] => one.clone(),
        [first, .., last] => {
            format!("{first}, as {} more do not serve, down to: {last}", unusable.len() - 1)
        }
        [] => String::new(),
    };
    if std::io::stdin().is_terminal() && output::is_terminal(Stream::Err) {
        eprintln!("{gone}");
        eprintln!("{again}. Go on? [y/N]");
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        return Err(Failure::new(
            code::INPUT,
            "the run does not go on",
            "put the checkpoint back, or say y",
        ));
    }
    Err(Failure::new(
        code::INPUT,
        format!("{gone}; from the newest checkpoint that is left, {again}"),
        "put the checkpoint back, or say `--redo-steps`",
    ))
}
