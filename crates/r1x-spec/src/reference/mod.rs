//! The reference of the format, `docs/spec.md`, written from the declarations that the reader follows.

mod examples;
mod takes;

use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::read::Term;
use crate::schema_tree::{FieldShape, Need, Range, RecordShape, Shape};
use crate::spec::RunSpec;

pub use examples::{Example, examples};

const INTRODUCTION: &str = "# The spec, key by key

A spec is a YAML file that says all there is to say about an experiment. This page has every key with what it takes, what holds when it is left out, what it means, and an example. It is written from the declarations in `crates/r1x-spec/src/spec.rs`, which are also what the reader follows and what `r1x schema` hands to editors, so the three cannot disagree.

- A path such as `stages.ID.grpo.lr` is what `--set stages.ID.grpo.lr=1e-4` takes. `ID` stands for an id of yours: letters, digits, `-` and `_`.
- **Required** keys must be written; a spec with `extends` may inherit them. `null` stands for a key that is not written.
- Unknown keys, wrong types and values outside their range are refused, all at once, with their line and column. `r1x plan SPEC` shows every value and where it came from.
- A path of a file is relative to the spec that names it.
- Every example is a piece of a spec that begins with `extends: countdown.yaml`, beside which it is tried in the tests.

";

/// One map of keys, with the paths it stands under.
pub struct Section {
    /// The path of the map; `ID` stands for an id, and the top has the empty path.
    pub path: String,
    /// Other paths of maps with the same keys.
    pub others: Vec<String>,
    /// What it is.
    pub about: &'static str,
    /// The keys that hold a value, not a map of keys.
    pub values: Vec<&'static str>,
    record: RecordShape,
}

/// Every map of keys, in the order of the format.
pub fn sections() -> Vec<Section> {
    let mut sections = Vec::new();
    collect(&RunSpec::shape(Range::ANY), String::new(), &mut sections);
    sections
}

fn collect(shape: &Shape, path: String, sections: &mut Vec<Section>) {
    let record = match shape {
        Shape::Value(_) | Shape::Free => return,
        Shape::Dict(of) => return collect(of, join(&path, "ID"), sections),
        Shape::IdList(record) => return add(record, join(&path, "ID"), sections),
        Shape::Record(record) => record,
    };
    add(record, path, sections);
}

fn add(record: &RecordShape, path: String, sections: &mut Vec<Section>) {
    if let Some(known) = sections.iter_mut().find(|section| section.record == *record) {
        known.others.push(path);
        return;
    }
    let holds_value = |field: &&FieldShape| inner(&field.shape).is_none();
    sections.push(Section {
        path: path.clone(),
        others: Vec::new(),
        about: record.doc,
        values: record.fields.iter().filter(holds_value).map(|field| field.key).collect(),
        record: record.clone(),
    });
    for field in &record.fields {
        collect(&field.shape, join(&path, field.key), sections);
    }
}

/// The record that a shape leads to, and the path down to it.
fn inner(shape: &Shape) -> Option<(&'static str, &RecordShape)> {
    match shape {
        Shape::Value(_) | Shape::Free => None,
        Shape::Dict(of) => inner(of).map(|(_, record)| (".ID", record)),
        Shape::IdList(record) => Some((".ID", record)),
        Shape::Record(record) => Some(("", record)),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The page as Markdown.
pub fn reference() -> String {
    let sections = sections();
    let mut page = INTRODUCTION.to_owned();
    for section in &sections {
        let _ = writeln!(page, "{}", heading(section));
        page.push_str(&opening(section));
        page.push_str("| key | takes | left out | meaning |\n| --- | --- | --- | --- |\n");
        for field in &section.record.fields {
            page.push_str(&row(field, section, &sections));
        }
        page.push('\n');
        for example in examples().filter(|example| example.path == section.path) {
            let _ = writeln!(page, "```yaml\n{}\n```\n", example.text.trim());
        }
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn title(section: &Section) -> String {
    if section.path.is_empty() { "The top".to_owned() } else { format!("`{}`", section.path) }
}

fn heading(section: &Section) -> String {
    format!("## {}\n", title(section))
}

/// Where a heading is found on the page, as sites that show Markdown make it.
fn anchor(section: &Section) -> String {
    let kept = title(section).to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn opening(section: &Section) -> String {
    let mut text = format!("{}\n\n", section.about);
    if !section.others.is_empty() {
        let others: Vec<String> = section.others.iter().map(|path| format!("`{path}`")).collect();
        let _ = writeln!(text, "The same keys stand under {}.\n", others.join(", "));
    }
    for choice in &section.record.choices {
        let keys: Vec<String> = choice.iter().map(|key| format!("`{key}`")).collect();
        let _ = writeln!(text, "Exactly one of {} is written.\n", takes::either(&keys));
    }
    text
}

fn row(field: &FieldShape, section: &Section, sections: &[Section]) -> String {
    let takes = match &field.shape {
        Shape::Value(schema) => takes::phrase(schema),
        Shape::Free => "a map of any keys".to_owned(),
        shape => map(shape, field.key, section, sections),
    };
    let cells = [format!("`{}`", field.key), takes, absent(field), meaning(field)];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    format!("| {} |\n", cells.join(" | "))
}

/// What a key with a map in it takes: a link to the keys of that map.
fn map(shape: &Shape, key: &str, section: &Section, sections: &[Section]) -> String {
    let Some((below, record)) = inner(shape) else {
        let Shape::Dict(of) = shape else { return String::new() };
        let Shape::Value(schema) = &**of else { return "a map".to_owned() };
        return format!("a map from names to {}", takes::phrase(schema));
    };
    let path = format!("{}{below}", join(&section.path, key));
    let target = sections.iter().find(|section| section.record == *record);
    let link = target.map_or_else(String::new, anchor);
    let what = match shape {
        Shape::IdList(_) => "a list of maps with an `id`",
        Shape::Dict(_) => "a map from ids to maps",
        _ => "a map",
    };
    format!("{what}: [`{path}`](#{link})")
}

fn absent(field: &FieldShape) -> String {
    match &field.need {
        Need::Required => "**required**".to_owned(),
        Need::Choice => "another one is written".to_owned(),
        Need::Default(default) => format!("`{}`", takes::shown(default)),
        Need::Optional if field.doc.contains("Left out") => "see the meaning".to_owned(),
        Need::Optional if matches!(field.shape, Shape::Record(_)) => {
            "the defaults of its keys".to_owned()
        }
        Need::Optional => "none".to_owned(),
    }
}

fn meaning(field: &FieldShape) -> String {
    let words = match &field.shape {
        Shape::Value(schema) if schema.get("enum").is_some() => {
            schema.get("description").and_then(Json::as_str)
        }
        Shape::Value(schema) => schema.pointer("/items/description").and_then(Json::as_str),
        _ => None,
    };
    match words {
        Some(words) => format!("{} {words}.", field.doc),
        None => field.doc.to_owned(),
    }
}
