//! A run: its stages in order, and everything that happens between their steps.
//!
//! Reads no clock: recorders stamp time, and no decision here depends on it.
//!
//! A checkpoint at (stage, step) covers every fact up to that step and none after it. Evaluations due at that
//! point come after it, so a run that goes on from the checkpoint runs them first; a recorder that treats the
//! facts of an older attempt from that point on as superseded sees each of them once.

use r1x_core::plan::{
    EvalPlan, ModelWeights, RunPlan, StageOutline, StagePlan, WeightsError, WeightsFrom,
};
use r1x_core::port::{Cursor, EarlierWeights, Reuse};
use r1x_core::select::kept;
use r1x_core::{
    CheckpointFacts, CheckpointKind, PortError, Problem, ProblemSource, Split, StageFacts,
    StepFacts,
};

use crate::check::{Checked, check};
use crate::error::TrainError;
use crate::finite::{self, Guard};
use crate::made::{RunData, reads_made_data};
use crate::ports::Ports;
use crate::stage::evaluate::{EvalMoment, evaluate, suite_by_id};
use crate::stage::{StepPlace, SteppedStage, last_checkpoint, stage_place, stepped};

/// How a run ended when nothing failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// Every stage is finished.
    Done,
    /// It was asked to stop, and a checkpoint at this cursor is saved.
    Interrupted {
        /// Where to go on.
        cursor: Cursor,
    },
}

/// Checks a plan and runs it from a cursor: `Cursor::default()` for a new run, that of a restored checkpoint to go
/// on.
///
/// # Errors
/// The first of [`check`], then those of [`Checked::run`].
pub fn run(
    plan: &RunPlan,
    ports: Ports<'_>,
    from: Cursor,
    stop: &dyn Fn() -> bool,
) -> Result<RunOutcome, PortError> {
    match check(plan, &*ports.policy, ports.problems, from) {
        Ok(checked) => checked.run(ports, stop),
        // There is always one.
        Err(errors) => errors.into_iter().next().map_or(Ok(RunOutcome::Done), Err),
    }
}

impl Checked<'_> {
    /// Runs the plan from the cursor it was checked for. The ports must have the tokens and problems it was checked
    /// with.
    ///
    /// To go on, `ports.policy` must have been restored from the same checkpoint (weights, optimizer, reference).
    /// `stop` is asked after every step and between stages; an evaluation under way is finished first.
    ///
    /// # Errors
    /// The errors of the ports, and a [`crate::TrainError`] converted; divergence is found before the step is recorded.
    pub fn run(self, ports: Ports<'_>, stop: &dyn Fn() -> bool) -> Result<RunOutcome, PortError> {
        let Cursor { stage, step, drawn } = self.from.clone();
        let (index, plan) = (self.plan.stage_index(&self.from).unwrap_or_default(), self.plan);
        let held = of_stage(plan, index, plan.weights_at(&self.from))?;
        let mut data = RunData::new(plan, ports.problems);
        let begun = plan.stages.iter().enumerate().take(index + 1);
        for (at, stage) in begun.filter(|(_, stage)| stage.kind.outline().makes.is_some()) {
            let steps = if at == index { step } else { stage.kind.outline().steps };
            let kept = ports.recorder.kept(at, steps)?;
            data.restore(stage, kept)?;
        }
        let progress = RunUnderWay { plan, ports, data, index, step, drawn, held, stop };
        progress.run(if stage.is_none() { Begin::New } else { Begin::Again })
    }
}

/// A run under way.
struct RunUnderWay<'p, 'a> {
    plan: &'p RunPlan,
    ports: Ports<'a>,
    /// What was there before the run, and what its stages have made.
    data: RunData<'a>,
    /// Position of the stage in the plan.
    index: usize,
    /// Steps of the stage done.
    step: u64,
    /// Problems drawn in the stage.
    drawn: u64,
    /// Which model is at work, with whose weights.
    held: ModelWeights,
    stop: &'p dyn Fn() -> bool,
}

/// Whether a run is new, so that what is evaluated at the start comes first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    New,
    Again,
}

/// Whether to go on after a stage or a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoOn,
    Stop,
}

impl RunUnderWay<'_, '_> {
    fn run(mut self, begin: Begin) -> Result<RunOutcome, PortError> {
        if begin == Begin::New {
            for suite in self.plan.evals.iter().filter(|suite| suite.when.start) {
                self.evaluate(suite, None, "start")?;
            }
        }
        while let Some(stage) = self.plan.stages.get(self.index) {
            if self.stage(stage)? == Flow::Stop {
                return Ok(RunOutcome::Interrupted { cursor: self.cursor(stage) });
            }
            let (index, step) = (self.index, self.step);
            (self.index, self.step, self.drawn) = (index + 1, 0, 0);
            let Some(next) = self.plan.stages.get(self.index) else { break };
            if (self.stop)() {
                // Of a stage that was taken over nothing is at work yet.
                self.hold(of_stage(self.plan, index, self.plan.weights_after(index))?)?;
                let cursor = self.cursor(next);
                let path = CheckpointKind::Interrupt.path(&stage.id, step);
                self.save(&path, &cursor, CheckpointKind::Interrupt, (index, step))?;
                return Ok(RunOutcome::Interrupted { cursor });
            }
        }
        Ok(RunOutcome::Done)
    }

