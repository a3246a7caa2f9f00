//! From outcomes to totals and from totals to advantages: the mathematics of core applied to groups.

use r1x_core::advantage::{Spread, advantages, decoupled, whitening};
use r1x_core::plan::{AdvantagePlan, CombineOrder, GrpoPlan, RewardPlan};
use r1x_core::reward::{Combination, ConditionError, applies, weight};
use r1x_core::{
    CreditedGroup, PortError, Problem, ProblemSource, RewardOutcome, RewardedGroup,
    RewardedRollout, Rollout,
};

use crate::error::TrainError;

/// How a stage puts its rewards together at one step.
pub(crate) fn at_step<'a>(
    plan: &GrpoPlan,
    rewards: &'a [RewardPlan],
    step: u64,
    place: &str,
) -> Result<Combination<'a>, PortError> {
    let weights = rewards.iter().map(|reward| weight(reward, step, plan.steps)).collect();
    let combination = Combination::new(rewards, weights, plan.advantage.combine.clip);
    combination.map_err(|error| condition(error, place))
}

/// How an evaluation reads its grade and the rewards that decide about it: a grade is no part of a sum, so
/// nothing is weighted.
pub(crate) fn unweighted<'a>(
    rewards: &'a [RewardPlan],
    place: &str,
) -> Result<Combination<'a>, PortError> {
    let combination = Combination::new(rewards, vec![1.0; rewards.len()], None);
    combination.map_err(|error| condition(error, place))
}

/// How a stage that learns nothing reads its rewards: with the weights that they have apart from any course, which is over
/// the steps of a stage that learns.
pub(crate) fn at_rest<'a>(
    rewards: &'a [RewardPlan],
    place: &str,
) -> Result<Combination<'a>, PortError> {
    let weights = rewards.iter().map(|reward| reward.weight).collect();
    let combination = Combination::new(rewards, weights, None);
    combination.map_err(|error| condition(error, place))
}

fn condition(error: ConditionError, place: &str) -> PortError {
    TrainError::Condition { place: place.to_owned(), error }.into()
}

/// A rollout with its outcomes and what they come to. The error is a total that is not finite.
pub(crate) fn rewarded(
    combination: &Combination<'_>,
    rollout: Rollout,
    outcomes: Vec<RewardOutcome>,
) -> Result<RewardedRollout, f64> {
    let combined = combination.combine(&outcomes);
    if let Some(total) = combined.unclipped.filter(|total| !total.is_finite()) {
        return Err(total);
    }
    Ok(RewardedRollout {
        rollout,
        outcomes,
        terms: combined.terms,
        unclipped: combined.unclipped,
        total: combined.total,
    })
}

/// Turns the rewards of every group of a step into advantages.
pub(crate) fn assign_credit(
    plan: &AdvantagePlan,
    weights: &[f64],
    groups: Vec<RewardedGroup>,
) -> Vec<CreditedGroup> {
    let mut credited: Vec<CreditedGroup> = match plan.combine.order {
        CombineOrder::SumThenNormalize => {
            let rollouts = groups.iter().flat_map(|group| &group.rollouts);
            let step = Spread::of(rollouts.filter_map(|rollout| rollout.total));
            groups.into_iter().map(|group| by_total(plan, &step, group)).collect()
        }
        CombineOrder::NormalizeThenSum => {
            let steps: Vec<Spread> =
                (0..weights.len()).map(|index| spread_of_reward(&groups, index)).collect();
            groups.into_iter().map(|group| by_reward(plan, weights, &steps, group)).collect()
        }
    };
    if plan.combine.whiten {
        whiten(plan, &mut credited);
    }
    credited
}

