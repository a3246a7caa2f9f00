//! Text to a tree with places, within limits that hold for hostile files.
//!
//! Specs are a strict subset of YAML 1.2: no anchors, aliases or tags, one document, plain keys, every key once.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span as Range};

use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::node::{Entry, Node, Value, plain_scalar};
use crate::source::{SourceId, Sources, Span, line_starts};

/// Largest file, bytes.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting.
const MAX_DEPTH: usize = 64;
/// Most values in a file.
const MAX_NODES: usize = 20_000;
/// Most keys written twice before reading stops.
const MAX_DUPLICATES: usize = 50;
/// Longest key, characters.
const MAX_KEY: usize = 200;

const TEMPLATE_HELP: &str = "put text with {{ }} in quotes";

/// A collection that is still open.
enum Open {
    List(Vec<Node>, Span),
    Map {
        entries: Vec<Entry>,
        seen: HashMap<String, Span>,
        key: Option<(String, Span)>,
        span: Span,
    },
}

struct Builder<'a> {
    sources: &'a Sources,
    source: SourceId,
    /// Characters before the YAML on the first line: the path of a `--set` argument.
    offset: usize,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
    diagnostics: Vec<Diagnostic>,
}

/// Reads a source from character `offset` on. Problems go to `diagnostics`; `None` when the text cannot be
/// read as a tree.
pub(crate) fn parse(
    sources: &Sources,
    source: SourceId,
    offset: usize,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Node> {
    let whole = &sources.get(source).text;
    let start = whole.char_indices().nth(offset).map_or(whole.len(), |(byte, _)| byte);
    let mut builder = Builder {
        sources,
        source,
        offset,
        open: Vec::new(),
        root: None,
        nodes: 0,
        documents: 0,
        diagnostics: Vec::new(),
    };
    let result = builder.run(&whole[start..]);
    diagnostics.append(&mut builder.diagnostics);
    match result {
        Ok(()) => {
            let end = builder.span_at(Marker::new(0, 1, 0), 1);
            Some(builder.root.unwrap_or(Node { value: Value::Null, span: end }))
        }
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            None
        }
    }
}

type Step = Result<(), Box<Diagnostic>>;