    /// Where the run is, inside a stage.
    fn cursor(&self, stage: &StagePlan) -> Cursor {
        Cursor::at(&stage.id, self.step, self.drawn)
    }

    /// One stage from the cursor's step to its end, or to the step at which it was asked to stop.
    fn stage(&mut self, stage: &StagePlan) -> Result<Flow, PortError> {
        let facts = StageFacts {
            index: self.index,
            id: stage.id.clone(),
            kind: stage.kind.as_str(),
            start_step: self.step,
        };
        let outline = stage.kind.outline();
        if self.step == 0 && self.ports.recorder.reuse(&facts)? == Reuse::Taken {
            self.step = outline.steps;
            if outline.makes.is_some() {
                let kept = self.ports.recorder.kept(self.index, outline.steps)?;
                self.data.restore(stage, kept)?;
            }
            return Ok(Flow::GoOn);
        }
        self.ports.recorder.stage_started(&facts)?;
        if self.step == 0 {
            self.take_weights()?;
        }
        if self.go_through(stage, &outline)? == Flow::Stop {
            return Ok(Flow::Stop);
        }
        for id in outline.suites {
            let suite = suite_by_id(self.plan, id, &stage_place(&stage.id))?;
            self.evaluate(suite, Some(facts.index), &stage.id)?;
        }
        let weights = self.ports.policy.weights_sha256()?;
        self.ports.recorder.stage_finished(&facts, &weights)?;
        Ok(Flow::GoOn)
    }

    /// Puts the model of the stage at hand to work, with the weights that the stage begins with.
    fn take_weights(&mut self) -> Result<(), PortError> {
        self.hold(of_stage(self.plan, self.index, self.plan.weights_before(self.index))?)?;
        self.held = of_stage(self.plan, self.index, self.plan.weights_after(self.index))?;
        Ok(())
    }

    /// Puts a model to work with weights that there are by now, where it does not have them already.
    fn hold(&mut self, wanted: ModelWeights) -> Result<(), PortError> {
        if wanted.model != self.held.model {
            self.ports.policy.put_to_work(wanted.model.as_deref())?;
            self.held = ModelWeights { from: WeightsFrom::Base, ..wanted.clone() };
        }
        if wanted != self.held {
            match &wanted.from {
                WeightsFrom::Base => self.ports.policy.take_weights(EarlierWeights::Initial)?,
                WeightsFrom::Stage(id) => {
                    let path = last_checkpoint(self.plan, id)?;
                    let made = self.plan.stages.iter().find(|made| made.id == *id);
                    let made = made.and_then(|made| made.model.as_deref());
                    let heads = [made, wanted.model.as_deref()]
                        .map(|name| self.plan.model_called(name).map(|model| model.head));
                    let weights = match heads[0] == heads[1] {
                        true => EarlierWeights::Saved(&path),
                        false => EarlierWeights::Body(&path),
                    };
                    self.ports.policy.take_weights(weights)?;
                }
            }
        }
        self.held = wanted;
        Ok(())
    }

    /// The steps of a stage, where it has any, and what they made.
    fn go_through(
        &mut self,
        stage: &StagePlan,
        outline: &StageOutline<'_>,
    ) -> Result<Flow, PortError> {
        let data = std::mem::replace(&mut self.data, RunData::new(self.plan, self.ports.problems));
        let mut rows = Vec::new();
        let flow = match stepped(self.plan, stage, &data)? {
            None => Flow::GoOn,
            Some(mut stepped) => {
                if reads_made_data(self.plan, stage) {
                    // Only now are its rows there to be looked at.
                    stepped.check(&*self.ports.policy)?;
                }
                self.steps(stage, outline, &data, (stepped.as_mut(), &mut rows))?
            }
        };
        self.data = data;
        if outline.makes.is_some() {
            self.data.add(&stage.id, rows);
            if flow == Flow::GoOn && self.data.problems(&stage.id, Split::Train)?.is_empty() {
                let rollouts = outline.rollouts.map_or(0, |rollouts| rollouts.per_problem as u64);
                let sampled = self.drawn * rollouts;
                let place = stage_place(&stage.id);
                return Err(TrainError::NothingMade { place, sampled }.into());
            }
        }
        Ok(flow)
    }

