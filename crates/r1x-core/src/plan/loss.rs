//! Losses as data: what an update minimises. What each computes is in `crate::loss`, one file a loss.

use serde::{Deserialize, Serialize};

/// What an update minimises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossPlan {
    /// The negative log-likelihood of texts that exist already.
    Likelihood,
    /// The clipped policy-gradient surrogate with a penalty towards the reference.
    Surrogate(SurrogatePlan),
}

impl LossPlan {
    /// The penalty towards a reference that is part of the loss, if one is.
    pub fn penalty(&self) -> Option<&KlPlan> {
        match self {
            LossPlan::Likelihood => None,
            LossPlan::Surrogate(plan) => Some(&plan.kl).filter(|kl| kl.coef > 0.0),
        }
    }

    /// What the token losses of an update are divided by, in words. `fixed_length` is what [`Aggregation::FixedLength`]
    /// divides by.
    pub fn divisor(&self, fixed_length: f64) -> String {
        match self {
            LossPlan::Likelihood => Aggregation::TokenMean.divisor().to_owned(),
            LossPlan::Surrogate(plan) if plan.aggregation == Aggregation::FixedLength => {
                format!("{} ({fixed_length})", plan.aggregation.divisor())
            }
            LossPlan::Surrogate(plan) => plan.aggregation.divisor().to_owned(),
        }
    }
}

/// The clipped surrogate and its penalty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SurrogatePlan {
    /// Bounds of the probability ratio.
    pub clip: ClipPlan,
    /// Penalty towards the reference policy.
    pub kl: KlPlan,
    /// How token losses become one number.
    pub aggregation: Aggregation,
}

/// Bounds of the probability ratio ρ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipPlan {
    /// Lower bound is 1 − low.
    pub low: f64,
    /// Upper bound is 1 + high.
    pub high: f64,
    /// Two-sided clipping: ρ itself is capped at this value for negative advantages too.
    pub max_ratio: Option<f64>,
}

/// Penalty towards the reference policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KlPlan {
    /// Its factor β; 0 means no reference policy at all.
    pub coef: f64,
    /// Estimator.
    pub estimator: KlEstimator,
    /// The reference becomes the current policy every so many steps; `None` keeps the stage's first weights.
    pub refresh_every: Option<u64>,
}

/// Schulman's estimators of KL(π‖ref) from one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlEstimator {
    /// −d, with d = log ref − log π. As a term of the loss its gradient is 0 on average.
    K1,
    /// d²/2.
    K2,
    /// exp(d) − 1 − d; a straight line beyond 10 nats.
    K3,
}

/// How token losses become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Mean over tokens in a sequence, then over sequences with a trained token (GRPO).
    SequenceMean,
    /// Mean over all trained tokens of the update (DAPO).
    TokenMean,
    /// Sum divided by planned rollouts × `max_tokens`, a constant (Dr.GRPO).
    FixedLength,
}

impl Aggregation {
    /// What the token losses of an update are divided by, in words.
    pub fn divisor(self) -> &'static str {
        match self {
            Aggregation::SequenceMean => {
                "each sequence by its trained tokens, then by the sequences that have any"
            }
            Aggregation::TokenMean => "by the trained tokens of the update",
            Aggregation::FixedLength => "by planned rollouts x max_tokens, whatever was sampled",
        }
    }
}
