//! Stores that are deleted, replaced or torn while a run writes to them: the run notices at once, and what it has
//! recorded is saved.

use std::fs;
use std::path::{Path, PathBuf};

use r1x_core::PortError;
use r1x_core::port::{Boundary, Recorder};

use super::fixtures::*;
use crate::guard::beside;
use crate::{Level, Mode, RunStatus, RunWriter, StagePoint, Store, StoreError};

/// The error of a step, which is told to whoever waits for it.
fn refused(run: &mut RunWriter, step: u64) -> PortError {
    run.step(grpo_step(1, step)).and_then(|()| Ok(run.flush()?)).unwrap_err()
}

/// Loses the store after three steps; whoever waits for the fourth is told of it.
fn after(place: &Place, lose: impl FnOnce(&Path)) -> (PortError, String) {
    let store = place.write();
    let mut run = run_of_steps(&store, 3);
    lose(&place.path());
    let error = refused(&mut run, 3);
    let again = refused(&mut run, 4);
    assert_eq!(error, again, "nothing goes on in silence");
    let end = run.finish(RunStatus::Done, 0, None, None).unwrap_err();
    assert!(matches!(end, StoreError::Displaced { .. }), "{end:?}");
    assert_eq!(error.boundary, Boundary::Store);
    (error, run.name().to_owned())
}

fn copies(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains(".saved-")).collect()
}

/// The one copy has everything, with the step that was told of the loss, and the run goes on in it.
fn assert_saved(place: &Place, error: &PortError, run: &str, what: &str) {
    let copies = copies(place);
    let [copy] = copies.as_slice() else { panic!("{what}: {copies:?}") };
    let message = error.to_string();
    assert!(message.contains(what) && message.contains(&copy.display().to_string()), "{message}");
    assert!(error.hint.as_ref().unwrap().contains("r1x resume"), "{error:?}");
    assert_whole(copy);
    let store = Store::open(copy, Mode::Read).unwrap();
    assert_eq!(store.run(run).unwrap().steps, 4);
    drop(store);
    // The program that lost it is this one, and still there; elsewhere it would be dead by now.
    let store = Store::open(copy, Mode::Write).unwrap();
    let dead = "UPDATE run SET status = 'crashed'";
    store.writer().unwrap().call(move |writer| writer.execute(dead)).unwrap();
    let mut run = store.resume_run(run, StagePoint { stage: 1, step: 4 }, None).unwrap();
    run.stage_started(&stage(1, "grpo", 4)).unwrap();
    run.step(grpo_step(1, 4)).unwrap();
}

#[test]
fn a_store_that_is_deleted_is_noticed_at_the_next_step() {
    let place = Place::new();
    let (error, run) = after(&place, |path| {
        for suffix in ["", "-wal", "-shm"] {
            fs::remove_file(beside(path, suffix)).unwrap();
        }
    });
    assert_saved(&place, &error, &run, "was deleted or moved");
    assert!(!place.path().exists(), "nothing is put into the place of what is gone");
}

#[test]
fn a_store_that_is_moved_with_its_folder_is_noticed() {
    let place = Place::new();
    let folder = place.folder.path().join("runs");
    let path = folder.join("r1x.db");
    let store = Store::open(&path, Mode::Write).unwrap();
    let mut run = run_of_steps(&store, 1);
    fs::rename(&folder, place.folder.path().join("elsewhere")).unwrap();
    let error = refused(&mut run, 1);
    assert!(error.message.contains("runs/r1x.db.saved-1"), "{error}");
    assert_eq!(
        Store::open(&folder.join("r1x.db.saved-1"), Mode::Read).unwrap().runs().unwrap().len(),
        1
    );
}

#[test]
fn a_store_that_is_replaced_is_noticed_and_its_heir_left_alone() {
    let other = Place::new();
    drop(run_of_steps(&other.write(), 7));
    let place = Place::new();
    let (error, run) = after(&place, |path| {
        fs::copy(other.path(), beside(path, ".new")).unwrap();
        fs::rename(beside(path, ".new"), path).unwrap();
    });
    assert_saved(&place, &error, &run, "was replaced by another file");
    assert_eq!(fs::read(place.path()).unwrap(), fs::read(other.path()).unwrap());
}

#[test]
fn a_log_that_is_deleted_or_replaced_is_noticed() {
    for suffix in ["-wal", "-shm"] {
        let place = Place::new();
        let (error, run) = after(&place, |path| fs::remove_file(beside(path, suffix)).unwrap());
        assert_saved(&place, &error, &run, &format!("r1x.db{suffix} was deleted"));
        let place = Place::new();
        let (error, run) = after(&place, |path| {
            fs::write(beside(path, ".new"), "").unwrap();
            fs::rename(beside(path, ".new"), beside(path, suffix)).unwrap();
        });
        assert_saved(&place, &error, &run, &format!("r1x.db{suffix} was replaced"));
    }
}

#[test]
fn a_store_that_is_cut_short_is_noticed() {
    let place = Place::new();
    let (error, _) = after(&place, |path| {
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    });
    assert!(error.message.contains("was cut short"), "{error}");
}

/// A run that has just begun, one that ends, and one that only says that it is alive.
#[test]
fn every_fact_notices() {
    let lose = |place: &Place| fs::remove_file(place.path()).unwrap();
    let displaced = |error: StoreError| assert!(matches!(error, StoreError::Displaced { .. }));
    let place = Place::new();
    let store = place.write();
    let mut run = run_of_steps(&store, 1);
    lose(&place);
    displaced(run.finish(RunStatus::Done, 0, None, Some("digest")).unwrap_err());
    let place = Place::new();
    let store = place.write();
    let mut run = run_of_steps(&store, 1);
    lose(&place);
    displaced(run.event(Level::Info, "test", "still here").unwrap_err());
    let place = Place::new();
    let store = place.write();
    let mut run = run_of_steps(&store, 1);
    run.step(grpo_step(1, 1)).unwrap();
    run.flush().unwrap();
    run.step(grpo_step(1, 2)).unwrap();
    lose(&place);
    displaced(run.digest().unwrap_err());
    let place = Place::new();
    let store = place.write();
    lose(&place);
    displaced(store.begin_run(start()).err().unwrap());
}
