//! A fact of a run with everything that is recorded of it, so that the fact of another run at an equal place can be
//! compared with it.
//!
//! Left out are times, which differ by nature, and sentences for people.

use r1x_core::select::Kept;
use sqlx::{FromRow, query_as};

use super::metric::metric_value;
use super::rollout::{f32_list, u32_list};
use crate::error::StoreError;
use crate::record::{KEPT, KeptRow, kept_of};
use crate::store::Store;
use crate::text::{MaybeText, Text};
use crate::upkeep::collect::{self, PayloadField};

/// A step of a stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct StepFact {
    pub stage: String,
    /// Hash over tokens, log-probs, rewards, advantages and metrics, hex.
    pub sha256: String,
    /// Names and values, in order.
    pub metrics: Vec<(String, f64)>,
    pub groups: Vec<GroupFact>,
    /// What a person has removed of its rollouts.
    pub dropped: Vec<PayloadField>,
}

impl StepFact {
    /// Takes what somebody has removed of a step out of it, so that the step can be compared with one of which this is left.
    pub fn without(&mut self, fields: &[PayloadField]) {
        for rollout in self.groups.iter_mut().flat_map(|group| &mut group.rollouts) {
            for field in fields {
                match field {
                    PayloadField::Text => rollout.wrote.text = None,
                    PayloadField::Tokens => rollout.wrote.tokens = None,
                    PayloadField::Logprobs => {
                        rollout.wrote.logprobs = None;
                        rollout.entropies = None;
                        rollout.reference_logprobs = None;
                    }
                }
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupFact {
    pub group: u64,
    /// Key of the problem.
    pub key: String,
    /// Of everything that is known of the problem, hex.
    pub prompt_sha256: String,
    pub data: Option<String>,
    pub prompt_tokens: Vec<u32>,
    pub zero_signal: bool,
    pub rollouts: Vec<RolloutFact>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RolloutFact {
    pub sample: u64,
    pub wrote: Wrote,
    pub entropies: Option<Vec<f32>>,
    pub reference_logprobs: Option<Vec<f32>>,
    /// Sums and means, which are there even where the plan records no log-probs.
    pub logprob_sum: Option<f64>,
    pub reference_mean: Option<f64>,
    pub entropy_mean: Option<f64>,
    pub unclipped: Option<f64>,
    pub total: Option<f64>,
    pub advantage: Option<f64>,
    /// Whether a stage that makes data judged it, and the filter that dropped it.
    pub selected: bool,
    pub dropped_by: Option<String>,
    pub rewards: Vec<RewardFact>,
}

/// What a model wrote.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wrote {
    pub tokens: Option<Vec<u32>>,
    pub logprobs: Option<Vec<f32>>,
    pub n_tokens: i64,
    pub finish: String,
    pub text: Option<String>,
}

#[derive(Clone, Debug, PartialEq, FromRow)]
pub(crate) struct RewardFact {
    #[sqlx(try_from = "Text")]
    pub name: String,
    #[sqlx(try_from = "Text")]
    pub status: String,
    pub value: Option<f64>,
    #[sqlx(try_from = "MaybeText")]
    pub parts: Option<String>,
    pub clipped: Option<f64>,
    #[sqlx(try_from = "MaybeText")]
    pub condition: Option<String>,
    pub counted: Option<f64>,
    pub weight: Option<f64>,
    pub normalized: Option<f64>,
}

/// An evaluation of a suite.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EvaluationFact {
    pub sha256: String,
    /// Names, values and standard errors, in order.
    pub figures: Vec<(String, Option<f64>, Option<f64>)>,
    pub samples: Vec<SampleFact>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SampleFact {
    /// Position of the problem in the suite.
    pub item: u64,
    pub sample: u64,
    pub key: String,
    pub prompt_sha256: String,
    pub wrote: Wrote,
    pub value: Option<f64>,
    pub condition: Option<String>,
    pub score: Option<f64>,
    pub status: String,
    pub correct: bool,
    pub rewards: Vec<RewardFact>,
}

#[derive(FromRow)]
struct RolloutRow {
    grp: i64,
    sample: i64,
    rollout_id: i64,
    #[sqlx(flatten)]
    wrote: WroteRow,
    entropy: Option<Vec<u8>>,
    ref_logp: Option<Vec<u8>>,
    logp_sum: Option<f64>,
    ref_diff: Option<f64>,
    entropy_mean: Option<f64>,
    unclipped: Option<f64>,
    reward: Option<f64>,
    advantage: Option<f64>,
    selected: bool,
    #[sqlx(try_from = "MaybeText")]
    dropped_by: Option<String>,
}

#[derive(FromRow)]
struct WroteRow {
    token_ids: Option<Vec<u8>>,
    logp: Option<Vec<u8>>,
    n_tokens: i64,
    #[sqlx(try_from = "Text")]
    finish: String,
    #[sqlx(try_from = "MaybeText")]
    text: Option<String>,
}

impl WroteRow {
    fn fact(self) -> Wrote {
        Wrote {
            tokens: self.token_ids.as_deref().map(u32_list),
            logprobs: self.logp.as_deref().map(f32_list),
            n_tokens: self.n_tokens,
            finish: self.finish,
            text: self.text,
        }
    }
}

#[derive(FromRow)]
struct SampleRow {
    eval_sample_id: i64,
    item: i64,
    sample: i64,
    #[sqlx(try_from = "Text")]
    key: String,
    #[sqlx(try_from = "Text")]
    prompt_sha256: String,
    #[sqlx(flatten)]
    wrote: WroteRow,
    value: Option<f64>,
    #[sqlx(try_from = "MaybeText")]
    gate: Option<String>,
    score: Option<f64>,
    #[sqlx(try_from = "Text")]
    status: String,
    correct: bool,
}

/// A reward, and the number of the rollout or sample that it is about.
#[derive(FromRow)]
struct RewardRow {
    of: i64,
    #[sqlx(flatten)]
    fact: RewardFact,
}

/// Takes the rewards of one rollout from those of all, which are in the same order.
fn rewards_of(
    id: i64,
    rows: &mut std::iter::Peekable<std::vec::IntoIter<RewardRow>>,
) -> Vec<RewardFact> {
    std::iter::from_fn(|| rows.next_if(|row| row.of == id)).map(|row| row.fact).collect()
}

impl Store {
    /// The step of the stage at a position that counts; `None` where there is none.
    pub(crate) fn step_fact(
        &self,
        run_id: i64,
        stage: usize,
        step: u64,
    ) -> Result<Option<StepFact>, StoreError> {
        let query = query_as(
            "SELECT st.stage_id, st.name, t.facts_sha256, t.dropped FROM stage st JOIN step t USING (stage_id)
              WHERE st.run_id = ? AND st.idx = ? AND t.step = ?
                AND (st.superseded_from IS NULL OR t.step < st.superseded_from)",
        );
        let step = step.cast_signed();
        let found: Option<(i64, Text, Text, MaybeText)> =
            self.reader()?.first(query.bind(run_id).bind(stage as i64).bind(step))?;
        let Some((stage_id, Text(stage), Text(sha256), MaybeText(dropped))) = found else {
            return Ok(None);
        };
        let metrics: Vec<(Text, Option<f64>, MaybeText)> = self.reader()?.all(
            query_as(
                "SELECT k.name, m.value, m.kind FROM metric m JOIN metric_key k USING (key_id)
                  WHERE m.stage_id = ? AND m.step = ? ORDER BY m.idx",
            )
            .bind(stage_id)
            .bind(step),
        )?;
        let metrics = metrics
            .into_iter()
            .map(|(Text(name), value, kind)| (name, metric_value(value, kind.0.as_deref())))
            .collect();
        let groups = self.group_facts(stage_id, step)?;
        let dropped = collect::fields(dropped.as_deref());
        Ok(Some(StepFact { stage, sha256, metrics, groups, dropped }))
    }

    fn group_facts(&self, stage_id: i64, step: i64) -> Result<Vec<GroupFact>, StoreError> {
        let groups: Vec<(i64, Text, Text, MaybeText, Vec<u8>, bool)> = self.reader()?.all(
            query_as(
                "SELECT g.grp, p.key, hex(p.sha256), g.data, g.prompt_ids, g.zero_signal
                   FROM rollout_group g JOIN prompt p USING (prompt_id)
                  WHERE g.stage_id = ? AND g.step = ? ORDER BY g.grp",
            )
            .bind(stage_id)
            .bind(step),
        )?;
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        let rollouts: Vec<RolloutRow> = self.reader()?.all(
            query_as(
                "SELECT o.grp, o.sample, o.rollout_id, x.token_ids, x.logp, o.n_tokens, o.finish, x.text, x.entropy,
                        x.ref_logp, o.logp_sum, o.ref_diff, o.entropy_mean, o.unclipped, o.reward, o.advantage,
                        s.rollout_id IS NOT NULL AS selected, s.dropped_by
                   FROM rollout o LEFT JOIN rollout_payload x USING (rollout_id)
                        LEFT JOIN selection s ON s.rollout_id = o.rollout_id
                  WHERE o.stage_id = ? AND o.step = ? ORDER BY o.grp, o.sample",
            )
            .bind(stage_id)
            .bind(step),
        )?;
        let rewards: Vec<RewardRow> = self.reader()?.all(
            query_as(
                "SELECT o.rollout_id AS of, k.name, w.status, w.value, w.parts, w.clipped, w.gate AS condition,
                        w.counted, w.weight, w.normalized
                   FROM rollout o JOIN reward w USING (rollout_id) JOIN reward_key k USING (key_id)
                  WHERE o.stage_id = ? AND o.step = ? ORDER BY o.grp, o.sample, k.name",
            )
            .bind(stage_id)
            .bind(step),
        )?;
        let (mut rollouts, mut rewards) =
            (rollouts.into_iter().peekable(), rewards.into_iter().peekable());
        let group = |(grp, Text(key), Text(prompt_sha256), data, tokens, zero_signal): (
            i64,
            _,
            _,
            MaybeText,
            Vec<u8>,
            _,
        )| {
            GroupFact {
                group: grp.cast_unsigned(),
                key,
                prompt_sha256,
                data: data.into(),
                prompt_tokens: u32_list(&tokens),
                zero_signal,
                rollouts: std::iter::from_fn(|| rollouts.next_if(|row| row.grp == grp))
                    .map(|row| {
                        let rewards = rewards_of(row.rollout_id, &mut rewards);
                        rollout_fact(row, rewards)
                    })
                    .collect(),
            }
        };
        Ok(groups.into_iter().map(group).collect())
    }

    /// The evaluation of a suite at a place that counts; `None` where there is none.
    pub(crate) fn evaluation_fact(
        &self,
        run_id: i64,
        suite: &str,
        (label, step): (&str, u64),
    ) -> Result<Option<EvaluationFact>, StoreError> {
        let query = query_as(
            "SELECT eval_id, facts_sha256 FROM eval_run
              WHERE run_id = ? AND suite = ? AND label = ? AND step = ? AND superseded = 0",
        );
        let query = query.bind(run_id).bind(suite.to_owned()).bind(label.to_owned());
        let found: Option<(i64, Text)> = self.reader()?.first(query.bind(step.cast_signed()))?;
        let Some((eval_id, Text(sha256))) = found else { return Ok(None) };
        let figures: Vec<(Text, Option<f64>, Option<f64>)> = self.reader()?.all(
            query_as(
                "SELECT metric, value, stderr FROM eval_result WHERE eval_id = ? ORDER BY idx",
            )
            .bind(eval_id),
        )?;
        let samples: Vec<SampleRow> = self.reader()?.all(
            query_as(
                "SELECT s.eval_sample_id, s.item, s.sample, p.key, hex(p.sha256) AS prompt_sha256, s.token_ids, s.logp, s.n_tokens,
                        s.finish, s.text, s.value, s.gate, s.score, s.status, s.correct
                   FROM eval_sample s JOIN prompt p USING (prompt_id) WHERE s.eval_id = ? ORDER BY s.item, s.sample",
            )
            .bind(eval_id),
        )?;
        let rewards: Vec<RewardRow> = self.reader()?.all(
            query_as(
                "SELECT s.eval_sample_id AS of, k.name, w.status, w.value, w.parts, NULL AS clipped,
                        NULL AS condition, NULL AS counted, NULL AS weight, NULL AS normalized
                   FROM eval_sample s JOIN eval_reward w USING (eval_sample_id) JOIN reward_key k USING (key_id)
                  WHERE s.eval_id = ? ORDER BY s.item, s.sample, k.name",
            )
            .bind(eval_id),
        )?;
        let mut rewards = rewards.into_iter().peekable();
        let sample = |row: SampleRow| SampleFact {
            rewards: rewards_of(row.eval_sample_id, &mut rewards),
            item: row.item.cast_unsigned(),
            sample: row.sample.cast_unsigned(),
            key: row.key,
            prompt_sha256: row.prompt_sha256,
            wrote: row.wrote.fact(),
            value: row.value,
            condition: row.gate,
            score: row.score,
            status: row.status,
            correct: row.correct,
        };
        let figure = |(Text(name), value, stderr): (_, _, _)| (name, value, stderr);
        Ok(Some(EvaluationFact {
            sha256,
            figures: figures.into_iter().map(figure).collect(),
            samples: samples.into_iter().map(sample).collect(),
        }))
    }

    /// The completions that a run has kept in the stage at a position, in the steps before one, in their order.
    ///
    /// # Errors
    /// When they cannot be read, or one of them is not whole.
    pub fn kept(
        &self,
        run_id: i64,
        stage: usize,
        before_step: u64,
    ) -> Result<Vec<Kept>, StoreError> {
        let query = query_as(KEPT).bind(run_id).bind(stage as i64).bind(before_step.cast_signed());
        let rows: Vec<KeptRow> = self.reader()?.all(query)?;
        kept_of(rows).ok_or_else(|| StoreError::Damaged {
            path: self.path().to_owned(),
            detail: "a completion that was kept is not whole".to_owned(),
        })
    }

    /// sha256 of the weights that the checkpoints of a stage after so many steps hold, in the order they were made.
    pub(crate) fn checkpoint_weights(
        &self,
        run_id: i64,
        stage: usize,
        step: u64,
    ) -> Result<Vec<String>, StoreError> {
        let query = query_as(
            "SELECT sha256 FROM v_checkpoints WHERE run_id = ? AND stage_idx = ? AND step = ? ORDER BY checkpoint_id",
        );
        let query = query.bind(run_id).bind(stage as i64).bind(step.cast_signed());
        let rows: Vec<(Text,)> = self.reader()?.all(query)?;
        Ok(rows.into_iter().map(|(Text(sha256),)| sha256).collect())
    }

    /// The id of a stage and the sha256 of the weights it ended with; `None` where it has not ended.
    pub(crate) fn stage_weights(
        &self,
        run_id: i64,
        stage: usize,
    ) -> Result<Option<(String, String)>, StoreError> {
        let query = query_as(
            "SELECT name, weights_sha256 FROM stage
              WHERE run_id = ? AND idx = ? AND weights_sha256 IS NOT NULL AND superseded_from IS NULL",
        );
        let row: Option<(Text, Text)> =
            self.reader()?.first(query.bind(run_id).bind(stage as i64))?;
        Ok(row.map(|(Text(stage), Text(sha256))| (stage, sha256)))
    }
}

fn rollout_fact(row: RolloutRow, rewards: Vec<RewardFact>) -> RolloutFact {
    RolloutFact {
        sample: row.sample.cast_unsigned(),
        wrote: row.wrote.fact(),
        entropies: row.entropy.as_deref().map(f32_list),
        reference_logprobs: row.ref_logp.as_deref().map(f32_list),
        logprob_sum: row.logp_sum,
        reference_mean: row.ref_diff,
        entropy_mean: row.entropy_mean,
        unclipped: row.unclipped,
        total: row.reward,
        advantage: row.advantage,
        selected: row.selected,
        dropped_by: row.dropped_by,
        rewards,
    }
}
