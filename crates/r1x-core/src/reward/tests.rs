//! Totals by value: tables worked by hand.

use super::*;
use crate::plan::{ConditionPlan, ShapingPlan};
use crate::rollout::RewardStatus;
use crate::testing::reward;

fn conditional(id: &str, by: &str, at_least: f64, otherwise: Otherwise) -> RewardPlan {
    let condition = Some(ConditionPlan { reward: by.to_owned(), at_least, otherwise });
    RewardPlan { shaping: ShapingPlan { condition, ..Default::default() }, ..reward(id) }
}

fn clipped(id: &str, low: f64, high: f64) -> RewardPlan {
    let clip = Some(Bounds { low, high });
    RewardPlan { shaping: ShapingPlan { clip, ..Default::default() }, ..reward(id) }
}

fn said(values: &[Option<f64>]) -> Vec<RewardOutcome> {
    let outcome = |&value: &Option<f64>| RewardOutcome {
        value,
        status: if value.is_some() { RewardStatus::Ok } else { RewardStatus::Abstain },
        parts: Vec::new(),
        info: None,
    };
    values.iter().map(outcome).collect()
}

fn combine(rewards: &[RewardPlan], weights: &[f64], values: &[Option<f64>]) -> Combined {
    Combination::new(rewards, weights.to_vec(), None).unwrap().combine(&said(values))
}

fn counted(combined: &Combined) -> Vec<Option<f64>> {
    combined.terms.iter().map(|term| term.counted).collect()
}

#[test]
fn a_total_is_the_weighted_sum_of_what_has_a_value() {
    let rewards = [reward("a"), reward("b"), reward("c")];
    let weights = [0.5, -2.0, 3.0];
    assert_eq!(combine(&rewards, &weights, &[Some(4.0), Some(0.25), Some(1.0)]).total, Some(4.5));
    assert_eq!(combine(&rewards, &weights, &[None, Some(0.25), Some(1.0)]).total, Some(2.5));
    let nothing = combine(&rewards, &weights, &[None, None, None]);
    assert_eq!((nothing.total, nothing.unclipped), (None, None), "nothing is not 0");
    let weights: Vec<f64> = nothing.terms.iter().map(|term| term.weight).collect();
    assert_eq!(weights, [0.5, -2.0, 3.0]);
}

/// A reward that only decides gives no total: a rollout whose other rewards have no value is not judged, at
/// whatever the decider says, and one that is judged has the total of the others alone.
#[test]
fn a_reward_without_a_weight_gives_no_total() {
    let rewards = [reward("decider"), reward("masked")];
    for decider in [-3.0, 0.0, 1.0] {
        let combined = combine(&rewards, &[0.0, 1.0], &[Some(decider), None]);
        assert_eq!((combined.total, combined.unclipped), (None, None), "{decider}");
        assert_eq!(combined.terms[0].counted, Some(decider), "it is recorded");
        assert_eq!(combine(&rewards, &[0.0, 1.0], &[Some(decider), Some(2.0)]).total, Some(2.0));
    }
    assert_eq!(combine(&rewards, &[-0.0, 0.0], &[Some(1.0), Some(1.0)]).total, None);
    // Nor does a bound on totals make one.
    let clip = Some(Bounds { low: 0.5, high: 1.0 });
    let combination = Combination::new(&rewards, vec![0.0, 1.0], clip).unwrap();
    assert_eq!(combination.combine(&said(&[Some(1.0), None])).total, None);
}

#[test]
fn values_and_totals_are_moved_into_their_bounds() {
    let rewards = [clipped("a", -1.0, 2.0), reward("b")];
    let combination =
        Combination::new(&rewards, vec![2.0, 1.0], Some(Bounds { low: -2.5, high: 3.0 })).unwrap();
    let of = |a: f64, b: f64| {
        let combined = combination.combine(&said(&[Some(a), Some(b)]));
        (combined.terms[0].clipped.unwrap(), combined.unclipped.unwrap(), combined.total.unwrap())
    };
    assert_eq!(of(5.0, 0.5), (2.0, 4.5, 3.0));
    assert_eq!(of(-5.0, -1.0), (-1.0, -3.0, -2.5));
    assert_eq!(of(0.5, 1.0), (0.5, 2.0, 2.0));
}

