//! What is wrong with a spec: where, why and how to mend it, and how that is printed.

use std::fmt::Write as _;

use r1x_core::shown;
use serde::Serialize;

use unicode_width::UnicodeWidthStr;

use crate::source::{Sources, Span};

/// Diagnostics printed at most; a hostile file could cause any number of them.
const MOST_PRINTED: usize = 50;
/// Characters of a source line that are shown.
const WIDEST_LINE: usize = 120;
/// Lines of one message that are printed: what a compiler says can be any length.
const MOST_LINES: usize = 60;
/// What stands before the further lines of a message.
const QUOTED: &str = "  | ";
/// What stands before the rest of a message that is longer than a line.
const HANG: &str = "  ";
/// A narrower terminal is treated like one of so many columns: nothing can be laid out in less.
const NARROWEST: usize = 20;

/// Whose fault a diagnostic is; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The spec is wrong. Exit 3.
    Spec,
    /// The spec may be right, but an input is missing or does not match. Exit 4.
    Input,
}

/// A place in a source, with what a message needs to show of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Location {
    /// The file as it was named, or `--set`.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub col: usize,
    /// Characters marked.
    pub len: usize,
    /// The text of the line, or the part of a long line around the place, safe to print.
    pub source: String,
    /// Characters before the place in `source`.
    pub lead: usize,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Stable code, `R1X0103`.
    pub code: &'static str,
    /// Whose fault it is.
    pub class: Class,
    /// What is wrong, in one sentence without a full stop; below it may stand the lines that a tool printed.
    pub message: String,
    /// Where; `None` for a file that could not be read at all.
    pub at: Option<Location>,
    /// A few words beside the marked text.
    pub label: Option<String>,
    /// How to mend it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A diagnostic of class `Spec` at a place.
    pub(crate) fn at(
        sources: &Sources,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> Self {
        let file = sources.get(span.source).name.clone();
        let (source, lead) = window(sources.line(span.source, span.line), span.col, WIDEST_LINE);
        let (line, col, len) = (span.line, span.col + 1, span.len.max(1));
        let location = Location { file, line, col, len, source, lead };
        Self { at: Some(location), ..Self::nowhere(code, message) }
    }

    /// A diagnostic of class `Spec` without a place.
    pub(crate) fn nowhere(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, class: Class::Spec, message, at: None, label: None, help: None }
    }

    pub(crate) fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = Some(label.into());
        self
    }

    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn input(&mut self) -> &mut Self {
        self.class = Class::Input;
        self
    }
}

/// How diagnostics are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Box-drawing characters; plain ASCII otherwise.
    pub unicode: bool,
    /// ANSI colours.
    pub color: bool,
    /// Columns of the terminal; `None` where no line is too long, as in a file.
    pub width: Option<usize>,
}

impl Style {
    /// Columns that a line may take.
    fn room(self) -> usize {
        self.width.unwrap_or(usize::MAX).max(NARROWEST)
    }

