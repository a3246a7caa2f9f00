//! A stage that an earlier run has run: its facts are copied, so that they are facts of this run as well.
//!
//! A copy costs room and makes a run whole: whoever asks about it, continues it, compares it or removes the earlier one need
//! not know of the other.

use r1x_core::facts::{CheckpointFacts, StageFacts};

use crate::error::StoreError;
use crate::read::reusable::StageOrigin;
use crate::writer::{Cell, Tx};

/// What is copied, in the order in which rows may refer to each other. Each statement knows the run (1) and the position (2)
/// that the facts are copied from, the run (3) and the stage (4) that they are copied to, and the largest numbers so far of a
/// rollout (5), an evaluation (6) and a sample (7), to which the old numbers are added.
const COPIES: [&str; 13] = [
    "INSERT INTO step (stage_id, step, facts_sha256, gen_ms, reward_ms, train_ms, store_ms, started_ms, ended_ms,
                       rows_sha256, dropped)
     SELECT ?4, t.step, t.facts_sha256, t.gen_ms, t.reward_ms, t.train_ms, t.store_ms, t.started_ms, t.ended_ms,
            t.rows_sha256, t.dropped
       FROM stage st JOIN step t USING (stage_id)
      WHERE st.run_id = ?1 AND st.idx = ?2 AND (st.superseded_from IS NULL OR t.step < st.superseded_from)",
    "INSERT INTO metric (stage_id, key_id, step, idx, value, kind)
     SELECT ?4, t.key_id, t.step, t.idx, t.value, t.kind
       FROM stage st JOIN metric t USING (stage_id)
      WHERE st.run_id = ?1 AND st.idx = ?2 AND (st.superseded_from IS NULL OR t.step < st.superseded_from)",
    "INSERT INTO rollout_group (stage_id, step, grp, prompt_id, zero_signal, prompt_ids, data)
     SELECT ?4, t.step, t.grp, t.prompt_id, t.zero_signal, t.prompt_ids, t.data
       FROM stage st JOIN rollout_group t USING (stage_id)
      WHERE st.run_id = ?1 AND st.idx = ?2 AND (st.superseded_from IS NULL OR t.step < st.superseded_from)
      ORDER BY t.step, t.grp",
    "INSERT INTO rollout (rollout_id, stage_id, step, grp, sample, prompt_id, n_tokens, finish, reward, advantage,
                          logp_sum, ref_diff, entropy_mean, unclipped)
     SELECT ?5 + t.rollout_id, ?4, t.step, t.grp, t.sample, t.prompt_id, t.n_tokens, t.finish, t.reward, t.advantage,
            t.logp_sum, t.ref_diff, t.entropy_mean, t.unclipped
       FROM stage st JOIN rollout t USING (stage_id)
      WHERE st.run_id = ?1 AND st.idx = ?2 AND (st.superseded_from IS NULL OR t.step < st.superseded_from)
      ORDER BY t.rollout_id",
    "INSERT INTO rollout_payload (rollout_id, text, token_ids, logp, ref_logp, entropy)
     SELECT n.rollout_id, t.text, t.token_ids, t.logp, t.ref_logp, t.entropy
       FROM rollout n JOIN rollout_payload t ON t.rollout_id = n.rollout_id - ?5
      WHERE n.stage_id = ?4 ORDER BY n.rollout_id",
    "INSERT INTO reward (rollout_id, key_id, value, status, parts, info, clipped, gate, counted, weight, normalized)
     SELECT n.rollout_id, t.key_id, t.value, t.status, t.parts, t.info, t.clipped, t.gate, t.counted, t.weight,
            t.normalized
       FROM rollout n JOIN reward t ON t.rollout_id = n.rollout_id - ?5
      WHERE n.stage_id = ?4 ORDER BY n.rollout_id",
    "INSERT INTO selection (rollout_id, dropped_by)
     SELECT n.rollout_id, t.dropped_by
       FROM rollout n JOIN selection t ON t.rollout_id = n.rollout_id - ?5
      WHERE n.stage_id = ?4 ORDER BY n.rollout_id",
    "INSERT INTO group_total (stage_id, step, grp, rollouts, mean, lowest, highest, tokens, truncated)
     SELECT ?4, t.step, t.grp, t.rollouts, t.mean, t.lowest, t.highest, t.tokens, t.truncated
       FROM stage st JOIN group_total t USING (stage_id)
      WHERE st.run_id = ?1 AND st.idx = ?2 AND (st.superseded_from IS NULL OR t.step < st.superseded_from)",
    "INSERT INTO reward_total (stage_id, step, key_id, status, weight, rollouts, judged, total, lowest, highest, adds,
                               example)
     SELECT ?4, t.step, t.key_id, t.status, t.weight, t.rollouts, t.judged, t.total, t.lowest, t.highest, t.adds,
            t.example
       FROM stage st JOIN reward_total t USING (stage_id)
      WHERE st.run_id = ?1 AND st.idx = ?2 AND (st.superseded_from IS NULL OR t.step < st.superseded_from)",
    "INSERT INTO eval_run (eval_id, run_id, stage_id, label, step, suite, facts_sha256, superseded, ended_ms,
                           rows_sha256)
     SELECT ?6 + t.eval_id, ?3, ?4, t.label, t.step, t.suite, t.facts_sha256, t.superseded, t.ended_ms, t.rows_sha256
       FROM stage st JOIN eval_run t USING (stage_id)
      WHERE st.run_id = ?1 AND st.idx = ?2 AND t.superseded = 0 ORDER BY t.eval_id",
    "INSERT INTO eval_sample (eval_sample_id, eval_id, item, sample, prompt_id, score, status, correct, n_tokens, finish,
                              text, token_ids, logp, value, gate)
     SELECT ?7 + t.eval_sample_id, n.eval_id, t.item, t.sample, t.prompt_id, t.score, t.status, t.correct, t.n_tokens,
            t.finish, t.text, t.token_ids, t.logp, t.value, t.gate
       FROM eval_run n JOIN eval_sample t ON t.eval_id = n.eval_id - ?6
      WHERE n.stage_id = ?4 ORDER BY t.eval_sample_id",
    "INSERT INTO eval_reward (eval_sample_id, key_id, value, status, parts, info)
     SELECT s.eval_sample_id, t.key_id, t.value, t.status, t.parts, t.info
       FROM eval_run n JOIN eval_sample s USING (eval_id)
       JOIN eval_reward t ON t.eval_sample_id = s.eval_sample_id - ?7
      WHERE n.stage_id = ?4 ORDER BY s.eval_sample_id",
    "INSERT INTO eval_result (eval_id, metric, idx, value, stderr, n_items, n_samples)
     SELECT n.eval_id, t.metric, t.idx, t.value, t.stderr, t.n_items, t.n_samples
       FROM eval_run n JOIN eval_result t ON t.eval_id = n.eval_id - ?6
      WHERE n.stage_id = ?4",
];

