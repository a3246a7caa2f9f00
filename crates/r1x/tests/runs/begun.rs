//! Runs that begin with a checkpoint of an earlier run: what they compute is what one run of both would, and what does not
//! fit is refused where it is written.

use super::bench::{BEGUN, Bench, text};

/// The small experiment with another last stage; the name of the run.
fn run(bench: &Bench, last: &str, steps: u64) -> String {
    let steps = format!("stages.cold-start.sft.steps={steps}");
    let sets = ["--set", "stages.rl.grpo=null", "--set", last, "--set", &steps, "--json"];
    let run = bench.json(&[&["run", "small.yaml"][..], &sets].concat());
    run["run"].as_str().unwrap().to_owned()
}

/// The first stage of the small experiment as a run of its own: the last one changes nothing.
fn first(bench: &Bench) -> String {
    run(bench, "stages.rl.evaluate={evals: [heldout]}", 12)
}

fn weights(bench: &Bench, run: &str, checkpoint: &str) -> Vec<u8> {
    std::fs::read(bench.path(&format!("runs/{run}/{checkpoint}/model.safetensors"))).unwrap()
}

#[test]
fn a_run_that_is_split_computes_what_the_whole_one_does() {
    let bench = Bench::with_begun();
    let last = "stages.rl.sft={data: sums.train, skip: 100, steps: 8, batch_size: 16, micro_batch_size: 8, lr: 3e-3}";
    let whole = run(&bench, last, 12);
    let first = first(&bench);
    let of_run = format!("model.checkpoint={first}:cold-start");
    let plan = bench.ok(&["plan", BEGUN, "--set", &of_run]);
    let sha256 = &bench.sql(&format!(
        "SELECT sha256 FROM v_checkpoints WHERE run = '{first}' AND path = 'cold-start/final'"
    ))[0]["sha256"];
    let said = plan.lines().find(|line| line.starts_with("checkpoint ")).unwrap_or_default();
    assert!(said.contains(&sha256.as_str().unwrap()[..12]), "{plan}");
    let second = bench.json(&["run", BEGUN, "--set", &of_run, "--json"]);
    let name = second["run"].as_str().unwrap();
    assert_eq!(weights(&bench, name, "rl/final"), weights(&bench, &whole, "rl/final"));
    let metrics = |run: &str| {
        bench.sql(&format!(
            "SELECT step, metric, value FROM v_metrics WHERE run = '{run}' AND stage = 'rl' ORDER BY step, metric"
        ))
    };
    assert!(metrics(name).len() > 8 && metrics(name) == metrics(&whole));
    assert_ne!(weights(&bench, name, "rl/final"), weights(&bench, &first, "cold-start/final"));
    // The folder says the same, by whatever name, and there as well the last checkpoint of the stage is `final`.
    for begins in [
        format!("model.checkpoint=runs/{first}/cold-start/final"),
        format!("model.checkpoint={first}:cold-start/final"),
    ] {
        let again = bench.json(&["run", BEGUN, "--set", &begins, "--json"]);
        assert_eq!(again["digest"], second["digest"], "{begins}");
    }
}

#[test]
fn a_checkpoint_that_does_not_fit_is_refused_where_it_is_written() {
    let bench = Bench::with_begun();
    let first = first(&bench);
    let folder = format!("runs/{first}/cold-start/final");
    let refused = |begins: &str, other: &str| {
        let begins = format!("model.checkpoint={begins}");
        let told = bench.fails(4, &["check", BEGUN, "--set", &begins, "--set", other]);
        assert!(told.contains("cannot be used"), "{told}");
        told
    };
    let none = "tags=[a]";
    assert!(refused("nobody:rl", none).contains("nobody"));
    let told = refused(&format!("{first}:rl"), none);
    assert!(told.contains("has no checkpoint `rl`") && told.contains("cold-start/final"), "{told}");
    assert!(refused("runs", none).contains("state.json"));
    assert!(refused(&folder, "model.layers=2").contains("differs in `layers`"));
    assert!(refused(&folder, "model.rope_theta=5000").contains("differs in `rope`"));
    let told = refused(&folder, "data.sums.countdown.numbers=[1, 30]");
    assert!(told.contains("reads other tokens"), "{told}");
    // Where the store of its run is not at hand, names and shapes of tensors are all that is known.
    std::fs::create_dir(bench.path("copied")).unwrap();
    for file in ["model.safetensors", "state.json", "optimizer.safetensors"] {
        std::fs::copy(
            bench.path(&format!("{folder}/{file}")),
            bench.path(&format!("copied/{file}")),
        )
        .unwrap();
    }
    bench.ok(&["check", BEGUN, "--set", "model.checkpoint=copied"]);
    assert!(refused("copied", "model.layers=2").contains("has no tensor"));
    let file = bench.path("copied/model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert!(refused("copied", none).contains("copied/model.safetensors"));
}

/// The plan has the hash of the weights, so other weights in the folder are noticed by whoever goes on.
#[test]
fn a_run_does_not_go_on_from_weights_that_were_exchanged() {
    let bench = Bench::with_begun();
    let one = first(&bench);
    let shorter = run(&bench, "stages.rl.evaluate={evals: [heldout]}", 5);
    let folder = |run: &str| bench.path(&format!("runs/{run}/cold-start/final"));
    bench.interrupted(&[&format!("model.checkpoint={one}:cold-start")]);
    std::fs::rename(folder(&one), bench.path("kept")).unwrap();
    std::fs::rename(folder(&shorter), folder(&one)).unwrap();
    let told = bench.output(&["resume"]);
    assert!(!told.status.success());
    assert!(text(&told.stderr).contains("other weights"), "{}", text(&told.stderr));
    std::fs::remove_dir_all(folder(&one)).unwrap();
    std::fs::rename(bench.path("kept"), folder(&one)).unwrap();
    bench.ok(&["resume"]);
}
