//! What commands say, before it is known where: lines, tables and fields, laid out for a width and coloured when
//! they are printed.
//!
//! Whatever is put into a line stays on that line and cannot move the cursor, so text of models, data and plugins
//! needs no care from the commands.

mod fields;
mod table;
mod wrap;

use r1x_core::shown;

pub use fields::Fields;
pub use table::Table;
pub use wrap::{cut, width};

/// How a piece of a line looks where there is colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As the terminal has it.
    #[default]
    Plain,
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
    /// It needs a look.
    Warn,
    /// It is going on.
    Busy,
    /// It matters less.
    Faint,
    /// It is the head of something.
    Strong,
    /// The text is out of the ordinary, such as a token that was unlikely.
    Odd,
}

impl Tone {
    /// The tone of a status of runs, stages, rewards and checks, by its word.
    pub fn of_status(word: &str) -> Self {
        match word.split_whitespace().next().unwrap_or_default() {
            "done" | "ok" | "imported" => Self::Good,
            "failed" | "crashed" | "diverged" | "differs" | "FAIL" | "FAILED" | "trap"
            | "timeout" | "invalid" | "missed" | "gate" => Self::Bad,
            "interrupted" | "skip" | "abstain" | "stopped" => Self::Warn,
            "running" => Self::Busy,
            _ => Self::Plain,
        }
    }

    /// What switches a terminal to it; empty for none.
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "32",
            Self::Bad => "1;31",
            Self::Warn => "33",
            Self::Busy => "36",
            Self::Faint => "2",
            Self::Strong => "1",
            Self::Odd => "31",
        }
    }
}

/// Where something is going to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Columns of the terminal; `None` where no line is too long, as in a pipe.
    pub width: Option<usize>,
    /// Whether tones are seen.
    pub color: Ink,
}

/// Whether tones become colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ink {
    /// Text alone.
    #[default]
    Plain,
    /// With colours.
    Colored,
}

/// One line, in pieces of a tone each. What is put in is made visible and stays on the line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    spans: Vec<(Tone, String)>,
}

impl Line {
    /// The line with more text behind it.
    #[must_use]
    pub fn and(mut self, tone: Tone, text: impl AsRef<str>) -> Self {
        self.spans.push((tone, shown::line(text.as_ref()).into_owned()));
        self
    }

    /// A line that begins with text of this tone.
    pub fn of(tone: Tone, text: impl AsRef<str>) -> Self {
        Self::default().and(tone, text)
    }

    fn draw(&self, view: View) -> String {
        let mut out = String::new();
        for (tone, text) in &self.spans {
            paint(&mut out, *tone, text, view);
        }
        out
    }
}

/// Anything else is a line as well, of no particular tone.
impl<T: AsRef<str>> From<T> for Line {
    fn from(text: T) -> Self {
        Self::of(Tone::Plain, text)
    }
}

fn paint(out: &mut String, tone: Tone, text: &str, view: View) {
    let code = tone.code();
    if view.color == Ink::Plain || code.is_empty() || text.is_empty() {
        out.push_str(text);
    } else {
        out.push_str(&format!("\u{1b}[{code}m{text}\u{1b}[0m"));
    }
}

#[derive(Clone, Debug)]
enum Part {
    Line(Line),
    Text { lead: &'static str, text: String },
    Toned { lead: &'static str, spans: Vec<(Tone, String)> },
    Table(Table),
    Fields(Fields),
}

/// Lines, tables, fields and texts in order.
#[derive(Clone, Debug, Default)]
pub struct Page {
    parts: Vec<Part>,
}

/// What a page became for a view.
#[derive(Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Lines, each with its line break.
    pub text: String,
    /// Whether cells were cut to fit.
    pub cut: Cut,
}

/// Whether anything had to be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Everything is there.
    Nothing,
    /// Cells end in `…`.
    Cells,
}

impl Page {
    /// One more line.
    pub fn line(&mut self, line: impl Into<Line>) -> &mut Self {
        self.parts.push(Part::Line(line.into()));
        self
    }

    /// An empty line.
    pub fn blank(&mut self) -> &mut Self {
        self.line("")
    }

    /// A table.
    pub fn table(&mut self, table: Table) -> &mut Self {
        self.parts.push(Part::Table(table));
        self
    }

    /// Names with their values.
    pub fn fields(&mut self, fields: Fields) -> &mut Self {
        self.parts.push(Part::Fields(fields));
        self
    }

    /// A text of somebody else that keeps its line breaks; `lead` stands before each of its lines, so that
    /// none of them can be taken for one of r1x's own.
    pub fn text(&mut self, lead: &'static str, text: impl Into<String>) -> &mut Self {
        self.parts.push(Part::Text { lead, text: text.into() });
        self
    }

    /// A text of somebody else in pieces of a tone each, with its line breaks; `lead` stands before each of its lines.
    pub fn toned(&mut self, lead: &'static str, spans: Vec<(Tone, String)>) -> &mut Self {
        self.parts.push(Part::Toned { lead, spans });
        self
    }

    /// The page for a view.
    pub fn draw(&self, view: View) -> Drawn {
        let mut drawn = Drawn { text: String::new(), cut: Cut::Nothing };
        for part in &self.parts {
            match part {
                Part::Line(line) => wrap::line(&mut drawn.text, &line.spans, view),
                Part::Text { lead, text } => wrap::text(&mut drawn.text, lead, lead, text, view),
                Part::Toned { lead, spans } => wrap::toned(&mut drawn.text, lead, spans, view),
                Part::Fields(fields) => fields.draw(&mut drawn.text, view),
                Part::Table(table) => {
                    if table.draw(&mut drawn.text, view) == Cut::Cells {
                        drawn.cut = Cut::Cells;
                    }
                }
            }
        }
        drawn
    }
}

/// One line that ends in `…` where it does not fit, for what is drawn again and again in one place.
pub fn fitted(line: &Line, view: View) -> String {
    let Some(room) = view.width else { return line.draw(view) };
    let mut left = room;
    let mut out = String::new();
    for (tone, text) in &line.spans {
        let fits = cut(text, left);
        let ends = fits != *text;
        left = left.saturating_sub(width(&fits));
        paint(&mut out, *tone, &fits, view);
        if ends {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests;
