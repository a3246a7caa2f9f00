//! Messages of the crates, and through them of plugins, on standard error: one line each.
//!
//! A plugin may log whatever it likes; none of it is a second line, and none of it reaches the terminal as a
//! command.

use std::fmt::{Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::display::{Line, Page, Tone};
use crate::output::{self, Stream};

/// Prints events.
pub struct Log;

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let about = event.metadata();
        let (tone, level) = match *about.level() {
            Level::ERROR => (Tone::Bad, "ERROR"),
            Level::WARN => (Tone::Warn, " WARN"),
            Level::INFO => (Tone::Good, " INFO"),
            Level::DEBUG => (Tone::Busy, "DEBUG"),
            Level::TRACE => (Tone::Faint, "TRACE"),
        };
        let line = Line::of(tone, level)
            .and(Tone::Faint, format!(" {}: ", about.target()))
            .and(Tone::Plain, said.message + &said.fields);
        let mut page = Page::default();
        page.line(line);
        output::page(Stream::Err, &page);
    }
}

/// The message of an event, and its other fields behind it.
#[derive(Default)]
struct Said {
    message: String,
    fields: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
