//! A clean-up of what rollouts of older steps said: texts, tokens and log-probs, as far as nobody keeps them.
//!
//! Rows of rollouts and of rewards stay for good: they are small, and they answer most questions. What went is written down
//! at its step. The hash over the rows of a step is changed by what went and not computed anew, so a row that was damaged
//! before is a flaw afterwards too. What another stage is trained on stays, whatever anybody keeps.

use r1x_core::plan::{RetentionPlan, StepsKept};
use sqlx::query_as;

use crate::error::StoreError;
use crate::row_hash::{self, RowHash};
use crate::store::Store;
use crate::text::{MaybeText, Text};
use crate::writer::Tx;

/// A part of what a rollout said.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum PayloadField {
    /// The text of the completion.
    Text,
    /// The ids of its tokens.
    Tokens,
    /// The log-prob of each token, the one under the reference, and the entropy.
    Logprobs,
}

impl PayloadField {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Text, Self::Tokens, Self::Logprobs];

    /// Its name in a spec.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Tokens => "tokens",
            Self::Logprobs => "logprobs",
        }
    }

    /// The steps that keep it; `None` where all do.
    fn kept(self, retention: &RetentionPlan) -> Option<StepsKept> {
        match self {
            Self::Text => retention.text,
            Self::Tokens => retention.tokens,
            Self::Logprobs => retention.logprobs,
        }
    }
}

/// A part of what the rollouts of a stage said that nobody keeps.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Garbage {
    /// Name of the run.
    pub run: String,
    /// Id of the stage in the spec.
    pub stage: String,
    /// What it is.
    pub field: PayloadField,
    /// Steps that have it, of attempts that were done again as well.
    pub steps: u64,
    /// How much it is, bytes.
    pub bytes: u64,
}

/// A step of which something goes.
struct Due {
    stage: String,
    stage_id: i64,
    step: i64,
    /// What goes, with its bytes.
    fields: Vec<(PayloadField, u64)>,
}

/// What steps of an attempt of a stage (1) hold that another stage is not trained on.
const HELD: &str = "\
SELECT o.step, total(octet_length(x.text)), total(octet_length(x.token_ids)),
       total(octet_length(x.logp)) + total(octet_length(x.ref_logp)) + total(octet_length(x.entropy))
  FROM rollout o JOIN rollout_payload x USING (rollout_id) LEFT JOIN selection s USING (rollout_id)
 WHERE o.stage_id = ?1 AND (s.rollout_id IS NULL OR s.dropped_by IS NOT NULL)
 GROUP BY o.step ORDER BY o.step";

/// Takes what rollouts of a step (2) of an attempt of a stage (1) said: their texts (3), tokens (4) and log-probs (5).
const TAKE: &str = "\
UPDATE rollout_payload
   SET text = iif(?3, NULL, text), token_ids = iif(?4, NULL, token_ids), logp = iif(?5, NULL, logp),
       ref_logp = iif(?5, NULL, ref_logp), entropy = iif(?5, NULL, entropy)
 WHERE rollout_id IN (
     SELECT o.rollout_id FROM rollout o LEFT JOIN selection s USING (rollout_id)
      WHERE o.stage_id = ?1 AND o.step = ?2 AND (s.rollout_id IS NULL OR s.dropped_by IS NOT NULL))";

/// Removes rows of a step (2) of an attempt of a stage (1) that hold nothing any more.
const TAKE_EMPTY: &str = "\
DELETE FROM rollout_payload
 WHERE rollout_id IN (SELECT rollout_id FROM rollout WHERE stage_id = ?1 AND step = ?2)
   AND text IS NULL AND token_ids IS NULL AND logp IS NULL AND ref_logp IS NULL AND entropy IS NULL";

