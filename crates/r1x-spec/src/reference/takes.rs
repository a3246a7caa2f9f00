//! What a key takes, in words, from the JSON Schema of its values.

use serde_json::Value as Json;

/// What values satisfy a schema.
pub(super) fn phrase(schema: &Json) -> String {
    if let Some(title) = schema["title"].as_str() {
        let bounded = schema.pointer("/anyOf/0").unwrap_or(schema);
        return format!("{title}{}", bounds(bounded));
    }
    if let Some(Json::Array(words)) = schema.get("enum") {
        let words: Vec<String> = words.iter().map(|word| format!("`{}`", shown(word))).collect();
        return either(&words);
    }
    if let Some(Json::Array(alternatives)) = schema.get("anyOf") {
        let phrases: Vec<String> = alternatives.iter().map(phrase).collect();
        return phrases.join(", or ");
    }
    if let Some(constant) = schema.get("const") {
        return shown(constant);
    }
    match schema["type"].as_str().unwrap_or_default() {
        "integer" => format!("a whole number{}", bounds(schema)),
        "number" => format!("a number{}", bounds(schema)),
        "boolean" => "`true` or `false`".to_owned(),
        "string" => "text".to_owned(),
        "array" => list(schema),
        "object" => object(schema),
        _ => "anything".to_owned(),
    }
}

fn list(schema: &Json) -> String {
    let items = phrase(&schema["items"]);
    let (least, most) = (schema["minItems"].as_u64(), schema["maxItems"].as_u64());
    if least == Some(2) && most == Some(2) {
        return format!("two in brackets, each {items}");
    }
    format!("a list, each {items}")
}

fn object(schema: &Json) -> String {
    let keys = schema["properties"].as_object().into_iter().flatten();
    let keys: Vec<String> = keys.map(|(key, of)| format!("`{key}`: {}", phrase(of))).collect();
    match (keys.is_empty(), schema["additionalProperties"].is_object()) {
        (true, true) => format!("a map, each {}", phrase(&schema["additionalProperties"])),
        _ => format!("a map of {}", keys.join(" and ")),
    }
}

/// ", at least 0 and below 1".
fn bounds(schema: &Json) -> String {
    let word =
        |key: &str, word: &str| schema.get(key).map(|bound| format!("{word} {}", grouped(bound)));
    let low = word("minimum", "at least").or_else(|| word("exclusiveMinimum", "above"));
    let high = word("maximum", "at most").or_else(|| word("exclusiveMaximum", "below"));
    match (low, high) {
        (None, None) => String::new(),
        (Some(one), None) | (None, Some(one)) => format!(", {one}"),
        (Some(_), Some(_))
            if schema["minimum"] == schema["maximum"] && !schema["minimum"].is_null() =>
        {
            format!(", {}", shown(&schema["minimum"]))
        }
        (Some(low), Some(high)) => format!(", {low} and {high}"),
    }
}

/// A number with blanks between thousands: `1 048 576`.
fn grouped(number: &Json) -> String {
    let Some(whole) = number.as_i64().filter(|whole| *whole >= 10_000) else {
        return shown(number);
    };
    let digits = whole.to_string();
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for (at, digit) in digits[first..].chars().enumerate() {
        if at % 3 == 0 && !text.is_empty() {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A value as YAML writes it in one line.
pub(super) fn shown(value: &Json) -> String {
    match value {
        Json::String(text) if text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
            text.clone()
        }
        Json::Number(number) => {
            let text = number.to_string();
            text.strip_suffix(".0").unwrap_or(&text).to_owned()
        }
        other => other.to_string(),
    }
}

/// "a", "a or b", "a, b or c".
pub(super) fn either(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [many @ .., last] => format!("{} or {last}", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_are_told_in_words() {
        for (schema, expected) in [
            (
                json!({"type": "integer", "minimum": 1, "maximum": 1_048_576}),
                "a whole number, at least 1 and at most 1 048 576",
            ),
            (json!({"type": "number", "exclusiveMinimum": 0}), "a number, above 0"),
            (json!({"enum": ["mask", "zero", "fail"]}), "`mask`, `zero` or `fail`"),
            (json!({"type": "array", "items": {"type": "string"}}), "a list, each text"),
            (
                json!({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
                "two in brackets, each a number",
            ),
            (
                json!({"anyOf": [{"type": "boolean"}, {"type": "string"}]}),
                "`true` or `false`, or text",
            ),
            (json!({"type": "string", "title": "a name"}), "a name"),
        ] {
            assert_eq!(phrase(&schema), expected);
        }
        assert_eq!(shown(&json!(10_000.0)), "10000");
        assert_eq!(shown(&json!("+-*/")), "\"+-*/\"");
    }
}
