//! What a run records: the same from the same seed, in a fixed order, whatever the micro-batches.

use r1x_core::FinishReason;
use r1x_core::plan::{RunPlan, ScheduleKind, SchedulePlan};
use r1x_core::testing;

use crate::support::{
    Fact, eval_plan, evaluate_stage, finish, grpo_plan, grpo_stage, metric, run_plan, sft_plan,
    sft_stage,
};

fn everything() -> RunPlan {
    let mut grpo = grpo_plan(6);
    testing::surrogate_of(&mut grpo).kl.coef = 0.01;
    grpo.epochs = 2;
    grpo.updates_per_epoch = 2;
    let mut plan = run_plan(vec![sft_stage(sft_plan(4)), grpo_stage(grpo), evaluate_stage()]);
    plan.evals.push(eval_plan());
    plan
}

#[test]
fn one_seed_gives_one_list_of_facts_and_another_seed_another() {
    let plan = everything();
    let first = finish(&plan);
    assert_eq!(first.facts, finish(&plan).facts);
    let other = RunPlan { seed: 2, ..plan };
    assert_ne!(first.facts, finish(&other).facts);
}

#[test]
fn stages_are_recorded_with_their_checkpoints_in_order() {
    let finished = finish(&everything());
    let outline: Vec<String> = finished
        .facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::StageStarted(stage) => Some(format!("start {} {}", stage.index, stage.kind)),
            Fact::StageFinished(stage, _) => Some(format!("end {}", stage.id)),
            Fact::Checkpoint(saved) => {
                Some(format!("{} {} {}", saved.kind.as_str(), saved.path, saved.step))
            }
            Fact::Evaluation(eval) => Some(format!("eval {:?} {}", eval.stage, eval.label)),
            Fact::Step(_) => None,
        })
        .collect();
    let expected = [
        "start 0 sft",
        "stage sft/final 4",
        "end sft",
        "start 1 grpo",
        "stage rl/final 6",
        "end rl",
        "start 2 evaluate",
        "eval Some(2) look",
        "end look",
    ];
    assert_eq!(outline, expected);
    let steps = finished.steps();
    assert_eq!(steps.len(), 10);
    assert_eq!((steps[9].stage, steps[9].step), (1, 5));
}

#[test]
fn metrics_have_a_fixed_order() {
    let mut grpo = grpo_plan(2);
    testing::surrogate_of(&mut grpo).kl.coef = 0.1;
    let finished = finish(&run_plan(vec![sft_stage(sft_plan(1)), grpo_stage(grpo)]));
    let names = |index: usize| -> Vec<&str> {
        let metrics = &finished.steps()[index].metrics;
        metrics.iter().map(|(name, _)| name.as_str()).collect()
    };
    assert_eq!(names(0), ["loss", "grad_norm", "lr", "tokens", "epoch", "table.rows"]);
    let expected = [
        "loss",
        "reward.mean",
        "reward.std",
        "reward.first.mean",
        "reward.stops.mean",
        "reward.unscored",
        "zero_signal",
        "tokens.mean",
        "truncated",
        "entropy",
        "kl",
        "kl.far",
        "clip_fraction",
        "ratio.mean",
        "grad_norm",
        "lr",
        "logprob_diff_max",
        "tokens",
        "table.rows",
    ];
    assert_eq!(names(1), expected);
    assert_eq!(names(2), expected);
}

/// The metrics of a step, computed again from its rollouts.
#[test]
fn metrics_agree_with_the_rollouts_of_the_step() {
    let finished = finish(&run_plan(vec![grpo_stage(grpo_plan(1))]));
    let step = finished.steps()[0];
    let rollouts: Vec<_> = step.groups.iter().flat_map(|group| &group.group.rollouts).collect();
    assert_eq!(rollouts.len(), 40);
    let mean = |of: &dyn Fn(usize) -> f64| (0..40).map(of).sum::<f64>() / 40.0;
    let total = |index: usize| rollouts[index].total.unwrap();
    let by_hand = |index: usize| {
        let value = |reward: usize| rollouts[index].outcomes[reward].value.unwrap();
        value(0) + 0.5 * value(1)
    };
    for index in 0..40 {
        assert_eq!(total(index), by_hand(index));
    }
    let close = |name: &str, want: f64| {
        let got = metric(step, name).unwrap();
        assert!((got - want).abs() < 1e-9, "{name}: {got} is not {want}");
    };
    let tokens = |index: usize| rollouts[index].rollout.completion.tokens.len() as f64;
    let truncated = |index: usize| {
        f64::from(u8::from(rollouts[index].rollout.completion.finish == FinishReason::Length))
    };
    close("reward.mean", mean(&total));
    let squares: f64 = (0..40).map(|index| (total(index) - mean(&total)).powi(2)).sum();
    close("reward.std", (squares / 39.0).sqrt());
    close("tokens.mean", mean(&tokens));
    close("tokens", 40.0 * mean(&tokens));
    close("truncated", mean(&truncated));
    close("reward.unscored", 0.0);
    close("lr", 0.2);
}

