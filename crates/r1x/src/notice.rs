//! What a person should know although nothing is wrong enough to stop for it.

use crate::display::{Line, Page, Tone};
use crate::output::{self, Stream};

/// Something to know, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What and where.
    pub message: String,
    /// How to mend it.
    pub hint: String,
}

impl Notice {
    /// A notice.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }

    /// Says it on standard error.
    pub fn say(&self) {
        let mut page = Page::default();
        page.line(Line::of(Tone::Warn, "warning: ").and(Tone::Plain, &self.message));
        page.line(Line::of(Tone::Faint, "  help: ").and(Tone::Plain, &self.hint));
        output::page(Stream::Err, &page);
    }
}
