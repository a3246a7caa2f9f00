//! What happened in a step: its groups, one group's rollouts, one rollout down to its tokens.

use std::collections::BTreeMap;

use sqlx::{FromRow, query_as};

use crate::error::StoreError;
use crate::read::metric::metric_value;
use crate::record::StepTiming;
use crate::store::Store;
use crate::text::{MaybeText, Text};
use crate::upkeep::collect::{self, PayloadField};

/// A named number.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// The value, NaN and infinities included.
    pub value: f64,
}

/// One reward over a whole step.
#[derive(Clone, Debug, PartialEq, serde::Serialize, FromRow)]
pub struct RewardSummary {
    /// Id in the spec.
    #[sqlx(try_from = "Text")]
    pub name: String,
    /// Mean of the values there are.
    pub mean: Option<f64>,
    /// Rollouts with status `ok`.
    pub ok: i64,
    /// Rollouts with any other status.
    pub other: i64,
}

/// One group of a step.
#[derive(Clone, Debug, PartialEq, serde::Serialize, FromRow)]
pub struct GroupCard {
    /// Position in the step.
    pub group: i64,
    /// Key of the problem.
    #[sqlx(try_from = "Text")]
    pub prompt_key: String,
    /// The prompt.
    #[sqlx(try_from = "Text")]
    pub prompt: String,
    /// The gold answer.
    #[sqlx(try_from = "MaybeText")]
    pub gold: Option<String>,
    /// Rollouts.
    pub rollouts: i64,
    /// Mean total.
    pub mean: Option<f64>,
    /// Lowest total.
    pub lowest: Option<f64>,
    /// Highest total.
    pub highest: Option<f64>,
    /// Whether it taught nothing.
    pub zero_signal: bool,
    /// Mean length, tokens.
    pub mean_tokens: f64,
    /// Share of truncated completions.
    pub truncated: f64,
}

/// One step.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct StepCard {
    /// The run.
    pub run: String,
    /// Position of the stage in the plan.
    pub stage_index: i64,
    /// Id of the stage.
    pub stage: String,
    /// What the stage does.
    pub kind: String,
    /// The step.
    pub step: u64,
    /// How long its parts took, when that was recorded.
    pub timing: Option<StepTiming>,
    /// Time in the store, milliseconds; known once the next fact was written.
    pub store_ms: Option<f64>,
    /// When it began, milliseconds since 1970.
    pub started_ms: i64,
    /// When it ended, milliseconds since 1970.
    pub ended_ms: i64,
    /// Its metrics in their order.
    pub metrics: Vec<Metric>,
    /// Its rewards.
    pub rewards: Vec<RewardSummary>,
    /// Its groups.
    pub groups: Vec<GroupCard>,
}

/// A step of a run on average.
#[derive(Clone, Debug, PartialEq, serde::Serialize, FromRow)]
pub struct MeanStep {
    /// The run.
    #[sqlx(try_from = "Text")]
    pub run: String,
    /// Time in sampling, rewards and training, milliseconds.
    pub ms: f64,
    /// Rollouts.
    pub rollouts: f64,
}

/// One rollout of a group.
#[derive(Clone, Debug, PartialEq, serde::Serialize, FromRow)]
pub struct RolloutCard {
    /// Position in the group.
    pub sample: i64,
    /// Weighted total of the rewards; none when no reward had a value.
    pub reward: Option<f64>,
    /// Its advantage.
    pub advantage: Option<f64>,
    /// Length, tokens.
    pub tokens: i64,
    /// `stop` or `length`.
    #[sqlx(try_from = "Text")]
    pub finish: String,
    /// The completion, when text is recorded.
    #[sqlx(try_from = "MaybeText")]
    pub text: Option<String>,
}

/// One group with its rollouts.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct GroupDetail {
    /// The run.
    pub run: String,
    /// Id of the stage.
    pub stage: String,
    /// The step.
    pub step: u64,
    /// The group.
    #[serde(flatten)]
    pub group: GroupCard,
    /// Its rollouts, without their tokens.
    pub samples: Vec<RolloutCard>,
}

