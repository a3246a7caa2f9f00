//! What passes between host and guest, and the names that a guest knows it by, free of any version of the contract.
//!
//! Every version of the WIT package has an adapter below `abi`, which alone sees the code generated for it; the rest of
//! the crate has the types of this file.

use crate::limits::{MAX_LOG_BYTES, MAX_LOG_LINES};

/// The package of the contract, without its version.
pub(crate) const PACKAGE: &str = "r1x:reward/";
/// The version of the contract: any patch of it.
pub(crate) const VERSION: &str = "0.1";
/// The interfaces every guest may import: one whose functions it calls, and one that holds types only.
const INTERFACES: [&str; 2] = ["log", "types"];

/// What an import asks of the contract.
pub(crate) enum Import<'n> {
    /// An interface that every guest may import.
    Open,
    /// An interface that stands for something else, perhaps a capability.
    Interface(&'n str),
    /// An interface of another version.
    OtherVersion(&'n str),
    /// Nothing of the contract.
    Foreign,
}

/// Reads the name of an import, such as `r1x:reward/log@0.1.0`.
pub(crate) fn import(name: &str) -> Import<'_> {
    let Some((interface, version)) =
        name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@'))
    else {
        return Import::Foreign;
    };
    if !version.strip_prefix(VERSION).is_some_and(|patch| patch.starts_with('.')) {
        return Import::OtherVersion(version);
    }
    if INTERFACES.contains(&interface) { Import::Open } else { Import::Interface(interface) }
}

/// What a plugin says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginInfo {
    /// Its name; reports use the id from the spec instead.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// What the plugin rewards, in a sentence of its author.
    pub description: String,
    /// What it wants to see besides completions and columns.
    pub needs: Needs,
    /// Columns every problem must have.
    pub columns: Vec<String>,
    /// Columns passed on where a problem has them.
    pub optional_columns: Vec<String>,
    /// Every part name its scores may carry.
    pub parts: Vec<String>,
    /// Smallest reward, where there is a bound.
    pub min: Option<f64>,
    /// Largest reward, where there is a bound.
    pub max: Option<f64>,
    /// JSON Schema of its configuration.
    pub config_schema: Option<String>,
}

/// What a plugin wants to see besides completions and columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The prompt's text.
    pub prompt: bool,
    /// Facts about the rollout, as JSON.
    pub metadata: bool,
    /// All rollouts of a group in one call.
    pub groups: bool,
}

/// A rollout that a plugin is asked about, with what every version of the contract can express of it.
#[derive(Clone, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) id: u64,
    pub(crate) group: u32,
    pub(crate) prompt: Option<&'a str>,
    pub(crate) completion: &'a str,
    pub(crate) prompt_tokens: u32,
    pub(crate) completion_tokens: u32,
    pub(crate) truncated: bool,
    pub(crate) stop_reason: &'static str,
    pub(crate) columns: &'a str,
    pub(crate) metadata: Option<&'a str>,
}

/// A guest's score before anyone has checked it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) reward: Option<f64>,
    pub(crate) parts: Vec<(String, f64)>,
    pub(crate) info: Option<String>,
    /// Why this one rollout cannot be judged, where the guest says so.
    pub(crate) failure: Option<String>,
}

/// An error the guest itself returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GuestError {
    BadConfig(String),
    BadRollout { position: usize, reason: String },
    Other(String),
}

/// How urgent a guest's message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// For the plugin's author.
    Debug,
    /// For everyone.
    Info,
    /// Something is wrong; panics arrive here.
    Warn,
}

/// A message that a plugin logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How urgent it is.
    pub level: LogLevel,
    /// Its text, at most 4096 bytes.
    pub message: String,
}

/// The messages of one call, within limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallLog {
    pub(crate) lines: Vec<LogLine>,
    pub(crate) dropped: u64,
}

impl CallLog {
    pub(crate) fn push(&mut self, level: LogLevel, message: String) {
        if self.lines.len() >= MAX_LOG_LINES {
            self.dropped += 1;
            return;
        }
        self.lines.push(LogLine { level, message: cut(message, MAX_LOG_BYTES) });
    }

    /// Adds the messages of a later call, as many as there is room for below `most`.
    pub(crate) fn append(&mut self, later: CallLog, most: usize) {
        let room = most.saturating_sub(self.lines.len());
        self.dropped += later.dropped + later.lines.len().saturating_sub(room) as u64;
        self.lines.extend(later.lines.into_iter().take(room));
    }
}

/// The text itself, or its start with an ellipsis, in at most `limit` bytes. What is kept takes no more memory than
/// that: a guest's text may be thousands of times as long as what is kept of it.
pub(crate) fn cut(mut text: String, limit: usize) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() <= limit {
        text.shrink_to_fit();
        return text;
    }
    let start = &text[..text.floor_char_boundary(limit.saturating_sub(ELLIPSIS.len()))];
    [start, ELLIPSIS].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_keeps_characters_whole() {
        assert_eq!(cut("short".to_owned(), 5), "short");
        assert_eq!(cut("longer".to_owned(), 5), "lo…");
        let cut_in_a_character = cut("ééé".to_owned(), 4);
        assert_eq!(cut_in_a_character, "…");
    }

    #[test]
    fn what_is_kept_of_a_long_text_takes_no_more_memory_than_it_shows() {
        let mut roomy = String::with_capacity(1 << 20);
        roomy.push_str("short");
        for text in [roomy, "long".repeat(1 << 18)] {
            let kept = cut(text, 64);
            assert!(kept.capacity() <= 64, "{} bytes for {}", kept.capacity(), kept.len());
        }
    }

    #[test]
    fn calls_share_one_limit_on_messages() {
        let mut log = CallLog::default();
        for _ in 0..3 {
            let mut call = CallLog { lines: Vec::new(), dropped: 1 };
            (0..4).for_each(|line| call.push(LogLevel::Info, line.to_string()));
            log.append(call, 10);
        }
        assert_eq!((log.lines.len(), log.dropped), (10, 5));
    }

    #[test]
    fn the_log_counts_what_it_drops() {
        let mut log = CallLog::default();
        for line in 0..MAX_LOG_LINES + 7 {
            log.push(LogLevel::Info, line.to_string());
        }
        assert_eq!((log.lines.len(), log.dropped), (MAX_LOG_LINES, 7));
        assert_eq!(log.lines.last().map(|line| line.message.as_str()), Some("99"));
    }
}
