//! How weights are updated, and how a number changes over the steps of a stage.

use serde::{Deserialize, Serialize};

/// AdamW (Loshchilov & Hutter) with clipping and a learning-rate schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizerPlan {
    /// Peak learning rate.
    pub lr: f64,
    /// Its course over the stage.
    pub schedule: SchedulePlan,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled decay of matrices (vectors are never decayed).
    pub weight_decay: f64,
    /// Largest global gradient norm; 0 turns clipping off.
    pub grad_clip: f64,
}

/// Course of the learning rate: linear warm-up, then a decay to `final_ratio`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchedulePlan {
    /// Shape after the warm-up.
    pub kind: ScheduleKind,
    /// Steps of the warm-up.
    pub warmup_steps: u64,
    /// Learning rate at the end, as a share of the peak.
    pub final_ratio: f64,
}

/// Shape of the decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// Stays at the peak.
    Constant,
    /// Straight line.
    Linear,
    /// Half a cosine.
    Cosine,
}
