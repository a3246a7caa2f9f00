//! Published algorithms by name, as the choices that they are made of, and what other systems do when nobody tells them
//! otherwise. One row of a table each.
//!
//! A name is a set of defaults and nothing more: every choice is a key of its own, is shown by `r1x plan`, and can be
//! written beside the name. The name of a system has its version, because defaults change from one to the next.
//! `docs/algorithms.md` has the sources.

use r1x_core::plan::{AdvantageKind, Aggregation, KlEstimator, KlPlace, RatioLevel};
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
    /// PPO.
    Ppo,
    /// The papers about DeepSeek-R1.
    #[serde(rename = "r1-paper")]
    R1Paper,
    /// The defaults of TRL 0.14, for which the first public recipes were written.
    #[serde(rename = "trl-0.14")]
    Trl0_14,
    /// The defaults of TRL 1.16.
    #[serde(rename = "trl-1.16")]
    Trl1_16,
    /// The defaults of verl with its estimator for GRPO.
    #[serde(rename = "verl-2026.08")]
    Verl2026_08,
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
    "ppo" => Ppo, "each token against what a critic expects of it, which `critic` names";
    "r1-paper" => R1Paper, "the papers about DeepSeek-R1, with their penalty";
    "trl-0.14" => Trl0_14, "the defaults of TRL 0.14, with their penalty and temperature";
    "trl-1.16" => Trl1_16, "the defaults of TRL 1.16";
    "verl-2026.08" => Verl2026_08, "the defaults of verl for GRPO, as of August 2026";
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
    pub system: System,
}

/// What the name of a system stands for beside the choices that algorithms differ in; nothing where it is that of r1x.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct System {
    /// What is added to the standard deviation.
    pub eps: Option<f64>,
    pub max_ratio: Option<f64>,
    /// The factor of the penalty.
    pub coef: Option<f64>,
    pub estimator: Option<KlEstimator>,
    pub temperature: Option<f64>,
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
    system: System { eps: None, max_ratio: None, coef: None, estimator: None, temperature: None },
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
            Algorithm::Ppo => Choices {
                advantage: AdvantageKind::Gae,
                aggregation: Aggregation::TokenMean,
                penalty: KlPlace::Reward,
                ..GRPO
            },
            // The ratio within 1 ± 10, which is never below 0.
            Algorithm::R1Paper => Choices {
                low: Some(1.0),
                high: Some(10.0),
                system: System { coef: Some(1e-3), ..GRPO.system },
                ..GRPO
            },
            Algorithm::Trl0_14 => Choices {
                system: System { coef: Some(0.04), temperature: Some(0.9), ..GRPO.system },
                ..GRPO
            },
            Algorithm::Trl1_16 => Choices {
                aggregation: Aggregation::TokenMean,
                system: System { estimator: Some(KlEstimator::K3Unbiased), ..GRPO.system },
                ..GRPO
            },
            Algorithm::Verl2026_08 => Choices {
                aggregation: Aggregation::TokenMean,
                system: System { eps: Some(1e-6), max_ratio: Some(3.0), ..GRPO.system },
                ..GRPO
            },
        }
    }
}
