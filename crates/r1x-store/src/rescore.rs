//! Judging a run's recorded rollouts again: reading them with what was said of them, keeping what is said now.
//!
//! The run's own rows stay as they are.

use std::collections::BTreeMap;

use r1x_core::{
    Completion, FinishReason, Problem, PromptForm, RewardOutcome, RewardStatus, Rollout,
    RolloutGroup,
};
use sqlx::{FromRow, query_as};

use crate::error::StoreError;
use crate::read::rollout::u32_list;
use crate::record::parts_json;
use crate::run_begin::{PluginInput, upsert_plugin};
use crate::sitting::now_ms;
use crate::store::Store;
use crate::text::{MaybeText, Text};
use crate::writer::Rows;

/// A step of a run that has rollouts.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct RolloutStep {
    /// Id of the stage in the spec.
    #[sqlx(try_from = "Text")]
    pub stage: String,
    /// The step.
    pub step: i64,
    stage_id: i64,
}

/// A recorded group.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredGroup {
    /// Position in the step.
    pub group: i64,
    /// The problem asked.
    pub problem: Problem,
    /// Its prompt tokens.
    pub prompt_tokens: Vec<u32>,
    /// Its rollouts.
    pub rollouts: Vec<StoredRollout>,
}

impl StoredGroup {
    /// The group as a reward is asked about it; `None` when the run does not record text. Rewards see how many tokens
    /// there are, never which, so the tokens are only counted.
    pub fn asked(&self) -> Option<RolloutGroup> {
        Some(RolloutGroup {
            problem: self.problem.clone(),
            prompt_tokens: self.prompt_tokens.clone(),
            rollouts: self.rollouts.iter().map(StoredRollout::asked).collect::<Option<_>>()?,
        })
    }
}

/// A recorded rollout with the original judgement of one reward.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRollout {
    /// Position in the group.
    pub sample: i64,
    /// What it said; none when the run does not record text.
    pub text: Option<String>,
    /// Length, tokens.
    pub n_tokens: i64,
    /// Whether the token limit ended it.
    pub truncated: bool,
    /// What the reward was.
    pub value: Option<f64>,
    /// How that scoring ended; none when the reward did not score it.
    pub status: Option<String>,
    rollout_id: i64,
}

impl StoredRollout {
    /// Its number in the store.
    pub fn rollout_id(&self) -> i64 {
        self.rollout_id
    }

    fn asked(&self) -> Option<Rollout> {
        let completion = Completion {
            tokens: vec![0; usize::try_from(self.n_tokens).unwrap_or_default()],
            logprobs: Vec::new(),
            entropies: Vec::new(),
            finish: if self.truncated { FinishReason::Length } else { FinishReason::Stop },
        };
        Some(Rollout { completion, text: self.text.clone()? })
    }
}

#[derive(FromRow)]
struct Row {
    grp: i64,
    sample: i64,
    rollout_id: i64,
    #[sqlx(try_from = "Text")]
    key: String,
    #[sqlx(try_from = "Text")]
    prompt: String,
    #[sqlx(try_from = "MaybeText")]
    answer: Option<String>,
    #[sqlx(try_from = "MaybeText")]
    solution: Option<String>,
    #[sqlx(try_from = "Text")]
    columns: String,
    #[sqlx(try_from = "MaybeText")]
    data: Option<String>,
    prompt_ids: Vec<u8>,
    #[sqlx(try_from = "MaybeText")]
    text: Option<String>,
    n_tokens: i64,
    #[sqlx(try_from = "Text")]
    finish: String,
    value: Option<f64>,
    #[sqlx(try_from = "MaybeText")]
    status: Option<String>,
}

