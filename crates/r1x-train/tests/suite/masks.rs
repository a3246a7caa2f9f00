//! What is left out of the loss: failed rewards, groups without signal, truncated completions.

use r1x_core::FinishReason;
use r1x_core::plan::{Aggregation, GrpoPlan, Truncated, ZeroSignal};
use r1x_core::testing;

use crate::support::{Finished, finish, grpo_plan, grpo_stage, run_plan};

fn with_rewards(rewards: &[&str], steps: u64) -> GrpoPlan {
    let mut plan = grpo_plan(steps);
    plan.rewards = rewards.iter().map(|&id| id.to_owned()).collect();
    plan
}

fn finish_stage(plan: GrpoPlan) -> Finished {
    finish(&run_plan(vec![grpo_stage(plan)]))
}

#[test]
fn rollouts_whose_only_reward_failed_get_no_advantage_and_no_vote() {
    let finished = finish_stage(with_rewards(&["flaky"], 30));
    let mut unscored = 0;
    for step in finished.steps() {
        for group in &step.groups {
            let totals = group.group.rollouts.iter().map(|one| one.total);
            let credited: Vec<_> = totals.zip(group.advantages.iter().copied()).collect();
            for &(total, advantage) in &credited {
                if total.is_none() {
                    unscored += 1;
                    assert_eq!(advantage, 0.0);
                }
            }
            let scored = credited.iter().filter(|(total, _)| total.is_some());
            let scored: f64 = scored.map(|(_, advantage)| advantage).sum();
            assert!(scored.abs() < 1e-9, "advantages of the scored sum to zero");
        }
    }
    assert!(unscored > 50);
    let recorded: f64 = finished.curve("reward.unscored").iter().sum::<f64>() * 40.0;
    assert!((recorded - f64::from(unscored)).abs() < 1e-6);
    let rewards = finished.curve("reward.mean");
    assert!(rewards[29] > rewards[0], "even digits are still learned: {rewards:?}");
}

#[test]
fn a_failed_reward_leaves_the_total_to_the_others() {
    let alone = finish_stage(with_rewards(&["first"], 3));
    let beside = finish_stage(with_rewards(&["broken", "first"], 3));
    for (one, other) in alone.steps().iter().zip(beside.steps()) {
        for (one, other) in one.groups.iter().zip(&other.groups) {
            assert_eq!(one.advantages, other.advantages);
        }
        assert_eq!(other.rewards, ["broken", "first"]);
        assert_eq!(other.groups[0].group.rollouts[0].outcomes.len(), 2);
    }
    assert_eq!(beside.curve("reward.broken.mean"), Vec::<f64>::new());
    assert_eq!(beside.curve("reward.first.mean"), alone.curve("reward.first.mean"));
}

#[test]
fn a_step_in_which_every_reward_fails_is_harmless() {
    let finished = finish_stage(with_rewards(&["broken"], 3));
    assert_eq!(finished.curve("reward.unscored"), vec![1.0; 3]);
    assert_eq!(finished.curve("zero_signal"), vec![1.0; 3]);
    assert_eq!(finished.curve("loss"), vec![0.0; 3]);
    assert_eq!(finished.curve("reward.mean"), Vec::<f64>::new());
    assert_eq!(finished.curve("grad_norm"), vec![0.0; 3]);
    for step in finished.steps() {
        assert!(step.metrics.iter().all(|(_, value)| value.is_finite()));
        assert!(step.groups.iter().all(|group| group.advantages == [0.0; 8]));
    }
}

#[test]
fn groups_without_signal_are_kept_or_dropped_as_planned() {
    let sizes = |zero_signal| {
        let mut plan = with_rewards(&["first"], 1);
        plan.group_size = 4;
        plan.zero_signal = zero_signal;
        let finished = finish_stage(plan);
        let with_signal =
            finished.steps()[0].groups.iter().filter(|group| !group.zero_signal).count();
        (finished.policy.batches[0].len(), with_signal)
    };
    let (kept, with_signal) = sizes(ZeroSignal::Keep);
    assert!((1..5).contains(&with_signal), "the seed gives both kinds of group: {with_signal}");
    assert_eq!(kept, 5 * 4);
    assert_eq!(sizes(ZeroSignal::Drop), (with_signal * 4, with_signal));
}

#[test]
fn a_step_whose_groups_are_all_dropped_updates_nothing() {
    let mut plan = with_rewards(&["same"], 2);
    plan.zero_signal = ZeroSignal::Drop;
    testing::surrogate_of(&mut plan).kl.coef = 0.1;
    let finished = finish_stage(plan);
    assert_eq!(finished.policy.updates_done, 0);
    assert_eq!(finished.curve("tokens"), vec![0.0; 2]);
    assert_eq!(finished.curve("loss"), vec![0.0; 2]);
    assert_eq!(finished.curve("reward.mean"), vec![1.0; 2]);
    assert_eq!(finished.curve("ratio.mean"), Vec::<f64>::new());
    assert_eq!(finished.steps()[0].reference_logprobs, vec![vec![Vec::<f32>::new(); 8]; 5]);
}

#[test]
fn truncated_completions_are_not_trained_on_but_count_in_their_group() {
    let mut plan = with_rewards(&["first", "stops"], 3);
    plan.truncated = Truncated::Mask;
    let finished = finish_stage(plan);
    for (step, batch) in finished.steps().iter().zip(&finished.policy.batches) {
        let rollouts: Vec<_> = step.groups.iter().flat_map(|group| &group.group.rollouts).collect();
        let truncated = rollouts
            .iter()
            .filter(|one| one.rollout.completion.finish == FinishReason::Length)
            .count();
        assert!(truncated > 0 && truncated < 40);
        assert_eq!(batch.len(), 40 - truncated);
        assert!(batch.iter().all(|sequence| sequence.tokens.last() == Some(&0)));
        for group in &step.groups {
            let sum: f64 = group.advantages.iter().sum();
            assert!(sum.abs() < 1e-9, "truncated rollouts are in the group's mean");
        }
    }
    let kept = finish_stage(with_rewards(&["first", "stops"], 3));
    assert!(kept.policy.batches.iter().all(|batch| batch.len() == 40));
}

/// The fixed-length denominator does not see that completions are masked: on-policy the loss is
/// −Σ advantage · length over the trained ones, divided by all 40 rollouts × 2 tokens.
#[test]
fn masked_completions_do_not_change_the_fixed_length_denominator() {
    let mut plan = with_rewards(&["first", "stops"], 1);
    plan.truncated = Truncated::Mask;
    testing::surrogate_of(&mut plan).aggregation = Aggregation::FixedLength;
    let finished = finish_stage(plan);
    let mut sum = 0.0;
    for group in &finished.steps()[0].groups {
        for (rewarded, advantage) in group.group.rollouts.iter().zip(&group.advantages) {
            let completion = &rewarded.rollout.completion;
            if completion.finish == FinishReason::Stop {
                sum -= advantage * completion.tokens.len() as f64;
            }
        }
    }
    let loss = finished.curve("loss")[0];
    assert!(sum != 0.0 && (loss - sum / 80.0).abs() < 1e-9, "{loss} is not {}", sum / 80.0);
}
