//! Stopping: once saves, twice stops at once, and both say what is left.
//!
//! Must not test the store alone.

use super::bench::Bench;

/// Long enough that a step can be interrupted.
const LONG: &[&str] = &[
    "--set",
    "stages.rl.grpo.steps=4000",
    "--set",
    "stages.rl.grpo.prompts_per_step=150",
    "--set",
    "stages.rl.grpo.group_size=16",
    "--set",
    "checkpoints.every=1000",
];

#[test]
fn a_second_signal_stops_at_once_and_says_what_is_saved() {
    let bench = Bench::new();
    let mut started = bench.start(&[&["run", "small.yaml"], LONG].concat());
    started.wait_for("stage rl");
    started.signal("INT");
    started.wait_for("finishing the step or evaluation under way");
    started.signal("INT");
    let told = started.end(130);
    if told.contains("interrupted:") {
        // The step was over before the second signal came.
        return;
    }
    for line in [
        "stopped at once: the step under way is lost",
        "  saved: cold-start/final (12 of 12 steps of stage `cold-start`)",
        "  go on from there: r1x resume small-",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    let card = bench.latest();
    assert_eq!((&card["status"], &card["exit_code"]), (&"interrupted".into(), &130.into()));
    assert_eq!(card["stages"][1]["status"], "interrupted");
    let sets =
        ["sql", "SELECT count(*) AS n FROM sitting WHERE ended_ms IS NULL", "--format", "json"];
    assert_eq!(bench.json(&sets)[0]["n"], 0);
}

/// `stage 1, step 17` names nothing that a person has written; the store's numbers lead to what they say.
#[test]
fn steps_are_counted_as_the_store_counts_them() {
    let bench = Bench::new();
    let told = bench.interrupted(&[]);
    let card = bench.latest();
    let done = card["stages"][1]["steps"].as_u64().unwrap();
    let said = if done == 1 {
        "interrupted: 1 step of stage `rl` is done; saved".to_owned()
    } else {
        format!("interrupted: {done} steps of stage `rl` are done; saved")
    };
    assert!(told.contains(&said), "{said}\n{told}");
    let last = format!("latest@{}", done - 1);
    assert!(bench.ok(&["show", &last, "--stage", "rl"]).contains(&format!("rl step {}", done - 1)));
    bench.fails(4, &["show", &format!("latest@{done}"), "--stage", "rl"]);
}
