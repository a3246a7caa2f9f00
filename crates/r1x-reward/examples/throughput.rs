//! How long the host takes: 1000 completions through the `countdown` plugin, 2000 bytes each.
//!
//! `cargo run --release -p r1x-reward --example throughput [BYTES]` from the top of the repository.

use std::collections::BTreeMap;
use std::time::Instant;

use r1x_core::plan::{LimitsPlan, OnFailure, RewardPlan};
use r1x_core::{Completion, FinishReason, Problem, Rewarder, Rollout, RolloutGroup};
use r1x_reward::{Host, HostOptions, WasmRewarder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let host = Host::new(HostOptions { cache_dir: None, workers: 1 })?;
    let plugin = host.load("plugins/countdown.wasm")?;
    println!("load: {:?} {:.1} ms", plugin.origin(), plugin.load_time().as_secs_f64() * 1e3);
    let plan = RewardPlan {
        id: "countdown".to_owned(),
        plugin: plugin.source().to_owned(),
        sha256: plugin.sha256().to_owned(),
        weight: 1.0,
        config: "{}".to_owned(),
        limits: LimitsPlan {
            time_ms: 10_000,
            time_per_rollout_ms: 20,
            memory_bytes: 256 << 20,
            fuel: None,
        },
        on_failure: OnFailure::Fail,
        max_failed_share: 1.0,
    };
    let bytes = std::env::args().nth(1).map_or(Ok(2000), |bytes| bytes.parse::<usize>())?;
    let groups: Vec<RolloutGroup> = (0..125).map(|_| group(bytes)).collect();
    let mut rewarder = WasmRewarder::new(&host, &[(plan.clone(), plugin)])?;
    let mut times = Vec::new();
    for _ in 0..21 {
        let started = Instant::now();
        let outcomes = rewarder.score(std::slice::from_ref(&plan), &groups)?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
        assert!(outcomes[0].iter().flatten().all(|outcome| outcome.value == Some(1.0)));
    }
    times.sort_by(f64::total_cmp);
    println!("1000 x {bytes} bytes: median {:.2} ms, fastest {:.2} ms", times[10], times[0]);
    Ok(())
}

fn group(bytes: usize) -> RolloutGroup {
    let columns = [("nums", "[3,5,7]"), ("target", "56")];
    let columns: BTreeMap<String, String> =
        columns.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let problem = Problem {
        key: "key".to_owned(),
        prompt: "prompt".to_owned(),
        solution: None,
        answer: None,
        columns,
    };
    let thinking: String = "3 + 5 = 8 ; ".chars().cycle().take(bytes).collect();
    let text = format!("{thinking} </think> <answer> ( 3 + 5 ) * 7 </answer>");
    let completion = Completion {
        tokens: vec![1; 500],
        logprobs: vec![0.0; 500],
        entropies: vec![0.0; 500],
        finish: FinishReason::Stop,
    };
    let rollouts = vec![Rollout { completion, text }; 8];
    RolloutGroup { problem, prompt_tokens: vec![1; 30], rollouts }
}