impl Store {
    /// The steps of a run that have rollouts, in order.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn rollout_steps(&self, reference: &str) -> Result<Vec<RolloutStep>, StoreError> {
        let run = self.run(reference)?;
        let query = query_as::<_, RolloutStep>(
            "SELECT DISTINCT st.stage_id, st.name AS stage, g.step
               FROM stage st JOIN rollout_group g USING (stage_id)
              WHERE st.run_id = ?1 AND (st.superseded_from IS NULL OR g.step < st.superseded_from)
              ORDER BY st.idx, g.step",
        );
        self.reader()?.all(query.bind(run.run_id))
    }

    /// The groups of a step, with what the reward `reward` said of each rollout.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn stored_groups(
        &self,
        step: &RolloutStep,
        reward: &str,
    ) -> Result<Vec<StoredGroup>, StoreError> {
        let query = query_as::<_, Row>(
            "SELECT o.grp, o.sample, o.rollout_id, p.key, p.text AS prompt, p.answer, p.solution, p.columns,
                    g.data, g.prompt_ids, x.text, o.n_tokens, o.finish, w.value, w.status
               FROM rollout o JOIN prompt p USING (prompt_id)
                    JOIN rollout_group g ON g.stage_id = o.stage_id AND g.step = o.step AND g.grp = o.grp
                    LEFT JOIN rollout_payload x USING (rollout_id)
                    LEFT JOIN reward w ON w.rollout_id = o.rollout_id
                          AND w.key_id IN (SELECT k.key_id FROM reward_key k WHERE k.name = ?3)
              WHERE o.stage_id = ?1 AND o.step = ?2
              ORDER BY o.grp, o.sample",
        );
        let query = query.bind(step.stage_id).bind(step.step).bind(reward.to_owned());
        let rows: Vec<Row> = self.reader()?.all(query)?;
        let mut groups: Vec<StoredGroup> = Vec::new();
        for row in rows {
            let rollout = StoredRollout {
                sample: row.sample,
                text: row.text,
                n_tokens: row.n_tokens,
                truncated: row.finish == "length",
                value: row.value,
                status: row.status,
                rollout_id: row.rollout_id,
            };
            match groups.last_mut().filter(|group| group.group == row.grp) {
                Some(group) => group.rollouts.push(rollout),
                None => groups.push(StoredGroup {
                    group: row.grp,
                    problem: Problem {
                        data: row.data.unwrap_or_default(),
                        key: row.key,
                        prompt: row.prompt,
                        // A text that was recorded has all of the answer already.
                        form: PromptForm::Text,
                        solution: row.solution,
                        solution_tokens: None,
                        rejected: None,
                        answer: row.answer,
                        columns: columns(&row.columns),
                    },
                    prompt_tokens: u32_list(&row.prompt_ids),
                    rollouts: vec![rollout],
                }),
            }
        }
        Ok(groups)
    }

    /// Keeps a judgement of a run's rollouts beside the original one, whole or not at all, and returns its
    /// number. `plugin.reward_id` is the reward it is compared with.
    ///
    /// # Errors
    /// When there is no such run, or the store cannot be written.
    pub fn add_rescore(
        &self,
        reference: &str,
        plugin: PluginInput,
        outcomes: Vec<(i64, RewardOutcome)>,
    ) -> Result<i64, StoreError> {
        let run = self.run(reference)?;
        self.writer()?.call(move |writer| {
            writer.transaction(async |tx| {
                let plugin_id = upsert_plugin(tx, &plugin).await?;
                let rescore_id = tx
                    .insert(
                        "INSERT INTO rescore (run_id, reward, plugin_id, settings, scored_ms)
                         VALUES (?, ?, ?, ?, ?)",
                        [
                            run.run_id.into(),
                            (&plugin.reward_id).into(),
                            plugin_id.into(),
                            (&plugin.config_json).into(),
                            now_ms().into(),
                        ],
                    )
                    .await?;
                let mut rows = Rows::new(
                    "INSERT INTO rescored (rescore_id, rollout_id, value, status, parts, info)",
                );
                let asked = |outcome: &RewardOutcome| outcome.status != RewardStatus::Unasked;
                for (rollout_id, outcome) in outcomes.into_iter().filter(|(_, o)| asked(o)) {
                    rows.push([
                        rescore_id.into(),
                        rollout_id.into(),
                        outcome.value.into(),
                        outcome.status.as_str().into(),
                        parts_json(&outcome.parts).into(),
                        outcome.info.into(),
                    ]);
                }
                tx.insert_rows(rows).await?;
                Ok(rescore_id)
            })
        })
    }
}

/// Column name to JSON text, as a problem has it.
fn columns(json: &str) -> BTreeMap<String, String> {
    serde_json::from_str(json).unwrap_or_default()
}
