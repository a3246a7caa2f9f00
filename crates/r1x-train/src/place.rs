//! Whether a place in a run can be one of this plan: a checkpoint says where it is, and may be of another plan or
//! have been edited.
//!
//! What is counted follows from the plan and the number of steps, or lies between bounds that do, where a step may draw
//! further problems; so little is taken on trust.

use r1x_core::PortError;
use r1x_core::plan::{RunPlan, StagePlan};
use r1x_core::port::Cursor;

use crate::error::TrainError;
use crate::stage::stage_place;

/// What a stage counts.
struct Counts {
    steps: u64,
    /// At least.
    draws_per_step: u64,
    /// At most: a step may draw others in place of problems that taught nothing.
    most_draws_per_step: u64,
    /// At most: an update without a token to learn from is left out.
    updates_per_step: u64,
}

impl Counts {
    fn of(stage: &StagePlan) -> Self {
        let outline = stage.kind.outline();
        Self {
            steps: outline.steps,
            draws_per_step: outline.problems_per_step as u64,
            most_draws_per_step: outline.most_problems_per_step() as u64,
            updates_per_step: outline
                .learning
                .map_or(0, |learning| learning.updates_per_step() as u64),
        }
    }

    fn updates(&self, steps: u64) -> u64 {
        steps.saturating_mul(self.updates_per_step)
    }
}

/// Checks that a plan can lead to this place.
///
/// # Errors
/// When it has no such stage, fewer steps, or does not draw so many or so few problems in them.
pub fn check_cursor(plan: &RunPlan, at: &Cursor) -> Result<(), PortError> {
    let stage = match &at.stage {
        None => return beginning(at),
        Some(id) => plan.stages.iter().find(|stage| stage.id == *id),
    };
    let Some(stage) = stage else {
        let id = at.stage.clone().unwrap_or_default();
        return Err(TrainError::UnknownStage { id }.into());
    };
    let counts = Counts::of(stage);
    let place = stage_place(&stage.id);
    if at.step > counts.steps {
        return Err(TrainError::BeyondPlan { place, done: at.step, steps: counts.steps }.into());
    }
    let least = at.step.saturating_mul(counts.draws_per_step);
    let most = at.step.saturating_mul(counts.most_draws_per_step);
    // The nearer bound is what a run of the plan has, or may have.
    match at.drawn {
        drawn if drawn < least => foreign(place, "problems drawn", drawn, least),
        drawn if drawn > most => foreign(place, "problems drawn", drawn, most),
        _ => Ok(()),
    }
}

/// Before the first stage nothing was done.
fn beginning(at: &Cursor) -> Result<(), PortError> {
    let place = "the beginning of the run".to_owned();
    match (at.step, at.drawn) {
        (0, 0) => Ok(()),
        (0, drawn) => foreign(place, "problems drawn", drawn, 0),
        (step, _) => foreign(place, "steps done", step, 0),
    }
}

fn foreign(place: String, what: &'static str, found: u64, expected: u64) -> Result<(), PortError> {
    Err(TrainError::ForeignPlace { place, what, found, expected }.into())
}

/// Checks that a plan can lead to this place with so many updates of the optimizer since it began anew.
///
/// # Errors
/// When the place is not one of the plan, as [`check_cursor`] tells, and when there were more updates than the plan
/// makes until then.
pub fn check_place(plan: &RunPlan, at: &Cursor, updates: u64) -> Result<(), PortError> {
    check_cursor(plan, at)?;
    let index = plan.stage_index(at).unwrap_or_default();
    let most = match plan.stages.get(index) {
        Some(stage) if at.step > 0 => Counts::of(stage).updates(at.step),
        // The stage has not begun: the optimizer is that of one before it.
        _ => {
            let before = plan.stages.iter().take(index).map(Counts::of);
            before.map(|counts| counts.updates(counts.steps)).max().unwrap_or(0)
        }
    };
    if updates <= most {
        return Ok(());
    }
    let place = match &at.stage {
        Some(id) => stage_place(id),
        None => "the beginning of the run".to_owned(),
    };
    foreign(place, "updates of the optimizer", updates, most)
}
