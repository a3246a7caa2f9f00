//! `r1x model export`: a checkpoint of a run as a published folder.
//!
//! A checkpoint names its run, and the store knows the plan of the run, which is the shape of the model.

use std::path::{Path, PathBuf};

use r1x_core::PortError;
use r1x_core::plan::{InitialWeights, ModelPlan};
use r1x_model::published::{Published, SaveDtype};
use r1x_model::{Expected, export};

use super::tell;
use crate::args::Global;
use crate::failure::{Failure, code};
use crate::{earlier, models, plans, speaker, stores};

/// What of a checkpoint is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The whole model, adapters merged into it.
    Model,
    /// Its adapters alone, as PEFT writes them.
    Adapters,
}

/// Writes the folder.
///
/// # Errors
/// When the checkpoint or the store of its run cannot be read, no published family can say the model, or the folder is
/// there or cannot be written.
pub fn export(
    global: &Global,
    checkpoint: &Path,
    to: &Path,
    (what, dtype): (What, SaveDtype),
) -> Result<i32, Failure> {
    let checkpoint = &found(global, checkpoint)?;
    let place = r1x_model::checkpoint::place(checkpoint).map_err(PortError::from)?;
    let Some(uid) = &place.run else {
        return Err(Failure::new(
            code::INPUT,
            format!("{}: it does not say which run it belongs to", checkpoint.display()),
            "checkpoints of runs of this version say so: `r1x resume` writes one",
        ));
    };
    let beside = earlier::store_above(checkpoint);
    let store = stores::reading(global.store().or(beside.as_deref()))?;
    let plan = plans::plan_of(&store, uid)?;
    let model = models::of_checkpoint(&plan, checkpoint)?.clone();
    let checkpoint = &export::Checkpoint {
        folder: checkpoint,
        expected: Expected::of_run(uid),
        plan: &with_whole_context(model),
        seed: plan.seed,
    };
    let saved = match what {
        What::Model => export::model(checkpoint, to, dtype),
        What::Adapters => export::adapters(checkpoint, to, dtype),
    };
    let saved = saved.map_err(PortError::from)?;
    tell(to, &saved);
    Ok(0)
}

/// The folder of a checkpoint; for the name of a run, the newest that it still has. A folder that is no checkpoint may
/// be called as a run is: runs keep their checkpoints in folders of their names.
fn found(global: &Global, checkpoint: &Path) -> Result<PathBuf, Failure> {
    let is_checkpoint = r1x_model::checkpoint::place(checkpoint).is_ok();
    let name = checkpoint.to_str().filter(|name| !name.contains(std::path::MAIN_SEPARATOR));
    let Some(name) = name.filter(|_| !is_checkpoint) else {
        return Ok(checkpoint.to_owned());
    };
    let of_run = || {
        let store = stores::reading(global.store())?;
        let run = store.run(name)?.name;
        let newest = speaker::checkpoint(&store, &run, None)?;
        Ok(store.run_folder(&run).join(newest.path))
    };
    match of_run() {
        Err(_) if checkpoint.exists() => Ok(checkpoint.to_owned()),
        found => found,
    }
}

/// A model that began as a published one has the context that its folder says, of which a run may have used less. Where
/// the folder has gone, or its positions turn otherwise, the context is that of the run.
fn with_whole_context(mut model: ModelPlan) -> ModelPlan {
    let InitialWeights::Published { folder, .. } = &model.initial else { return model };
    if let Ok(published) = Published::open(Path::new(folder)) {
        let whole = published.plan(model.tokenizer.clone(), model.precision);
        if whole.rope == model.rope {
            model.context_length = whole.context_length.max(model.context_length);
        }
    }
    model
}
