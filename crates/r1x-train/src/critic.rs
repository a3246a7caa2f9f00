//! The critic of a stage: what it says of the tokens of a step, the advantages that come of it, and what it learns.
//!
//! A token earns the total of its rollout where it is the last one and nothing elsewhere, less β times the estimate of its
//! divergence where a penalty is counted in the reward. All values are asked for before anything is learnt from the step.

use std::sync::Arc;

use r1x_core::advantage::{Estimated, explained_variance, gae, whitened};
use r1x_core::loss::{self, UpdateCounts};
use r1x_core::plan::{CriticPlan, KlPlan, LossPlan};
use r1x_core::port::{Models, WeightChoice};
use r1x_core::schedule::multiplier;
use r1x_core::{CreditedGroup, PortError, TrainingBatch, TrainingSequence};

use crate::finite::Guard;
use crate::metrics::mean;
use crate::optimize::{UpdateSettings, Updates};
use crate::pack::PackedRollout;
use crate::penalty;
use crate::rollout::check_shape;

/// What a critic has said of a step and what came.
pub(crate) struct Criticised {
    /// What the critic learns from, one for each packed rollout, in order; those without a trained token are empty.
    sequences: Vec<Arc<TrainingSequence>>,
    figures: Vec<(String, f64)>,
}

/// What a stage tells its critic of a step.
pub(crate) struct CriticStep<'s> {
    /// The plan of the critic.
    pub(crate) plan: &'s CriticPlan,
    /// The penalty that tokens are charged with, where one is counted in the reward.
    pub(crate) penalty: Option<&'s KlPlan>,
    /// What is added to the deviation that advantages are divided by.
    pub(crate) eps: f64,
    /// A batch of sequences as the policy would have it.
    pub(crate) batch: &'s dyn Fn(Vec<Arc<TrainingSequence>>) -> TrainingBatch,
    /// Who looks.
    pub(crate) guard: Guard<'s>,
}

impl CriticStep<'_> {
    /// Asks the critic about every trained sequence and assigns the credit of its tokens; a rollout's advantage becomes the
    /// mean over its tokens.
    pub(crate) fn criticise(
        &self,
        models: &mut dyn Models,
        packed: &mut [PackedRollout],
        credited: &mut [CreditedGroup],
        name: &dyn Fn(&PackedRollout) -> String,
    ) -> Result<Criticised, PortError> {
        let said = self.ask(models, packed, name)?;
        let mut said = said.into_iter();
        let mut charges = Charges::default();
        let mut estimated = Vec::with_capacity(packed.len());
        for one in packed.iter() {
            if !one.is_trained() {
                estimated.push((Estimated::default(), Vec::new()));
                continue;
            }
            let values = said.next().unwrap_or_default();
            let total = credited[one.group].group.rollouts[one.rollout].total.unwrap_or(0.0);
            let rewards = charges.rewards(total, &one.sequence, self.penalty);
            let CriticPlan { gamma, lambda, .. } = *self.plan;
            estimated.push((gae(&rewards, &values, (gamma, lambda)), values));
        }
        let figures = [self.figures(&estimated), charges.figures()].concat();
        self.guard.metrics(figures.iter().map(|(name, value)| (name.as_str(), *value)))?;
        self.assign(&estimated, packed, credited);
        let pairs = packed.iter().zip(estimated);
        let sequences = pairs.map(|(one, (estimated, values))| {
            Arc::new(TrainingSequence {
                tokens: one.sequence.tokens.clone(),
                prompt_len: one.sequence.prompt_len,
                mask: one.sequence.mask.clone(),
                returns: estimated.returns,
                values,
                ..TrainingSequence::default()
            })
        });
        Ok(Criticised { sequences: sequences.collect(), figures })
    }

    /// What the critic says of each trained sequence, in order.
    fn ask(
        &self,
        models: &mut dyn Models,
        packed: &[PackedRollout],
        name: &dyn Fn(&PackedRollout) -> String,
    ) -> Result<Vec<Vec<f32>>, PortError> {
        let trained: Vec<_> = packed.iter().filter(|one| one.is_trained()).collect();
        if trained.is_empty() {
            return Ok(Vec::new());
        }
        let batch = (self.batch)(trained.iter().map(|one| Arc::clone(&one.sequence)).collect());
        let mut said = Vec::new();
        models.with_critic(self.plan, &mut |critic| {
            said = critic.score(WeightChoice::Current, &batch)?;
            Ok(())
        })?;
        let place = self.guard.place;
        check_shape(place, "critic", "sequences with values", said.len(), trained.len())?;
        for (said, one) in said.iter().zip(trained) {
            check_shape(place, "critic", "values", said.len(), one.sequence.mask.len())?;
            self.guard.valued(said, || name(one))?;
        }
        Ok(said)
    }

    fn assign(
        &self,
        estimated: &[(Estimated, Vec<f32>)],
        packed: &mut [PackedRollout],
        credited: &mut [CreditedGroup],
    ) {
        let all: Vec<f64> =
            estimated.iter().flat_map(|(one, _)| one.advantages.iter().copied()).collect();
        let all = if self.plan.whiten { whitened(&all, self.eps) } else { all };
        let mut all = all.into_iter();
        for (one, (estimated, _)) in packed.iter_mut().zip(estimated) {
            let advantages: Vec<f64> = all.by_ref().take(estimated.advantages.len()).collect();
            let Some(mean) = mean(advantages.iter().copied()) else { continue };
            credited[one.group].advantages[one.rollout] = mean;
            // The batch that shared the sequence is gone, so nothing is copied.
            Arc::make_mut(&mut one.sequence).advantages = advantages;
        }
    }

    /// What the critic said and what came, over the tokens of the step.
    fn figures(&self, estimated: &[(Estimated, Vec<f32>)]) -> Vec<(String, f64)> {
        let values = estimated.iter().flat_map(|(_, values)| values);
        let values: Vec<f64> = values.map(|value| f64::from(*value)).collect();
        let returns = estimated.iter().flat_map(|(one, _)| &one.returns);
        let returns: Vec<f64> = returns.copied().collect();
        let figures = [
            ("critic.value.mean", mean(values.iter().copied())),
            ("critic.return.mean", mean(returns.iter().copied())),
            ("critic.explained_variance", explained_variance(&returns, &values)),
        ];
        let named = |(name, value): (&str, Option<f64>)| Some((name.to_owned(), value?));
        figures.into_iter().filter_map(named).collect()
    }
}

