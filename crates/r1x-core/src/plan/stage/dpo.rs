//! The plan of direct preference optimisation.

use serde::{Deserialize, Serialize};

use super::reward_model::of_pairs;
use super::{Reference, StageOutline};
use crate::plan::{DataRef, OptimizerPlan, PreferencePlan};

/// Direct preference optimisation: the policy learns from pairs of completions as if a reward model stood between, whose
/// rewards are its own log-ratios to the policy that the stage began with (Direct Preference Optimization: Your Language
/// Model is Secretly a Reward Model, arXiv 2305.18290).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DpoPlan {
    /// Problems with a solution and a worse completion, at least one data set. A pass over the data meets every problem of
    /// all of them once.
    pub data: Vec<DataRef>,
    /// Optimizer updates.
    pub steps: u64,
    /// Pairs per update.
    pub batch_size: usize,
    /// Sequences computed together; a pair is two.
    pub micro_batch_size: usize,
    /// Optimizer.
    pub optimizer: OptimizerPlan,
    /// What an update minimises, as a mean over its pairs.
    pub loss: PreferencePlan,
    /// Compute the prompt of a pair once for both completions. The gradient is the same up to rounding.
    pub share_prompts: bool,
}

impl DpoPlan {
    pub(super) fn outline(&self) -> StageOutline<'_> {
        StageOutline {
            steps: self.steps,
            problems_per_step: self.batch_size,
            data: self.data.iter().collect(),
            learning: Some(of_pairs(
                (self.batch_size, self.micro_batch_size),
                self.share_prompts,
                Reference::Fixed,
            )),
            ..StageOutline::default()
        }
    }
}
