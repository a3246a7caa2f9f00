//! Dynamic sampling in the loop: what is drawn, what is learnt from, and what is recorded.

use std::collections::BTreeSet;

use r1x_core::StepFacts;
use r1x_core::plan::{Aggregation, GrpoPlan, ZeroSignal};
use r1x_core::testing;

use crate::support::{Finished, finish, grpo_plan, grpo_stage, metric, run_plan};

/// Five places of four rollouts for one reward, which few groups of an untrained policy tell apart.
fn plan(zero_signal: ZeroSignal, steps: u64) -> GrpoPlan {
    let mut plan = grpo_plan(steps);
    plan.rewards = vec!["first".to_owned()];
    plan.group_size = 4;
    plan.zero_signal = zero_signal;
    plan
}

fn finish_stage(plan: GrpoPlan) -> Finished {
    finish(&run_plan(vec![grpo_stage(plan)]))
}

const TEN: ZeroSignal = ZeroSignal::Resample { most_batches: 10 };

fn with_signal(step: &StepFacts) -> usize {
    step.groups.iter().filter(|group| !group.zero_signal).count()
}

#[test]
fn every_place_is_filled_and_all_that_was_sampled_is_recorded() {
    let finished = finish_stage(plan(TEN, 12));
    let mut further = 0;
    for (step, batch) in finished.steps().iter().zip(&finished.policy.batches) {
        assert_eq!(with_signal(step), 5);
        assert_eq!(batch.len(), 5 * 4, "what was set aside is not trained on");
        let silent = step.groups.len() - 5;
        let figures = ["resampled.groups", "resampled.missing"].map(|name| metric(step, name));
        assert_eq!(figures, [Some(silent as f64), Some(0.0)]);
        assert_eq!(metric(step, "zero_signal"), Some(silent as f64 / step.groups.len() as f64));
        assert!(metric(step, "resampled.rounds") <= metric(step, "resampled.groups"));
        for group in step.groups.iter().filter(|group| group.zero_signal) {
            assert_eq!(group.advantages, [0.0; 4]);
            assert!(
                group.group.rollouts.iter().all(|one| one.total == group.group.rollouts[0].total)
            );
        }
        further += silent;
    }
    assert!(further > 20, "{further}");
}

/// A pass over the ten digits has each of them once, wherever steps and rounds begin and end: the stream of problems has
/// no hole and no problem twice.
#[test]
fn the_problems_of_all_steps_are_the_stream_without_a_hole() {
    let finished = finish_stage(plan(TEN, 12));
    let steps = finished.steps();
    let groups = steps.iter().flat_map(|step| &step.groups);
    let keys: Vec<&str> = groups.map(|group| group.group.problem.key.as_str()).collect();
    assert!(keys.len() > 80, "{}", keys.len());
    for pass in keys.chunks_exact(10) {
        assert_eq!(pass.iter().collect::<BTreeSet<_>>().len(), 10, "{pass:?}");
    }
}

/// The first batch of a step is what it was without resampling, to the bit.
#[test]
fn a_step_begins_with_the_groups_that_it_has_without_resampling() {
    let [resampled, dropped] = [TEN, ZeroSignal::Drop].map(|how| finish_stage(plan(how, 1)));
    let (resampled, dropped) = (&resampled.steps()[0].groups, &dropped.steps()[0].groups);
    assert!(resampled.len() > 5);
    for (one, other) in resampled.iter().zip(dropped) {
        assert_eq!(one.group, other.group);
    }
}

#[test]
fn a_step_that_has_drawn_what_it_may_learns_from_what_it_has() {
    let mut bounded = plan(ZeroSignal::Resample { most_batches: 2 }, 3);
    testing::surrogate_of(&mut bounded).aggregation = Aggregation::FixedLength;
    let finished = finish_stage(bounded);
    let mut empty = 0;
    for (step, batch) in finished.steps().iter().zip(&finished.policy.batches) {
        let missing = 5 - with_signal(step);
        assert_eq!(metric(step, "resampled.missing"), Some(missing as f64));
        if missing > 0 {
            assert_eq!(step.groups.len(), 10);
        }
        assert_eq!(batch.len(), 4 * with_signal(step));
        // Five places of four rollouts of two tokens, whatever was found for them.
        let sums =
            step.groups.iter().flat_map(|group| group.group.rollouts.iter().zip(&group.advantages));
        let sum: f64 = sums.map(|(one, a)| a * one.rollout.completion.tokens.len() as f64).sum();
        let loss = metric(step, "loss").unwrap();
        assert!((loss + sum / 40.0).abs() < 1e-9, "{loss} is not {}", -sum / 40.0);
        empty += missing;
    }
    assert!(empty > 0);
}

#[test]
fn without_any_signal_a_step_ends_at_its_bound_and_changes_nothing() {
    let mut silent = plan(ZeroSignal::Resample { most_batches: 3 }, 2);
    silent.rewards = vec!["same".to_owned()];
    testing::surrogate_of(&mut silent).kl.coef = 0.1;
    let finished = finish_stage(silent);
    assert_eq!(finished.policy.updates_done, 0);
    for (name, value) in [
        ("resampled.groups", 10.0),
        ("resampled.rounds", 2.0),
        ("resampled.missing", 5.0),
        ("tokens", 0.0),
        ("reward.mean", 1.0),
    ] {
        assert_eq!(finished.curve(name), vec![value; 2], "{name}");
    }
    assert_eq!(finished.steps()[0].reference_logprobs, vec![vec![Vec::<f32>::new(); 4]; 15]);
}

#[test]
fn resampling_learns_faster_from_as_many_updates() {
    let late = |how| {
        let rewards = finish_stage(plan(how, 15)).curve("reward.mean");
        rewards[10..].iter().sum::<f64>()
    };
    let (resampled, kept) = (late(TEN), late(ZeroSignal::Keep));
    assert!(resampled > kept, "{resampled} {kept}");
}
