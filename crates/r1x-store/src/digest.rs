//! The digest of a run: sha256 over its facts, so that two runs can be compared by one word.
//!
//! Every step and evaluation is hashed as it is recorded (token ids, log-prob bits, rewards, advantages,
//! metrics); the run's digest is the hash over those hashes and the weights each stage ended with, in order.
//! Superseded attempts are left out, so a resumed run has the digest of an uninterrupted one. Times, names
//! and machines are left out too. Must not depend on what of a rollout is kept.

use r1x_core::digest::hex;
use r1x_core::facts::{EvalFacts, StepFacts};
use r1x_core::rollout::{
    ConditionState, CreditedGroup, RewardOutcome, RewardTerm, RewardedRollout,
};
use sha2::{Digest, Sha256};
use sqlx::query_as;
use sqlx::sqlite::SqliteConnection;

use crate::error::StoreError;
use crate::text::Text;
use crate::writer::Tx;

/// A hash that is fed values with their lengths, so that different facts never look alike.
struct Facts(Sha256);

impl Facts {
    fn number(&mut self, value: u64) {
        self.0.update(value.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn real(&mut self, value: f64) {
        self.number(value.to_bits());
    }

    fn optional(&mut self, value: Option<f64>) {
        self.number(u64::from(value.is_some()));
        self.real(value.unwrap_or(0.0));
    }

    fn tokens(&mut self, tokens: &[u32], logprobs: &[f32]) {
        self.number(tokens.len() as u64);
        tokens.iter().for_each(|token| self.0.update(token.to_le_bytes()));
        logprobs.iter().for_each(|logprob| self.0.update(logprob.to_bits().to_le_bytes()));
    }

    fn group(&mut self, credited: &CreditedGroup) {
        self.text(&credited.group.problem.key);
        for (at, rewarded) in credited.group.rollouts.iter().enumerate() {
            let completion = &rewarded.rollout.completion;
            self.tokens(&completion.tokens, &completion.logprobs);
            for outcome in &rewarded.outcomes {
                self.text(outcome.status.as_str());
                self.optional(outcome.value);
            }
            self.terms(rewarded);
            self.optional(rewarded.total);
            if let Some(advantage) = credited.advantages.get(at) {
                self.real(*advantage);
            }
        }
    }

    /// What became of the values. Where nothing did, nothing is added: such steps have the hash they had before
    /// there were terms.
    fn terms(&mut self, rewarded: &RewardedRollout) {
        for (index, (outcome, term)) in rewarded.outcomes.iter().zip(&rewarded.terms).enumerate() {
            if is_plain(outcome, term) {
                continue;
            }
            self.text("term");
            self.number(index as u64);
            self.text(term.condition.map_or("none", ConditionState::as_str));
            self.optional(term.clipped);
            self.optional(term.counted);
            self.real(term.weight);
            self.optional(term.normalized);
        }
        if rewarded.unclipped != rewarded.total {
            self.text("unclipped");
            self.optional(rewarded.unclipped);
        }
    }

    fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

/// Whether a reward's value counts as it is, and is compared as part of the total.
fn is_plain(outcome: &RewardOutcome, term: &RewardTerm) -> bool {
    let as_it_is = term.clipped == outcome.value && term.counted == outcome.value;
    as_it_is && term.condition.is_none() && term.normalized.is_none()
}

/// The hash of one step.
pub(crate) fn step(facts: &StepFacts) -> String {
    let mut hash = Facts(Sha256::new());
    facts.groups.iter().for_each(|group| hash.group(group));
    // Stages that make no data have the hash they had before there were any that do.
    for verdict in facts.verdicts.iter().flatten() {
        hash.text(verdict.dropped_by().unwrap_or_default());
    }
    for (name, value) in &facts.metrics {
        hash.text(name);
        hash.real(*value);
    }
    hash.finish()
}

/// The hash of one evaluation.
pub(crate) fn evaluation(facts: &EvalFacts) -> String {
    let mut hash = Facts(Sha256::new());
    for (problem, samples) in &facts.items {
        hash.text(&problem.key);
        for sample in samples {
            hash.tokens(&sample.tokens, &sample.logprobs);
            hash.text(sample.status.as_str());
            hash.optional(sample.score);
            if sample.condition.is_some() || sample.value != sample.score {
                hash.text(sample.condition.map_or("none", ConditionState::as_str));
                hash.optional(sample.value);
            }
        }
    }
    for figure in &facts.metrics {
        hash.text(&figure.metric);
        hash.real(figure.value);
    }
    hash.finish()
}

/// The digest of everything recorded of a run so far.
pub(crate) async fn run(tx: &mut Tx<'_>, run_id: i64) -> Result<String, StoreError> {
    let path = tx.path().to_owned();
    of_run(tx.connection(), run_id).await.map_err(|error| StoreError::from_sqlx(&path, error))
}

/// The digest of a run, by its rows in a store.
pub(crate) async fn of_run(
    conn: &mut SqliteConnection,
    run_id: i64,
) -> Result<String, sqlx::Error> {
    let mut hash = Facts(Sha256::new());
    let steps: Vec<(i64, i64, Text)> = query_as(
        "SELECT st.idx, s.step, s.facts_sha256 FROM step s JOIN stage st USING (stage_id)
          WHERE st.run_id = ? AND (st.superseded_from IS NULL OR s.step < st.superseded_from)
          ORDER BY st.idx, s.step",
    )
    .bind(run_id)
    .fetch_all(&mut *conn)
    .await?;
    for (stage, step, Text(facts)) in steps {
        hash.number(stage.cast_unsigned());
        hash.number(step.cast_unsigned());
        hash.text(&facts);
    }
    let evaluations: Vec<(Text, i64, Text, Text)> = query_as(
        "SELECT label, step, suite, facts_sha256 FROM eval_run
          WHERE run_id = ? AND superseded = 0 ORDER BY label, step, suite",
    )
    .bind(run_id)
    .fetch_all(&mut *conn)
    .await?;
    for (Text(label), step, Text(suite), Text(facts)) in evaluations {
        hash.text(&label);
        hash.number(step.cast_unsigned());
        hash.text(&suite);
        hash.text(&facts);
    }
    let weights: Vec<(i64, Text)> = query_as(
        "SELECT idx, weights_sha256 FROM stage
          WHERE run_id = ? AND weights_sha256 IS NOT NULL AND superseded_from IS NULL ORDER BY idx",
    )
    .bind(run_id)
    .fetch_all(&mut *conn)
    .await?;
    for (stage, Text(weights)) in weights {
        hash.number(stage.cast_unsigned());
        hash.text(&weights);
    }
    Ok(hash.finish())
}
