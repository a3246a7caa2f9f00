//! Reading a tree into typed records, all mistakes at once, and the macros that declare those records.
//!
//! A declaration is the one place that tells a key's name, type, range, default and meaning: the reader, the shape
//! and so the JSON Schema all come from it.

mod declare;

use std::ops::Deref;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::codes;
use crate::diagnostic::{Diagnostic, all_words, meant, nearest, one_of_words, quoted};
use crate::node::{Entry, Node};
use crate::schema_tree::{FieldShape, Need, Range, RecordShape, Shape};
use crate::source::{Origin, Sources, Span};
use crate::{Setting, source};

/// Mistakes collected at most: a hostile file could have any number.
const MOST_MISTAKES: usize = 200;

/// A value, where it stands and which path it has. A default stands where its map does.
#[derive(Clone, Debug, PartialEq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Span,
    /// Its path, `stages.rl.grpo.lr`.
    pub path: Arc<str>,
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Something that can be read from a tree.
pub(crate) trait Term: Sized {
    /// Whether it is one setting for `r1x plan`, not a container of settings.
    const LEAF: bool = true;

    fn shape(range: Range) -> Shape;

    /// `None` after reporting what is wrong.
    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self>;

    /// What it is when the key is not written, for containers that may be left out.
    fn absent(_span: Span, _reader: &mut Reader) -> Option<Self> {
        None
    }
}

/// A map with known keys; several can share one map.
pub(crate) trait Record: Sized {
    fn describe(shape: &mut RecordShape);
    fn take(fields: &mut Fields, reader: &mut Reader) -> Option<Self>;
}

/// The state of one reading.
pub(crate) struct Reader<'a> {
    pub sources: &'a Sources,
    pub diagnostics: Vec<Diagnostic>,
    /// What works and is hardly meant.
    pub warnings: Vec<Diagnostic>,
    pub settings: Vec<Setting>,
    /// Keys down to the current value, with their places.
    path: Vec<(String, Span)>,
}

impl<'a> Reader<'a> {
    pub fn new(sources: &'a Sources) -> Self {
        Self {
            sources,
            diagnostics: Vec::new(),
            warnings: Vec::new(),
            settings: Vec::new(),
            path: Vec::new(),
        }
    }

    /// Points at something that works and is hardly meant; help can be added to what is returned.
    pub fn warning(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.warnings.push(Diagnostic::at(self.sources, code, span, message));
        let last = self.warnings.len() - 1;
        &mut self.warnings[last]
    }

    /// Reports a mistake; label and help can be added to what is returned.
    pub fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        if self.diagnostics.len() < MOST_MISTAKES {
            self.diagnostics.push(Diagnostic::at(self.sources, code, span, message));
        } else {
            self.diagnostics.truncate(MOST_MISTAKES - 1);
            self.diagnostics.push(Diagnostic::nowhere(code, "there are further mistakes"));
        }
        let last = self.diagnostics.len() - 1;
        &mut self.diagnostics[last]
    }

    /// Reports that the value at the current path is of another kind.
    pub fn expected(&mut self, node: &Node, what: &str) -> &mut Diagnostic {
        let message = if node.is_null() {
            format!("{} is written without a value; it takes {what}", self.name())
        } else {
            format!("{} takes {what}, but this is {}", self.name(), node.kind())
        };
        self.error(codes::WRONG_TYPE, node.span, message)
    }

    /// The key being read, for messages.
    pub fn name(&self) -> String {
        self.path.last().map_or("the spec".to_owned(), |(key, _)| quoted(key))
    }

    /// The key the current value stands under.
    pub fn owner(&self) -> Option<Span> {
        self.path.last().map(|(_, span)| *span)
    }

    pub fn path(&self) -> Arc<str> {
        let keys: Vec<&str> = self.path.iter().map(|(key, _)| key.as_str()).collect();
        keys.join(".").into()
    }

    /// Reads below a path segment that stands at `span`.
    pub fn below<T>(&mut self, segment: &str, span: Span, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push((segment.to_owned(), span));
        let result = read(self);
        self.path.pop();
        result
    }

    pub fn at<T>(&self, value: T, span: Span) -> At<T> {
        At { value, span, path: self.path() }
    }

    fn origin(&self, span: Span) -> Origin {
        let name = &self.sources.get(span.source).name;
        if source::is_argument(name) {
            return Origin::Set;
        }
        Origin::File { file: name.clone(), line: span.line }
    }

    fn remember(&mut self, value: Json, origin: Origin) {
        let path = self.path().to_string();
        self.settings.push(Setting { path, value, origin });
    }

    /// Reads a value at a key and remembers where it came from.
    pub fn value<T: Term>(&mut self, node: &Node, range: Range) -> Option<At<T>> {
        let value = T::read(node, range, self)?;
        if T::LEAF {
            let shown = node.to_json().unwrap_or(Json::Null);
            self.remember(shown, self.origin(node.span));
        }
        Some(self.at(value, node.span))
    }
}