/// Whether a stage of this run (1), position (2) and key (3) is there, has ended and counts. Whoever looked for it did so before
/// this transaction, and numbers of runs that were removed are given again.
const IS_THERE: &str = "\
SELECT st.stage_id FROM stage st JOIN run r USING (run_id)
 WHERE r.uid = ?1 AND st.idx = ?2 AND st.key_sha256 = ?3 AND st.status = 'done' AND st.superseded_from IS NULL";

/// Copies a stage of an earlier run into a run, with the checkpoint that it ended with, and returns the number of the copy;
/// `None`, and nothing is written, where the stage is there no more.
pub(crate) async fn reuse(
    tx: &mut Tx<'_>,
    (run_id, key): (i64, &str),
    facts: &StageFacts,
    origin: &StageOrigin,
    checkpoint: Option<&CheckpointFacts>,
    now_ms: i64,
) -> Result<Option<i64>, StoreError> {
    let place: [Cell; 3] = [(&origin.uid).into(), origin.index.into(), key.into()];
    let there: Option<(i64,)> = tx.fetch(IS_THERE, place).await?;
    if there.is_none() {
        return Ok(None);
    }
    let stage_id = tx
        .insert(
            "INSERT INTO stage (run_id, idx, name, kind, status, attempt, start_step, weights_sha256, started_ms, ended_ms,
                                key_sha256, reused_from)
             SELECT ?1, ?2, ?3, ?4, 'done', 1 + coalesce(max(attempt), 0), 0, ?5, ?6, ?6, ?7, ?8
               FROM stage WHERE run_id = ?1 AND idx = ?2",
            [
                run_id.into(),
                facts.index.into(),
                (&facts.id).into(),
                facts.kind.into(),
                (&origin.weights_sha256).into(),
                now_ms.into(),
                key.into(),
                (&origin.uid).into(),
            ],
        )
        .await?;
    let largest: Option<(i64, i64, i64)> = tx
        .fetch(
            "SELECT (SELECT coalesce(max(rollout_id), 0) FROM rollout), (SELECT coalesce(max(eval_id), 0) FROM eval_run),
                    (SELECT coalesce(max(eval_sample_id), 0) FROM eval_sample)",
            [],
        )
        .await?;
    let (rollouts, evaluations, samples) = largest.unwrap_or_default();
    let numbers = [origin.run_id, origin.index, run_id, stage_id, rollouts, evaluations, samples];
    let cells: [Cell; 7] = numbers.map(Cell::Int);
    for copy in COPIES {
        tx.execute(copy, cells.clone()).await?;
    }
    if let Some(checkpoint) = checkpoint {
        super::checkpoint(tx, stage_id, checkpoint, now_ms).await?;
    }
    Ok(Some(stage_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables about a stage, a rollout or an evaluation that stay with the run they were written for: later scores of its
    /// rollouts, and its checkpoints, of which the last is linked by itself.
    const LEFT: [&str; 3] = ["rescore", "rescored", "checkpoint"];

    #[test]
    fn every_fact_of_a_stage_is_copied_with_every_column() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            crate::Store::open(&folder.path().join("r1x.sqlite"), crate::Mode::Write).unwrap();
        let rows = |sql: &str| -> Vec<String> {
            let query = sqlx::query_as::<_, (String,)>(sqlx::AssertSqlSafe(sql.to_owned()));
            store.reader().unwrap().all(query).unwrap().into_iter().map(|(name,)| name).collect()
        };
        let facts = ["stage", "rollout", "eval_run", "eval_sample", "rollout_group", "step"];
        let owned = rows(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        );
        let owned = owned.into_iter().filter(|table| {
            let of = rows(&format!("SELECT \"table\" FROM pragma_foreign_key_list('{table}')"));
            of.iter().any(|of| facts.contains(&of.as_str()))
        });
        let owned: Vec<String> = owned.filter(|table| !LEFT.contains(&table.as_str())).collect();
        assert_eq!(owned.len(), COPIES.len(), "{owned:?}");
        for table in owned {
            let head = format!("INSERT INTO {table} (");
            let copy = COPIES.iter().find(|copy| copy.starts_with(&head));
            let copy = copy.unwrap_or_else(|| panic!("{table} is not copied"));
            let named = copy[head.len()..].split(')').next().unwrap();
            let mut named: Vec<&str> = named.split(',').map(str::trim).collect();
            if table == "rollout_group" {
                // Nothing refers to its number, so it gets a new one.
                named.push("group_id");
            }
            let mut columns = rows(&format!("SELECT name FROM pragma_table_info('{table}')"));
            named.sort_unstable();
            columns.sort_unstable();
            assert_eq!(named, columns, "{table}");
        }
    }
}
