//! The kinds of single values a spec has: numbers, names, byte sizes, references.

use serde::Serialize;
use serde_json::{Value as Json, json};

use r1x_core::plan::{OnFailure, Precision, Preference, ScheduleKind, TraceStyle};
use r1x_core::problem::Split;
use r1x_core::units;

use crate::codes;
use crate::diagnostic::{nearest, quoted};
use crate::node::{Node, Value};
use crate::read::{At, Reader, Term, words};
use crate::schema_tree::{Range, Shape, shown};
use crate::source::Span;

/// Characters of a name at most.
const LONGEST_NAME: usize = 64;
/// What a name looks like, for the JSON Schema.
const NAME_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$";

words!(TraceStyle {
    "steps" => Steps, "the steps of one solution";
    "search" => Search, "failed tries first, then the solution";
});
words!(OnFailure {
    "mask" => Mask, "the rollout is left out of this reward";
    "zero" => Zero, "the value 0";
    "fail" => Fail, "stop the run";
});
words!(ScheduleKind {
    "constant" => Constant, "stays at the peak";
    "linear" => Linear, "a straight line";
    "cosine" => Cosine, "half a cosine";
});
words!(Preference {
    "first" => First, "in the order in which they were asked for";
    "shortest" => Shortest, "those with the fewest tokens";
    "best" => Best, "those with the highest totals of rewards";
});
words!(Precision {
    "f32" => F32, "nothing is rounded";
    "bf16" => Bf16, "factors keep 8 leading bits: twice the speed where the processor multiplies pairs of them";
});

/// When a suite runs besides `every`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the first stage.
    Start,
    /// After every training stage.
    StageEnd,
}

words!(Moment {
    "start" => Start, "before the first stage";
    "stage_end" => StageEnd, "after every training stage";
});

pub(crate) fn number_schema(kind: &str, range: Range) -> Json {
    let mut schema = json!({ "type": kind });
    // Bounds of whole numbers are written without a fraction.
    let bound = |value: f64| {
        let whole = value.fract() == 0.0 && value.abs() < 9e15;
        if whole { json!(value as i64) } else { json!(value) }
    };
    if range.low > f64::MIN {
        let key = if range.low_open { "exclusiveMinimum" } else { "minimum" };
        schema[key] = bound(range.low);
    }
    if range.high < f64::MAX {
        let key = if range.high_open { "exclusiveMaximum" } else { "maximum" };
        schema[key] = bound(range.high);
    }
    if range.zero { json!({ "anyOf": [{ "const": 0 }, schema] }) } else { schema }
}

fn in_range(value: f64, range: Range, span: Span, reader: &mut Reader) -> Option<()> {
    if range.contains(value) {
        return Some(());
    }
    let (owner, value) = (reader.name(), shown(value));
    let message = format!("{owner} must be {}, but is {value}", range.phrase());
    reader.error(codes::OUT_OF_RANGE, span, message);
    None
}

impl Term for f64 {
    fn shape(range: Range) -> Shape {
        Shape::Value(number_schema("number", range))
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        let value = match &node.value {
            Value::Int(value) => *value as f64,
            Value::Float(value) => *value,
            _ => {
                reader.expected(node, "a number");
                return None;
            }
        };
        in_range(value, range, node.span, reader)?;
        Some(value)
    }
}

fn read_int(node: &Node, range: Range, reader: &mut Reader) -> Option<i128> {
    match node.value {
        Value::Int(value) => {
            in_range(value as f64, range, node.span, reader)?;
            Some(value)
        }
        Value::Float(value) => {
            let diagnostic = reader.expected(node, "a whole number");
            if value.fract() == 0.0 && value.abs() < 1e15 {
                diagnostic.help(format!("write it as {value}"));
            }
            None
        }
        _ => {
            reader.expected(node, "a whole number");
            None
        }
    }
}

