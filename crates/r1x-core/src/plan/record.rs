//! What of a run is kept: facts of rollouts, and weights.

use serde::{Deserialize, Serialize};

/// What of a rollout is kept besides its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordPlan {
    /// Completion text.
    pub text: bool,
    /// Token ids.
    pub tokens: bool,
    /// Log-prob per token.
    pub logprobs: bool,
}

/// When weights are saved. The end of every training stage always is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointPlan {
    /// Every so many steps; `None` saves at stage ends only.
    pub every: Option<u64>,
    /// Periodic checkpoints kept per stage.
    pub keep: usize,
}
