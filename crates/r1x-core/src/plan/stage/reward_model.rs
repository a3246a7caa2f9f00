//! The plan of training a reward model.

use serde::{Deserialize, Serialize};

use super::{Learning, Prompts, Reference, StageOutline};
use crate::plan::{DataRef, HeadPlan, OptimizerPlan, RewardLossPlan};

/// Training of a model with a value head on pairs of responses, of which one is better: Training Language Models to
/// Follow Instructions with Human Feedback, arXiv 2203.02155, section 3.5.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RewardModelPlan {
    /// Problems with a solution and a worse response, at least one data set. A pass over the data meets every problem of all
    /// of them once.
    pub data: Vec<DataRef>,
    /// Problems with both that are never learnt from, on which figures are taken; none where nothing is held out.
    pub heldout: Vec<DataRef>,
    /// The number of steps after which held-out figures are taken, beside the end of the stage; `None` only there.
    pub heldout_every: Option<u64>,
    /// Optimizer updates.
    pub steps: u64,
    /// Pairs per update.
    pub batch_size: usize,
    /// Sequences computed together; a pair is two.
    pub micro_batch_size: usize,
    /// Optimizer.
    pub optimizer: OptimizerPlan,
    /// What an update minimises, as a mean over its pairs.
    pub loss: RewardLossPlan,
    /// What of a response is read.
    pub reads: ReadPart,
    /// Compute the prompt of a pair once for both responses. The gradient is the same up to rounding.
    pub share_prompts: bool,
}

/// What of a response a reward model reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadPart {
    /// All of it.
    Response,
    /// What stands behind the thought; without a thought all of it.
    Answer,
}

impl RewardModelPlan {
    pub(super) fn outline(&self) -> StageOutline<'_> {
        StageOutline {
            steps: self.steps,
            problems_per_step: self.batch_size,
            data: self.data.iter().collect(),
            head: HeadPlan::Value,
            values: Some(self.reads),
            learning: Some(of_pairs(
                (self.batch_size, self.micro_batch_size),
                self.share_prompts,
                Reference::None,
            )),
            ..StageOutline::default()
        }
    }
}

/// How a stage learns from so many pairs an update, so many sequences of which are computed together.
pub(super) fn of_pairs(
    (pairs, micro_batch_size): (usize, usize),
    share_prompts: bool,
    reference: Reference,
) -> Learning {
    Learning {
        sequences_per_step: pairs.saturating_mul(2),
        epochs: 1,
        updates_per_epoch: 1,
        micro_batch_size,
        prompts: if share_prompts { Prompts::Shared } else { Prompts::Repeated },
        reference,
        // By the weights that learn, and by the reference.
        scored_before: if reference == Reference::None { 1 } else { 2 },
    }
}
