//! `--set path=value`: an argument becomes a layer with one path, merged like a file that extends the spec. A value of a
//! sweep becomes a layer in the same way.

use crate::codes;
use crate::diagnostic::{Diagnostic, all_words, meant, quoted};
use crate::extends::{Conflicts, merge};
use crate::node::{Entry, Node, Value};
use crate::schema_tree::{RecordShape, Shape};
use crate::source::{SourceId, Sources, Span};
use crate::yaml;

/// A part of a path (a key, or the id of a list entry), and where in a source it is written.
pub(crate) type Segment = (String, Span);

/// Keys that say how a spec is read, so that nothing but its files may give them.
const OF_FILES: [&str; 1] = ["extends"];

/// Who gives a key its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Giver {
    /// An argument of the command line.
    Set,
    /// A combination of a sweep.
    Sweep,
}

impl Giver {
    fn code(self) -> &'static str {
        match self {
            Giver::Set => codes::SET,
            Giver::Sweep => codes::SWEEP,
        }
    }

    /// The words that refuse a key which only files may give.
    fn refuses(self, key: &str) -> String {
        match self {
            Giver::Set => format!("`{key}` cannot be set from the command line"),
            Giver::Sweep => format!("`{key}` cannot be varied by a sweep"),
        }
    }

    /// How the whole value at a path is given.
    fn whole(self, path: &str) -> String {
        match self {
            Giver::Set => format!("set the whole value: {path}=..."),
            Giver::Sweep => format!("vary the whole value: {path}: [..., ...]"),
        }
    }

    /// How the keys of an alternative are given, or another alternative as a whole.
    fn alternative(self, owner: &str, rival: &str, key: &str) -> String {
        match self {
            Giver::Set => format!(
                "set keys of {owner}.{rival}, or the whole alternative: '{owner}.{key}={{...}}'"
            ),
            Giver::Sweep => format!(
                "vary keys of {owner}.{rival}, or the whole alternative: `{owner}.{key}: [{{...}}, ...]`"
            ),
        }
    }
}

/// Applies the arguments in order. Mistakes are reported, and what is right is applied all the same.
pub(crate) fn apply(
    mut root: Node,
    overrides: &[String],
    shape: &Shape,
    sources: &mut Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Node {
    for text in overrides {
        let source = sources.add_set(text);
        match layer(&root, text, shape, sources, source, diagnostics) {
            Ok(Some(over)) => {
                root = merge(root, over, shape, &mut Conflicts { sources, diagnostics });
            }
            Ok(None) => {}
            Err(diagnostic) => diagnostics.push(*diagnostic),
        }
    }
    root
}

fn layer(
    root: &Node,
    text: &str,
    shape: &Shape,
    sources: &Sources,
    source: SourceId,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Option<Node>, Box<Diagnostic>> {
    let whole = Span { source, line: 1, col: 0, len: text.chars().count().max(1) };
    let Some((path, _)) = text.split_once('=') else {
        let message = format!("{} has no `=`", quoted(text));
        let mut diagnostic = Diagnostic::at(sources, codes::SET, whole, message);
        diagnostic.help("write path=value, for example seed=2 or stages.rl.grpo.lr=1e-4");
        return Err(Box::new(diagnostic));
    };
    let segments = segments(path, whole);
    if let Some(key) = of_files(&segments, &OF_FILES) {
        let message = Giver::Set.refuses(key);
        return Err(Box::new(Diagnostic::at(sources, codes::SET, whole, message)));
    }
    // The value begins behind the equals sign.
    let Some(value) = yaml::parse(sources, source, path.chars().count() + 1, diagnostics) else {
        return Ok(None);
    };
    let giver = Giver::Set;
    Path { sources, value, giver }.build(&segments, &[], shape, Some(root)).map(Some)
}

/// The parts of a path, whose text begins where a place does.
pub(crate) fn segments(path: &str, place: Span) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut col = place.col;
    for part in path.split('.') {
        let len = part.chars().count();
        segments.push((part.trim().to_owned(), Span { col, len: len.max(1), ..place }));
        col += len + 1;
    }
    segments
}

/// The key of a path that only files may give, if it is one.
fn of_files<'k>(segments: &[Segment], keys: &[&'k str]) -> Option<&'k str> {
    let (first, _) = segments.first()?;
    keys.iter().copied().find(|key| first == key)
}

/// The layer in which one combination of a sweep gives the key at a path its value.
pub(crate) fn swept(
    root: &Node,
    segments: &[Segment],
    value: Node,
    shape: &Shape,
    sources: &Sources,
) -> Result<Node, Box<Diagnostic>> {
    let giver = Giver::Sweep;
    if let (Some(key), [(_, span), ..]) = (of_files(segments, &["extends", "sweep"]), segments) {
        let message = giver.refuses(key);
        return Err(Box::new(Diagnostic::at(sources, giver.code(), *span, message)));
    }
    Path { sources, value, giver }.build(segments, &[], shape, Some(root))
}

/// Builds the layer of one path.
struct Path<'a> {
    sources: &'a Sources,
    value: Node,
    giver: Giver,
}

