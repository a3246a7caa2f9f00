//! The checkpoint of an earlier run that a model begins with.

use std::path::MAIN_SEPARATOR;

use r1x_core::plan::{InitialWeights, LoraPlan, ModelPlan};

use super::Resolver;
use crate::codes;
use crate::diagnostic::quoted;
use crate::inputs::{CheckpointFacts, CheckpointName};
use crate::read::At;
use crate::spec::ModelSpec;

impl Resolver<'_, '_> {
    /// A model with the weights of the checkpoint that is written, where one is.
    pub(super) fn with_checkpoint(
        &mut self,
        spec: &At<ModelSpec>,
        plan: ModelPlan,
    ) -> Option<ModelPlan> {
        let Some(written) = &spec.checkpoint else { return Some(plan) };
        if let Some(lora) = &plan.lora {
            self.check_adapters_begin(written, &plan, lora)?;
        }
        let found = match self.inputs.checkpoint(&self.named(written), &plan) {
            Ok(found) => found,
            Err(refusal) => {
                let message = format!(
                    "the checkpoint {} cannot be used: {}",
                    quoted(written),
                    refusal.message
                );
                let diagnostic = self.error(codes::MISSING_FILE, written.span, message);
                diagnostic.input();
                if let Some(help) = refusal.help {
                    diagnostic.help(help);
                }
                return None;
            }
        };
        let CheckpointFacts { folder, sha256 } = found;
        let initial = InitialWeights::Checkpoint { folder, sha256 };
        Some(match plan.lora {
            // A checkpoint has no more than what is trained.
            Some(lora) => ModelPlan { lora: Some(LoraPlan { initial, ..lora }), ..plan },
            None => ModelPlan { initial, ..plan },
        })
    }

    /// A text with a colon that does not begin as a path does names a run.
    fn named(&self, written: &At<String>) -> CheckpointName {
        let is_path = written.starts_with(['.', MAIN_SEPARATOR]);
        match written.split_once(':').filter(|_| !is_path) {
            Some((run, checkpoint)) => {
                CheckpointName::OfRun { run: run.to_owned(), checkpoint: checkpoint.to_owned() }
            }
            None => CheckpointName::Folder(self.reader.sources.path(written.span.source, written)),
        }
    }

    fn check_adapters_begin(
        &mut self,
        written: &At<String>,
        plan: &ModelPlan,
        lora: &LoraPlan,
    ) -> Option<()> {
        if plan.initial == InitialWeights::Random {
            let message = "the checkpoint of a model with adapters (`lora`) has no more than those";
            let help =
                "give the model the weights that they stand beside with `from`, or take `lora` out";
            self.error(codes::SHAPE, written.span, message.to_owned()).help(help);
            return None;
        }
        if lora.initial != InitialWeights::Random {
            let message =
                "the adapters begin with those of a folder and with those of a checkpoint";
            let help = "take one of `checkpoint`, `lora.from` out";
            self.error(codes::ONE_OF, written.span, message.to_owned()).help(help);
            return None;
        }
        Some(())
    }
}
