//! Specs that stand for several runs: which they are, in which order, and that each is the run of a spec without a
//! sweep. What is said of mistakes is in `mistakes`.

mod common;

use std::path::Path;

use common::{SPEC, World, render};
use r1x_core::plan::RunPlan;
use r1x_spec::{Asked, Given, Seeds, Sweep, label, resolve_combination};
use serde_json::json;

const BASE: &str = include_str!("base.yaml");

fn world(more: &str) -> World {
    World::new().with(SPEC, &format!("{BASE}{more}")).with("experiments/rows.jsonl", "{}")
}

fn sweep(world: &World, set: &[&str], seeds: &[u64]) -> Sweep {
    let text = seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let seeds = Seeds { text, seeds: seeds.to_vec() };
    match world.runs_with_seeds(set, &seeds) {
        Ok(Asked::Sweep(sweep)) => *sweep,
        Ok(Asked::Run(_)) => panic!("one run"),
        Err(report) => panic!("{}", render(&report)),
    }
}

fn labels(sweep: &Sweep) -> Vec<String> {
    sweep.combinations.iter().map(|combination| label(&combination.values)).collect()
}

/// The plan of the spec without its sweep, with these values.
fn alone(world: &World, set: &[&str]) -> RunPlan {
    let set: Vec<&str> = ["sweep=null"].iter().chain(set).copied().collect();
    match world.runs(&set) {
        Ok(Asked::Run(resolved)) => resolved.plan,
        Ok(Asked::Sweep(_)) => panic!("several runs"),
        Err(report) => panic!("{}", render(&report)),
    }
}

const MATRIX: &str =
    "sweep:\n  matrix:\n    seed: [1, 2]\n    \"stages.rl.grpo.lr\": [1e-5, 3e-5]\n";

#[test]
fn every_combination_is_the_run_with_its_values() {
    let world = world(MATRIX);
    let sweep = sweep(&world, &["stages.rl.grpo.steps=7"], &[]);
    assert_eq!(
        labels(&sweep),
        [
            "seed=1 stages.rl.grpo.lr=1e-5",
            "seed=1 stages.rl.grpo.lr=3e-5",
            "seed=2 stages.rl.grpo.lr=1e-5",
            "seed=2 stages.rl.grpo.lr=3e-5",
        ]
    );
    for combination in &sweep.combinations {
        let set: Vec<String> =
            combination.values.iter().map(|(path, value)| format!("{path}={value}")).collect();
        let mut set: Vec<&str> = set.iter().map(String::as_str).collect();
        set.push("stages.rl.grpo.steps=7");
        assert_eq!(combination.resolved.plan, alone(&world, &set), "{set:?}");
    }
    let paths: Vec<&str> = sweep.axes.iter().map(|axis| axis.path.as_str()).collect();
    assert_eq!(paths, ["seed", "stages.rl.grpo.lr"]);
    assert_eq!(sweep.axes[1].values, [json!(1e-5), json!(3e-5)]);
}

#[test]
fn one_combination_is_found_by_its_values_and_knows_where_they_come_from() {
    let world = world(MATRIX);
    let find = |values: &[Given]| {
        let set = ["name=other".to_owned()];
        resolve_combination(Path::new(SPEC), &set, &Seeds::default(), values, &world).unwrap()
    };
    let values = |seed: u64, lr: f64| {
        vec![("seed".to_owned(), json!(seed)), ("stages.rl.grpo.lr".to_owned(), json!(lr))]
    };
    let found = find(&values(2, 3e-5)).unwrap();
    assert_eq!(found.plan, alone(&world, &["name=other", "seed=2", "stages.rl.grpo.lr=3e-5"]));
    assert_eq!(found.overrides, ["name=other", "seed=2", "stages.rl.grpo.lr=3e-5"]);
    let lr = found.settings.iter().find(|setting| setting.path == "stages.rl.grpo.lr").unwrap();
    assert_eq!(lr.origin.to_string(), format!("{SPEC}:{}", BASE.lines().count() + 4));
    assert!(!found.settings.iter().any(|setting| setting.path.starts_with("sweep")));
    assert_eq!(find(&values(3, 3e-5)), None);
    assert_eq!(find(&values(2, 3e-5)[..1]), None);
}

#[test]
fn seeds_beside_a_spec_are_a_sweep_and_take_the_place_of_its_own() {
    let plain = world("");
    assert_eq!(labels(&sweep(&plain, &[], &[3, 1])), ["seed=3", "seed=1"]);
    assert_eq!(
        sweep(&plain, &[], &[3, 1]).combinations[0].resolved.plan,
        alone(&plain, &["seed=3"])
    );
    let own = world(MATRIX);
    assert_eq!(
        labels(&sweep(&own, &[], &[9])),
        ["seed=9 stages.rl.grpo.lr=1e-5", "seed=9 stages.rl.grpo.lr=3e-5"]
    );
    let other = world("sweep: {matrix: {model.layers: [1, 2]}}\n");
    assert_eq!(
        labels(&sweep(&other, &[], &[9])),
        ["seed=9 model.layers=1", "seed=9 model.layers=2"]
    );

    let seeds = Seeds { text: "1..2".to_owned(), seeds: vec![1, 2] };
    let told = render(&plain.runs_with_seeds(&["seed=4"], &seeds).unwrap_err());
    assert!(told.contains("`seed` is set, but the sweep varies it"), "{told}");
    let many = Seeds { text: "1..600".to_owned(), seeds: (1..=600).collect() };
    let told = render(&other.runs_with_seeds(&[], &many).unwrap_err());
    assert!(told.contains("the sweep has more than 1000 combinations"), "{told}");
    assert!(told.contains("experiments/spec.yaml:"), "{told}");
}

/// A map that says where everything in it comes from is replaced by it, and what the sweep says beside it is not.
#[test]
fn what_is_varied_reaches_everything_that_follows_it() {
    let world = world(
        "models:\n  student: {head: vocabulary}\nsweep: {matrix: {model.context_length: [48, 56]}}\n",
    );
    for combination in sweep(&world, &[], &[]).combinations {
        let plan = combination.resolved.plan;
        assert_eq!(plan.models["student"].context_length, plan.model.context_length);
    }
    let whole = "sweep: {matrix: {model.context_length: [128, 256], model.from: [models/tiny]}}\n";
    let lengths: Vec<usize> = sweep(&self::world(whole), &[], &[])
        .combinations
        .iter()
        .map(|combination| combination.resolved.plan.model.context_length)
        .collect();
    assert_eq!(lengths, [128, 256]);
}

#[test]
fn a_sweep_is_inherited_and_can_be_dropped() {
    let child = "extends: parent.yaml\nname: child\n";
    let world = World::new()
        .with("experiments/parent.yaml", &format!("{BASE}{MATRIX}"))
        .with("experiments/rows.jsonl", "{}")
        .with(SPEC, child);
    assert_eq!(sweep(&world, &[], &[]).combinations.len(), 4);
    let own = world.clone().with(SPEC, &format!("{child}sweep: {{matrix: {{seed: [5, 6, 7]}}}}\n"));
    assert_eq!(labels(&sweep(&own, &[], &[])), ["seed=5", "seed=6", "seed=7"]);
    let none = world.with(SPEC, &format!("{child}sweep: null\n"));
    assert!(matches!(none.runs(&[]), Ok(Asked::Run(_))));
}
