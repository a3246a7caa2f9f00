//! Facts as rows: what each fact of a run adds to the store, inside a transaction.
//!
//! Must not know threads, connections or how a run began.

use std::collections::{HashMap, HashSet};

use r1x_core::facts::{CheckpointFacts, EvalFacts, EvalSample, StageFacts, StepFacts};
use r1x_core::plan::RecordPlan;
use r1x_core::problem::Problem;
use r1x_core::rollout::{
    CreditedGroup, GateState, RewardOutcome, RewardStatus, RewardTerm, RewardedRollout,
};

use crate::digest;
use crate::error::StoreError;
use crate::start::{hash_parts, hex, id, now_ms, reward_key};
use crate::writer::{Cell, Rows, Tx};

/// How long the parts of a step took.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct StepTiming {
    /// Sampling, milliseconds.
    pub generate_ms: f64,
    /// Scoring by the reward plugins, milliseconds.
    pub reward_ms: f64,
    /// Forward, backward and update, milliseconds.
    pub train_ms: f64,
}

/// A step with what the store adds to it.
#[derive(Debug)]
pub(crate) struct StepRecord {
    pub stage_id: i64,
    pub facts: StepFacts,
    pub timing: Option<StepTiming>,
    pub started_ms: i64,
    pub ended_ms: i64,
}

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
    run_id: i64,
    facts: &StageFacts,
    now_ms: i64,
) -> Result<i64, StoreError> {
    tx.insert(
        "INSERT INTO stage (run_id, idx, name, kind, status, attempt, start_step, started_ms)
         SELECT ?1, ?2, ?3, ?4, 'running', 1 + coalesce(max(attempt), 0), ?5, ?6
           FROM stage WHERE run_id = ?1 AND idx = ?2",
        [
            run_id.into(),
            facts.index.into(),
            (&facts.id).into(),
            facts.kind.into(),
            facts.start_step.into(),
            now_ms.into(),
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

/// What in a step's facts does not fit together, if anything: rows are never written for such a step.
pub(crate) fn misfit(facts: &StepFacts) -> Option<String> {
    let references = &facts.reference_logprobs;
    if !references.is_empty() && references.len() != facts.groups.len() {
        return Some(format!("{} groups, {} with reference", facts.groups.len(), references.len()));
    }
    for (g, group) in facts.groups.iter().enumerate() {
        let rollouts = &group.group.rollouts;
        if group.advantages.len() != rollouts.len() {
            return Some(format!("group {g}: one advantage per rollout is needed"));
        }
        if references.get(g).is_some_and(|group| group.len() != rollouts.len()) {
            return Some(format!("group {g}: one reference per rollout is needed"));
        }
        for (s, rollout) in rollouts.iter().enumerate() {
            let completion = &rollout.rollout.completion;
            let tokens = completion.tokens.len();
            let lists = [completion.logprobs.len(), completion.entropies.len()];
            if lists.iter().any(|&len| len != tokens && len != 0) {
                return Some(format!("rollout {g}.{s}: one log-prob per token is needed"));
            }
            // A rollout that is not trained on was not scored by the reference.
            let reference = references.get(g).and_then(|group| group.get(s));
            if reference.is_some_and(|r| !r.is_empty() && r.len() != tokens) {
                return Some(format!(
                    "rollout {g}.{s}: one reference log-prob per token is needed"
                ));
            }
            let lists = [rollout.outcomes.len(), rollout.terms.len()];
            if lists.iter().any(|&len| len != facts.rewards.len()) {
                return Some(format!("rollout {g}.{s}: one outcome and term per reward is needed"));
            }
        }
    }
    None
}

/// Everything a step leaves behind.
pub(crate) async fn step(
    tx: &mut Tx<'_>,
    record: &RecordPlan,
    reward_keys: &HashMap<String, i64>,
    step: &StepRecord,
) -> Result<(), StoreError> {
    let facts = &step.facts;
    tx.execute(
        "INSERT INTO step (stage_id, step, facts_sha256, gen_ms, reward_ms, train_ms, started_ms, ended_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            step.stage_id.into(),
            facts.step.into(),
            digest::step(facts).into(),
            step.timing.map(|timing| timing.generate_ms).into(),
            step.timing.map(|timing| timing.reward_ms).into(),
            step.timing.map(|timing| timing.train_ms).into(),
            step.started_ms.into(),
            step.ended_ms.into(),
        ],
    )
    .await?;
    metrics(tx, step).await?;
    if facts.groups.is_empty() {
        return Ok(());
    }
    let prompts = prompt_ids(tx, facts.groups.iter().map(|group| &group.group.problem)).await?;
    let keys = keys_of(tx, reward_keys, &facts.rewards).await?;
    let first: Option<(i64,)> =
        tx.fetch("SELECT coalesce(max(rollout_id), 0) + 1 FROM rollout", []).await?;
    let mut rows = StepRows::new(step, record, keys, first.map_or(1, |(id,)| id));
    for (g, group) in facts.groups.iter().enumerate() {
        rows.group(g, group, prompts[g]);
    }
    tx.insert_rows(rows.groups).await?;
    tx.insert_rows(rows.rollouts).await?;
    tx.insert_rows(rows.payloads).await?;
    tx.insert_rows(rows.rewards).await
}

/// Keys of rewards by name, in order; a reward that is no plugin of the run gets one of its own.
async fn keys_of(
    tx: &mut Tx<'_>,
    known: &HashMap<String, i64>,
    names: &[String],
) -> Result<Vec<i64>, StoreError> {
    let mut keys = Vec::with_capacity(names.len());
    for name in names {
        keys.push(match known.get(name) {
            Some(&key) => key,
            None => reward_key(tx, name, None, None).await?,
        });
    }
    Ok(keys)
}

async fn metrics(tx: &mut Tx<'_>, step: &StepRecord) -> Result<(), StoreError> {
    let mut rows = Rows::new("INSERT INTO metric (stage_id, key_id, step, idx, value, kind)");
    for (idx, (name, value)) in step.facts.metrics.iter().enumerate() {
        let key = metric_key(tx, name).await?;
        let (value, kind) = number(*value);
        rows.push([
            step.stage_id.into(),
            key.into(),
            step.facts.step.into(),
            idx.into(),
            value,
            kind,
        ]);
    }
    tx.insert_rows(rows).await
}

/// The rows of a step's groups, gathered before they are inserted.
struct StepRows<'a> {
    step: &'a StepRecord,
    record: &'a RecordPlan,
    keys: Vec<i64>,
    next_rollout: i64,
    groups: Rows,
    rollouts: Rows,
    payloads: Rows,
    rewards: Rows,
}

impl<'a> StepRows<'a> {
    fn new(
        step: &'a StepRecord,
        record: &'a RecordPlan,
        keys: Vec<i64>,
        next_rollout: i64,
    ) -> Self {
        Self {
            step,
            record,
            keys,
            next_rollout,
            groups: Rows::new(
                "INSERT INTO rollout_group (stage_id, step, grp, prompt_id, zero_signal, prompt_ids, data)",
            ),
            rollouts: Rows::new(
                "INSERT INTO rollout (rollout_id, stage_id, step, grp, sample, prompt_id, n_tokens, finish, \
                 reward, advantage, logp_sum, ref_diff, entropy_mean, unclipped)",
            ),
            payloads: Rows::new(
                "INSERT INTO rollout_payload (rollout_id, text, token_ids, logp, ref_logp, entropy)",
            ),
            rewards: Rows::new(
                "INSERT INTO reward (rollout_id, key_id, value, status, parts, info, clipped, gate, counted, \
                 weight, normalized)",
            ),
        }
    }

    fn group(&mut self, g: usize, group: &CreditedGroup, prompt_id: i64) {
        self.groups.push([
            self.step.stage_id.into(),
            self.step.facts.step.into(),
            g.into(),
            prompt_id.into(),
            group.zero_signal.into(),
            u32_bytes(&group.group.prompt_tokens).into(),
            (&group.group.problem.data).into(),
        ]);
        let step = self.step;
        for (s, rollout) in group.group.rollouts.iter().enumerate() {
            let reference = step.facts.reference_logprobs.get(g).and_then(|group| group.get(s));
            // NULL where the reference was not asked, as without one.
            let reference = reference.filter(|logprobs| !logprobs.is_empty());
            let advantage = group.advantages.get(s).copied();
            self.rollout([g, s], rollout, reference.map(Vec::as_slice), advantage, prompt_id);
        }
    }

    fn rollout(
        &mut self,
        [g, s]: [usize; 2],
        rollout: &RewardedRollout,
        reference: Option<&[f32]>,
        advantage: Option<f64>,
        prompt_id: i64,
    ) {
        let id = self.next_rollout;
        self.next_rollout += 1;
        let completion = &rollout.rollout.completion;
        let ref_diff = reference.and_then(|reference| {
            let pairs = completion.logprobs.iter().zip(reference);
            mean(pairs.map(|(own, other)| f64::from(*own) - f64::from(*other)))
        });
        self.rollouts.push([
            id.into(),
            self.step.stage_id.into(),
            self.step.facts.step.into(),
            g.into(),
            s.into(),
            prompt_id.into(),
            completion.tokens.len().into(),
            completion.finish.as_str().into(),
            rollout.total.into(),
            advantage.into(),
            completion.logprobs.iter().copied().map(f64::from).sum::<f64>().into(),
            ref_diff.into(),
            mean(completion.entropies.iter().copied().map(f64::from)).into(),
            rollout.unclipped.into(),
        ]);
        let RecordPlan { text, tokens, logprobs } = *self.record;
        if text || tokens || logprobs {
            self.payloads.push([
                id.into(),
                text.then_some(&rollout.rollout.text).into(),
                tokens.then(|| u32_bytes(&completion.tokens)).into(),
                logprobs.then(|| f32_bytes(&completion.logprobs)).into(),
                reference.filter(|_| logprobs).map(f32_bytes).into(),
                logprobs.then(|| f32_bytes(&completion.entropies)).into(),
            ]);
        }
        let outcomes = rollout.outcomes.iter().zip(&rollout.terms);
        for (&key, (outcome, term)) in self.keys.iter().zip(outcomes) {
            let RewardOutcome { value, status, parts, info } = outcome;
            if *status == RewardStatus::Unasked {
                continue;
            }
            let RewardTerm { clipped, gate, counted, weight, normalized } = term;
            self.rewards.push([
                id.into(),
                key.into(),
                (*value).into(),
                status.as_str().into(),
                parts_json(parts).into(),
                info.as_ref().into(),
                (*clipped).into(),
                gate.map(GateState::as_str).into(),
                (*counted).into(),
                (*weight).into(),
                (*normalized).into(),
            ]);
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
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
    let eval_id = tx
        .insert(
            "INSERT INTO eval_run (run_id, stage_id, label, step, suite, facts_sha256, ended_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                run_id.into(),
                stage_id.into(),
                (&facts.label).into(),
                facts.step.into(),
                (&facts.suite).into(),
                digest::evaluation(facts).into(),
                now_ms().into(),
            ],
        )
        .await?;
    samples(tx, eval_id, record, reward_keys, facts).await?;
    let mut rows = Rows::new(
        "INSERT INTO eval_result (eval_id, metric, idx, value, stderr, n_items, n_samples)",
    );
    for (idx, metric) in facts.metrics.iter().enumerate() {
        rows.push([
            eval_id.into(),
            (&metric.metric).into(),
            idx.into(),
            metric.value.into(),
            metric.stderr.into(),
            metric.n_items.into(),
            metric.n_samples.into(),
        ]);
    }
    tx.insert_rows(rows).await
}

/// The samples of an evaluation, and what every reward said about each.
async fn samples(
    tx: &mut Tx<'_>,
    eval_id: i64,
    record: &RecordPlan,
    reward_keys: &HashMap<String, i64>,
    facts: &EvalFacts,
) -> Result<(), StoreError> {
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
    for (item, (_, samples)) in facts.items.iter().enumerate() {
        for (index, sample) in samples.iter().enumerate() {
            let place = SamplePlace { id, eval_id, item, index, prompt_id: prompts[item] };
            rows.push(sample_row(place, record, sample));
            for (&key, outcome) in keys.iter().zip(&sample.outcomes) {
                let RewardOutcome { value, status, parts, info } = outcome;
                if *status == RewardStatus::Unasked {
                    continue;
                }
                rewards.push([
                    id.into(),
                    key.into(),
                    (*value).into(),
                    status.as_str().into(),
                    parts_json(parts).into(),
                    info.as_ref().into(),
                ]);
            }
            id += 1;
        }
    }
    tx.insert_rows(rows).await?;
    tx.insert_rows(rewards).await
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
        sample.gate.map(GateState::as_str).into(),
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
