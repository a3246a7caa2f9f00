//! Stages that need not be run again: those of a key that are recorded whole.

use sqlx::query_as;

use crate::error::StoreError;
use crate::store::Store;
use crate::text::{MaybeText, Text};

/// A recorded stage that another run may take its facts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageOrigin {
    /// Number of its run in this store.
    pub run_id: i64,
    /// Name of its run.
    pub run: String,
    /// Identity of its run across stores.
    pub uid: String,
    /// Position of the stage in the plan of its run.
    pub index: i64,
    /// sha256 of the weights that it ended with, hex.
    pub weights_sha256: String,
    /// The checkpoint that it ended with; none where the stage makes no step.
    pub checkpoint: Option<OriginCheckpoint>,
}

/// A checkpoint that a recorded stage ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginCheckpoint {
    /// Path relative to the folder of its run.
    pub path: String,
    /// sha256 of the weights, hex.
    pub sha256: String,
    /// sha256 of its state, hex.
    pub state_sha256: String,
}

impl Store {
    /// The keys of the stages that a run has begun, by their positions, of all attempts that still count; `None` where a key
    /// was not known.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn stage_keys(&self, reference: &str) -> Result<Vec<(usize, Option<String>)>, StoreError> {
        let run_id = self.run(reference)?.run_id;
        let query = query_as(
            "SELECT idx, key_sha256 FROM stage
              WHERE run_id = ? AND (superseded_from IS NULL OR superseded_from > start_step) ORDER BY idx, attempt",
        );
        let rows: Vec<(i64, MaybeText)> = self.reader()?.all(query.bind(run_id))?;
        let key =
            |(index, key): (i64, MaybeText)| (usize::try_from(index).unwrap_or_default(), key.0);
        Ok(rows.into_iter().map(key).collect())
    }

    /// The recorded stages of a key that are done, count, and have all of their `steps` with all that was recorded of them: those that were computed before
    /// those that were taken over themselves, and among them the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn reusable(&self, key: &str, steps: u64) -> Result<Vec<StageOrigin>, StoreError> {
        type Row = (i64, Text, Text, i64, Text, MaybeText, MaybeText, MaybeText);
        let query = query_as(
            "SELECT r.run_id, r.name, r.uid, st.idx, st.weights_sha256, c.path, c.sha256, c.state_sha256
               FROM stage st JOIN run r USING (run_id)
               LEFT JOIN v_checkpoints c
                    ON c.run_id = st.run_id AND c.stage_idx = st.idx AND c.kind = 'stage' AND c.step = ?2
              WHERE st.key_sha256 = ?1 AND st.status = 'done' AND st.superseded_from IS NULL
                AND st.weights_sha256 IS NOT NULL
                AND (?2 = 0 OR c.state_sha256 IS NOT NULL)
                AND ?2 = (SELECT count(*) FROM v_steps t WHERE t.run_id = st.run_id AND t.stage_idx = st.idx)
                AND NOT EXISTS (SELECT 1 FROM stage a JOIN step t USING (stage_id)
                                 WHERE a.run_id = st.run_id AND a.idx = st.idx AND t.dropped IS NOT NULL)
              ORDER BY st.reused_from IS NOT NULL, st.ended_ms DESC, c.checkpoint_id DESC",
        );
        let steps = steps.cast_signed();
        let rows: Vec<Row> = self.reader()?.all(query.bind(key.to_owned()).bind(steps))?;
        let origin = |(
            run_id,
            Text(run),
            Text(uid),
            index,
            Text(weights_sha256),
            path,
            sha256,
            state,
        ): Row| {
            let checkpoint = match (path.0, sha256.0, state.0) {
                (Some(path), Some(sha256), Some(state_sha256)) => {
                    Some(OriginCheckpoint { path, sha256, state_sha256 })
                }
                _ => None,
            };
            StageOrigin { run_id, run, uid, index, weights_sha256, checkpoint }
        };
        Ok(rows.into_iter().map(origin).collect())
    }
}
