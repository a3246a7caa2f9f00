//! Learning from pairs: score both members of each with the current weights, take the derivatives of the pair's loss, and
//! give them to a loss that is linear in what the model says.
//!
//! The scores are the numbers that the pass of training computes, bit for bit, so the gradient is that of the pair's loss,
//! and neither micro-batches nor threads show in the derivatives.

use std::sync::Arc;

use r1x_core::estimate::calibration_error;
use r1x_core::loss::Linear;
use r1x_core::loss::pair::PairOutput;
use r1x_core::plan::OptimizerPlan;
use r1x_core::port::WeightChoice;
use r1x_core::schedule::multiplier;
use r1x_core::{Policy, PortError, Problem, ProblemSource, TrainingBatch, TrainingSequence};

use crate::finite::{Guard, Moment};
use crate::metrics::{mean, share};
use crate::optimize::{UpdateSettings, Updates};
use crate::rollout::check_shape;

/// What the stages that learn from pairs have in common.
#[derive(Clone, Copy)]
pub(crate) struct Pairwise<'a> {
    /// Sequences computed together.
    pub(crate) micro_batch_size: usize,
    /// Whether the prompt of a pair is computed once.
    pub(crate) share_prompts: bool,
    /// Settings of the optimizer.
    pub(crate) optimizer: &'a OptimizerPlan,
    /// Steps of the stage, over which the learning rate has its course.
    pub(crate) steps: u64,
    /// What a number of a member is called in messages: `value` or `log-prob`.
    pub(crate) said: &'static str,
    /// Where a person finds the problems.
    pub(crate) source: &'a dyn ProblemSource,
    /// The stage in words.
    pub(crate) place: &'a str,
}

/// What the model says of some pairs: for each the numbers of both members, the better one first, and the loss.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Judged(Vec<([f64; 2], PairOutput)>);

impl Judged {
    /// Numbers of pairs with a loss of each.
    pub(crate) fn new(
        numbers: impl IntoIterator<Item = [f64; 2]>,
        loss: impl Fn([f64; 2]) -> PairOutput,
    ) -> Self {
        Self(numbers.into_iter().map(|numbers| (numbers, loss(numbers))).collect())
    }

    /// Adds what was said of further pairs.
    pub(crate) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    fn leads(&self) -> impl Iterator<Item = f64> {
        self.0.iter().map(|([better, worse], _)| better - worse)
    }

    /// The named figures of the pairs, in a fixed order: the mean loss, the share of pairs whose better member has the
    /// larger number, by how much on average, and the mean number of each member.
    pub(crate) fn figures(&self) -> Vec<(&'static str, f64)> {
        let numbers = |member: usize| mean(self.0.iter().map(|(numbers, _)| numbers[member]));
        let all = [
            ("loss", mean(self.0.iter().map(|(_, output)| output.loss))),
            ("accuracy", mean(self.leads().map(|lead| share(lead > 0.0)))),
            ("margin", mean(self.leads())),
            ("better", numbers(0)),
            ("worse", numbers(1)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// How far the chances that the leads stand for are from the shares in which they are right; `None` without pairs.
    pub(crate) fn calibration(&self) -> Option<f64> {
        calibration_error(&self.leads().collect::<Vec<_>>())
    }
}

impl Pairwise<'_> {
    /// The members of pairs as a batch, the better one of each pair before the worse one.
    pub(crate) fn batch(&self, pairs: Vec<[TrainingSequence; 2]>) -> TrainingBatch {
        TrainingBatch {
            sequences: pairs.into_iter().flatten().map(Arc::new).collect(),
            micro_batch_size: self.micro_batch_size,
            temperature: 1.0,
            share_prompts: self.share_prompts,
        }
    }

    /// The learning rate of a step.
    pub(crate) fn lr(&self, step: u64) -> f64 {
        self.optimizer.lr * multiplier(&self.optimizer.schedule, step, self.steps)
    }

    /// What the model says of the targets of every member, in the order of the batch.
    pub(crate) fn score(
        &self,
        policy: &mut dyn Policy,
        weights: WeightChoice<'_>,
        batch: &TrainingBatch,
        (problems, step): (&[&Problem], u64),
    ) -> Result<Vec<Vec<f32>>, PortError> {
        let said = policy.score(weights, batch)?;
        let count = batch.sequences.len();
        check_shape(self.place, "policy", "scored sequences", said.len(), count)?;
        let guard = Guard { place: self.place, at: Moment::Step(step) };
        for (index, (said, sequence)) in said.iter().zip(&batch.sequences).enumerate() {
            let targets = sequence.mask.len();
            check_shape(self.place, "policy", "numbers of a sequence", said.len(), targets)?;
            if let Some(token) = said.iter().position(|number| !number.is_finite()) {
                let of = self.name(problems, index);
                let what = format!("{} at token {token} of {of}", self.said);
                return Err(guard.error(what, f64::from(said[token])).into());
            }
        }
        Ok(said)
    }

    /// One update by what was said of the pairs of a batch: `each` is the derivative of a member's number by what the model
    /// says of one of the unmasked targets of its sequence.
    pub(crate) fn learn(
        &self,
        policy: &mut dyn Policy,
        mut batch: TrainingBatch,
        judged: &Judged,
        each: impl Fn(&TrainingSequence) -> f64,
        (problems, step): (&[&Problem], u64),
    ) -> Result<Updates, PortError> {
        let pairs = judged.0.len() as f64;
        let outputs = judged.0.iter().map(|(_, output)| output);
        let derivatives = outputs.flat_map(|output| [output.by_better, output.by_worse]);
        for (sequence, derivative) in batch.sequences.iter_mut().zip(derivatives) {
            let sequence = Arc::make_mut(sequence);
            let advantage = -derivative / pairs * each(sequence);
            sequence.advantages = vec![advantage; sequence.mask.len()];
        }
        let name = |index: usize| self.name(problems, index);
        let (plan, lr, place) = (self.optimizer, self.lr(step), self.place);
        let mut updates = Updates::default();
        updates.apply(
            policy,
            &batch,
            &Linear,
            UpdateSettings { plan, lr, place, step, name: &name },
        )?;
        Ok(updates)
    }

    /// How messages call a sequence of a batch.
    fn name(&self, problems: &[&Problem], index: usize) -> String {
        let member = ["better", "worse"][index % 2];
        let problem = problems.get(index / 2).map(|problem| self.source.origin(problem));
        format!("the {member} response of {}", problem.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use r1x_core::loss::pair::bradley_terry;

    #[test]
    fn figures_are_means_over_pairs() {
        let loss = |[better, worse]: [f64; 2]| bradley_terry(better, worse, 0.0);
        let mut judged = Judged::new([[2.0, 1.0], [0.5, 0.5]], loss);
        judged.extend(Judged::new([[-1.0, 0.0], [3.0, -1.0]], loss));
        let figures = judged.figures();
        let names: Vec<&str> = figures.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["loss", "accuracy", "margin", "better", "worse"]);
        // A tie is no hit.
        let values: Vec<f64> = figures[1..].iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [0.5, 1.0, 1.125, 0.125]);
        let expected =
            (loss([1.0, 0.0]).loss + 2f64.ln() + loss([0.0, 1.0]).loss + loss([4.0, 0.0]).loss)
                / 4.0;
        assert!((figures[0].1 - expected).abs() < 1e-15);
        assert!(
            Judged::default().figures().is_empty() && Judged::default().calibration().is_none()
        );
    }
}
