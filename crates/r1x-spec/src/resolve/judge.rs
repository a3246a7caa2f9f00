//! Frozen models that rewards may ask.

use std::path::Path;

use r1x_core::plan::JudgePlan;
use r1x_core::plan::{InitialWeights, ModelPlan};

use super::Resolver;
use super::model::Purpose;
use crate::codes;
use crate::read::At;
use crate::spec::JudgeSpec;

/// Weights are hashed whole.
const MAX_WEIGHTS_BYTES: u64 = 64 << 30;

impl Resolver<'_, '_> {
    /// The plan of a judge; `policy` is the model that is trained.
    pub(super) fn judge(
        &mut self,
        spec: &At<JudgeSpec>,
        policy: Option<&ModelPlan>,
    ) -> Option<JudgePlan> {
        let written = spec.model.as_ref().and_then(|model| model.checkpoint.as_ref());
        if let Some(written) = written {
            let message = "a judge has one checkpoint".to_owned();
            let help =
                "take this one out: the weights of a judge are those of its own `checkpoint`";
            self.error(codes::ONE_OF, written.span, message).help(help);
        }
        let model = match &spec.model {
            Some(model) => self.model(model, Purpose::Run).map(|read| read.plan),
            None => policy.cloned(),
        };
        let adapts = model.as_ref().filter(|model| model.lora.is_some());
        if adapts.is_some_and(|model| model.initial == InitialWeights::Random) {
            let message = "a judge with adapters (`lora`) needs the weights that they stand beside";
            let help = "give it a model with `from`, or the checkpoint of a run that trained all weights and a `model` \
                        without `lora`";
            self.error(codes::SHAPE, spec.span, message.to_owned()).help(help);
        }
        let written = self.reader.sources.path(spec.checkpoint.span.source, &spec.checkpoint);
        let weights = written.join(JudgePlan::WEIGHTS);
        let (_, bytes) = self.read_path(&weights, spec.checkpoint.span, MAX_WEIGHTS_BYTES)?;
        let model = model?;
        // Its weights are those of its checkpoint, which has no more than adapters where there are any.
        let initial = match &model.lora {
            None => InitialWeights::Random,
            Some(_) => model.initial.clone(),
        };
        Some(JudgePlan {
            checkpoint: Path::new(&written).display().to_string(),
            sha256: self.inputs.sha256(&bytes),
            model: ModelPlan { initial, ..model },
        })
    }
}
