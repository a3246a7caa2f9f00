//! Layers of a spec: the file, what it extends, and how trees merge.
//!
//! Merging goes by the shape: maps merge, lists of entries with ids merge by id, everything else is replaced, and a
//! map that holds one of several alternatives is replaced when another alternative is given, and so is one whose keys
//! come from somewhere else as soon as it says from where. An empty list of entries, and an empty map of entries, stand
//! for what they are: nothing is left of those inherited.

use std::path::{Path, PathBuf};

use crate::codes;
use crate::diagnostic::{Diagnostic, nearest, quoted};
use crate::inputs::Inputs;
use crate::node::{Entry, Node, Value};
use crate::schema_tree::{RecordShape, Shape};
use crate::source::{SET, SourceId, Sources, Span};
use crate::yaml;

/// Files that extend each other at most.
const MAX_EXTENDS: usize = 8;
/// The version of the spec format this code reads.
const VERSION: i128 = 1;

/// Reads a spec file and everything it extends, merged. `None` after reporting.
pub(crate) fn load(
    path: &Path,
    shape: &Shape,
    inputs: &dyn Inputs,
    sources: &mut Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Node> {
    let mut chain: Vec<PathBuf> = vec![path.to_path_buf()];
    let mut layers = vec![read_file(path, None, inputs, sources, diagnostics)?];
    while let Some((parent, at)) = take_parent(&mut layers, sources, diagnostics)? {
        let mut error = |message: String, help: &str| {
            let mut diagnostic = Diagnostic::at(sources, codes::EXTENDS, at, message);
            diagnostic.help(help);
            diagnostics.push(diagnostic);
        };
        if chain.iter().any(|known| plain(known) == plain(&parent)) {
            let message = format!("{} extends itself in a circle", quoted(&name(&parent)));
            error(message, "take `extends` out of one of the files");
            return None;
        }
        if chain.len() > MAX_EXTENDS {
            let message = format!("more than {MAX_EXTENDS} specs extend each other");
            error(message, "merge some of them into one file");
            return None;
        }
        layers.push(read_file(&parent, Some(at), inputs, sources, diagnostics)?);
        chain.push(parent);
    }
    let mut merged = layers.pop()?;
    while let Some(over) = layers.pop() {
        merged = merge(merged, over, shape, &mut Conflicts { sources, diagnostics });
    }
    Some(merged)
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

/// The path with `x/..` taken out, to compare files by. Links can fool it; the limit on the chain holds then.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

fn read_file(
    path: &Path,
    mentioned: Option<Span>,
    inputs: &dyn Inputs,
    sources: &mut Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Node> {
    let shown = name(path);
    let mut fail = |code, message: String, class_input: bool| {
        let mut diagnostic = match mentioned {
            Some(span) => Diagnostic::at(sources, code, span, message),
            None => Diagnostic::nowhere(code, message),
        };
        if class_input {
            diagnostic.input();
        }
        diagnostics.push(diagnostic);
    };
    // One byte more than allowed tells a file that is too large from one that just fits.
    let bytes = match inputs.read(path, yaml::MAX_BYTES as u64 + 1) {
        Ok(bytes) => bytes,
        Err(error) => {
            fail(codes::MISSING_FILE, format!("cannot read the spec {shown}: {error}"), true);
            return None;
        }
    };
    if bytes.len() > yaml::MAX_BYTES {
        let message = format!("{shown} is larger than {} bytes", yaml::MAX_BYTES);
        fail(codes::LIMITS, message, false);
        return None;
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
            fail(codes::SYNTAX, format!("{shown} is not UTF-8 text: see line {line}"), false);
            return None;
        }
    };
    // A byte-order mark is no part of the text.
    let text = text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned);
    let source = sources.add_file(path, text);
    let root = yaml::parse(sources, source, 0, diagnostics)?;
    check_root(root, sources, source, diagnostics)
}

/// A spec is a map, in a version of the format that is known. Otherwise nothing else is worth a message.
fn check_root(
    root: Node,
    sources: &Sources,
    source: SourceId,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Node> {
    if root.entries().is_none() {
        let file = &sources.get(source).name;
        let message = match &root.value {
            Value::Null => format!("{file} is empty"),
            _ => format!("a spec is a map of keys, but {file} is {}", root.kind()),
        };
        let mut diagnostic = Diagnostic::at(sources, codes::WRONG_TYPE, root.span, message);
        diagnostic.help("`r1x schema` tells the keys of a spec; experiments/ has examples");
        diagnostics.push(diagnostic);
        return None;
    }
    if let Some(Node { value: Value::Int(version), span }) = root.get("r1x")
        && *version != VERSION
    {
        let message = format!("this spec is written in version {version} of the format");
        let mut diagnostic = Diagnostic::at(sources, codes::VERSION, *span, message);
        diagnostic.label(format!("this r1x knows version {VERSION}"));
        if *version > VERSION {
            diagnostic.help("use a newer r1x, or rewrite the spec for version 1");
        } else {
            diagnostic.help("write `r1x: 1`");
        }
        diagnostics.push(diagnostic);
        return None;
    }
    Some(root)
}

/// Takes `extends` out of the newest layer. The outer `None` is a mistake.
#[allow(clippy::option_option, reason = "a mistake is not the same as no parent")]
fn take_parent(
    layers: &mut [Node],
    sources: &Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Option<(PathBuf, Span)>> {
    let Some(Value::Map(entries)) = layers.last_mut().map(|layer| &mut layer.value) else {
        return Some(None);
    };
    let Some(position) = entries.iter().position(|entry| entry.key == "extends") else {
        return Some(None);
    };
    let entry = entries.remove(position);
    let span = entry.node.span;
    match entry.node.text() {
        Some(text) if !text.is_empty() => Some(Some((sources.path(span.source, text), span))),
        None if entry.node.is_null() => Some(None),
        _ => {
            let message = "`extends` takes the path of one spec";
            diagnostics.push(Diagnostic::at(sources, codes::WRONG_TYPE, span, message));
            None
        }
    }
}

/// Where conflicts found while merging go.
pub(crate) struct Conflicts<'a> {
    pub sources: &'a Sources,
    pub diagnostics: &'a mut Vec<Diagnostic>,
}

/// The base with what `over` adds, replaces and drops.
pub(crate) fn merge(base: Node, over: Node, shape: &Shape, conflicts: &mut Conflicts) -> Node {
    let span = over.span;
    match (shape, base.value, over.value) {
        (Shape::Record(record), Value::Map(base), Value::Map(over)) => {
            merge_record(base, over, span, record, conflicts)
        }
        // Merged, they would change nothing in silence.
        (Shape::Dict(_) | Shape::Free, Value::Map(_), Value::Map(over)) if over.is_empty() => {
            Node { value: Value::Map(over), span }
        }
        (Shape::IdList(_), Value::List(_), Value::List(over)) if over.is_empty() => {
            Node { value: Value::List(over), span }
        }
        (Shape::Dict(of), Value::Map(base), Value::Map(over)) => {
            let merged = merge_entries(base, over, |_| of.as_ref(), conflicts);
            Node { value: Value::Map(merged), span }
        }
        (Shape::Free, Value::Map(base), Value::Map(over)) => {
            let merged = merge_entries(base, over, |_| &Shape::Free, conflicts);
            Node { value: Value::Map(merged), span }
        }
        (Shape::IdList(record), Value::List(base), Value::List(over)) => {
            let merged = merge_ids(base, over, record, conflicts);
            Node { value: Value::List(merged), span }
        }
        (_, _, value) => Node { value, span },
    }
}

fn merge_record(
    base: Vec<Entry>,
    over: Vec<Entry>,
    span: Span,
    record: &RecordShape,
    conflicts: &mut Conflicts,
) -> Node {
    let written = |entries: &[Entry], key: &str| {
        entries.iter().any(|entry| entry.key == key && !entry.node.is_null())
    };
    let origin = |key: &&&str| written(&over, key) && !written(&base, key);
    if record.origins.iter().any(|key| origin(&key)) {
        // What is set on the command line is said about the spec as a whole, whichever argument comes first.
        let is_set = |entry: &Entry| conflicts.sources.get(entry.node.span.source).name == SET;
        let kept = base.into_iter().filter(is_set).collect();
        let shape_of = |key: &str| record.field(key).map_or(&Shape::Free, |field| &field.shape);
        return Node { value: Value::Map(merge_entries(kept, over, shape_of, conflicts)), span };
    }
    let is_other = |key: &str| {
        written(&over, key)
            && !written(&base, key)
            && record.rivals(key).any(|rival| written(&base, rival) && !written(&over, rival))
    };
    // The first choice of a map says what the map is, so what stands beside another alternative of it is gone as well.
    if record.choices.first().is_some_and(|keys| keys.iter().any(|key| is_other(key))) {
        return Node { value: Value::Map(over), span };
    }
    let others = record.choices.iter().skip(1).flatten().filter(|key| is_other(key));
    let replaced: Vec<&str> = others.flat_map(|key| record.rivals(key)).collect();
    let mut base = base;
    base.retain(|entry| !replaced.contains(&entry.key.as_str()));
    let shape_of = |key: &str| record.field(key).map_or(&Shape::Free, |field| &field.shape);
    Node { value: Value::Map(merge_entries(base, over, shape_of, conflicts)), span }
}

fn merge_entries<'s>(
    mut base: Vec<Entry>,
    over: Vec<Entry>,
    shape_of: impl Fn(&str) -> &'s Shape,
    conflicts: &mut Conflicts,
) -> Vec<Entry> {
    for entry in over {
        match base.iter().position(|known| known.key == entry.key) {
            None => base.push(entry),
            Some(at) => {
                let shape = shape_of(&entry.key);
                let old = std::mem::replace(
                    &mut base[at].node,
                    Node { value: Value::Null, span: entry.node.span },
                );
                base[at].node = merge(old, entry.node, shape, conflicts);
                base[at].key_span = entry.key_span;
            }
        }
    }
    base
}

fn merge_ids(
    mut base: Vec<Node>,
    over: Vec<Node>,
    record: &RecordShape,
    conflicts: &mut Conflicts,
) -> Vec<Node> {
    for item in over {
        let id = item.get("id").and_then(Node::text);
        let at = id.and_then(|id| {
            base.iter().position(|known| known.get("id").and_then(Node::text) == Some(id))
        });
        let dropped = matches!(item.get("drop"), Some(Node { value: Value::Bool(true), .. }));
        match (at, dropped) {
            (Some(at), true) => {
                base.remove(at);
            }
            (None, true) => {
                let ids = base.iter().filter_map(|known| known.get("id")?.text());
                let near = id.and_then(|id| nearest(id, ids));
                let message = format!("no inherited entry has the id {}", quoted(id.unwrap_or("")));
                let span = item.get("id").map_or(item.span, |id| id.span);
                let mut diagnostic =
                    Diagnostic::at(conflicts.sources, codes::UNKNOWN_NAME, span, message);
                diagnostic.label = near.map(|near| format!("did you mean `{near}`?"));
                conflicts.diagnostics.push(diagnostic);
            }
            (Some(at), false) => {
                let null = Node { value: Value::Null, span: item.span };
                let old = std::mem::replace(&mut base[at], null);
                let shape = Shape::Record(Box::new(record.clone()));
                base[at] = merge(old, item, &shape, conflicts);
            }
            (None, false) => base.push(item),
        }
    }
    base
}
