//! Going on: what was done before counts, from wherever it is said, and nothing is done twice in silence.
//!
//! Must not test the store alone.

use super::bench::{Bench, text};

/// Pairs of a stage and its steps at which a suite ran.
fn places(run: &serde_json::Value) -> Vec<(String, u64)> {
    let evals = run["evals"].as_array().unwrap().iter();
    let evals = evals.filter(|row| row["metric"] == "pass@1");
    evals
        .map(|row| (row["stage"].as_str().unwrap().to_owned(), row["step"].as_u64().unwrap()))
        .collect()
}

fn expected() -> Vec<(String, u64)> {
    [("start", 0), ("cold-start", 12), ("rl", 20), ("rl", 40)]
        .map(|(stage, step)| (stage.to_owned(), step))
        .to_vec()
}

#[test]
fn evaluations_before_a_resume_are_in_the_table_and_in_the_json() {
    let bench = Bench::new();
    let told = bench.interrupted(&["checkpoints.every=null"]);
    let done = "steps of stage `rl` are done; saved";
    assert!(told.contains(done) || told.contains("step of stage `rl` is done; saved"), "{told}");
    let output = bench.output(&["resume"]);
    let (table, messages) = (text(&output.stdout), text(&output.stderr));
    assert!(messages.contains("going on from rl/interrupt-0000"), "{messages}");
    assert!(messages.contains("of which"), "{messages}");
    assert!(messages.contains("with what was done before") || messages.contains("done in"));
    let rows: Vec<Vec<&str>> =
        table.lines().skip(2).map(|line| line.split_whitespace().take(3).collect()).collect();
    let steps: Vec<(String, u64)> =
        rows.iter().map(|row| (row[1].to_owned(), row[2].parse().unwrap())).collect();
    assert_eq!(steps, expected(), "{table}");
    let json = Bench::new();
    json.interrupted(&[]);
    let resumed = json.json(&["resume", "--json"]);
    assert_eq!(places(&resumed), expected());
    assert!(resumed["total_seconds"].as_f64() > resumed["seconds"].as_f64());
    let listed = &json.json(&["ls", "--json"])[0];
    assert_eq!((&listed["status"], &listed["sittings"]), (&"done".into(), &2.into()));
}

/// A gate on a suite that ran before the interruption and never again.
#[test]
fn gates_of_evaluations_before_a_resume_count() {
    let bench = Bench::new();
    bench.interrupted(&["evals.heldout.when={at: [start]}", "evals.heldout.gate={pass@1: 1.0}"]);
    let told = bench.fails(5, &["resume"]);
    assert!(told.contains("gate missed: heldout pass@1 is 0"), "{told}");
    assert!(bench.ok(&["ls"]).contains("gate missed"));
    let card = bench.latest();
    assert_eq!(card["status"], "gate missed");
    assert!(card["error"].as_str().unwrap().contains("gate missed: heldout"), "{card}");
    let why = bench.fails(4, &["resume"]);
    assert!(why.contains("is done, and missed a gate"), "{why}");
}

#[test]
fn a_run_goes_on_from_another_folder_and_after_it_was_moved() {
    let whole = {
        let bench = Bench::new();
        bench.json(&["run", "small.yaml", "--json"])
    };
    let bench = Bench::new();
    bench.interrupted(&[]);
    std::fs::create_dir_all(bench.path("notes/today")).unwrap();
    let below = bench.command("notes/today", &["resume", "--json"]).output().unwrap();
    let told = text(&below.stderr);
    assert!(below.status.success(), "{told}");
    assert!(told.contains("store ") && told.contains("runs/r1x.sqlite"), "{told}");
    let resumed: serde_json::Value = serde_json::from_slice(&below.stdout).unwrap();
    assert_eq!(resumed["digest"], whole["digest"]);
    assert!(!bench.path("notes/today/runs").exists(), "no second store is made");
    let listed = bench.command("notes", &["ls"]).output().unwrap();
    assert!(text(&listed.stdout).contains("small-"));

    // The project gets another name, and one of its plugins is lost: the store has it.
    let bench = Bench::new();
    bench.interrupted(&[]);
    std::fs::create_dir(bench.path("moved")).unwrap();
    for name in ["runs", "plugins", "small.yaml"] {
        std::fs::rename(bench.path(name), bench.path("moved").join(name)).unwrap();
    }
    std::fs::remove_file(bench.path("moved/plugins/countdown.wasm")).unwrap();
    std::fs::create_dir(bench.path("elsewhere")).unwrap();
    let store = bench.path("moved/runs/r1x.sqlite");
    let arguments = ["resume", "--json", "--store", store.to_str().unwrap()];
    let output = bench.command("elsewhere", &arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let resumed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(resumed["digest"], whole["digest"]);
    assert_eq!(std::fs::read_dir(bench.path("elsewhere")).unwrap().count(), 0);
}

#[test]
fn a_folder_without_a_store_is_left_as_it_is() {
    let bench = Bench::new();
    let told = bench.fails(4, &["resume"]);
    assert!(told.contains("runs/r1x.sqlite"), "{told}");
    assert!(!bench.path("runs").exists());
}

#[test]
fn steps_whose_checkpoints_are_gone_are_not_done_again_in_silence() {
    let bench = Bench::new();
    bench.interrupted(&["checkpoints.every=null"]);
    let card = bench.latest();
    let run = card["name"].as_str().unwrap();
    let newest = card["checkpoints"].as_array().unwrap().last().unwrap()["path"].as_str().unwrap();
    assert!(newest.starts_with("rl/interrupt-"), "{newest}");
    let folder = bench.path("runs").join(run);
    let done = card["stages"][1]["steps"].as_u64().unwrap();
    // A checkpoint that is damaged is as good as gone.
    std::fs::write(folder.join(newest).join("model.safetensors"), "torn").unwrap();
    let told = bench.fails(4, &["resume"]);
    assert!(told.contains("it was changed or torn"), "{told}");
    std::fs::remove_dir_all(folder.join(newest)).unwrap();
    let told = bench.fails(4, &["resume"]);
    assert!(told.contains(&format!("{newest} is gone")), "{told}");
    let (steps, are) = if done == 1 { ("step", "is") } else { ("steps", "are") };
    let again = format!("{done} recorded {steps} {are} done again, from step 0 of stage `rl` on");
    assert!(told.contains(&again) && told.contains("--redo-steps"), "{told}");
    assert_eq!(bench.latest()["status"], "interrupted", "nothing has happened to the run");
    let output = bench.output(&["resume", "--redo-steps", "--json"]);
    let told = text(&output.stderr);
    assert!(output.status.success() && told.contains(&again), "{told}");
    assert!(
        told.contains("going on from cold-start/final: 12 steps of stage `cold-start` are done"),
        "{told}"
    );

    let bench = Bench::new();
    bench.interrupted(&[]);
    let run = bench.latest()["name"].as_str().unwrap().to_owned();
    for stage in ["cold-start", "rl"] {
        let _ = std::fs::remove_dir_all(bench.path("runs").join(&run).join(stage));
    }
    let told = bench.fails(4, &["resume", "--redo-steps"]);
    assert!(
        told.contains("has no checkpoint that can be gone on from") && told.contains("is gone"),
        "{told}"
    );
}
