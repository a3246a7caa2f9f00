//! The guards of a run against numbers that are not finite: each names the first place where one was seen.
//!
//! A comparison with NaN is false and a maximum passes over it, so such a number can hide in a loss that is clipped,
//! in a group without signal, in a log-prob that nobody trains on. Hence every number is looked at where it arises.

use std::sync::{Arc, Mutex, PoisonError};

use r1x_core::loss::{Loss, LossOutput, Said, logprob_difference};
use r1x_core::{CreditedGroup, EvalMetric, ProblemSource, RolloutGroup, TrainingSequence};

use crate::error::TrainError;

/// Who looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard<'a> {
    /// The stage or suite in words.
    pub(crate) place: &'a str,
    /// Where in it.
    pub(crate) at: Moment,
}

/// A place in a run that a number belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// A step of a stage, from 0.
    Step(u64),
    /// An update of a step, from 1.
    Update(u64, usize),
    /// A suite.
    Evaluation,
}

impl Guard<'_> {
    /// The error of a number that is not finite.
    pub(crate) fn error(self, what: impl Into<String>, value: f64) -> TrainError {
        let place = self.place;
        let (place, unrecorded) = match self.at {
            Moment::Step(step) => (format!("{place}, step {step}"), "step"),
            Moment::Update(step, update) => {
                (format!("{place}, step {step}, update {update}"), "step")
            }
            Moment::Evaluation => (place.to_owned(), "evaluation"),
        };
        TrainError::Diverged { place, what: what.into(), value, unrecorded }
    }

    /// Everything that was said about the tokens of sampled rollouts.
    pub(crate) fn sampled(
        self,
        group: &RolloutGroup,
        source: &dyn ProblemSource,
    ) -> Result<(), TrainError> {
        for (index, rollout) in group.rollouts.iter().enumerate() {
            if let Some((token, said, value)) = rollout.completion.not_finite() {
                let problem = source.origin(&group.problem);
                let what = format!("{said} of token {token} of rollout {index} of {problem}");
                return Err(self.error(what, f64::from(value)));
            }
        }
        Ok(())
    }

    /// The advantages of a step.
    pub(crate) fn credited(
        self,
        groups: &[CreditedGroup],
        source: &dyn ProblemSource,
    ) -> Result<(), TrainError> {
        for credited in groups {
            let advantages = &credited.advantages;
            if let Some(rollout) = advantages.iter().position(|value| !value.is_finite()) {
                let problem = source.origin(&credited.group.problem);
                let what = format!("advantage of rollout {rollout} of {problem}");
                return Err(self.error(what, advantages[rollout]));
            }
        }
        Ok(())
    }

    /// Log-probs of one sequence, whose name is asked for when one of them is not finite.
    pub(crate) fn scored(
        self,
        logprobs: &[f32],
        name: impl FnOnce() -> String,
    ) -> Result<(), TrainError> {
        self.said("log-prob", logprobs, name)
    }

    /// What a critic says of one sequence, whose name is asked for when a value is not finite.
    pub(crate) fn valued(
        self,
        values: &[f32],
        name: impl FnOnce() -> String,
    ) -> Result<(), TrainError> {
        self.said("value", values, name)
    }

    fn said(
        self,
        word: &str,
        numbers: &[f32],
        name: impl FnOnce() -> String,
    ) -> Result<(), TrainError> {
        match numbers.iter().position(|number| !number.is_finite()) {
            None => Ok(()),
            Some(token) => {
                let what = format!("{word} of token {token} of {}", name());
                Err(self.error(what, f64::from(numbers[token])))
            }
        }
    }

    /// Named numbers that are about to be recorded.
    pub(crate) fn metrics<'m>(
        self,
        metrics: impl IntoIterator<Item = (&'m str, f64)>,
    ) -> Result<(), TrainError> {
        match metrics.into_iter().find(|(_, value)| !value.is_finite()) {
            None => Ok(()),
            Some((name, value)) => Err(self.error(format!("metric `{name}`"), value)),
        }
    }

    /// The figures of an evaluation.
    pub(crate) fn figures(self, figures: &[EvalMetric]) -> Result<(), TrainError> {
        self.metrics(figures.iter().flat_map(|figure| {
            [figure.value, figure.stderr].map(|value| (figure.metric.as_str(), value))
        }))
    }
}

/// A loss that is watched: it keeps the first number that is not finite, of those that it is given and of those that it
/// makes, and how far trainer and sampler are apart.
pub(crate) struct Watched<'a> {
    loss: &'a dyn Loss,
    sequences: &'a [Arc<TrainingSequence>],
    first: Mutex<Option<Found>>,
}

