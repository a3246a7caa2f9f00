//! One line of a file as a JSON object: every key once, numbers as they were written.

use std::borrow::Cow;
use std::fmt;

use r1x_core::long_number::{marked, marked_digits, unmarked};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::{display, listed};

/// Who writes completions, in lists of messages.
pub(super) const ASSISTANT: &str = "assistant";

/// Why a line is no row, and how to mend it.
pub(super) struct Refusal {
    pub reason: String,
    pub hint: &'static str,
}

/// One row: its columns in the order they are written.
pub(super) struct Row {
    pub columns: Map<String, Value>,
    /// Whether long numbers in it are marked texts.
    marked: bool,
}

impl Row {
    /// A row whose numbers are as JSON has them.
    pub(super) fn new(columns: Map<String, Value>) -> Self {
        Self { columns, marked: false }
    }

    /// Whether long numbers in the row are marked texts.
    pub(super) fn is_marked(&self) -> bool {
        self.marked
    }

    /// A value of the row as JSON text, long numbers as they were written.
    pub(super) fn json(&self, value: &Value) -> String {
        let text = value.to_string();
        if self.marked { unmarked(&text).into_owned() } else { text }
    }

    /// A value of the row with long numbers as texts of their digits, which a template can write.
    pub(super) fn readable<'v>(&self, value: &'v Value) -> Cow<'v, Value> {
        if !self.marked {
            return Cow::Borrowed(value);
        }
        let mut value = value.clone();
        unmark(&mut value);
        Cow::Owned(value)
    }
}

/// Reads one line.
pub(super) fn read(bytes: &[u8]) -> Result<Row, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|error| Refusal {
        reason: format!("not UTF-8 from byte {} of the line on", error.valid_up_to() + 1),
        hint: "save the file as UTF-8 text; a compressed file has to be unpacked",
    })?;
    let text = marked(text);
    let Strict(value) = serde_json::from_str(&text).map_err(|error| {
        // serde_json counts lines inside the text it was given, which is always one line here.
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
        if error.is_data() {
            return Refusal { reason: display(message), hint: "write each key of an object once" };
        }
        let hint = if error.is_eof() {
            "write each row on one line of its own: an object may not go on in the next line"
        } else if is_no_number(&text, error.column()) {
            "JSON has no NaN and no Infinity: write null, or leave the row out"
        } else {
            "write one JSON object on each line"
        };
        let reason = format!("not JSON: {} (column {})", display(message), error.column());
        Refusal { reason, hint }
    })?;
    match value {
        Value::Object(columns) => Ok(Row { columns, marked: matches!(text, Cow::Owned(_)) }),
        Value::Array(_) => Err(Refusal {
            reason: "a row is an object, but this is a list".to_owned(),
            hint: "write one JSON object on each line, without brackets or commas around them",
        }),
        other => Err(Refusal {
            reason: format!("a row is an object, but this is {}", kind(&other)),
            hint: "write one JSON object on each line",
        }),
    }
}

/// Who wrote a message of a conversation, and what; `None` where the value is no message.
pub(super) fn message(value: &Value) -> Option<(&str, &str)> {
    Some((value.get("role")?.as_str()?, value.get("content")?.as_str()?))
}

/// What a value is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Whether the mistake at this column is one of the words for numbers that JSON does not have.
fn is_no_number(text: &str, column: usize) -> bool {
    let near = |back: usize| text.get(column.saturating_sub(back)..).unwrap_or_default();
    (1..=3).any(|back| ["NaN", "Infinity"].iter().any(|word| near(back).starts_with(word)))
}

fn unmark(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(digits) = marked_digits(text) {
                *text = digits.to_owned();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(unmark),
        Value::Object(entries) => entries.values_mut().for_each(unmark),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A JSON value in whose objects no key is written twice: most readers would silently keep the last.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(value)) = entries.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(Error::custom(format!("the key {} is written twice", listed([&*key]))));
            }
            let Strict(value) = entries.next_value()?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Row {
        let row = read(format!("{{\"x\": {text}}}").as_bytes());
        row.map_err(|refusal| refusal.reason).unwrap()
    }

    fn json(text: &str) -> String {
        let row = row(text);
        row.json(&row.columns["x"])
    }

    fn readable(text: &str) -> Value {
        let row = row(text);
        row.readable(&row.columns["x"]).into_owned()
    }

    #[test]
    fn numbers_keep_the_digits_they_are_written_with() {
        for exact in [
            "0",
            "-7",
            "9223372036854775807",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775809",
            "123456789012345678901234567890",
            "[1,123456789012345678901234567890]",
            "{\"a\":3.14159265358979323846}",
            "0.30000000000000004",
            "1e999",
            "3.5",
            "\"123456789012345678901234567890\"",
        ] {
            assert_eq!(json(exact), exact);
        }
        let value = readable("[12345678901234567890123, 5]");
        assert_eq!(value, serde_json::json!(["12345678901234567890123", 5]));
    }

    #[test]
    fn digits_inside_texts_are_no_numbers() {
        let text = r#""a \" 123456789012345678901234567890 \\""#;
        assert_eq!(readable(text), Value::from("a \" 123456789012345678901234567890 \\"));
        // A text that looks like a mark stays a text.
        let text = r#"["\u0000n:5", 123456789012345678901234567890]"#;
        assert_eq!(readable(text)[0], Value::from("\0n:5"));
        assert_eq!(json("\"\\u0000n:5\""), "\"\\u0000n:5\"");
    }

    #[test]
    fn keys_are_written_once() {
        let reason = |text: &str| read(text.as_bytes()).err().map(|refusal| refusal.reason);
        let twice = Some("the key `a` is written twice".to_owned());
        assert_eq!(reason(r#"{"a": 1, "b": 2, "a": 1}"#), twice);
        assert_eq!(reason(r#"{"b": [{"a": 1, "a": 2}]}"#), twice);
        assert_eq!(reason(r#"{"a": {"a": 1}, "b": {"a": 2}}"#), None);
    }

    #[test]
    fn hints_know_the_usual_slips() {
        let hint = |text: &str| read(text.as_bytes()).err().map(|refusal| refusal.hint).unwrap();
        assert!(hint(r#"{"a": NaN}"#).contains("write null"));
        assert!(hint(r#"{"a": -Infinity}"#).contains("write null"));
        assert!(hint("{").contains("one line of its own"));
        assert!(hint(r#"[{"a": 1}]"#).contains("without brackets"));
        assert!(hint("{a: 1}").contains("one JSON object"));
    }
}
