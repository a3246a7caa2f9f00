//! The page `docs/spec.md`: it is what the declarations say, it leaves nothing out, and its examples hold.
//!
//! `R1X_BLESS=1` writes the page anew.

mod common;

use std::path::Path;

use common::{World, render};
use r1x_spec::reference::{examples, reference, sections};
use r1x_spec::schema;
use serde_json::Value as Json;

/// The shipped experiments with the files that the examples name.
fn world() -> World {
    World::new()
        .with("experiments/sums.jsonl", "{\"question\": \"1 + 1\", \"answer\": \"2\"}\n")
        .with("experiments/chat_template.jinja", "{{ messages }}")
        .with(
            "experiments/pairs",
            "{\"prompt\": \"hello\", \"chosen\": \"a\", \"rejected\": \"b\"}\n",
        )
        .with("experiments/gsm8k/main", "{\"question\": \"1 + 1\", \"answer\": \"#### 2\"}\n")
        .with("experiments/tokenizer.json", "a tokenizer with <|im_end|> and <|endoftext|>")
        .with("experiments/../runs/critic-calm-otter/sft/final/model.safetensors", "weights")
        .with("experiments/../runs/countdown-calm-otter/cold-start/final/state.json", "3")
}

/// An example as a whole spec.
fn whole(text: &str) -> String {
    if text.contains("\nextends:") {
        text.to_owned()
    } else {
        format!("extends: countdown.yaml\n{text}")
    }
}

#[test]
fn the_page_is_what_the_declarations_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/spec.md");
    if std::env::var_os("R1X_BLESS").is_some() {
        std::fs::write(&path, reference()).expect("docs can be written");
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    let wanted = reference();
    let differs = page.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted);
    assert!(
        page == wanted,
        "docs/spec.md is stale: R1X_BLESS=1 cargo test --release -p r1x-spec --test reference\n{differs:#?}"
    );
}

#[test]
fn every_example_can_run() {
    for example in examples() {
        let world = world().with(common::SPEC, &whole(example.text));
        if let Err(report) = world.runs(&[]) {
            panic!("{}:{}\n{}", example.path, example.text, render(&report));
        }
    }
}

/// The maps at a path of a spec; `ID` stands for every entry of a map or list.
fn at<'a>(value: &'a Json, path: &str) -> Vec<&'a Json> {
    let mut found = vec![value];
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let below = |value: &'a Json| -> Vec<&'a Json> {
            match (step, value) {
                ("ID", Json::Object(map)) => map.values().collect(),
                ("ID", Json::Array(list)) => list.iter().collect(),
                (key, value) => value.get(key).into_iter().collect(),
            }
        };
        found = found.into_iter().flat_map(below).collect();
    }
    found
}

#[test]
fn every_key_has_an_example() {
    let mut missing = Vec::new();
    for section in sections() {
        let examples: Vec<Json> = examples()
            .filter(|example| example.path == section.path)
            .map(|example| serde_yaml::from_str(example.text).expect("YAML"))
            .collect();
        let places: Vec<&String> = std::iter::once(&section.path).chain(&section.others).collect();
        for key in &section.values {
            let shown = examples.iter().any(|example| {
                places.iter().any(|path| at(example, path).iter().any(|map| map.get(key).is_some()))
            });
            if !shown {
                missing.push(format!("{}.{key}", section.path));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    let paths: Vec<String> = sections().into_iter().map(|section| section.path).collect();
    for example in examples() {
        assert!(paths.iter().any(|path| path == example.path), "no section {}", example.path);
    }
}

/// Every key with its path and description.
fn keys(schema: &Json, path: &str, found: &mut Vec<(String, Json)>) {
    let properties = schema["properties"].as_object();
    for (key, inner) in properties.into_iter().flatten() {
        let path = format!("{path}.{key}");
        found.push((path.clone(), inner.clone()));
        for inner in [inner, &inner["items"], &inner["additionalProperties"]] {
            keys(inner, &path, found);
        }
    }
}

/// Units are written out, and what is left out is explained where the schema tells no default.
#[test]
fn meanings_are_sentences_that_say_what_is_left_out_and_in_which_unit() {
    let mut found = Vec::new();
    keys(&schema(), "", &mut found);
    assert!(found.len() > 200, "{} keys", found.len());
    for (path, inner) in &found {
        let text = inner["description"].as_str().unwrap_or_default();
        let key = path.rsplit('.').next().unwrap_or_default();
        if key == "drop" {
            continue;
        }
        assert!(text.ends_with('.') && text.split(' ').count() >= 4, "{path}: {text}");
        assert!(text.starts_with(char::is_uppercase) || text.starts_with('`'), "{path}: {text}");
        for (ending, unit) in [("_ms", "milliseconds"), ("_bytes", "bytes"), ("_tokens", "tokens")]
        {
            assert!(
                !key.ends_with(ending) || text.contains(unit),
                "{path} without its unit: {text}"
            );
        }
    }
}

#[test]
fn an_optional_value_says_what_holds_when_it_is_left_out() {
    let page = reference();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let explained = rows.clone().filter(|line| line.contains("| see the meaning |")).count();
    assert!(explained > 20, "{explained} keys explain what holds when they are left out");
    // Maps of entries may be empty; a single value has a default, or words for what holds without it.
    let bare: Vec<&str> = rows
        .filter(|line| {
            line.contains("| none |")
                && !line.contains("with an `id`: ")
                && !line.contains("from ids to maps: ")
        })
        .collect();
    assert_eq!(bare, Vec::<&str>::new());
}