#[test]
fn the_first_update_is_exactly_on_policy() {
    let finished = finish(&run_plan(vec![grpo_stage(grpo_plan(10))]));
    assert_eq!(finished.curve("logprob_diff_max"), vec![0.0; 10]);
    assert_eq!(finished.curve("ratio.mean"), vec![1.0; 10]);
    assert_eq!(finished.curve("clip_fraction"), vec![0.0; 10]);
}

#[test]
fn later_updates_are_off_policy_but_the_recorded_difference_is_the_first_ones() {
    let mut plan = grpo_plan(10);
    plan.epochs = 3;
    plan.sampling.temperature = 0.9;
    let finished = finish(&run_plan(vec![grpo_stage(plan)]));
    assert_eq!(finished.curve("logprob_diff_max"), vec![0.0; 10]);
    assert!(finished.curve("ratio.mean").iter().any(|&ratio| ratio != 1.0));
    assert!(finished.curve("clip_fraction").iter().any(|&share| share > 0.0));
}

#[test]
fn the_size_of_micro_batches_changes_rounding_only() {
    let run = |micro_batch_size| {
        let mut plan = grpo_plan(20);
        plan.micro_batch_size = micro_batch_size;
        plan.updates_per_epoch = 2;
        finish(&run_plan(vec![grpo_stage(plan)]))
    };
    let whole = run(1000);
    for size in [1, 3, 16] {
        let split = run(size);
        for name in ["loss", "reward.mean", "grad_norm", "entropy", "ratio.mean"] {
            for (one, other) in whole.curve(name).iter().zip(split.curve(name)) {
                assert!((one - other).abs() < 1e-4, "{name}: {one} and {other}");
            }
        }
        let tokens = |finished: &crate::support::Finished| -> Vec<Vec<u32>> {
            let groups = finished.steps().into_iter().flat_map(|step| &step.groups);
            let rollouts = groups.flat_map(|group| &group.group.rollouts);
            rollouts.map(|one| one.rollout.completion.tokens.clone()).collect()
        };
        assert_eq!(tokens(&whole), tokens(&split));
    }
}

#[test]
fn every_pass_over_the_data_draws_every_problem_once() {
    let finished = finish(&run_plan(vec![grpo_stage(grpo_plan(4))]));
    let steps = finished.steps();
    let mut orders = Vec::new();
    for pass in steps.chunks(2) {
        let groups = pass.iter().flat_map(|step| &step.groups);
        let order: Vec<_> = groups.map(|group| group.group.problem.key.clone()).collect();
        let mut sorted = order.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), 10);
        orders.push(order);
    }
    assert_ne!(orders[0], orders[1]);
}

/// With a learning rate of 0 only the addresses of the draws differ between passes over the same prompts.
#[test]
fn every_step_has_its_own_draws() {
    let mut plan = grpo_plan(2);
    plan.optimizer.lr = 0.0;
    plan.data[0].limit = Some(5);
    let finished = finish(&run_plan(vec![grpo_stage(plan)]));
    let tokens = |step: usize| -> Vec<Vec<u32>> {
        let groups = finished.steps()[step].groups.iter();
        let rollouts = groups.flat_map(|group| &group.group.rollouts);
        let tokens = rollouts.map(|one| one.rollout.completion.tokens.clone());
        tokens.collect()
    };
    assert_ne!(tokens(0), tokens(1));
    assert_ne!(tokens(0)[..8], tokens(0)[8..16], "groups have their own draws");
}

#[test]
fn the_learning_rate_follows_its_schedule() {
    let schedule = SchedulePlan { kind: ScheduleKind::Linear, warmup_steps: 2, final_ratio: 0.0 };
    let mut sft = sft_plan(4);
    sft.optimizer.schedule = schedule.clone();
    let mut grpo = grpo_plan(4);
    grpo.optimizer.schedule = schedule;
    let rates = finish(&run_plan(vec![sft_stage(sft), grpo_stage(grpo)])).curve("lr");
    let expected = [0.05, 0.1, 0.1, 0.05, 0.1, 0.2, 0.2, 0.1];
    assert_eq!(rates.len(), expected.len());
    for (got, want) in rates.iter().zip(expected) {
        assert!((got - want).abs() < 1e-12, "{rates:?}");
    }
}
