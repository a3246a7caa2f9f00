//! The penalty towards the reference where it is taken off the totals that rollouts are compared by.
//!
//! With the log-probs π with which a completion was sampled, its total is less by β·Σ KL over its tokens, where KL is what
//! the estimator says of a token; of k1 it is log π − log ref. What is compared, in a group or over the step, is the difference; what is recorded stays what the rewards said, and the
//! log-probs of the reference beside it.
//!
//! Sources: Ahmadian et al. 2024, "Back to Basics: Revisiting REINFORCE-Style Optimization for Learning from Human Feedback
//! in LLMs", arXiv 2402.14740, section 2 (the sum over the completion); Hu et al. 2025, "REINFORCE++", arXiv 2501.03262,
//! which charges a token with the terms from it on.

use r1x_core::kl::kl;
use r1x_core::plan::{KlEstimator, KlPlan};
use r1x_core::{CreditedGroup, RewardedGroup, RewardedRollout, TrainingSequence};

use crate::metrics::mean;

/// Totals that are less by a penalty for as long as they are compared.
pub(crate) struct Penalised {
    /// Log-probs under the reference, `[group][rollout][token]`; empty for rollouts without a total.
    pub(crate) logprobs: Vec<Vec<Vec<f32>>>,
    /// The totals as the rewards gave them.
    totals: Vec<Vec<Option<f64>>>,
    /// What was taken off each rollout that has a total.
    penalties: Vec<f64>,
    /// The estimate of each of their tokens.
    estimates: Vec<f64>,
}

/// What an estimator says of each token with these log-probs, under the policy that sampled it and under the reference.
pub(crate) fn estimates<'a>(
    estimator: KlEstimator,
    sampled: &'a [f32],
    reference: &'a [f32],
) -> impl Iterator<Item = f64> + 'a {
    let value =
        move |(own, other): (&f32, &f32)| kl(estimator, f64::from(*own), f64::from(*other)).value;
    sampled.iter().zip(reference).map(value)
}

/// What the reference is asked about: every rollout with a total, in order, because every one of them is compared.
pub(crate) fn sequences(groups: &[RewardedGroup]) -> Vec<TrainingSequence> {
    let of_group = |group: &RewardedGroup| -> Vec<TrainingSequence> {
        let judged = group.rollouts.iter().filter(|rollout| rollout.total.is_some());
        let tokens = judged.map(|rollout| &rollout.rollout.completion.tokens);
        tokens.map(|tokens| TrainingSequence::new(&group.prompt_tokens, tokens)).collect()
    };
    groups.iter().flat_map(of_group).collect()
}

/// Takes the penalty off every total. `logprobs` are those of the reference, one list for each of [`sequences`].
pub(crate) fn take_off(
    KlPlan { coef, estimator, .. }: &KlPlan,
    groups: &mut [RewardedGroup],
    logprobs: Vec<Vec<f32>>,
) -> Penalised {
    let mut logprobs = logprobs.into_iter();
    let (mut penalties, mut estimates) = (Vec::new(), Vec::new());
    let totals = groups.iter().map(|group| group.rollouts.iter().map(|one| one.total).collect());
    let totals = totals.collect();
    let mut of_rollout = |rollout: &mut RewardedRollout| {
        let Some(total) = &mut rollout.total else { return Vec::new() };
        let reference = logprobs.next().unwrap_or_default();
        let first = estimates.len();
        let sampled = &rollout.rollout.completion.logprobs;
        estimates.extend(self::estimates(*estimator, sampled, &reference));
        let penalty = coef * estimates[first..].iter().sum::<f64>();
        *total -= penalty;
        penalties.push(penalty);
        reference
    };
    let mut of_group =
        |group: &mut RewardedGroup| group.rollouts.iter_mut().map(&mut of_rollout).collect();
    let logprobs = groups.iter_mut().map(&mut of_group).collect();
    Penalised { logprobs, totals, penalties, estimates }
}

impl Penalised {
    /// Gives the totals back that the rewards gave.
    pub(crate) fn give_back(&self, groups: &mut [CreditedGroup]) {
        for (credited, totals) in groups.iter_mut().zip(&self.totals) {
            for (rollout, total) in credited.group.rollouts.iter_mut().zip(totals) {
                rollout.total = *total;
            }
        }
    }

    /// The mean estimate of a token, and the mean of what was taken off.
    pub(crate) fn figures(&self) -> Vec<(String, f64)> {
        let figures = [("kl", &self.estimates), ("kl.penalty", &self.penalties)];
        let named = |(name, values): (&str, &Vec<f64>)| {
            Some((name.to_owned(), mean(values.iter().copied())?))
        };
        figures.into_iter().filter_map(named).collect()
    }
}
