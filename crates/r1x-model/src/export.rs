//! From a checkpoint of r1x to what others read: the whole model as hubs publish it, or its adapters as PEFT writes them.

use std::path::Path;

use r1x_core::plan::{InitialWeights, ModelPlan};
use r1x_weights::SaveDtype;

use crate::checkpoint::{self, Expected, Numbers};
use crate::error::ModelError;
use crate::layout::Layout;
use crate::merged;
use crate::published::adapter;
use crate::published::save::{Saved, Target, export, family_of};
use crate::published::texts::Texts;

/// A checkpoint of r1x, and the model that it is of.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint<'a> {
    /// Its folder.
    pub folder: &'a Path,
    /// What is known of it.
    pub expected: Expected<'a>,
    /// The model.
    pub plan: &'a ModelPlan,
    /// The seed of the run, from which weights are drawn that are not in the checkpoint.
    pub seed: u64,
}

impl Checkpoint<'_> {
    /// The numbers of the model itself, in f32; adapters are merged into it.
    fn merged(&self) -> Result<(Layout, Numbers), ModelError> {
        let layout = Layout::new(&ModelPlan { lora: None, ..self.plan.clone() });
        let mut numbers = Numbers::zeros(&layout, &layout.base);
        merged::hand_to((self.plan, self.seed), (self.folder, &self.expected), &mut numbers)?;
        Ok((layout, numbers))
    }
}

/// Writes the weights of a checkpoint of r1x as a published model, into a folder that was not there. The family is the
/// first that can say the plan. Adapters are merged into the model.
///
/// # Errors
/// When the checkpoint is not what is expected, no family can say the plan, a number is none in `dtype`, or the folder is
/// there already or cannot be written.
pub fn model(
    checkpoint: &Checkpoint<'_>,
    to: &Path,
    dtype: SaveDtype,
) -> Result<Saved, ModelError> {
    let plan = checkpoint.plan;
    let family = family_of(plan)?;
    let texts = Texts::of_plan(&plan.tokenizer)?;
    let (layout, numbers) = checkpoint.merged()?;
    export(&layout, &numbers, &Target { plan, family, texts: &texts, to }, dtype)
}

/// Writes the adapters of a checkpoint of r1x as PEFT does, into a folder that was not there.
///
/// # Errors
/// When the model of the checkpoint has no adapters, and as those of [`model`].
pub fn adapters(
    checkpoint: &Checkpoint<'_>,
    to: &Path,
    dtype: SaveDtype,
) -> Result<Saved, ModelError> {
    let Some(lora) = &checkpoint.plan.lora else {
        let path = checkpoint.folder.display().to_string();
        let reason = "the model of its run has no adapters: leave `--adapters` out".to_owned();
        return Err(ModelError::Checkpoint { path, reason });
    };
    let family = family_of(checkpoint.plan)?;
    let layout = Layout::new(checkpoint.plan);
    let numbers = checkpoint::load_weights(checkpoint.folder, &layout, &checkpoint.expected)?;
    let base = match &checkpoint.plan.initial {
        InitialWeights::Published { folder, .. } => Some(folder.as_str()),
        InitialWeights::Random | InitialWeights::Checkpoint { .. } => None,
    };
    let target = adapter::Target { plan: lora, family, base, to };
    let class = crate::published::class(family, checkpoint.plan.head);
    Ok(Saved { family, class, files: adapter::save(&layout, &numbers.values, &target, dtype)? })
}
