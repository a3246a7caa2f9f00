//! What can be known to fail is found before the first step: ids, sizes of data sets, lengths of prompts.
//!
//! Nobody should learn after an hour of training that the evaluation's prompts are too long. Must not know
//! what the spec looked like.

use r1x_core::PortError;
use r1x_core::plan::{RunPlan, StageKind};
use r1x_core::port::Cursor;

use crate::error::TrainError;
use crate::run::Ports;
use crate::stage::{evaluate, stage_place, training};

/// Checks the stages from the cursor on and every suite.
pub(crate) fn check(run: &RunPlan, ports: &Ports<'_>, from: &Cursor) -> Result<(), PortError> {
    for (index, stage) in run.stages.iter().enumerate().skip(from.stage) {
        let place = stage_place(&stage.id);
        if let Some(mut training) = training(run, stage, ports.problems)? {
            if index == from.stage && from.step > training.steps() {
                let (done, steps) = (from.step, training.steps());
                return Err(TrainError::BeyondPlan { place, done, steps }.into());
            }
            training.check(ports.policy)?;
        }
        if let StageKind::Evaluate(plan) = &stage.kind {
            for id in &plan.evals {
                evaluate::suite_by_id(run, id, &place)?;
            }
        }
    }
    for suite in &run.evals {
        evaluate::check(run, suite, ports)?;
    }
    Ok(())
}
