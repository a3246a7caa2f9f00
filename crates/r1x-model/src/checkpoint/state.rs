//! `state.json`: whose checkpoint it is, where to go on, and the hashes of the other two files.

use std::io;
use std::path::Path;

use r1x_core::plan::RunPlan;
use r1x_core::port::Cursor;

use super::folder::{Written, file, read, torn};
use super::{Expected, Place, sha256};
use crate::error::ModelError;

/// The name of the file.
pub(crate) const STATE: &str = "state.json";

/// More than any state takes, bytes.
const MOST_BYTES: u64 = 64 << 10;

/// The format that is written.
pub(super) const FORMAT: u32 = 3;

/// What `state.json` holds. Format 1 had neither `run` nor `seal`, and named a stage by its position, as format 2 did.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct State {
    pub(super) format: u32,
    /// Identity of the run it belongs to; empty outside of runs.
    #[serde(default)]
    pub(super) run: String,
    pub(super) cursor: SavedCursor,
    pub(super) updates: u64,
    pub(super) model_sha256: String,
    pub(super) optimizer_sha256: String,
    /// Of the state of the critic inside, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) critic_state_sha256: Option<String>,
    /// Whether it is the critic inside another checkpoint.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_critic: bool,
    /// sha256 over everything above. It keeps nobody from changing things who means to, but whoever edits the file
    /// finds out.
    #[serde(default)]
    pub(super) seal: String,
}

/// A cursor as it is written: a stage by its id, or in formats before 3 by its position.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SavedCursor {
    stage: SavedStage,
    step: u64,
    drawn: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
enum SavedStage {
    Index(usize),
    Id(Option<String>),
}

impl From<&Cursor> for SavedCursor {
    fn from(cursor: &Cursor) -> Self {
        let Cursor { stage, step, drawn } = cursor.clone();
        Self { stage: SavedStage::Id(stage), step, drawn }
    }
}

impl SavedCursor {
    /// The cursor in a plan; `None` when it names a position that the plan does not have.
    pub fn of(&self, plan: &RunPlan) -> Option<Cursor> {
        let Self { stage, step, drawn } = self.clone();
        let stage = match stage {
            SavedStage::Id(id) => id,
            SavedStage::Index(index) => Some(plan.stages.get(index)?.id.clone()),
        };
        Some(Cursor { stage, step, drawn })
    }
}

impl State {
    /// The state with its seal.
    pub(super) fn sealed(self) -> Result<Self, serde_json::Error> {
        let open = Self { seal: String::new(), ..self };
        let seal = sha256(&serde_json::to_vec(&open)?);
        Ok(Self { seal, ..open })
    }

    /// Writes the state into the folder of a checkpoint, with its seal.
    pub(super) fn write(self, folder: &Path) -> io::Result<Written> {
        let json = serde_json::to_vec_pretty(&self.sealed()?)?;
        file(folder, STATE, |to| to.write_all(&json))
    }

    /// What the state says about its checkpoint, with the hash of the file it was read from.
    pub(super) fn place(self, state_sha256: String) -> Place {
        let Self { format, run, cursor, updates, model_sha256, critic_state_sha256, .. } = self;
        let run = (format > 1 && !run.is_empty()).then_some(run);
        let weights_sha256 = model_sha256;
        Place { run, cursor, updates, weights_sha256, state_sha256, critic_state_sha256 }
    }

    /// Reads the state of a checkpoint and compares it with what is known of it; also gives the hash of the file.
    ///
    /// # Errors
    /// When there is no state, or it was changed, or it is not what is expected.
    pub(super) fn read(
        folder: &Path,
        expected: &Expected<'_>,
    ) -> Result<(Self, String), ModelError> {
        let bytes = read(folder, STATE, MOST_BYTES)?;
        let state_sha256 = sha256(&bytes);
        let error = |reason: &str| Err(torn(folder, STATE, reason));
        let state: Self =
            serde_json::from_slice(&bytes).map_err(|e| torn(folder, STATE, e.to_string()))?;
        if state.format == 0 || state.format > FORMAT {
            let found = state.format;
            return error(&format!("has format {found}, this r1x reads formats 1 to {FORMAT}"));
        }
        if state.format > 1 {
            let sealed = state.clone().sealed().map_err(|e| torn(folder, STATE, e.to_string()))?;
            if sealed.seal != state.seal {
                return error("it was changed after it was written");
            }
            if expected.run.is_some_and(|run| run != state.run) {
                return error("it belongs to another run");
            }
        }
        if expected.weights_sha256.is_some_and(|known| known != state.model_sha256) {
            return error("it belongs to other weights than those that were recorded");
        }
        if expected.state_sha256.is_some_and(|known| known != state_sha256) {
            return error(
                "it is not the state that was recorded: it was changed, or is of another run",
            );
        }
        Ok((state, state_sha256))
    }
}
