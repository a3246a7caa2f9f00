//! The plan of a merge: weights that are an average of others.

use serde::{Deserialize, Serialize};

use super::{StageOutline, WeightsFrom};

/// The weighted average of the weights of several stages (Model soups, 2022, arXiv 2203.05482): every number of the model is
/// the sum of the numbers at its place, each times the share of its part. Adapters of a part are merged first. Nothing is
/// learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergePlan {
    /// What is averaged, in the order in which it is added up.
    pub parts: Vec<MergePart>,
}

/// A part of an average.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergePart {
    /// Whose weights.
    pub weights: WeightsFrom,
    /// How much of them, above 0. The shares of all parts add up to 1, but for rounding.
    pub share: f64,
}

impl MergePlan {
    /// A merge is a stage of one step, so that its weights are recorded, saved and gone on from like those of other stages.
    pub(super) fn outline(&self) -> StageOutline<'_> {
        StageOutline {
            steps: 1,
            merges: &self.parts,
            remarks: vec![("average", self.average())],
            ..StageOutline::default()
        }
    }

    /// What is averaged, in words.
    fn average(&self) -> String {
        let said = |part: &MergePart| match &part.weights {
            WeightsFrom::Base => format!("{:.4} of the weights of the beginning", part.share),
            WeightsFrom::Stage(id) => format!("{:.4} of `{id}`", part.share),
        };
        let said: Vec<String> = self.parts.iter().map(said).collect();
        said.join(" + ")
    }
}