/// Whether a group by itself has anything to teach: two different totals, or, where rewards are compared one by one, two
/// different values of a reward with a weight. Decided by exact equality.
pub(crate) fn has_signal(plan: &AdvantagePlan, weights: &[f64], group: &RewardedGroup) -> bool {
    let credit = match plan.combine.order {
        CombineOrder::SumThenNormalize => {
            let totals = totals(group);
            advantages(plan, &totals, &Spread::of(totals.iter().flatten().copied()))
        }
        CombineOrder::NormalizeThenSum => {
            let counted = counted(weights, group);
            let spread = |values: &Vec<Option<f64>>| Spread::of(values.iter().flatten().copied());
            let alone: Vec<Spread> = counted.iter().map(spread).collect();
            decoupled(plan, weights, &counted, &alone, group.rollouts.len()).credit
        }
    };
    !credit.zero_signal
}

/// The totals of a group, one per rollout.
fn totals(group: &RewardedGroup) -> Vec<Option<f64>> {
    group.rollouts.iter().map(|rollout| rollout.total).collect()
}

/// What every reward counts in a group, `[reward][rollout]`.
fn counted(weights: &[f64], group: &RewardedGroup) -> Vec<Vec<Option<f64>>> {
    let of_reward = |index: usize| {
        let terms = group.rollouts.iter().map(|rollout| rollout.terms.get(index));
        terms.map(|term| term.and_then(|term| term.counted)).collect()
    };
    (0..weights.len()).map(of_reward).collect()
}

/// What the values of one reward are like over a step.
fn spread_of_reward(groups: &[RewardedGroup], index: usize) -> Spread {
    let rollouts = groups.iter().flat_map(|group| &group.rollouts);
    Spread::of(rollouts.filter_map(|rollout| rollout.terms.get(index)?.counted))
}

fn by_total(plan: &AdvantagePlan, step: &Spread, group: RewardedGroup) -> CreditedGroup {
    let credit = advantages(plan, &totals(&group), step);
    CreditedGroup { group, advantages: credit.advantages, zero_signal: credit.zero_signal }
}

fn by_reward(
    plan: &AdvantagePlan,
    weights: &[f64],
    steps: &[Spread],
    mut group: RewardedGroup,
) -> CreditedGroup {
    let counted = counted(weights, &group);
    let found = decoupled(plan, weights, &counted, steps, group.rollouts.len());
    for (index, of_reward) in found.normalized.iter().enumerate() {
        for (rollout, normalized) in group.rollouts.iter_mut().zip(of_reward) {
            if let Some(term) = rollout.terms.get_mut(index) {
                term.normalized = *normalized;
            }
        }
    }
    let credit = found.credit;
    CreditedGroup { group, advantages: credit.advantages, zero_signal: credit.zero_signal }
}

/// Rollouts without a total take no part, groups without signal do: they are part of the batch.
fn whiten(plan: &AdvantagePlan, groups: &mut [CreditedGroup]) {
    let scored = groups.iter().flat_map(|credited| {
        let rollouts = credited.group.rollouts.iter().zip(&credited.advantages);
        rollouts.filter(|(rollout, _)| rollout.total.is_some()).map(|(_, advantage)| *advantage)
    });
    let divisor = whitening(scored, plan.eps);
    for advantage in groups.iter_mut().flat_map(|credited| &mut credited.advantages) {
        *advantage /= divisor;
    }
}

/// An error when a problem is judged by no reward, or a reward judges no problem: a value of a condition that
/// no problem has is a slip of the pen.
pub(crate) fn check_coverage(
    rewards: &[RewardPlan],
    problems: &[&Problem],
    source: &dyn ProblemSource,
    place: &str,
) -> Result<(), PortError> {
    let judged = |problem: &&&Problem| rewards.iter().any(|reward| applies(reward, problem));
    if let Some(problem) = problems.iter().find(|problem| !judged(problem)) {
        return Err(TrainError::NotJudged {
            place: place.to_owned(),
            data: problem.data.clone(),
            problem: source.origin(problem),
        }
        .into());
    }
    let idle = |reward: &&RewardPlan| !problems.iter().any(|problem| applies(reward, problem));
    match rewards.iter().find(idle) {
        None => Ok(()),
        Some(reward) => {
            Err(TrainError::NeverJudges { place: place.to_owned(), reward: reward.id.clone() }
                .into())
        }
    }
}
