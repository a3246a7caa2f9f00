//! The upkeep of a store as a person does it: verified, copied, made shorter, merged with another one.
//!
//! Must not test the store alone.

use super::bench::{Bench, text};

/// Changes that make the small experiment still smaller.
const SHORT: [&str; 4] = ["--set", "stages.rl.grpo.steps=12", "--set", "evals=[]"];

/// A short run, and its name.
fn short(bench: &Bench, seed: &str) -> String {
    let arguments = [&["run", "small.yaml", "--json", "--seed", seed][..], &SHORT].concat();
    bench.json(&arguments)["run"].as_str().unwrap().to_owned()
}

/// Places of what `store verify` finds wrong.
fn wrong(bench: &Bench) -> Vec<String> {
    let output = bench.output(&["store", "verify", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let flaws = found["flaws"].as_array().unwrap();
    assert_eq!(output.status.code(), Some(if flaws.is_empty() { 0 } else { 8 }));
    let text = |flaw: &serde_json::Value, key: &str| flaw[key].as_str().unwrap().to_owned();
    assert!(flaws.iter().all(|flaw| !text(flaw, "mend").is_empty()));
    flaws.iter().map(|flaw| format!("{}: {}", text(flaw, "place"), text(flaw, "what"))).collect()
}

#[test]
fn the_store_in_use_is_named_with_the_reason() {
    let bench = Bench::new();
    let path = bench.path("runs/r1x.sqlite").display().to_string();
    let missing = bench.output(&["store", "path"]);
    assert_eq!(text(&missing.stdout), format!("{path}\n"));
    assert!(text(&missing.stderr).contains("this folder, and is not there yet"));
    std::fs::create_dir_all(bench.path("runs")).unwrap();
    std::fs::create_dir_all(bench.path("below")).unwrap();
    std::fs::write(&path, "").unwrap();
    let above = bench.command("below", &["store", "path", "--json"]).output().unwrap();
    let above: serde_json::Value = serde_json::from_slice(&above.stdout).unwrap();
    assert_eq!(
        (above["path"].as_str(), &above["chosen_by"]),
        (Some(&*path), &"folder above".into())
    );
    let asked = bench.output(&["store", "path", "--store", "other"]);
    assert!(text(&asked.stderr).contains("named by `--store`"), "{}", text(&asked.stderr));
    let set = bench.command("", &["store", "path"]).env("R1X_STORE", "other").output().unwrap();
    assert!(text(&set.stderr).contains("named by R1X_STORE"), "{}", text(&set.stderr));
}

#[test]
fn a_store_and_its_checkpoints_are_verified() {
    let bench = Bench::new();
    let run = short(&bench, "1");
    assert_eq!(wrong(&bench), Vec::<String>::new());
    let said = bench.ok(&["store", "verify"]);
    assert!(said.contains("1 of finished runs"), "{said}");
    assert!(said.contains("nothing is wrong"), "{said}");
    let compared = bench.json(&["store", "verify", "--json"]);
    // Two of each stage: the periodic ones that are kept, and the last one.
    assert!(compared["checkpoints"].as_u64().unwrap() >= 4, "{compared}");
    let weights = bench.path(&format!("runs/{run}/rl/final/model.safetensors"));
    let mut bytes = std::fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let found = wrong(&bench);
    assert!(found.len() == 1 && found[0].contains("recorded sha256"), "{found:?}");
    assert_eq!(bench.output(&["store", "verify", "--quick"]).status.code(), Some(0));
    std::fs::remove_dir_all(bench.path(&format!("runs/{run}/rl/final"))).unwrap();
    std::fs::remove_dir_all(bench.path(&format!("runs/{run}/rl/step-000010"))).unwrap();
    let found = wrong(&bench);
    assert_eq!(found.iter().filter(|flaw| flaw.contains("is not there")).count(), 2, "{found:?}");
    std::fs::remove_dir_all(bench.path(&format!("runs/{run}"))).unwrap();
    let found = wrong(&bench);
    assert!(found.len() == 1 && found[0].contains("none of its checkpoints"), "{found:?}");
    let table = bench.output(&["store", "verify"]);
    assert_eq!(table.status.code(), Some(8));
    assert!(text(&table.stdout).contains("1 thing is wrong"), "{}", text(&table.stdout));
}

#[test]
fn a_store_is_copied_under_a_run_and_not_made_shorter() {
    let bench = Bench::new();
    short(&bench, "1");
    // Longer than anybody looks.
    let mut started = bench.start(&["run", "small.yaml", "--set", "stages.rl.grpo.steps=20000"]);
    started.wait_for("stage rl");
    let said = bench.ok(&["store", "backup", "copies/one.sqlite"]);
    assert!(said.contains("copies/one.sqlite: ") && said.contains("runs: 2, "), "{said}");
    let told = bench.fails(8, &["store", "vacuum"]);
    assert!(told.contains("is in use: run small-"), "{told}");
    started.signal("INT");
    let told = started.end(130);
    assert!(!told.contains("cut short"), "{told}");
    let told = bench.fails(4, &["store", "backup", "copies/one.sqlite"]);
    assert!(told.contains("copies/one.sqlite is there already"), "{told}");
    let listed = bench.json(&["ls", "--json", "--store", "copies/one.sqlite"]);
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let said = bench.ok(&["store", "vacuum"]);
    assert!(said.contains(" before, ") && said.contains("belonged to no run: 0"), "{said}");
    assert_eq!(wrong(&bench), Vec::<String>::new());
}

#[test]
fn runs_of_another_store_are_taken_in_and_used() {
    let (here, there) = (Bench::new(), Bench::new());
    let (own, other) = (short(&here, "1"), short(&there, "2"));
    let path = there.path("runs/r1x.sqlite").display().to_string();
    let output = here.output(&["store", "merge", &path]);
    assert!(text(&output.stdout).contains("runs imported: 1, left alone: 0"), "{output:?}");
    assert!(text(&output.stderr).contains("`--checkpoints` would have copied them"), "{output:?}");
    let digest = |bench: &Bench, run: &str| bench.json(&["show", run, "--json"])["digest"].clone();
    assert_eq!(digest(&here, &other), digest(&there, &other));
    let found = wrong(&here);
    assert!(found.len() == 1 && found[0].contains("none of its checkpoints"), "{found:?}");
    let again = here.ok(&["store", "merge", &path]);
    assert!(again.contains("left alone: it is here already"), "{again}");
    let said = here.json(&["diff", &own, &other, "--json"]);
    assert!(!said["metrics"].as_array().unwrap().is_empty());
    // Made from nothing, with the checkpoints.
    let fresh = Bench::new();
    let merged = fresh.json(&["store", "merge", &path, "--checkpoints", "--json"]);
    assert_eq!(merged["imported"][0]["digest"], digest(&there, &other));
    assert_eq!(merged["folders"].as_array().unwrap().len(), 1);
    assert_eq!(wrong(&fresh), Vec::<String>::new());
    let written = fresh.ok(&["generate", "-n", "1", "--json"]);
    assert!(written.lines().count() > 0);
    let made = fresh.json(&["reproduce", &other, "--json"]);
    assert_eq!(made["reproduction"]["matches"], true, "{made}");
    let told = fresh.fails(8, &["store", "merge", "runs/r1x.sqlite"]);
    assert!(told.contains("it is this store"), "{told}");
    let told = fresh.fails(4, &["store", "merge", "nowhere.sqlite"]);
    assert!(told.contains("there is no store at nowhere.sqlite"), "{told}");
}

#[test]
fn a_store_grows_by_what_the_plan_says() {
    let bench = Bench::new();
    let bytes = || {
        bench.ok(&["store", "vacuum"]);
        std::fs::metadata(bench.path("runs/r1x.sqlite")).unwrap().len() as f64
    };
    let sets = |steps: &str| {
        // So short that hardly a completion ends before it has to: the plan tells what there is at most.
        let short = "stages.rl.grpo.sampling.max_tokens=4";
        let steps = format!("stages.rl.grpo.steps={steps}");
        ["--set", short, "--set", "evals=[]", "--set", &steps].map(str::to_owned)
    };
    let with = |command: &str, steps: &str| {
        let sets = sets(steps);
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        bench.json(&[&[command, "small.yaml", "--json"][..], &sets].concat())
    };
    // Components and the tables themselves are there before.
    with("run", "1");
    let before = bytes();
    with("run", "150");
    let grown = bytes() - before;
    let planned = with("plan", "150")["estimate"]["store_bytes"].as_f64().unwrap();
    assert!((0.9..1.1).contains(&(grown / planned)), "{grown} instead of {planned}");
}
