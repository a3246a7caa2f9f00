//! Frozen models that rewards may ask.

use std::path::Path;

use r1x_core::plan::JudgePlan;
use r1x_core::plan::{InitialWeights, ModelPlan};

use super::Resolver;
use super::model::Purpose;
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
        let model = match &spec.model {
            Some(model) => self.model(model, Purpose::Run).map(|read| read.plan),
            None => policy.cloned(),
        };
        let written = self.reader.sources.path(spec.checkpoint.span.source, &spec.checkpoint);
        let weights = written.join(JudgePlan::WEIGHTS);
        let (_, bytes) = self.read_path(&weights, spec.checkpoint.span, MAX_WEIGHTS_BYTES)?;
        Some(JudgePlan {
            checkpoint: Path::new(&written).display().to_string(),
            sha256: self.inputs.sha256(&bytes),
            // Its weights are those of its checkpoint.
            model: ModelPlan { initial: InitialWeights::Random, ..model? },
        })
    }
}
