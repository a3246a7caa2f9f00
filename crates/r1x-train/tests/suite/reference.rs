//! The reference policy: when it is set, refreshed and asked, and that the penalty towards it holds.

use r1x_core::plan::{AdvantageKind, GrpoPlan, KlEstimator, KlPlace, Truncated};
use r1x_core::testing;
use r1x_core::{FinishReason, RewardedRollout};

use crate::support::{
    Finished, Table, finish, grpo_plan, grpo_stage, metric, run_plan, sft_plan, sft_stage,
};

/// Every step sees the same five prompts, so every step moves what the next one is compared on.
fn with_penalty(coef: f64, refresh_every: Option<u64>) -> GrpoPlan {
    let mut plan = grpo_plan(8);
    plan.data[0].limit = Some(5);
    testing::surrogate_of(&mut plan).kl.coef = coef;
    testing::surrogate_of(&mut plan).kl.refresh_every = refresh_every;
    plan
}

fn finish_stage(plan: GrpoPlan) -> Finished {
    finish(&run_plan(vec![grpo_stage(plan)]))
}

#[test]
fn without_a_penalty_there_is_no_reference() {
    let finished = finish_stage(with_penalty(0.0, Some(2)));
    assert_eq!(finished.policy.references_set, 0);
    assert_eq!(finished.curve("kl"), Vec::<f64>::new());
    assert!(finished.steps().iter().all(|step| step.reference_logprobs.is_empty()));
}

#[test]
fn the_reference_is_set_at_the_start_of_the_stage() {
    let finished = finish_stage(with_penalty(1e-6, None));
    assert_eq!(finished.policy.references_set, 1);
    let kl = finished.curve("kl");
    assert_eq!(kl[0], 0.0);
    assert!(kl[7] > kl[1] && kl[1] > 0.0, "{kl:?}");
}

/// It would take memory, and a place in every later checkpoint, for nobody.
#[test]
fn a_stage_begins_without_the_reference_of_the_one_before_it() {
    let penalised = grpo_stage(with_penalty(0.1, None));
    let after = |stages| finish(&run_plan(stages)).policy.has_reference();
    assert!(after(vec![penalised.clone()]));
    assert!(!after(vec![penalised, sft_stage(sft_plan(2))]));
}

#[test]
fn the_reference_is_refreshed_after_every_so_many_steps() {
    let finished = finish_stage(with_penalty(1e-6, Some(3)));
    assert_eq!(finished.policy.references_set, 3);
    let kl = finished.curve("kl");
    for (step, &kl) in kl.iter().enumerate() {
        assert_eq!(kl == 0.0, step % 3 == 0, "step {step}: {kl}");
    }
}

#[test]
fn the_penalty_holds_the_policy_near_its_reference() {
    let free = finish_stage(with_penalty(1e-6, None)).curve("kl");
    let held = finish_stage(with_penalty(3.0, None)).curve("kl");
    assert!(held[7] < 0.5 * free[7], "{held:?} {free:?}");
}

#[test]
fn reference_log_probs_are_recorded_for_every_trained_token() {
    let mut plan = with_penalty(0.1, None);
    plan.truncated = Truncated::Mask;
    for step in finish_stage(plan).steps() {
        assert_eq!(step.reference_logprobs.len(), 5);
        for (group, scored) in step.groups.iter().zip(&step.reference_logprobs) {
            assert_eq!(scored.len(), 8);
            for (rewarded, scored) in group.group.rollouts.iter().zip(scored) {
                let completion = &rewarded.rollout.completion;
                let expected = match completion.finish {
                    FinishReason::Stop => completion.tokens.len(),
                    FinishReason::Length | FinishReason::Unknown => 0,
                };
                assert_eq!(scored.len(), expected);
                // The reference of this stage is the untrained, uniform policy.
                for &logprob in scored {
                    assert!((f64::from(logprob) + 11.0_f64.ln()).abs() < 1e-6);
                }
            }
        }
    }
}

/// The penalty off the totals, of a policy that the estimator compares in its group and leaves undivided.
fn with_penalty_in_reward(coef: f64, estimator: KlEstimator, steps: u64) -> GrpoPlan {
    let mut plan = GrpoPlan { steps, ..with_penalty(coef, None) };
    plan.advantage.kind = AdvantageKind::GroupCentered;
    let kl = &mut testing::surrogate_of(&mut plan).kl;
    (kl.counted_in, kl.estimator) = (KlPlace::Reward, estimator);
    plan
}

/// The sum over the tokens of a rollout of an estimate, written out with d = log ref − log π.
fn divergence(estimator: KlEstimator, rewarded: &RewardedRollout, reference: &[f32]) -> f64 {
    let own = &rewarded.rollout.completion.logprobs;
    assert_eq!(own.len(), reference.len());
    let of_token = |(own, other): (&f32, &f32)| {
        let d = f64::from(*other) - f64::from(*own);
        match estimator {
            KlEstimator::K1 => -d,
            KlEstimator::K2 => d * d / 2.0,
            _ => d.exp() - 1.0 - d,
        }
    };
    own.iter().zip(reference).map(of_token).sum()
}

/// What is compared is the total less β times the estimate; what is recorded is the total.
#[test]
fn a_penalty_in_the_reward_is_taken_off_what_is_compared() {
    for estimator in [KlEstimator::K1, KlEstimator::K2, KlEstimator::K3] {
        assert_taken_off(estimator);
    }
}

