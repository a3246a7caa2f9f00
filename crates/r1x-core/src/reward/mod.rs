//! From what rewards said about a rollout to its total: bounds, conditions, weights, sum.

mod applies;
mod weight;

pub use applies::applies;
pub use weight::weight;

use crate::plan::{Bounds, ConditionPlan, Otherwise, RewardPlan};
use crate::rollout::{ConditionState, RewardOutcome, RewardTerm};

/// Conditions that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// The deciding reward is not scored here.
    #[error("the reward `{reward}` counts only if `{decider}` does, which is not scored with it")]
    Missing {
        /// The reward with the condition.
        reward: String,
        /// The deciding reward.
        decider: String,
    },
    /// A reward that decides, over others or directly, about itself.
    #[error("the reward `{reward}` counts only if it counts itself")]
    Circle {
        /// The reward.
        reward: String,
    },
}

/// How the rewards scored together become totals, at one step.
#[derive(Clone, Debug)]
pub struct Combination<'a> {
    rewards: &'a [RewardPlan],
    weights: Vec<f64>,
    /// The position of the reward that decides about each.
    deciders: Vec<Option<usize>>,
    /// Positions, every deciding reward before those it decides about.
    order: Vec<usize>,
    clip: Option<Bounds>,
}

/// What the outcomes of one rollout come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Combined {
    /// One term per outcome.
    pub terms: Vec<RewardTerm>,
    /// The weighted sum, before its bounds; `None` when no reward with a weight counts.
    pub unclipped: Option<f64>,
    /// The weighted sum, moved into the bounds of totals.
    pub total: Option<f64>,
}

impl<'a> Combination<'a> {
    /// Of these rewards with these weights, one each; totals are moved into `clip`.
    ///
    /// # Errors
    /// When a deciding reward is not among the rewards, or conditions go in a circle.
    pub fn new(
        rewards: &'a [RewardPlan],
        weights: Vec<f64>,
        clip: Option<Bounds>,
    ) -> Result<Self, ConditionError> {
        let deciders = rewards.iter().map(|reward| position(rewards, reward));
        let deciders = deciders.collect::<Result<Vec<_>, _>>()?;
        let order = ordered(&deciders)
            .map_err(|index| ConditionError::Circle { reward: rewards[index].id.clone() })?;
        Ok(Self { rewards, weights, deciders, order, clip })
    }

    /// The rewards, in the order of the outcomes.
    pub fn rewards(&self) -> &'a [RewardPlan] {
        self.rewards
    }

    /// Their weights.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// The terms and the total of one rollout, from one outcome per reward.
    pub fn combine(&self, outcomes: &[RewardOutcome]) -> Combined {
        let clipped = |index: usize| {
            let value = outcomes.get(index)?.value?;
            Some(self.rewards[index].shaping.clip.map_or(value, |bounds| bounds.clip(value)))
        };
        let mut terms: Vec<RewardTerm> = (0..self.rewards.len())
            .map(|index| RewardTerm {
                clipped: clipped(index),
                condition: None,
                counted: clipped(index),
                weight: self.weights.get(index).copied().unwrap_or(0.0),
                normalized: None,
            })
            .collect();
        for &index in &self.order {
            let condition = self.rewards[index].shaping.condition.as_ref();
            if let (Some(condition), Some(decider)) = (condition, self.deciders[index]) {
                let state = state(condition, terms[decider].counted);
                terms[index].condition = Some(state);
                terms[index].counted = under(condition, state, terms[index].clipped);
            }
        }
        // A weight of 0 adds nothing, and gives no total either: where all others are missing, the rollout has not
        // been judged.
        let weighted = terms.iter().filter(|term| term.weight != 0.0);
        let parts = weighted.filter_map(|term| Some(term.weight * term.counted?));
        let unclipped = parts.reduce(|sum, part| sum + part);
        let bounded = |total: f64| self.clip.map_or(total, |bounds| bounds.clip(total));
        Combined { total: unclipped.map(bounded), unclipped, terms }
    }
}

/// Where the reward that decides about this one stands.
fn position(rewards: &[RewardPlan], reward: &RewardPlan) -> Result<Option<usize>, ConditionError> {
    let Some(condition) = &reward.shaping.condition else { return Ok(None) };
    let found = rewards.iter().position(|other| other.id == condition.reward);
    let missing =
        || ConditionError::Missing { reward: reward.id.clone(), decider: condition.reward.clone() };
    found.map(Some).ok_or_else(missing)
}

/// Positions with every decider before whom it decides about; the error is one that stands in a circle.
fn ordered(deciders: &[Option<usize>]) -> Result<Vec<usize>, usize> {
    let mut order: Vec<usize> = Vec::with_capacity(deciders.len());
    while order.len() < deciders.len() {
        let ready = |index: &usize| {
            !order.contains(index)
                && deciders[*index].is_none_or(|decider| order.contains(&decider))
        };
        match (0..deciders.len()).find(ready) {
            Some(index) => order.push(index),
            None => return Err(in_circle(deciders, &order)),
        }
    }
    Ok(order)
}

/// Where following the conditions from a position outside the order ends up: inside the circle itself, which the
/// position need not be.
fn in_circle(deciders: &[Option<usize>], order: &[usize]) -> usize {
    let mut index = (0..deciders.len()).find(|index| !order.contains(index)).unwrap_or_default();
    for _ in 0..deciders.len() {
        index = deciders[index].unwrap_or(index);
    }
    index
}

fn state(condition: &ConditionPlan, decider: Option<f64>) -> ConditionState {
    match decider {
        None => ConditionState::Unknown,
        Some(value) if value >= condition.at_least => ConditionState::Met,
        Some(_) => ConditionState::Unmet,
    }
}

/// The value of a reward under its condition. A condition never gives a value to a reward that has none, and an unknown
/// one takes it away: a failure of the deciding plugin says nothing about the rollout.
fn under(condition: &ConditionPlan, state: ConditionState, value: Option<f64>) -> Option<f64> {
    match (state, condition.otherwise) {
        (ConditionState::Met, _) => value,
        (ConditionState::Unmet, Otherwise::Zero) => value.map(|_| 0.0),
        (ConditionState::Unmet, Otherwise::Mask) | (ConditionState::Unknown, _) => None,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