macro_rules! whole_number {
    ($($ty:ty),+) => {$(
        impl Term for $ty {
            fn shape(range: Range) -> Shape {
                let range = if range == Range::ANY { Range::from(0.0) } else { range };
                Shape::Value(number_schema("integer", range))
            }

            fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
                let value = read_int(node, range, reader)?;
                if let Ok(value) = <$ty>::try_from(value) {
                    return Some(value);
                }
                let message = format!(
                    "{} must be from 0 to {}, but is {value}", reader.name(), <$ty>::MAX);
                reader.error(codes::OUT_OF_RANGE, node.span, message);
                None
            }
        }
    )+};
}
whole_number!(u32, u64, usize);

impl Term for bool {
    fn shape(_: Range) -> Shape {
        Shape::Value(json!({ "type": "boolean" }))
    }

    fn read(node: &Node, _: Range, reader: &mut Reader) -> Option<Self> {
        if let Value::Bool(value) = node.value {
            return Some(value);
        }
        let diagnostic = reader.expected(node, "true or false");
        if let Some("yes" | "Yes" | "on" | "On" | "no" | "No" | "off" | "Off") = node.text() {
            diagnostic.help("YAML 1.2 has only true and false");
        }
        None
    }
}

impl Term for String {
    fn shape(_: Range) -> Shape {
        Shape::Value(json!({ "type": "string" }))
    }

    fn read(node: &Node, _: Range, reader: &mut Reader) -> Option<Self> {
        if let Some(text) = node.text() {
            return Some(text.to_owned());
        }
        let scalar = matches!(node.value, Value::Bool(_) | Value::Int(_) | Value::Float(_));
        let diagnostic = reader.expected(node, "text");
        if scalar {
            diagnostic.help("put it in quotes if it is meant as text");
        }
        None
    }
}

/// A name or an id: letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub String);

impl Name {
    fn is_well_formed(text: &str) -> bool {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.len() <= LONGEST_NAME
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    }
}

pub(crate) fn check_name(text: &str, span: Span, reader: &mut Reader) -> bool {
    if Name::is_well_formed(text) {
        return true;
    }
    let message = format!("{} is not a name", quoted(text));
    let help = "a name has letters, digits, `-` and `_`, and starts with a letter or digit";
    reader.error(codes::BAD_NAME, span, message).help(help);
    false
}

impl Term for Name {
    fn shape(_: Range) -> Shape {
        Shape::Value(json!({ "type": "string", "pattern": NAME_PATTERN, "title": "a name" }))
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        let text = String::read(node, range, reader)?;
        check_name(&text, node.span, reader).then_some(Name(text))
    }
}

/// Any value, as JSON text for a plugin.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Free(pub Json);

impl Term for Free {
    fn shape(_: Range) -> Shape {
        Shape::Free
    }

    fn read(node: &Node, _: Range, reader: &mut Reader) -> Option<Self> {
        let json = node.to_json();
        if json.is_none() {
            let message = format!("{} holds a number that JSON does not have", reader.name());
            reader.error(codes::OUT_OF_RANGE, node.span, message);
        }
        json.map(Free)
    }
}

/// A number of bytes: `1048576` or `1MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bytes(pub u64);

impl Term for Bytes {
    fn shape(range: Range) -> Shape {
        let whole =
            number_schema("integer", if range == Range::ANY { Range::from(0.0) } else { range });
        Shape::Value(
            json!({ "title": "a number of bytes, or text with a unit as `256MiB`", "anyOf": [
            whole,
            { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)? ?(B|KiB|MiB|GiB|kB|KB|MB|GB)$" },
        ] }),
        )
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        let bytes = match &node.value {
            Value::Int(_) => u64::read(node, range, reader)?,
            Value::Text(text) => match units::bytes(text) {
                Some(bytes) => bytes,
                None => {
                    let message = format!("{} is not a size in bytes", quoted(text));
                    let help = "write a whole number, or one with a unit: 64KiB, 256MiB, 1GiB";
                    reader.error(codes::BAD_NAME, node.span, message).help(help);
                    return None;
                }
            },
            _ => {
                reader.expected(node, "a size in bytes such as 256MiB");
                return None;
            }
        };
        in_range(bytes as f64, range, node.span, reader)?;
        Some(Bytes(bytes))
    }
}

