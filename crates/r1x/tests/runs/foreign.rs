//! Checkpoints that are not what was recorded: of another run, edited, damaged, or unknown to the store. None of them
//! is gone on with in silence, and whoever goes on ends where an undisturbed run ends.
//!
//! Must not test how a checkpoint is read.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::bench::{Bench, text};

const FILES: [&str; 3] = ["model.safetensors", "optimizer.safetensors", "state.json"];

fn digest(run: &Value) -> String {
    run["digest"].as_str().unwrap().to_owned()
}

fn undisturbed() -> String {
    digest(&Bench::new().json(&["run", "small.yaml", "--json"]))
}

/// A run that was interrupted in its second stage, and the folders of its checkpoints, the newest last.
fn interrupted() -> (Bench, Vec<PathBuf>) {
    let bench = Bench::new();
    bench.interrupted(&[]);
    let folders = folders(&bench);
    assert!(folders.len() >= 2, "{folders:?}");
    (bench, folders)
}

fn folders(bench: &Bench) -> Vec<PathBuf> {
    let card = bench.latest();
    let run = bench.path("runs").join(card["name"].as_str().unwrap());
    let cards = card["checkpoints"].as_array().unwrap();
    let kept = cards.iter().filter(|card| card["exists"] == true);
    kept.map(|card| run.join(card["path"].as_str().unwrap())).collect()
}

