//! Lists and maps of a spec: lists of values, records by id, and records in order with an id.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use crate::codes;
use crate::diagnostic::quoted;
use crate::node::{Entry, Node, Value};
use crate::read::{At, Reader, Record, Term, record_shape};
use crate::schema_tree::{Range, Shape};
use crate::source::Span;
use crate::value_types::{Name, check_name};

impl<T: Term> Term for Vec<At<T>> {
    fn shape(range: Range) -> Shape {
        let items = match T::shape(range) {
            Shape::Value(schema) => schema,
            _ => json!({}),
        };
        Shape::Value(json!({ "type": "array", "items": items }))
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        let Value::List(items) = &node.value else {
            let what = "a list";
            reader.expected(node, what).help("write the entries in brackets: [a, b]");
            return None;
        };
        // All entries are read before the first mistake counts.
        let read: Vec<Option<At<T>>> = items
            .iter()
            .map(|item| T::read(item, range, reader).map(|value| reader.at(value, item.span)))
            .collect();
        read.into_iter().collect()
    }
}

/// A list of texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Texts(pub Vec<At<String>>);

impl Texts {
    /// The texts without their places.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(|text| text.value.clone()).collect()
    }
}

impl Serialize for Texts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|text| &text.value))
    }
}

impl Term for Texts {
    fn shape(range: Range) -> Shape {
        Vec::<At<String>>::shape(range)
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        Vec::read(node, range, reader).map(Texts)
    }
}

/// A text, or a list of texts: what a key takes that means one thing or several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OneOrMore(pub Texts);

impl Serialize for OneOrMore {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.0[..] {
            [one] => one.value.serialize(serializer),
            _ => self.0.serialize(serializer),
        }
    }
}

impl Term for OneOrMore {
    fn shape(_: Range) -> Shape {
        Shape::Value(json!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ]}))
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        if let Value::List(items) = &node.value {
            if items.is_empty() {
                reader.expected(node, "a text, or a list of at least one");
                return None;
            }
            return Texts::read(node, range, reader).map(Self);
        }
        let text = String::read(node, range, reader)?;
        Some(Self(Texts(vec![reader.at(text, node.span)])))
    }
}

/// Columns of a file: their names, and what the file calls them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns(pub Vec<(At<String>, At<String>)>);

impl Columns {
    /// The names in order.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.value.clone()).collect()
    }

    /// What the file calls those that have another name.
    pub fn renamed(&self) -> BTreeMap<String, String> {
        let other = self.0.iter().filter(|(name, in_file)| name.value != in_file.value);
        other.map(|(name, in_file)| (name.value.clone(), in_file.value.clone())).collect()
    }
}

impl Serialize for Columns {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.renamed().is_empty() {
            return serializer.collect_seq(self.0.iter().map(|(name, _)| &name.value));
        }
        serializer.collect_map(self.0.iter().map(|(name, file)| (&name.value, &file.value)))
    }
}

impl Term for Columns {
    fn shape(_: Range) -> Shape {
        Shape::Value(json!({ "anyOf": [
            { "type": "array", "items": { "type": "string" } },
            { "type": "object", "additionalProperties": { "type": "string" } },
        ]}))
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        let columns: Vec<_> = match &node.value {
            Value::Map(entries) => {
                let read = |reader: &mut Reader, entry: &Entry| {
                    let read = |reader: &mut Reader| String::read(&entry.node, range, reader);
                    let in_file = reader.below(&entry.key, entry.key_span, read)?;
                    let name = reader.at(entry.key.clone(), entry.key_span);
                    Some((name, reader.at(in_file, entry.node.span)))
                };
                entries.iter().map(|entry| read(reader, entry)).collect::<Option<_>>()?
            }
            Value::List(_) => {
                let names: Vec<At<String>> = Vec::read(node, range, reader)?;
                names.into_iter().map(|name| (name.clone(), name)).collect()
            }
            _ => {
                reader.expected(node, "a list of columns, or a map {name: column in the file}");
                return None;
            }
        };
        for (position, (name, _)) in columns.iter().enumerate() {
            if columns[..position].iter().any(|(earlier, _)| earlier.value == name.value) {
                let message = format!("the column {} is named twice", quoted(name));
                reader.error(codes::DUPLICATE_ID, name.span, message);
            }
        }
        Some(Self(columns))
    }
}

/// Records by id. An entry with a mistake keeps its id, so that references to it are not mistakes too.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dict<T>(pub Vec<(At<Name>, Option<At<T>>)>);

impl<T: Term> Term for Dict<T> {
    const LEAF: bool = false;

    fn shape(range: Range) -> Shape {
        Shape::Dict(Box::new(T::shape(range)))
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        let Some(entries) = node.entries() else {
            reader.expected(node, "a map from ids to their keys");
            return None;
        };
        let mut dict = Vec::new();
        for entry in entries.iter().filter(|entry| !entry.node.is_null()) {
            check_name(&entry.key, entry.key_span, reader);
            let read = |reader: &mut Reader| {
                let id = reader.at(Name(entry.key.clone()), entry.key_span);
                (id, reader.value(&entry.node, range))
            };
            dict.push(reader.below(&entry.key, entry.key_span, read));
        }
        Some(Dict(dict))
    }

    fn absent(_: Span, _: &mut Reader) -> Option<Self> {
        Some(Dict(Vec::new()))
    }
}

/// Records in order, each with an `id`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IdList<T>(pub Vec<(At<Name>, Option<At<T>>)>);

impl<T: Term + Record> Term for IdList<T> {
    const LEAF: bool = false;

    fn shape(range: Range) -> Shape {
        match T::shape(range) {
            Shape::Record(record) => Shape::IdList(record),
            _ => Shape::IdList(Box::new(record_shape::<T>(""))),
        }
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        let Value::List(items) = &node.value else {
            reader.expected(node, "a list of entries with an `id`");
            return None;
        };
        let mut list: Vec<(At<Name>, Option<At<T>>)> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let id = item.get("id");
            let name = id.and_then(Node::text).map_or(index.to_string(), str::to_owned);
            let span = id.map_or(item.span, |id| id.span);
            if let Some((first, _)) = list.iter().find(|(other, _)| other.0 == name) {
                let line = first.span.line;
                let message = format!("the id {} is used twice", quoted(&name));
                let help = format!("it is first used in line {line}; give each entry its own id");
                reader.error(codes::DUPLICATE_ID, span, message).help(help);
            }
            let read = |reader: &mut Reader| {
                (reader.at(Name(name.clone()), span), reader.value(item, range))
            };
            list.push(reader.below(&name, item.span, read));
        }
        Some(IdList(list))
    }

    fn absent(_: Span, _: &mut Reader) -> Option<Self> {
        Some(IdList(Vec::new()))
    }
}