/// What one reward said about a rollout.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct RewardCard {
    /// Id in the spec.
    pub name: String,
    /// Weight in the total at this step.
    pub weight: Option<f64>,
    /// What the plugin said; none is not zero.
    pub value: Option<f64>,
    /// The value inside the reward's bounds.
    pub clipped: Option<f64>,
    /// Whether its condition (`only_if`) is met: `open`, `closed` or `unknown`; none for a reward without a condition.
    /// JSON has it under the name of its column.
    #[serde(rename = "gate")]
    pub condition: Option<String>,
    /// What is weighted: the clipped value, or what the condition makes of it.
    pub counted: Option<f64>,
    /// Its part of the total: weight times what is weighted.
    pub contribution: Option<f64>,
    /// What is weighted, compared with the group; none where totals are compared.
    pub normalized: Option<f64>,
    /// How scoring ended.
    pub status: String,
    /// Named sub-scores.
    pub parts: Vec<(String, f64)>,
    /// A sentence for people.
    pub info: Option<String>,
}

/// One rollout with everything known about it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct RolloutDetail {
    /// The run.
    pub run: String,
    /// Id of the stage.
    pub stage: String,
    /// The step.
    pub step: u64,
    /// The group.
    pub group: i64,
    /// Position in the group.
    pub sample: i64,
    /// Key of the problem.
    pub prompt_key: String,
    /// The prompt.
    pub prompt: String,
    /// The gold answer.
    pub gold: Option<String>,
    /// A worked solution.
    pub solution: Option<String>,
    /// Column name to JSON text.
    pub columns: BTreeMap<String, String>,
    /// Prompt tokens.
    pub prompt_tokens: Vec<u32>,
    /// The completion, when text is recorded.
    pub text: Option<String>,
    /// Completion tokens, when recorded.
    pub tokens: Option<Vec<u32>>,
    /// Log-prob of each token, nats, when recorded.
    pub logprobs: Option<Vec<f32>>,
    /// Log-prob of each token under the reference, nats, when there was one.
    pub reference_logprobs: Option<Vec<f32>>,
    /// Entropy at each token, nats, when recorded.
    pub entropies: Option<Vec<f32>>,
    /// What a person has removed of the rollouts of its step.
    pub dropped: Vec<PayloadField>,
    /// Length, tokens.
    pub n_tokens: i64,
    /// `stop` or `length`.
    pub finish: String,
    /// Weighted total of the rewards; none when no reward had a value.
    pub reward: Option<f64>,
    /// The total before its bounds.
    pub unclipped: Option<f64>,
    /// Its advantage.
    pub advantage: Option<f64>,
    /// Id of the data set, in the plan; none in runs that did not record it.
    pub data: Option<String>,
    /// What each reward said.
    pub rewards: Vec<RewardCard>,
}

/// The attempt of a stage in which a step counts.
#[derive(Debug, FromRow)]
struct Place {
    #[sqlx(try_from = "Text")]
    run: String,
    stage_id: i64,
    stage_index: i64,
    #[sqlx(try_from = "Text")]
    stage: String,
    #[sqlx(try_from = "Text")]
    kind: String,
    generate_ms: Option<f64>,
    reward_ms: Option<f64>,
    train_ms: Option<f64>,
    store_ms: Option<f64>,
    started_ms: i64,
    ended_ms: i64,
}

#[derive(FromRow)]
struct RolloutRow {
    rollout_id: i64,
    #[sqlx(try_from = "Text")]
    prompt_key: String,
    #[sqlx(try_from = "Text")]
    prompt: String,
    #[sqlx(try_from = "MaybeText")]
    gold: Option<String>,
    #[sqlx(try_from = "MaybeText")]
    solution: Option<String>,
    #[sqlx(try_from = "Text")]
    columns: String,
    prompt_ids: Vec<u8>,
    #[sqlx(try_from = "MaybeText")]
    text: Option<String>,
    token_ids: Option<Vec<u8>>,
    logp: Option<Vec<u8>>,
    ref_logp: Option<Vec<u8>>,
    entropy: Option<Vec<u8>>,
    n_tokens: i64,
    #[sqlx(try_from = "Text")]
    finish: String,
    reward: Option<f64>,
    unclipped: Option<f64>,
    advantage: Option<f64>,
    #[sqlx(try_from = "MaybeText")]
    data: Option<String>,
    #[sqlx(try_from = "MaybeText")]
    dropped: Option<String>,
}

