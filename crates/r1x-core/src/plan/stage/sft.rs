//! The plan of supervised fine-tuning.

use serde::{Deserialize, Serialize};

use super::{Learning, Prompts, Reference, StageOutline};
use crate::plan::{DataRef, OptimizerPlan};

/// Supervised fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SftPlan {
    /// Worked problems, at least one data set. A pass over the data meets every problem of all of them once.
    pub data: Vec<DataRef>,
    /// Optimizer updates.
    pub steps: u64,
    /// Sequences per update.
    pub batch_size: usize,
    /// Sequences computed together.
    pub micro_batch_size: usize,
    /// Optimizer.
    pub optimizer: OptimizerPlan,
}

impl SftPlan {
    pub(super) fn outline(&self) -> StageOutline<'_> {
        StageOutline {
            steps: self.steps,
            problems_per_step: self.batch_size,
            data: self.data.iter().collect(),
            learning: Some(Learning {
                sequences_per_step: self.batch_size,
                epochs: 1,
                updates_per_epoch: 1,
                micro_batch_size: self.micro_batch_size,
                prompts: Prompts::Repeated,
                reference: Reference::None,
                scored_before: 0,
            }),
            ..StageOutline::default()
        }
    }
}
