//! The kinds of single values of which a stage's loss is made: how totals become advantages, and what an update
//! minimises.

use serde::Serialize;

use r1x_core::plan::{AdvantageKind, Aggregation, KlEstimator, KlPlace, RatioLevel, Truncated};

use crate::read::words;

words!(AdvantageKind {
    "group_normalized" => GroupNormalized, "(r - mean) / (std + eps) in the group (GRPO)";
    "group_centered" => GroupCentered, "r - mean in the group (Dr.GRPO)";
    "leave_one_out" => LeaveOneOut, "r - mean of the others in the group (RLOO)";
    "batch_scaled" => BatchScaled, "r - mean in the group, divided by std + eps of the step (Lite PPO)";
    "batch_normalized" => BatchNormalized, "(r - mean) / (std + eps) over the step (REINFORCE++)";
    "gae" => Gae, "what came of each token against what a critic had expected (PPO)";
});
words!(RatioLevel {
    "token" => Token, "each token";
    "sequence" => Sequence, "the whole sequence, as the geometric mean of the ratios of its tokens (GSPO)";
    "sequence_token" => SequenceToken, "its value is that of the sequence, its gradient that of each token (GSPO-token)";
    "sequence_product" => SequenceProduct, "the whole sequence, as the product of the ratios of its tokens (RLOO)";
});
words!(KlEstimator {
    "k1" => K1, "-d, where d = log ref - log policy; no gradient on average";
    "k2" => K2, "d squared / 2";
    "k3" => K3, "exp(d) - 1 - d; a straight line beyond 10 nats";
    "k3_plus" => K3Plus, "the value of k3 with the derivative of k2, which is that of the divergence on the policy itself";
    "k3_unbiased" => K3Unbiased, "k3 times the ratio of the loss, with the gradient of both, which is that of the divergence";
});
words!(KlPlace {
    "loss" => Loss, "the loss of each trained token (GRPO)";
    "reward" => Reward, "the total that a rollout is compared by, from which `coef` times the sum over its tokens is taken off (RLOO, REINFORCE++); with a critic, the reward of each token, from which its own term is taken off (PPO)";
});
words!(Aggregation {
    "sequence_mean" => SequenceMean, "mean in a sequence, then over trained sequences (GRPO)";
    "token_mean" => TokenMean, "mean over all trained tokens of the update (DAPO)";
    "fixed_length" => FixedLength, "sum over planned rollouts x max_tokens, a constant (Dr.GRPO)";
});
words!(Truncated {
    "keep" => Keep, "truncated completions are trained on like others";
    "mask" => Mask, "their tokens are left out of the loss";
});

/// What holds the probability ratio near 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClipKind {
    /// PPO's clipping.
    Pessimistic,
    /// CISPO.
    Weight,
    /// SAPO.
    Sigmoid,
    /// DPPO.
    Probability,
}

words!(ClipKind {
    "pessimistic" => Pessimistic, "the less favourable of the ratio and the ratio inside bounds (PPO, GRPO)";
    "weight" => Weight, "the log-prob, weighted by the ratio inside bounds, so that no token loses its gradient (CISPO)";
    "sigmoid" => Sigmoid, "a sigmoid of the ratio in place of bounds (SAPO)";
    "probability" => Probability, "no gradient for a token whose probability has moved too far (DPPO)";
});

/// What happens to groups whose totals are all equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroSignalKind {
    /// They stay in the batch.
    Keep,
    /// They are left out.
    Drop,
    /// Others take their place.
    Resample,
}

words!(ZeroSignalKind {
    "keep" => Keep, "groups without signal stay in the batch with advantage 0";
    "drop" => Drop, "they are left out of the update";
    "resample" => Resample, "they are left out, and other problems are drawn in their place (DAPO)";
});