fn assert_taken_off(estimator: KlEstimator) {
    let coef = 0.3;
    let finished = finish_stage(with_penalty_in_reward(coef, estimator, 8));
    let mut largest: f64 = 0.0;
    for (step, facts) in finished.steps().iter().enumerate() {
        let (mut penalties, mut tokens) = (Vec::new(), 0);
        for (group, reference) in facts.groups.iter().zip(&facts.reference_logprobs) {
            let less = |(rewarded, reference): (&RewardedRollout, &Vec<f32>)| {
                let penalty = coef * divergence(estimator, rewarded, reference);
                penalties.push(penalty);
                tokens += reference.len();
                let said: f64 = [1.0, 0.5]
                    .iter()
                    .zip(&rewarded.outcomes)
                    .map(|(weight, one)| weight * one.value.unwrap())
                    .sum();
                assert_eq!(rewarded.total, Some(said), "the rewards' own");
                said - penalty
            };
            let totals: Vec<f64> = group.group.rollouts.iter().zip(reference).map(less).collect();
            let mean = totals.iter().sum::<f64>() / 8.0;
            for (advantage, total) in group.advantages.iter().zip(&totals) {
                assert!((advantage - (total - mean)).abs() < 1e-9, "step {step}");
            }
        }
        let sum: f64 = penalties.iter().sum();
        largest = penalties.iter().fold(largest, |most, penalty| most.max(penalty.abs()));
        for (name, expected) in [("kl.penalty", sum / 40.0), ("kl", sum / coef / tokens as f64)] {
            let found = metric(facts, name).unwrap();
            assert!((found - expected).abs() < 1e-9, "step {step}: {name} {found} {expected}");
        }
        assert_eq!(metric(facts, "kl.far"), None);
        assert_eq!(sum == 0.0, step == 0, "the policy that the stage begins with is the reference");
    }
    assert!(largest > 0.1, "{largest}");
    let trained = finished.policy.batches.iter().flatten();
    assert!(trained.map(|sequence| &sequence.reference_logprobs).all(Vec::is_empty));
}

/// A truncated completion is compared with the others although nothing of it is trained on; one without a total is not.
#[test]
fn the_reference_is_asked_about_all_that_is_compared() {
    let mut plan = with_penalty_in_reward(0.1, KlEstimator::K1, 3);
    plan.rewards = vec!["flaky".to_owned()];
    plan.truncated = Truncated::Mask;
    let (mut asked, mut unasked) = (0, 0);
    for step in finish_stage(plan).steps() {
        for (group, reference) in step.groups.iter().zip(&step.reference_logprobs) {
            for (rewarded, reference) in group.group.rollouts.iter().zip(reference) {
                let tokens = rewarded.rollout.completion.tokens.len();
                let truncated = rewarded.rollout.completion.finish == FinishReason::Length;
                asked += usize::from(rewarded.total.is_some() && truncated);
                unasked += usize::from(rewarded.total.is_none());
                assert_eq!(reference.len(), if rewarded.total.is_some() { tokens } else { 0 });
            }
        }
    }
    assert!(asked > 10 && unasked > 10, "{asked} {unasked}");
}

#[test]
fn a_penalty_in_the_reward_holds_the_policy_too() {
    let last = |coef| {
        let mut plan = with_penalty_in_reward(coef, KlEstimator::K1, 30);
        plan.rewards = vec!["first".to_owned()];
        finish_stage(plan).curve("kl")[29]
    };
    let (free, held) = (last(1e-6), last(1.0));
    assert!(held < 0.5 * free, "{held} {free}");
}

/// The reference of a moving average is told from its recorded log-probs: between those of a copy that is replaced and
/// of one that stays, and at a mix of 1 it would be the former.
#[test]
fn a_moving_average_is_moved_when_a_copy_would_be_replaced() {
    let run = |mix: f64| {
        let mut plan = with_penalty(1e-6, Some(3));
        testing::surrogate_of(&mut plan).kl.refresh_mix = mix;
        finish_stage(plan)
    };
    let average = run(0.5);
    assert_eq!((average.policy.references_set, average.policy.references_moved), (0, 3));
    let replaced = run(1.0);
    assert_eq!((replaced.policy.references_set, replaced.policy.references_moved), (3, 0));
    let fixed = finish_stage(with_penalty(1e-6, None)).curve("kl");
    let (kl, replaced) = (average.curve("kl"), replaced.curve("kl"));
    for step in 0..8 {
        match step {
            0..3 => assert_eq!(kl[step], fixed[step]),
            _ => assert!(kl[step] > replaced[step] && kl[step] < fixed[step], "{step}: {kl:?}"),
        }
    }
}

/// Rows of the table after steps 3 and 6, mixed by hand: r = 0.25·w₃, then 0.75·r + 0.25·w₆.
#[test]
fn a_moving_average_is_the_mix_of_the_policies_that_were_there() {
    let mut plan = with_penalty(1e-6, Some(3));
    plan.steps = 6;
    testing::surrogate_of(&mut plan).kl.refresh_mix = 0.25;
    let mut run = run_plan(vec![grpo_stage(plan)]);
    run.checkpoints.every = Some(3);
    let finished = finish(&run);
    let saved = |name: &str| finished.policy.checkpoints.borrow()[name].0.clone();
    let (third, last) = (saved("rl/step-000003"), saved("rl/final"));
    assert!(last.reference().len() > 5);
    for (context, row) in last.reference() {
        for (token, logit) in row.iter().enumerate() {
            let of = |table: &Table| table.get(context).map_or(0.0, |row| row[token]);
            let expected = 0.75 * (0.25 * of(&third.logits)) + 0.25 * of(&last.logits);
            assert!((logit - expected).abs() < 1e-12, "{context:?} {token}");
        }
    }
}