impl Builder<'_> {
    fn run(&mut self, text: &str) -> Step {
        if text.len() > MAX_BYTES {
            return Err(self.too_large(format!("this text is larger than {MAX_BYTES} bytes")));
        }
        if let Some(position) = text.find('\0') {
            return Err(self.nul(&text[..position]));
        }
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            match event {
                Ok((event, range)) => self.event(event, range)?,
                Err(error) => return Err(self.syntax(&error)),
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, range: Range) -> Step {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(self.refused(range, "a spec is one YAML document"));
                }
            }
            Event::Alias(_) => return Err(self.refused(range, "aliases are not used in specs")),
            Event::Scalar(text, style, anchor, tag) => {
                self.plain_node(range, anchor, tag.is_some())?;
                let text = text.into_owned();
                let span = self.span(range);
                if self.takes_key(&text, span)? {
                    return Ok(());
                }
                let plain = style == ScalarStyle::Plain;
                let value = if plain { plain_scalar(&text) } else { Value::Text(text) };
                self.add(Node { value, span });
            }
            Event::SequenceStart(anchor, tag) => {
                self.collection(range, anchor, tag.is_some())?;
                let span = self.span(range);
                self.open.push(Open::List(Vec::new(), span));
            }
            Event::MappingStart(anchor, tag) => {
                self.collection(range, anchor, tag.is_some())?;
                let span = self.span(range);
                let (entries, seen) = (Vec::new(), HashMap::new());
                self.open.push(Open::Map { entries, seen, key: None, span });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// Refuses anchors and tags, and counts the value.
    fn plain_node(&mut self, range: Range, anchor: usize, tagged: bool) -> Step {
        if anchor != 0 {
            return Err(self.refused(range, "anchors are not used in specs"));
        }
        if tagged {
            return Err(self.refused(range, "tags are not used in specs"));
        }
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.too_large(format!("this file has more than {MAX_NODES} values")));
        }
        Ok(())
    }

    fn collection(&mut self, range: Range, anchor: usize, tagged: bool) -> Step {
        self.plain_node(range, anchor, tagged)?;
        if let Some(Open::Map { key: None, .. }) = self.open.last() {
            return Err(self.refused(range, "a key must be a plain word"));
        }
        if self.open.len() >= MAX_DEPTH {
            let span = self.span(range);
            let message = format!("nesting is deeper than {MAX_DEPTH} levels");
            return Err(Box::new(Diagnostic::at(self.sources, codes::LIMITS, span, message)));
        }
        Ok(())
    }

    /// Whether the scalar is a key of the open map; a repeated key is reported and its value dropped.
    fn takes_key(&mut self, text: &str, span: Span) -> Result<bool, Box<Diagnostic>> {
        let Some(Open::Map { seen, key: key @ None, .. }) = self.open.last_mut() else {
            return Ok(false);
        };
        if text.chars().count() > MAX_KEY {
            let message = format!("a key is longer than {MAX_KEY} characters");
            return Err(Box::new(Diagnostic::at(self.sources, codes::LIMITS, span, message)));
        }
        *key = Some((text.to_owned(), span));
        match seen.get(text) {
            None => {
                seen.insert(text.to_owned(), span);
            }
            Some(first) => {
                let message = format!("the key {} is written twice in one map", quoted(text));
                let mut diagnostic =
                    Diagnostic::at(self.sources, codes::DUPLICATE_KEY, span, message);
                diagnostic
                    .help(format!("it first stands in line {}; keep one of them", first.line));
                if self.diagnostics.len() >= MAX_DUPLICATES {
                    return Err(Box::new(diagnostic));
                }
                self.diagnostics.push(diagnostic);
            }
        }
        Ok(true)
    }

    fn close(&mut self) {
        let node = match self.open.pop() {
            Some(Open::List(items, span)) => Node { value: Value::List(items), span },
            Some(Open::Map { entries, span, .. }) => Node { value: Value::Map(entries), span },
            None => return,
        };
        self.add(node);
    }

    fn add(&mut self, mut node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(items, _)) => items.push(node),
            Some(Open::Map { entries, key, seen, .. }) => {
                let Some((key, key_span)) = key.take() else {
                    return;
                };
                if node.is_null() {
                    // An empty value has no place of its own.
                    node.span = key_span;
                }
                // Only the first of repeated keys counts; the repetition is reported already.
                if seen.get(&key) == Some(&key_span) {
                    entries.push(Entry { key, key_span, node });
                }
            }
        }
    }

    fn span(&self, range: Range) -> Span {
        let (start, end) = (range.start, range.end);
        let len = if start.line() == end.line() {
            end.col().saturating_sub(start.col())
        } else {
            // Only the first line of a longer value is marked.
            let line = self.sources.line(self.source, start.line()).trim_end();
            line.chars().count().saturating_sub(start.col())
        };
        self.span_at(start, len.max(1))
    }

    fn span_at(&self, marker: Marker, len: usize) -> Span {
        let line = marker.line().max(1);
        let col = marker.col() + if line == 1 { self.offset } else { 0 };
        Span { source: self.source, line, col, len }
    }

    /// A place behind the text is shown at the end of its last line.
    fn last_text(&self, mut span: Span) -> Span {
        let text = |line| self.sources.line(self.source, line).trim_end();
        while span.line > 1 && text(span.line).is_empty() {
            span.line -= 1;
            span.col = text(span.line).chars().count();
        }
        span
    }

    fn refused(&self, range: Range, message: &str) -> Box<Diagnostic> {
        let mut diagnostic =
            Diagnostic::at(self.sources, codes::FEATURE, self.span(range), message);
        let line = self.sources.line(self.source, range.start.line());
        diagnostic.help(if line.contains("{{") {
            TEMPLATE_HELP
        } else {
            "share parts between specs with `extends`; quote text that begins with & * or !"
        });
        Box::new(diagnostic)
    }

    fn too_large(&self, message: String) -> Box<Diagnostic> {
        let span = self.span_at(Marker::new(0, 1, 0), 1);
        Box::new(Diagnostic::at(self.sources, codes::LIMITS, span, message))
    }

    fn nul(&self, before: &str) -> Box<Diagnostic> {
        let starts = line_starts(before);
        let col = starts.last().map_or(0, |start| before[*start..].chars().count());
        let span = self.span_at(Marker::new(0, starts.len(), col), 1);
        let message = "the text has a NUL byte, so it is not YAML";
        Box::new(Diagnostic::at(self.sources, codes::SYNTAX, span, message))
    }

    fn syntax(&self, error: &ScanError) -> Box<Diagnostic> {
        if error.info().contains("unknown anchor") {
            let range = Range::empty(*error.marker());
            return self.refused(range, "aliases are not used in specs");
        }
        let span = self.last_text(self.span_at(*error.marker(), 1));
        let message = format!("this is not YAML: {}", error.info());
        let mut diagnostic = Diagnostic::at(self.sources, codes::SYNTAX, span, message);
        let line = self.sources.line(self.source, span.line);
        let blank = &line[..line.len() - line.trim_start().len()];
        if blank.contains('\t') {
            diagnostic.help("indent with spaces; YAML does not allow tabs there");
        } else if line.contains("{{") {
            diagnostic.help(TEMPLATE_HELP);
        } else {
            diagnostic.help(
                "look for an open bracket or quote, or an indentation that does not fit, here or just \
                 above",
            );
        }
        Box::new(diagnostic)
    }
}

#[cfg(test)]
mod tests;
