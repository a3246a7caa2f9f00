//! A run that is made again: every fact is compared with the recorded one as soon as it is recorded itself.
//!
//! Wraps the recorder and changes no fact. A step is committed while the next one is computed, so it is compared when
//! the next call returns, by which time the contract of [`Recorder`] says that it is there to be read.

use std::cell::RefCell;

use r1x_core::plan::RunPlan;
use r1x_core::select::Kept;
use r1x_core::{CheckpointFacts, EvalFacts, PortError, Recorder, StageFacts, StepFacts};
use r1x_store::{Compared, Difference, LastFact, RunPair, RunSummary, StagePoint, Store};

use crate::environment::Change;
use crate::failure::Failure;

/// What a run that is made again is compared with, and what came of it so far.
pub struct Repetition<'a> {
    store: &'a Store,
    plan: &'a RunPlan,
    of: RunSummary,
    until: LastFact,
    environment: Vec<Change>,
    tally: RefCell<Tally>,
}

/// What was compared so far.
#[derive(Clone, Debug, Default)]
struct Tally {
    difference: Option<Difference>,
    through: Option<StepName>,
    steps: u64,
    evaluations: u64,
    weights: u64,
    missing: u64,
    /// Whether the last fact that is to be compared was made.
    is_reached: bool,
}

/// A step as people name it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StepName {
    /// Id of the stage.
    pub stage: String,
    /// The step, from 0.
    pub step: u64,
}

/// What came of comparing a run with the one it repeats.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Reproduced {
    /// Name of the run that was made again.
    pub of: String,
    /// Whether everything that was compared is equal.
    pub matches: bool,
    /// The last step that is equal, with all before it.
    pub through: Option<StepName>,
    /// Whether everything was made and compared that was to be.
    pub complete: bool,
    /// Steps that are equal.
    pub steps: u64,
    /// Evaluations that are equal.
    pub evaluations: u64,
    /// Checkpoints and ends of stages whose weights are equal.
    pub weights: u64,
    /// Steps and evaluations that the earlier run did not record.
    pub missing: u64,
    /// The first difference.
    pub difference: Option<Difference>,
    /// What of the environment is not as it was.
    pub environment: Vec<Change>,
}

impl<'a> Repetition<'a> {
    /// Makes a plan again whose facts are recorded up to `until`.
    pub fn new(
        store: &'a Store,
        plan: &'a RunPlan,
        of: RunSummary,
        (until, environment): (LastFact, Vec<Change>),
    ) -> Self {
        Self { store, plan, of, until, environment, tally: RefCell::default() }
    }

    /// Whether there is nothing more to compare: something differs, or everything was made that is to be.
    pub fn is_over(&self) -> bool {
        let tally = self.tally.borrow();
        tally.is_reached || tally.difference.is_some()
    }

    /// Compares what a run that goes on has recorded before the point from which it goes on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn catch_up(&self, run: &RunSummary, point: StagePoint) -> Result<(), Failure> {
        let runs = self.runs(run.run_id);
        for (index, stage) in self.plan.stages.iter().enumerate().take(point.stage + 1) {
            let is_before = index < point.stage;
            let steps = if is_before { stage.kind.outline().steps } else { point.step };
            for step in 0..steps {
                self.compare_step(runs, index, step)?;
            }
            if is_before {
                self.count_weights(self.store.compare_stage_end(runs, index)?);
            }
        }
        let rows = self.store.eval_results(&run.name)?;
        for figures in r1x_store::evaluations(&rows) {
            let row = &figures[0];
            let place = (row.stage.as_str(), row.step.cast_unsigned());
            let compared = self.store.compare_evaluation(runs, &row.suite, place)?;
            self.count(compared, |tally| &mut tally.evaluations);
        }
        Ok(())
    }

    /// Compares the digest of a run that was made to its end. Where facts are missing in the earlier run, its digest is
    /// not that of all facts.
    pub fn digest(&self, digest: &str) {
        let mut tally = self.tally.borrow_mut();
        let Some(was) = self.of.digest.as_deref().filter(|was| *was != digest) else { return };
        if tally.missing == 0 && tally.difference.is_none() {
            tally.difference = Some(Difference {
                quantity: "the digest".to_owned(),
                was: was.to_owned(),
                is: digest.to_owned(),
                ..Difference::default()
            });
        }
    }

    /// What came of it so far.
    pub fn outcome(&self) -> Reproduced {
        let tally = self.tally.borrow().clone();
        let matches = tally.difference.is_none();
        Reproduced {
            of: self.of.name.clone(),
            matches,
            through: tally.through,
            complete: matches && tally.is_reached,
            steps: tally.steps,
            evaluations: tally.evaluations,
            weights: tally.weights,
            missing: tally.missing,
            difference: tally.difference,
            environment: self.environment.clone(),
        }
    }

    fn runs(&self, is: i64) -> RunPair {
        RunPair { was: self.of.run_id, is }
    }

    fn stage_id(&self, index: usize) -> &str {
        self.plan.stages.get(index).map_or("", |stage| stage.id.as_str())
    }

    fn compare_step(&self, runs: RunPair, stage: usize, step: u64) -> Result<(), PortError> {
        if self.count(self.store.compare_step(runs, stage, step)?, |tally| &mut tally.steps) {
            let stage = self.stage_id(stage).to_owned();
            self.tally.borrow_mut().through = Some(StepName { stage, step });
        }
        Ok(())
    }

    /// Adds a comparison, and says whether it found equal facts. What comes after the first difference says nothing.
    fn count(&self, compared: Compared, kind: impl Fn(&mut Tally) -> &mut u64) -> bool {
        let mut tally = self.tally.borrow_mut();
        if tally.difference.is_some() {
            return false;
        }
        match compared {
            Compared::Equal => {
                *kind(&mut tally) += 1;
                return true;
            }
            Compared::Missing => tally.missing += 1,
            Compared::Differs(difference) => tally.difference = Some(*difference),
        }
        false
    }

    /// Adds a comparison of weights. A run that was interrupted elsewhere has other checkpoints, so none has to be there.
    fn count_weights(&self, compared: Compared) {
        if compared != Compared::Missing {
            self.count(compared, |tally| &mut tally.weights);
        }
    }

    /// A fact was made: is it the last one?
    fn made(&self, fact: LastFact) {
        if fact == self.until {
            self.tally.borrow_mut().is_reached = true;
        }
    }
}