#[test]
fn a_condition_is_met_from_its_bound_on() {
    let rewards = [conditional("answer", "format", 0.5, Otherwise::Zero), reward("format")];
    let weights = [1.0, 0.25];
    let of = |format: f64| combine(&rewards, &weights, &[Some(3.0), Some(format)]);
    let met = of(0.5);
    assert_eq!(
        (met.terms[0].condition, met.terms[0].counted),
        (Some(ConditionState::Met), Some(3.0))
    );
    assert_eq!(met.total, Some(3.125));
    let unmet = of(0.25);
    assert_eq!(unmet.terms[0].condition, Some(ConditionState::Unmet));
    assert_eq!((unmet.terms[0].clipped, unmet.terms[0].counted), (Some(3.0), Some(0.0)));
    assert_eq!((unmet.total, unmet.terms[1].condition), (Some(0.0625), None));
}

#[test]
fn an_unmet_condition_can_leave_the_reward_out() {
    let rewards = [reward("format"), conditional("answer", "format", 1.0, Otherwise::Mask)];
    assert_eq!(
        counted(&combine(&rewards, &[0.0, 1.0], &[Some(0.0), Some(3.0)])),
        [Some(0.0), None]
    );
}

#[test]
fn a_condition_on_no_value_leaves_the_reward_without_one() {
    for otherwise in [Otherwise::Zero, Otherwise::Mask] {
        let rewards = [reward("format"), conditional("answer", "format", 1.0, otherwise)];
        let combined = combine(&rewards, &[1.0, 1.0], &[None, Some(3.0)]);
        assert_eq!(combined.terms[1].condition, Some(ConditionState::Unknown));
        assert_eq!((counted(&combined), combined.total), (vec![None, None], None));
    }
}

#[test]
fn a_condition_gives_no_value_to_a_reward_that_has_none() {
    let rewards = [reward("format"), conditional("answer", "format", 1.0, Otherwise::Zero)];
    assert_eq!(counted(&combine(&rewards, &[1.0, 1.0], &[Some(0.0), None])), [Some(0.0), None]);
}

/// `a` counts only if `b` does, and `b` only if `c` does: where `c` is too low `b` is 0, and so is `a`. Bounds come first.
#[test]
fn conditions_look_at_what_counts_in_any_order_of_the_list() {
    let mut b = conditional("b", "c", 1.0, Otherwise::Zero);
    b.shaping.clip = Some(Bounds { low: 0.0, high: 0.5 });
    let rewards = [conditional("a", "b", 0.5, Otherwise::Zero), b, reward("c")];
    let of = |c: f64| counted(&combine(&rewards, &[1.0; 3], &[Some(7.0), Some(9.0), Some(c)]));
    assert_eq!(of(1.0), [Some(7.0), Some(0.5), Some(1.0)]);
    assert_eq!(of(0.0), [Some(0.0), Some(0.0), Some(0.0)]);
}

#[test]
fn conditions_that_cannot_be_followed_are_refused() {
    let error = |rewards: &[RewardPlan]| {
        Combination::new(rewards, vec![1.0; rewards.len()], None).unwrap_err().to_string()
    };
    let after = |id, by| conditional(id, by, 1.0, Otherwise::Zero);
    assert_eq!(
        error(&[after("a", "b")]),
        "the reward `a` counts only if `b` does, which is not scored with it"
    );
    assert_eq!(error(&[after("a", "a")]), "the reward `a` counts only if it counts itself");
    // `first` is only led into the circle.
    let circle = error(&[after("first", "a"), after("a", "b"), after("b", "a")]);
    assert!(
        circle.starts_with("the reward `a`") || circle.starts_with("the reward `b`"),
        "{circle}"
    );
}
