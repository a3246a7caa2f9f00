//! Facts as rows: what each fact of a run adds to the store, inside a transaction.

pub(crate) mod import;
mod kept;
mod reuse;
mod step;

use std::collections::{HashMap, HashSet};

use r1x_core::digest::hex;
use r1x_core::facts::{CheckpointFacts, EvalFacts, EvalSample, StageFacts, StepFacts};
use r1x_core::plan::RecordPlan;
use r1x_core::problem::Problem;
use r1x_core::rollout::{
    ConditionState, CreditedGroup, RewardOutcome, RewardStatus, RewardTerm, RewardedRollout,
};

pub(crate) use self::kept::{KEPT, KeptRow, kept, kept_of};
pub(crate) use self::reuse::reuse;
pub use self::step::StepTiming;
use self::step::keys_of;
pub(crate) use self::step::{StepRecord, misfit, step};
use crate::digest;
use crate::error::StoreError;
use crate::read::rollout::u32_list;
use crate::row_hash::{RowHash, table};
use crate::run_begin::{hash_parts, id, reward_key};
use crate::sitting::now_ms;
use crate::text::{MaybeText, Text};
use crate::writer::{Cell, Rows, Tx};

/// Numbers as bytes, little endian.
pub(crate) fn u32_bytes(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Numbers as bytes, little endian: every bit survives.
pub(crate) fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Named sub-scores as a JSON object. JSON has no NaN or infinity: these are written as strings.
struct Parts<'a>(&'a [(String, f64)]);

impl serde::Serialize for Parts<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            if value.is_finite() {
                map.serialize_entry(name, value)?;
            } else {
                map.serialize_entry(name, &value.to_string())?;
            }
        }
        map.end()
    }
}

/// Sub-scores as text; none when there are none. Strings and numbers always become JSON.
pub(crate) fn parts_json(parts: &[(String, f64)]) -> Option<String> {
    if parts.is_empty() {
        return None;
    }
    serde_json::to_string(&Parts(parts)).ok()
}

/// A value and, when SQLite cannot hold it, what it is.
fn number(value: f64) -> (Cell, Cell) {
    if value.is_nan() {
        (Cell::Null, "nan".into())
    } else if value.is_infinite() {
        (Cell::Null, if value > 0.0 { "inf" } else { "-inf" }.into())
    } else {
        (value.into(), Cell::Null)
    }
}

fn prompt_hash(problem: &Problem, columns: &str) -> [u8; 32] {
    hash_parts([
        Some(problem.key.as_bytes()),
        Some(problem.prompt.as_bytes()),
        problem.answer.as_ref().map(String::as_bytes),
        problem.solution.as_ref().map(String::as_bytes),
        Some(columns.as_bytes()),
    ])
}

/// Ids of problems, in order; problems the store has not seen are added.
async fn prompt_ids<'p>(
    tx: &mut Tx<'_>,
    problems: impl Iterator<Item = &'p Problem>,
) -> Result<Vec<i64>, StoreError> {
    let mut hashes = Vec::new();
    let mut wanted = HashSet::new();
    let mut rows =
        Rows::new("INSERT OR IGNORE INTO prompt (sha256, key, text, answer, solution, columns)");
    for problem in problems {
        let columns = serde_json::to_string(&problem.columns).unwrap_or_else(|_| "{}".into());
        let hash = prompt_hash(problem, &columns);
        hashes.push(hash);
        if tx.known.prompts.contains_key(&hash) || !wanted.insert(hash) {
            continue;
        }
        rows.push([
            hash.to_vec().into(),
            (&problem.key).into(),
            (&problem.prompt).into(),
            problem.answer.as_ref().into(),
            problem.solution.as_ref().into(),
            columns.into(),
        ]);
    }
    if !wanted.is_empty() {
        tx.insert_rows(rows).await?;
        let list: Vec<String> = wanted.iter().map(|hash| hex(hash)).collect();
        let list = serde_json::Value::from(list).to_string();
        let found: Vec<(Vec<u8>, i64)> = tx
            .fetch_all(
                "SELECT sha256, prompt_id FROM prompt
                  WHERE sha256 IN (SELECT unhex(value) FROM json_each(?))",
                [list.into()],
            )
            .await?;
        for (hash, id) in found {
            if let Ok(hash) = <[u8; 32]>::try_from(hash) {
                tx.fresh.prompts.insert(hash, id);
            }
        }
    }
    let find = |hash| tx.known.prompts.get(hash).or_else(|| tx.fresh.prompts.get(hash)).copied();
    let ids: Option<Vec<i64>> = hashes.iter().map(find).collect();
    ids.ok_or_else(|| tx.internal("a prompt was not stored".into()))
}

