//! What every committed component must keep to: its table of cases, equal bits however calls are cut, calm in
//! front of hostile completions, and a place in the documentation.

use std::collections::BTreeMap;
use std::fs;

use r1x_core::long_number::{marked, unmarked};
use r1x_core::plan::RewardPlan;
use r1x_core::{FinishReason, RewardOutcome, RewardStatus, RolloutGroup};
use r1x_reward::Plugin;
use serde_json::Value;

use crate::support::*;

#[path = "../../../../plugins/sdk-rust/src/testing/adversarial.rs"]
mod adversarial;

/// A component and the cases of its table.
struct Builtin {
    name: String,
    plugin: Plugin,
    cases: Vec<Value>,
}

/// Every component under `plugins/` that needs nothing but text. What asks for more needs more than this host:
/// its cases are run by those who grant it.
fn builtins() -> Vec<Builtin> {
    every().into_iter().filter(|builtin| builtin.plugin.asks().is_empty()).collect()
}

/// Every component under `plugins/`.
fn every() -> Vec<Builtin> {
    let mut names: Vec<String> = fs::read_dir(path("plugins"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 10, "{names:?}");
    let load = |name: String| {
        let table = fs::read_to_string(path(&format!("plugins/{name}/cases.jsonl")));
        // A plugin that asks a model has no answers before there is one.
        let table = if name == "judge" { String::new() } else { table.unwrap() };
        // Numbers of any length keep their digits on the way to the plugin.
        let read = |line| serde_json::from_str(&marked(line)).unwrap();
        let cases = table.lines().map(read).collect();
        let plugin = host().load(path(&format!("plugins/{name}.wasm"))).unwrap();
        assert_eq!(plugin.info().name, name);
        Builtin { name, plugin, cases }
    };
    names.into_iter().map(load).collect()
}

/// A plan with the limits that a spec gives by default.
fn roomy(plugin: &Plugin, config: &str) -> RewardPlan {
    let mut plan = plan(plugin);
    plan.plugin_mut().unwrap().config = config.to_owned();
    plan.plugin_mut().unwrap().limits.time_ms = 10_000;
    plan.plugin_mut().unwrap().limits.time_per_rollout_ms = 20;
    plan.plugin_mut().unwrap().limits.memory_bytes = 256 << 20;
    plan
}

/// The group of one rollout that a case describes.
pub fn case_group(case: &Value) -> RolloutGroup {
    with_columns(case, &[case["completion"].as_str().unwrap()])
}

fn with_columns(case: &Value, completions: &[&str]) -> RolloutGroup {
    let columns: Vec<(String, String)> = case["columns"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), unmarked(&value.to_string()).into_owned()))
        .collect();
    let columns: Vec<(&str, &str)> =
        columns.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut group = group(&columns, completions);
    for rollout in &mut group.rollouts {
        if case["truncated"] == true {
            rollout.completion.finish = FinishReason::Length;
        }
        if let Some(tokens) = case["completion_tokens"].as_u64() {
            rollout.completion.tokens = vec![1; usize::try_from(tokens).unwrap()];
        }
    }
    group
}

/// Everything about outcomes that must not change, comparable to the last bit.
pub fn bits(outcomes: &[Vec<RewardOutcome>]) -> Vec<Vec<(Option<u64>, String)>> {
    let one = |outcome: &RewardOutcome| {
        let parts: Vec<String> = outcome
            .parts
            .iter()
            .map(|(name, value)| format!("{name}={:x}", value.to_bits()))
            .collect();
        let rest = format!("{:?} {:?} {parts:?}", outcome.status, outcome.info);
        (outcome.value.map(f64::to_bits), rest)
    };
    outcomes.iter().map(|group| group.iter().map(one).collect()).collect()
}

/// Equal to the last place but one: the table is text, and reading it may lose the last.
fn close(left: f64, right: Option<f64>) -> bool {
    right.is_some_and(|right| (left - right).abs() <= 1e-15 * right.abs().max(1.0))
}

