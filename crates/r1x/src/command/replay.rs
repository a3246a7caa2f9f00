//! `r1x replay`: make one step of a recorded run again, or one group of it, from the nearest checkpoint before it, and
//! compare it with what was recorded.
//!
//! The run, its store and its checkpoints stay as they are: what is made again is recorded in a store of its own, which
//! is removed afterwards.

use std::cell::Cell;
use std::path::PathBuf;

use r1x_core::plan::{CriticPlan, EvalWhen, RunPlan, TeacherPlan};
use r1x_core::port::{Cursor, Models, PolicyWrapper, SavedCheckpoint};
use r1x_core::rollout::Candidates;
use r1x_core::select::Kept;
use r1x_core::{
    Boundary, CheckpointFacts, CheckpointKind, EvalFacts, Learner as _, Policy, PortError,
    Recorder, StageFacts, StepFacts, TrainingBatch,
};
use r1x_model::{Home, ModelEncoder};
use r1x_ops::device::Device;
use r1x_store::{
    CheckpointCard, Compared, Difference, Mode, PluginInput, RunStart, RunWriter, StagePoint, Store,
};
use r1x_train::Ports;

use crate::args::Global;
use crate::command::reproduce::say_changes;
use crate::command::resume::choice::{Choice, Run};
use crate::command::resume::load;
use crate::command::show::{self, Address};
use crate::display::{Line, Tone};
use crate::failure::{Failure, code};
use crate::inputs::World;
use crate::memory::Excess;
use crate::models::{self, RunModels};
use crate::notice::Notice;
use crate::output::{self, Stream};
use crate::prepare::{Share, check_memory};
use crate::rewards::RunRewarder;
use crate::wiring::Compute;
use crate::{environment, plans, stores, wiring};

/// Makes what an address names again, and compares it.
///
/// # Errors
/// When there is no such step or group, or something that it was made from is gone; a difference is none.
pub fn replay(
    global: &Global,
    address: &str,
    stage: Option<&str>,
    (compute, excess): (&Compute, Excess),
    json: bool,
) -> Result<i32, Failure> {
    let device = wiring::device(compute)?;
    let store = stores::reading(global.store())?;
    let what = asked(&store, address, stage)?;
    let mut plan = plans::plan_of(&store, &what.run)?;
    // Nothing is evaluated or saved on the way: neither changes what a step does.
    let never = EvalWhen { start: false, stage_end: false, every: None };
    plan.evals.iter_mut().for_each(|suite| suite.when = never.clone());
    plan.checkpoints.every = None;
    let card = store.run_card(&what.run)?;
    let now = environment::current(&compute.device, compute.threads);
    say_changes(&what.run, &environment::changes(&card.environment, &now));
    let remade = remake(&store, &plan, &what, (compute, &device, excess))?;
    let made = Made { store: &store, remade: &remade, what: &what };
    made.say(json)
}

/// What is made again.
struct Asked {
    run: String,
    uid: String,
    run_id: i64,
    stage: String,
    at: StagePoint,
    group: Option<u64>,
}

/// Finds what an address names.
fn asked(store: &Store, address: &str, stage: Option<&str>) -> Result<Asked, Failure> {
    let Address { run, numbers } = show::parse(address)?;
    let (step, group) = match numbers[..] {
        [step] => (step, None),
        [step, group] => (step, Some(group)),
        _ => {
            return Err(Failure::new(
                code::INPUT,
                format!("`{address}` is neither a step nor a group"),
                "write RUN@STEP or RUN@STEP.GROUP, for example latest@120.3",
            ));
        }
    };
    let card = store.step(run, stage, step)?;
    if let Some(group) = group {
        store.group(run, stage, step, group)?;
    }
    let summary = store.run(run)?;
    let index = usize::try_from(card.stage_index).unwrap_or_default();
    Ok(Asked {
        run: summary.name,
        uid: summary.uid,
        run_id: summary.run_id,
        stage: card.stage,
        at: StagePoint { stage: index, step },
        group,
    })
}