async fn metric_key(tx: &mut Tx<'_>, name: &str) -> Result<i64, StoreError> {
    if let Some(&id) = tx.known.metrics.get(name).or_else(|| tx.fresh.metrics.get(name)) {
        return Ok(id);
    }
    let insert = "INSERT INTO metric_key (name) VALUES (?) ON CONFLICT DO NOTHING";
    tx.execute(insert, [name.into()]).await?;
    let key = id(tx, "SELECT key_id FROM metric_key WHERE name = ?", [name.into()]).await?;
    tx.fresh.metrics.insert(name.to_owned(), key);
    Ok(key)
}

/// Adds an attempt of a stage and returns its id.
pub(crate) async fn stage_started(
    tx: &mut Tx<'_>,
    (run_id, key): (i64, Option<&str>),
    facts: &StageFacts,
    now_ms: i64,
) -> Result<i64, StoreError> {
    tx.insert(
        "INSERT INTO stage (run_id, idx, name, kind, status, attempt, start_step, started_ms, key_sha256)
         SELECT ?1, ?2, ?3, ?4, 'running', 1 + coalesce(max(attempt), 0), ?5, ?6, ?7
           FROM stage WHERE run_id = ?1 AND idx = ?2",
        [
            run_id.into(),
            facts.index.into(),
            (&facts.id).into(),
            facts.kind.into(),
            facts.start_step.into(),
            now_ms.into(),
            key.into(),
        ],
    )
    .await
}

/// Marks a stage as done.
pub(crate) async fn stage_finished(
    tx: &mut Tx<'_>,
    stage_id: i64,
    weights_sha256: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE stage SET status = 'done', weights_sha256 = ?, ended_ms = ? WHERE stage_id = ?",
        [weights_sha256.into(), now_ms.into(), stage_id.into()],
    )
    .await
    .map(|_| ())
}

/// Where an evaluation belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EvalPlace {
    pub run_id: i64,
    /// None before the first stage.
    pub stage_id: Option<i64>,
}

/// One evaluation with all its samples. An earlier one of the same place is superseded.
pub(crate) async fn evaluation(
    tx: &mut Tx<'_>,
    place: EvalPlace,
    record: &RecordPlan,
    reward_keys: &HashMap<String, i64>,
    facts: &EvalFacts,
) -> Result<(), StoreError> {
    let EvalPlace { run_id, stage_id } = place;
    tx.execute(
        "UPDATE eval_run SET superseded = 1 WHERE run_id = ? AND suite = ? AND step = ? AND label = ?",
        [run_id.into(), (&facts.suite).into(), facts.step.into(), (&facts.label).into()],
    )
    .await?;
    let next: Option<(i64,)> =
        tx.fetch("SELECT coalesce(max(eval_id), 0) + 1 FROM eval_run", []).await?;
    let eval_id = next.map_or(1, |(id,)| id);
    let mut hash = RowHash::default();
    let (samples, rewards) = samples(tx, (eval_id, &mut hash), record, reward_keys, facts).await?;
    let mut rows = Rows::new(
        "INSERT INTO eval_result (eval_id, metric, idx, value, stderr, n_items, n_samples)",
    );
    for (idx, metric) in facts.metrics.iter().enumerate() {
        let row = [
            eval_id.into(),
            (&metric.metric).into(),
            idx.into(),
            metric.value.into(),
            metric.stderr.into(),
            metric.n_items.into(),
            metric.n_samples.into(),
        ];
        hash.add(table::RESULT, &[], &row[1..]);
        rows.push(row);
    }
    tx.execute(
        "INSERT INTO eval_run (eval_id, run_id, stage_id, label, step, suite, facts_sha256, rows_sha256, ended_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            eval_id.into(),
            run_id.into(),
            stage_id.into(),
            (&facts.label).into(),
            facts.step.into(),
            (&facts.suite).into(),
            digest::evaluation(facts).into(),
            hash.finish().into(),
            now_ms().into(),
        ],
    )
    .await?;
    tx.insert_rows(samples).await?;
    tx.insert_rows(rewards).await?;
    tx.insert_rows(rows).await
}

