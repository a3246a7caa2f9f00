//! Stages that an earlier run has run: a run takes them over, and is to the bit what it would be had it run them itself.

use serde_json::Value;

use super::bench::{Bench, HARVEST, JUDGED, TURNS, text};

/// A run that takes over what it can, and what it has taken over, as `STAGE of RUN`.
fn reusing(bench: &Bench, arguments: &[&str]) -> (Value, Vec<String>) {
    let output = bench.reusing(&[&["run"], arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    let taken = run["reused"].as_array().unwrap().iter();
    let word = |taken: &Value, key: &str| taken[key].as_str().unwrap().to_owned();
    let taken =
        taken.map(|one| format!("{} of {}", word(one, "stage"), word(one, "from"))).collect();
    (run, taken)
}

/// A run of all stages.
fn whole(bench: &Bench, arguments: &[&str]) -> Value {
    bench.json(&[&["run"], arguments, &["--json"]].concat())
}

fn name(run: &Value) -> &str {
    run["run"].as_str().unwrap()
}

/// What people look at of a run, without its name and its times.
fn facts(bench: &Bench, run: &Value) -> Vec<Vec<Value>> {
    let run = name(run);
    [
        "SELECT stage_idx, stage, step, metric, value FROM v_metrics WHERE run = '{}' ORDER BY 1, 3, 4",
        "SELECT stage_idx, step, grp, sample, completion, reward, advantage FROM v_rollouts WHERE run = '{}' \
         ORDER BY 1, 2, 3, 4",
        "SELECT stage_idx, step, grp, sample, reward, value, weight, contribution FROM v_rewards WHERE run = '{}' \
         ORDER BY 1, 2, 3, 4, 5",
        "SELECT stage, step, suite, metric, value, stderr FROM v_evals WHERE run = '{}' ORDER BY 1, 2, 3, 4",
        "SELECT stage, step, suite, item, sample, completion, score FROM v_eval_samples WHERE run = '{}' \
         ORDER BY 1, 2, 3, 4, 5",
        "SELECT stage, step, suite, item, sample, reward, value FROM v_eval_rewards WHERE run = '{}' \
         ORDER BY 1, 2, 3, 4, 5, 6",
        "SELECT stage, step, grp, sample, kept, dropped_by FROM v_selections WHERE run = '{}' ORDER BY 1, 2, 3, 4",
        "SELECT stage, kind, steps, weights_sha256, key_sha256 FROM v_stages WHERE run = '{}' ORDER BY stage_idx",
        "SELECT stage, step, path, sha256 FROM v_checkpoints WHERE run = '{}' AND kind = 'stage' ORDER BY stage_idx",
    ]
    .map(|query| bench.sql(&query.replace("{}", run)))
    .to_vec()
}

/// The experiment is run, changed, and run again both ways.
fn changed(bench: &Bench, spec: &str, set: &str, taken: &[&str]) {
    let first = whole(bench, &[spec]);
    let (second, reused) = reusing(bench, &[spec, "--set", set]);
    let expected: Vec<String> =
        taken.iter().map(|stage| format!("{stage} of {}", name(&first))).collect();
    assert_eq!(reused, expected, "{spec} {set}");
    let alone = whole(bench, &[spec, "--set", set]);
    assert_eq!(second["digest"], alone["digest"], "{spec} {set}");
    assert_ne!(second["digest"], first["digest"], "{spec} {set}");
    for (is, was) in facts(bench, &second).iter().zip(&facts(bench, &alone)) {
        assert_eq!(is, was, "{spec} {set}");
    }
}

#[test]
fn a_stage_that_is_not_changed_is_taken_over() {
    let bench = Bench::new();
    changed(&bench, "small.yaml", "stages.rl.grpo.lr=2e-4", &["cold-start"]);
    // Nothing is the same any more.
    let (_, reused) = reusing(&bench, &["small.yaml", "--set", "seed=2"]);
    assert_eq!(reused, [""; 0]);
    // Everything is; and names, tags and how often a checkpoint is written are no part of a result.
    let (again, reused) =
        reusing(&bench, &["small.yaml", "--set", "tags=[other]", "--set", "checkpoints.every=7"]);
    assert_eq!(reused.len(), 2, "{reused:?}");
    let first = bench.sql("SELECT digest FROM v_runs ORDER BY run_id LIMIT 1")[0]["digest"].clone();
    assert_eq!(again["digest"], first);
    let shown = bench.ok(&["show", name(&again)]);
    assert!(shown.contains("rl was taken over from run small-"), "{shown}");
    // Copies are as whole as what they are copied from, weights and rows alike.
    bench.ok(&["store", "verify"]);
}

#[test]
fn a_stage_that_makes_data_is_taken_over_with_its_data() {
    let set = "stages.again.sft.lr=2e-3";
    changed(&Bench::with_harvest(), HARVEST, set, &["cold-start", "rl", "harvest"]);
}

#[test]
fn a_reward_model_is_taken_over_and_asked() {
    changed(&Bench::with_judged(), JUDGED, "stages.rl.grpo.lr=2e-4", &["warm-up", "judge"]);
    // Who is asked by a stage is a part of it.
    let set = "stages.judge.reward_model.lr=2e-3";
    changed(&Bench::with_judged(), JUDGED, set, &["warm-up"]);
}

#[test]
fn a_stage_behind_a_changed_one_is_taken_over_where_it_does_not_stand_on_it() {
    let set = "stages.rl.grpo.lr=2e-4";
    changed(&Bench::with_turns(), TURNS, set, &["cold-start", "small", "smaller"]);
}

#[test]
fn the_plan_says_what_is_taken_over() {
    let bench = Bench::new();
    let plan = |set: &str| bench.ok(&["plan", "small.yaml", "--set", set]);
    let set = "stages.rl.grpo.lr=2e-4";
    assert!(!plan(set).contains("taken over"));
    let first = whole(&bench, &["small.yaml"]);
    let told = plan(set);
    assert!(told.contains(&format!("cold-start: taken over from run {}", name(&first))), "{told}");
    assert!(!told.contains("rl: taken over"), "{told}");
    let json = bench.json(&["plan", "small.yaml", "--set", set, "--json"]);
    assert_eq!(json["reused"][0]["stage"], "cold-start");
}

#[test]
fn a_run_stands_by_itself_once_it_has_taken_a_stage_over() {
    let bench = Bench::new();
    let first = whole(&bench, &["small.yaml"]);
    let set = "stages.rl.grpo.lr=2e-4";
    let mut started = bench.start_reusing(&["run", "small.yaml", "--set", set]);
    started.wait_for("stage cold-start (sft): taken over");
    started.wait_for("stage rl");
    bench.ok(&["rm", name(&first), "--yes"]);
    started.signal("INT");
    started.end(130);
    let second = bench.json(&["resume", "--json"]);
    let alone = whole(&bench, &["small.yaml", "--set", set]);
    assert_eq!(second["digest"], alone["digest"]);
    let told = bench.ok(&["reproduce", name(&second)]);
    assert!(told.contains("bitwise match through step 39 of stage `rl`"), "{told}");
    bench.ok(&["store", "verify"]);
}

#[test]
fn what_cannot_be_taken_over_is_run() {
    let bench = Bench::new();
    let first = whole(&bench, &["small.yaml"]);
    let set = "stages.rl.grpo.lr=2e-4";
    let weights = format!("runs/{}/cold-start/final/model.safetensors", name(&first));
    let mut bytes = std::fs::read(bench.path(&weights)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(bench.path(&weights), bytes).unwrap();
    let output = bench.reusing(&["run", "small.yaml", "--set", set, "--json"]);
    let told = text(&output.stderr);
    assert!(told.contains("cannot be taken over from run") && told.contains("sha256"), "{told}");
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(run["reused"].as_array().unwrap().len(), 0);
    // A stage of another run that is whole serves as well, though a newer one does not.
    let (_, reused) = reusing(&bench, &["small.yaml", "--set", "stages.rl.grpo.lr=1e-4"]);
    assert_eq!(reused, [format!("cold-start of {}", name(&run))]);
    let alone = whole(&bench, &["small.yaml", "--set", set]);
    assert_eq!(run["digest"], alone["digest"]);
}

#[test]
fn members_of_a_sweep_share_what_is_above_the_stage_in_which_they_differ() {
    let bench = Bench::new();
    let sweep = "sweep={matrix: {stages.rl.grpo.lr: [1e-4, 2e-4]}}";
    let output = bench.reusing(&["run", "small.yaml", "--set", sweep, "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let taken =
        bench.sql("SELECT stage, reused_from_run FROM v_stages WHERE reused_from IS NOT NULL");
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_eq!(taken[0]["stage"], "cold-start");
    for lr in ["1e-4", "2e-4"] {
        let alone = whole(&bench, &["small.yaml", "--set", &format!("stages.rl.grpo.lr={lr}")]);
        let digest = alone["digest"].as_str().unwrap();
        let equal =
            bench.sql(&format!("SELECT count(*) AS n FROM v_sweeps WHERE digest = '{digest}'"));
        assert_eq!(equal[0]["n"], 1, "{lr}");
    }
}
