//! A critic beside the policy: what it learns, what tokens are credited with, and what a step says of both.

use r1x_core::kl::kl;
use r1x_core::plan::{
    AdvantageKind, CriticPlan, GrpoPlan, HeadPlan, KlEstimator, KlPlace, KlPlan, ModelPlan,
    RunPlan, Truncated, ValueLossPlan, WeightsFrom,
};
use r1x_core::testing;

use crate::support::{World, finish, grpo_plan, grpo_stage, run_plan};

fn critic() -> CriticPlan {
    CriticPlan {
        model: "critic".to_owned(),
        weights: WeightsFrom::Base,
        gamma: 1.0,
        lambda: 1.0,
        whiten: true,
        alone_steps: 0,
        optimizer: testing::optimizer(0.1),
        loss: ValueLossPlan { clip: None },
    }
}

fn with_critic(critic: CriticPlan, steps: u64) -> GrpoPlan {
    let mut plan = GrpoPlan { critic: Some(Box::new(critic)), ..grpo_plan(steps) };
    plan.advantage.kind = AdvantageKind::Gae;
    plan
}

/// A run whose critic has a value head.
fn run(plan: GrpoPlan) -> RunPlan {
    let mut run = run_plan(vec![grpo_stage(plan)]);
    let model = ModelPlan { head: HeadPlan::Value, ..run.model.clone() };
    run.models.insert("critic".to_owned(), model);
    run
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Single rollouts, which a group could not compare, with the whole reward at the end and with trust in the critic.
#[test]
fn a_policy_learns_from_single_rollouts_beside_a_critic_that_learns_what_they_earn() {
    for (lambda, whiten) in [(1.0, true), (0.5, true), (1.0, false)] {
        let mut plan = with_critic(CriticPlan { lambda, whiten, ..critic() }, 240);
        (plan.prompts_per_step, plan.group_size, plan.optimizer.lr) = (10, 1, 0.1);
        let finished = finish(&run(plan));
        let rewards = finished.curve("reward.mean");
        assert!(mean(&rewards[..5]) < 0.5, "{rewards:?}");
        assert!(mean(&rewards[200..]) > 1.0, "{lambda} {whiten}: {rewards:?}");
        // What is expected follows what comes.
        let [said, came] =
            ["critic.value.mean", "critic.return.mean"].map(|name| finished.curve(name));
        assert_eq!(said[0], 0.0, "a table that knows nothing");
        let gap = |at: std::ops::Range<usize>| (mean(&said[at.clone()]) - mean(&came[at])).abs();
        assert!(gap(200..240) < 0.1, "{said:?} {came:?}");
        assert!(finished.curve("critic.loss")[0] > finished.curve("critic.loss")[239]);
        assert_eq!(finished.curve("zero_signal"), vec![0.0; 240]);
        assert_eq!(finished.policy.updates_done, 240);
    }
}

/// The first step of a critic that says 0: with λ = 1 every token of a rollout is credited with its total, and nothing else is
/// between that and what the update is given.
#[test]
fn tokens_are_credited_with_what_came_less_what_was_expected() {
    let finished = finish(&run(with_critic(CriticPlan { whiten: false, ..critic() }, 3)));
    let step = &finished.steps()[0];
    let mut trained = finished.policy.batches[0].iter();
    for credited in &step.groups {
        for (rewarded, advantage) in credited.group.rollouts.iter().zip(&credited.advantages) {
            let sequence = trained.next().unwrap();
            let total = rewarded.total.unwrap();
            assert_eq!(sequence.advantages, vec![total; sequence.mask.len()]);
            assert!((advantage - total).abs() < 1e-12);
        }
    }
    // Two steps later the problems come again, and the critic has learnt which tokens earn more.
    let again = &finished.policy.batches[2];
    let differ = again.iter().any(|one| one.advantages.windows(2).any(|pair| pair[0] != pair[1]));
    assert!(differ, "{again:?}");
}

/// The whole of a step has mean 0 and deviation 1 over its tokens.
#[test]
fn whitened_advantages_are_those_of_all_tokens_of_a_step() {
    let finished = finish(&run(with_critic(critic(), 3)));
    for batch in &finished.policy.batches {
        let all: Vec<f64> = batch.iter().flat_map(|one| one.advantages.clone()).collect();
        let (middle, count) = (mean(&all), all.len() as f64);
        let squares: f64 = all.iter().map(|one| (one - middle).powi(2)).sum();
        assert!(middle.abs() < 1e-9, "{middle}");
        assert!(((squares / (count - 1.0)).sqrt() - 1.0).abs() < 1e-3);
    }
}

#[test]
fn a_critic_may_learn_alone_at_first() {
    let finished = finish(&run(with_critic(CriticPlan { alone_steps: 3, ..critic() }, 5)));
    assert_eq!(finished.policy.updates_done, 2);
    assert_eq!(finished.policy.critics["critic"].updates_done, 5);
    let norms = finished.curve("grad_norm");
    assert!(norms[..3] == [0.0; 3] && norms[3] > 0.0, "{norms:?}");
}

/// A penalty in the reward is charged token by token: at first policy and reference are one, and later it is what the figure
/// says it is.
#[test]
fn a_penalty_is_charged_to_the_tokens_that_moved() {
    for estimator in [KlEstimator::K1, KlEstimator::K2, KlEstimator::K3] {
        assert_charged(estimator);
    }
}

fn assert_charged(estimator: KlEstimator) {
    let mut plan = with_critic(CriticPlan { whiten: false, ..critic() }, 6);
    let penalty = KlPlan { coef: 0.5, counted_in: KlPlace::Reward, estimator, ..testing::kl() };
    testing::surrogate_of(&mut plan).kl = penalty;
    let finished = finish(&run(plan));
    let charged = finished.curve("kl.penalty");
    assert_eq!(charged[0], 0.0);
    assert!(charged[5] != 0.0, "{charged:?}");
    let step = &finished.steps()[5];
    let mut penalties = Vec::new();
    for (group, references) in step.groups.iter().zip(&step.reference_logprobs) {
        for (rewarded, reference) in group.group.rollouts.iter().zip(references) {
            let own = &rewarded.rollout.completion.logprobs;
            assert_eq!(own.len(), reference.len());
            let of_token = |(own, other): (&f32, &f32)| {
                kl(estimator, f64::from(*own), f64::from(*other)).value
            };
            penalties.push(own.iter().zip(reference).map(of_token).sum::<f64>());
        }
    }
    assert!((0.5 * mean(&penalties) - charged[5]).abs() < 1e-9);
}

/// Truncated completions that are left out are neither credited nor taught to the critic.
#[test]
fn a_critic_learns_from_what_the_policy_learns_from() {
    let mut plan = with_critic(critic(), 1);
    plan.truncated = Truncated::Mask;
    let finished = finish(&run(plan));
    let of_policy = &finished.policy.batches[0];
    let of_critic = &finished.policy.critics["critic"].batches[0];
    assert!(!of_policy.is_empty() && of_policy.len() < 40);
    assert_eq!(of_policy.len(), of_critic.len());
    for (policy, critic) in of_policy.iter().zip(of_critic) {
        assert_eq!((&policy.tokens, &policy.mask), (&critic.tokens, &critic.mask));
        assert_eq!(
            (critic.returns.len(), critic.values.len()),
            (critic.mask.len(), critic.mask.len())
        );
        assert!(critic.sampled_logprobs.is_empty() && policy.returns.is_empty());
    }
}

#[test]
fn what_a_critic_needs_is_checked_before_the_first_step() {
    let plan = with_critic(critic(), 1);
    let message = |run: &RunPlan| World::default().run(run).outcome.unwrap_err().message;
    let mut unasked = plan.clone();
    unasked.advantage.kind = AdvantageKind::GroupNormalized;
    assert!(message(&run(unasked)).contains("need each other"));
    let alone = GrpoPlan { critic: None, ..plan.clone() };
    assert!(message(&run(alone)).contains("need each other"));
    let mut writes = run(plan.clone());
    writes.models.get_mut("critic").unwrap().head = HeadPlan::Vocabulary;
    assert!(
        message(&writes).contains("stage `rl`, critic: it works on a model with the head `value`")
    );
    let mut nobody = run(plan);
    nobody.models.clear();
    assert!(message(&nobody).contains("a model `critic`, which the plan does not have"));
}
