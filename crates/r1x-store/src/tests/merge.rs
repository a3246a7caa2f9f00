//! Runs of another store: they come whole, once, and with the digests that they had.

use super::errors::change;
use super::fixtures::*;
use super::sittings::{TO_SCHEMA_3, WITHOUT_SCHEMA_8, words};
use crate::{Depth, Relation, RunStart, SqlQuery, Store, StoreError, Table, TagChange, Value};

/// A store with two finished runs, one of them a reproduction and the member of a sweep, a judgement by another build, a tag
/// and a note.
fn other() -> (Place, [String; 2]) {
    let place = Place::new();
    let store = place.write();
    let first = finished_run(&store, 1);
    let parent = Some((store.run(&first).unwrap().run_id, Relation::Reproduce));
    let second = finished_run_of(&store, RunStart { parent, seed: 2, ..hashed_start() });
    let plugin = crate::PluginInput { sha256: "77".repeat(32), ..plugin("equation", 1.0) };
    store.add_rescore(&second, plugin, vec![(13, outcome(Some(0.5)))]).unwrap();
    store.change_tags(&first, vec![TagChange::Give("good".into())]).unwrap();
    store.set_note(&first, "the first").unwrap();
    let kept = Some(r1x_core::plan::StepsKept { last_steps: 1, every: None });
    let retention = r1x_core::plan::RetentionPlan { logprobs: kept, ..Default::default() };
    store.collect(&first, &retention).unwrap();
    drop(store);
    for statement in [
        "UPDATE stage SET key_sha256 = 'all that it depends on', reused_from = 'another run'",
        "INSERT INTO sweep (uid, name, experiment, paths, started_ms)
         VALUES ('a sweep', 'countdown-sweep', 'countdown', '[\"seed\"]', 7)",
        "INSERT INTO sweep_member (sweep_id, idx, combination, plan_sha256)
         SELECT sweep_id, 3, '{\"seed\":2}', 'a plan' FROM sweep",
        "INSERT INTO sweep_run (run_id, member_id) SELECT max(run_id), (SELECT member_id FROM sweep_member) FROM run",
    ] {
        change(&place, statement);
    }
    (place, [first, second])
}

/// Every table with all its rows and columns, in the order of their keys.
fn tables(store: &Store) -> Vec<(String, Table)> {
    let names = store.tables().unwrap().into_iter().filter(|table| table.kind == "table");
    let rows = |name: String| {
        let text = format!("SELECT * FROM {name}");
        let table = store.sql_table(&SqlQuery::new(&text)).unwrap();
        (name, table)
    };
    names.map(|table| rows(table.name)).collect()
}

#[test]
fn every_row_and_column_comes_along() {
    let (there, _) = other();
    let here = Place::new();
    let merged = here.write().merge(&there.path()).unwrap();
    assert_eq!((merged.imported.len(), merged.skipped.len()), (2, 0));
    for ((name, is), (_, was)) in tables(&here.read()).into_iter().zip(tables(&there.read())) {
        assert!(!was.rows.is_empty(), "table {name} has no row that could be lost");
        assert_eq!(is, was, "table {name}");
        let is_filled = |column: usize| was.rows.iter().any(|row| row[column] != Value::Null);
        let empty = (0..was.columns.len()).filter(|column| !is_filled(*column));
        let empty: Vec<&str> = empty.map(|column| was.columns[column].as_str()).collect();
        // These would be missed by the comparison.
        assert!(empty.iter().all(|name| NEVER_FILLED.contains(name)), "table {name}: {empty:?}");
    }
}

/// Columns that the facts of the tests leave empty.
const NEVER_FILLED: [&str; 8] =
    ["error", "features", "gen_ms", "reward_ms", "train_ms", "gate", "normalized", "advantage"];

