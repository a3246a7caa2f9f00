//! Kills, full disks, and logs that lost their end as a power cut leaves them: earlier steps stay, no step is ever half
//! there. No power is cut here: what stands in for it is a copy of the store beside a log that was cut short.

use r1x_core::CheckpointKind;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use r1x_core::port::{Boundary, Recorder};

use super::fixtures::*;
use crate::{Mode, RunStatus, Store, StoreError};

/// Runs one ignored test of this binary in a process of its own.
fn child(test: &str, variable: &str, value: &std::path::Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("tests::power::{test}"), "--ignored", "--nocapture"]);
    command.env(variable, value).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

#[test]
#[ignore = "the child of a_killed_writer_leaves_whole_steps"]
fn child_writes_until_killed() {
    // Without a parent there is nothing to do.
    let Some(path) = std::env::var_os("R1X_TEST_STORE") else {
        return;
    };
    let store = Store::open(path.as_ref(), Mode::Write).unwrap();
    let mut run = run_of_steps(&store, 0);
    for step in 0.. {
        run.step(grpo_step(1, step)).unwrap();
        // The newest may be on its way; everything before it is safe.
        println!("\nrecorded {step}");
    }
}

#[test]
fn a_killed_writer_leaves_whole_steps() {
    let place = Place::new();
    for round in 1..=3 {
        let mut process =
            child("child_writes_until_killed", "R1X_TEST_STORE", &place.path()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut recorded = 0_i64;
        for line in lines.map_while(Result::ok) {
            if let Some(count) = line.strip_prefix("recorded ") {
                recorded = count.parse().unwrap();
                if recorded == 20 * round {
                    process.kill().unwrap();
                }
            }
        }
        process.wait().unwrap();
        assert!(recorded >= 20 * round);
        assert_whole(&place.path());
        let read = place.read();
        let latest = read.run("latest").unwrap();
        assert!(
            latest.steps as i64 >= recorded,
            "a step is safe when the call after it has returned"
        );
        assert_eq!(latest.status, "crashed", "seen without anybody having marked it");
        assert_eq!(number(&read, "SELECT count(*) FROM run WHERE status = 'running'"), 1);
        drop(read);
        drop(place.write());
        let read = place.read();
        assert_eq!(number(&read, "SELECT count(*) FROM run WHERE status = 'crashed'"), round);
    }
}

#[test]
fn a_full_disk_costs_the_step_and_nothing_else() {
    let place = Place::new();
    let store = place.write();
    let mut run = run_of_steps(&store, 3);
    let pages = number(&place.read(), "SELECT page_count FROM pragma_page_count");
    let limit: &'static str = format!("PRAGMA max_page_count = {}", pages + 4).leak();
    store.writer().unwrap().call(move |writer| writer.execute(limit)).unwrap();
    let mut next = 3;
    let error = loop {
        match run.step(grpo_step(1, next)) {
            Ok(()) => next += 1,
            Err(error) => break error,
        }
        assert!(next < 200, "the limit is never reached");
    };
    // The step before this one found no room, which the call after it says.
    let step = next - 1;
    assert_eq!(error.boundary, Boundary::Device);
    assert!(error.message.contains("no space left"), "{error}");
    assert!(error.hint.unwrap().contains("every step recorded before this one is safe"));
    assert_eq!(number(&place.read(), "SELECT count(*) FROM step"), step as i64);
    // With space again the same step is recorded, as if nothing had been.
    store
        .writer()
        .unwrap()
        .call(|writer| writer.execute("PRAGMA max_page_count = 100000"))
        .unwrap();
    run.step(grpo_step(1, step)).unwrap();
    run.step(grpo_step(1, next)).unwrap();
    run.finish(RunStatus::Done, 0, None, None).unwrap();
    drop((run, store));
    assert_whole(&place.path());
    assert_eq!(place.read().run("latest").unwrap().steps, next + 1);
}

#[test]
fn closing_leaves_one_file() {
    let place = Place::new();
    let store = place.write();
    let mut run = run_of_steps(&store, 2);
    run.finish(RunStatus::Done, 0, None, None).unwrap();
    drop((run, store));
    let names: Vec<_> = std::fs::read_dir(place.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("countdown-"))
        .collect();
    assert_eq!(names, ["r1x.db"]);
}

#[test]
fn the_log_does_not_grow_without_end() {
    let place = Place::new();
    let store = place.write();
    let mut run = run_of_steps(&store, 0);
    let log_bytes = || std::fs::metadata(crate::open::wal_path(&place.path())).unwrap().len();
    let mut most = 0;
    let mut after_first = 0;
    for step in 0..1200 {
        run.step(grpo_step(1, step)).unwrap();
        most = most.max(log_bytes());
        if step == 599 {
            after_first = most;
        }
    }
    assert!(most < 64 << 20, "{most} bytes");
    assert!(
        most < after_first * 3 / 2,
        "it is started over, not made longer: {after_first}, {most} bytes"
    );
}

#[test]
#[cfg(unix)]
fn a_folder_that_cannot_be_written_is_named_and_can_be_read() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;

    let place = Place::new();
    {
        let store = place.write();
        let mut run = run_of_steps(&store, 1);
        run.finish(RunStatus::Done, 0, None, None).unwrap();
    }
    // Root may write anywhere, so the looking is done by a child without its rights.
    let binary = place.folder.path().join("child");
    std::fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&binary, 0o755);
    mode(&place.path(), 0o444);
    mode(place.folder.path(), 0o555);
    let mut command = Command::new(&binary);
    command.args(["--exact", "tests::power::child_looks_at_a_read_only_folder", "--ignored"]);
    command.env("R1X_TEST_STORE", place.path());
    if std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    mode(place.folder.path(), 0o755);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "the child of a_folder_that_cannot_be_written_is_named_and_can_be_read"]
