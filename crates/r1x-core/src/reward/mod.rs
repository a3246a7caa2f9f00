//! From what rewards said about a rollout to its total: bounds, gates, weights, sum.

mod applies;
mod weight;

pub use applies::applies;
pub use weight::weight;

use crate::plan::{Bounds, GatePlan, Otherwise, RewardPlan};
use crate::rollout::{GateState, RewardOutcome, RewardTerm};

/// Gates that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// The deciding reward is not scored here.
    #[error("the reward `{reward}` counts only if `{gate}` does, which is not scored with it")]
    Missing {
        /// The gated reward.
        reward: String,
        /// The deciding one.
        gate: String,
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
    /// Position of the reward that decides about each.
    gates: Vec<Option<usize>>,
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
    /// When a gate is not among the rewards, or gates go in a circle.
    pub fn new(
        rewards: &'a [RewardPlan],
        weights: Vec<f64>,
        clip: Option<Bounds>,
    ) -> Result<Self, GateError> {
        let gates = rewards.iter().map(|reward| position(rewards, reward));
        let gates = gates.collect::<Result<Vec<_>, _>>()?;
        let order = ordered(&gates)
            .map_err(|index| GateError::Circle { reward: rewards[index].id.clone() })?;
        Ok(Self { rewards, weights, gates, order, clip })
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
                gate: None,
                counted: clipped(index),
                weight: self.weights.get(index).copied().unwrap_or(0.0),
                normalized: None,
            })
            .collect();
        for &index in &self.order {
            let gate = self.rewards[index].shaping.gate.as_ref();
            if let (Some(gate), Some(decider)) = (gate, self.gates[index]) {
                let state = state(gate, terms[decider].counted);
                terms[index].gate = Some(state);
                terms[index].counted = behind(gate, state, terms[index].clipped);
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
fn position(rewards: &[RewardPlan], reward: &RewardPlan) -> Result<Option<usize>, GateError> {
    let Some(gate) = &reward.shaping.gate else { return Ok(None) };
    let found = rewards.iter().position(|other| other.id == gate.reward);
    let missing = || GateError::Missing { reward: reward.id.clone(), gate: gate.reward.clone() };
    found.map(Some).ok_or_else(missing)
}

/// Positions with every decider before whom it decides about; the error is one that stands in a circle.
fn ordered(gates: &[Option<usize>]) -> Result<Vec<usize>, usize> {
    let mut order: Vec<usize> = Vec::with_capacity(gates.len());
    while order.len() < gates.len() {
        let ready = |index: &usize| {
            !order.contains(index) && gates[*index].is_none_or(|gate| order.contains(&gate))
        };
        match (0..gates.len()).find(ready) {
            Some(index) => order.push(index),
            None => return Err(in_circle(gates, &order)),
        }
    }
    Ok(order)
}

/// Where following the gates from a position outside the order ends up: inside the circle itself, which the
/// position need not be.
fn in_circle(gates: &[Option<usize>], order: &[usize]) -> usize {
    let mut index = (0..gates.len()).find(|index| !order.contains(index)).unwrap_or_default();
    for _ in 0..gates.len() {
        index = gates[index].unwrap_or(index);
    }
    index
}

fn state(gate: &GatePlan, decider: Option<f64>) -> GateState {
    match decider {
        None => GateState::Unknown,
        Some(value) if value >= gate.at_least => GateState::Open,
        Some(_) => GateState::Closed,
    }
}

/// A gate never gives a value to a reward that has none, and one that cannot be told open or closed takes it
/// away: a failure of the deciding plugin says nothing about the rollout.
fn behind(gate: &GatePlan, state: GateState, value: Option<f64>) -> Option<f64> {
    match (state, gate.otherwise) {
        (GateState::Open, _) => value,
        (GateState::Closed, Otherwise::Zero) => value.map(|_| 0.0),
        (GateState::Closed, Otherwise::Mask) | (GateState::Unknown, _) => None,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
