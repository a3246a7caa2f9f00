//! A step as rows: its groups and rollouts, what every reward said, advantages and metrics.

use std::collections::HashMap;

use r1x_core::FinishReason;
use r1x_core::select::Verdict;

use super::*;
use crate::row_hash::{RowHash, table};
use crate::run_writer::Advantages;

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

/// What in a step's facts does not fit together, if anything: rows are never written for such a step.
pub(crate) fn misfit(facts: &StepFacts, advantages: Advantages) -> Option<String> {
    let references = &facts.reference_logprobs;
    if !references.is_empty() && references.len() != facts.groups.len() {
        return Some(format!("{} groups, {} with reference", facts.groups.len(), references.len()));
    }
    let verdicts = &facts.verdicts;
    if !verdicts.is_empty() && verdicts.len() != facts.groups.len() {
        return Some(format!("{} groups, {} with verdicts", facts.groups.len(), verdicts.len()));
    }
    for (g, group) in facts.groups.iter().enumerate() {
        let rollouts = &group.group.rollouts;
        // Nobody compares the rollouts of a stage that makes data, or those that no reward judges.
        let compared = verdicts.is_empty() && !facts.rewards.is_empty();
        let credited = if compared { rollouts.len() } else { 0 };
        let known = [0, rollouts.len()].contains(&group.advantages.len());
        let fits =
            group.advantages.len() == credited || (advantages == Advantages::WhereKnown && known);
        if !fits {
            return Some(format!("group {g}: {credited} advantages are needed"));
        }
        if verdicts.get(g).is_some_and(|group| group.len() != rollouts.len()) {
            return Some(format!("group {g}: one verdict per rollout is needed"));
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
    let mut hash = RowHash::default();
    let metrics = metrics(tx, step, &mut hash).await?;
    let rows = match facts.groups.is_empty() {
        true => None,
        false => Some(step_rows(tx, record, reward_keys, step).await?),
    };
    hash = rows.as_ref().map_or(hash, |rows| hash.with(rows.hash));
    tx.execute(
        "INSERT INTO step (stage_id, step, facts_sha256, rows_sha256, gen_ms, reward_ms, train_ms, started_ms, ended_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            step.stage_id.into(),
            facts.step.into(),
            digest::step(facts).into(),
            hash.finish().into(),
            step.timing.map(|timing| timing.generate_ms).into(),
            step.timing.map(|timing| timing.reward_ms).into(),
            step.timing.map(|timing| timing.train_ms).into(),
            step.started_ms.into(),
            step.ended_ms.into(),
        ],
    )
    .await?;
    tx.insert_rows(metrics).await?;
    let Some(rows) = rows else { return Ok(()) };
    tx.insert_rows(rows.groups).await?;
    tx.insert_rows(rows.rollouts).await?;
    tx.insert_rows(rows.payloads).await?;
    tx.insert_rows(rows.selections).await?;
    tx.insert_rows(rows.rewards).await?;
    for totals in TOTALS {
        tx.execute(totals, [step.stage_id.into(), facts.step.into()]).await?;
    }
    Ok(())
}

/// What the rows of a step (2) of an attempt of a stage (1) come to. The views say what that is.
const TOTALS: [&str; 2] = [
    "INSERT INTO group_total (stage_id, step, grp, rollouts, mean, lowest, highest, tokens, truncated)
     SELECT stage_id, step, grp, rollouts, mean, lowest, highest, tokens, truncated
       FROM computed_group_total WHERE stage_id = ? AND step = ?",
    "INSERT INTO reward_total (stage_id, step, key_id, status, weight, rollouts, judged, total, lowest, highest, adds,
                               example)
     SELECT stage_id, step, key_id, status, weight, rollouts, judged, total, lowest, highest, adds, example
       FROM computed_reward_total WHERE stage_id = ? AND step = ?",
];

/// The rows of a step's groups; what they refer to is added where the store has not seen it.
async fn step_rows<'a>(
    tx: &mut Tx<'_>,
    record: &'a RecordPlan,
    reward_keys: &HashMap<String, i64>,
    step: &'a StepRecord,
) -> Result<StepRows<'a>, StoreError> {
    let facts = &step.facts;
    let prompts = prompt_ids(tx, facts.groups.iter().map(|group| &group.group.problem)).await?;
    let keys = keys_of(tx, reward_keys, &facts.rewards).await?;
    let first: Option<(i64,)> =
        tx.fetch("SELECT coalesce(max(rollout_id), 0) + 1 FROM rollout", []).await?;
    let mut rows = StepRows::new(step, record, keys, first.map_or(1, |(id,)| id));
    for (g, group) in facts.groups.iter().enumerate() {
        rows.group(g, group, prompts[g]);
    }
    Ok(rows)
}

/// Keys of rewards by name, in order; a reward that is no plugin of the run gets one of its own.
pub(super) async fn keys_of(
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

/// The rows of a step's metrics, which are added to the hash.
async fn metrics(
    tx: &mut Tx<'_>,
    step: &StepRecord,
    hash: &mut RowHash,
) -> Result<Rows, StoreError> {
    let mut rows = Rows::new("INSERT INTO metric (stage_id, key_id, step, idx, value, kind)");
    for (idx, (name, value)) in step.facts.metrics.iter().enumerate() {
        let key = metric_key(tx, name).await?;
        let (value, kind) = number(*value);
        let row =
            [step.stage_id.into(), key.into(), step.facts.step.into(), idx.into(), value, kind];
        hash.add(table::METRIC, &[name.into()], &row[3..]);
        rows.push(row);
    }
    Ok(rows)
}

/// What a step says of a rollout beside the rollout itself.
struct Beside<'a> {
    reference: Option<&'a [f32]>,
    advantage: Option<f64>,
    verdict: Option<&'a Verdict>,
}

