//! Others who hold a lock: a run waits for them, whatever it is about to do, and readers are in nobody's way.

use r1x_core::CheckpointKind;
use std::time::Duration;

use r1x_core::port::Recorder;
use sqlx::Executor;

use super::fixtures::*;
use crate::open::{open_reader, open_writer};
use crate::wait::{ATTEMPT, Patience};
use crate::writer::runtime;
use crate::{RunStatus, StagePoint, Store, StoreError};

/// Does something while another writer holds the lock for longer than SQLite waits by itself.
fn in_spite_of_a_writer<T>(place: &Place, work: impl FnOnce() -> T) -> T {
    let other = place.write();
    let holder = other.writer().unwrap();
    holder.call(|writer| writer.execute("BEGIN IMMEDIATE")).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(ATTEMPT * 2);
            holder.call(|writer| writer.execute("COMMIT")).unwrap();
        });
        work()
    })
}

#[test]
fn a_run_waits_for_a_writer_at_its_start_at_a_step_and_at_its_end() {
    let place = Place::new();
    let store = place.write();
    let mut run = in_spite_of_a_writer(&place, || run_of_steps(&store, 1));
    in_spite_of_a_writer(&place, || {
        // Reading never waits.
        assert_eq!(place.read().run("latest").unwrap().steps, 1);
        run.step(grpo_step(1, 1)).unwrap();
    });
    in_spite_of_a_writer(&place, || {
        run.checkpoint(&checkpoint(1, 2, CheckpointKind::Step, "grpo-1/step-000002")).unwrap();
    });
    in_spite_of_a_writer(&place, || {
        run.finish(RunStatus::Interrupted, 130, None, None).unwrap();
    });
    let point = StagePoint { stage: 1, step: 2 };
    let again = in_spite_of_a_writer(&place, || store.resume_run("latest", point, None).unwrap());
    drop(again);
    assert_eq!(store.run("latest").unwrap().steps, 2);
}

#[test]
fn opening_a_store_waits_for_a_writer() {
    let place = Place::new();
    drop(place.write());
    let store = in_spite_of_a_writer(&place, || place.write());
    assert_eq!(store.runs().unwrap(), []);
}

#[test]
fn whoever_has_no_patience_is_told_how_long_it_was() {
    let place = Place::new();
    let store = place.write();
    super::errors::change(&place, "PRAGMA user_version = 5");
    let holder = store.writer().unwrap();
    holder.call(|writer| writer.execute("BEGIN IMMEDIATE")).unwrap();
    let little = Patience::Until(Duration::from_millis(30));
    let opened = runtime(&place.path()).unwrap().block_on(open_writer(&place.path(), little));
    let error = opened.err().unwrap();
    assert!(matches!(error, StoreError::Locked { waited_s: 0, .. }), "{error:?}");
    assert!(error.to_string().ends_with(" that writes to it or reads it (waited 0 s)"), "{error}");
    holder.call(|writer| writer.execute("COMMIT")).unwrap();
}

/// The end of a run copies the log, and does not make others wait while somebody reads.
#[test]
fn a_reader_in_the_middle_of_a_question_stops_nobody() {
    let place = Place::new();
    let store = place.write();
    let mut run = run_of_steps(&store, 2);
    assert!(run.settle().unwrap(), "nobody is in the way");
    let reading = runtime(&place.path()).unwrap();
    let mut reader = reading.block_on(async {
        let mut reader = open_reader(&place.path()).await.unwrap();
        reader.execute("BEGIN; SELECT count(*) FROM step").await.unwrap();
        reader
    });
    run.step(grpo_step(1, 2)).unwrap();
    assert!(!run.settle().unwrap(), "the reader still needs what the file has");
    // Another run ends meanwhile, and one goes on.
    let other = place.write();
    let mut ending = run_of_steps(&other, 1);
    ending.finish(RunStatus::Done, 0, None, None).unwrap();
    drop((ending, other));
    run.step(grpo_step(1, 3)).unwrap();
    reading.block_on(reader.execute("COMMIT")).unwrap();
    assert!(run.settle().unwrap());
    run.finish(RunStatus::Done, 0, None, None).unwrap();
}

/// Nobody who reads or writes dies of the crowd.
#[test]
fn many_writers_and_readers_get_along() {
    let place = Place::new();
    drop(place.write());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let store = place.write();
                let mut run = run_of_steps(&store, 0);
                for step in 0..30 {
                    run.step(grpo_step(1, step)).unwrap();
                    if step % 10 == 9 {
                        run.settle().unwrap();
                    }
                }
                run.finish(RunStatus::Done, 0, None, None).unwrap();
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..40 {
                    let store: Store = place.read();
                    store.runs().unwrap();
                    number(&store, "SELECT count(*) FROM v_rollouts");
                }
            });
        }
    });
    assert_whole(&place.path());
    assert_eq!(number(&place.read(), "SELECT count(*) FROM run WHERE status = 'done'"), 6);
}