impl Path<'_> {
    /// The layer below `base`, which is what the spec has at the path walked so far.
    fn build(
        &self,
        rest: &[Segment],
        done: &[&str],
        shape: &Shape,
        base: Option<&Node>,
    ) -> Result<Node, Box<Diagnostic>> {
        let Some(((key, span), rest)) = rest.split_first() else {
            let empty = self.value.entries().is_some_and(<[Entry]>::is_empty);
            let merges = matches!(shape, Shape::Record(_));
            if empty && merges && base.is_some_and(|base| base.entries().is_some()) {
                return Err(self.changes_nothing(&done.join(".")));
            }
            return Ok(self.value.clone());
        };
        let below: Vec<&str> = done.iter().copied().chain([key.as_str()]).collect();
        let child = base.and_then(|base| base.get(key));
        let entry = |node| vec![Entry { key: key.clone(), key_span: *span, node }];
        let value = match shape {
            Shape::Record(record) => {
                let shape = self.record_key(record, key, *span, rest, done, base)?;
                Value::Map(entry(self.build(rest, &below, shape, child)?))
            }
            Shape::Dict(of) => {
                // A new id can be added as a whole, not by one of its keys.
                if child.is_none() && matches!(**of, Shape::Record(_)) && !rest.is_empty() {
                    let known = base.and_then(Node::entries).unwrap_or_default();
                    let known: Vec<&str> = known.iter().map(|entry| entry.key.as_str()).collect();
                    return Err(self.unknown(key, *span, done, &known, "id"));
                }
                Value::Map(entry(self.build(rest, &below, of, child)?))
            }
            Shape::Free => Value::Map(entry(self.build(rest, &below, &Shape::Free, child)?)),
            Shape::IdList(record) => {
                let list = match base.map(|base| &base.value) {
                    Some(Value::List(items)) => items.as_slice(),
                    _ => &[],
                };
                let ids: Vec<&str> =
                    list.iter().filter_map(|item| item.get("id")?.text()).collect();
                let Some(item) = list
                    .iter()
                    .find(|item| item.get("id").and_then(Node::text) == Some(key.as_str()))
                else {
                    return Err(self.unknown(key, *span, done, &ids, "id"));
                };
                let shape = Shape::Record(record.clone());
                let mut node = self.build(rest, &below, &shape, Some(item))?;
                add_id(&mut node, key, *span);
                Value::List(vec![node])
            }
            Shape::Value(_) => {
                let message = format!("{} has no keys", quoted(&done.join(".")));
                let mut diagnostic = self.mistake(*span, message);
                diagnostic.help(self.giver.whole(&done.join(".")));
                return Err(Box::new(diagnostic));
            }
        };
        Ok(Node { value, span: *span })
    }

    /// The mistake of an empty map, which would be merged with what there is.
    fn changes_nothing(&self, path: &str) -> Box<Diagnostic> {
        let message = format!("an empty map changes nothing in {}", quoted(path));
        let mut diagnostic = self.mistake(self.value.span, message);
        diagnostic.help(match self.giver {
            Giver::Set => format!("set its keys, or {path}=null to leave all of it out"),
            Giver::Sweep => "give it keys, or say null to leave all of it out".to_owned(),
        });
        Box::new(diagnostic)
    }

    fn mistake(&self, span: Span, message: String) -> Diagnostic {
        Diagnostic::at(self.sources, self.giver.code(), span, message)
    }

    /// The shape of a key, when the record has it and the spec uses its alternative.
    fn record_key<'s>(
        &self,
        record: &'s RecordShape,
        key: &str,
        span: Span,
        rest: &[Segment],
        done: &[&str],
        base: Option<&Node>,
    ) -> Result<&'s Shape, Box<Diagnostic>> {
        let Some(field) = record.field(key) else {
            let known: Vec<&str> = record.keys().collect();
            return Err(self.unknown(key, span, done, &known, "key"));
        };
        let rival = record.rivals(key).find(|rival| base.and_then(|b| b.get(rival)).is_some());
        if let (Some(rival), false) = (rival, rest.is_empty()) {
            let owner = done.join(".");
            let message = format!("{} is `{rival}` here, not `{key}`", quoted(&owner));
            let mut diagnostic = self.mistake(span, message);
            diagnostic.help(self.giver.alternative(&owner, rival, key));
            return Err(Box::new(diagnostic));
        }
        Ok(&field.shape)
    }

    fn unknown(
        &self,
        key: &str,
        span: Span,
        done: &[&str],
        known: &[&str],
        what: &str,
    ) -> Box<Diagnostic> {
        let owner = if done.is_empty() { "a spec".to_owned() } else { quoted(&done.join(".")) };
        let message = format!("{owner} has no {what} {}", quoted(key));
        let mut diagnostic = self.mistake(span, message);
        if let Some(near) = meant(key, known.iter().copied()) {
            diagnostic.label(format!("did you mean `{near}`?"));
        } else if !known.is_empty() {
            diagnostic.help(format!("it has {}", all_words(known.iter().copied())));
        }
        Box::new(diagnostic)
    }
}

/// Entries of lists merge by id, so a layer's entry needs it.
fn add_id(node: &mut Node, id: &str, span: Span) {
    if let Value::Map(entries) = &mut node.value
        && !entries.iter().any(|entry| entry.key == "id")
    {
        let node = Node { value: Value::Text(id.to_owned()), span };
        entries.insert(0, Entry { key: "id".to_owned(), key_span: span, node });
    }
}
