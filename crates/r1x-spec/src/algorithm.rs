//! Published algorithms by name, as the choices that they are made of. One row of a table each.
//!
//! A name is a set of defaults and nothing more: every choice is a key of its own, is shown by `r1x plan`, and can be
//! written beside the name. `docs/algorithms.md` has the sources.

use r1x_core::plan::{AdvantageKind, Aggregation, KlPlace, RatioLevel};
use serde::Serialize;

use crate::loss_values::{ClipKind, ZeroSignalKind};
use crate::read::words;

/// The name of a published algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// DeepSeekMath.
    Grpo,
    /// Dr. GRPO.
    DrGrpo,
    /// DAPO.
    Dapo,
    /// GSPO.
    Gspo,
    /// CISPO.
    Cispo,
    /// SAPO.
    Sapo,
    /// RLOO.
    Rloo,
    /// REINFORCE++.
    ReinforcePp,
}

words!(Algorithm {
    "grpo" => Grpo, "DeepSeekMath";
    "dr_grpo" => DrGrpo, "no deviation and a fixed length";
    "dapo" => Dapo, "a higher upper bound, the mean over tokens, others in place of groups without signal";
    "gspo" => Gspo, "the ratio of whole sequences";
    "cispo" => Cispo, "a ratio that weights and never masks";
    "sapo" => Sapo, "a sigmoid in place of bounds";
    "rloo" => Rloo, "each rollout against the others, summed over tokens";
    "reinforce_pp" => ReinforcePp, "REINFORCE++, normalised over the step";
});

/// What an algorithm consists of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Choices {
    pub advantage: AdvantageKind,
    pub ratio: RatioLevel,
    pub clip: ClipKind,
    /// Where its kind of clipping has one.
    pub low: Option<f64>,
    /// Where its kind of clipping has one.
    pub high: Option<f64>,
    pub aggregation: Aggregation,
    pub zero_signal: ZeroSignalKind,
    /// Where a penalty is counted, if there is one.
    pub penalty: KlPlace,
}

/// DeepSeekMath's, which the others begin with.
const GRPO: Choices = Choices {
    advantage: AdvantageKind::GroupNormalized,
    ratio: RatioLevel::Token,
    clip: ClipKind::Pessimistic,
    low: Some(0.2),
    high: Some(0.2),
    aggregation: Aggregation::SequenceMean,
    zero_signal: ZeroSignalKind::Keep,
    penalty: KlPlace::Loss,
};

impl Algorithm {
    pub(crate) fn choices(self) -> Choices {
        match self {
            Algorithm::Grpo => GRPO,
            Algorithm::DrGrpo => Choices {
                advantage: AdvantageKind::GroupCentered,
                aggregation: Aggregation::FixedLength,
                ..GRPO
            },
            Algorithm::Dapo => Choices {
                high: Some(0.28),
                aggregation: Aggregation::TokenMean,
                zero_signal: ZeroSignalKind::Resample,
                ..GRPO
            },
            Algorithm::Gspo => {
                Choices { ratio: RatioLevel::Sequence, low: Some(3e-4), high: Some(4e-4), ..GRPO }
            }
            Algorithm::Cispo => Choices {
                clip: ClipKind::Weight,
                low: None,
                high: Some(4.0),
                aggregation: Aggregation::TokenMean,
                ..GRPO
            },
            Algorithm::Sapo => Choices { clip: ClipKind::Sigmoid, low: None, high: None, ..GRPO },
            Algorithm::Rloo => Choices {
                advantage: AdvantageKind::LeaveOneOut,
                aggregation: Aggregation::FixedLength,
                penalty: KlPlace::Reward,
                ..GRPO
            },
            Algorithm::ReinforcePp => Choices {
                advantage: AdvantageKind::BatchNormalized,
                aggregation: Aggregation::TokenMean,
                penalty: KlPlace::Reward,
                ..GRPO
            },
        }
    }
}
