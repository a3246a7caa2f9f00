//! The JSON Schema of specs, for editors.
//!
//! It is derived from the same declarations the reader follows.

use serde_json::{Map, Value as Json, json};

use crate::read::Term;
use crate::schema_tree::{FieldShape, Need, Range, RecordShape, Shape};
use crate::spec::RunSpec;

/// The JSON Schema (draft 2020-12) of a spec file.
///
/// A spec that extends another may leave out what it inherits, so keys are required only in specs without
/// `extends`.
pub fn schema() -> Json {
    let shape = RunSpec::shape(Range::ANY);
    let Json::Object(mut root) = structure(&shape) else {
        return Json::Bool(true);
    };
    let mut schema = Map::new();
    schema.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".into(), json!("r1x experiment"));
    schema.append(&mut root);
    if let Some(required) = requirements(&shape) {
        schema.insert("if".into(), json!({ "not": { "required": ["extends"] } }));
        schema.insert("then".into(), required);
    }
    Json::Object(schema)
}

/// Which keys there are and what they take, with nothing required.
fn structure(shape: &Shape) -> Json {
    match shape {
        Shape::Value(schema) => schema.clone(),
        Shape::Free => json!({}),
        Shape::Dict(of) => {
            json!({ "type": "object", "additionalProperties": nullable(structure(of)) })
        }
        Shape::IdList(record) => {
            let mut item = record_structure(record);
            item["properties"]["drop"] = json!({
                "const": true,
                "description": "Drops the inherited entry with this id.",
            });
            item["required"] = json!(["id"]);
            json!({ "type": "array", "items": item })
        }
        Shape::Record(record) => record_structure(record),
    }
}

fn record_structure(record: &RecordShape) -> Json {
    let mut properties = Map::new();
    for field in &record.fields {
        properties.insert(field.key.to_owned(), property(field));
    }
    json!({
        "type": "object",
        "description": record.doc,
        "properties": properties,
        "additionalProperties": false,
    })
}

fn property(field: &FieldShape) -> Json {
    let mut schema = structure(&field.shape);
    let about = match schema.get("description").and_then(Json::as_str) {
        // The words of a choice are explained by its type.
        Some(words) if schema.get("enum").is_some() => format!("{} {words}.", field.doc),
        _ => field.doc.to_owned(),
    };
    schema["description"] = json!(about);
    if let Need::Default(default) = &field.need {
        schema["default"] = default.clone();
    }
    if field.key == "id" { schema } else { nullable(schema) }
}

/// Also accepts `null`, which means "as if it were not written".
fn nullable(mut schema: Json) -> Json {
    if let Some(kind) = schema.get("type").cloned() {
        if kind.is_string() {
            schema["type"] = json!([kind, "null"]);
        }
    } else if let Some(Json::Array(words)) = schema.get_mut("enum") {
        words.push(Json::Null);
    } else if let Some(Json::Array(alternatives)) = schema.get_mut("anyOf") {
        alternatives.push(json!({ "type": "null" }));
    }
    schema
}

/// Which keys must be there; `None` when none must.
fn requirements(shape: &Shape) -> Option<Json> {
    match shape {
        Shape::Value(_) | Shape::Free => None,
        Shape::Dict(of) => Some(json!({ "additionalProperties": requirements(of)? })),
        Shape::IdList(record) => {
            let mut item = record_requirements(record)?;
            item["properties"]["drop"] = json!(false);
            Some(json!({ "items": item }))
        }
        Shape::Record(record) => record_requirements(record),
    }
}

fn record_requirements(record: &RecordShape) -> Option<Json> {
    let required: Vec<&str> = record
        .fields
        .iter()
        .filter(|field| field.need == Need::Required)
        .map(|field| field.key)
        .collect();
    let mut properties = Map::new();
    for field in &record.fields {
        if let Some(inner) = requirements(&field.shape) {
            properties.insert(field.key.to_owned(), inner);
        }
    }
    let mut schema = Map::new();
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    if !properties.is_empty() {
        schema.insert("properties".into(), Json::Object(properties));
    }
    let choices: Vec<Json> = record
        .choices
        .iter()
        .map(|keys| {
            let one = |key: &&str| json!({ "required": [key] });
            json!({ "oneOf": keys.iter().map(one).collect::<Vec<_>>() })
        })
        .collect();
    if !choices.is_empty() {
        schema.insert("allOf".into(), Json::Array(choices));
    }
    (!schema.is_empty()).then_some(Json::Object(schema))
}
