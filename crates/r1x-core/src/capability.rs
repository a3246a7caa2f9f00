//! What a reward may ask for beyond text: the words for it in specs, manifests and messages.

use serde::{Deserialize, Serialize};

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