    fn paint(self, ansi: &str, text: &str) -> String {
        if self.color { format!("\x1b[{ansi}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Everything that is wrong with a spec; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The problems in the order of the source.
    pub diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// Sorts problems by place, files in the order of their first problem.
    pub(crate) fn new(mut diagnostics: Vec<Diagnostic>) -> Self {
        let mut files: Vec<String> = Vec::new();
        for location in diagnostics.iter().filter_map(|d| d.at.as_ref()) {
            if !files.contains(&location.file) {
                files.push(location.file.clone());
            }
        }
        diagnostics.sort_by_key(|diagnostic| {
            diagnostic.at.as_ref().map(|at| {
                (files.iter().position(|file| *file == at.file), at.line, at.col, diagnostic.code)
            })
        });
        diagnostics.dedup();
        Self { diagnostics }
    }

    /// `Spec` when anything is wrong with the spec itself: mending it comes first.
    pub fn class(&self) -> Class {
        let spec = self.diagnostics.iter().any(|d| d.class == Class::Spec);
        if spec { Class::Spec } else { Class::Input }
    }

    /// The problems as text, with the line they are in, and a last line with their number.
    pub fn render(&self, style: Style) -> String {
        let mut out = String::new();
        for diagnostic in self.diagnostics.iter().take(MOST_PRINTED) {
            render_one(&mut out, diagnostic, Severity::Error, style);
        }
        let count = self.diagnostics.len();
        if count > MOST_PRINTED {
            let _ = writeln!(out, "... and {} more.", count - MOST_PRINTED);
        }
        let noun = if count == 1 { "error" } else { "errors" };
        let _ = writeln!(out, "{count} {noun}. Nothing was run.");
        out
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render(Style { unicode: true, ..Style::default() }))
    }
}

impl std::error::Error for Report {}

/// Warnings as text, each with the line it is about.
pub fn render_warnings(warnings: &[Diagnostic], style: Style) -> String {
    let mut out = String::new();
    for warning in warnings.iter().take(MOST_PRINTED) {
        render_one(&mut out, warning, Severity::Warning, style);
    }
    out
}

/// How a diagnostic is headed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Error,
    Warning,
}

impl Severity {
    /// Its word and its colour.
    fn head(self) -> (&'static str, &'static str) {
        match self {
            Severity::Error => ("error", "1;31"),
            Severity::Warning => ("warning", "1;33"),
        }
    }
}

fn render_one(out: &mut String, diagnostic: &Diagnostic, severity: Severity, style: Style) {
    let (word, color) = severity.head();
    let head = format!("{word}[{}]", diagnostic.code);
    let mut lines = visible_lines(&diagnostic.message).into_iter();
    let lead = (style.paint(color, &head) + ": ", width(&head) + 2);
    flow(out, lead, HANG, &lines.next().unwrap_or_default(), style);
    for line in lines {
        flow(out, (QUOTED.to_owned(), width(QUOTED)), QUOTED, &line, style);
    }
    let mut indent = 1;
    if let Some(at) = &diagnostic.at {
        indent = at.line.to_string().len();
        render_place(out, at, diagnostic.label.as_deref(), color, style);
    }
    if let Some(help) = &diagnostic.help {
        // Further lines stand below the first word of the help.
        let below = " ".repeat(indent + " = help: ".len());
        let mut lead = format!("{:indent$} {} help: ", "", style.paint("1;34", "="));
        for line in visible_lines(help) {
            flow(out, (lead, below.len()), &below, &line, style);
            lead = below.clone();
        }
    }
}

fn render_place(out: &mut String, at: &Location, label: Option<&str>, color: &str, style: Style) {
    let (corner, bar) = if style.unicode { ("┌─", "│") } else { ("-->", "|") };
    let (corner, bar) = (style.paint("1;34", corner), style.paint("1;34", bar));
    let number = at.line.to_string();
    let indent = number.len();
    let _ = writeln!(out, "{:indent$} {corner} {}:{}:{}", "", visible(&at.file), at.line, at.col);
    // Before the source stand its number, a blank, the bar and another blank.
    let room = style.room().saturating_sub(indent + 3);
    let (line, col) = match width(&at.source) <= room {
        true => (at.source.clone(), at.lead),
        false => window(&at.source, at.lead, room.saturating_sub(2 * "...".len()).max(1)),
    };
    let marked = at.len.min(line.chars().count().saturating_sub(col).max(1));
    let marks = style.paint(color, &"^".repeat(marked));
    let number = style.paint("1;34", &number);
    let _ = writeln!(out, "{number} {bar} {line}");
    let label = label.map_or(String::new(), |label| format!(" {}", visible(label)));
    let beside = col + marked + width(&label) <= room;
    let _ = write!(out, "{:indent$} {bar} {:col$}{marks}", "", "");
    let _ = writeln!(out, "{}", if beside { label.as_str() } else { "" });
    if !beside {
        let below = format!("{:indent$} {bar} ", "");
        flow(out, (below.clone(), indent + 3), &below, label.trim_start(), style);
    }
}

/// Writes a text behind a lead, of which the columns are given, because they are not those of a painted text. Where the
/// terminal ends, the text goes on behind `below`. It is broken between words; a word that is too long for any line, such
/// as a path, stays whole, because it could not be copied in pieces.
fn flow(
    out: &mut String,
    (lead, lead_width): (String, usize),
    below: &str,
    text: &str,
    style: Style,
) {
    let room = style.room();
    out.push_str(&lead);
    let mut used = lead_width;
    for (at, word) in text.split_inclusive(' ').enumerate() {
        let seen = width(word.trim_end_matches(' '));
        if at > 0 && used + seen > room && seen > 0 {
            out.truncate(out.trim_end_matches(' ').len());
            let _ = write!(out, "\n{below}");
            used = width(below);
        }
        out.push_str(word);
        used += width(word);
    }
    out.push('\n');
}

/// The part of a line around a column that fits, and the column inside it.
fn window(line: &str, col: usize, widest: usize) -> (String, usize) {
    let fits = line.chars().nth(widest).is_none();
    let start = if fits { 0 } else { col.saturating_sub(widest / 2) };
    // Only what is shown is copied: a hostile file can have one line of a megabyte.
    let mut rest = line.chars().skip(start);
    let shown: String = rest.by_ref().take(widest).map(visible_char).collect();
    let before = if start > 0 { "..." } else { "" };
    let after = if rest.next().is_some() { "..." } else { "" };
    (format!("{before}{shown}{after}"), col - start + before.len())
}

/// Columns that a text takes.
fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Text from a file must not reach the terminal as control sequences.
fn visible(text: &str) -> std::borrow::Cow<'_, str> {
    shown::line(text)
}