/// A number that is not finite, and the sequence it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    /// Its position in the batch, where it is one of the batch.
    pub(crate) sequence: Option<usize>,
    /// What it is, such as "log-prob of token 3".
    pub(crate) what: String,
    /// The number.
    pub(crate) value: f64,
}

impl<'a> Watched<'a> {
    /// Watches a loss over the sequences of a batch.
    pub(crate) fn new(loss: &'a dyn Loss, sequences: &'a [Arc<TrainingSequence>]) -> Self {
        Self { loss, sequences, first: Mutex::new(None) }
    }

    /// The first number that was not finite, in the order of the batch.
    pub(crate) fn found(self) -> Option<Found> {
        self.first.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, sequence: &TrainingSequence, what: String, value: f64) {
        let sequence =
            self.sequences.iter().position(|one| std::ptr::eq(&raw const **one, sequence));
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let known = first.as_ref().map(|known| known.sequence.unwrap_or(usize::MAX));
        if known.is_none_or(|known| sequence.unwrap_or(usize::MAX) < known) {
            *first = Some(Found { sequence, what, value });
        }
    }
}

impl Loss for Watched<'_> {
    fn evaluate(&self, sequence: &TrainingSequence, said: Said<'_>) -> LossOutput {
        let mut output = self.loss.evaluate(sequence, said);
        output.totals.logprob_diff_max = logprob_difference(sequence, said.targets);
        let width = sequence.candidates.width.max(1);
        let target = format!("{} of token", self.loss.target_word());
        // What the model says comes first: what the loss makes of it follows from it.
        let numbers = [
            (target.as_str(), said.targets, 1),
            ("entropy of token", said.entropies, 1),
            ("log-prob of a candidate at token", said.candidates, width),
            ("derivative of the loss at token", &output.gradient, 1),
            ("derivative of the loss by the entropy of token", &output.entropies, 1),
            ("derivative of the loss by a candidate at token", &output.candidates, width),
        ];
        let not_finite = |(what, values, width): (&str, &[f32], usize)| {
            let at = values.iter().position(|value| !value.is_finite())?;
            Some((format!("{what} {}", at / width), f64::from(values[at])))
        };
        if let Some((what, value)) = numbers.into_iter().find_map(not_finite) {
            self.keep(sequence, what, value);
        } else if let Some((sum, value)) = output.totals.not_finite(self.loss.figures()) {
            self.keep(sequence, sum.to_owned(), value);
        }
        output
    }

    fn reads_entropies(&self) -> bool {
        self.loss.reads_entropies()
    }

    /// Not watched: what is not finite there is in the totals of the whole loss.
    fn further_tokens(&self) -> Option<&dyn Loss> {
        self.loss.further_tokens()
    }

    fn figures(&self) -> &'static [&'static str] {
        self.loss.figures()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loss that hands back a gradient of every kind, and one that is NaN where a candidate is worth more than -1.
    struct Every;

    impl Loss for Every {
        fn evaluate(&self, _sequence: &TrainingSequence, said: Said<'_>) -> LossOutput {
            let by_candidate = |logprob: &f32| if *logprob > -1.0 { f32::NAN } else { 0.0 };
            LossOutput {
                gradient: vec![0.0; said.targets.len()],
                entropies: vec![0.0; said.entropies.len()],
                candidates: said.candidates.iter().map(by_candidate).collect(),
                ..LossOutput::default()
            }
        }
    }

    #[test]
    fn numbers_of_entropies_and_candidates_are_looked_at_too() {
        let mut sequence = TrainingSequence::new(&[1], &[2, 3]);
        sequence.candidates = r1x_core::rollout::Candidates {
            width: 2,
            tokens: vec![2, 3, 2, 3],
            logprobs: vec![-2.0; 4],
        };
        let sequences = [Arc::new(sequence)];
        let found = |entropies: &[f32], candidates: &[f32]| {
            let watched = Watched::new(&Every, &sequences);
            watched.evaluate(&sequences[0], Said { targets: &[-1.0, -1.0], entropies, candidates });
            watched.found().map(|found| found.what)
        };
        let (entropies, candidates) = ([1.0, 1.0], [-2.0; 4]);
        assert_eq!(found(&entropies, &candidates), None);
        assert_eq!(found(&[1.0, f32::NAN], &candidates).unwrap(), "entropy of token 1");
        let infinite = [-2.0, -2.0, f32::NEG_INFINITY, -2.0];
        assert_eq!(found(&entropies, &infinite).unwrap(), "log-prob of a candidate at token 1");
        let caught = found(&entropies, &[-2.0, -0.5, -2.0, -2.0]).unwrap();
        assert_eq!(caught, "derivative of the loss by a candidate at token 0");
    }
}