#[derive(FromRow)]
struct RewardRow {
    #[sqlx(try_from = "Text")]
    name: String,
    weight: Option<f64>,
    value: Option<f64>,
    clipped: Option<f64>,
    #[sqlx(try_from = "MaybeText")]
    gate: Option<String>,
    counted: Option<f64>,
    contribution: Option<f64>,
    normalized: Option<f64>,
    #[sqlx(try_from = "Text")]
    status: String,
    #[sqlx(try_from = "MaybeText")]
    parts: Option<String>,
    #[sqlx(try_from = "MaybeText")]
    info: Option<String>,
}

pub(crate) fn u32_list(bytes: &[u8]) -> Vec<u32> {
    bytes
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        .collect()
}

pub(crate) fn f32_list(bytes: &[u8]) -> Vec<f32> {
    u32_list(bytes).into_iter().map(f32::from_bits).collect()
}

/// Sub-scores as they were before they became JSON.
fn parts_list(json: Option<&str>) -> Vec<(String, f64)> {
    let parsed: Option<serde_json::Map<String, serde_json::Value>> =
        json.and_then(|json| serde_json::from_str(json).ok());
    let value = |value: &serde_json::Value| match value {
        serde_json::Value::String(word) => word.parse().unwrap_or(f64::NAN),
        other => other.as_f64().unwrap_or(f64::NAN),
    };
    parsed.iter().flatten().map(|(name, part)| (name.clone(), value(part))).collect()
}

impl RolloutDetail {
    /// What it said, or why that is not there.
    pub fn said(&self) -> &str {
        match &self.text {
            Some(text) => text,
            None if self.dropped.contains(&PayloadField::Text) => "(removed by `r1x gc`)",
            None => "(not recorded)",
        }
    }
}

impl Store {
    /// Finds the step. Without a stage, the last one that has groups at that step, else the last one that
    /// has the step at all.
    fn place(&self, reference: &str, stage: Option<&str>, step: u64) -> Result<Place, StoreError> {
        let run = self.run(reference)?;
        let query = query_as::<_, Place>(
            "SELECT r.name AS run, st.stage_id, st.idx AS stage_index, st.name AS stage, st.kind,
                    t.gen_ms AS generate_ms, t.reward_ms, t.train_ms, t.store_ms, t.started_ms, t.ended_ms
               FROM run r JOIN stage st USING (run_id) JOIN step t USING (stage_id)
              WHERE r.run_id = ?1 AND t.step = ?2 AND (?3 IS NULL OR st.name = ?3)
                AND (st.superseded_from IS NULL OR t.step < st.superseded_from)
              ORDER BY EXISTS (SELECT 1 FROM rollout_group g WHERE g.stage_id = t.stage_id AND g.step = t.step) DESC,
                       st.idx DESC LIMIT 1",
        );
        let query = query.bind(run.run_id).bind(step.cast_signed()).bind(stage.map(str::to_owned));
        if let Some(place) = self.reader()?.first(query)? {
            return Ok(place);
        }
        let spans: Vec<(Text, i64, i64)> = self.reader()?.all(
            query_as(
                "SELECT stage, min(step), max(step) FROM v_steps WHERE run_id = ? GROUP BY stage_idx ORDER BY stage_idx",
            )
            .bind(run.run_id),
        )?;
        let spans: Vec<String> = spans
            .iter()
            .map(|(Text(stage), low, high)| format!("`{stage}` has steps {low} to {high}"))
            .collect();
        let of = stage.map(|stage| format!(" of stage `{stage}`")).unwrap_or_default();
        Err(StoreError::NotInRun {
            run: run.name,
            what: format!("step {step}{of}"),
            instead: if spans.is_empty() { "it has no steps yet".into() } else { spans.join(", ") },
        })
    }

