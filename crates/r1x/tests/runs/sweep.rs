//! A spec that stands for several runs: each is the run that its values make alone, whatever happens on the way.

use std::process::Command;

use serde_json::{Value, json};

use super::bench::{Bench, SWEPT, Started, text};

/// Runs long enough to be met in their second stage.
const LONG: [&str; 2] = ["--set", "stages.rl.grpo.steps=200"];

/// The members of the newest sweep, in order.
fn members(bench: &Bench) -> Vec<Value> {
    bench.json(&["ls", "--sweep", "--json"])["members"].as_array().unwrap().clone()
}

fn statuses(bench: &Bench) -> Vec<String> {
    let status =
        |member: &Value| member["run"]["status"].as_str().unwrap_or("not begun").to_owned();
    members(bench).iter().map(status).collect()
}

fn count(bench: &Bench) -> u64 {
    bench.sql("SELECT count(*) AS n FROM v_runs")[0]["n"].as_u64().unwrap()
}

/// The digest of the run that has these values and is no part of a sweep.
fn alone(bench: &Bench, seed: u64, lr: &str, more: &[&str]) -> Value {
    let (seed, lr) = (seed.to_string(), format!("stages.rl.grpo.lr={lr}"));
    let mut arguments = vec!["run", SWEPT, "--json", "--set", "sweep=null", "--seed", &seed];
    arguments.extend(["--set", &lr, "--threads", "1"]);
    arguments.extend(more);
    bench.json(&arguments)["digest"].clone()
}

#[test]
fn every_run_of_a_sweep_is_the_run_that_its_values_make_alone() {
    let bench = Bench::with_swept();
    let found = bench.json(&["run", SWEPT, "--json", "--jobs", "2", "--threads", "2"]);
    assert_eq!(statuses(&bench), ["done"; 4]);
    let sweep = found["sweep"].as_str().unwrap();
    assert!(sweep.starts_with("swept-sweep-"), "{sweep}");
    let all = members(&bench);
    let values: Vec<&Value> = all.iter().map(|member| &member["values"]).collect();
    let of = |seed: u64, lr: f64| json!({"seed": seed, "stages.rl.grpo.lr": lr});
    assert_eq!(values, [&of(1, 1e-4), &of(1, 3e-4), &of(2, 1e-4), &of(2, 3e-4)]);
    for (member, (seed, lr)) in all.iter().zip([(1, "1e-4"), (1, "3e-4"), (2, "1e-4"), (2, "3e-4")])
    {
        assert_eq!(member["run"]["digest"], alone(&bench, seed, lr, &[]), "{seed} {lr}");
    }
    let alone = bench.latest();
    assert_eq!(alone["plan_sha256"], all[3]["plan_sha256"]);
    assert_eq!((&alone["sweep"], &all[3]["run"]["sweep"]), (&Value::Null, &sweep.into()));

    // A row for each rate, over both seeds.
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(found["paths"], json!(["stages.rl.grpo.lr"]));
    assert_eq!(rows.len(), 2);
    for (row, lr) in rows.iter().zip([1e-4, 3e-4]) {
        assert_eq!(row["values"], json!({"stages.rl.grpo.lr": lr}));
        assert_eq!((&row["runs"], &row["ended"]), (&2.into(), &2.into()));
        let mean = |metric: &str| {
            let figures = row["figures"].as_array().unwrap();
            figures.iter().find(|figure| figure["metric"] == metric).unwrap().clone()
        };
        let sql = format!(
            "SELECT avg(v.value) AS mean FROM v_sweeps s JOIN v_evals v USING (run_id)
              WHERE s.combination ->> '$.\"stages.rl.grpo.lr\"' = {lr} AND v.stage = 'rl' AND v.step = 6
                AND v.metric = 'tokens'"
        );
        assert_eq!(mean("tokens")["mean"], bench.sql(&sql)[0]["mean"], "{row}");
        assert_eq!((&mean("tokens")["n"], &mean("reward.mean")["n"]), (&2.into(), &2.into()));
        assert!(mean("reward.mean")["stderr"].as_f64().unwrap() >= 0.0);
    }
    assert_eq!(bench.json(&["compare", "--json"]), found);
    let table = bench.ok(&["compare", &sweep[..16]]);
    for word in ["stages.rl.grpo.lr", "3e-4", "2 of 2", "reward.mean", "heldout pass@1", "±"] {
        assert!(table.contains(word), "{word}\n{table}");
    }
    bench.ok(&["plot", "--sweep", "-o", "sweep.svg", "--window", "3"]);
    let svg = std::fs::read_to_string(bench.path("sweep.svg")).unwrap();
    assert_eq!(svg.matches("<polygon").count(), 2, "a band for each rate: {svg}");
    assert!(svg.contains("stages.rl.grpo.lr=1e-4, 2 seeds"), "{svg}");
}

