//! What a reward may ask for beyond text: the words for it, and the port to frozen models.
//!
//! Must not know plugins, nor how a model is run.

use serde::{Deserialize, Serialize};

use crate::plan::ModelPlan;
use crate::port::PortError;

/// Something a plugin asks for and a spec grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// To read the files in its own component.
    Assets,
    /// To run programs in sandboxes of their own.
    Exec,
    /// To ask frozen models.
    Judge,
}

impl Capability {
    /// Every one of them.
    pub const ALL: [Capability; 3] = [Capability::Assets, Capability::Exec, Capability::Judge];

    /// The word for it in specs and manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Capability::Assets => "assets",
            Capability::Exec => "exec",
            Capability::Judge => "judge",
        }
    }

    /// What it lets a plugin do.
    pub fn about(self) -> &'static str {
        match self {
            Capability::Assets => "read the files in its own component",
            Capability::Exec => "run programs in sandboxes of their own",
            Capability::Judge => "ask the models under `judges`",
        }
    }
}

/// A frozen model that rewards may ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgePlan {
    /// Its checkpoint, a folder.
    pub checkpoint: String,
    /// sha256 of its weights, hex.
    pub sha256: String,
    /// Its shape and its tokenizer.
    pub model: ModelPlan,
}

impl JudgePlan {
    /// The file of a checkpoint that holds the weights.
    pub const WEIGHTS: &str = "model.safetensors";
}

/// One question to a frozen model.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgeRequest {
    /// What it goes on from.
    pub prompt: String,
    /// Tokens it may write.
    pub max_tokens: usize,
    /// 0 takes the likeliest token each time.
    pub temperature: f64,
    /// Of the draws.
    pub seed: u64,
}

/// Frozen models by name. An answer depends on the model and the request only, whatever else is asked
/// beside it or at the same time.
pub trait Judge: Send + Sync {
    /// What the model writes after each prompt.
    fn complete(&self, model: &str, batch: &[JudgeRequest]) -> Result<Vec<String>, PortError>;

    /// How likely the model finds each text after its prompt, as a natural logarithm.
    fn logprob(&self, model: &str, batch: &[(String, String)]) -> Result<Vec<f64>, PortError>;
}