    /// The steps of a stage with what belongs between them. The rows that they make are added to `made`.
    fn steps(
        &mut self,
        stage: &StagePlan,
        outline: &StageOutline<'_>,
        data: &RunData<'_>,
        (stepped, made): (&mut dyn SteppedStage, &mut Vec<Problem>),
    ) -> Result<Flow, PortError> {
        if self.step == 0 {
            // A stage begins without what the one before it needed for its updates.
            self.ports.policy.reset_optimizer();
            self.ports.policy.forget_frozen();
            self.ports.policy.forget_others();
            stepped.begin(self.ports.policy)?;
        }
        loop {
            if outline.is_evaluated() {
                for suite in due(&self.plan.evals, self.step, outline.steps) {
                    self.evaluate(suite, Some(self.index), &stage.id)?;
                }
            }
            if self.step >= outline.steps {
                return Ok(Flow::GoOn);
            }
            let at = StepPlace { stage: self.index, step: self.step, drawn: self.drawn };
            let facts = stepped.step(&mut self.ports.with(data), at)?;
            let guard =
                Guard { place: &stage_place(&stage.id), at: finite::Moment::Step(facts.step) };
            guard.metrics(facts.metrics.iter().map(|(name, value)| (name.as_str(), *value)))?;
            let drawn = drawn(outline, &facts);
            let kept = kept(&facts.groups, &facts.verdicts);
            made.extend(kept.map(|(kept, asked)| kept.worked(&stage.id, asked)));
            self.ports.recorder.step(facts)?;
            self.step += 1;
            self.drawn += drawn;
            let flow = if (self.stop)() { Flow::Stop } else { Flow::GoOn };
            self.checkpoint(stage, outline.steps, flow)?;
            if flow == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
    }

    /// Saves when the stage is over, when a periodic checkpoint is due, or when the run is to stop here.
    fn checkpoint(&mut self, stage: &StagePlan, steps: u64, flow: Flow) -> Result<(), PortError> {
        let step = self.step;
        let kind = if step >= steps {
            CheckpointKind::Stage
        } else if divides(self.plan.checkpoints.every, step) {
            CheckpointKind::Step
        } else if flow == Flow::Stop {
            CheckpointKind::Interrupt
        } else {
            return Ok(());
        };
        let cursor = self.cursor(stage);
        self.save(&kind.path(&stage.id, step), &cursor, kind, (self.index, step))
    }

    /// Saves the policy with a cursor, and records that so many steps of the stage at a position are in it.
    fn save(
        &mut self,
        path: &str,
        cursor: &Cursor,
        kind: CheckpointKind,
        (stage, step): (usize, u64),
    ) -> Result<(), PortError> {
        let saved = self.ports.policy.save(path, cursor)?;
        self.ports.recorder.checkpoint(&CheckpointFacts {
            stage,
            step,
            kind,
            path: saved.path,
            sha256: saved.sha256,
            state_sha256: saved.state_sha256,
            bytes: saved.bytes,
        })
    }

    fn evaluate(
        &mut self,
        suite: &EvalPlan,
        stage: Option<usize>,
        label: &str,
    ) -> Result<(), PortError> {
        let step = self.step;
        let moment = EvalMoment { stage, label, step };
        let facts = evaluate(self.plan, suite, &mut self.ports, moment)?;
        self.ports.recorder.evaluation(&facts)
    }
}

/// The answer of the plan about weights of the stage at a position, or an error that names the stage.
fn of_stage(
    plan: &RunPlan,
    index: usize,
    answer: Result<ModelWeights, WeightsError>,
) -> Result<ModelWeights, PortError> {
    let id = plan.stages.get(index).map_or("", |stage| stage.id.as_str());
    answer.map_err(|error| TrainError::Weights { place: stage_place(id), error }.into())
}

/// Problems that a step drew: one for each group that it sampled, and as many as are planned where nothing is sampled.
fn drawn(outline: &StageOutline<'_>, facts: &StepFacts) -> u64 {
    match outline.rollouts {
        Some(_) => facts.groups.len() as u64,
        None => outline.problems_per_step as u64,
    }
}

/// The suites due once `step` of `steps` steps are done.
fn due(suites: &[EvalPlan], step: u64, steps: u64) -> impl Iterator<Item = &EvalPlan> {
    suites.iter().filter(move |suite| {
        divides(suite.when.every, step) || (suite.when.stage_end && step >= steps)
    })
}

/// Whether something that happens every so many steps happens after `step` of them; never after none.
fn divides(every: Option<u64>, step: u64) -> bool {
    step > 0 && every.is_some_and(|every| every > 0 && step.is_multiple_of(every))
}