#[test]
fn a_sweep_that_is_started_again_makes_what_is_not_there() {
    let bench = Bench::with_swept();
    let said = text(&bench.output(&["run", SWEPT, "--set", "sweep.matrix={seed: [3, 1]}"]).stderr);
    assert!(said.contains("2 runs\n") && said.contains("run 2 of 2: seed=1"), "{said}");
    let before = members(&bench);
    let again = bench.output(&["run", SWEPT, "--set", "sweep.matrix={seed: [3, 1]}"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert!(text(&again.stderr).contains("2 runs, 2 there already"), "{}", text(&again.stderr));
    assert_eq!((count(&bench), members(&bench)), (2, before.clone()));

    // More seeds are the same sweep; another plan for the same seed is another one, and so is one that is asked for.
    bench.ok(&["run", SWEPT, "--set", "sweep=null", "--seeds", "1..3"]);
    assert_eq!(statuses(&bench).len(), 3);
    assert_eq!(members(&bench)[..2], before[..]);
    assert_eq!(count(&bench), 3);
    let shorter = ["run", SWEPT, "--seeds", "1", "--set", "stages.rl.grpo.steps=5"];
    bench.ok(&[&shorter[..], &["--set", "sweep=null"]].concat());
    assert_eq!((statuses(&bench).len(), count(&bench)), (1, 4));
    bench.ok(&[&shorter[..], &["--set", "sweep=null", "--anew"]].concat());
    assert_eq!((statuses(&bench).len(), count(&bench)), (1, 5));
    let sweeps = bench.sql("SELECT count(DISTINCT sweep) AS n FROM v_sweeps");
    assert_eq!(sweeps[0]["n"], 3);
}

#[test]
fn one_run_of_a_sweep_is_made_again_and_gone_on_with_by_itself() {
    let bench = Bench::with_swept();
    let mut started = bench.start(&[&["run", SWEPT, "--seeds", "2,1"], &LONG[..]].concat());
    started.wait_for("stage rl");
    started.signal("INT");
    let told = started.end(130);
    assert!(told.contains("goes on when it is started again"), "{told}");
    assert_eq!(statuses(&bench)[0], "interrupted");
    assert_eq!(statuses(&bench)[1..], ["not begun"; 3], "nothing more begins");
    let run = members(&bench)[0]["run"]["name"].as_str().unwrap().to_owned();
    bench.ok(&["resume", &run]);
    assert_eq!(statuses(&bench)[0], "done");
    let digest = bench.json(&["show", &run, "--json"])["digest"].clone();
    assert_eq!(digest, alone(&bench, 2, "1e-4", &LONG));
    // Neither the spec nor the sweep is needed any more.
    std::fs::remove_file(bench.path(SWEPT)).unwrap();
    let again = bench.json(&["reproduce", &run, "--json"]);
    assert_eq!((&again["reproduction"]["matches"], &again["digest"]), (&true.into(), &digest));
    assert_eq!(statuses(&bench)[1..], ["not begun"; 3], "what is made again is no part of it");
    assert_eq!(members(&bench)[0]["run"]["name"], run.as_str());
}

#[test]
fn an_interrupted_sweep_goes_on_where_it_was() {
    let bench = Bench::with_swept();
    let arguments = [&["run", SWEPT, "--jobs", "2", "--threads", "2"], &LONG[..]].concat();
    let mut started = bench.start(&arguments);
    started.wait_for("[1] stage rl");
    started.signal("INT");
    let told = started.end(130);
    assert!(told.contains("stopping 2 runs"), "{told}");
    assert!(told.contains("[1] interrupted: "), "{told}");
    let before = members(&bench);
    assert_eq!(statuses(&bench)[2..], ["not begun"; 2]);
    let (left, row) = (bench.json(&["compare", "--json"]), "rows");
    assert_eq!(left[row][0]["ended"], 0, "{left}");
    assert_eq!(left[row][0]["others"]["not begun"], 1, "{left}");
    assert!(bench.ok(&["compare"]).contains("0 of 2"));

    bench.ok(&arguments);
    assert_eq!(statuses(&bench), ["done"; 4]);
    let after = members(&bench);
    assert_eq!(after[0]["run"]["name"], before[0]["run"]["name"], "it is gone on with");
    assert_eq!(after[0]["run"]["sittings"], 2);
    for (member, (seed, lr)) in after.iter().zip([(1, "1e-4"), (1, "3e-4")]) {
        assert_eq!(member["run"]["digest"], alone(&bench, seed, lr, &LONG), "{seed} {lr}");
    }
}

#[test]
fn a_run_that_fails_stops_no_other() {
    let bench = Bench::with_swept();
    let gates = "sweep.matrix={evals.heldout.gate: [{pass@1: 1.0}, {pass@1: 0.0}]}";
    let told = bench.fails(5, &["run", SWEPT, "--set", gates]);
    assert_eq!(statuses(&bench), ["gate missed", "done"]);
    assert!(told.contains("gate missed  evals.heldout.gate={\"pass@1\":1.0} swept-"), "{told}");
    assert!(told.contains("(exit code 5)"), "{told}");
    // It is what these values lead to, and stays so.
    bench.fails(5, &["run", SWEPT, "--set", gates]);
    assert_eq!(count(&bench), 2);
}

/// Kills the process that is at work on the newest run.
fn kill_newest(bench: &Bench) {
    let rows = bench.sql("SELECT pid FROM run ORDER BY run_id DESC LIMIT 1");
    let pid = rows[0]["pid"].to_string();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
}

#[test]
fn a_run_that_is_killed_is_made_when_the_sweep_is_started_again() {
    let bench = Bench::with_swept();
    let arguments = [&["run", SWEPT, "--set", "sweep=null", "--seeds", "1,2"], &LONG[..]].concat();
    let mut started = bench.start(&arguments);
    started.wait_for("stage rl");
    kill_newest(&bench);
    let told = started.end(1);
    assert_eq!(statuses(&bench), ["crashed", "done"], "{told}");
    assert!(told.contains("crashed  seed=1 swept-"), "{told}");
    bench.ok(&arguments);
    assert_eq!((statuses(&bench), count(&bench)), (vec!["done".to_owned(); 2], 2));
}

/// Everything that is said, by those who are left as well, once all of them have ended.
fn kill(mut started: Started) -> String {
    started.signal("KILL");
    started.child.wait().unwrap();
    started.rest()
}

#[test]
fn runs_whose_sweep_was_killed_save_and_end() {
    let bench = Bench::with_swept();
    let arguments = [&["run", SWEPT, "--seeds", "1"], &LONG[..]].concat();
    let mut started = bench.start(&arguments);
    started.wait_for("stage rl");
    let told = kill(started);
    assert!(told.contains("interrupted: "), "{told}");
    assert_eq!(statuses(&bench), ["interrupted", "not begun"]);
    bench.ok(&arguments);
    assert_eq!((statuses(&bench), count(&bench)), (vec!["done".to_owned(); 2], 2));
}

#[test]
fn a_second_signal_stops_every_run_at_once() {
    let bench = Bench::with_swept();
    let long =
        ["--set", "stages.rl.grpo.steps=4000", "--set", "stages.rl.grpo.prompts_per_step=150"];
    let more = ["--set", "stages.rl.grpo.group_size=16", "--set", "checkpoints.every=1000"];
    let mut started = bench.start(&[&["run", SWEPT], &long[..], &more[..]].concat());
    started.wait_for("stage rl");
    started.signal("INT");
    started.wait_for("finishing the step or evaluation under way");
    started.signal("INT");
    started.end(130);
    assert_eq!(statuses(&bench), ["interrupted", "not begun", "not begun", "not begun"]);
}

#[test]
fn what_is_wrong_with_a_sweep_is_told_before_anything_runs() {
    let bench = Bench::with_swept();
    let wrong = |matrix: &str| format!("sweep.matrix={matrix}");
    for (matrix, told) in [
        ("{seed: [1, 2], stages.rl.grpo.lrr: [1e-4]}", "`stages.rl.grpo` has no key `lrr`"),
        ("{seed: [1, -2, 3]}", "`seed`"),
        ("{seed: []}", "`seed` lists no value"),
        ("{seed: [1, 1]}", "`seed` lists `1` twice"),
    ] {
        let set = wrong(matrix);
        let checked = bench.fails(3, &["check", SWEPT, "--set", &set]);
        assert_eq!(bench.fails(3, &["run", SWEPT, "--set", &set]), checked);
        assert!(checked.contains(told), "{told}\n{checked}");
        assert!(checked.contains("1 error. Nothing was run."), "{checked}");
    }
    // What is wrong with one of the runs only, and is found in its data.
    let short = wrong("{model.context_length: [32, 20], seed: [1, 2]}");
    let checked = bench.fails(4, &["check", SWEPT, "--set", &short]);
    assert!(checked.contains("with model.context_length=20 seed=1 cannot begin"), "{checked}");
    assert_eq!(bench.fails(4, &["run", SWEPT, "--set", &short]), checked);
    assert!(!bench.path("runs").exists(), "nothing was run");
    let told = bench.fails(2, &["run", "small.yaml", "--jobs", "2"]);
    assert!(told.contains("are for a spec that stands for several runs"), "{told}");
    bench.fails(2, &["run", "small.yaml", "--seeds", "1..3", "--seed", "2"]);
    bench.fails(2, &["run", "small.yaml", "--seeds", "3..1"]);
    assert!(bench.ok(&["check", SWEPT]).contains("4 runs, each with 2 stages"));
    bench.ok(&["run", "small.yaml", "--seed", "1", "--set", "stages.rl.grpo.steps=2"]);
    let told = bench.fails(4, &["compare"]);
    assert!(told.contains("there is no sweep in "), "{told}");
}

#[test]
fn a_plan_of_a_sweep_has_every_run_and_the_cost_of_all() {
    let bench = Bench::with_swept();
    let plan = bench.json(&["plan", SWEPT, "--json"]);
    let runs = plan["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 4);
    assert_eq!(runs[2]["values"], json!({"seed": 2, "stages.rl.grpo.lr": 1e-4}));
    let sets = ["--set", "sweep=null", "--seed", "2", "--set", "stages.rl.grpo.lr=1e-4"];
    let one = bench.json(&[&["plan", SWEPT, "--json"], &sets[..]].concat());
    assert_eq!(runs[2]["plan_sha256"], one["plan_sha256"]);
    assert_eq!(plan["sweep"][0], json!({"path": "seed", "values": [1, 2]}));
    let table = bench.ok(&["plan", SWEPT]);
    for word in ["stages.rl.grpo.lr", "3e-4", "one after the other", "--set sweep=null"] {
        assert!(table.contains(word), "{word}\n{table}");
    }
    assert!(table.contains(&one["plan_sha256"].as_str().unwrap()[..12]), "{table}");
}