    /// One step of a run. Without a stage, the last one that fits.
    pub fn step(
        &self,
        reference: &str,
        stage: Option<&str>,
        step: u64,
    ) -> Result<StepCard, StoreError> {
        let place = self.place(reference, stage, step)?;
        let at = step.cast_signed();
        let metrics: Vec<(Text, Option<f64>, MaybeText)> = self.reader()?.all(
            query_as(
                "SELECT k.name, m.value, m.kind FROM metric m JOIN metric_key k USING (key_id)
                  WHERE m.stage_id = ? AND m.step = ? ORDER BY m.idx",
            )
            .bind(place.stage_id)
            .bind(at),
        )?;
        let rewards = self.reader()?.all(
            query_as(
                "SELECT k.name, avg(w.value) AS mean, sum(w.status = 'ok') AS ok, sum(w.status <> 'ok') AS other
                   FROM rollout o JOIN reward w USING (rollout_id) JOIN reward_key k USING (key_id)
                  WHERE o.stage_id = ? AND o.step = ? GROUP BY k.key_id ORDER BY k.key_id",
            )
            .bind(place.stage_id)
            .bind(at),
        )?;
        let timing = match (place.generate_ms, place.reward_ms, place.train_ms) {
            (Some(generate_ms), Some(reward_ms), Some(train_ms)) => {
                Some(StepTiming { generate_ms, reward_ms, train_ms })
            }
            _ => None,
        };
        let metric = |(name, value, kind): (Text, Option<f64>, MaybeText)| Metric {
            name: name.into(),
            value: metric_value(value, kind.0.as_deref()),
        };
        Ok(StepCard {
            groups: self.groups(&place, step, None)?,
            run: place.run,
            stage_index: place.stage_index,
            stage: place.stage,
            kind: place.kind,
            step,
            timing,
            store_ms: place.store_ms,
            started_ms: place.started_ms,
            ended_ms: place.ended_ms,
            metrics: metrics.into_iter().map(metric).collect(),
            rewards,
        })
    }

