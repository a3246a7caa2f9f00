//! Checkpoints of a run, as they are recorded, and whether a folder can be one of them.

use r1x_core::CheckpointKind;
use sqlx::query_as;

use super::summary::RunSummary;
use crate::error::StoreError;
use crate::run_resume::StagePoint;
use crate::store::Store;
use crate::text::{MaybeText, Text};

/// A checkpoint of a run.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CheckpointCard {
    /// Position of the stage in the plan.
    pub stage_index: i64,
    /// Id of the stage.
    pub stage: String,
    /// Steps of the stage done.
    pub step: i64,
    /// `step`, `stage` or `interrupt`.
    pub kind: String,
    /// Path relative to the run's folder.
    pub path: String,
    /// sha256 of the weights, hex.
    pub sha256: String,
    /// sha256 of its state, hex; none in runs of earlier versions.
    pub state_sha256: Option<String>,
    /// Size on disk, bytes.
    pub bytes: i64,
    /// When it was written, milliseconds since 1970.
    pub created_ms: i64,
    /// Whether it is still on disk: old periodic ones are removed.
    pub exists: bool,
}

impl CheckpointCard {
    /// The point of the run that it was made at.
    pub fn point(&self) -> StagePoint {
        let stage = usize::try_from(self.stage_index).unwrap_or(0);
        StagePoint { stage, step: self.step.cast_unsigned() }
    }

    /// Whether a run goes on at this point from it. A checkpoint that was made when a run was interrupted between two
    /// stages is recorded at the end of the first one and goes on at the beginning of the next.
    pub fn leads_to(&self, point: StagePoint) -> bool {
        let next = StagePoint { stage: self.point().stage + 1, step: 0 };
        let interrupted = self.kind == CheckpointKind::Interrupt.as_str();
        point == self.point() || (interrupted && point == next)
    }

    /// Whether a checkpoint with these hashes, from which a run goes on at `point`, is this one or a copy of it.
    pub fn is_copy(
        &self,
        weights_sha256: &str,
        state_sha256: &str,
        point: Option<StagePoint>,
    ) -> bool {
        match &self.state_sha256 {
            Some(state) => state == state_sha256,
            // Runs of earlier versions have no hash of the state, so the place is compared.
            None => {
                self.sha256 == weights_sha256 && point.is_some_and(|point| self.leads_to(point))
            }
        }
    }
}

/// Names of the checkpoints that are still on disk, in their order.
pub fn checkpoints_on_disk(checkpoints: &[CheckpointCard]) -> Vec<&str> {
    checkpoints.iter().filter(|card| card.exists).map(|card| card.path.as_str()).collect()
}

impl Store {
    pub(super) fn checkpoints_of(
        &self,
        run: &RunSummary,
    ) -> Result<Vec<CheckpointCard>, StoreError> {
        type Row = (i64, Text, i64, Text, Text, Text, MaybeText, i64, i64);
        let query =
            "SELECT stage_idx, stage, step, kind, path, sha256, state_sha256, bytes, created_ms
                       FROM v_checkpoints WHERE run_id = ? ORDER BY stage_idx, step, checkpoint_id";
        let rows: Vec<Row> = self.reader()?.all(query_as(query).bind(run.run_id))?;
        let folder = self.run_folder(&run.name);
        let card = |row: Row| {
            let (stage_index, stage, step, kind, path, sha256, state_sha256, bytes, created_ms) =
                row;
            let exists = folder.join(&path.0).exists();
            CheckpointCard {
                stage_index,
                stage: stage.into(),
                step,
                kind: kind.into(),
                path: path.into(),
                sha256: sha256.into(),
                state_sha256: state_sha256.into(),
                bytes,
                created_ms,
                exists,
            }
        };
        Ok(rows.into_iter().map(card).collect())
    }

    /// Checkpoints of a run that still count, in the order of training.
    pub fn checkpoints(&self, reference: &str) -> Result<Vec<CheckpointCard>, StoreError> {
        let run = self.run(reference)?;
        self.checkpoints_of(&run)
    }
}
