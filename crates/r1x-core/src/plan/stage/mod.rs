//! Stages: what a run does, one kind a file.

use serde::{Deserialize, Serialize};

mod critic;
mod distill;
mod dpo;
mod evaluate;
mod grpo;
mod merge;
mod outline;
mod reject;
mod reward_model;
mod sft;

pub use critic::CriticPlan;
pub use distill::{DistillPlan, DistilledTexts, TeacherPlan};
pub use dpo::DpoPlan;
pub use evaluate::EvaluatePlan;
pub use grpo::{AdvantageKind, AdvantagePlan, GrpoPlan, Truncated, ZeroSignal};
pub use merge::{MergePart, MergePlan};
pub use outline::{Learning, Made, Prompts, Reference, Rollouts, StageOutline, Teacher};
pub use reject::{LeastPlan, PassRatePlan, Preference, RejectPlan, TextFilterPlan};
pub use reward_model::{ReadPart, RewardModelPlan};
pub use sft::SftPlan;

/// A stage of a run: its id, its kind with that kind's numbers, the model it works on and the weights it begins with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StagePlan {
    /// Its id in the spec.
    pub id: String,
    /// The model that it works on, by its name among the further models of the run; `None` for the policy.
    pub model: Option<String>,
    /// The weights that it begins with.
    pub weights: WeightsFrom,
    /// What it does.
    pub kind: StageKind,
}

/// Where the weights that a stage begins with come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightsFrom {
    /// The ones that the model of the stage begins with.
    Base,
    /// What another stage has made of them, by its id.
    Stage(String),
}

/// Stages of the policy, of which each begins with the weights of the one before it, and the first with those of the run.
pub fn in_order(stages: impl IntoIterator<Item = (String, StageKind)>) -> Vec<StagePlan> {
    let mut weights = WeightsFrom::Base;
    let stage = |(id, kind): (String, StageKind)| {
        let next = WeightsFrom::Stage(id.clone());
        StagePlan { id, model: None, weights: std::mem::replace(&mut weights, next), kind }
    };
    stages.into_iter().map(stage).collect()
}

/// What a stage does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageKind {
    /// Supervised fine-tuning on worked solutions.
    Sft(SftPlan),
    /// Group-relative policy optimisation.
    Grpo(GrpoPlan),
    /// Rejection sampling.
    Reject(RejectPlan),
    /// Training of a reward model.
    RewardModel(RewardModelPlan),
    /// Direct preference optimisation.
    Dpo(DpoPlan),
    /// Distillation on the distributions of a teacher.
    Distill(DistillPlan),
    /// The average of the weights of several stages.
    Merge(MergePlan),
    /// Evaluation only.
    Evaluate(EvaluatePlan),
}

impl StageKind {
    /// The word used in specs and in the store.
    pub fn as_str(&self) -> &'static str {
        match self {
            StageKind::Sft(_) => "sft",
            StageKind::Grpo(_) => "grpo",
            StageKind::Reject(_) => "reject",
            StageKind::RewardModel(_) => "reward_model",
            StageKind::Dpo(_) => "dpo",
            StageKind::Distill(_) => "distill",
            StageKind::Merge(_) => "merge",
            StageKind::Evaluate(_) => "evaluate",
        }
    }

    /// What the stage is like from outside. Each kind answers in its own file.
    pub fn outline(&self) -> StageOutline<'_> {
        match self {
            StageKind::Sft(plan) => plan.outline(),
            StageKind::Grpo(plan) => plan.outline(),
            StageKind::Reject(plan) => plan.outline(),
            StageKind::RewardModel(plan) => plan.outline(),
            StageKind::Dpo(plan) => plan.outline(),
            StageKind::Distill(plan) => plan.outline(),
            StageKind::Merge(plan) => plan.outline(),
            StageKind::Evaluate(plan) => plan.outline(),
        }
    }
}