/// The rows of a step's groups, gathered before they are inserted.
struct StepRows<'a> {
    step: &'a StepRecord,
    record: &'a RecordPlan,
    keys: Vec<i64>,
    next_rollout: i64,
    hash: RowHash,
    groups: Rows,
    rollouts: Rows,
    payloads: Rows,
    selections: Rows,
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
            hash: RowHash::default(),
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
            selections: Rows::new("INSERT INTO selection (rollout_id, dropped_by)"),
            rewards: Rows::new(
                "INSERT INTO reward (rollout_id, key_id, value, status, parts, info, clipped, gate, counted, \
                 weight, normalized)",
            ),
        }
    }

    fn group(&mut self, g: usize, group: &CreditedGroup, prompt_id: i64) {
        let key = &group.group.problem.key;
        let row = [
            self.step.stage_id.into(),
            self.step.facts.step.into(),
            g.into(),
            prompt_id.into(),
            group.zero_signal.into(),
            u32_bytes(&group.group.prompt_tokens).into(),
            (&group.group.problem.data).into(),
        ];
        self.hash.add(table::GROUP, &[g.into(), key.into()], &row[4..]);
        self.groups.push(row);
        let step = self.step;
        for (s, rollout) in group.group.rollouts.iter().enumerate() {
            let reference = step.facts.reference_logprobs.get(g).and_then(|group| group.get(s));
            // NULL where the reference was not asked, as without one.
            let reference = reference.filter(|logprobs| !logprobs.is_empty());
            let advantage = group.advantages.get(s).copied();
            let verdict = step.facts.verdicts.get(g).and_then(|group| group.get(s));
            if let Some(verdict) = verdict {
                let row =
                    [self.next_rollout.into(), verdict.dropped_by().map(str::to_owned).into()];
                self.hash.add(table::SELECTION, &[g.into(), s.into()], &row[1..]);
                self.selections.push(row);
            }
            let of = Beside { reference: reference.map(Vec::as_slice), advantage, verdict };
            self.rollout([g, s], rollout, of, (prompt_id, key));
        }
    }

    fn rollout(
        &mut self,
        [g, s]: [usize; 2],
        rollout: &RewardedRollout,
        Beside { reference, advantage, verdict }: Beside<'_>,
        (prompt_id, key): (i64, &String),
    ) {
        let id = self.next_rollout;
        self.next_rollout += 1;
        let completion = &rollout.rollout.completion;
        let ref_diff = reference.and_then(|reference| {
            let pairs = completion.logprobs.iter().zip(reference);
            mean(pairs.map(|(own, other)| f64::from(*own) - f64::from(*other)))
        });
        // NULL where a completion without log-probs was recorded by somebody else.
        let logp_sum = (completion.finish != FinishReason::Unknown
            || !completion.logprobs.is_empty())
        .then(|| completion.logprobs.iter().copied().map(f64::from).sum::<f64>());
        let row = [
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
            logp_sum.into(),
            ref_diff.into(),
            mean(completion.entropies.iter().copied().map(f64::from)).into(),
            rollout.unclipped.into(),
        ];
        self.hash.add(table::ROLLOUT, &[g.into(), s.into(), key.into()], &row[6..]);
        self.rollouts.push(row);
        let RecordPlan { text, tokens, logprobs } = *self.record;
        // What is kept is the data that the stage makes, so it is recorded whatever else is.
        let kept = verdict == Some(&Verdict::Kept);
        let (text, tokens) = (text || kept, tokens || kept);
        if text || tokens || logprobs {
            let row = [
                id.into(),
                text.then_some(&rollout.rollout.text).into(),
                tokens.then(|| u32_bytes(&completion.tokens)).into(),
                logprobs.then(|| f32_bytes(&completion.logprobs)).into(),
                reference.filter(|_| logprobs).map(f32_bytes).into(),
                logprobs.then(|| f32_bytes(&completion.entropies)).into(),
            ];
            self.hash.add(table::PAYLOAD, &[g.into(), s.into()], &row[1..]);
            self.payloads.push(row);
        }
        self.judged([g, s], id, rollout);
    }

    /// What every reward said of a rollout.
    fn judged(&mut self, [g, s]: [usize; 2], id: i64, rollout: &RewardedRollout) {
        let outcomes = rollout.outcomes.iter().zip(&rollout.terms);
        let names = self.step.facts.rewards.iter();
        for ((&key, name), (outcome, term)) in self.keys.iter().zip(names).zip(outcomes) {
            let RewardOutcome { value, status, parts, info } = outcome;
            if *status == RewardStatus::Unasked {
                continue;
            }
            let RewardTerm { clipped, condition, counted, weight, normalized } = term;
            let row = [
                id.into(),
                key.into(),
                (*value).into(),
                status.as_str().into(),
                parts_json(parts).into(),
                info.as_ref().into(),
                (*clipped).into(),
                condition.map(ConditionState::as_str).into(),
                (*counted).into(),
                (*weight).into(),
                (*normalized).into(),
            ];
            self.hash.add(table::REWARD, &[g.into(), s.into(), name.into()], &row[2..]);
            self.rewards.push(row);
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
