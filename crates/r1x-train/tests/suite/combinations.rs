//! Every way of leaving rollouts out (dropped, truncated, abstained) with every penalty, aggregation and estimator:
//! each combination runs, its numbers are finite, and what is left out is in no mean of the loss.

use r1x_core::FinishReason;
use r1x_core::plan::{
    AdvantageKind, Aggregation, CombineOrder, GrpoPlan, KlEstimator, RewardPlan, RunPlan,
    Truncated, ZeroSignal,
};
use r1x_core::testing;

use crate::support::{finish, grpo_plan, grpo_stage, metric, run_plan};

const AGGREGATIONS: [Aggregation; 3] =
    [Aggregation::SequenceMean, Aggregation::TokenMean, Aggregation::FixedLength];
const KINDS: [AdvantageKind; 5] = [
    AdvantageKind::GroupNormalized,
    AdvantageKind::GroupCentered,
    AdvantageKind::LeaveOneOut,
    AdvantageKind::BatchScaled,
    AdvantageKind::BatchNormalized,
];
const ZERO_SIGNALS: [ZeroSignal; 3] =
    [ZeroSignal::Keep, ZeroSignal::Drop, ZeroSignal::Resample { most_batches: 2 }];
const PENALTIES: [Option<KlEstimator>; 4] =
    [None, Some(KlEstimator::K2), Some(KlEstimator::K3Plus), Some(KlEstimator::K3Unbiased)];
/// Rewards of a stage: always a value, sometimes none, never any, and none but that of a reward without a weight.
const REWARDS: [&[&str]; 4] = [&["first", "stops"], &["flaky"], &["broken"], &["same", "flaky"]];

/// A run of one stage in which `same` has no weight.
fn run_of(stage: GrpoPlan) -> RunPlan {
    let mut plan = run_plan(vec![grpo_stage(stage)]);
    let weightless = |reward: &&mut RewardPlan| reward.id == "same";
    plan.rewards.iter_mut().filter(weightless).for_each(|reward| reward.weight = 0.0);
    plan
}

fn with_rewards(rewards: &[&str], steps: u64) -> GrpoPlan {
    let mut plan = grpo_plan(steps);
    plan.rewards = rewards.iter().map(|&id| id.to_owned()).collect();
    plan
}

/// Every combination, with two updates a step in half of them.
fn combinations() -> Vec<GrpoPlan> {
    let mut all = Vec::new();
    for zero_signal in ZERO_SIGNALS {
        for truncated in [Truncated::Keep, Truncated::Mask] {
            for penalty in PENALTIES {
                for aggregation in AGGREGATIONS {
                    for kind in KINDS {
                        for order in
                            [CombineOrder::SumThenNormalize, CombineOrder::NormalizeThenSum]
                        {
                            for rewards in REWARDS {
                                let mut plan = with_rewards(rewards, 3);
                                plan.zero_signal = zero_signal;
                                plan.truncated = truncated;
                                testing::surrogate_of(&mut plan).kl.coef =
                                    if penalty.is_some() { 0.1 } else { 0.0 };
                                testing::surrogate_of(&mut plan).kl.estimator =
                                    penalty.unwrap_or(KlEstimator::K3);
                                testing::surrogate_of(&mut plan).aggregation = aggregation;
                                plan.advantage.kind = kind;
                                plan.advantage.combine.order = order;
                                plan.advantage.combine.whiten =
                                    order == CombineOrder::NormalizeThenSum;
                                plan.updates_per_epoch = 1 + all.len() % 2;
                                all.push(plan);
                            }
                        }
                    }
                }
            }
        }
    }
    all
}

#[test]
fn every_combination_runs_and_leaves_out_what_it_says() {
    let combinations = combinations();
    assert_eq!(combinations.len(), 3 * 2 * 4 * 3 * 5 * 2 * 4);
    for plan in combinations {
        let finished = finish(&run_of(plan.clone()));
        let mut tokens = 0;
        for step in finished.steps() {
            for (name, value) in &step.metrics {
                assert!(value.is_finite(), "{name} is {value}: {plan:?}");
            }
            tokens += assert_step(step, &plan);
        }
        let learnt = finished.policy.batches.iter().flatten().map(|s| s.mask.len()).sum::<usize>();
        assert_eq!(learnt, tokens, "{plan:?}");
    }
}

/// Checks what the reference was asked about and what the means counted; returns the tokens trained on.
fn assert_step(step: &r1x_core::StepFacts, plan: &GrpoPlan) -> usize {
    let mut tokens = 0;
    for (g, group) in step.groups.iter().enumerate() {
        for (s, rewarded) in group.group.rollouts.iter().enumerate() {
            let completion = &rewarded.rollout.completion;
            let dropped = group.zero_signal && !plan.zero_signal.is_kept();
            let truncated = completion.finish == FinishReason::Length;
            let masked = truncated && plan.truncated == Truncated::Mask;
            let trained = !dropped && !masked && rewarded.total.is_some();
            let length = if trained { completion.tokens.len() } else { 0 };
            tokens += length;
            if plan.loss.penalty().is_some() {
                assert_eq!(step.reference_logprobs[g][s].len(), length, "{plan:?}");
            }
            if rewarded.total.is_none() {
                assert_eq!(group.advantages[s], 0.0, "{plan:?}");
            }
        }
    }
    assert_eq!(metric(step, "tokens"), Some(tokens as f64), "{plan:?}");
    let penalised = plan.loss.penalty().is_some() && tokens > 0;
    for name in ["kl", "kl.far"] {
        assert_eq!(metric(step, name).is_some(), penalised, "{name}: {plan:?}");
    }
    tokens
}

