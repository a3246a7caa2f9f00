//! The plan: what a spec becomes once nothing is implicit.
//!
//! Equal plans mean equal runs on the same code and kind of machine, so everything that can influence a result is
//! here, and nothing else (threads, paths of the store and of outputs are not).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cursor::Cursor;

mod data;
mod eval;
mod graph;
mod key;
mod lora;
mod loss;
mod model;
mod optimizer;
mod record;
mod reward;
mod sampling;
mod shaping;
mod stage;
#[cfg(test)]
mod tests;
mod version;

// All that these files declare is of the plan, so a new noun needs no line here.
pub use data::*;
pub use eval::*;
pub use graph::{ModelWeights, WeightsError};
pub use lora::*;
pub use loss::*;
pub use model::*;
pub use optimizer::*;
pub use record::*;
pub use reward::*;
pub use sampling::*;
pub use shaping::*;
pub use stage::*;
pub use version::{PLAN_VERSION, PlanError, PlanVersion, VocabularySizes};

/// A whole run. It has no defaults: what is read must say everything, and says of which version it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    /// The version of its written form.
    pub version: PlanVersion,
    /// Name of the experiment; runs are called `name-word-word`.
    pub name: String,
    /// The seed of every stream.
    pub seed: u64,
    /// Labels for people.
    pub tags: Vec<String>,
    /// The policy.
    pub model: ModelPlan,
    /// Further models that stages work on, by name.
    pub models: BTreeMap<String, ModelPlan>,
    /// Data sets by id.
    pub data: BTreeMap<String, DataPlan>,
    /// Frozen models that rewards may ask, by name.
    pub judges: BTreeMap<String, JudgePlan>,
    /// Rewards in the order of the spec.
    pub rewards: Vec<RewardPlan>,
    /// Stages in order.
    pub stages: Vec<StagePlan>,
    /// Evaluation suites in order.
    pub evals: Vec<EvalPlan>,
    /// What of a rollout is kept.
    pub record: RecordPlan,
    /// What a clean-up leaves of it.
    pub retention: RetentionPlan,
    /// When weights are saved.
    pub checkpoints: CheckpointPlan,
}

impl RunPlan {
    /// The position of the stage that a cursor names; `None` when the plan has no such stage.
    pub fn stage_index(&self, cursor: &Cursor) -> Option<usize> {
        match &cursor.stage {
            None => Some(0),
            Some(id) => self.stages.iter().position(|stage| stage.id == *id),
        }
    }

    /// The stage that makes the data of an id; `None` where the id is that of a data set, or of nothing.
    pub fn maker(&self, data: &str) -> Option<&StagePlan> {
        let makes = |stage: &&StagePlan| stage.kind.outline().makes.is_some();
        self.stages.iter().filter(makes).find(|stage| stage.id == data)
    }

    /// The reward of an id.
    pub fn reward(&self, id: &str) -> Option<&RewardPlan> {
        self.rewards.iter().find(|reward| reward.id == id)
    }

    /// The rewards that grade a suite: the one that it names, then those that decide, one behind the other, whether
    /// its value counts. A reward that the plan does not have ends the list.
    pub fn graders(&self, suite: &EvalPlan) -> Vec<&RewardPlan> {
        let mut graders: Vec<&RewardPlan> = Vec::new();
        let mut next = Some(suite.grade.as_str());
        while let Some(reward) = next.and_then(|id| self.reward(id)) {
            // A chain that comes back to itself is refused by the checks of a spec; here it ends.
            if graders.iter().any(|known| known.id == reward.id) {
                break;
            }
            graders.push(reward);
            next = reward.shaping.condition.as_ref().map(|condition| condition.reward.as_str());
        }
        graders
    }
}
