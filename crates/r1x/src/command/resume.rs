//! `r1x resume`: go on from the newest checkpoint of an interrupted or crashed run.
//!
//! Must not change what was recorded: steps after the checkpoint are done again as a new attempt.

pub mod choice;

use r1x_core::plan::RunPlan;
use r1x_core::port::{Cursor, PortError};
use r1x_model::{Home, ModelEncoder};
use r1x_store::{Level, StagePoint, StepsAfter, Store};

use crate::args::Global;
use crate::command::reproduce;
use crate::command::run::{Wired, drive, steps_done};
use crate::consent::{Answer, ask};
use crate::failure::{Failure, code};
use crate::inputs::World;
use crate::memory::Excess;
use crate::models::{self, RunModels};
use crate::notice::Notice;
use crate::prepare::{Share, check_memory};
use crate::reuse::{self, Reusable};
use crate::rewards::RunRewarder;
use crate::wiring::Compute;
use crate::{plans, stores, wiring};

use choice::{Choice, Choices, Run};

/// Reasons that are told of a run none of whose checkpoints serve.
const MOST_REASONS: usize = 4;

/// What becomes of steps whose checkpoints are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// A person on a terminal is asked; elsewhere the run does not go on.
    Ask,
    /// They are done again.
    Redo,
}

/// Where to go on.
#[derive(Clone, Debug)]
pub struct Point {
    /// A checkpoint of the run, by its name or its folder; the newest one that serves without it.
    pub checkpoint: Option<String>,
    /// What becomes of steps after it.
    pub lost: Lost,
    /// What becomes of a run that takes more memory than this machine has.
    pub excess: Excess,
}

/// Goes on with a run.
///
/// # Errors
/// When it is done, running, or has no checkpoint, or would repeat steps that nobody asked to repeat.
pub fn resume(
    global: &Global,
    run: &str,
    compute: &Compute,
    from: &Point,
    json: bool,
) -> Result<i32, Failure> {
    let device = wiring::device(compute)?;
    let store = stores::existing(global.store())?;
    let summary = store.run(run)?;
    if !summary.can_go_on() {
        return Err(Failure::new(
            code::INPUT,
            format!("run {} is {}", summary.name, state(&summary.status)),
            "only a run that was interrupted, failed or crashed can go on",
        ));
    }
    let name = summary.name.as_str();
    let plan = plans::plan_of(&store, name)?;
    let run = Run::new(&store, name, &summary.uid, &plan)?;
    let choices = match &from.checkpoint {
        Some(wanted) => Choices { choices: vec![run.named(wanted)?], beyond: Vec::new() },
        None => run.choices(),
    };
    if choices.choices.is_empty() {
        return Err(none(&run, "has no checkpoint yet", &choices.beyond));
    }
    let world = World::with_workers(compute.threads)?;
    let excess = if device.is_cpu() { from.excess } else { Excess::Elsewhere };
    let encoder = ModelEncoder::new(&plan.model).map_err(PortError::from)?;
    let problems = wiring::problems(&plan, encoder.markup())?;
    let too_much =
        check_memory(&plan, (&encoder, &problems), Share::alone(compute.threads), excess)?;
    too_much.iter().for_each(Notice::say);
    let (mut rewarder, _) = wiring::rewarder(&plan, &world, Some(&store))?;
    let folder = store.run_folder(name);
    rewarder.keep_failures(wiring::failures(&folder));
    let mut models = RunModels::new(&plan, compute, &device)?;
    let Restored { cursor, choice, unusable } = restore(&run, from, &choices, &mut models)?;
    let point = run.point(&cursor).unwrap_or(StagePoint { stage: 0, step: cursor.step });
    let recorded = models::recorded_above(&store, name, point.stage).map_err(PortError::from)?;
    let home = Home { folder, run: summary.uid.clone(), recorded };
    models.keep_in(home.clone());
    models::check_further(&plan)?;
    let rewarder = RunRewarder::new(rewarder, &plan, (compute, &device), home);
    let again = run.steps.after(point);
    if !unusable.is_empty() && again.steps > 0 && from.lost == Lost::Ask {
        consent(&unusable, &done_again(&again, &plan))?;
    }
    let missing = (!run.steps.covers(point)).then(|| missing(&choice.name, &plan, &cursor));
    // Before the run is taken up again: what cannot go on stays as it is.
    let checked = r1x_train::check(&plan, &encoder, &problems, cursor.clone())
        .map_err(|errors| Failure::all(errors.into_iter().map(Failure::from)))?;
    let mut writer = store.resume_run(name, point, plans::folder().as_deref())?;
    eprintln!("going on from {}: {}", choice.name, steps_done(&plan, &cursor));
    if again.steps > 0 {
        eprintln!("{}", done_again(&again, &plan));
    }
    if let Some(notice) = missing {
        notice.say();
        writer.event(Level::Warn, "resume", &notice.message).map_err(PortError::from)?;
    }
    if let Some(keys) = keys(&store, name, &plan, &compute.device)? {
        writer.set_stage_keys(keys);
    }
    let repeats = reproduce::going_on(&store, &plan, &summary, (compute, point))?;
    let (store, plan, reusable) = (&store, &plan, Reusable::default());
    let wired = Wired { plan, checked, models, rewarder, problems, store, repeats, reusable };
    drive(wired, &mut writer, json)
}

