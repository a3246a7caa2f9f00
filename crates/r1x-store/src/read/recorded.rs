//! How far a run is recorded: whether its facts reach a point, and which of them come after it.

use crate::error::StoreError;
use crate::run_resume::StagePoint;
use crate::store::Store;

/// The steps of a run that are recorded and count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedSteps(Vec<RecordedStage>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct RecordedStage {
    /// Position in the plan.
    index: usize,
    done: bool,
    steps: u64,
}

/// The last fact of a run that is made again, or to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastFact {
    /// The end of the stage at this position, with its evaluations and its weights.
    Stage(usize),
    /// This step, of which `step` is the number, from 0.
    Step(StagePoint),
}

/// Recorded steps that come after a point, and no longer count when the run goes on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepsAfter {
    /// How many.
    pub steps: u64,
    /// The first of them; the point itself where there is none.
    pub first: StagePoint,
}

impl RecordedSteps {
    /// Where the facts of the run end; `None` when it has recorded no step and no end of a stage.
    pub fn last(&self) -> Option<LastFact> {
        let made = |stage: &RecordedStage| match (stage.done, stage.steps.checked_sub(1)) {
            (true, _) => Some(LastFact::Stage(stage.index)),
            (false, Some(step)) => Some(LastFact::Step(StagePoint { stage: stage.index, step })),
            (false, None) => None,
        };
        self.0.iter().rev().find_map(made)
    }

    /// Whether every fact up to a point is recorded: a run that goes on from there misses none.
    pub fn covers(&self, point: StagePoint) -> bool {
        let stage = |index: usize| self.0.iter().find(|stage| stage.index == index);
        let before = (0..point.stage).all(|index| stage(index).is_some_and(|stage| stage.done));
        before && stage(point.stage).map_or(0, |stage| stage.steps) >= point.step
    }

    /// The recorded steps after a point. A point after the last step of a stage leads to the first step of the next.
    pub fn after(&self, point: StagePoint) -> StepsAfter {
        let after = |stage: &RecordedStage| match stage.index.cmp(&point.stage) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => stage.steps.saturating_sub(point.step),
            std::cmp::Ordering::Greater => stage.steps,
        };
        let first = self.0.iter().find(|stage| after(stage) > 0);
        let first = match first {
            Some(stage) if stage.index != point.stage => StagePoint { stage: stage.index, step: 0 },
            _ => point,
        };
        StepsAfter { steps: self.0.iter().map(after).sum(), first }
    }
}

impl Store {
    /// How far a run is recorded.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn recorded_steps(&self, reference: &str) -> Result<RecordedSteps, StoreError> {
        let stages = self.stages(self.run(reference)?.run_id)?.into_iter();
        let recorded = stages.map(|stage| RecordedStage {
            index: usize::try_from(stage.index).unwrap_or_default(),
            done: stage.status == "done",
            steps: stage.steps.cast_unsigned(),
        });
        Ok(RecordedSteps(recorded.collect()))
    }
}
