//! A rollout as a plugin is asked about it, kept by itself: in replay files, and to try plugins outside a run.

use std::path::Path;

use r1x_core::plan::LimitsPlan;
use r1x_core::{RewardStatus, shown};
use serde::{Deserialize, Serialize};

use crate::contract::Question;

/// One question to a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Its position in the step it came from.
    pub id: u64,
    /// Which samples of a call answer the same prompt.
    pub group: u32,
    /// The prompt, where the plugin needs it.
    pub prompt: Option<String>,
    /// What the model wrote.
    pub completion: String,
    /// Length of the prompt, tokens.
    pub prompt_tokens: u32,
    /// Length of the completion, tokens.
    pub completion_tokens: u32,
    /// Whether the token limit ended it.
    pub truncated: bool,
    /// A JSON object with the columns that the plugin asks for.
    pub columns: String,
    /// A JSON object of facts, where the plugin needs it.
    pub metadata: Option<String>,
}

impl Sample {
    /// A completion with columns (a JSON object) and nothing else.
    pub fn new(completion: impl Into<String>, columns: impl Into<String>) -> Self {
        Self {
            id: 0,
            group: 0,
            prompt: None,
            completion: completion.into(),
            prompt_tokens: 1,
            completion_tokens: 1,
            truncated: false,
            columns: columns.into(),
            metadata: None,
        }
    }

    pub(crate) fn question(&self) -> Question<'_> {
        Question {
            id: self.id,
            group: self.group,
            prompt: self.prompt.as_deref(),
            completion: &self.completion,
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens,
            truncated: self.truncated,
            stop_reason: if self.truncated { "length" } else { "stop" },
            columns: &self.columns,
            metadata: self.metadata.as_deref(),
        }
    }

    pub(crate) fn of(question: &Question<'_>) -> Self {
        Self {
            id: question.id,
            group: question.group,
            prompt: question.prompt.map(str::to_owned),
            completion: question.completion.to_owned(),
            prompt_tokens: question.prompt_tokens,
            completion_tokens: question.completion_tokens,
            truncated: question.truncated,
            columns: question.columns.to_owned(),
            metadata: question.metadata.map(str::to_owned),
        }
    }
}

/// Characters of a completion that the message about a failure shows.
pub(crate) const SHOWN_CHARACTERS: usize = 80;

/// The start of a completion as messages show it: in backticks, one line, nothing in it acts on a terminal.
pub(crate) fn start_of(text: &str, characters: usize) -> String {
    let start: String = text.chars().take(characters).collect();
    let more = if text.chars().nth(characters).is_some() { "…" } else { "" };
    format!("`{}{more}`", start.escape_debug())
}

/// A guest's text of several lines inside a message of r1x's own: its further lines are marked.
pub(crate) fn quoted(text: &str) -> String {
    let mut lines = shown::lines(text);
    let first = lines.next().unwrap_or_default().into_owned();
    lines.fold(first, |text, line| format!("{text}\n    | {line}"))
}

/// A call that failed, with all it takes to make it again: `r1x plugin test --replay FILE`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Version of this format.
    pub r1x_replay: u32,
    /// Id of the reward in the spec.
    pub reward: String,
    /// Path of the component.
    pub plugin: String,
    /// sha256 of the component, hex.
    pub sha256: String,
    /// What it was configured with, JSON.
    pub config: String,
    /// Its limits.
    pub limits: LimitsPlan,
    /// How it ended.
    pub status: RewardStatus,
    /// What happened, in words.
    pub sentence: String,
    /// The rollouts of the call: one, unless they could not be told apart.
    pub rollouts: Vec<Sample>,
}

impl Replay {
    /// The version of the format that this r1x writes.
    pub const VERSION: u32 = 1;

    /// Reads a replay file.
    ///
    /// # Errors
    /// In one sentence, when it is none.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = r1x_files::read_text(path, r1x_files::AMPLE)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let replay: Self = serde_json::from_str(&text)
            .map_err(|error| format!("{} is not a replay file: {error}", path.display()))?;
        if replay.r1x_replay != Self::VERSION {
            return Err(format!(
                "{} is a replay file of version {}, and this r1x knows {}",
                path.display(),
                replay.r1x_replay,
                Self::VERSION
            ));
        }
        Ok(replay)
    }

    /// Writes a replay file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::other)?;
        std::fs::write(path, text + "\n")
    }
}
