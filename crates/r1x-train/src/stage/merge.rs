//! A merge: its one step averages weights that are there already.

use r1x_core::plan::{MergePart, MergePlan, ModelPlan, RunPlan, WeightsFrom};
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

    /// The checkpoint of a part, and the model that it is of where that one has adapters; no checkpoint of the weights that
    /// the model of the merge begins with.
    fn saved(
        &self,
        part: &MergePart,
    ) -> Result<(Option<String>, Option<&'a ModelPlan>), PortError> {
        let WeightsFrom::Stage(id) = &part.weights else { return Ok((None, None)) };
        let saved = last_checkpoint(self.run, id)?;
        let stage = self.run.stages.iter().find(|stage| stage.id == *id);
        let model = stage.and_then(|stage| self.run.model_of(stage).ok());
        Ok((Some(saved), model.filter(|model| model.lora.is_some())))
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
        let saved = self.plan.parts.iter().map(|part| self.saved(part));
        let saved = saved.collect::<Result<Vec<_>, PortError>>()?;
        let parts = saved.iter().zip(&self.plan.parts);
        let parts: Vec<AveragePart<'_>> = parts
            .map(|((saved, adapted), part)| {
                let (saved, adapted) = (saved.as_deref(), *adapted);
                AveragePart { saved, adapted, share: part.share }
            })
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