fn put(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in FILES {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

/// The newest checkpoint is refused with this reason; the run goes on from the one before once somebody says so.
fn refuses(bench: &Bench, why: &str, whole: &str) {
    let told = bench.fails(4, &["resume"]);
    assert!(told.contains(why) && told.contains("--redo-steps"), "{why}: {told}");
    assert_eq!(bench.latest()["status"], "interrupted", "nothing has happened to the run");
    assert_eq!(digest(&bench.json(&["resume", "--redo-steps", "--json"])), whole, "{why}");
}

#[test]
fn the_checkpoint_of_another_run_is_not_gone_on_with() {
    let whole = undisturbed();
    // Of another seed, and of an equal run, whose numbers are the same.
    for seed in ["2", "1"] {
        let (bench, folders) = interrupted();
        let newest = folders.last().unwrap();
        let other = Bench::new();
        other.json(&[
            "run",
            "small.yaml",
            "--json",
            "--seed",
            seed,
            "--set",
            "checkpoints.every=1",
        ]);
        let name = other.latest()["name"].as_str().unwrap().to_owned();
        put(&other.path("runs").join(name).join("rl/final"), newest);
        refuses(&bench, "it belongs to another run", &whole);
    }
}

#[test]
fn an_edited_state_is_not_gone_on_with() {
    let whole = undisturbed();
    let edits: [(&str, Value); 3] =
        [("/cursor/stage", 99.into()), ("/cursor/drawn", 0.into()), ("/updates", u64::MAX.into())];
    for (place, value) in edits {
        let (bench, folders) = interrupted();
        let path = folders.last().unwrap().join("state.json");
        let mut state: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        *state.pointer_mut(place).unwrap() = value;
        std::fs::write(&path, state.to_string()).unwrap();
        refuses(&bench, "changed after it was written", &whole);
        // So it is when it looks like one of an earlier version, which had no seal.
        let (bench, folders) = interrupted();
        let path = folders.last().unwrap().join("state.json");
        let fields = state.as_object_mut().unwrap();
        fields.insert("format".into(), 1.into());
        fields.remove("seal");
        std::fs::write(&path, state.to_string()).unwrap();
        let told = bench.fails(4, &["resume"]);
        let recorded = told.contains("the state that was recorded");
        assert!(recorded || told.contains("other weights than those"), "{place}: {told}");
    }
}

#[test]
fn a_checkpoint_can_be_named_and_is_compared_like_any_other() {
    let whole = undisturbed();
    let (bench, folders) = interrupted();
    let told = bench.fails(4, &["resume", "--checkpoint", "rl/step-009999"]);
    assert!(
        told.contains("has no checkpoint `rl/step-009999`") && told.contains("cold-start/final")
    );
    // An earlier one, by its name: what comes after it is done again, as was asked.
    let output = bench.output(&["resume", "--checkpoint", "cold-start/final", "--json"]);
    let told = text(&output.stderr);
    assert!(output.status.success() && told.contains("going on from cold-start/final"), "{told}");
    assert_eq!(digest(&serde_json::from_slice(&output.stdout).unwrap()), whole);

    // A copy somewhere else, although the original is gone.
    let copy = Bench::new();
    put(folders.last().unwrap(), &copy.path("copy"));
    let (bench, _) = interrupted();
    let told = bench.fails(4, &["resume", "--checkpoint", copy.path("copy").to_str().unwrap()]);
    assert!(told.contains("is no checkpoint of run"), "it is of the first: {told}");
    let (bench, folders) = interrupted();
    let newest = folders.last().unwrap();
    put(newest, &bench.path("kept"));
    std::fs::remove_dir_all(newest).unwrap();
    let resumed = bench.json(&["resume", "--checkpoint", "kept", "--json"]);
    assert_eq!(digest(&resumed), whole);
}

/// The store has lost the row, not the facts: a checkpoint is on the disk before its row is.
#[test]
fn a_whole_checkpoint_that_the_store_does_not_know_is_gone_on_with() {
    let whole = undisturbed();
    let (bench, folders) = interrupted();
    let newest = folders.last().unwrap();
    std::fs::rename(newest, newest.with_file_name("unknown")).unwrap();
    let output = bench.output(&["resume", "--json"]);
    let told = text(&output.stderr);
    assert!(output.status.success() && told.contains("going on from rl/unknown"), "{told}");
    assert!(!told.contains("done again"), "{told}");
    assert_eq!(digest(&serde_json::from_slice(&output.stdout).unwrap()), whole);
}

/// The store has lost the facts as well: going on from there would leave a gap, so it is said, and left to a person.
#[test]
fn a_checkpoint_beyond_the_facts_is_offered_and_its_gap_recorded() {
    let (bench, _) = interrupted();
    let kept = bench.path("kept.sqlite");
    std::fs::copy(bench.path("runs/r1x.sqlite"), &kept).unwrap();
    let before = folders(&bench);
    let whole = digest(&bench.json(&["resume", "--json"]));
    // The store of before, with the checkpoints of now, and without those of then.
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(bench.path(&format!("runs/r1x.sqlite{suffix}")));
    }
    std::fs::copy(&kept, bench.path("runs/r1x.sqlite")).unwrap();
    before.iter().for_each(|folder| {
        let _ = std::fs::remove_dir_all(folder);
    });
    let told = bench.fails(4, &["resume"]);
    assert!(
        told.contains("is whole, but the store has not recorded the steps before it"),
        "{told}"
    );
    let beyond = told.split("`--checkpoint ").nth(1).unwrap().split('`').next().unwrap().to_owned();
    let output = bench.output(&["resume", "--checkpoint", &beyond, "--json"]);
    let told = text(&output.stderr);
    assert!(
        output.status.success() && told.contains("beyond what the store has recorded"),
        "{told}"
    );
    let resumed = serde_json::from_slice(&output.stdout).unwrap();
    assert_ne!(digest(&resumed), whole, "a gap is not hidden");
    let events = bench.sql("SELECT message FROM event WHERE target = 'resume'");
    assert!(events[0]["message"].as_str().unwrap().contains("are lost"), "{events:?}");
}

#[test]
fn nothing_is_sampled_from_weights_that_were_exchanged() {
    let bench = Bench::new();
    bench.json(&["run", "small.yaml", "--json"]);
    bench.ok(&["generate", "--prompt", "1 2 3 -> 6 <think>", "-n", "1"]);
    let newest = folders(&bench).pop().unwrap();
    let earlier = folders(&bench).remove(0);
    put(&earlier, &newest);
    let told = bench.fails(4, &["generate", "--prompt", "1 2 3 -> 6 <think>", "-n", "1"]);
    assert!(told.contains("other weights than those that were recorded"), "{told}");
}