/// A store that goes away with what is in it.
struct Scratch {
    folder: PathBuf,
    /// Whether the folder of the run was there before.
    had_folder: bool,
    store: Store,
    run_id: i64,
    run: String,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
        // The folder of a run that was gone is gone again: one with anything in it stays.
        if let Some(run) = self.folder.parent().filter(|_| !self.had_folder) {
            let _ = std::fs::remove_dir(run);
        }
    }
}

/// A step that was made again.
struct Remade {
    /// Where it is recorded.
    scratch: Scratch,
    /// The checkpoint that was gone on from; none where it was the beginning of the run.
    from: Option<String>,
    /// sha256 of the weights after it.
    weights_sha256: String,
}

/// Goes from the nearest checkpoint to the end of the step.
fn remake(
    store: &Store,
    plan: &RunPlan,
    what: &Asked,
    (compute, device, excess): (&Compute, &Device, Excess),
) -> Result<Remade, Failure> {
    let world = World::with_workers(compute.threads)?;
    let encoder = ModelEncoder::new(&plan.model).map_err(PortError::from)?;
    let problems = wiring::problems(plan, encoder.markup())?;
    let excess = if device.is_cpu() { excess } else { Excess::Elsewhere };
    check_memory(plan, (&encoder, &problems), Share::alone(compute.threads), excess)?
        .iter()
        .for_each(Notice::say);
    let (rewarder, plugins) = wiring::rewarder(plan, &world, Some(store))?;
    let recorded =
        models::recorded_above(store, &what.run, what.at.stage).map_err(PortError::from)?;
    let home = Home { folder: store.run_folder(&what.run), run: what.uid.clone(), recorded };
    models::check_further(plan)?;
    let mut models = RunModels::new(plan, compute, device)?;
    models.keep_in(home.clone());
    let run = Run::new(store, &what.run, &what.uid, plan)?;
    let (cursor, from) = match nearest(&run, what.at, &mut models) {
        Some((cursor, choice)) => (cursor, Some(choice.name)),
        None => {
            models = RunModels::new(plan, compute, device)?;
            models.keep_in(home.clone());
            (Cursor::default(), None)
        }
    };
    say_from(plan, what, &cursor, from.as_deref());
    let checked = r1x_train::check(plan, &encoder, &problems, cursor)
        .map_err(|errors| Failure::all(errors.into_iter().map(Failure::from)))?;
    let mut rewarder = RunRewarder::new(rewarder, plan, (compute, device), home);
    let (scratch, mut writer) = scratch(store, plan, what, plugins)?;
    let is_made = Cell::new(false);
    let mut recorder = Remaking { writer: &mut writer, store, what, is_made: &is_made };
    let ports = Ports {
        policy: &mut Unsaved(&mut models),
        rewarder: &mut rewarder,
        problems: &problems,
        recorder: &mut recorder,
    };
    checked.run(ports, &|| is_made.get()).map_err(|error| gone(&run, what, error))?;
    writer.flush()?;
    Ok(Remade { scratch, from, weights_sha256: models.weights_sha256()? })
}

/// The newest checkpoint at or before a point that is what it should be, loaded.
fn nearest(run: &Run<'_>, at: StagePoint, models: &mut RunModels<'_>) -> Option<(Cursor, Choice)> {
    let before = run.choices().choices.into_iter().filter(|choice| choice.at <= at);
    before
        .filter(|choice| choice.folder.exists())
        .find_map(|choice| load(run, &choice, models).ok().map(|cursor| (cursor, choice)))
}

/// The error of what was made again, as one about the checkpoints of earlier stages where these are gone: a stage may read
/// one, and nothing that is made again is saved.
fn gone(run: &Run<'_>, what: &Asked, error: PortError) -> Failure {
    let is_gone = |card: &&CheckpointCard| {
        card.kind == CheckpointKind::Stage.as_str()
            && card.point().stage < what.at.stage
            && !run.folder.join(&card.path).exists()
    };
    let cards = run.cards.iter().filter(is_gone);
    let gone: Vec<String> = cards.map(|card| format!("`{}`", card.path)).collect();
    if error.boundary != Boundary::Model || gone.is_empty() {
        return error.into();
    }
    let (name, stage, gone) = (&what.run, &what.stage, gone.join(", "));
    Failure::new(
        code::INPUT,
        format!(
            "stage `{stage}` of {name} reads checkpoints of stages above it, and these are gone: {gone}"
        ),
        format!("`r1x reproduce {name}` makes them again, in a run of its own"),
    )
}