/// A low and a high whole number, `[low, high]`; one number stands for both where `one` is allowed.
fn read_pair(node: &Node, range: Range, one: bool, reader: &mut Reader) -> Option<(u32, u32)> {
    let what = if one { "a whole number or [low, high]" } else { "[low, high]" };
    match &node.value {
        Value::Int(_) if one => {
            let value = u32::read(node, range, reader)?;
            Some((value, value))
        }
        Value::List(items) if items.len() == 2 => {
            let low = u32::read(&items[0], range, reader);
            let high = u32::read(&items[1], range, reader);
            let (low, high) = (low?, high?);
            if low <= high {
                return Some((low, high));
            }
            let message = format!("{} ends at {high}, before it begins at {low}", reader.name());
            reader.error(codes::COUNTS, node.span, message).help("write the smaller number first");
            None
        }
        _ => {
            reader.expected(node, what);
            None
        }
    }
}

fn pair_schema(range: Range) -> Json {
    let item = number_schema("integer", range);
    json!({ "type": "array", "items": item, "minItems": 2, "maxItems": 2 })
}

/// The numbers from the first to the second: `[1, 20]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(pub u32, pub u32);

impl Term for Interval {
    fn shape(range: Range) -> Shape {
        Shape::Value(pair_schema(range))
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        read_pair(node, range, false, reader).map(|(low, high)| Interval(low, high))
    }
}

/// A count or a range of counts: `3` or `[3, 4]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts(pub u32, pub u32);

impl Term for Counts {
    fn shape(range: Range) -> Shape {
        let one = number_schema("integer", range);
        Shape::Value(json!({ "anyOf": [one, pair_schema(range)] }))
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        read_pair(node, range, true, reader).map(|(low, high)| Counts(low, high))
    }
}

/// Operations of Countdown, a subset of `+-*/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Operations(pub String);

impl Term for Operations {
    fn shape(_: Range) -> Shape {
        Shape::Value(json!({
            "type": "string", "pattern": "^[-+*/]{1,4}$", "title": "text of some of `+ - * /`",
        }))
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        let text = String::read(node, range, reader)?;
        let once = text.char_indices().all(|(at, c)| !text[..at].contains(c));
        if !text.is_empty() && once && text.chars().all(|c| "+-*/".contains(c)) {
            return Some(Operations(text));
        }
        let message = format!("{} is not a set of operations", quoted(&text));
        let help = "write some of + - * / once each, for example \"+-*/\"";
        reader.error(codes::BAD_NAME, node.span, message).help(help);
        None
    }
}

/// Problems of a data set: `countdown.train`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataName {
    /// Data set id.
    pub data: String,
    /// Its split.
    pub split: Split,
}

impl Term for DataName {
    fn shape(_: Range) -> Shape {
        Shape::Value(json!({
            "type": "string",
            "pattern": "\\.(train|heldout)$",
            "title": "`<data id>.train` or `<data id>.heldout`",
        }))
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        let text = String::read(node, range, reader)?;
        let (data, split) = text.rsplit_once('.').unwrap_or((&text, ""));
        let splits = [Split::Train, Split::Heldout];
        if let Some(split) = splits.into_iter().find(|known| known.as_str() == split) {
            return Some(DataName { data: data.to_owned(), split });
        }
        let message = format!("{} names no split of a data set", quoted(&text));
        let near = nearest(split, splits.map(Split::as_str)).unwrap_or(Split::Train.as_str());
        let diagnostic = reader.error(codes::UNKNOWN_NAME, node.span, message);
        diagnostic.label(format!("did you mean `{data}.{near}`?"));
        diagnostic.help("write <data id>.train or <data id>.heldout");
        None
    }
}

/// A figure of an evaluation: `pass@8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PassAt(pub usize);

