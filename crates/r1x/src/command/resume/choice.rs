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
use r1x_store::{CheckpointCard, RecordedSteps, StagePoint, Store, checkpoints_on_disk};

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
    /// The point that a run goes on from, to put choices in order.
    pub at: StagePoint,
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
    /// How far it is recorded.
    pub steps: RecordedSteps,
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
        let steps = store.recorded_steps(name)?;
        let folder = store.run_folder(name);
        // Where a program was stopped while a checkpoint took the name of an older one, the older one is what there is.
        r1x_model::checkpoint::take_back(&folder).map_err(|error| Failure::io(&folder, &error))?;
        let cards = store.checkpoints(name)?;
        Ok(Self { name, uid, plan, folder, cards, steps })
    }

    /// Every choice, the best first.
    pub fn choices(&self) -> Choices {
        let recorded = self.cards.iter().map(|card| self.recorded(card));
        let (known, mut beyond): (Vec<Choice>, Vec<Choice>) =
            self.strangers().into_iter().partition(|choice| self.steps.covers(choice.at));
        let mut choices: Vec<Choice> = known.into_iter().chain(recorded).collect();
        // Of one place, what the store knows comes first, and its later rows before earlier ones.
        choices.reverse();
        choices.sort_by_key(|choice| Reverse(choice.at));
        beyond.sort_by_key(|choice| choice.at);
        let beyond = beyond.into_iter().map(|choice| choice.name).collect();
        Choices { choices, beyond }
    }

    fn recorded(&self, card: &CheckpointCard) -> Choice {
        Choice {
            name: card.path.clone(),
            folder: self.folder.join(&card.path),
            at: card.point(),
            card: Some(card.clone()),
        }
    }

    /// Checkpoints in the run's folder that say they are of this run, and of which the store says nothing.
    fn strangers(&self) -> Vec<Choice> {
        let unknown = |name: &String| self.cards.iter().all(|card| card.path != *name);
        let mut found = Vec::new();
        for stage in folders(&self.folder) {
            for folder in folders(&stage) {
                let Some(name) = relative(&self.folder, &folder).filter(unknown) else { continue };
                let Some(at) = self.own(&folder).and_then(|cursor| self.point(&cursor)) else {
                    continue;
                };
                found.push(Choice { name, folder, card: None, at });
            }
        }
        found
    }

    /// Where a folder says that it is, if it says that it belongs to this run and its place is one of the plan.
    fn own(&self, folder: &Path) -> Option<Cursor> {
        let place = r1x_model::checkpoint::place(folder).ok()?;
        let cursor = place.cursor.of(self.plan)?;
        let fits = r1x_train::check_place(self.plan, &cursor, place.updates).is_ok();
        (fits && place.run.as_deref() == Some(self.uid)).then_some(cursor)
    }

    /// The point of the run at which a cursor is; `None` when the plan has no such stage.
    pub fn point(&self, cursor: &Cursor) -> Option<StagePoint> {
        Some(StagePoint { stage: self.plan.stage_index(cursor)?, step: cursor.step })
    }

    /// The point of the run at which a checkpoint says it is.
    fn point_of(&self, place: &Place) -> Option<StagePoint> {
        self.point(&place.cursor.of(self.plan)?)
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
            let hint = match checkpoints_on_disk(&self.cards).as_slice() {
                [] => "none of its checkpoints is left in the run's folder".to_owned(),
                names => format!("it has {}", names.join(", ")),
            };
            let message = format!("run {} has no checkpoint `{name}`", self.name);
            return Err(Failure::new(code::INPUT, message, hint));
        }
        let place = r1x_model::checkpoint::place(&folder).map_err(PortError::from)?;
        let point = self.point_of(&place);
        // A copy of one that the store knows, under whatever name.
        let is_copy = |card: &&CheckpointCard| {
            card.is_copy(&place.weights_sha256, &place.state_sha256, point)
        };
        let card = self.cards.iter().find(is_copy).cloned();
        if card.is_none() && place.run.as_deref() != Some(self.uid) {
            return Err(Failure::new(
                code::INPUT,
                format!("{} is no checkpoint of run {}", folder.display(), self.name),
                "name one that this run has made; weights of other runs cannot be gone on with",
            ));
        }
        let at = point.unwrap_or(StagePoint { stage: 0, step: 0 });
        Ok(Choice { name: name.to_owned(), folder, card, at })
    }

    /// The cursor of a checkpoint, if its place is one of the plan and the one that the store gives it.
    ///
    /// # Errors
    /// In words, when it is another one, or none of the plan.
    pub fn check(&self, choice: &Choice, place: &Place) -> Result<Cursor, String> {
        let folder = choice.folder.display();
        let Some(cursor) = place.cursor.of(self.plan) else {
            return Err(format!("{folder}: it is of a stage that this plan does not have"));
        };
        r1x_train::check_place(self.plan, &cursor, place.updates)
            .map_err(|error| format!("{folder}: {}", error.message))?;
        match &choice.card {
            Some(card) if !self.point(&cursor).is_some_and(|at| card.leads_to(at)) => Err(format!(
                "{folder}: it says it is after {} steps of stage `{}`, the store says after {} of stage `{}`",
                cursor.step,
                cursor.stage.as_deref().unwrap_or_default(),
                card.step,
                card.stage,
            )),
            _ => Ok(cursor),
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
