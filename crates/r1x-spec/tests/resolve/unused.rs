//! Entries of a spec that nothing uses.

use r1x_spec::{Asked, Diagnostic, Style, render_warnings};

use crate::common::{SPEC, World, render};

const BASE: &str = include_str!("../base.yaml");

fn world(text: &str) -> World {
    World::new().with(SPEC, text).with("experiments/rows.jsonl", "{}")
}

fn warnings(text: &str, set: &[&str]) -> Vec<Diagnostic> {
    match world(text).runs(set) {
        Ok(Asked::Run(resolved)) => resolved.warnings,
        Ok(Asked::Sweep(sweep)) => sweep.warnings,
        Err(report) => panic!("{}", render(&report)),
    }
}

fn messages(text: &str, set: &[&str]) -> Vec<String> {
    let found = warnings(text, set);
    assert!(found.iter().all(|warning| warning.code == "R1X0143"), "{found:?}");
    found.into_iter().map(|warning| warning.message).collect()
}

#[test]
fn what_no_stage_and_no_suite_uses_is_warned_about() {
    // The base spec has a file of rows for the sake of mistakes in it.
    let found = render_warnings(&warnings(BASE, &[]), Style { unicode: true, ..Style::default() });
    let expected = "\
warning[R1X0143]: the data set `file` is of no use: no stage and no suite draws from it
   ┌─ experiments/spec.yaml:16:3
16 │   file:
   │   ^^^^
   = help: name it under `data` of a stage or a suite, or take it out
";
    assert_eq!(found, expected);
    let whole = BASE.replace("  file:\n    jsonl: {path: rows.jsonl, columns: [question]}\n    prompt: \"{{ question }}\"\n", "");
    assert_eq!(messages(&whole, &[]), [""; 0]);
    let lone = format!("{whole}models:\n  critic: {{head: value}}\n");
    let of_model = "the model `critic` is of no use: no stage works on it or learns from it";
    assert_eq!(messages(&lone, &[]), [of_model]);
    let of_reward = "the reward `format` is of no use: no stage and no suite asks it";
    assert_eq!(messages(&whole, &["stages.rl.grpo.rewards=[equation]"]), [of_reward]);
    // A reward that a suite grades with is of use, and so is data whose words are the vocabulary.
    let graded = ["stages.rl.grpo.rewards=[equation]", "evals.heldout.grade=format"];
    assert_eq!(messages(&whole, &graded), [""; 0]);
    let further = "data:\n  more:\n    countdown: {count: 3, numbers: [1, 20], target: [1, 100], train: 200, heldout: 10}\n    \
                   prompt: \"{{ target }}\"\n";
    let more = whole.replace("data:\n", further);
    let of_data = "the data set `more` is of no use: no stage and no suite draws from it";
    assert_eq!(messages(&more, &[]), [of_data]);
    assert_eq!(messages(&more, &["model.tokenizer={data: [countdown, more]}"]), [""; 0]);
}

#[test]
fn what_is_extended_may_have_more_than_is_used() {
    let child = "r1x: 1\nextends: parent.yaml\nname: child\n";
    let world = World::new().with("experiments/parent.yaml", BASE).with(SPEC, child);
    let world = world.with("experiments/rows.jsonl", "{}");
    match world.resolve(&[]) {
        Ok(resolved) => assert_eq!(resolved.warnings, []),
        Err(report) => panic!("{}", render(&report)),
    }
}

/// A reward that one combination of a sweep does not ask is of use to another one.
#[test]
fn a_sweep_is_warned_about_what_none_of_its_runs_uses() {
    let of_data = "the data set `file` is of no use: no stage and no suite draws from it";
    let matrix =
        "sweep:\n  matrix:\n    \"stages.rl.grpo.rewards\": [[equation], [format, equation]]\n";
    assert_eq!(messages(&format!("{BASE}{matrix}"), &[]), [of_data]);
    let matrix = "sweep:\n  matrix:\n    seed: [1, 2]\n";
    let set = ["stages.rl.grpo.rewards=[equation]"];
    let of_reward = "the reward `format` is of no use: no stage and no suite asks it";
    assert_eq!(messages(&format!("{BASE}{matrix}"), &set), [of_data, of_reward]);
}
