//! One line of a file as a JSON object: every key once, numbers as they were written.
//!
//! Must not know columns or problems.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::{display, listed};

/// What marks a text that stands for a number too long for 64 bits. JSON texts cannot hold the raw character.
const MARK: &str = "\0n:";
/// How `serde_json` writes the mark, behind the opening quote.
const WRITTEN_MARK: &str = "\"\\u0000n:";
/// Numbers with at most this many digits survive 64 bits whatever they are.
const SAFE_DIGITS: usize = 15;

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
    /// A value of the row as JSON text, long numbers as they were written.
    pub(super) fn json(&self, value: &Value) -> String {
        let text = value.to_string();
        if self.marked { unmarked(&text) } else { text }
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
    let (text, marked) = marked(text);
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
        Value::Object(columns) => Ok(Row { columns, marked }),
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

fn unmarked(text: &str) -> String {
    let mut exact = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(WRITTEN_MARK) {
        let digits = &rest[at + WRITTEN_MARK.len()..];
        let end = digits.find('"').unwrap_or(digits.len());
        exact.push_str(&rest[..at]);
        exact.push_str(&digits[..end]);
        rest = digits.get(end + 1..).unwrap_or_default();
    }
    exact + rest
}

fn unmark(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(digits) = text.strip_prefix(MARK) {
                *text = digits.to_owned();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(unmark),
        Value::Object(entries) => entries.values_mut().for_each(unmark),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The text with every number that 64 bits would round as a marked text, so that its digits stay, and whether it
/// has any.
fn marked(text: &str) -> (Cow<'_, str>, bool) {
    // A text that already reads like a mark would be taken for one; the numbers beside it are rounded instead.
    if !has_long_number(text) || text.contains("\\u0000n:") {
        return (Cow::Borrowed(text), false);
    }
    let mut marked = String::with_capacity(text.len() + 16);
    for (token, is_number) in tokens(text) {
        if is_number && is_rounded(token) {
            marked.push_str(WRITTEN_MARK);
            marked.push_str(token);
            marked.push('"');
        } else {
            marked.push_str(token);
        }
    }
    (Cow::Owned(marked), true)
}

fn has_long_number(text: &str) -> bool {
    tokens(text).any(|(token, is_number)| is_number && is_rounded(token))
}

/// Whether a well-formed number loses digits in 64 bits.
fn is_rounded(token: &str) -> bool {
    let mantissa = token.split(['e', 'E']).next().unwrap_or(token);
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    if digits <= SAFE_DIGITS || token.parse::<i64>().is_ok() || token.parse::<u64>().is_ok() {
        return false;
    }
    // A fraction keeps what its shortest form says: 0.30000000000000004 has 17 digits and loses none.
    let Ok(parsed) = serde_json::from_str::<Number>(token) else { return false };
    let significant = |text: &str| {
        let mantissa = text.split(['e', 'E']).next().unwrap_or(text).replace(['.', '-', '+'], "");
        mantissa.trim_matches('0').to_owned()
    };
    significant(&parsed.to_string()) != significant(token)
}

/// The text cut into numbers and everything else, in order.
fn tokens(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = *rest.as_bytes().first()?;
        let part = |c: u8| c.is_ascii_digit() || matches!(c, b'-' | b'+' | b'.' | b'e' | b'E');
        let starts = |c: u8| c.is_ascii_digit() || c == b'-';
        let (length, is_number) = if starts(first) {
            (rest.bytes().take_while(|c| part(*c)).count(), true)
        } else if first == b'"' {
            (text_length(rest.as_bytes()), false)
        } else {
            (rest.bytes().take_while(|c| !starts(*c) && *c != b'"').count(), false)
        };
        let (token, behind) = rest.split_at(length);
        rest = behind;
        Some((token, is_number))
    })
}

/// Bytes of the JSON text that begins here, quotes included; all that is left where it does not end.
fn text_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
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