impl Reproduced {
    /// The verdict in lines, the first of which says it all.
    pub fn lines(&self) -> Vec<String> {
        let counted = |count: u64, one: &str, many: &str| {
            format!("{count} {}", if count == 1 { one } else { many })
        };
        let steps = counted(self.steps, "step", "steps");
        let evaluations = counted(self.evaluations, "evaluation", "evaluations");
        let weights = counted(self.weights, "state of the weights", "states of the weights");
        let compared = format!("{steps}, {evaluations} and {weights} are equal");
        let of = &self.of;
        let mut lines = match (&self.difference, &self.through) {
            (None, Some(StepName { stage, step })) => {
                let through =
                    format!("bitwise match through step {step} of stage `{stage}` of {of}");
                vec![through, format!("  {compared}")]
            }
            (None, None) => {
                vec![format!("bitwise match with {of}, of which no step was made: {compared}")]
            }
            (Some(difference), Some(StepName { stage, step })) => vec![
                format!("first difference from {of}: {difference}"),
                format!(
                    "  before it: bitwise match through step {step} of stage `{stage}`; {compared}"
                ),
            ],
            (Some(difference), None) => vec![format!("first difference from {of}: {difference}")],
        };
        if self.missing > 0 {
            let facts = counted(self.missing, "step or evaluation", "steps and evaluations");
            lines.push(format!("  {facts} of it were not recorded, so nothing was compared there"));
        }
        lines
    }
}

/// The recorder of a run that is made again.
pub struct Comparing<'a, 'r> {
    inner: &'a mut dyn Recorder,
    repetition: &'a Repetition<'r>,
    runs: RunPair,
    /// A step that was handed over and is on its way.
    pending: Option<StagePoint>,
}

impl<'a, 'r> Comparing<'a, 'r> {
    /// Compares the facts of the run with this number on their way through.
    pub fn new(inner: &'a mut dyn Recorder, repetition: &'a Repetition<'r>, run_id: i64) -> Self {
        Self { inner, repetition, runs: repetition.runs(run_id), pending: None }
    }

    /// Compares the step before the call that has just returned.
    fn catch_up(&mut self) -> Result<(), PortError> {
        match self.pending.take() {
            Some(StagePoint { stage, step }) => {
                self.repetition.compare_step(self.runs, stage, step)
            }
            None => Ok(()),
        }
    }
}

impl Recorder for Comparing<'_, '_> {
    fn stage_started(&mut self, facts: &StageFacts) -> Result<(), PortError> {
        self.inner.stage_started(facts)?;
        self.catch_up()
    }

    fn step(&mut self, facts: StepFacts) -> Result<(), PortError> {
        let at = StagePoint { stage: facts.stage, step: facts.step };
        self.inner.step(facts)?;
        self.catch_up()?;
        self.pending = Some(at);
        self.repetition.made(LastFact::Step(at));
        Ok(())
    }

    fn evaluation(&mut self, facts: &EvalFacts) -> Result<(), PortError> {
        self.inner.evaluation(facts)?;
        self.catch_up()?;
        let (repetition, place) = (self.repetition, (facts.label.as_str(), facts.step));
        let compared = repetition.store.compare_evaluation(self.runs, &facts.suite, place)?;
        repetition.count(compared, |tally| &mut tally.evaluations);
        Ok(())
    }

    fn checkpoint(&mut self, facts: &CheckpointFacts) -> Result<(), PortError> {
        self.inner.checkpoint(facts)?;
        self.catch_up()?;
        let repetition = self.repetition;
        let stage = (facts.stage, repetition.stage_id(facts.stage));
        repetition
            .count_weights(repetition.store.compare_checkpoint(self.runs, stage, facts.step)?);
        Ok(())
    }

    fn kept(&mut self, stage: usize, before_step: u64) -> Result<Vec<Kept>, PortError> {
        self.inner.kept(stage, before_step)
    }

    fn stage_finished(&mut self, facts: &StageFacts, sha256: &str) -> Result<(), PortError> {
        self.inner.stage_finished(facts, sha256)?;
        self.catch_up()?;
        let repetition = self.repetition;
        repetition.count_weights(repetition.store.compare_stage_end(self.runs, facts.index)?);
        repetition.made(LastFact::Stage(facts.index));
        Ok(())
    }
}
