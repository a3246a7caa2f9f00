//! Values that say how rewards become totals: weights over steps, bounds, lists and mixtures of data sets.

use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use r1x_core::plan::{CombineOrder, Otherwise};

use crate::codes;
use crate::node::{Entry, Node, Value};
use crate::read::{At, Reader, Term, record, words};
use crate::schema_tree::{Range, Shape};
use crate::value_types::DataName;

words!(CombineOrder {
    "sum_then_normalize" => SumThenNormalize, "the weighted sums of a group are compared (GRPO)";
    "normalize_then_sum" => NormalizeThenSum, "each reward is compared in its group, then they are summed (GDPO)";
});
words!(Otherwise {
    "zero" => Zero, "the value 0";
    "mask" => Mask, "no value: it is left out";
});

/// A weight: a number, or points with straight lines between them.
#[derive(Clone, Debug, PartialEq)]
pub enum Weight {
    /// One weight for every step.
    Constant(f64),
    /// In ascending order of steps, at least one.
    Points(Vec<(u64, f64)>),
}

impl Serialize for Weight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Weight::Constant(weight) => serializer.serialize_f64(*weight),
            Weight::Points(points) => serializer.collect_seq(
                points.iter().map(|(step, weight)| json!({ "step": step, "weight": weight })),
            ),
        }
    }
}

record! {
    /// The weight at one step.
    pub struct PointSpec {
        /// Step of the stage, from 0.
        step: u64 => required, Range::from(0.0).to(1e9);
        /// Weight at that step.
        weight: f64 => required;
    }
}

impl Term for Weight {
    fn shape(range: Range) -> Shape {
        let Shape::Value(number) = f64::shape(range) else { return Shape::Free };
        let point = json!({
            "type": "object",
            "properties": {
                "step": { "type": "integer", "minimum": 0, "maximum": 1_000_000_000 },
                "weight": number,
            },
            "required": ["step", "weight"],
            "additionalProperties": false,
        });
        Shape::Value(json!({
            "anyOf": [number, { "type": "array", "items": point, "minItems": 1 }]
        }))
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::Int(_) | Value::Float(_) => f64::read(node, range, reader).map(Weight::Constant),
            Value::List(items) => points(node, items, reader).map(Weight::Points),
            _ => {
                reader.expected(node, "a number, or a list of {step, weight}");
                None
            }
        }
    }
}

fn points(node: &Node, items: &[Node], reader: &mut Reader) -> Option<Vec<(u64, f64)>> {
    // The weight is one setting as a whole, so its points are none.
    let settings = reader.settings.len();
    let read: Vec<Option<PointSpec>> =
        items.iter().map(|item| PointSpec::read(item, Range::ANY, reader)).collect();
    reader.settings.truncate(settings);
    let read: Vec<PointSpec> = read.into_iter().collect::<Option<_>>()?;
    if read.is_empty() {
        let message = format!("{} lists no point", reader.name());
        let help = "write for example [{step: 0, weight: 1}, {step: 100, weight: 0}]";
        reader.error(codes::COUNTS, node.span, message).help(help);
        return None;
    }
    for pair in read.windows(2) {
        if *pair[1].step <= *pair[0].step {
            let message = format!(
                "the point of step {} stands after that of {}",
                *pair[1].step, *pair[0].step
            );
            let help = "write the points in the order of their steps, one for each step";
            reader.error(codes::COUNTS, pair[1].step.span, message).help(help);
            return None;
        }
    }
    Some(read.iter().map(|point| (*point.step, *point.weight)).collect())
}

/// A lowest and a highest value: `[-1, 2]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Between(pub f64, pub f64);

impl Term for Between {
    fn shape(range: Range) -> Shape {
        let Shape::Value(number) = f64::shape(range) else { return Shape::Free };
        Shape::Value(json!({ "type": "array", "items": number, "minItems": 2, "maxItems": 2 }))
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        let Value::List(items) = &node.value else {
            reader.expected(node, "[lowest, highest]");
            return None;
        };
        let [low, high] = items.as_slice() else {
            let message = format!("{} takes two numbers, not {}", reader.name(), items.len());
            let help = "write [lowest, highest]";
            reader.error(codes::WRONG_TYPE, node.span, message).help(help);
            return None;
        };
        let (low, high) = (f64::read(low, range, reader), f64::read(high, range, reader));
        let (low, high) = (low?, high?);
        if low < high {
            return Some(Between(low, high));
        }
        let message = format!("{} leaves no room between {low} and {high}", reader.name());
        let help = "write the smaller number first, and a larger one after it";
        reader.error(codes::COUNTS, node.span, message).help(help);
        None
    }
}

/// Problems of one data set, or of several: `a.train`, `[a.train, b.train]`, or with the parts of each in a mixture,
/// `{a.train: 3, b.train: 1}`.
#[derive(Clone, Debug, PartialEq)]
pub struct DataNames {
    /// The data sets.
    pub names: Vec<At<DataName>>,
    /// The parts of each, where they are mixed by parts.
    pub parts: Option<Vec<u32>>,
}

/// How many parts a data set may have in a mixture.
const PARTS: Range = Range::from(1.0).to(1000.0);

impl Term for DataNames {
    fn shape(range: Range) -> Shape {
        let one = |shape| if let Shape::Value(schema) = shape { schema } else { Json::Bool(true) };
        let (name, many) = (one(DataName::shape(range)), one(Vec::<At<DataName>>::shape(range)));
        let mixture = json!({
            "type": "object",
            "propertyNames": name,
            "additionalProperties": one(u32::shape(PARTS)),
            "minProperties": 1,
        });
        Shape::Value(json!({ "anyOf": [name, many, mixture] }))
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        let names = match &node.value {
            Value::List(items) if !items.is_empty() => Vec::read(node, range, reader)?,
            Value::Map(entries) if !entries.is_empty() => return mixture(entries, range, reader),
            Value::List(_) | Value::Map(_) => {
                let diagnostic =
                    reader.error(codes::COUNTS, node.span, "this names no data".to_owned());
                diagnostic.help("write <data id>.train, or several of them in brackets");
                return None;
            }
            _ => {
                let name = DataName::read(node, range, reader)?;
                vec![reader.at(name, node.span)]
            }
        };
        Some(DataNames { names, parts: None })
    }
}

/// Data sets with the parts of each.
fn mixture(entries: &[Entry], range: Range, reader: &mut Reader) -> Option<DataNames> {
    let read: Vec<Option<(At<DataName>, u32)>> = entries
        .iter()
        .map(|Entry { key, key_span, node }| {
            let name = Node { value: Value::Text(key.clone()), span: *key_span };
            let name = DataName::read(&name, range, reader);
            let parts = u32::read(node, PARTS, reader);
            Some((reader.at(name?, *key_span), parts?))
        })
        .collect();
    let (names, parts) = read.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
    Some(DataNames { names, parts: Some(parts) })
}