/// Odd digits are not judged: only `same`, which has no weight, has a value. Its rollouts are in no comparison, no
/// mean and no update, and the others are credited as if they were alone.
#[test]
fn a_rollout_that_only_a_weightless_reward_judges_is_left_out() {
    for order in [CombineOrder::SumThenNormalize, CombineOrder::NormalizeThenSum] {
        let run = |rewards| {
            let mut plan = with_rewards(rewards, 4);
            plan.advantage.combine.order = order;
            plan.advantage.combine.whiten = true;
            testing::surrogate_of(&mut plan).kl.coef = 0.1;
            finish(&run_of(plan))
        };
        let (beside, alone) = (run(&["same", "flaky"]), run(&["flaky"]));
        let mut unjudged = 0;
        for (beside, alone) in beside.steps().iter().zip(alone.steps()) {
            for (beside, alone) in beside.groups.iter().zip(&alone.groups) {
                assert_eq!(beside.advantages, alone.advantages, "{order:?}");
                for (rollout, advantage) in beside.group.rollouts.iter().zip(&beside.advantages) {
                    let judged = rollout.outcomes[1].value;
                    assert_eq!(rollout.total, judged, "{order:?}");
                    if judged.is_none() {
                        unjudged += 1;
                        assert_eq!(*advantage, 0.0);
                    }
                }
            }
        }
        assert!(unjudged > 20, "{unjudged}");
        assert_eq!(beside.policy.batches, alone.policy.batches, "{order:?}");
        for name in ["loss", "tokens", "kl", "reward.mean", "reward.unscored", "ratio.mean"] {
            assert_eq!(beside.curve(name), alone.curve(name), "{order:?}: {name}");
        }
    }
}

/// Sum of advantage · length over what is trained on: on-policy, minus the loss before it is divided.
fn surrogate_sum(step: &r1x_core::StepFacts, plan: &GrpoPlan) -> f64 {
    let mut sum = 0.0;
    for group in &step.groups {
        for (rewarded, advantage) in group.group.rollouts.iter().zip(&group.advantages) {
            let completion = &rewarded.rollout.completion;
            let masked =
                completion.finish == FinishReason::Length && plan.truncated == Truncated::Mask;
            let length = if masked { 0 } else { completion.tokens.len() };
            sum += advantage * length as f64;
        }
    }
    sum
}

/// Dr. GRPO divides by a number of the plan: dropping groups without signal, which add nothing, changes nothing, and
/// neither do masks and abstentions. The token mean divides by what is left.
#[test]
fn the_fixed_length_is_the_same_number_whatever_is_left_out() {
    let run = |zero_signal, truncated, rewards, aggregation| {
        let mut plan = with_rewards(rewards, 6);
        // Nothing moves, so that every step compares the same policy.
        plan.optimizer.lr = 0.0;
        plan.zero_signal = zero_signal;
        plan.truncated = truncated;
        testing::surrogate_of(&mut plan).aggregation = aggregation;
        (finish(&run_of(plan.clone())), plan)
    };
    for truncated in [Truncated::Keep, Truncated::Mask] {
        for rewards in [REWARDS[0], REWARDS[1], REWARDS[3]] {
            let fixed = Aggregation::FixedLength;
            let (kept, _) = run(ZeroSignal::Keep, truncated, rewards, fixed);
            let (dropped, plan) = run(ZeroSignal::Drop, truncated, rewards, fixed);
            let silent: f64 = dropped.curve("zero_signal").iter().sum();
            assert!(silent > 0.0, "some group is dropped");
            let norms = [&kept, &dropped].map(|finished| finished.curve("grad_norm"));
            assert!(norms[0].iter().sum::<f64>() > 0.0, "{norms:?}");
            for (kept, dropped) in norms[0].iter().zip(&norms[1]) {
                assert!((kept - dropped).abs() < 1e-9, "{norms:?}");
            }
            for (step, loss) in dropped.steps().iter().zip(dropped.curve("loss")) {
                // 5 prompts × 8 rollouts × 2 tokens.
                let expected = -surrogate_sum(step, &plan) / 80.0;
                assert!((loss - expected).abs() < 1e-9, "{loss} is not {expected}");
            }
        }
    }
    let mean = Aggregation::TokenMean;
    let (kept, _) = run(ZeroSignal::Keep, Truncated::Keep, REWARDS[0], mean);
    let (dropped, _) = run(ZeroSignal::Drop, Truncated::Keep, REWARDS[0], mean);
    let norms = [&kept, &dropped].map(|finished| finished.curve("grad_norm").iter().sum::<f64>());
    assert!(norms[1] > 1.1 * norms[0], "{norms:?}");
}

/// Two updates a step are halves of the same denominator, however unevenly the rollouts that are left fall.
#[test]
fn updates_of_a_step_share_the_fixed_length() {
    let mut plan = with_rewards(REWARDS[0], 1);
    testing::surrogate_of(&mut plan).aggregation = Aggregation::FixedLength;
    assert_eq!(plan.fixed_length(), 80.0);
    plan.updates_per_epoch = 3;
    assert!((plan.fixed_length() - 80.0 / 3.0).abs() < 1e-12);
}