impl PassAt {
    fn parse(text: &str) -> Option<PassAt> {
        let k = text.strip_prefix("pass@")?.parse().ok()?;
        // One spelling per figure: `pass@01` and `pass@+1` are refused.
        (k > 0 && text == format!("pass@{k}")).then_some(PassAt(k))
    }
}

impl std::fmt::Display for PassAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pass@{}", self.0)
    }
}

fn not_a_figure(text: &str, span: Span, reader: &mut Reader) {
    let message = format!("{} is not a figure an eval reports", quoted(text));
    let help = "figures are pass@1, pass@8 and so on; the share of truncated completions and their \
                length are always reported";
    reader.error(codes::UNKNOWN_WORD, span, message).help(help);
}

impl Term for PassAt {
    fn shape(_: Range) -> Shape {
        Shape::Value(json!({
            "type": "string", "pattern": "^pass@[1-9][0-9]*$", "title": "a figure as `pass@8`",
        }))
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        let text = String::read(node, range, reader)?;
        let figure = PassAt::parse(&text);
        if figure.is_none() {
            not_a_figure(&text, node.span, reader);
        }
        figure
    }
}

/// A lowest acceptable value: `0.4` or `">= 0.4"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AtLeast(pub f64);

impl Term for AtLeast {
    fn shape(range: Range) -> Shape {
        let number = number_schema("number", range);
        Shape::Value(json!({ "title": "a lowest value, as `0.4` or `\">= 0.4\"`", "anyOf": [
            number, { "type": "string", "pattern": "^>= *[0-9.]+([eE][-+]?[0-9]+)?$" },
        ] }))
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        let Some(text) = node.text() else {
            return f64::read(node, range, reader).map(AtLeast);
        };
        match text.strip_prefix(">=").and_then(|bound| bound.trim().parse::<f64>().ok()) {
            Some(bound) => {
                in_range(bound, range, node.span, reader)?;
                Some(AtLeast(bound))
            }
            None => {
                let message = format!("{} is not a lowest acceptable value", quoted(text));
                let help = "write a number, or \">= 0.4\" in quotes";
                reader.error(codes::BAD_NAME, node.span, message).help(help);
                None
            }
        }
    }
}

/// Lowest acceptable values by figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gate(pub Vec<(At<PassAt>, f64)>);

impl Term for Gate {
    const LEAF: bool = false;

    fn shape(range: Range) -> Shape {
        Shape::Dict(Box::new(AtLeast::shape(range)))
    }

    fn read(node: &Node, range: Range, reader: &mut Reader) -> Option<Self> {
        let Some(entries) = node.entries() else {
            reader.expected(node, "a map from figures to their lowest value");
            return None;
        };
        let mut gate = Vec::new();
        for entry in entries.iter().filter(|entry| !entry.node.is_null()) {
            let Some(figure) = PassAt::parse(&entry.key) else {
                not_a_figure(&entry.key, entry.key_span, reader);
                continue;
            };
            let bound = reader.below(&entry.key, entry.key_span, |reader| {
                Some((
                    reader.at(figure, entry.key_span),
                    reader.value::<AtLeast>(&entry.node, range)?,
                ))
            });
            gate.extend(bound.map(|(figure, bound)| (figure, bound.0)));
        }
        Some(Gate(gate))
    }

    fn absent(_: Span, _: &mut Reader) -> Option<Self> {
        Some(Gate::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_one_spelling() {
        assert_eq!(PassAt::parse("pass@8"), Some(PassAt(8)));
        for text in ["pass@0", "pass@08", "pass@+8", "pass@", "pass", "maj@8"] {
            assert_eq!(PassAt::parse(text), None, "{text}");
        }
    }

    #[test]
    fn names_stand_in_paths_and_file_names() {
        assert!(Name::is_well_formed("rl-2_b"));
        for text in ["", "-rl", "a.b", "a/b", "ä", "a b", &"x".repeat(65)] {
            assert!(!Name::is_well_formed(text), "{text}");
        }
    }
}
