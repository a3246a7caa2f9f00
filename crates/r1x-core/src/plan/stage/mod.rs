//! Stages: what a run does, one kind a file.

use serde::{Deserialize, Serialize};

mod evaluate;
mod grpo;
mod outline;
mod sft;

pub use evaluate::EvaluatePlan;
pub use grpo::{AdvantageKind, AdvantagePlan, GrpoPlan, Truncated, ZeroSignal};
pub use outline::{Learning, Prompts, Reference, Rollouts, StageOutline};
pub use sft::SftPlan;

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StagePlan {
    /// Its id in the spec.
    pub id: String,
    /// What it does.
    pub kind: StageKind,
}

/// What a stage does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageKind {
    /// Supervised fine-tuning on worked solutions.
    Sft(SftPlan),
    /// Group-relative policy optimisation.
    Grpo(GrpoPlan),
    /// Evaluation only.
    Evaluate(EvaluatePlan),
}

impl StageKind {
    /// The word used in specs and in the store.
    pub fn as_str(&self) -> &'static str {
        match self {
            StageKind::Sft(_) => "sft",
            StageKind::Grpo(_) => "grpo",
            StageKind::Evaluate(_) => "evaluate",
        }
    }

    /// What the stage is like from outside. Each kind answers in its own file.
    pub fn outline(&self) -> StageOutline<'_> {
        match self {
            StageKind::Sft(plan) => plan.outline(),
            StageKind::Grpo(plan) => plan.outline(),
            StageKind::Evaluate(plan) => plan.outline(),
        }
    }
}