/// The lines of a text, each made safe to print by itself. Whoever prints them begins each line after the first with a
/// lead of ours, so that no text can pass for a line of ours.
fn visible_lines(text: &str) -> Vec<String> {
    let mut lines = text.lines();
    let mut shown: Vec<String> = lines
        .by_ref()
        .take(MOST_LINES)
        // A tool's lines come with their mark.
        .map(|line| visible(line.strip_prefix(QUOTED).unwrap_or(line)).into_owned())
        .collect();
    match lines.count() {
        0 => {}
        more => shown.push(format!("... and {more} more lines")),
    }
    shown
}

/// A character of a source line as it is shown: one for each, so that the marks stay under what they mark.
fn visible_char(character: char) -> char {
    match character {
        '\t' => ' ',
        c if shown::is_hidden(c) => '\u{fffd}',
        c => c,
    }
}

/// A word of a file inside a message: in backticks, cut when long.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() <= LONGEST {
        return format!("`{text}`");
    }
    format!("`{}...`", text.chars().take(LONGEST).collect::<String>())
}

/// "`a`, `b` or `c`".
pub(crate) fn one_of_words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    listed(words, "or")
}

/// "`a`, `b` and `c`".
pub(crate) fn all_words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    listed(words, "and")
}

fn listed<'a>(words: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    let words: Vec<String> = words.into_iter().map(quoted).collect();
    match words.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
    }
}

/// Keys that had another name before, and the names that they have now.
const RENAMED: [(&str, &str); 1] = [("normalize_gate", "norm_topk_prob")];

/// The key that was surely meant: the present name of a renamed one, or the nearest of those that are known.
pub(crate) fn meant<'a>(
    key: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let renamed = RENAMED.iter().find(|(old, _)| *old == key);
    let present = renamed.and_then(|(_, new)| candidates.clone().into_iter().find(|k| k == new));
    present.or_else(|| nearest(key, candidates))
}

