//! Files that are no store, or not one of ours to touch: said in words, and left alone.

use std::fs;

use r1x_core::PortError;
use r1x_core::port::Boundary;

use super::fixtures::*;
use crate::{Mode, Store, StoreError, known_schema};

fn refused(place: &Place, mode: Mode) -> StoreError {
    let before = fs::read(place.path()).ok();
    let error = Store::open(&place.path(), mode).err().expect("it must be refused");
    assert_eq!(fs::read(place.path()).ok(), before, "the file is left as it was");
    error
}

/// Changes a store through the writer's own connection.
pub fn change(place: &Place, statement: &'static str) {
    place.write().writer().unwrap().call(move |writer| writer.execute(statement)).unwrap();
}

#[test]
fn a_missing_store_is_not_made_by_reading() {
    let place = Place::new();
    let error = refused(&place, Mode::Read);
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    assert!(error.hint().contains("r1x run"));
    assert!(!place.path().exists());
}

#[test]
fn the_folders_of_a_new_store_are_made() {
    let place = Place::new();
    let path = place.folder.path().join("a/b/r1x.db");
    drop(Store::open(&path, Mode::Write).unwrap());
    assert!(path.is_file());
}

#[test]
fn a_newer_store_is_refused() {
    let place = Place::new();
    change(&place, "PRAGMA user_version = 99");
    for mode in [Mode::Read, Mode::Write] {
        let error = refused(&place, mode);
        let path = place.path();
        let known = known_schema();
        assert_eq!(
            error.to_string(),
            format!(
                "{}: store written by a newer r1x (schema 99, this one knows {known})",
                path.display()
            )
        );
        assert_eq!(PortError::from(error).boundary, Boundary::Store);
    }
}

#[test]
fn the_schema_number_is_that_of_the_newest_migration() {
    let place = Place::new();
    drop(place.write());
    assert_eq!(number(&place.read(), "PRAGMA user_version"), known_schema());
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let place = Place::new();
    fs::write(place.path(), "not a database at all, but long enough to have a header".repeat(10))
        .unwrap();
    for mode in [Mode::Read, Mode::Write] {
        let error = refused(&place, mode);
        assert!(matches!(error, StoreError::NotAStore { .. }), "{error:?}");
    }
    fs::remove_file(place.path()).unwrap();
    fs::write(place.path(), "").unwrap();
    let error = refused(&place, Mode::Read);
    assert!(matches!(error, StoreError::Empty { .. }), "{error:?}");
    change(&place, "PRAGMA application_id = 7");
    for mode in [Mode::Read, Mode::Write] {
        assert!(refused(&place, mode).to_string().contains("another program"));
    }
    let folder = Place::new();
    fs::create_dir(folder.path()).unwrap();
    for mode in [Mode::Read, Mode::Write] {
        let error = Store::open(&folder.path(), mode).err().unwrap();
        assert!(error.to_string().contains("it is a folder"), "{error}");
    }
}

#[test]
fn a_damaged_store_is_called_damaged() {
    let place = Place::new();
    {
        let store = place.write();
        run_of_steps(&store, 10);
    }
    let mut bytes = fs::read(place.path()).unwrap();
    // Header and schema stay readable; every page of data after them does not.
    let from = bytes.len() / 2;
    bytes[from..].fill(0xa5);
    fs::write(place.path(), bytes).unwrap();
    let error = Store::open(&place.path(), Mode::Read)
        .and_then(|store| {
            store.sql_table(&crate::SqlQuery::new("SELECT max(text) FROM rollout_payload"))
        })
        .unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert!(error.hint().contains(".recover"));
    let short = Place::new();
    fs::write(short.path(), &fs::read(place.path()).unwrap()[..5000]).unwrap();
    let error = Store::open(&short.path(), Mode::Read)
        .and_then(|store| store.runs().map(|_| ()))
        .unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
}

#[test]
fn a_store_opened_for_reading_begins_no_run() {
    let place = Place::new();
    drop(place.write());
    let error = place.read().begin_run(start()).err().unwrap();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
}

#[test]
fn a_run_that_cannot_begin_leaves_nothing() {
    let place = Place::new();
    let store = place.write();
    let bad_plan = crate::RunStart { plan_json: "{".into(), ..start() };
    assert!(store.begin_run(bad_plan).is_err());
    let bad_name = crate::RunStart { name: "../up".into(), ..start() };
    assert!(store.begin_run(bad_name).is_err());
    let mut bad_settings = start();
    bad_settings.plugins[0].config_json = "{".into();
    assert!(store.begin_run(bad_settings).is_err());
    let folders =
        fs::read_dir(place.folder.path()).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir());
    assert_eq!(folders.count(), 0);
    for table in ["run", "spec", "environment", "plugin"] {
        assert_eq!(number(&store, &format!("SELECT count(*) FROM {table}")), 0);
    }
}
