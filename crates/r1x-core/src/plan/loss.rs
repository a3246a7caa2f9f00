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
    /// The distance of a student from its teacher at every target.
    Distillation(DistillationPlan),
    /// How far a critic is from what came.
    Value(ValueLossPlan),
}

impl LossPlan {
    /// The penalty towards a reference, if there is one: in the loss, or taken off what rollouts are compared by.
    pub fn penalty(&self) -> Option<&KlPlan> {
        match self {
            LossPlan::Likelihood | LossPlan::Distillation(_) | LossPlan::Value(_) => None,
            LossPlan::Surrogate(plan) => Some(&plan.kl).filter(|kl| kl.exists()),
        }
    }

    /// What the token losses of an update are divided by, in words. `fixed_length` is what [`Aggregation::FixedLength`]
    /// divides by.
    pub fn divisor(&self, fixed_length: f64) -> String {
        match self {
            LossPlan::Likelihood | LossPlan::Distillation(_) | LossPlan::Value(_) => {
                Aggregation::TokenMean.divisor().to_owned()
            }
            LossPlan::Surrogate(plan) if plan.aggregation == Aggregation::FixedLength => {
                format!("{} ({fixed_length})", plan.aggregation.divisor())
            }
            LossPlan::Surrogate(plan) => plan.aggregation.divisor().to_owned(),
        }
    }
}

/// What a critic minimises.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueLossPlan {
    /// How far a value may move from the one that a step began with before the loss stops following it, in reward units.
    /// `None` is no bound.
    pub clip: Option<f64>,
}

/// The distance of a student from its teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistillationPlan {
    /// How the distance is measured.
    pub divergence: DivergencePlan,
    /// What becomes of the tokens that the teacher does not name.
    pub other_tokens: OtherTokens,
}

/// How the distance of two distributions is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DivergencePlan {
    /// KL(teacher ‖ student).
    ForwardKl,
    /// KL(student ‖ teacher).
    ReverseKl,
    /// The generalised Jensen-Shannon divergence.
    JensenShannon {
        /// The share of the teacher in the mixture that both are compared with, above 0 and below 1.
        beta: f64,
    },
}

impl DivergencePlan {
    /// The divergence in words.
    pub fn words(&self) -> String {
        match self {
            Self::ForwardKl => "KL(teacher || student)".to_owned(),
            Self::ReverseKl => "KL(student || teacher)".to_owned(),
            Self::JensenShannon { beta } => {
                format!("Jensen-Shannon, {beta} of the teacher in the mixture")
            }
        }
    }
}

/// What becomes of the tokens that a teacher does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherTokens {
    /// There are none: the teacher names every token.
    None,
    /// All of them are one outcome.
    OneOutcome,
}

/// What a reward model learns from a pair of responses by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardLossPlan {
    /// By pairs: the model learns that the better response has the larger value (Bradley-Terry).
    Pair {
        /// How much larger it is to be, in the units of values.
        margin: f64,
    },
    /// By points: the model learns a label for each response by itself, 1 for the better one and 0 for the worse one.
    Point,
}

/// What direct preference optimisation minimises.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreferencePlan {
    /// What becomes of a log-ratio.
    pub kind: PreferenceKind,
    /// The factor β: how dear it is to move away from the reference. Above 0.
    pub beta: f64,
}

/// What becomes of a log-ratio in direct preference optimisation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreferenceKind {
    /// The logarithm of its sigmoid (DPO).
    Sigmoid {
        /// The share of pairs whose members are thought to be swapped, from 0 to below 0.5.
        label_smoothing: f64,
    },
    /// The square of its distance from 1/(2β) (IPO).
    Ipo,
    /// How far it stays below 1/β (SLiC).
    Hinge,
}

impl PreferenceKind {
    /// Whether the log-ratio of a completion is a mean over its tokens, where it is a sum elsewhere. In IPO it is the mean,
    /// as TRL has it: a difference that is to be met exactly cannot grow with the length.
    pub fn is_mean(self) -> bool {
        matches!(self, Self::Ipo)
    }
}

/// The clipped surrogate and its penalty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SurrogatePlan {
    /// What the probability ratio is taken of.
    pub ratio: RatioLevel,
    /// What holds the probability ratio near 1.
    pub clip: ClipPlan,
    /// How far the policy may be from a sequence that it sampled, in nats a token, where the advantage is below 0; beyond
    /// that the sequence is in no policy gradient. `None` is no bound.
    pub max_divergence: Option<f64>,
    /// Penalty towards the reference policy.
    pub kl: KlPlan,
    /// Factor of the entropy of each trained token's distribution, which is taken off the loss; 0 is no bonus.
    pub entropy_coef: f64,
    /// How token losses become one number.
    pub aggregation: Aggregation,
}

