//! The plan of group-relative policy optimisation, and the choices its variants differ in.

use serde::{Deserialize, Serialize};

use super::{Learning, Prompts, Reference, Rollouts, StageOutline};
use crate::plan::{CombinePlan, DataRef, OptimizerPlan, SamplingPlan};

/// Group-relative policy optimisation (DeepSeekMath, section 4; DeepSeek-R1, section 2.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrpoPlan {
    /// Problems, at least one data set. A pass over the data meets every problem of all of them once.
    pub data: Vec<DataRef>,
    /// Ids of the rewards that are summed.
    pub rewards: Vec<String>,
    /// Steps: one batch of rollouts each.
    pub steps: u64,
    /// Prompts per step.
    pub prompts_per_step: usize,
    /// Rollouts per prompt.
    pub group_size: usize,
    /// How rollouts are sampled.
    pub sampling: SamplingPlan,
    /// Passes over each batch of rollouts.
    pub epochs: usize,
    /// Optimizer updates a pass is split into.
    pub updates_per_epoch: usize,
    /// Sequences computed together.
    pub micro_batch_size: usize,
    /// Optimizer.
    pub optimizer: OptimizerPlan,
    /// How totals become advantages.
    pub advantage: AdvantagePlan,
    /// Bounds of the probability ratio.
    pub clip: ClipPlan,
    /// Penalty towards the reference policy.
    pub kl: KlPlan,
    /// How token losses become one number.
    pub aggregation: Aggregation,
    /// What happens to groups whose totals are all equal.
    pub zero_signal: ZeroSignal,
    /// What happens to truncated completions.
    pub truncated: Truncated,
    /// Compute a group's prompt once for all its completions in training, as in sampling. The gradient is the
    /// same up to rounding.
    pub share_prompts: bool,
}

impl GrpoPlan {
    pub(super) fn outline(&self) -> StageOutline<'_> {
        let reference = match self.kl.refresh_every {
            _ if self.kl.coef <= 0.0 => Reference::None,
            None => Reference::Fixed,
            Some(_) => Reference::Refreshed,
        };
        StageOutline {
            steps: self.steps,
            problems_per_step: self.prompts_per_step,
            data: self.data.iter().collect(),
            rewards: &self.rewards,
            suites: &[],
            rollouts: Some(Rollouts { per_problem: self.group_size, sampling: &self.sampling }),
            learning: Some(Learning {
                sequences_per_step: self.prompts_per_step.saturating_mul(self.group_size),
                epochs: self.epochs,
                updates_per_epoch: self.updates_per_epoch,
                micro_batch_size: self.micro_batch_size,
                prompts: if self.share_prompts { Prompts::Shared } else { Prompts::Repeated },
                reference,
            }),
            remarks: vec![("loss", self.divisor())],
        }
    }

    /// What the loss is divided by, and which rollouts it never sees, in words.
    fn divisor(&self) -> String {
        let mut divided = self.aggregation.divisor().to_owned();
        if self.aggregation == Aggregation::FixedLength {
            divided.push_str(&format!(" ({})", self.fixed_length()));
        }
        let mut untrained = vec!["rollouts without a total"];
        if self.zero_signal == ZeroSignal::Drop {
            untrained.push("groups of equal totals");
        }
        if self.truncated == Truncated::Mask {
            untrained.push("truncated completions");
        }
        format!("divided {divided}\nnot trained on: {}", untrained.join(", "))
    }

    /// What `fixed_length` divides an update by: its share of the step's rollouts, groups that will be dropped
    /// included, times the longest completion. The same number in every update.
    pub fn fixed_length(&self) -> f64 {
        let rollouts = self.prompts_per_step * self.group_size;
        rollouts as f64 / self.updates_per_epoch as f64 * self.sampling.max_tokens as f64
    }
}

/// How totals become advantages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdvantagePlan {
    /// The estimator.
    pub kind: AdvantageKind,
    /// Added to the standard deviation.
    pub eps: f64,
    /// How the rewards of a rollout are put together.
    pub combine: CombinePlan,
}

/// The estimator of advantages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdvantageKind {
    /// (r − mean) / (std + eps) inside the group: GRPO.
    GroupNormalized,
    /// r − mean inside the group: Dr.GRPO.
    GroupCentered,
    /// r − mean of the other rollouts: RLOO.
    LeaveOneOut,
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

/// What happens to groups whose totals are all equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroSignal {
    /// They stay in the batch with advantage 0, and count in the denominators.
    Keep,
    /// They are left out of the update.
    Drop,
}

/// What happens to truncated completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truncated {
    /// They are trained on like the others.
    Keep,
    /// Their tokens are left out of the loss; their rewards still count in the group.
    Mask,
}
