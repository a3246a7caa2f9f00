//! Names with their values, one below the other, for a card about one thing.

use r1x_core::shown;

use super::wrap::{self, width};
use super::{Tone, View, paint};

/// Names and values; a value may have several lines, and is never cut.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    rows: Vec<(String, Tone, String)>,
}

impl Fields {
    /// A name and a value alone.
    pub fn one(name: impl AsRef<str>, value: impl Into<String>) -> Self {
        let mut fields = Self::default();
        fields.add(name.as_ref(), value);
        fields
    }

    /// One more.
    pub fn add(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.toned(name, Tone::Plain, value)
    }

    /// One more, with a value of this tone.
    pub fn toned(&mut self, name: &str, tone: Tone, value: impl Into<String>) -> &mut Self {
        self.rows.push((shown::line(name).into_owned(), tone, value.into()));
        self
    }

    pub(super) fn draw(&self, out: &mut String, view: View) {
        let names = self.rows.iter().map(|(name, ..)| width(name)).max().unwrap_or(0);
        let rest = " ".repeat(names + 2);
        for (name, tone, value) in &self.rows {
            let lead = format!("{name}{}", " ".repeat(names + 2 - width(name)));
            // A colour must not reach over the edge of a value's lines; values with one are words.
            if *tone == Tone::Plain {
                wrap::text(out, &lead, &rest, value, view);
            } else {
                out.push_str(&lead);
                paint(out, *tone, &shown::line(value), view);
                wrap::end_line(out);
            }
        }
    }
}
