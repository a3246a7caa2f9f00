//! The tree a YAML text becomes: values with the place of every key and value.

use serde_json::{Map, Number, Value as Json};

use crate::source::Span;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub value: Value,
    pub span: Span,
}

/// A YAML value by the core schema of YAML 1.2.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub node: Node,
}

impl Node {
    /// "a number", "a list", ... for messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a truth value",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number with a fraction",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of a key, when this is a map that has it and it is not null.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let entry = self.entries()?.iter().find(|entry| entry.key == key)?;
        (!entry.node.is_null()).then_some(&entry.node)
    }

    /// This value as JSON. `None` for numbers JSON does not have.
    pub fn to_json(&self) -> Option<Json> {
        Some(match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => match (u64::try_from(*value), i64::try_from(*value)) {
                (Ok(value), _) => Json::from(value),
                (_, Ok(value)) => Json::from(value),
                _ => Json::Number(Number::from_f64(*value as f64)?),
            },
            Value::Float(value) => Json::Number(Number::from_f64(*value)?),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => {
                Json::Array(items.iter().map(Node::to_json).collect::<Option<_>>()?)
            }
            Value::Map(entries) => {
                let mut map = Map::new();
                for entry in entries {
                    map.insert(entry.key.clone(), entry.node.to_json()?);
                }
                Json::Object(map)
            }
        })
    }
}

/// What an unquoted scalar means in the core schema of YAML 1.2 (section 10.3.2).
pub(crate) fn plain_scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
        return Value::Float(sign * f64::INFINITY);
    }
    let based = [("0x", 16), ("0o", 8)].into_iter().find_map(|(prefix, radix)| {
        let digits = text.strip_prefix(prefix)?;
        digits
            .chars()
            .all(|c| c.is_digit(radix))
            .then(|| i128::from_str_radix(digits, radix).ok())?
    });
    if let Some(value) = based {
        return Value::Int(value);
    }
    // The look of a number is checked first: Rust also parses "inf", "nan" and "infinity".
    let numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c))
        && unsigned.contains(|c: char| c.is_ascii_digit());
    if !numeric {
        return Value::Text(text.to_owned());
    }
    if let Ok(value) = text.parse::<i128>() {
        return Value::Int(value);
    }
    text.parse::<f64>().map_or_else(|_| Value::Text(text.to_owned()), Value::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_follow_yaml_1_2() {
        assert_eq!(plain_scalar("5e-7"), Value::Float(5e-7));
        assert_eq!(plain_scalar("1."), Value::Float(1.0));
        assert_eq!(plain_scalar(".5"), Value::Float(0.5));
        assert_eq!(plain_scalar("-12"), Value::Int(-12));
        assert_eq!(plain_scalar("0x1F"), Value::Int(31));
        assert_eq!(plain_scalar("0o17"), Value::Int(15));
        assert_eq!(plain_scalar("-.inf"), Value::Float(f64::NEG_INFINITY));
        for text in ["no", "yes", "inf", "nan", "1_000", "1e", "0x", "1-2", ".", "+-*/", "10:30"] {
            assert_eq!(plain_scalar(text), Value::Text(text.to_owned()));
        }
    }

    #[test]
    fn plain_scalars_agree_with_serde_yaml() {
        for text in ["1", "-7", "1.5", "1e-6", "5E+3", "true", "null", "~", "abc", "0x10", "no"] {
            let theirs: Json = serde_yaml::from_str(text).expect("a scalar");
            let node = Node { value: plain_scalar(text), span: Span::default() };
            assert_eq!(node.to_json(), Some(theirs), "{text}");
        }
    }
}
