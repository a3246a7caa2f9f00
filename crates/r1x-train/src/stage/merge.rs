//! A merge: its one step averages weights that are there already.

use r1x_core::plan::{MergePlan, RunPlan, WeightsFrom};
use r1x_core::port::{AveragePart, EarlierWeights};
use r1x_core::{Encoder, PortError, Problem, StepFacts};

use super::{StepPlace, SteppedStage, last_checkpoint};
use crate::ports::Ports;

/// A merge in progress.
pub(crate) struct MergeStage<'a> {
    run: &'a RunPlan,
    plan: &'a MergePlan,
}

impl<'a> MergeStage<'a> {
    pub(crate) fn new(run: &'a RunPlan, plan: &'a MergePlan) -> Self {
        Self { run, plan }
    }
}

impl SteppedStage for MergeStage<'_> {
    fn ahead(&mut self) -> Vec<&Problem> {
        Vec::new()
    }

    /// Nothing is read but weights, and which of them there are is known from the plan.
    fn check(&mut self, _encoder: &dyn Encoder) -> Result<(), PortError> {
        Ok(())
    }

    fn step(&mut self, ports: &mut Ports<'_>, at: StepPlace) -> Result<StepFacts, PortError> {
        let saved = self.plan.parts.iter().map(|part| match &part.weights {
            WeightsFrom::Base => Ok(None),
            WeightsFrom::Stage(id) => last_checkpoint(self.run, id).map(Some),
        });
        let saved = saved.collect::<Result<Vec<Option<String>>, PortError>>()?;
        let parts = saved.iter().zip(&self.plan.parts);
        let parts: Vec<AveragePart<'_>> = parts
            .map(|(saved, part)| AveragePart { saved: saved.as_deref(), share: part.share })
            .collect();
        ports.policy.take_weights(EarlierWeights::Average(&parts))?;
        Ok(StepFacts {
            stage: at.stage,
            step: at.step,
            metrics: Vec::new(),
            rewards: Vec::new(),
            groups: Vec::new(),
            verdicts: Vec::new(),
            reference_logprobs: Vec::new(),
        })
    }
}
