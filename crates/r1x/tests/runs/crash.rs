//! Runs that are killed, in the middle of whatever they do: who comes next finds a store, and the run goes on to the
//! digest of an undisturbed one. `cargo xtask crash` does so hundreds of times.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::bench::{Bench, CRITIC, HARVEST, JUDGED, MERGED, TAUGHT, TURNS, text};

/// When the program is killed.
#[derive(Clone, Copy, Debug)]
enum When {
    /// As soon as there is a store's file.
    StoreAppears,
    /// As soon as there is its log.
    LogAppears,
    /// As soon as so many checkpoints were begun.
    Saving(usize),
    /// As soon as there is a checkpoint of this stage and name.
    Saved(&'static str),
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Folders of checkpoints, whole or not.
fn saved(runs: &Path) -> impl Iterator<Item = PathBuf> {
    below(runs).into_iter().flat_map(|run| below(&run)).flat_map(|stage| below(&stage))
}

/// Starts a command, kills it, and cuts so many hundredths off the log.
fn kill(bench: &Bench, arguments: &[&str], when: When, cut: u64) {
    let mut child =
        bench.command("", arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (store, runs) = (bench.path("runs/r1x.sqlite"), bench.path("runs"));
    let log = bench.path("runs/r1x.sqlite-wal");
    let before: HashSet<PathBuf> = saved(&runs).collect();
    // Older ones are removed meanwhile.
    let mut begun = HashSet::new();
    while child.try_wait().unwrap().is_none() {
        let now = match when {
            When::StoreAppears => store.exists(),
            When::LogAppears => log.exists(),
            When::Saving(checkpoints) => {
                begun.extend(saved(&runs).filter(|path| !before.contains(path)));
                begun.len() >= checkpoints
            }
            When::Saved(checkpoint) => saved(&runs).any(|path| path.ends_with(checkpoint)),
        };
        if now {
            break;
        }
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let changed = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    // What the store's file has of the log was on the disk before: no power cut takes the log's end then.
    if let Ok(meta) = std::fs::metadata(&log)
        && changed(&store) < changed(&log)
    {
        let file = std::fs::OpenOptions::new().write(true).open(&log).unwrap();
        file.set_len(meta.len() - meta.len() * cut / 100).unwrap();
    }
}

/// Goes on with what is there, or begins: the digest at the end.
fn finish(bench: &Bench, spec: &str) -> String {
    let resumed = bench.output(&["resume", "--redo-steps", "--json"]);
    let told = text(&resumed.stderr);
    let output = match resumed.status.code() {
        Some(0) => resumed,
        // The kill came too late.
        _ if told.contains("is done") => {
            return bench.latest()["digest"].as_str().unwrap().to_owned();
        }
        _ => {
            // Nothing was there to go on with, and nothing on the disk says otherwise.
            assert!(
                told.contains("there is no") || told.contains("has no checkpoint yet"),
                "{told}"
            );
            bench.output(&["run", spec, "--json"])
        }
    };
    assert!(output.status.success(), "{}", text(&output.stderr));
    let verified = bench.output(&["store", "verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    let run: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    run["digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_killed_run_goes_on_to_the_digest_of_an_undisturbed_one() {
    let run = ["run", "small.yaml", "--set", "checkpoints.every=2"];
    let whole = {
        let bench = Bench::new();
        bench.json(&[&run[..], &["--json"]].concat())["digest"].as_str().unwrap().to_owned()
    };
    let resume = ["resume", "--redo-steps"];
    for (first, second, cut) in [
        (When::StoreAppears, When::Saving(1), 0),
        (When::LogAppears, When::Saving(2), 10),
        (When::Saving(1), When::Saving(1), 100),
        (When::Saving(6), When::Saving(3), 10),
        (When::Saving(9), When::Saving(2), 60),
    ] {
        let bench = Bench::new();
        // Compiled beforehand, so that the first run comes to its store soon.
        bench.ok(&["check", "small.yaml"]);
        kill(&bench, &run, first, cut);
        kill(&bench, &resume, second, cut);
        let listed = bench.output(&["ls", "--json"]);
        let told = text(&listed.stderr);
        assert!(listed.status.success() || told.contains("there is no store"), "{first:?} {told}");
        let begun: Vec<serde_json::Value> =
            serde_json::from_slice(&listed.stdout).unwrap_or_default();
        if begun.is_empty() {
            kill(&bench, &run, second, cut);
        }
        assert_eq!(
            finish(&bench, "small.yaml"),
            whole,
            "{first:?}, {second:?}, {cut} hundredths cut"
        );
    }
}

/// The stage that makes data begins after 6 checkpoints, and the one that learns from it after 13.
#[test]
fn a_run_killed_while_data_is_made_or_learnt_from_goes_on_to_its_digest() {
    let run = ["run", HARVEST, "--set", "checkpoints.every=2"];
    let whole = {
        let bench = Bench::with_harvest();
        let run = bench.json(&[&run[..], &["--json"]].concat());
        run["digest"].as_str().unwrap().to_owned()
    };
    for (first, second) in [(8, 2), (11, 3), (15, 1)] {
        let bench = Bench::with_harvest();
        kill(&bench, &run, When::Saving(first), 0);
        kill(&bench, &["resume", "--redo-steps"], When::Saving(second), 10);
        assert_eq!(finish(&bench, HARVEST), whole, "killed at {first}, then at {second}");
    }
}

#[test]
fn a_run_killed_while_another_model_is_at_work_goes_on_to_its_digest() {
    let run = ["run", TURNS, "--set", "checkpoints.every=2"];
    let whole = {
        let bench = Bench::with_turns();
        let run = bench.json(&[&run[..], &["--json"]].concat());
        run["digest"].as_str().unwrap().to_owned()
    };
    for (first, second) in [(8, 2), (10, 1), (13, 1)] {
        let bench = Bench::with_turns();
        kill(&bench, &run, When::Saving(first), 0);
        kill(&bench, &["resume", "--redo-steps"], When::Saving(second), 10);
        assert_eq!(finish(&bench, TURNS), whole, "killed at {first}, then at {second}");
    }
}

#[test]
fn a_run_killed_around_its_reward_model_goes_on_to_its_digest() {
    let run = ["run", JUDGED];
    let whole = {
        let bench = Bench::with_judged();
        let run = bench.json(&[&run[..], &["--json"]].concat());
        run["digest"].as_str().unwrap().to_owned()
    };
    for (first, second) in [(4, 1), (6, 2)] {
        let bench = Bench::with_judged();
        kill(&bench, &run, When::Saving(first), 0);
        kill(&bench, &["resume", "--redo-steps"], When::Saving(second), 10);
        assert_eq!(finish(&bench, JUDGED), whole, "killed at {first}, then at {second}");
    }
}

#[test]
fn a_run_killed_beside_its_critic_goes_on_to_its_digest() {
    let run = ["run", CRITIC, "--set", "checkpoints.every=2"];
    let whole = {
        let bench = Bench::with_critic();
        let run = bench.json(&[&run[..], &["--json"]].concat());
        run["digest"].as_str().unwrap().to_owned()
    };
    for (first, second) in [(8, 1), (9, 2)] {
        let bench = Bench::with_critic();
        kill(&bench, &run, When::Saving(first), 0);
        kill(&bench, &["resume", "--redo-steps"], When::Saving(second), 10);
        assert_eq!(finish(&bench, CRITIC), whole, "killed at {first}, then at {second}");
    }
}

/// A run that was killed once the sixth step of its stage with a critic was saved, and that folder of checkpoints.
fn killed_in_time(run: &[&str]) -> (Bench, PathBuf) {
    for _ in 0..20 {
        let bench = Bench::with_critic();
        kill(&bench, run, When::Saved("ppo/step-000006"), 0);
        let name = bench.latest()["name"].as_str().unwrap().to_owned();
        let stage = bench.path("runs").join(name).join("ppo");
        if !stage.join("final").exists() {
            return (bench, stage);
        }
    }
    panic!("every kill came too late");
}

/// A checkpoint of a stage under way holds its critic, and one that lost it, or has that of another step, is not gone on from.
#[test]
fn a_checkpoint_without_its_critic_is_passed_over() {
    let run = ["run", CRITIC, "--set", "checkpoints.every=2"];
    let whole = {
        let bench = Bench::with_critic();
        let run = bench.json(&[&run[..], &["--json"]].concat());
        let name = run["run"].as_str().unwrap();
        let critic =
            |checkpoint: &str| bench.path("runs").join(name).join(checkpoint).join("critic");
        assert!(critic("ppo/step-000006").exists());
        assert!(!critic("ppo/final").exists(), "a stage that has ended needs no critic");
        run["digest"].as_str().unwrap().to_owned()
    };
    for other in [None, Some("step-000004")] {
        let (bench, stage) = killed_in_time(&run);
        let newest = stage.join("step-000006");
        std::fs::remove_dir_all(newest.join("critic")).unwrap();
        if let Some(other) = other {
            let folder = stage.join(other).join("critic");
            for file in std::fs::read_dir(&folder).unwrap().flatten() {
                let to = newest.join("critic");
                std::fs::create_dir_all(&to).unwrap();
                std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
        let told = bench.output(&["resume", "--redo-steps"]);
        let told = text(&told.stderr);
        assert!(told.contains("going on from ppo/step-000004"), "{told}");
        assert_eq!(finish(&bench, CRITIC), whole, "with the critic of {other:?}");
    }
}

/// What a stage has ended with is compared with what was recorded, also by stages far below it.
#[test]
fn a_stage_does_not_begin_with_weights_that_were_exchanged() {
    let bench = Bench::with_merged();
    // Of two checkpoints of the stage the first is recorded by then, whether or not the second is.
    kill(&bench, &["run", MERGED], When::Saved("rl/step-000020"), 0);
    let name = bench.latest()["name"].as_str().unwrap().to_owned();
    let stage = bench.path("runs").join(name).join("cold-start");
    std::fs::rename(stage.join("final"), stage.join("kept")).unwrap();
    std::fs::rename(stage.join("step-000010"), stage.join("final")).unwrap();
    let told = text(&bench.output(&["resume", "--redo-steps"]).stderr);
    assert!(told.contains("other weights than those that were recorded"), "{told}");
    // With the recorded ones in their place it goes on.
    std::fs::remove_dir_all(stage.join("final")).unwrap();
    std::fs::rename(stage.join("kept"), stage.join("final")).unwrap();
    bench.ok(&["resume", "--redo-steps"]);
}

#[test]
fn a_run_killed_while_a_teacher_is_asked_goes_on_to_its_digest() {
    let run = ["run", TAUGHT, "--set", "checkpoints.every=2"];
    let whole = {
        let bench = Bench::with_taught();
        let run = bench.json(&[&run[..], &["--json"]].concat());
        run["digest"].as_str().unwrap().to_owned()
    };
    for (first, second) in [(7, 1), (9, 1)] {
        let bench = Bench::with_taught();
        kill(&bench, &run, When::Saving(first), 0);
        kill(&bench, &["resume", "--redo-steps"], When::Saving(second), 10);
        assert_eq!(finish(&bench, TAUGHT), whole, "killed at {first}, then at {second}");
    }
}

/// The stage that averages begins after 10 checkpoints, and the one that goes on from it after 11.
#[test]
fn a_run_killed_around_a_merge_goes_on_to_its_digest() {
    let run = ["run", MERGED, "--set", "checkpoints.every=3", "--set", "stages.rl.grpo.steps=12"];
    let whole = {
        let bench = Bench::with_merged();
        let run = bench.json(&[&run[..], &["--json"]].concat());
        run["digest"].as_str().unwrap().to_owned()
    };
    for (first, second) in [(10, 1), (11, 1), (12, 1)] {
        let bench = Bench::with_merged();
        kill(&bench, &run, When::Saving(first), 0);
        kill(&bench, &["resume", "--redo-steps"], When::Saving(second), 10);
        assert_eq!(finish(&bench, MERGED), whole, "killed at {first}, then at {second}");
    }
}
