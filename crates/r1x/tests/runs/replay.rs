//! Steps and groups that are made again from a checkpoint, beside a run that stays as it is.

use serde_json::Value;

use super::bench::{Bench, HARVEST, JUDGED, TAUGHT, TURNS, text};
use super::reproduce::{cell, name, patch};

/// Every file of the runs, with its bytes' hash.
fn files(bench: &Bench) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![bench.path("runs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.path().display().to_string());
            if path.is_dir() {
                folders.push(path);
            } else if !name.ends_with("-shm") && !name.ends_with("-wal") {
                found.push((name, r1x_core::digest::sha256(&std::fs::read(path).unwrap())));
            }
        }
    }
    found.sort();
    found
}

/// Replays what must be equal, and returns what was said of it.
fn matches(bench: &Bench, arguments: &[&str]) -> Value {
    let output = bench.output(&[&["replay", "--json"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["matches"], &said["difference"]), (&true.into(), &Value::Null), "{said}");
    said
}

#[test]
fn a_step_and_a_group_are_made_again_from_the_nearest_checkpoint() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml"]);
    let run = name(&bench);
    let before = files(&bench);
    let address = |rest: &str| format!("{run}@{rest}");
    assert_eq!(matches(&bench, &[&address("33")])["from"], "rl/step-000030");
    assert_eq!(matches(&bench, &[&address("30.2"), "--threads", "1"])["from"], "rl/step-000030");
    // Older checkpoints of the stage are gone.
    assert_eq!(matches(&bench, &[&address("3")])["from"], "cold-start/final");
    let supervised = matches(&bench, &[&address("11"), "--stage", "cold-start"]);
    assert_eq!(
        (&supervised["from"], &supervised["stage"]),
        (&"cold-start/step-000010".into(), &"cold-start".into())
    );
    assert_eq!(matches(&bench, &[&address("4"), "--stage", "cold-start"])["from"], Value::Null);

    let output = bench.output(&["replay", &address("31.2")]);
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    assert!(told.contains("from rl/step-000030: 1 step before it is made again"), "{told}");
    assert!(told.contains(&format!("the environment is that of {run}")), "{told}");
    assert!(
        said.contains(&format!("bitwise match: group 2 of step 31 of stage `rl` of {run}")),
        "{said}"
    );
    // What is shown of it is what is shown of the recorded one.
    let shown = bench.ok(&["show", &address("31.2")]);
    assert!(said.starts_with(&shown), "{said}\n{shown}");
    assert_eq!(files(&bench), before, "nothing of the run has changed");
}

#[test]
fn the_first_difference_of_a_step_or_group_is_named() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml"]);
    let run = name(&bench);
    let sql = "SELECT hex(logp) AS x FROM v_rollouts JOIN rollout_payload USING (rollout_id) WHERE stage = 'rl' \
               AND step = 33 AND grp = 2 AND sample = 1";
    let logprobs = cell(&bench, sql);
    let mut changed = logprobs.clone();
    changed[8] ^= 1;
    patch(&bench, &logprobs, &changed);
    for address in ["33", "33.2"] {
        let output = bench.output(&["replay", &format!("{run}@{address}")]);
        assert_eq!(output.status.code(), Some(9), "{}", text(&output.stderr));
        let first = format!(
            "first difference from {run}: step 33 of stage `rl`, rollout 2.1, token 2: the log-prob was "
        );
        assert!(text(&output.stdout).contains(&first), "{}", text(&output.stdout));
    }
    matches(&bench, &[&format!("{run}@33.1")]);
    matches(&bench, &[&format!("{run}@34")]);
}

#[test]
fn stages_that_need_what_earlier_ones_made_are_made_again() {
    for (bench, spec, at) in [
        (
            Bench::with_harvest(),
            HARVEST,
            [("harvest", "5.3"), ("harvest", "12"), ("again", "3")].as_slice(),
        ),
        (Bench::with_turns(), TURNS, &[("small", "2"), ("smaller", "1")]),
        (Bench::with_taught(), TAUGHT, &[("student", "1"), ("on-its-own", "2.1")]),
        (Bench::with_judged(), JUDGED, &[("judge", "3"), ("rl", "3.0")]),
    ] {
        bench.ok(&["run", spec]);
        for (stage, step) in at {
            matches(&bench, &[&format!("@{step}"), "--stage", stage]);
        }
    }
}

/// A reward model is asked from the checkpoint of the stage that trained it.
#[test]
fn checkpoints_that_are_gone_are_named_with_what_makes_them_again() {
    let bench = Bench::with_judged();
    bench.ok(&["run", JUDGED]);
    let run = name(&bench);
    std::fs::rename(bench.path(&format!("runs/{run}")), bench.path("elsewhere")).unwrap();
    let told = bench.fails(4, &["replay", "latest@1", "--stage", "rl"]);
    let gone = "reads checkpoints of stages above it, and these are gone: `warm-up/final`, `judge/final`\n";
    assert!(told.contains(&format!("error: stage `rl` of {run} {gone}")), "{told}");
    assert!(told.contains(&format!("help: `r1x reproduce {run}` makes them again")), "{told}");
    assert!(!bench.path(&format!("runs/{run}")).exists(), "nothing is left of what was made");
    bench.ok(&["reproduce", &run]);
    assert_eq!(matches(&bench, &["latest@1", "--stage", "rl"])["from"], "judge/final");
}

#[test]
fn what_is_not_there_is_not_made_again() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml"]);
    for (address, why) in [
        ("latest", "write RUN@STEP or RUN@STEP.GROUP"),
        ("@3.1.2", "is neither a step nor a group"),
        ("@x", "is not an address"),
        ("@40", "`rl` has steps 0 to 39"),
        ("@3.6", "has groups 0 to 5"),
        ("nobody@3", "nobody"),
    ] {
        let told = bench.fails(4, &["replay", address]);
        assert!(told.contains(why), "{address}: {told}");
    }
    std::fs::remove_file(bench.path("plugins/format.wasm")).unwrap();
    matches(&bench, &["@39"]);
}