#[test]
fn every_component_gives_what_its_table_says() {
    for builtin in builtins() {
        for case in &builtin.cases {
            let plan = roomy(&builtin.plugin, &case["config"].to_string());
            let name = &builtin.name;
            let outcome =
                score(&builtin.plugin, &plan, &[case_group(case)]).unwrap().remove(0).remove(0);
            assert_eq!(outcome.status, RewardStatus::Ok, "{name}: {case}: {outcome:?}");
            assert!(
                close(outcome.value.unwrap(), case["reward"].as_f64()),
                "{name}: {case}: {outcome:?}"
            );
            assert_eq!(outcome.parts.len(), builtin.plugin.info().parts.len(), "{name}: {case}");
            // A case that names only the reward says nothing about the words and parts beside it.
            if let Some(info) = case.get("info") {
                assert_eq!(outcome.info.as_deref(), info.as_str(), "{name}: {case}");
            }
            let named = case.get("parts").is_some();
            for (part, value) in outcome.parts.iter().filter(|_| named) {
                assert!(
                    close(*value, case["parts"][part].as_f64()),
                    "{name}: {case}: {part} {value}"
                );
            }
        }
    }
}

#[test]
fn scores_do_not_depend_on_how_calls_are_cut() {
    let three = new_host(None, 3);
    for builtin in builtins() {
        let threaded_plugin = three.load(path(&format!("plugins/{}.wasm", builtin.name))).unwrap();
        let mut by_config: BTreeMap<String, Vec<RolloutGroup>> = BTreeMap::new();
        for case in &builtin.cases {
            let mut group = case_group(case);
            group.rollouts = vec![group.rollouts[0].clone(); 8];
            by_config.entry(case["config"].to_string()).or_default().push(group);
        }
        for (config, groups) in by_config {
            let plan = roomy(&builtin.plugin, &config);
            let name = &builtin.name;
            let whole = bits(&score(&builtin.plugin, &plan, &groups).unwrap());
            let threaded = score_on(&three, &threaded_plugin, &plan, &groups).unwrap();
            assert_eq!(bits(&threaded), whole, "{name}: three threads");
            let single = |group| {
                score(&builtin.plugin, &plan, std::slice::from_ref(group)).unwrap().remove(0)
            };
            let singles: Vec<Vec<RewardOutcome>> = groups.iter().map(single).collect();
            assert_eq!(bits(&singles), whole, "{name}: one group a call");
            let (left, right) = groups.split_at(groups.len() / 3);
            let mut split = score(&builtin.plugin, &plan, left).unwrap();
            split.extend(score(&builtin.plugin, &plan, right).unwrap());
            assert_eq!(bits(&split), whole, "{name}: two calls");
            let reversed: Vec<RolloutGroup> = groups.iter().rev().cloned().collect();
            let mut backwards = bits(&score(&builtin.plugin, &plan, &reversed).unwrap());
            backwards.reverse();
            assert_eq!(backwards, whole, "{name}: backwards");
        }
    }
}

#[test]
fn hostile_completions_are_judged_within_the_range() {
    let texts = adversarial::adversarial();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for builtin in builtins() {
        let (info, name) = (builtin.plugin.info(), &builtin.name);
        let mut configs: Vec<String> = Vec::new();
        for case in &builtin.cases {
            let config = case["config"].to_string();
            if configs.contains(&config) {
                continue;
            }
            let plan = roomy(&builtin.plugin, &config);
            let groups = [with_columns(case, &texts)];
            let outcomes = score(&builtin.plugin, &plan, &groups).unwrap();
            for (outcome, text) in outcomes[0].iter().zip(&texts) {
                let text: String = text.chars().take(40).collect();
                assert_eq!(
                    outcome.status,
                    RewardStatus::Ok,
                    "{name} {config}: {text}: {outcome:?}"
                );
                let value = outcome.value.unwrap();
                assert!(value >= info.min.unwrap_or(f64::MIN), "{name} {config}: {text}: {value}");
                assert!(value <= info.max.unwrap_or(f64::MAX), "{name} {config}: {text}: {value}");
            }
            configs.push(config);
        }
    }
}

#[test]
fn every_key_column_and_part_is_documented() {
    let docs = fs::read_to_string(path("docs/rewards.md")).unwrap();
    for builtin in every() {
        let info = builtin.plugin.info();
        let row = docs.lines().find(|line| line.starts_with(&format!("| `{}` |", builtin.name)));
        let row = row.unwrap_or_else(|| panic!("docs/rewards.md has no row for {}", builtin.name));
        let schema: Value = serde_json::from_str(info.config_schema.as_deref().unwrap()).unwrap();
        let keys = schema["properties"].as_object().unwrap().keys().map(String::as_str);
        let columns = info.columns.iter().chain(&info.optional_columns).chain(&info.parts);
        for word in keys.chain(columns.map(String::as_str)) {
            assert!(
                row.contains(&format!("`{word}`")),
                "docs/rewards.md: {} lacks `{word}`",
                builtin.name
            );
        }
    }
}
