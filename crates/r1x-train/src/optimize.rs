//! One optimizer update with its guard against divergence, and the sums of several.

use r1x_core::loss::{Loss, LossTotals};
use r1x_core::plan::OptimizerPlan;
use r1x_core::port::UpdateFacts;
use r1x_core::{Policy, PortError, TrainingBatch};

use crate::finite::{Guard, Moment, Watched};

/// What all updates of a step share.
#[derive(Clone, Copy)]
pub(crate) struct UpdateSettings<'a> {
    /// Settings of the optimizer.
    pub(crate) plan: &'a OptimizerPlan,
    /// Learning rate of this step.
    pub(crate) lr: f64,
    /// Which stage, for errors.
    pub(crate) place: &'a str,
    /// Which step, for errors.
    pub(crate) step: u64,
    /// The name of a sequence of the batch, for errors.
    pub(crate) name: &'a dyn Fn(usize) -> String,
}

/// What the updates of one step did together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Updates {
    /// How many there were.
    pub(crate) count: usize,
    /// Totals of the first: the only one that sees the weights the rollouts were sampled from.
    pub(crate) first: LossTotals,
    /// Totals of all; `loss` is their sum, not their mean.
    pub(crate) all: LossTotals,
    /// Names of the figures of the totals.
    figures: &'static [&'static str],
    /// Sum of the gradient norms.
    grad_norm: f64,
    /// Sums of the policy's own numbers by name, in the order they first appeared, with their counts.
    metrics: Vec<(String, f64, usize)>,
}

impl Updates {
    /// Trains on one batch. Errors before the weights change when a log-prob, the loss or its gradient is not finite,
    /// and before anything is recorded or saved when the weights are not.
    pub(crate) fn apply(
        &mut self,
        policy: &mut dyn Policy,
        batch: &TrainingBatch,
        loss: &dyn Loss,
        optimizer: UpdateSettings<'_>,
    ) -> Result<(), PortError> {
        let at = Moment::Update(optimizer.step, self.count + 1);
        let guard = Guard { place: optimizer.place, at };
        let watched = Watched::new(loss, &batch.sequences);
        let totals = policy.accumulate(batch, &watched)?;
        if let Some(found) = watched.found() {
            let of = found.sequence.map(|index| format!(" of {}", (optimizer.name)(index)));
            let what = format!("{}{}", found.what, of.unwrap_or_default());
            return Err(guard.error(what, found.value).into());
        }
        if let Some((sum, value)) = totals.not_finite(loss.figures()) {
            return Err(guard.error(sum, value).into());
        }
        let facts = policy.update(optimizer.plan, optimizer.lr)?;
        if let Some((tensor, value)) = &facts.not_finite {
            return Err(guard.error(tensor, *value).into());
        }
        if !facts.grad_norm.is_finite() {
            return Err(guard.error("gradient norm", facts.grad_norm).into());
        }
        self.all.add(&totals);
        self.figures = loss.figures();
        if self.count == 0 {
            self.first = totals;
        }
        self.add_facts(facts);
        Ok(())
    }

    /// Mean loss of the updates; 0 without any.
    pub(crate) fn loss(&self) -> f64 {
        self.all.loss / self.count.max(1) as f64
    }

    /// Mean gradient norm of the updates, before clipping; 0 without any.
    pub(crate) fn grad_norm(&self) -> f64 {
        self.grad_norm / self.count.max(1) as f64
    }

    /// What the loss reports, by name: means over the tokens of all updates; nothing where no token was trained on.
    pub(crate) fn figures(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let tokens = self.all.tokens as f64;
        let sums = self.figures.iter().copied().zip(self.all.figures.iter().copied());
        sums.filter(move |_| tokens > 0.0).map(move |(name, sum)| (name, sum / tokens))
    }

    /// Means of the policy's own numbers.
    pub(crate) fn policy_metrics(&self) -> impl Iterator<Item = (String, f64)> {
        let means = self.metrics.iter();
        means.map(|(name, sum, count)| (name.clone(), sum / *count as f64))
    }

    fn add_facts(&mut self, facts: UpdateFacts) {
        self.count += 1;
        self.grad_norm += facts.grad_norm;
        for (name, value) in facts.metrics {
            match self.metrics.iter_mut().find(|(known, ..)| *known == name) {
                Some((_, sum, count)) => {
                    *sum += value;
                    *count += 1;
                }
                None => self.metrics.push((name, value, 1)),
            }
        }
    }
}
