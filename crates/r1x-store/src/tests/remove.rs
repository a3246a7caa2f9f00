//! Runs that are removed whole, and what becomes of the rows and bytes that they leave behind.

use super::fixtures::*;
use super::sittings::words;
use crate::{Depth, Mode, Relation, RunStart, Shrinking, StoodOn, Store, StoreError};

/// Rows of every table that a run has rows in, by the name of the table.
fn rows(store: &Store) -> Vec<(String, i64)> {
    let tables = words(
        store,
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_sqlx%' ESCAPE '\\' ORDER BY name",
    );
    let named = tables.iter().map(|row| row.trim_matches(['[', ']', '"']).to_owned());
    named
        .map(|table| (table.clone(), number(store, &format!("SELECT count(*) FROM {table}"))))
        .collect()
}

fn remove(store: &Store, run: &str, stood_on: StoodOn) -> Result<(), StoreError> {
    let removed = store.removal(&[run.to_owned(), run.to_owned()])?;
    assert_eq!(removed.len(), 1, "each run once");
    let left = store.remove_runs(&removed, stood_on)?;
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn a_run_goes_with_everything_of_it_and_others_stay_as_they_are() {
    let place = Place::new();
    let kept = finished_run(&place.write(), 1);
    let alone = rows(&place.read());
    let gone = finished_run(&place.write(), 1000);
    let store = place.write();
    let folder = store.run_folder(&gone);
    std::fs::create_dir_all(folder.join("grpo-1/final")).unwrap();
    std::fs::write(folder.join("grpo-1/final/model"), [7; 1000]).unwrap();
    assert_eq!(store.removal(std::slice::from_ref(&gone)).unwrap()[0].folder_bytes, 1000);
    let plugin = crate::PluginInput { bytes: vec![9; 10], ..plugin("equation", 1.0) };
    store.add_rescore(&gone, plugin, Vec::new()).unwrap();
    remove(&store, &gone, StoodOn::Refused).unwrap();
    assert!(!folder.exists() && store.run_folder(&kept).exists());
    drop(store);
    let shrunk = Store::shrink(&place.path(), Shrinking::Freed).unwrap();
    assert!(shrunk.rows > 0 && shrunk.after_bytes < shrunk.before_bytes, "{shrunk:?}");
    assert_eq!(rows(&place.read()), alone, "as if the run had never been");
    assert_eq!(place.read().verify(Depth::Whole).unwrap().flaws, []);
    let shrunk = Store::shrink(&place.path(), Shrinking::Whole).unwrap();
    assert_eq!((shrunk.rows, shrunk.after_bytes <= shrunk.before_bytes), (0, true));
    assert_eq!(rows(&place.read()), alone);
    // Recording goes on in a store that was written anew.
    finished_run(&place.write(), 5);
    assert_eq!(place.read().verify(Depth::Whole).unwrap().flaws, []);
}

#[test]
fn a_run_that_others_stand_on_stays_unless_that_is_said() {
    let place = Place::new();
    let store = place.write();
    let first = finished_run(&store, 1);
    let parent = Some((store.run(&first).unwrap().run_id, Relation::Reproduce));
    let again = finished_run_of(&store, RunStart { parent, ..hashed_start() });
    let plan_json = format!(
        r#"{{"model":{{"initial":{{"checkpoint":{{"folder":"runs/{first}/grpo-1/final","sha256":"{}"}}}}}},
            "record":{{"text":true,"tokens":true,"logprobs":true}}}}"#,
        "ff".repeat(32)
    );
    let begun = finished_run_of(&store, RunStart { plan_json, ..hashed_start() });
    let lines = store.descents().unwrap();
    let of = |run: &str| {
        let line = lines.iter().find(|line| line.run == run).unwrap();
        (line.from.clone(), line.how.word().to_owned())
    };
    assert_eq!(of(&again), (first.clone(), "reproduce".to_owned()));
    assert_eq!(of(&begun), (first.clone(), "checkpoint".to_owned()));
    assert_eq!(lines.len(), 2, "not of the reproduction, whose weights are the same: {lines:?}");
    let error = remove(&store, &first, StoodOn::Refused).unwrap_err();
    assert!(matches!(error, StoreError::StoodOn { .. }), "{error:?}");
    let told = error.to_string();
    assert!(told.contains(&format!("{again} is a reproduction of it")), "{told}");
    assert!(told.contains(&format!("{begun} uses the weights of a checkpoint of it")), "{told}");
    assert_eq!(store.runs().unwrap().len(), 3);
    remove(&store, &first, StoodOn::LeftAlone).unwrap();
    let left = store.run(&again).unwrap();
    assert_eq!((&left.parent, &left.relation), (&None, &None));
    let said = words(&store, "SELECT message FROM event WHERE target = 'rm' ORDER BY run_id");
    assert_eq!(said.len(), 2);
    assert!(
        said[0].contains(&format!("run {first}, which this run is a reproduction of, was removed"))
    );
    drop(store);
    assert_eq!(place.read().verify(Depth::Quick).unwrap().digests, 2);
    // Together they go without a word.
    let store = place.write();
    let both = store.removal(&[again, begun]).unwrap();
    store.remove_runs(&both, StoodOn::Refused).unwrap();
    assert_eq!(store.runs().unwrap(), []);
}

#[test]
fn nothing_is_taken_from_under_a_run_at_work() {
    let place = Place::new();
    let store = place.write();
    let done = finished_run(&store, 1000);
    let mut running = run_of_steps(&store, 1);
    let error = remove(&store, running.name(), StoodOn::LeftAlone).unwrap_err();
    assert!(matches!(error, StoreError::StillRunning { .. }), "{error:?}");
    remove(&store, &done, StoodOn::Refused).unwrap();
    let length = || std::fs::metadata(place.path()).unwrap().len();
    let before = length();
    let error = Store::shrink(&place.path(), Shrinking::Whole).unwrap_err();
    let StoreError::AtWork { runs, .. } = &error else { panic!("{error:?}") };
    assert_eq!(runs, &[running.name()]);
    assert!(length() >= before, "a run would take a shorter file for a damaged one");
    write(&mut running, grpo_step(1, 1));
    running.finish(crate::RunStatus::Done, 0, None, None).unwrap();
    // Nobody is at work, and the store is still open.
    let error = Store::shrink(&place.path(), Shrinking::Whole).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error:?}");
    drop((running, store));
    assert!(Store::shrink(&place.path(), Shrinking::Whole).unwrap().rows > 0);
    let store = Store::open(&place.path(), Mode::Read).unwrap();
    assert_eq!(store.run("latest").unwrap().steps, 2);
}
