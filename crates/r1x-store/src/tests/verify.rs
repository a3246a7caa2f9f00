//! A store is compared with what was written, and copies of it: nothing is wrong with one that nobody has touched, and
//! whatever is changed in it is found.

use r1x_core::port::Recorder;

use super::errors::change;
use super::fixtures::*;
use super::sittings::{TO_SCHEMA_3, WITHOUT_SCHEMA_8};
use crate::{Depth, Mode, RunStart, RunWriter, Store, StoreError};

fn places(place: &Place, depth: Depth) -> Vec<String> {
    let verified = place.read().verify(depth).unwrap();
    verified.flaws.into_iter().map(|flaw| format!("{}: {}", flaw.place, flaw.what)).collect()
}

#[test]
fn nothing_is_wrong_with_a_store_that_nobody_has_touched() {
    let place = Place::new();
    finished_run(&place.write(), 1);
    finished_run(&place.write(), 2);
    let store = place.write();
    let _running = running(&store);
    let verified = place.read().verify(Depth::Whole).unwrap();
    assert_eq!(verified.flaws, []);
    assert_eq!((verified.runs, verified.digests), (3, 2));
    // Superseded steps as well, and two evaluations of each finished run.
    assert_eq!((verified.hashed, verified.without_hash), (2 * (4 + 2) + 2, 0));
    assert_eq!(verified.plugins, 2);
}

/// A run of two steps that goes on.
fn running(store: &Store) -> RunWriter {
    let mut run = store.begin_run(hashed_start()).unwrap();
    run.stage_started(&stage(1, "grpo", 0)).unwrap();
    (0..2).for_each(|step| write(&mut run, grpo_step(1, step)));
    run
}

#[test]
fn whatever_is_changed_is_found() {
    let changes = [
        ("UPDATE metric SET value = 7 WHERE step = 1 AND idx = 0", "step 1: its rows"),
        ("UPDATE metric SET value = -value WHERE step = 1 AND idx = 1", "step 1: its rows"),
        ("UPDATE metric SET kind = '-inf' WHERE step = 1 AND kind = 'inf'", "step 1: its rows"),
        ("DELETE FROM metric WHERE step = 0 AND idx = 2", "step 0: its rows"),
        ("UPDATE rollout SET reward = 0.25 WHERE rollout_id = 1", "step 0: its rows"),
        ("UPDATE rollout SET finish = 'stop' WHERE rollout_id = 2", "step 0: its rows"),
        ("UPDATE rollout SET prompt_id = 2 WHERE rollout_id = 1", "step 0: its rows"),
        ("UPDATE rollout_payload SET text = 'x' WHERE rollout_id = 5", "step 1: its rows"),
        ("UPDATE rollout_payload SET logp = x'00000000' WHERE rollout_id = 5", "step 1: its rows"),
        ("UPDATE reward SET info = 'good' WHERE rollout_id = 1", "step 0: its rows"),
        ("DELETE FROM reward WHERE rollout_id = 1", "step 0: its rows"),
        ("UPDATE selection SET dropped_by = NULL WHERE rollout_id = 2", "step 0: its rows"),
        (
            "UPDATE rollout_group SET zero_signal = 1 - zero_signal WHERE group_id = 1",
            "step 0: its rows",
        ),
        (
            "UPDATE eval_sample SET correct = 1 - correct WHERE eval_sample_id = 1",
            "evaluation heldout",
        ),
        ("UPDATE eval_reward SET value = 2 WHERE eval_sample_id = 1", "evaluation heldout"),
        ("UPDATE eval_result SET value = 0.9 WHERE eval_id = 1", "evaluation heldout"),
        ("UPDATE spec SET source_text = 'name: other'", "table spec, row 1: its text"),
        ("UPDATE prompt SET answer = '8' WHERE prompt_id = 1", "table prompt, row 1 (key-"),
        ("UPDATE plugin SET wasm = x'0061' WHERE plugin_id = 1", "cannot be unpacked"),
        (
            "UPDATE plugin SET packing = 'none', bytes = 2, wasm = x'0061' WHERE plugin_id = 1",
            "its bytes",
        ),
        ("UPDATE run SET plan_sha256 = 'aa'", "its plan is not the one"),
        ("UPDATE run SET seed = seed + 1", "its seed is not that of its plan"),
    ];
    for (statement, expected) in changes {
        let place = Place::new();
        finished_run(&place.write(), 1);
        change(&place, statement);
        let mut found = places(&place, Depth::Whole);
        // What rollouts come to is compared with them as well.
        found.retain(|flaw| !flaw.contains("the totals of"));
        assert_eq!(found.len(), 1, "{statement}: {found:?}");
        assert!(found[0].contains(expected), "{statement}: {found:?}");
    }
}

