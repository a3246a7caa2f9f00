//! The loop learns: supervised and by reward, with every estimator and aggregation.

use r1x_core::plan::{
    AdvantageKind, Aggregation, ClipPlan, ProbabilityBounds, RatioLevel, SigmoidGate, WeightBounds,
};
use r1x_core::testing;

use crate::support::{finish, grpo_plan, grpo_stage, run_plan, sft_plan, sft_stage};

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// An untrained table is uniform over 11 tokens, so its first loss is exactly ln 11.
#[test]
fn supervised_training_learns() {
    let finished = finish(&run_plan(vec![sft_stage(sft_plan(80))]));
    let losses = finished.curve("loss");
    assert!((losses[0] - 11.0_f64.ln()).abs() < 1e-6, "{}", losses[0]);
    assert!(mean(&losses[70..]) < 0.1, "{}", mean(&losses[70..]));
    assert_eq!(finished.curve("tokens"), vec![8.0; 80]);
    assert_eq!(finished.curve("epoch")[9], 4.0);
}

#[test]
fn grpo_learns() {
    let finished = finish(&run_plan(vec![grpo_stage(grpo_plan(60))]));
    let rewards = finished.curve("reward.mean");
    // By chance 1/11 of the first digits are right and 10/121 of the completions stop after one digit.
    assert!(mean(&rewards[..5]) < 0.4, "{rewards:?}");
    // At most 1.5: one for the digit, half for stopping.
    assert!(mean(&rewards[50..]) > 1.0, "{rewards:?}");
    let entropy = finished.curve("entropy");
    assert!((entropy[0] - 11.0_f64.ln()).abs() < 1e-6);
    assert!(entropy[59] < 0.5 * entropy[0]);
}

#[test]
fn grpo_learns_with_every_advantage_and_aggregation() {
    for kind in [
        AdvantageKind::GroupNormalized,
        AdvantageKind::GroupCentered,
        AdvantageKind::LeaveOneOut,
        AdvantageKind::BatchScaled,
        AdvantageKind::BatchNormalized,
    ] {
        for aggregation in
            [Aggregation::SequenceMean, Aggregation::TokenMean, Aggregation::FixedLength]
        {
            let mut plan = grpo_plan(60);
            plan.advantage.kind = kind;
            testing::surrogate_of(&mut plan).aggregation = aggregation;
            let rewards = finish(&run_plan(vec![grpo_stage(plan)])).curve("reward.mean");
            assert!(mean(&rewards[50..]) > 1.0, "{kind:?} {aggregation:?}: {rewards:?}");
        }
    }
}

/// Every digit once: nothing of a group can be compared, and the step can.
#[test]
fn grpo_learns_from_single_rollouts_that_are_compared_with_the_step() {
    let mut plan = grpo_plan(240);
    (plan.prompts_per_step, plan.group_size, plan.optimizer.lr) = (10, 1, 0.1);
    let silent = finish(&run_plan(vec![grpo_stage(plan.clone())]));
    assert_eq!(silent.curve("zero_signal"), vec![1.0; 240]);
    plan.advantage.kind = AdvantageKind::BatchNormalized;
    let finished = finish(&run_plan(vec![grpo_stage(plan)]));
    let rewards = finished.curve("reward.mean");
    assert!(mean(&rewards[200..]) > 1.0, "{rewards:?}");
    let silent = finished.curve("zero_signal");
    assert!(silent.iter().all(|share| *share == 0.0 || *share == 1.0), "a step as a whole");
    assert!(mean(&silent[..50]) < 0.5, "{silent:?}");
}

/// Every ratio and every kind of clipping, with bounds that a second update of the same rollouts reaches.
#[test]
fn grpo_learns_with_every_ratio_and_kind_of_clipping() {
    let clips = [
        ClipPlan::Pessimistic(testing::clip()),
        ClipPlan::Weight(WeightBounds { low: None, high: 4.0 }),
        ClipPlan::Sigmoid(SigmoidGate { tau_positive: 1.0, tau_negative: 1.05 }),
        ClipPlan::Probability(ProbabilityBounds { low: 0.2, high: 0.2 }),
    ];
    let ratios = [
        RatioLevel::Token,
        RatioLevel::Sequence,
        RatioLevel::SequenceToken,
        RatioLevel::SequenceProduct,
    ];
    for ratio in ratios {
        for clip in &clips {
            let mut plan = grpo_plan(40);
            (plan.epochs, plan.updates_per_epoch, plan.optimizer.lr) = (2, 2, 0.1);
            let loss = testing::surrogate_of(&mut plan);
            (loss.ratio, loss.clip) = (ratio, clip.clone());
            let rewards = finish(&run_plan(vec![grpo_stage(plan)])).curve("reward.mean");
            assert!(mean(&rewards[35..]) > 1.0, "{ratio:?} {clip:?}: {rewards:?}");
        }
    }
}

#[test]
fn grpo_learns_with_several_updates_per_batch_of_rollouts() {
    let mut plan = grpo_plan(40);
    plan.epochs = 2;
    plan.updates_per_epoch = 3;
    plan.optimizer.lr = 0.1;
    let finished = finish(&run_plan(vec![grpo_stage(plan)]));
    assert!(mean(&finished.curve("reward.mean")[35..]) > 1.2);
    assert_eq!(finished.policy.updates_done, 40 * 6);
}

/// Rewards that are all equal carry no signal, so nothing may be learned from them.
#[test]
fn grpo_without_signal_does_not_move_the_policy() {
    let mut plan = grpo_plan(5);
    plan.rewards = vec!["same".to_owned()];
    let finished = finish(&run_plan(vec![grpo_stage(plan)]));
    assert_eq!(finished.curve("zero_signal"), vec![1.0; 5]);
    assert_eq!(finished.curve("grad_norm"), vec![0.0; 5]);
    assert_eq!(finished.curve("entropy"), vec![finished.curve("entropy")[0]; 5]);
}

#[test]
fn reinforcement_goes_on_from_what_supervision_taught() {
    let stages = vec![sft_stage(sft_plan(30)), grpo_stage(grpo_plan(20))];
    let finished = finish(&run_plan(stages));
    let rewards = finished.curve("reward.mean");
    assert!(rewards[0] > 0.4, "the policy after SFT is far above chance: {rewards:?}");
    assert!(mean(&rewards[15..]) > rewards[0]);
}
