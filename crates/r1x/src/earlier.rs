//! Checkpoints of earlier runs that models begin with: where they are, and whether the model that has written one is the
//! one that is to read it.
//!
//! The names and shapes of tensors do not say how a model computes, nor which token a row is. The plan of the run that has
//! written a checkpoint does, and it is in the store of the run.

use std::path::{Path, PathBuf};

use r1x_core::PortError;
use r1x_core::plan::{InitialWeights, ModelPlan, TokenizerPlan};
use r1x_model::{Expected, ModelError};
use r1x_spec::{CheckpointFacts, CheckpointName, Refusal};
use r1x_store::{Mode, Store};
use serde_json::Value;

use crate::failure::{Failure, Told};
use crate::inputs::CheckpointFinder;
use crate::{models, plans, stores};

/// The usual name of a store, which lies beside the folders of its runs.
const STORE: &str = "r1x.sqlite";

/// Keys of a model that another run may have otherwise: what it begins with, what it computes with, how far it reads, and
/// how its weights were drawn.
const FREE: [&str; 5] =
    ["initial", "precision", "recompute_activations", "context_length", "init_std"];

/// Keys of a mixture of experts that are about training only.
const FREE_OF_EXPERTS: [&str; 2] = ["bias_update_speed", "balance_loss"];

/// What finds checkpoints, by runs of the store that is asked for and by folders.
pub fn finder(place: Option<&Path>) -> CheckpointFinder {
    let place = place.map(Path::to_owned);
    Box::new(move |name, model| find(place.as_deref(), name, model))
}

/// The store in a folder above a checkpoint, where there is one of the usual name.
pub fn store_above(checkpoint: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(checkpoint).ok()?;
    path.ancestors().skip(1).map(|folder| folder.join(STORE)).find(|path| path.is_file())
}

fn find(
    place: Option<&Path>,
    name: &CheckpointName,
    model: &ModelPlan,
) -> Result<CheckpointFacts, Refusal> {
    let (folder, store, recorded) = match name {
        CheckpointName::Folder(folder) => {
            // A folder that was copied from elsewhere has no store above it, which is no mistake.
            let store = store_above(folder).and_then(|path| Store::open(&path, Mode::Read).ok());
            (folder.clone(), store, None)
        }
        CheckpointName::OfRun { run, checkpoint } => {
            let store = stores::reading(place).map_err(refused)?;
            let (folder, sha256) = of_run(&store, run, checkpoint)?;
            (folder, Some(store), Some(sha256))
        }
    };
    let place = r1x_model::checkpoint::place(&folder).map_err(told)?;
    if recorded.is_some_and(|recorded| recorded != place.weights_sha256) {
        let message = format!("{} holds other weights than were recorded", folder.display());
        return Err(Refusal::new(message, "put the recorded checkpoint back"));
    }
    if let (Some(store), Some(run)) = (&store, &place.run)
        && store.run(run).is_ok()
    {
        let plan = plans::plan_of(store, run).map_err(refused)?;
        let of_run = models::of_checkpoint(&plan, &folder);
        check_alike(of_run.map_err(|error| Refusal::from(error.message))?, model)?;
    }
    let expected = Expected::with_weights(&place.weights_sha256);
    r1x_model::checkpoint::check(&folder, model, &expected).map_err(told)?;
    let folder = folder.display().to_string();
    Ok(CheckpointFacts { folder, sha256: place.weights_sha256 })
}

/// The folder of a checkpoint of a run, and the hash of its weights.
fn of_run(store: &Store, run: &str, wanted: &str) -> Result<(PathBuf, String), Refusal> {
    let name = store.run(run).map_err(|error| refused(error.into()))?.name;
    let checkpoints = store.checkpoints(&name).map_err(|error| refused(error.into()))?;
    let whole = format!("{wanted}/final");
    let there = || checkpoints.iter().filter(|card| card.exists);
    match there().rev().find(|card| card.path == wanted || card.path == whole) {
        Some(card) => Ok((store.run_folder(&name).join(&card.path), card.sha256.clone())),
        None => {
            let names: Vec<&str> = there().map(|card| card.path.as_str()).collect();
            let help = match names.is_empty() {
                true => "a checkpoint is written at the end of every training stage".to_owned(),
                false => format!("it has {}", names.join(", ")),
            };
            Err(Refusal::new(format!("run {name} has no checkpoint `{wanted}`"), help))
        }
    }
}

/// An error unless a number in the weights of one model means what it means in those of the other.
fn check_alike(found: &ModelPlan, wanted: &ModelPlan) -> Result<(), Refusal> {
    if tokens(&found.tokenizer) != tokens(&wanted.tokenizer) {
        let message = "the model of its run reads other tokens";
        return Err(Refusal::new(message, "give this model the `tokenizer` of that run"));
    }
    let [found, wanted] = [meaning(found), meaning(wanted)];
    let (Value::Object(found), Value::Object(wanted)) = (found, wanted) else { return Ok(()) };
    let other = found.iter().filter(|(key, value)| wanted.get(*key) != Some(value));
    let other: Vec<String> = other.map(|(key, _)| format!("`{key}`")).collect();
    if other.is_empty() {
        return Ok(());
    }
    let message = format!("the model of its run differs in {}", other.join(", "));
    let help = "write the model as the spec of that run has it; a further model that is not to \
                begin with the checkpoint of `model` says `checkpoint: null`";
    Err(Refusal::new(message, help))
}

/// What decides which token is which.
fn tokens(tokenizer: &TokenizerPlan) -> (&[String], &str) {
    match tokenizer {
        TokenizerPlan::Vocabulary { pieces } => (pieces, ""),
        TokenizerPlan::File { sha256, .. } => (&[], sha256),
    }
}

/// What decides what a number of the weights means, as JSON.
fn meaning(plan: &ModelPlan) -> Value {
    let mut json = serde_json::to_value(plan).unwrap_or_default();
    if let Some(keys) = json.as_object_mut() {
        FREE.iter().chain(&["tokenizer"]).for_each(|key| drop(keys.remove(*key)));
        let depth = plan.mtp.as_ref().map(|mtp| mtp.depth);
        keys.insert("mtp".to_owned(), depth.into());
        // Adapters stand beside weights that are in no checkpoint.
        let beside = plan.lora.as_ref().map(|_| match &plan.initial {
            InitialWeights::Random => "random",
            InitialWeights::Published { sha256, .. }
            | InitialWeights::Checkpoint { sha256, .. } => sha256,
        });
        keys.insert("from".to_owned(), beside.into());
    }
    for (part, keys) in [("/lora", &["initial"][..]), ("/feed_forward/moe", &FREE_OF_EXPERTS)] {
        if let Some(part) = json.pointer_mut(part).and_then(Value::as_object_mut) {
            keys.iter().for_each(|key| drop(part.remove(*key)));
        }
    }
    json
}

fn told(error: ModelError) -> Refusal {
    let PortError { message, hint, .. } = error.into();
    Refusal { message, help: hint }
}

fn refused(failure: Failure) -> Refusal {
    match failure.told {
        Told::Here { message, hint } => Refusal { message, help: hint },
        Told::Already => Refusal::from("it cannot be read".to_owned()),
    }
}