/// What the probability ratio ρ is taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RatioLevel {
    /// Each token: ρ = π / π_sampled.
    Token,
    /// The whole sequence: the geometric mean of the ratios of its trained tokens (GSPO).
    Sequence,
    /// The value of the sequence's ratio, the gradient of each token's own (GSPO-token).
    SequenceToken,
    /// The whole sequence: the product of the ratios of its trained tokens, which is that of its probabilities (RLOO, R1).
    SequenceProduct,
}

/// What holds the probability ratio ρ near 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClipPlan {
    /// The less favourable of ρ and ρ inside bounds (PPO, GRPO).
    Pessimistic(RatioBounds),
    /// REINFORCE, weighted by ρ inside bounds, which has no gradient (CISPO).
    Weight(WeightBounds),
    /// A sigmoid of ρ in place of bounds (SAPO).
    Sigmoid(SigmoidGate),
    /// No gradient for tokens whose probability has moved too far (DPPO).
    Probability(ProbabilityBounds),
}

/// Bounds of ρ, of which the less favourable side counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RatioBounds {
    /// Lower bound is 1 − low.
    pub low: f64,
    /// Upper bound is 1 + high.
    pub high: f64,
    /// Two-sided clipping: ρ itself is capped at this value for negative advantages too.
    pub max_ratio: Option<f64>,
}

/// Bounds of ρ as a weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightBounds {
    /// Lower bound is 1 − low; `None` is no lower bound.
    pub low: Option<f64>,
    /// Upper bound is 1 + high.
    pub high: f64,
}

/// How steep the sigmoid of ρ is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SigmoidGate {
    /// The factor of ρ − 1 where the advantage is above 0.
    pub tau_positive: f64,
    /// The factor of ρ − 1 elsewhere.
    pub tau_negative: f64,
}

/// How far the probability of a token may move from that with which it was sampled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbabilityBounds {
    /// Downwards, where the advantage is below 0.
    pub low: f64,
    /// Upwards, where the advantage is above 0.
    pub high: f64,
}

/// Penalty towards the reference policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KlPlan {
    /// Its factor β; 0 means no reference policy at all.
    pub coef: f64,
    /// Where it is counted.
    pub counted_in: KlPlace,
    /// Estimator.
    pub estimator: KlEstimator,
    /// The reference moves towards the current policy every so many steps; `None` keeps the stage's first weights.
    pub refresh_every: Option<u64>,
    /// The share of the way that it moves, above 0. At 1 it becomes the current policy.
    pub refresh_mix: f64,
}

impl KlPlan {
    /// Whether there is a penalty, hence a reference.
    pub fn exists(&self) -> bool {
        self.coef > 0.0
    }

    /// Whether the reference is a moving average, which needs its numbers as exactly as those that learn.
    pub fn is_average(&self) -> bool {
        self.refresh_every.is_some() && self.refresh_mix < 1.0
    }

    /// Whether there is a penalty in the loss of each token.
    pub fn is_in_loss(&self) -> bool {
        self.exists() && self.counted_in == KlPlace::Loss
    }
}

/// Where a penalty is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlPlace {
    /// In the loss of each trained token, as GRPO has it.
    Loss,
    /// In the total that a rollout is compared by: β times the sum over its tokens is taken off (RLOO, REINFORCE++).
    Reward,
}

/// Schulman's estimators of KL(π‖ref) from one sample, and two whose gradient as a term of the loss is that of the
/// divergence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlEstimator {
    /// −d, with d = log ref − log π. As a term of the loss its gradient is 0 on average.
    K1,
    /// d²/2.
    K2,
    /// exp(d) − 1 − d; a straight line beyond 10 nats.
    K3,
    /// The value of k3 with the derivative of k2.
    K3Plus,
    /// k3, times the ratio that the loss has, with the gradient of both (DeepSeek-V3.2).
    K3Unbiased,
}

impl KlEstimator {
    /// Whether the estimate is multiplied by the probability ratio.
    pub fn is_weighted(self) -> bool {
        self == KlEstimator::K3Unbiased
    }
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