fn child_looks_at_a_read_only_folder() {
    // Without a parent there is nothing to look at.
    let Some(path) = std::env::var_os("R1X_TEST_STORE") else {
        return;
    };
    let path = std::path::PathBuf::from(path);
    let error = Store::open(&path, Mode::Write).err().unwrap();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    assert_eq!(error.boundary(), Boundary::Device);
    assert!(error.hint().contains("writable"), "{}", error.hint());
    let fresh = path.with_file_name("fresh").join("r1x.db");
    let error = Store::open(&fresh, Mode::Write).err().unwrap();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    let store = Store::open(&path, Mode::Read).unwrap();
    assert_eq!(store.run("latest").unwrap().steps, 1);
}

/// What a power cut takes is the end of the log. A checkpoint that was settled does not depend on it.
#[test]
fn a_settled_checkpoint_outlasts_the_log() {
    let place = Place::new();
    let store = place.write();
    let mut run = run_of_steps(&store, 4);
    run.checkpoint(&checkpoint(1, 4, CheckpointKind::Step, "grpo-1/step-000004")).unwrap();
    assert!(run.settle().unwrap());
    for step in 4..9 {
        run.step(grpo_step(1, step)).unwrap();
    }
    run.flush().unwrap();
    let log = std::fs::read(crate::open::wal_path(&place.path())).unwrap();
    for kept in [log.len() * 9 / 10, log.len() / 2, 40, 0] {
        let left = Place::new();
        std::fs::copy(place.path(), left.path()).unwrap();
        std::fs::write(crate::open::wal_path(&left.path()), &log[..kept]).unwrap();
        assert_whole(&left.path());
        let store = left.read();
        let checkpoints = store.checkpoints("latest").unwrap();
        assert_eq!(checkpoints.len(), 1, "{kept} bytes of the log");
        assert!(checkpoints[0].state_sha256.is_some());
        assert!(store.run("latest").unwrap().steps >= 4, "every fact before it");
    }
}

/// A run that nobody finds again cannot be gone on with, however whole its checkpoints are.
#[test]
fn a_run_that_has_begun_outlasts_the_log() {
    let place = Place::new();
    let store = place.write();
    let run = run_of_steps(&store, 0);
    let left = Place::new();
    std::fs::copy(place.path(), left.path()).unwrap();
    assert_eq!(left.read().run("latest").unwrap().name, run.name());
}
