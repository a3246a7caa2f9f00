//! How a task fails: what happened, and how to mend it.

use std::fmt;

/// What a task says when it cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    message: String,
    hint: String,
}

impl Failure {
    /// A failure with the way to mend it.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "error: {}\n  help: {}", self.message, self.hint)
    }
}