impl Store {
    /// What would go of a run of which only this is kept.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn garbage(
        &self,
        reference: &str,
        retention: &RetentionPlan,
    ) -> Result<Vec<Garbage>, StoreError> {
        let run = self.run(reference)?;
        Ok(summed(&run.name, &self.due(run.run_id, retention)?))
    }

    /// Removes what is not kept of a run, one step at a time, also while a program is at work on the run. Where it is
    /// stopped, whole steps are done.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn collect(
        &self,
        reference: &str,
        retention: &RetentionPlan,
    ) -> Result<Vec<Garbage>, StoreError> {
        let run = self.run(reference)?;
        let due = self.due(run.run_id, retention)?;
        let garbage = summed(&run.name, &due);
        for due in due {
            self.writer()?.call(move |writer| {
                writer.transaction(async |tx| take(tx, &due).await)?;
                Ok(())
            })?;
        }
        self.writer()?.call(|writer| {
            writer.settle();
            Ok(())
        })?;
        Ok(garbage)
    }

    /// The steps of a run of which something goes, in order.
    fn due(&self, run_id: i64, retention: &RetentionPlan) -> Result<Vec<Due>, StoreError> {
        type Attempt = (i64, Text, Option<i64>, i64);
        let reader = self.reader()?;
        let attempts: Vec<Attempt> = reader.all(
            query_as(
                "SELECT st.stage_id, st.name, st.superseded_from,
                        (SELECT coalesce(max(t.step) + 1, 0) FROM stage a JOIN step t USING (stage_id)
                          WHERE a.run_id = st.run_id AND a.idx = st.idx
                            AND (a.superseded_from IS NULL OR t.step < a.superseded_from))
                   FROM stage st WHERE st.run_id = ? ORDER BY st.idx, st.attempt",
            )
            .bind(run_id),
        )?;
        let mut due = Vec::new();
        for (stage_id, Text(stage), superseded_from, steps) in attempts {
            let held: Vec<(i64, f64, f64, f64)> = reader.all(query_as(HELD).bind(stage_id))?;
            for (step, text, tokens, logprobs) in held {
                let counts = superseded_from.is_none_or(|from| step < from);
                let goes = |field: PayloadField| {
                    field.kept(retention).is_some_and(|kept| {
                        !counts || !kept.keeps(step.cast_unsigned(), steps.cast_unsigned())
                    })
                };
                let held = PayloadField::ALL.into_iter().zip([text, tokens, logprobs]);
                let fields: Vec<(PayloadField, u64)> = held
                    .filter(|(field, bytes)| *bytes > 0.0 && goes(*field))
                    .map(|(field, bytes)| (field, bytes as u64))
                    .collect();
                if !fields.is_empty() {
                    due.push(Due { stage: stage.clone(), stage_id, step, fields });
                }
            }
        }
        Ok(due)
    }
}

/// What goes of each stage, in order.
fn summed(run: &str, due: &[Due]) -> Vec<Garbage> {
    let mut garbage: Vec<Garbage> = Vec::new();
    for step in due {
        for &(field, bytes) in &step.fields {
            let known = garbage.iter_mut().find(|of| of.stage == step.stage && of.field == field);
            match known {
                Some(of) => {
                    of.steps += 1;
                    of.bytes += bytes;
                }
                None => {
                    let (run, stage) = (run.to_owned(), step.stage.clone());
                    garbage.push(Garbage { run, stage, field, steps: 1, bytes });
                }
            }
        }
    }
    garbage
}

/// Takes what goes of a step, and says so in its row.
async fn take(tx: &mut Tx<'_>, due: &Due) -> Result<(), StoreError> {
    let place = [due.stage_id.into(), due.step.into()];
    let step: Option<(MaybeText, MaybeText)> = tx
        .fetch(
            "SELECT rows_sha256, dropped FROM step WHERE stage_id = ? AND step = ?",
            place.clone(),
        )
        .await?;
    // A run that was removed since has no step.
    let Some((MaybeText(recorded), MaybeText(dropped))) = step else { return Ok(()) };
    let before = payloads(tx, due).await?;
    let [text, tokens, logprobs] =
        PayloadField::ALL.map(|field| due.fields.iter().any(|(goes, _)| *goes == field));
    let [stage_id, step] = place.clone();
    tx.execute(TAKE, [stage_id, step, text.into(), tokens.into(), logprobs.into()]).await?;
    tx.execute(TAKE_EMPTY, place.clone()).await?;
    let after = payloads(tx, due).await?;
    let changed = recorded.as_deref().and_then(RowHash::parse);
    let changed = changed.map(|hash| hash.without(before).with(after).finish());
    let [stage_id, step] = place;
    tx.execute(
        "UPDATE step SET rows_sha256 = ?, dropped = ? WHERE stage_id = ? AND step = ?",
        [changed.or(recorded).into(), all_dropped(dropped.as_deref(), due).into(), stage_id, step],
    )
    .await
    .map(|_| ())
}

/// The hash over what the rollouts of a step say.
async fn payloads(tx: &mut Tx<'_>, due: &Due) -> Result<RowHash, StoreError> {
    let path = tx.path().to_owned();
    let hash = row_hash::payloads(tx.connection(), due.stage_id, due.step).await;
    hash.map_err(|error| StoreError::from_sqlx(&path, error))
}

/// The fields of a JSON list; none where nothing went.
pub(crate) fn fields(list: Option<&str>) -> Vec<PayloadField> {
    list.and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default()
}

/// The fields that went of a step, earlier and now, as a JSON list.
fn all_dropped(earlier: Option<&str>, due: &Due) -> String {
    let mut all = fields(earlier);
    all.extend(due.fields.iter().map(|(field, _)| *field));
    all.sort_unstable();
    all.dedup();
    let names: Vec<&str> = all.into_iter().map(PayloadField::name).collect();
    serde_json::Value::from(names).to_string()
}