/// The candidate that `word` most likely was meant to be.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.len() > 100 {
        return None;
    }
    let allowed = (word.chars().count() / 3).clamp(1, 4);
    // A word that goes on where a candidate ends, or the other way round, is near too.
    let continues = |long: &str, short: &str| short.len() >= 2 && long.starts_with(short);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            // Words of very different length are far apart; no need to compare them.
            let comparable = word.len().abs_diff(candidate.len()) <= 2 * allowed;
            let distance =
                if comparable { strsim::osa_distance(word, candidate) } else { usize::MAX };
            let near = distance <= allowed && distance < candidate.len();
            let continued = continues(word, candidate) || continues(candidate, word);
            (near || continued).then_some((distance.min(allowed), candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let line = format!("{}HERE{}", "a".repeat(500), "b".repeat(500));
        let (shown, col) = window(&line, 500, WIDEST_LINE);
        assert!(shown.chars().skip(col).collect::<String>().starts_with("HERE"));
        assert!(shown.chars().count() <= WIDEST_LINE + 6);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut sources = Sources::default();
        let source = sources.add_set("a=\u{1b}[2J\u{202e}x");
        let span = Span { source, line: 1, col: 2, len: 3 };
        let diagnostic = Diagnostic::at(&sources, "R1X0000", span, "bad \u{7}");
        let text = Report::new(vec![diagnostic]).to_string();
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text}");
    }

    #[test]
    fn what_a_tool_printed_keeps_its_lines() {
        let mut diagnostic =
            Diagnostic::nowhere("R1X0202", "no component\n  | a\u{1b}b\r\n  | \tc");
        diagnostic.help("do this,\nthen that");
        let text = Report::new(vec![diagnostic.clone()]).to_string();
        let expected = "error[R1X0202]: no component\n  | a␛b\n  |  c\n  = help: do this,\n\
                        \u{20}         then that\n1 error. Nothing was run.\n";
        assert_eq!(text, expected);
        diagnostic.message = "line\n".repeat(MOST_LINES + 7);
        let text = Report::new(vec![diagnostic]).to_string();
        assert!(text.contains("\n  | line\n  | ... and 7 more lines\n"), "{text}");
    }

    /// A mistake in a line that is longer than a terminal.
    fn wide() -> Report {
        let mut sources = Sources::default();
        let text = format!("{}=x # {}", "a.b".repeat(30), "z".repeat(50));
        let source = sources.add_set(&text);
        let span = Span { source, line: 1, col: 91, len: 1 };
        let message = format!("the file {} is not there or is another one", "d/".repeat(20));
        let mut diagnostic = Diagnostic::at(&sources, "R1X0000", span, message);
        diagnostic.label("this value is one that nobody has ever seen before, and no key takes it");
        diagnostic.help(format!("write `--set {}=1` or {}", "k".repeat(25), "p/".repeat(50)));
        Report::new(vec![diagnostic])
    }

    #[test]
    fn lines_end_where_a_terminal_does_and_no_word_is_torn() {
        let style = Style { width: Some(60), ..Style::default() };
        let text = wide().render(style);
        let expected = format!(
            "error[R1X0000]: the file\n  {} is not there or\n  is another one\n  --> --set:1:92\n1 | ...{}=x # {}...\n  | {}^\n  \
             | this value is one that nobody has ever seen before, and\n  | no key takes it\n  = help: write `--set {}=1` or\n  \
             \x20       {}\n1 error. Nothing was run.\n",
            "d/".repeat(20),
            "a.b".repeat(8),
            "z".repeat(21),
            " ".repeat(28),
            "k".repeat(25),
            "p/".repeat(50),
        );
        assert_eq!(text, expected);
        let painted = wide().render(Style { color: true, ..style });
        let mut plain = painted;
        for code in ["1;31", "1;34", "0"] {
            plain = plain.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_eq!(plain, expected);
        assert_eq!(wide().to_string().lines().count(), 6, "a file has lines of any length");
    }

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        assert_eq!(nearest("group_szie", ["lr", "group_size"]), Some("group_size"));
        assert_eq!(nearest("lr_rate", ["steps", "lr"]), Some("lr"));
        assert_eq!(nearest("x", ["lr", "steps"]), None);
        let keys = ["groups", "norm_topk_prob"];
        assert_eq!(meant("normalize_gate", keys), Some("norm_topk_prob"));
        assert_eq!(meant("normalize_gate", ["groups"]), None);
        assert_eq!(meant("grops", keys), Some("groups"));
    }
}
