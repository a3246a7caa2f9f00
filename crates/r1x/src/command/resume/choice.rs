//! From which checkpoints a run can go on: those of the store, and those that are whole on disk although the store
//! does not know of them.
//!
//! A store loses its newest rows with the power; a checkpoint is on the disk before the store is told of it. Must not
//! load numbers, nor change anything.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use r1x_core::PortError;
use r1x_core::plan::RunPlan;
use r1x_core::port::Cursor;
use r1x_model::checkpoint::{PARTIAL, REPLACED};
use r1x_model::{Expected, Place};
use r1x_store::{CheckpointCard, StageCard, Store};

use crate::failure::{Failure, code};

/// A checkpoint that may serve.
#[derive(Clone, Debug)]
pub struct Choice {
    /// What a person calls it.
    pub name: String,
    /// Where it lies.
    pub folder: PathBuf,
    /// What the store says of it; none of one that it does not know.
    pub card: Option<CheckpointCard>,
    /// Stage and steps, to put choices in order.
    at: (usize, u64),
}

/// The run whose checkpoints are looked for.
pub struct Run<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its identity.
    pub uid: &'a str,
    /// Its plan.
    pub plan: &'a RunPlan,
    /// Its folder.
    pub folder: PathBuf,
    /// What the store knows.
    pub cards: Vec<CheckpointCard>,
    /// Its stages as they are recorded.
    pub stages: Vec<StageCard>,
}

impl<'a> Run<'a> {
    /// Asks the store.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(
        store: &Store,
        name: &'a str,
        uid: &'a str,
        plan: &'a RunPlan,
    ) -> Result<Self, Failure> {
        let stages = store.run_card(name)?.stages;
        let (cards, folder) = (store.checkpoints(name)?, store.run_folder(name));
        Ok(Self { name, uid, plan, folder, cards, stages })
    }

    /// Every choice, the best first.
    pub fn choices(&self) -> Choices {
        let recorded = self.cards.iter().map(|card| self.recorded(card));
        let (known, mut beyond): (Vec<_>, Vec<_>) =
            self.strangers().into_iter().partition(|(_, place)| self.covers(&place.cursor));
        let known = known.into_iter().map(|(choice, _)| choice);
        let mut choices: Vec<Choice> = known.chain(recorded).collect();
        // Of one place, what the store knows comes first, and its later rows before earlier ones.
        choices.reverse();
        choices.sort_by_key(|choice| Reverse(choice.at));
        beyond.sort_by_key(|(choice, _)| choice.at);
        let beyond = beyond.into_iter().map(|(choice, _)| choice.name).collect();
        Choices { choices, beyond }
    }

    fn recorded(&self, card: &CheckpointCard) -> Choice {
        Choice {
            name: card.path.clone(),
            folder: self.folder.join(&card.path),
            at: (usize::try_from(card.stage_index).unwrap_or(0), card.step.cast_unsigned()),
            card: Some(card.clone()),
        }
    }

    /// Checkpoints in the run's folder that say they are of this run, and of which the store says nothing.
    fn strangers(&self) -> Vec<(Choice, Place)> {
        let unknown = |name: &String| self.cards.iter().all(|card| card.path != *name);
        let mut found = Vec::new();
        for stage in folders(&self.folder) {
            for folder in folders(&stage) {
                let Some(name) = relative(&self.folder, &folder).filter(unknown) else { continue };
                let Some(place) = self.own(&folder) else { continue };
                let at = (place.cursor.stage, place.cursor.step);
                found.push((Choice { name, folder, card: None, at }, place));
            }
        }
        found
    }

    /// What a folder says of itself, if it says that it belongs to this run and its place is one of the plan.
    fn own(&self, folder: &Path) -> Option<Place> {
        let place = r1x_model::checkpoint::place(folder).ok()?;
        let fits = r1x_train::check_place(self.plan, &place.cursor, place.updates).is_ok();
        (fits && place.run.as_deref() == Some(self.uid)).then_some(place)
    }

    /// Whether every fact up to a place is recorded: a run that goes on from there misses none.
    pub fn covers(&self, at: &Cursor) -> bool {
        let stage = |index: usize| self.stages.iter().find(|stage| stage.index == index as i64);
        let before = (0..at.stage).all(|index| stage(index).is_some_and(|s| s.status == "done"));
        let steps = stage(at.stage).map_or(0, |stage| stage.steps.cast_unsigned());
        before && steps >= at.step
    }

    /// The checkpoint that a person names: as the store does, or by its folder.
    ///
    /// # Errors
    /// When there is none, or it is of another run.
    pub fn named(&self, name: &str) -> Result<Choice, Failure> {
        if let Some(card) = self.cards.iter().find(|card| card.path == name) {
            return Ok(self.recorded(card));
        }
        let inside = self.folder.join(name);
        let folder = if inside.is_dir() { inside } else { PathBuf::from(name) };
        if !folder.is_dir() {
            let names: Vec<&str> =
                self.cards.iter().filter(|c| c.exists).map(|c| c.path.as_str()).collect();
            let hint = match names.as_slice() {
                [] => "none of its checkpoints is left in the run's folder".to_owned(),
                names => format!("it has {}", names.join(", ")),
            };
            let message = format!("run {} has no checkpoint `{name}`", self.name);
            return Err(Failure::new(code::INPUT, message, hint));
        }
        let place = r1x_model::checkpoint::place(&folder).map_err(PortError::from)?;
        let at = (place.cursor.stage, place.cursor.step);
        // A copy of one that the store knows, under whatever name.
        let card = self.cards.iter().find(|card| is_copy(card, &place)).cloned();
        if card.is_none() && place.run.as_deref() != Some(self.uid) {
            return Err(Failure::new(
                code::INPUT,
                format!("{} is no checkpoint of run {}", folder.display(), self.name),
                "name one that this run has made; weights of other runs cannot be gone on with",
            ));
        }
        Ok(Choice { name: name.to_owned(), folder, card, at })
    }

    /// Whether the place that a checkpoint gives is the one that the store gives it.
    ///
    /// # Errors
    /// In words, when it is another one, or none of the plan.
    pub fn check(&self, choice: &Choice, place: &Place) -> Result<(), String> {
        r1x_train::check_place(self.plan, &place.cursor, place.updates)
            .map_err(|error| format!("{}: {}", choice.folder.display(), error.message))?;
        match &choice.card {
            Some(card) if !agrees(card, &place.cursor) => Err(format!(
                "{}: it says it is after {} steps of stage {}, the store says after {} of stage {}",
                choice.folder.display(),
                place.cursor.step,
                place.cursor.stage,
                card.step,
                card.stage_index,
            )),
            _ => Ok(()),
        }
    }

    /// What is known of a choice before it is read.
    pub fn expected<'c>(&'c self, choice: &'c Choice) -> Expected<'c> {
        Expected {
            weights_sha256: choice.card.as_ref().map(|card| card.sha256.as_str()),
            state_sha256: choice.card.as_ref().and_then(|card| card.state_sha256.as_deref()),
            run: Some(self.uid),
        }
    }
}