/// Says where it begins.
fn say_from(plan: &RunPlan, what: &Asked, cursor: &Cursor, from: Option<&str>) {
    let index = plan.stage_index(cursor).unwrap_or_default();
    let between = plan.stages.iter().take(what.at.stage).skip(index);
    let steps: u64 = between.map(|stage| stage.kind.outline().steps).sum();
    let again = (steps + what.at.step).saturating_sub(cursor.step);
    let place = from.map_or_else(|| "the beginning of the run".to_owned(), str::to_owned);
    let (steps, are) = if again == 1 { ("step", "is") } else { ("steps", "are") };
    eprintln!("from {place}: {again} {steps} before it {are} made again");
}

/// A store of its own, in the folder of the run that is looked at.
fn scratch(
    store: &Store,
    plan: &RunPlan,
    what: &Asked,
    plugins: Vec<PluginInput>,
) -> Result<(Scratch, RunWriter), Failure> {
    let of_run = store.run_folder(&what.run);
    let had_folder = of_run.exists();
    let folder = of_run.join(format!("replay-{}", std::process::id()));
    let spec = store.spec(&what.run)?;
    let (plan_json, plan_sha256) = plans::plan_json(plan)?;
    let scratch = Store::open(&folder.join("r1x.sqlite"), Mode::Write)?;
    let start = RunStart {
        name: plan.name.clone(),
        seed: plan.seed,
        spec_path: spec.path,
        spec_text: spec.text,
        overrides: spec.overrides,
        plan_json,
        plan_sha256,
        environment: r1x_store::Environment::default(),
        datasets: Vec::new(),
        plugins,
        parent: None,
        member: None,
        folder: None,
    };
    let writer = scratch.begin_run(start)?;
    let (run_id, run) = (writer.run_id(), writer.name().to_owned());
    Ok((Scratch { folder, had_folder, store: scratch, run_id, run }, writer))
}

/// Models that are not saved.
struct Unsaved<'a, 'p>(&'a mut RunModels<'p>);

impl<'p> PolicyWrapper for Unsaved<'_, 'p> {
    type Inner = RunModels<'p>;

    fn inner(&self) -> &RunModels<'p> {
        self.0
    }

    fn inner_mut(&mut self) -> &mut RunModels<'p> {
        self.0
    }

    fn around_saving(&mut self, name: &str, _: &Cursor) -> Result<SavedCheckpoint, PortError> {
        let (path, sha256, state_sha256) = (name.to_owned(), String::new(), String::new());
        Ok(SavedCheckpoint { path, sha256, state_sha256, bytes: 0 })
    }
}

impl Models for Unsaved<'_, '_> {
    fn put_to_work(&mut self, model: Option<&str>) -> Result<(), PortError> {
        self.0.put_to_work(model)
    }

    fn ask_teacher(
        &mut self,
        teacher: &TeacherPlan,
        batch: &TrainingBatch,
        width: usize,
    ) -> Result<Vec<Candidates>, PortError> {
        self.0.ask_teacher(teacher, batch, width)
    }

    fn with_critic(
        &mut self,
        critic: &CriticPlan,
        work: &mut dyn FnMut(&mut dyn Policy) -> Result<(), PortError>,
    ) -> Result<(), PortError> {
        self.0.with_critic(critic, work)
    }

    fn forget_others(&mut self) {
        self.0.forget_others();
    }
}

/// The recorder of what is made again: it keeps the one step that was asked for.
struct Remaking<'a> {
    writer: &'a mut RunWriter,
    store: &'a Store,
    what: &'a Asked,
    is_made: &'a Cell<bool>,
}

