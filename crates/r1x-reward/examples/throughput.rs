//! How long the host takes: 1000 completions through every built-in plugin that needs no grant, 2000 bytes each.
//!
//! `cargo run --release -p r1x-reward --example throughput [BYTES]` from the top of the repository.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::time::Instant;

use r1x_core::plan::{JudgedBy, OnFailure, PluginPlan, RewardPlan};
use r1x_core::{Problem, RewardStatus, Rewarder, Rollout, RolloutGroup, testing};
use r1x_reward::{Host, HostOptions, WasmRewarder};
use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let host = Host::new(HostOptions { cache_dir: None, workers: 1 })?;
    let bytes = std::env::args().nth(1).map_or(Ok(2000), |bytes| bytes.parse::<usize>())?;
    let mut names: Vec<String> = fs::read_dir("plugins")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|folder| folder.join("cases.jsonl").exists())
        .filter_map(|folder| Some(folder.file_name()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    println!(
        "{:<16} {:>9} {:>9} {:>14} {:>14}",
        "plugin", "bytes", "load ms", "median us each", "fastest us"
    );
    for name in names {
        measure(&host, &name, bytes)?;
    }
    Ok(())
}

/// Prints a plugin's size, the time to compile and load it, and the time per completion.
fn measure(host: &Host, name: &str, bytes: usize) -> Result<(), Box<dyn Error>> {
    let table = fs::read_to_string(format!("plugins/{name}/cases.jsonl"))?;
    let case: Value = serde_json::from_str(table.lines().next().ok_or("no case")?)?;
    let plugin = host.load(format!("plugins/{name}.wasm"))?;
    if !plugin.asks().is_empty() {
        println!("{name:<16} needs grants, and is left out");
        return Ok(());
    }
    let (size, load) = (plugin.bytes().len(), plugin.load_time().as_secs_f64() * 1e3);
    let plan = RewardPlan {
        judged_by: JudgedBy::Plugin(PluginPlan {
            path: plugin.source().to_owned(),
            sha256: plugin.sha256().to_owned(),
            config: case["config"].to_string(),
            ..testing::plugin()
        }),
        on_failure: OnFailure::Fail,
        ..testing::reward(name)
    };
    let groups = vec![group(&case, bytes); 125];
    let mut rewarder = WasmRewarder::new(host, &[(plan.clone(), plugin)])?;
    let mut times = Vec::new();
    for _ in 0..21 {
        let started = Instant::now();
        let outcomes = rewarder.score(std::slice::from_ref(&plan), &groups)?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
        assert!(outcomes[0].iter().flatten().all(|outcome| outcome.status == RewardStatus::Ok));
    }
    times.sort_by(f64::total_cmp);
    println!("{name:<16} {size:>9} {load:>9.1} {:>14.2} {:>14.2}", times[10], times[0]);
    Ok(())
}

/// Eight times the completion of a case, after a thought that fills it up.
fn group(case: &Value, bytes: usize) -> RolloutGroup {
    let columns: BTreeMap<String, String> = case["columns"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.to_string()))
        .collect();
    let problem = Problem { columns, ..testing::problem("key", "prompt") };
    let completion = case["completion"].as_str().unwrap_or_default();
    let missing = bytes.saturating_sub(completion.len());
    let thinking: String =
        "We add 3 + 5 = 8, and so it is. ".chars().cycle().take(missing).collect();
    let text = format!("{thinking}{completion}");
    let rollouts = vec![Rollout { completion: testing::completion(500), text }; 8];
    RolloutGroup { problem, prompt_tokens: vec![1; 30], rollouts }
}