/// The keys of one map while it is read.
pub(crate) struct Fields<'n> {
    entries: &'n [Entry],
    /// Where the map, or the key it stands under, is.
    pub span: Span,
    known: Vec<&'static str>,
    /// Keys of which one is needed and none is written.
    missing: Vec<Vec<&'static str>>,
}

impl<'n> Fields<'n> {
    pub fn new(entries: &'n [Entry], span: Span) -> Self {
        Self { entries, span, known: Vec::new(), missing: Vec::new() }
    }

    fn find(&mut self, key: &'static str) -> Option<&'n Entry> {
        self.known.push(key);
        self.entries.iter().find(|entry| entry.key == key && !entry.node.is_null())
    }

    fn find_or<T: Term>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        range: Range,
        absent: impl FnOnce(&mut Reader) -> Option<At<T>>,
    ) -> Option<At<T>> {
        let entry = self.find(key);
        let span = entry.map_or(self.span, |entry| entry.key_span);
        reader.below(key, span, |reader| match entry {
            Some(entry) => reader.value(&entry.node, range),
            None => absent(reader),
        })
    }

    /// A key without a default.
    pub fn required<T: Term>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        range: Range,
    ) -> Option<At<T>> {
        match self.find(key) {
            Some(entry) => {
                reader.below(key, entry.key_span, |reader| reader.value(&entry.node, range))
            }
            None => {
                self.missing.push(vec![key]);
                None
            }
        }
    }

    /// A key that may be left out; the outer `None` is a mistake.
    #[allow(clippy::option_option, reason = "the two absences mean different things")]
    pub fn optional<T: Term>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        range: Range,
    ) -> Option<Option<At<T>>> {
        match self.find(key) {
            Some(entry) => {
                let read = |reader: &mut Reader| reader.value(&entry.node, range);
                reader.below(key, entry.key_span, read).map(Some)
            }
            None => Some(None),
        }
    }

    /// A key with a default.
    pub fn default<T: Term>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        range: Range,
        default: T,
        shown: Json,
    ) -> Option<At<T>> {
        let span = self.span;
        self.find_or(reader, key, range, |reader| {
            reader.remember(shown, Origin::Default);
            Some(reader.at(default, span))
        })
    }

    /// A map that may be left out because all it holds may be. A mistake in it is reported, and reading goes
    /// on as if it were not there.
    pub fn nested<T: Term>(&mut self, reader: &mut Reader, key: &'static str) -> Option<At<T>> {
        let span = self.span;
        let absent = |reader: &mut Reader| {
            let value = T::absent(span, reader)?;
            Some(reader.at(value, span))
        };
        let read = self.find_or(reader, key, Range::ANY, absent);
        read.or_else(|| reader.below(key, span, absent))
    }

    /// Which of several keys is written; anything but one is a mistake.
    pub fn choice(
        &mut self,
        reader: &mut Reader,
        keys: &[&'static str],
    ) -> Option<(&'static str, &'n Entry)> {
        let mut found: Vec<(&'static str, &Entry)> = Vec::new();
        for key in keys {
            found.extend(self.find(key).map(|entry| (*key, entry)));
        }
        match found.as_slice() {
            [] => {
                self.missing.push(keys.to_vec());
                None
            }
            [one] => Some(*one),
            [first, second, ..] => {
                let message =
                    format!("`{}` and `{}` exclude each other in one map", first.0, second.0);
                let help = format!("keep one of {}", one_of_words(keys.iter().copied()));
                reader.error(codes::ONE_OF, second.1.key_span, message).help(help);
                None
            }
        }
    }

    /// Reports unknown and missing keys. A missing key that an unknown one was surely meant to be is not
    /// reported again.
    pub fn finish(self, reader: &mut Reader) {
        let written = |key: &&str| self.entries.iter().any(|entry| entry.key == **key);
        let unwritten: Vec<&str> = self.known.iter().copied().filter(|k| !written(k)).collect();
        let mut found = Vec::new();
        for entry in self.entries {
            if self.known.contains(&entry.key.as_str()) {
                continue;
            }
            let near = meant(&entry.key, unwritten.iter().copied());
            found.extend(near);
            let message = format!("unknown key {}", quoted(&entry.key));
            let diagnostic = reader.error(codes::UNKNOWN_KEY, entry.key_span, message);
            match near {
                Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
                None => {
                    let known = all_words(self.known.iter().copied());
                    diagnostic.help(format!("the keys known here are {known}"))
                }
            };
        }
        for keys in &self.missing {
            if keys.iter().any(|key| found.contains(key)) {
                continue;
            }
            let empty = self.entries.iter().find(|entry| keys.contains(&entry.key.as_str()));
            if let Some(empty) = empty {
                let message = format!("{} is written without a value", quoted(&empty.key));
                reader.error(codes::MISSING_KEY, empty.key_span, message);
                continue;
            }
            let owner = reader.name();
            match keys.as_slice() {
                [key] => {
                    let message = format!("{owner} needs the key `{key}`");
                    reader.error(codes::MISSING_KEY, self.span, message);
                }
                keys => {
                    let message =
                        format!("{owner} needs one of {}", one_of_words(keys.iter().copied()));
                    reader.error(codes::ONE_OF, self.span, message);
                }
            }
        }
    }
}

/// Reads a map as a record, and reports keys it does not know.
pub(crate) fn read_record<T: Record>(node: &Node, reader: &mut Reader) -> Option<T> {
    let Some(entries) = node.entries() else {
        reader.expected(node, "a map of keys");
        return None;
    };
    let mut fields = Fields::new(entries, reader.owner().unwrap_or(node.span));
    let value = T::take(&mut fields, reader);
    fields.finish(reader);
    value
}

/// What a record is when nothing of it is written.
pub(crate) fn absent_record<T: Record>(span: Span, reader: &mut Reader) -> Option<T> {
    let mut fields = Fields::new(&[], span);
    let value = T::take(&mut fields, reader);
    fields.finish(reader);
    value
}

/// The key a field stands for: some keys are words of Rust's own.
pub(crate) fn plain(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// The shape of a record.
pub(crate) fn record_shape<T: Record>(doc: &'static str) -> RecordShape {
    let mut shape = RecordShape { doc, ..RecordShape::default() };
    T::describe(&mut shape);
    shape
}

/// Adds one key to a shape.
pub(crate) fn describe_field<T: Term>(
    shape: &mut RecordShape,
    key: &'static str,
    doc: &'static str,
    range: Range,
    need: Need,
) {
    shape.fields.push(FieldShape { key, doc: doc.trim(), shape: T::shape(range), need });
}

pub(crate) use self::declare::{one_of, record, record_term, words};

impl Reader<'_> {
    /// Reports that a value is none of the words a key takes.
    pub fn wrong_word(&mut self, node: &Node, words: &[&'static str]) {
        let choices = one_of_words(words.iter().copied());
        let Some(text) = node.text() else {
            self.expected(node, &choices);
            return;
        };
        let message = format!("{} cannot be {}", self.name(), quoted(text));
        let near = nearest(text, words.iter().copied());
        let diagnostic = self.error(codes::UNKNOWN_WORD, node.span, message);
        if let Some(near) = near {
            diagnostic.label(format!("did you mean `{near}`?"));
        }
        diagnostic.help(format!("it takes {choices}"));
    }
}