    /// What a step of the newest run that measured its steps is on average; `None` where no run has.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn mean_step(&self) -> Result<Option<MeanStep>, StoreError> {
        self.reader()?.first(query_as(
            "SELECT s.run, avg(s.gen_ms + s.reward_ms + s.train_ms) AS ms,
                    (SELECT coalesce(sum(o.n), 0) FROM v_groups o WHERE o.run_id = s.run_id)
                      / CAST(count(*) AS REAL) AS rollouts
               FROM v_steps s WHERE s.gen_ms > 0 AND s.run_id =
                    (SELECT max(run_id) FROM v_steps WHERE gen_ms > 0) GROUP BY s.run_id",
        ))
    }

    fn groups(
        &self,
        place: &Place,
        step: u64,
        group: Option<u64>,
    ) -> Result<Vec<GroupCard>, StoreError> {
        let query = query_as(
            "SELECT g.grp AS \"group\", p.key AS prompt_key, p.text AS prompt, p.answer AS gold, g.zero_signal,
                    t.rollouts, t.mean, t.lowest, t.highest, 1.0 * t.tokens / t.rollouts AS mean_tokens,
                    1.0 * t.truncated / t.rollouts AS truncated
               FROM rollout_group g JOIN prompt p USING (prompt_id)
               JOIN group_total t ON t.stage_id = g.stage_id AND t.step = g.step AND t.grp = g.grp
              WHERE g.stage_id = ?1 AND g.step = ?2 AND (?3 IS NULL OR g.grp = ?3) ORDER BY g.grp",
        );
        let query = query.bind(place.stage_id).bind(step.cast_signed());
        self.reader()?.all(query.bind(group.map(u64::cast_signed)))
    }

    /// One group of a step with its rollouts.
    pub fn group(
        &self,
        reference: &str,
        stage: Option<&str>,
        step: u64,
        group: u64,
    ) -> Result<GroupDetail, StoreError> {
        let place = self.place(reference, stage, step)?;
        let Some(card) = self.groups(&place, step, Some(group))?.pop() else {
            let count = self.groups(&place, step, None)?.len();
            return Err(StoreError::NotInRun {
                run: place.run,
                what: format!("group {group} in step {step} of stage `{}`", place.stage),
                instead: count_hint(count, "group", "that step"),
            });
        };
        let samples = self.reader()?.all(
            query_as(
                "SELECT o.sample, o.reward, o.advantage, o.n_tokens AS tokens, o.finish, x.text
                   FROM rollout o LEFT JOIN rollout_payload x USING (rollout_id)
                  WHERE o.stage_id = ? AND o.step = ? AND o.grp = ? ORDER BY o.sample",
            )
            .bind(place.stage_id)
            .bind(step.cast_signed())
            .bind(group.cast_signed()),
        )?;
        Ok(GroupDetail { run: place.run, stage: place.stage, step, group: card, samples })
    }

    /// One rollout with its tokens, log-probs and rewards.
    pub fn rollout(
        &self,
        reference: &str,
        stage: Option<&str>,
        step: u64,
        group: u64,
        sample: u64,
    ) -> Result<RolloutDetail, StoreError> {
        let place = self.place(reference, stage, step)?;
        let query = query_as::<_, RolloutRow>(
            "SELECT o.rollout_id, p.key AS prompt_key, p.text AS prompt, p.answer AS gold, p.solution, p.columns,
                    g.prompt_ids, x.text, x.token_ids, x.logp, x.ref_logp, x.entropy, o.n_tokens, o.finish,
                    o.reward, coalesce(o.unclipped, o.reward) AS unclipped, o.advantage, g.data,
                    (SELECT t.dropped FROM step t WHERE t.stage_id = o.stage_id AND t.step = o.step) AS dropped
               FROM rollout o
               JOIN rollout_group g ON g.stage_id = o.stage_id AND g.step = o.step AND g.grp = o.grp
               JOIN prompt p ON p.prompt_id = o.prompt_id LEFT JOIN rollout_payload x USING (rollout_id)
              WHERE o.stage_id = ? AND o.step = ? AND o.grp = ? AND o.sample = ?",
        );
        let query = query.bind(place.stage_id).bind(step.cast_signed());
        let row =
            self.reader()?.first(query.bind(group.cast_signed()).bind(sample.cast_signed()))?;
        let Some(row) = row else {
            let count = self.group(reference, stage, step, group)?.samples.len();
            return Err(StoreError::NotInRun {
                run: place.run,
                what: format!("rollout {sample} in group {group} of step {step}"),
                instead: count_hint(count, "rollout", "that group"),
            });
        };
        Ok(RolloutDetail {
            rewards: self.rewards_of(row.rollout_id)?,
            run: place.run,
            stage: place.stage,
            step,
            group: group.cast_signed(),
            sample: sample.cast_signed(),
            prompt_key: row.prompt_key,
            prompt: row.prompt,
            gold: row.gold,
            solution: row.solution,
            columns: serde_json::from_str(&row.columns).unwrap_or_default(),
            prompt_tokens: u32_list(&row.prompt_ids),
            text: row.text,
            tokens: row.token_ids.as_deref().map(u32_list),
            logprobs: row.logp.as_deref().map(f32_list),
            reference_logprobs: row.ref_logp.as_deref().map(f32_list),
            entropies: row.entropy.as_deref().map(f32_list),
            dropped: collect::fields(row.dropped.as_deref()),
            n_tokens: row.n_tokens,
            finish: row.finish,
            reward: row.reward,
            unclipped: row.unclipped,
            advantage: row.advantage,
            data: row.data,
        })
    }

    fn rewards_of(&self, rollout_id: i64) -> Result<Vec<RewardCard>, StoreError> {
        // One rollout's rows; the view's other columns would read its run.
        let query = "SELECT k.name, coalesce(w.weight, k.weight) AS weight, w.value, w.gate, w.normalized,
                            iif(w.weight IS NULL, w.value, w.clipped) AS clipped,
                            iif(w.weight IS NULL, w.value, w.counted) AS counted,
                            coalesce(w.weight, k.weight) * iif(w.weight IS NULL, w.value, w.counted)
                                AS contribution,
                            w.status, w.parts, w.info
                       FROM reward w JOIN reward_key k USING (key_id) WHERE w.rollout_id = ? ORDER BY k.key_id";
        let rows: Vec<RewardRow> = self.reader()?.all(query_as(query).bind(rollout_id))?;
        let card = |row: RewardRow| RewardCard {
            name: row.name,
            weight: row.weight,
            value: row.value,
            clipped: row.clipped,
            condition: row.gate,
            counted: row.counted,
            contribution: row.contribution,
            normalized: row.normalized,
            status: row.status,
            parts: parts_list(row.parts.as_deref()),
            info: row.info,
        };
        Ok(rows.into_iter().map(card).collect())
    }
}

fn count_hint(count: usize, what: &str, place: &str) -> String {
    match count {
        0 => format!("{place} has no {what}s"),
        1 => format!("{place} has {what} 0 only"),
        many => format!("{place} has {what}s 0 to {}", many - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::parts_json;

    #[test]
    fn parts_come_back() {
        let parts = vec![
            ("b".to_owned(), 0.1),
            ("a".to_owned(), f64::INFINITY),
            ("c".to_owned(), f64::NEG_INFINITY),
        ];
        assert_eq!(parts_list(parts_json(&parts).as_deref()), parts);
        let nan = parts_list(parts_json(&[("n".to_owned(), f64::NAN)]).as_deref());
        assert!(nan[0].1.is_nan());
        assert!(parts_list(None).is_empty());
    }
}
