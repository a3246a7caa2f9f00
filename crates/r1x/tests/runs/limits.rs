//! What is asked of a run beyond any limit is refused before it costs anything, or ends with the place named.
//!
//! Must not check the limits themselves, which are tested where they are.

use std::path::{Path, PathBuf};

use super::bench::Bench;

/// `samples` of a suite are all kept until it is done: this many fit into no machine's memory.
const MANY_SAMPLES: &str = "evals.heldout.samples=1048576";

#[test]
fn more_threads_than_any_machine_has_are_refused() {
    let bench = Bench::new();
    for count in ["0", "1025", "99999999", "many"] {
        let told = bench.fails(2, &["run", "small.yaml", "--threads", count]);
        assert!(told.contains("a number from 1 to 1024 is expected"), "{told}");
    }
}

#[test]
fn a_run_that_does_not_fit_into_memory_is_refused_with_the_key_to_lower() {
    let bench = Bench::new();
    let wide = [
        "model.hidden_size=1048576",
        "model.layers=400",
        "stages.cold-start.sft.micro_batch_size=1",
        "stages.rl.grpo.micro_batch_size=1",
    ];
    let with = |command: &'static str| {
        let mut arguments = vec![command, "small.yaml"];
        wide.iter().for_each(|set| arguments.extend(["--set", set]));
        arguments
    };
    for command in ["check", "run"] {
        let told = bench.fails(7, &with(command));
        for piece in ["parameters, which take at least ", "`model.hidden_size`", "--force"] {
            assert!(told.contains(piece), "{piece} is not in {told}");
        }
        let longer = "evals.heldout.sampling.max_tokens=1024";
        let context = "model.context_length=2048";
        let told = bench.fails(
            7,
            &[command, "small.yaml", "--set", MANY_SAMPLES, "--set", longer, "--set", context],
        );
        assert!(told.contains("`samples` or `limit` of `evals.heldout`"), "{told}");
    }
    assert!(!bench.path("runs").exists(), "nothing was begun");
    let mut forced = with("check");
    forced.push("--force");
    let output = bench.output(&forced);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.contains("warning: the run takes up to "), "{told}");
}

#[test]
fn temperatures_that_leave_the_finite_numbers_are_refused() {
    let bench = Bench::new();
    for temperature in ["1e-40", "1e-3", "101", "-1", ".nan", ".inf"] {
        for key in ["stages.rl.grpo.sampling.temperature", "evals.heldout.sampling.temperature"] {
            let set = format!("{key}={temperature}");
            let told = bench.fails(3, &["check", "small.yaml", "--set", &set]);
            assert!(told.contains("temperature"), "{told}");
        }
        let argument = format!("--temperature={temperature}");
        let told = bench.fails(2, &["generate", &argument]);
        assert!(told.contains("from 0.01 to 100"), "{told}");
    }
    let told =
        bench.fails(3, &["check", "small.yaml", "--set", "evals.heldout.sampling.top_p=1e-9"]);
    assert!(told.contains("at least 0.001 and at most 1"), "{told}");
}

#[test]
fn an_empty_list_or_map_is_no_silent_wish() {
    let bench = Bench::new();
    let plan = |set: &str| bench.json(&["plan", "small.yaml", "--json", "--set", set]);
    assert_eq!(plan("seed=1")["plan"]["evals"].as_array().unwrap().len(), 1);
    assert_eq!(plan("evals=[]")["plan"]["evals"].as_array().unwrap().len(), 0);
    let told = bench.fails(3, &["check", "small.yaml", "--set", "stages=[]"]);
    assert!(told.contains("stage"), "{told}");
    let told = bench.fails(3, &["check", "small.yaml", "--set", "rewards={}"]);
    assert!(told.contains("reward"), "{told}");
    let told = bench.fails(3, &["check", "small.yaml", "--set", "stages.rl.grpo.sampling={}"]);
    assert!(told.contains("an empty map changes nothing"), "{told}");
}

#[test]
fn nothing_is_drawn_from_weights_that_somebody_has_changed() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml", "--set", "stages.rl.grpo.steps=1"]);
    assert!(bench.ok(&["generate", "-n", "1"]).contains("<think>"));
    let folder = find(&bench.path("runs"), "rl/final").unwrap();
    let model = folder.join("model.safetensors");
    let mut bytes = std::fs::read(&model).unwrap();
    // The last number of the file belongs to the last tensor in it.
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&model, &bytes).unwrap();
    let told = bench.fails(4, &["generate", "--checkpoint", "rl/final"]);
    assert!(told.contains("changed or torn"), "{told}");
    let state = folder.join("state.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap();
    json["model_sha256"] = r1x_core::digest::sha256(&bytes).into();
    std::fs::write(&state, json.to_string()).unwrap();
    // Who makes the hash fit is told by the seal, before the numbers are looked at.
    let told = bench.fails(4, &["generate", "--checkpoint", "rl/final"]);
    assert!(told.contains("changed after it was written"), "{told}");
}

/// The folder below another whose path ends like this.
fn find(folder: &Path, end: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    let here = folders.iter().find(|path| path.ends_with(end)).cloned();
    here.or_else(|| folders.iter().find_map(|path| find(path, end)))
}
