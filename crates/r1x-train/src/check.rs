//! What can be known to fail is found before the first step: ids, sizes of data sets, lengths and words of texts.
//!
//! Nobody should learn after an hour of training that the evaluation's prompts are too long. No weights are needed,
//! so a spec can be checked on a machine that could not hold its model.

use r1x_core::plan::{RunPlan, StagePlan, WeightsFrom};
use r1x_core::port::Cursor;
use r1x_core::{Encoder, PortError, ProblemSource};

use crate::error::TrainError;
use crate::place::check_cursor;
use crate::stage::{evaluate, stage_place, training};

/// A plan of which everything that can be known to fail was found to be right.
#[derive(Clone, Debug)]
pub struct Checked<'p> {
    pub(crate) plan: &'p RunPlan,
    pub(crate) from: Cursor,
}

/// Checks the stages from the cursor on and every suite: that ids, counts and gates fit together, and that every
/// problem a stage or suite will meet has words the model knows, fits into its context, is judged, and has the
/// solution that is learnt from.
///
/// # Errors
/// One for each stage and suite that would fail, with the first problem that is to blame.
pub fn check<'p>(
    plan: &'p RunPlan,
    encoder: &dyn Encoder,
    problems: &dyn ProblemSource,
    from: Cursor,
) -> Result<Checked<'p>, Vec<PortError>> {
    check_cursor(plan, &from).map_err(|error| vec![error])?;
    let stages = plan.stages.iter().skip(plan.stage_index(&from).unwrap_or_default());
    let stages = stages.map(|one| stage(plan, one, encoder, problems));
    let weights = weights_at_hand(plan);
    let suites = plan.evals.iter().map(|suite| evaluate::check(plan, suite, encoder, problems));
    let found = weights.into_iter().chain(stages).chain(suites);
    let errors: Vec<PortError> = found.filter_map(Result::err).collect();
    if errors.is_empty() { Ok(Checked { plan, from }) } else { Err(errors) }
}

/// The policy holds the weights of one stage at a time, so a stage begins with those of the one before it, and the
/// first with those of the run.
fn weights_at_hand(plan: &RunPlan) -> Vec<Result<(), PortError>> {
    let mut held = &WeightsFrom::Base;
    let mut before: WeightsFrom;
    let mut found = Vec::new();
    for stage in &plan.stages {
        found.push(if stage.weights == *held {
            Ok(())
        } else {
            let place = stage_place(&stage.id);
            Err(TrainError::WeightsElsewhere { place, from: origin(&stage.weights) }.into())
        });
        before = WeightsFrom::Stage(stage.id.clone());
        held = &before;
    }
    found
}

fn origin(weights: &WeightsFrom) -> String {
    match weights {
        WeightsFrom::Base => "the run's own weights".to_owned(),
        WeightsFrom::Stage(id) => format!("the weights of stage `{id}`"),
    }
}

fn stage(
    plan: &RunPlan,
    stage: &StagePlan,
    encoder: &dyn Encoder,
    problems: &dyn ProblemSource,
) -> Result<(), PortError> {
    let place = stage_place(&stage.id);
    if let Some(mut training) = training(plan, stage, problems)? {
        training.check(encoder)?;
    }
    let suites = stage.kind.outline().suites.iter();
    suites.map(|id| evaluate::suite_by_id(plan, id, &place)).try_for_each(|suite| suite.map(drop))
}