/// The rows of the samples of an evaluation, and those of what every reward said about each.
async fn samples(
    tx: &mut Tx<'_>,
    (eval_id, hash): (i64, &mut RowHash),
    record: &RecordPlan,
    reward_keys: &HashMap<String, i64>,
    facts: &EvalFacts,
) -> Result<(Rows, Rows), StoreError> {
    let prompts = prompt_ids(tx, facts.items.iter().map(|(problem, _)| problem)).await?;
    let keys = keys_of(tx, reward_keys, &facts.rewards).await?;
    let first: Option<(i64,)> =
        tx.fetch("SELECT coalesce(max(eval_sample_id), 0) + 1 FROM eval_sample", []).await?;
    let mut id = first.map_or(1, |(id,)| id);
    let mut rows = Rows::new(
        "INSERT INTO eval_sample (eval_sample_id, eval_id, item, sample, prompt_id, score, status, correct, n_tokens, finish, \
         text, token_ids, logp, value, gate)",
    );
    let mut rewards =
        Rows::new("INSERT INTO eval_reward (eval_sample_id, key_id, value, status, parts, info)");
    for (item, (problem, samples)) in facts.items.iter().enumerate() {
        for (index, sample) in samples.iter().enumerate() {
            let place = SamplePlace { id, eval_id, item, index, prompt_id: prompts[item] };
            let row = sample_row(place, record, sample);
            hash.add(table::SAMPLE, &[item.into(), index.into(), (&problem.key).into()], &row[5..]);
            rows.push(row);
            for ((&key, name), outcome) in keys.iter().zip(&facts.rewards).zip(&sample.outcomes) {
                let RewardOutcome { value, status, parts, info } = outcome;
                if *status == RewardStatus::Unasked {
                    continue;
                }
                let row = [
                    id.into(),
                    key.into(),
                    (*value).into(),
                    status.as_str().into(),
                    parts_json(parts).into(),
                    info.as_ref().into(),
                ];
                let place = [item.into(), index.into(), name.into()];
                hash.add(table::SAMPLE_REWARD, &place, &row[2..]);
                rewards.push(row);
            }
            id += 1;
        }
    }
    Ok((rows, rewards))
}

/// Where a sample of an evaluation belongs.
struct SamplePlace {
    id: i64,
    eval_id: i64,
    item: usize,
    index: usize,
    prompt_id: i64,
}

fn sample_row(place: SamplePlace, record: &RecordPlan, sample: &EvalSample) -> [Cell; 15] {
    [
        place.id.into(),
        place.eval_id.into(),
        place.item.into(),
        place.index.into(),
        place.prompt_id.into(),
        sample.score.into(),
        sample.status.as_str().into(),
        sample.correct.into(),
        sample.tokens.len().into(),
        sample.finish.as_str().into(),
        record.text.then_some(&sample.text).into(),
        record.tokens.then(|| u32_bytes(&sample.tokens)).into(),
        record.logprobs.then(|| f32_bytes(&sample.logprobs)).into(),
        sample.value.into(),
        sample.condition.map(ConditionState::as_str).into(),
    ]
}

/// A checkpoint on disk.
pub(crate) async fn checkpoint(
    tx: &mut Tx<'_>,
    stage_id: i64,
    facts: &CheckpointFacts,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO checkpoint (stage_id, step, kind, path, sha256, state_sha256, bytes, created_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            stage_id.into(),
            facts.step.into(),
            facts.kind.as_str().into(),
            (&facts.path).into(),
            (&facts.sha256).into(),
            (&facts.state_sha256).into(),
            facts.bytes.into(),
            now_ms.into(),
        ],
    )
    .await
    .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_survive_json() {
        let parts =
            [("used".to_owned(), 3.0), ("ratio".to_owned(), 0.1), ("bad".to_owned(), f64::NAN)];
        assert_eq!(parts_json(&parts).unwrap(), r#"{"used":3.0,"ratio":0.1,"bad":"NaN"}"#);
        assert_eq!(parts_json(&[]), None);
    }

    #[test]
    fn a_number_that_is_none_is_named() {
        assert_eq!(number(1.5), (Cell::Real(1.5), Cell::Null));
        assert_eq!(number(f64::NEG_INFINITY), (Cell::Null, "-inf".into()));
        assert_eq!(number(f64::NAN), (Cell::Null, "nan".into()));
    }
}