/// What there is to choose from.
pub struct Choices {
    /// Checkpoints, the best first.
    pub choices: Vec<Choice>,
    /// Names of whole ones that the store does not know, and whose steps it has not recorded either; the newest last.
    pub beyond: Vec<String>,
}

/// Whether the store's place of a checkpoint is that of its cursor. One that was made between stages points at the
/// next one.
fn agrees(card: &CheckpointCard, cursor: &Cursor) -> bool {
    let (stage, step) = (card.stage_index, card.step.cast_unsigned());
    let same = cursor.stage as i64 == stage && cursor.step == step;
    let next = cursor.stage as i64 == stage + 1 && cursor.step == 0 && card.kind == "interrupt";
    same || next
}

fn is_copy(card: &CheckpointCard, place: &Place) -> bool {
    match &card.state_sha256 {
        Some(state) => *state == place.state_sha256,
        None => card.sha256 == place.weights_sha256 && agrees(card, &place.cursor),
    }
}

/// The folders in a folder, in the order of their names, without those that are being written.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let passing = |path: &PathBuf| {
        let name = path.to_string_lossy();
        name.ends_with(PARTIAL) || name.ends_with(REPLACED)
    };
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.is_dir() && !passing(path)).collect();
    paths.sort();
    paths
}

/// The name of a checkpoint as the store would give it.
fn relative(run: &Path, folder: &Path) -> Option<String> {
    let parts = folder.strip_prefix(run).ok()?.iter();
    let parts: Option<Vec<&str>> = parts.map(|part| part.to_str()).collect();
    Some(parts?.join("/"))
}