#[test]
fn numbers_are_put_behind_those_that_are_taken_and_what_is_shared_is_shared() {
    let (there, [first, second]) = other();
    let here = Place::new();
    let own = finished_run(&here.write(), 1);
    let problems = "SELECT count(*) FROM prompt";
    let before = number(&here.read(), problems);
    let merged = here.write().merge(&there.path()).unwrap();
    let digests: Vec<_> = merged.imported.iter().map(|run| run.digest.clone()).collect();
    let source = there.read();
    for (run, digest) in [&first, &second].into_iter().zip(digests) {
        assert_eq!(source.run(run).unwrap().digest, digest);
        let is = here.read().run(run).unwrap();
        assert_eq!(is.digest, digest);
        assert_eq!(is.steps, 3);
    }
    let store = here.read();
    assert_eq!(store.run(&own).unwrap().digest, store.run(&first).unwrap().digest, "equal facts");
    assert_eq!(store.run(&second).unwrap().parent.as_deref(), Some(first.as_str()));
    assert_eq!(store.run(&first).unwrap().tags, ["good"]);
    assert!(number(&store, problems) < before + number(&source, problems), "problems are shared");
    assert_eq!(number(&store, "SELECT count(*) FROM spec"), 2, "one for each seed");
    let verified = store.verify(Depth::Whole).unwrap();
    assert_eq!((verified.digests, verified.hashed), (3, 18));
    let made_up = |place: &str| place.contains("table plugin");
    assert!(verified.flaws.iter().all(|flaw| made_up(&flaw.place)), "{:?}", verified.flaws);
    let rescored = words(
        &store,
        "SELECT r.name, x.value FROM rescored x JOIN rescore USING (rescore_id) JOIN run r USING (run_id)",
    );
    assert_eq!(rescored, [format!(r#"["{second}",0.5]"#)]);
    // Once more, nothing comes.
    drop(store);
    let again = here.write().merge(&there.path()).unwrap();
    assert_eq!(again.imported, []);
    assert!(again.skipped.iter().all(|run| run.reason == "it is here already"));
    assert_eq!(here.read().runs().unwrap().len(), 3);
}

#[test]
fn a_name_that_is_taken_gets_the_end_of_the_identity() {
    let (there, [first, _]) = other();
    let here = Place::new();
    let own = finished_run(&here.write(), 9);
    here.write().rename_run(&own, &first).unwrap();
    let merged = here.write().merge(&there.path()).unwrap();
    let run = &merged.imported[0];
    assert_eq!(run.name_there, first);
    assert!(
        run.run.starts_with(&format!("{first}-")) && run.uid.ends_with(&run.run[first.len() + 1..])
    );
    assert_eq!(here.read().run(&run.uid).unwrap().name, run.run);
}

#[test]
fn a_run_at_work_stays_where_it_is_and_one_whose_program_died_comes_as_crashed() {
    let (there, _) = other();
    let store = there.write();
    let running = run_of_steps(&store, 1);
    let here = Place::new();
    let merged = here.write().merge(&there.path()).unwrap();
    assert_eq!(merged.skipped[0].run, running.name());
    assert_eq!(merged.skipped[0].reason, "a program is at work on it");
    let name = running.name().to_owned();
    drop((running, store));
    change(&there, "UPDATE run SET status = 'running', pid_start = 1 WHERE digest IS NULL");
    let reader = there.read();
    let merged = here.write().merge(reader.path()).unwrap();
    assert_eq!(merged.imported[0].run, name);
    assert_eq!(here.read().run(&name).unwrap().status, "crashed");
}

#[test]
fn an_earlier_schema_is_read_from_a_copy() {
    let (there, [first, _]) = other();
    let older = WITHOUT_SCHEMA_8.into_iter().chain(TO_SCHEMA_3).chain(["PRAGMA user_version = 3"]);
    older.for_each(|statement| change(&there, statement));
    let before = std::fs::read(there.path()).unwrap();
    let here = Place::new();
    let merged = here.write().merge(&there.path()).unwrap();
    assert_eq!(merged.imported.len(), 2);
    assert!(here.read().run(&first).unwrap().digest.is_some());
    assert_eq!(std::fs::read(there.path()).unwrap(), before, "the other store is only read");
    let left = std::fs::read_dir(here.folder.path()).unwrap();
    let names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.contains("merge")), "the copy is gone");
}

#[test]
fn what_cannot_be_taken_in_leaves_the_store_as_it_is() {
    let here = Place::new();
    finished_run(&here.write(), 9);
    let before = tables(&here.read());
    let refused = |place: &Place| {
        let error = here.write().merge(&place.path()).unwrap_err();
        assert_eq!(tables(&here.read()), before, "{error}");
        error
    };
    let error = refused(&here);
    assert!(matches!(error, StoreError::Import { .. }), "{error:?}");
    let error = refused(&Place::new());
    assert!(matches!(error, StoreError::Missing { .. }), "{error:?}");
    let (there, _) = other();
    change(&there, "UPDATE step SET facts_sha256 = 'aa' WHERE stage_id > 2");
    let error = refused(&there);
    assert!(error.to_string().contains("give the digest"), "{error}");
    assert!(error.hint().contains("r1x store verify --store"), "{}", error.hint());
    let (there, _) = other();
    change(&there, "PRAGMA user_version = 99");
    let error = refused(&there);
    assert!(matches!(error, StoreError::TooNew { found: 99, .. }), "{error:?}");
    // A store that was refused does not stay attached.
    let (there, _) = other();
    assert_eq!(here.write().merge(&there.path()).unwrap().imported.len(), 2);
}

/// The name of a run is the name of a folder, and a store may come from anybody.
#[test]
fn a_name_that_leads_elsewhere_leads_nowhere() {
    let (there, _) = other();
    change(&there, "UPDATE run SET name = '../../precious' WHERE run_id = 1");
    change(&there, "UPDATE run SET name = 'latest' WHERE run_id = 2");
    let merged = Place::new().write().merge(&there.path()).unwrap();
    let names: Vec<&str> = merged.imported.iter().map(|run| run.run.as_str()).collect();
    assert_eq!(names, ["precious", "run"]);
    // In the store of somebody else, such a run is removed without what its name leads to.
    let precious = there.folder.path().join("precious");
    std::fs::create_dir(&precious).unwrap();
    std::fs::create_dir(there.folder.path().join("below")).unwrap();
    change(&there, "UPDATE run SET name = 'below/../precious' WHERE run_id = 1");
    let store = there.write();
    let removed = store.removal(&["below/../precious".to_owned()]).unwrap();
    store.remove_runs(&removed, crate::StoodOn::LeftAlone).unwrap();
    assert!(precious.exists());
    change(&there, "UPDATE run SET uid = '/etc'");
    let error = Place::new().write().merge(&there.path()).unwrap_err();
    assert!(error.to_string().contains("has no identity"), "{error}");
}