impl Recorder for Remaking<'_> {
    fn stage_started(&mut self, facts: &StageFacts) -> Result<(), PortError> {
        self.writer.stage_started(facts)
    }

    fn step(&mut self, facts: StepFacts) -> Result<(), PortError> {
        let at = StagePoint { stage: facts.stage, step: facts.step };
        if at == self.what.at {
            self.writer.step(facts)?;
            self.is_made.set(true);
        }
        Ok(())
    }

    fn evaluation(&mut self, _: &EvalFacts) -> Result<(), PortError> {
        Ok(())
    }

    fn checkpoint(&mut self, _: &CheckpointFacts) -> Result<(), PortError> {
        Ok(())
    }

    fn kept(&mut self, stage: usize, before_step: u64) -> Result<Vec<Kept>, PortError> {
        Ok(self.store.kept(self.what.run_id, stage, before_step)?)
    }

    fn stage_finished(&mut self, _: &StageFacts, _: &str) -> Result<(), PortError> {
        Ok(())
    }
}

/// What was made again, beside what was recorded.
struct Made<'a> {
    store: &'a Store,
    remade: &'a Remade,
    what: &'a Asked,
}

impl Made<'_> {
    fn difference(&self) -> Result<Option<Difference>, Failure> {
        let Asked { run_id, at, group, .. } = *self.what;
        let is = (&self.remade.scratch.store, self.remade.scratch.run_id);
        match self.store.compare_with(run_id, is, at, group)? {
            // What a group writes says nothing about the step as a whole.
            Compared::Equal if group.is_some() => Ok(None),
            Compared::Equal => self.other_weights(),
            Compared::Differs(difference) => Ok(Some(*difference)),
            Compared::Missing => Err(Failure::new(
                code::INTERNAL,
                "the step was not made again",
                "please report this with the command you ran",
            )),
        }
    }

    /// The difference of the weights after the step from those of a checkpoint that was recorded there, where one was.
    fn other_weights(&self) -> Result<Option<Difference>, Failure> {
        let Asked { run, stage, at, .. } = self.what;
        let after = StagePoint { stage: at.stage, step: at.step + 1 };
        let cards = self.store.checkpoints(run)?;
        let recorded = cards.into_iter().rev().find(|card| card.point() == after);
        let is = &self.remade.weights_sha256;
        let other = recorded.filter(|card| card.sha256 != *is);
        Ok(other.map(|card| Difference {
            stage: stage.clone(),
            step: Some(at.step),
            quantity: "the hash of the weights after it".to_owned(),
            was: card.sha256,
            is: is.clone(),
            ..Difference::default()
        }))
    }

    /// Says what was made and whether it is what was recorded.
    fn say(&self, json: bool) -> Result<i32, Failure> {
        let difference = self.difference()?;
        let code = if difference.is_none() { 0 } else { code::DIFFERS };
        let Asked { run, stage, at, group, .. } = self.what;
        if json {
            let said = serde_json::json!({
                "run": run, "stage": stage, "step": at.step, "group": group, "from": self.remade.from,
                "matches": difference.is_none(), "difference": difference,
            });
            output::json(&said.to_string());
            return Ok(code);
        }
        let made = &self.remade.scratch.store;
        let mut page = match group {
            Some(group) => {
                let card = made.group(&self.remade.scratch.run, Some(stage), at.step, *group)?;
                show::group_page(&r1x_store::GroupDetail { run: run.clone(), ..card })
            }
            None => {
                let card = made.step(&self.remade.scratch.run, Some(stage), at.step)?;
                show::step_page(&r1x_store::StepCard { run: run.clone(), ..card })
            }
        };
        let of = group.map(|group| format!("group {group} of ")).unwrap_or_default();
        page.blank().line(match &difference {
            None => Line::of(
                Tone::Good,
                format!("bitwise match: {of}step {} of stage `{stage}` of {run}", at.step),
            ),
            Some(difference) => {
                Line::of(Tone::Bad, format!("first difference from {run}: {difference}"))
            }
        });
        output::page(Stream::Out, &page);
        Ok(code)
    }
}
