//! What a sweep varies: paths of keys, each with the values that it takes.

use serde_json::{Value as Json, json};

use crate::codes;
use crate::diagnostic::quoted;
use crate::node::{Entry, Node, Value};
use crate::read::{At, Reader, Term};
use crate::schema_tree::{Range, Shape};

/// Combinations of a sweep at most.
pub(crate) const MOST_COMBINATIONS: usize = 1000;

/// A key that is varied.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Its path, `stages.rl.grpo.lr`.
    pub path: At<String>,
    /// Its values in order.
    pub values: Vec<Json>,
    /// Its values as they are written.
    pub(crate) nodes: Vec<Node>,
}

/// The keys that are varied, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix(pub Vec<Axis>);

impl Term for Matrix {
    fn shape(_: Range) -> Shape {
        Shape::Value(json!({
            "title": "a map from paths of keys to lists of values",
            "type": "object",
            "additionalProperties": { "type": "array", "minItems": 1 },
        }))
    }

    fn read(node: &Node, _: Range, reader: &mut Reader) -> Option<Self> {
        let Some(entries) = node.entries() else {
            let what = "a map from paths of keys to lists of values";
            reader.expected(node, what).help("write for example {seed: [1, 2, 3]}");
            return None;
        };
        if entries.is_empty() {
            let message = format!("{} varies nothing", reader.name());
            reader
                .error(codes::COUNTS, node.span, message)
                .help("take `sweep` out, or list values");
            return None;
        }
        let axes: Vec<Option<Axis>> = entries
            .iter()
            .map(|entry| reader.below(&entry.key, entry.key_span, |reader| axis(entry, reader)))
            .collect();
        let axes: Vec<Axis> = axes.into_iter().collect::<Option<_>>()?;
        // More values than fit in 64 bits are too many as well.
        let count =
            axes.iter().try_fold(1_usize, |count, axis| count.checked_mul(axis.values.len()));
        if count.is_none_or(|count| count > MOST_COMBINATIONS) {
            let counted = count.map_or("far too many".to_owned(), |count| count.to_string());
            let message = format!(
                "the sweep has {counted} combinations; at most {MOST_COMBINATIONS} are taken"
            );
            reader
                .error(codes::COUNTS, node.span, message)
                .help("list fewer values, or vary fewer keys");
            return None;
        }
        Some(Self(axes))
    }
}

/// Reads a key of a matrix with the list of its values, in which no value may stand twice.
fn axis(entry: &Entry, reader: &mut Reader) -> Option<Axis> {
    let Value::List(nodes) = &entry.node.value else {
        let diagnostic = reader.expected(&entry.node, "a list of values");
        diagnostic.help("write the values in brackets: [1, 2, 3]");
        return None;
    };
    if nodes.is_empty() {
        let message = format!("{} lists no value", reader.name());
        let diagnostic = reader.error(codes::COUNTS, entry.node.span, message);
        diagnostic.help("list a value, or take the key out of the sweep");
        return None;
    }
    let mut values: Vec<Json> = Vec::new();
    let mut right = Some(());
    for node in nodes {
        let Some(value) = node.to_json() else {
            let message = format!("{} takes a number that JSON does not have", reader.name());
            reader.error(codes::OUT_OF_RANGE, node.span, message);
            right = None;
            continue;
        };
        if values.iter().any(|earlier| equal(earlier, &value)) {
            let message = format!("{} lists {} twice", reader.name(), quoted(&value.to_string()));
            reader.error(codes::DUPLICATE_ID, node.span, message).help("list each value once");
            right = None;
        }
        values.push(value);
    }
    right?;
    let path = At { value: entry.key.clone(), span: entry.key_span, path: reader.path() };
    Some(Axis { path, values, nodes: nodes.clone() })
}

/// Whether two values are one: `1` and `1.0` are, though they are written otherwise.
pub(crate) fn equal(a: &Json, b: &Json) -> bool {
    a == b || a.as_f64().is_some_and(|a| b.as_f64() == Some(a))
}