#[test]
fn what_a_digest_is_made_of_is_found_by_a_quick_look_too() {
    for statement in [
        "UPDATE step SET facts_sha256 = 'aa' WHERE step = 1",
        "DELETE FROM step WHERE step = 0",
        "UPDATE stage SET weights_sha256 = 'aa' WHERE attempt = 2",
        "UPDATE stage SET superseded_from = 1 WHERE attempt = 1",
        "UPDATE eval_run SET superseded = 1 WHERE eval_id = 2",
        "UPDATE run SET digest = 'aa'",
    ] {
        let place = Place::new();
        finished_run(&place.write(), 1);
        change(&place, statement);
        let found = places(&place, Depth::Quick);
        assert!(
            found.len() == 1 && found[0].contains("its digest is recorded"),
            "{statement}: {found:?}"
        );
    }
}

#[test]
fn rows_that_refer_to_nothing_are_found() {
    let place = Place::new();
    finished_run(&place.write(), 1);
    change(&place, "PRAGMA foreign_keys = OFF; DELETE FROM metric_key WHERE key_id = 1");
    let found = places(&place, Depth::Quick);
    assert!(
        found[0].contains("table metric: rows of table metric_key are missing that"),
        "{found:?}"
    );
}

#[test]
fn damaged_pages_are_rows_and_no_end() {
    let place = Place::new();
    finished_run(&place.write(), 1);
    let [root, size] = [
        "SELECT rootpage FROM sqlite_schema WHERE name = 'rollout_payload'",
        "SELECT page_size FROM pragma_page_size",
    ]
    .map(|sql| number(&place.read(), sql) as usize);
    let mut bytes = std::fs::read(place.path()).unwrap();
    bytes[(root - 1) * size..root * size].fill(0xa5);
    std::fs::write(place.path(), bytes).unwrap();
    let found = places(&place, Depth::Whole);
    assert!(found.len() > 1 && found[0].starts_with("the file: "), "{found:?}");
}

#[test]
fn steps_of_earlier_schemas_have_no_hash_and_nothing_wrong() {
    let place = Place::new();
    // Components are not packed there.
    finished_run_of(&place.write(), RunStart { plugins: Vec::new(), ..hashed_start() });
    let older = WITHOUT_SCHEMA_8.into_iter().chain(TO_SCHEMA_3).chain(["PRAGMA user_version = 3"]);
    older.for_each(|statement| change(&place, statement));
    Store::upgrade(&place.path()).unwrap();
    let verified = place.read().verify(Depth::Whole).unwrap();
    assert_eq!((verified.flaws.len(), verified.hashed, verified.without_hash), (0, 0, 6));
    assert_eq!(verified.digests, 1);
}

#[test]
fn a_copy_is_made_while_a_run_writes_and_never_over_a_file() {
    let place = Place::new();
    let store = place.write();
    finished_run(&store, 1);
    let mut run = running(&store);
    let to = place.folder.path().join("copies/one.sqlite");
    let made = place.read().backup(&to).unwrap();
    assert_eq!((made.verified.runs, made.verified.digests), (2, 1));
    assert_eq!(made.verified.flaws, []);
    assert_eq!(made.bytes, std::fs::metadata(&to).unwrap().len());
    write(&mut run, grpo_step(1, 2));
    assert_eq!(Store::open(&to, Mode::Read).unwrap().run("latest").unwrap().steps, 2);
    let before = std::fs::read(&to).unwrap();
    let error = place.read().backup(&to).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error:?}");
    assert_eq!(std::fs::read(&to).unwrap(), before);
    let empty = place.folder.path().join("copies/empty");
    std::fs::write(&empty, "").unwrap();
    let error = place.read().backup(&empty).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error:?}");
    let left = std::fs::read_dir(to.parent().unwrap()).unwrap().count();
    assert_eq!(left, 2, "nothing else is left there");
}
