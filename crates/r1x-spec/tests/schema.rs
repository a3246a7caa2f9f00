//! The JSON Schema against the shipped experiments and against specs that are wrong.
//!
//! Must not use the reader: a small validator of its own follows the schema alone.

mod common;

use common::{EXPERIMENTS, experiment};
use r1x_spec::schema;
use serde_json::{Value as Json, json};

/// Whether a value satisfies a schema, for the keywords the schema uses.
fn valid(schema: &Json, value: &Json) -> bool {
    let Some(schema) = schema.as_object() else {
        return schema != &json!(false);
    };
    if let Some(condition) = schema.get("if")
        && valid(condition, value)
        && !valid(&schema["then"], value)
    {
        return false;
    }
    schema.iter().all(|(keyword, rule)| keyword_holds(keyword, rule, schema, value))
}

fn keyword_holds(
    keyword: &str,
    rule: &Json,
    schema: &serde_json::Map<String, Json>,
    value: &Json,
) -> bool {
    let all = |rules: &Json| rules.as_array().expect("a list").clone();
    match keyword {
        "$schema" | "title" | "description" | "default" | "if" | "then" => true,
        "type" => match rule {
            Json::Array(kinds) => kinds.iter().any(|kind| has_type(kind, value)),
            kind => has_type(kind, value),
        },
        "enum" => all(rule).contains(value),
        "const" => rule == value,
        "not" => !valid(rule, value),
        "allOf" => all(rule).iter().all(|rule| valid(rule, value)),
        "anyOf" => all(rule).iter().any(|rule| valid(rule, value)),
        "oneOf" => all(rule).iter().filter(|rule| valid(rule, value)).count() == 1,
        "minimum" => value.as_f64().is_none_or(|v| v >= rule.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|v| v <= rule.as_f64().unwrap()),
        "exclusiveMinimum" => value.as_f64().is_none_or(|v| v > rule.as_f64().unwrap()),
        "exclusiveMaximum" => value.as_f64().is_none_or(|v| v < rule.as_f64().unwrap()),
        "minItems" => value.as_array().is_none_or(|v| v.len() as u64 >= rule.as_u64().unwrap()),
        "maxItems" => value.as_array().is_none_or(|v| v.len() as u64 <= rule.as_u64().unwrap()),
        // The patterns are for editors; their texts are tested where they are read.
        "pattern" => rule.is_string(),
        "required" => value
            .as_object()
            .is_none_or(|map| all(rule).iter().all(|key| map.contains_key(key.as_str().unwrap()))),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| valid(rule, item))),
        "properties" => value.as_object().is_none_or(|map| {
            map.iter().all(|(key, value)| rule.get(key).is_none_or(|rule| valid(rule, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|map| {
            let named = |key: &str| schema.get("properties").is_some_and(|p| p.get(key).is_some());
            map.iter().all(|(key, value)| named(key) || valid(rule, value))
        }),
        other => panic!("the validator does not know `{other}`"),
    }
}

fn has_type(kind: &Json, value: &Json) -> bool {
    match kind.as_str().expect("a type") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("unknown type {other}"),
    }
}

fn yaml(text: &str) -> Json {
    serde_yaml::from_str(text).expect("YAML")
}

#[test]
fn the_schema_accepts_the_shipped_experiments() {
    let schema = schema();
    for name in EXPERIMENTS {
        assert!(valid(&schema, &yaml(&experiment(name))), "{name}");
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let schema = schema();
    let text = experiment("countdown");
    for (from, to) in [
        ("group_size", "group_szie"),
        ("steps: 600", "steps: many"),
        ("      steps: 600\n", ""),
        ("kind: cosine", "kind: cosinus"),
        ("lr: 3e-4", "lr: 0"),
        ("name: countdown\n", ""),
        ("    grpo:", "    evaluate: {evals: [heldout]}\n    grpo:"),
        ("text: true", "text: yes please"),
        ("target: [1, 50]", "target: [1, 10, 50]"),
        ("  - id: rl\n", "  - id: rl\n    drop: true\n"),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(!valid(&schema, &yaml(&text.replacen(from, to, 1))), "{to}");
    }
}

#[test]
fn specs_that_extend_may_leave_things_out() {
    let schema = schema();
    let partial = "extends: countdown.yaml\nstages: [{id: rl, grpo: {lr: 1e-4, limit: null}}]\n";
    assert!(valid(&schema, &yaml(partial)));
    assert!(valid(&schema, &yaml("extends: a.yaml\nstages: [{id: rl, drop: true}]\n")));
    assert!(!valid(&schema, &yaml("extends: a.yaml\nstages: [{drop: true}]\n")));
    assert!(!valid(&schema, &yaml("stages: [{id: rl, grpo: {lr: 1e-4}}]\n")));
}

#[test]
fn keys_have_docs_and_defaults() {
    let schema = schema();
    let grpo = &schema["properties"]["stages"]["items"]["properties"]["grpo"]["properties"];
    assert_eq!(grpo["epochs"]["default"], json!(1));
    assert_eq!(grpo["aggregation"]["default"], json!("token_mean"));
    let memory = &schema["properties"]["rewards"]["additionalProperties"]["properties"]["limits"];
    assert_eq!(memory["properties"]["memory_bytes"]["default"], json!(268_435_456));
    let mut undocumented = Vec::new();
    walk(&schema["properties"], &mut undocumented);
    assert_eq!(undocumented, Vec::<String>::new());
}

fn walk(properties: &Json, undocumented: &mut Vec<String>) {
    for (key, schema) in properties.as_object().expect("properties") {
        if schema["description"].as_str().is_none_or(|text| text.len() < 4) {
            undocumented.push(key.clone());
        }
        let inner = [schema, &schema["items"], &schema["additionalProperties"]];
        for schema in inner.into_iter().filter(|schema| schema["properties"].is_object()) {
            walk(&schema["properties"], undocumented);
        }
    }
}
