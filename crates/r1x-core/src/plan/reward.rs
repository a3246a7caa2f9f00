//! Rewards: who judges a completion, what the judge may use, and what becomes of a failure.

use serde::{Deserialize, Serialize};

use super::ShapingPlan;
use crate::capability::Capability;

/// A reward and its place in the total.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RewardPlan {
    /// Its id in the spec.
    pub id: String,
    /// Who judges.
    pub judged_by: JudgedBy,
    /// Weight in the total; where that has a course, its peak or its first point.
    pub weight: f64,
    /// What a failure counts as.
    pub on_failure: OnFailure,
    /// Share of the rollouts scored together that may fail before the run stops; one always may.
    pub max_failed_share: f64,
    /// How its values enter the total.
    pub shaping: ShapingPlan,
}

impl RewardPlan {
    /// The plugin that judges, where one does.
    pub fn plugin(&self) -> Option<&PluginPlan> {
        match &self.judged_by {
            JudgedBy::Plugin(plugin) => Some(plugin),
            JudgedBy::RewardModel { .. } => None,
        }
    }

    /// The plugin that judges, to be changed.
    pub fn plugin_mut(&mut self) -> Option<&mut PluginPlan> {
        match &mut self.judged_by {
            JudgedBy::Plugin(plugin) => Some(plugin),
            JudgedBy::RewardModel { .. } => None,
        }
    }

    /// The id of the stage whose reward model judges, where one does.
    pub fn reward_model(&self) -> Option<&str> {
        match &self.judged_by {
            JudgedBy::Plugin(_) => None,
            JudgedBy::RewardModel { stage } => Some(stage),
        }
    }
}

/// Who judges completions for a reward.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JudgedBy {
    /// A WebAssembly component.
    Plugin(PluginPlan),
    /// A reward model that the run trains: the value of a response is what it says of it.
    RewardModel {
        /// The id of the stage that trains it.
        stage: String,
    },
}

/// A component that judges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginPlan {
    /// Path of the component.
    pub path: String,
    /// sha256 of the component, hex.
    pub sha256: String,
    /// JSON text handed to the plugin's `configure`.
    pub config: String,
    /// What it may use.
    pub limits: LimitsPlan,
    /// What it may ask for beyond text.
    pub grant: Vec<Capability>,
}

/// What one reward plugin may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitsPlan {
    /// Milliseconds for a call, before the share per rollout.
    pub time_ms: u64,
    /// Milliseconds added per rollout in the call.
    pub time_per_rollout_ms: u64,
    /// Bytes of linear memory.
    pub memory_bytes: u64,
    /// Units of work for a call, the same on every machine; `None` counts none.
    pub fuel: Option<u64>,
}

/// What a failed score counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Stop the run.
    Fail,
    /// No value: the rollout is left out of this reward.
    Mask,
    /// The value 0.
    Zero,
}
