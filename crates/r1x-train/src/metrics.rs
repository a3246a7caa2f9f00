//! The named numbers of a step, in one fixed order.
//!
//! A mean over nothing is left out rather than recorded as 0 or NaN: a gap in a curve is honest.

use r1x_core::estimate::deviation;
use r1x_core::plan::{RejectPlan, RewardPlan};
use r1x_core::select::{Verdict, filters};
use r1x_core::{ConditionState, CreditedGroup, FinishReason, RewardTerm};

use crate::optimize::Updates;

/// Metrics of a GRPO step. `rewards` are its rewards, in the order of the outcomes.
pub(crate) fn of_grpo_step(
    rewards: &[RewardPlan],
    groups: &[CreditedGroup],
    updates: &Updates,
    lr: f64,
) -> Vec<(String, f64)> {
    let mut metrics = Metrics::default();
    metrics.put("loss", updates.loss());
    metrics.rewards(rewards, groups);
    let zero_signal = groups.iter().map(|credited| share(credited.zero_signal));
    metrics.put_some("zero_signal", mean(zero_signal));
    metrics.completions(groups);
    updates.figures().for_each(|(name, value)| metrics.put(name, value));
    metrics.put("grad_norm", updates.grad_norm());
    metrics.put("lr", lr);
    metrics.put("logprob_diff_max", updates.first.logprob_diff_max);
    metrics.put("tokens", updates.all.tokens as f64);
    metrics.0.extend(updates.policy_metrics());
    metrics.0
}

/// Metrics of a step of rejection sampling: what was sampled, the rows that were kept, and what each filter dropped.
pub(crate) fn of_reject_step(
    plan: &RejectPlan,
    rewards: &[RewardPlan],
    groups: &[CreditedGroup],
    verdicts: &[Vec<Verdict>],
) -> Vec<(String, f64)> {
    let mut metrics = Metrics::default();
    metrics.rewards(rewards, groups);
    metrics.completions(groups);
    let all = || verdicts.iter().flatten();
    let count =
        |by: Option<&str>| all().filter(|verdict| verdict.dropped_by() == by).count() as f64;
    metrics.put("kept", count(None));
    metrics.put_some("kept.share", mean(all().map(|verdict| share(*verdict == Verdict::Kept))));
    let answered = verdicts.iter().map(|group| share(group.contains(&Verdict::Kept)));
    metrics.put_some("kept.prompts", mean(answered));
    for filter in filters(plan) {
        metrics.put(&format!("dropped.{filter}"), count(Some(&filter)));
    }
    metrics.0
}

/// Metrics of a supervised step. `epoch` is the number of passes over the data after it.
pub(crate) fn of_sft_step(updates: &Updates, lr: f64, epoch: f64) -> Vec<(String, f64)> {
    let mut metrics = Metrics::default();
    metrics.put("loss", updates.loss());
    metrics.put("grad_norm", updates.grad_norm());
    metrics.put("lr", lr);
    metrics.put("tokens", updates.all.tokens as f64);
    metrics.put("epoch", epoch);
    metrics.0.extend(updates.policy_metrics());
    metrics.0
}

/// Metrics of a step of distillation: those of a supervised one, with what the student wrote, where it wrote anything, and
/// how unlikely it takes the texts to be.
pub(crate) fn of_distill_step(
    groups: &[CreditedGroup],
    updates: &Updates,
    lr: f64,
    epoch: f64,
) -> Vec<(String, f64)> {
    let mut metrics = Metrics(of_sft_step(updates, lr, epoch));
    metrics.completions(groups);
    updates.figures().for_each(|(name, value)| metrics.put(name, value));
    metrics.0
}

/// Metrics of a step that learns from pairs: their figures, the update, then those of held-out pairs where they were due.
/// `epoch` is the number of passes over the data after it.
pub(crate) fn of_pair_step(
    figures: Vec<(&'static str, f64)>,
    updates: &Updates,
    (lr, epoch): (f64, f64),
    heldout: Vec<(String, f64)>,
) -> Vec<(String, f64)> {
    let mut metrics = Metrics::default();
    figures.into_iter().for_each(|(name, value)| metrics.put(name, value));
    metrics.put("grad_norm", updates.grad_norm());
    metrics.put("lr", lr);
    metrics.put("tokens", updates.all.tokens as f64);
    metrics.put("epoch", epoch);
    metrics.0.extend(heldout);
    metrics.0.extend(updates.policy_metrics());
    metrics.0
}

#[derive(Default)]
struct Metrics(Vec<(String, f64)>);

impl Metrics {
    /// What the rewards said of a step's rollouts: the totals, then each reward.
    fn rewards(&mut self, rewards: &[RewardPlan], groups: &[CreditedGroup]) {
        let rollouts = || groups.iter().flat_map(|credited| &credited.group.rollouts);
        let totals: Vec<f64> = rollouts().filter_map(|rewarded| rewarded.total).collect();
        self.put_some("reward.mean", mean(totals.iter().copied()));
        self.put_some("reward.std", (!totals.is_empty()).then(|| deviation(&totals)));
        for (index, reward) in rewards.iter().enumerate() {
            let values = rollouts().filter_map(|rewarded| rewarded.outcomes.get(index)?.value);
            self.put_some(&format!("reward.{}.mean", reward.id), mean(values));
            self.shaping(reward, rollouts().filter_map(|rewarded| rewarded.terms.get(index)));
        }
        let unscored = rollouts().map(|rewarded| share(rewarded.total.is_none()));
        self.put_some("reward.unscored", mean(unscored));
    }

    /// What the completions of a step are like.
    fn completions(&mut self, groups: &[CreditedGroup]) {
        let rollouts = || groups.iter().flat_map(|credited| &credited.group.rollouts);
        let completions = || rollouts().map(|rewarded| &rewarded.rollout.completion);
        let lengths = completions().map(|completion| completion.tokens.len() as f64);
        self.put_some("tokens.mean", mean(lengths));
        let truncated =
            completions().map(|completion| share(completion.finish == FinishReason::Length));
        self.put_some("truncated", mean(truncated));
        let entropies = completions().flat_map(|completion| &completion.entropies);
        self.put_some("entropy", mean(entropies.map(|&entropy| f64::from(entropy))));
    }

    /// What bounds, condition and course of one reward did, where it has them.
    fn shaping<'a>(
        &mut self,
        reward: &RewardPlan,
        terms: impl Iterator<Item = &'a RewardTerm> + Clone,
    ) {
        let (id, shaping) = (&reward.id, &reward.shaping);
        if !shaping.changes_values() {
            return;
        }
        let counted = terms.clone().filter_map(|term| term.counted);
        self.put_some(&format!("reward.{id}.counted"), mean(counted));
        if shaping.condition.is_some() {
            let states = terms.clone().filter_map(|term| term.condition);
            let met = states.map(|state| share(state == ConditionState::Met));
            self.put_some(&format!("reward.{id}.open"), mean(met));
        }
        if shaping.course.is_some() {
            let weight = terms.map(|term| term.weight).next();
            self.put_some(&format!("reward.{id}.weight"), weight);
        }
    }

    fn put(&mut self, name: &str, value: f64) {
        self.0.push((name.to_owned(), value));
    }

    fn put_some(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }
}

/// 1 for yes and 0 for no, whose mean is a share.
pub(crate) fn share(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// Mean of the values; `None` without any.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_usize);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / count as f64)
}
