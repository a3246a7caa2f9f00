//! The kinds of single values that only stages have which learn from pairs.

use serde::Serialize;

use r1x_core::plan::ReadPart;

use crate::read::words;

/// What a reward model learns from a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardLossKind {
    /// Bradley-Terry.
    Pair,
    /// A label for each.
    Point,
}

/// What becomes of a log-ratio in direct preference optimisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PreferenceWord {
    /// DPO.
    Sigmoid,
    /// IPO.
    Ipo,
    /// SLiC.
    Hinge,
}

words!(RewardLossKind {
    "pair" => Pair, "that the better response has the larger value (Bradley-Terry)";
    "point" => Point, "that each response has the right label by itself: the better one 1, the worse one 0";
});
words!(ReadPart {
    "response" => Response, "all of it";
    "answer" => Answer, "what stands behind `</think>`; without a thought all of it";
});
words!(PreferenceWord {
    "sigmoid" => Sigmoid, "the negative logarithm of its sigmoid (DPO)";
    "ipo" => Ipo, "the square of its distance from 1/(2 beta), as a mean over tokens (IPO)";
    "hinge" => Hinge, "how far it stays below 1/beta (SLiC)";
});