/// The keys of the stages of a run that goes on: those that it has recorded must be what this program would compute, or what
/// follows from them is not of one build.
fn keys(
    store: &Store,
    run: &str,
    plan: &RunPlan,
    device: &str,
) -> Result<Option<Vec<String>>, Failure> {
    let keys = reuse::keys(plan, device);
    let recorded = store.stage_keys(run)?;
    let is_known = |(index, key): &(usize, Option<String>)| keys.get(*index) == key.as_ref();
    Ok(recorded.iter().all(is_known).then_some(keys))
}

fn state(status: &str) -> &str {
    match status {
        "gate missed" => "done, and missed a gate",
        "differs" => "done, because it differs from the run that it makes again",
        "imported" => "imported, and was never run here",
        other => other,
    }
}

/// What was read back.
struct Restored<'a> {
    cursor: Cursor,
    choice: &'a Choice,
    /// Better checkpoints that are gone, damaged or not what was recorded, and how.
    unusable: Vec<String>,
}

/// Loads a checkpoint, and returns where the run goes on from it.
///
/// # Errors
/// In words, when it is not what it should be.
pub fn load(run: &Run<'_>, choice: &Choice, models: &mut RunModels<'_>) -> Result<Cursor, String> {
    if !choice.folder.exists() {
        return Err(format!("{} is gone", choice.folder.display()));
    }
    let loaded = models.load(&choice.folder, &run.expected(choice));
    run.check(choice, &loaded.map_err(|error| error.message)?)
}

/// Loads the best checkpoint that is what it should be.
fn restore<'a>(
    run: &Run<'_>,
    from: &Point,
    choices: &'a Choices,
    models: &mut RunModels<'_>,
) -> Result<Restored<'a>, Failure> {
    let mut unusable = Vec::new();
    for choice in &choices.choices {
        match load(run, choice, models) {
            Ok(cursor) => return Ok(Restored { cursor, choice, unusable }),
            Err(reason) => unusable.push(reason),
        }
    }
    let what = format!("has no checkpoint that can be gone on from: {}", few(&unusable));
    let failure = none(run, &what, &choices.beyond);
    Err(match &from.checkpoint {
        None => failure,
        // Others may serve where the one that was named does not.
        Some(_) => failure
            .with_hint(format!("`r1x resume {}` goes on from the best one that serves", run.name)),
    })
}

/// The first reasons, and how many more there are: a long run has had many checkpoints.
fn few(reasons: &[String]) -> String {
    let (first, others) = reasons.split_at(reasons.len().min(MOST_REASONS));
    let first = first.join("; ");
    if others.is_empty() { first } else { format!("{first}; and {} more", others.len()) }
}

/// Why a run cannot go on.
fn none(run: &Run<'_>, what: &str, beyond: &[String]) -> Failure {
    let (message, hint) = match beyond.last() {
        None => (format!("run {} {what}", run.name), "start it again with `r1x run`".to_owned()),
        Some(newest) => (
            format!(
                "run {} {what}; {newest} is whole, but the store has not recorded the steps before it",
                run.name
            ),
            format!("`--checkpoint {newest}` goes on from there without the facts of these steps"),
        ),
    };
    Failure::new(code::INPUT, message, hint)
}

/// What is not in the store, and stays out of it.
fn missing(checkpoint: &str, plan: &RunPlan, cursor: &Cursor) -> Notice {
    Notice::new(
        format!(
            "{checkpoint} ({}) is beyond what the store has recorded: the facts of the steps between are lost, and \
             the digest of this run is not that of a run without a gap",
            steps_done(plan, cursor)
        ),
        "leave `--checkpoint` out to go on from where the facts end",
    )
}

/// Says that recorded steps will be done again.
fn done_again(again: &StepsAfter, plan: &RunPlan) -> String {
    let stage = plan.stages.get(again.first.stage).map_or("the end", |stage| stage.id.as_str());
    let (steps, are) = if again.steps == 1 { ("step", "is") } else { ("steps", "are") };
    format!(
        "{} recorded {steps} {are} done again, from step {} of stage `{stage}` on",
        again.steps, again.first.step
    )
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
    match ask(&format!("{gone}\n{again}. Go on?")) {
        Answer::Yes => Ok(()),
        Answer::No => Err(Failure::new(
            code::INPUT,
            "the run does not go on",
            "put the checkpoint back, or say y",
        )),
        Answer::Nobody => Err(Failure::new(
            code::INPUT,
            format!("{gone}; from the newest checkpoint that is left, {again}"),
            "put the checkpoint back, or say `--redo-steps`",
        )),
    }
}