/// What tokens are charged with, for the figures of a step.
#[derive(Default)]
struct Charges {
    /// The estimate of each token.
    estimates: Vec<f64>,
    /// The charge of each rollout.
    charged: Vec<f64>,
}

impl Charges {
    /// What each token of a sequence earns.
    fn rewards(
        &mut self,
        total: f64,
        sequence: &TrainingSequence,
        penalty: Option<&KlPlan>,
    ) -> Vec<f64> {
        let mut rewards = vec![0.0; sequence.mask.len()];
        if let Some(last) = rewards.last_mut() {
            *last = total;
        }
        let Some(KlPlan { coef, estimator, .. }) = penalty else { return rewards };
        let TrainingSequence { sampled_logprobs, reference_logprobs, .. } = sequence;
        let before = self.estimates.len();
        self.estimates.extend(penalty::estimates(*estimator, sampled_logprobs, reference_logprobs));
        let estimates = &self.estimates[before..];
        rewards.iter_mut().zip(estimates).for_each(|(reward, kl)| *reward -= coef * kl);
        self.charged.push(coef * estimates.iter().sum::<f64>());
        rewards
    }

    /// The mean estimate of a token, and the mean of what a rollout was charged with; nothing without a penalty.
    fn figures(&self) -> Vec<(String, f64)> {
        let figures = [("kl", &self.estimates), ("kl.penalty", &self.charged)];
        let named = |(name, values): (&str, &Vec<f64>)| {
            Some((name.to_owned(), mean(values.iter().copied())?))
        };
        figures.into_iter().filter_map(named).collect()
    }
}

impl Criticised {
    /// Lets the critic learn from the step: `parts` says which of the packed rollouts each update is of. What came of it joins
    /// the figures of the step, which this gives.
    pub(crate) fn teach(
        self,
        step: &CriticStep<'_>,
        models: &mut dyn Models,
        parts: &[Vec<usize>],
        (at, steps): (u64, u64),
        name: &dyn Fn(usize) -> String,
    ) -> Result<Vec<(String, f64)>, PortError> {
        let optimizer = &step.plan.optimizer;
        let lr = optimizer.lr * multiplier(&optimizer.schedule, at, steps);
        let mut updates = Updates::default();
        let place = format!("{}, critic", step.guard.place);
        models.with_critic(step.plan, &mut |critic| {
            for part in parts {
                let is_trained =
                    |index: &&usize| loss::trained_tokens(&self.sequences[**index]) > 0;
                let trained: Vec<usize> = part.iter().filter(is_trained).copied().collect();
                if trained.is_empty() {
                    continue;
                }
                let sequences = trained.iter().map(|index| Arc::clone(&self.sequences[*index]));
                let batch = (step.batch)(sequences.collect());
                let counts = UpdateCounts::of(&batch.sequences, 0.0);
                let loss = loss::build(&LossPlan::Value(step.plan.loss), &counts);
                let name = |index: usize| name(trained[index]);
                let settings =
                    UpdateSettings { plan: optimizer, lr, place: &place, step: at, name: &name };
                updates.apply(critic, &batch, &*loss, settings)?;
            }
            Ok(())
        })?;
        let mut figures = self.figures;
        figures.push(("critic.loss".to_owned(), updates.loss()));
        let own = updates.figures().map(|(name, value)| (format!("critic.{name}"), value));
        figures.extend(own);
        figures.push(("critic.grad_norm".to_owned(), updates.grad_norm()));
        figures.push(("critic.lr".to_owned(), lr));
        let of_model = updates.policy_metrics();
        figures.extend(of_model.map(|(name, value)| (format!("critic.{name}"), value)));
        Ok(figures)
    }
}
