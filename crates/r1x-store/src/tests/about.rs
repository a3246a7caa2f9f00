//! What a person says about a run: it changes nothing of the run itself.

use super::errors::change;
use super::fixtures::*;
use crate::{Depth, RunStart, StoreError, TagChange};

fn give(word: &str) -> TagChange {
    TagChange::Give(word.into())
}

fn take(word: &str) -> TagChange {
    TagChange::Take(word.into())
}

/// A run whose spec has two tags.
fn tagged(place: &Place) -> String {
    let plan_json =
        r#"{"tags":["small","first"],"record":{"text":true,"tokens":true,"logprobs":true}}"#;
    let plan_sha256 = r1x_core::digest::sha256(plan_json.as_bytes());
    let start = RunStart { plan_json: plan_json.into(), plan_sha256, ..hashed_start() };
    finished_run_of(&place.write(), start)
}

#[test]
fn tags_are_given_and_taken_and_digests_do_not_see_them() {
    let place = Place::new();
    let name = tagged(&place);
    let before = place.read().run(&name).unwrap();
    assert_eq!(before.tags, ["small", "first"]);
    let store = place.write();
    let tags = |changes: Vec<TagChange>| {
        store.change_tags(&name, changes).unwrap();
        let listed = store.run(&name).unwrap().tags;
        let view = number(&store, "SELECT json_array_length(tags) FROM v_runs");
        assert_eq!(view, listed.len() as i64);
        listed
    };
    assert_eq!(tags(vec![give("good"), take("first")]), ["small", "good"]);
    assert_eq!(
        tags(vec![give("good"), give("small")]),
        ["small", "good"],
        "they are there already"
    );
    assert_eq!(tags(vec![take("never"), take("good")]), ["small"]);
    assert_eq!(tags(vec![give("first")]), ["small", "first"]);
    assert_eq!(number(&store, "SELECT count(*) FROM run_tag"), 0, "all is as in the spec");
    store.set_note(&name, "  the one for the page\n").unwrap();
    assert_eq!(store.run(&name).unwrap().note.as_deref(), Some("the one for the page"));
    store.set_note(&name, "").unwrap();
    assert_eq!(store.run(&name).unwrap().note, None);
    store.set_note(&name, "again").unwrap();
    let after = store.run(&name).unwrap();
    assert_eq!((&after.digest, &after.plan_sha256), (&before.digest, &before.plan_sha256));
    let verified = place.read().verify(Depth::Whole).unwrap();
    assert_eq!((verified.flaws.len(), verified.digests), (0, 1));
    for wrong in ["", "a b", "-x", "+x", "é\u{7}", "a/b"] {
        let error = store.change_tags(&name, vec![give(wrong)]).unwrap_err();
        assert!(matches!(error, StoreError::Word { .. }), "{wrong}: {error:?}");
    }
}

#[test]
fn a_run_and_its_folder_get_another_name() {
    let place = Place::new();
    let name = tagged(&place);
    let other = finished_run(&place.write(), 2);
    let store = place.write();
    let digest = store.run(&name).unwrap().digest;
    std::fs::write(store.run_folder(&name).join("kept"), "kept").unwrap();
    store.rename_run(&name, "best").unwrap();
    let found = store.run("best").unwrap();
    assert_eq!(found.digest, digest);
    assert!(store.run_folder("best").join("kept").exists() && !store.run_folder(&name).exists());
    assert!(matches!(store.run(&name), Err(StoreError::UnknownRun { .. })));
    std::fs::write(store.run_folder("taken"), "by a file").unwrap();
    for wrong in [other.as_str(), "latest", "", "..", "a/b", ".hidden", "taken"] {
        let error = store.rename_run("best", wrong).unwrap_err();
        assert!(matches!(error, StoreError::Word { .. }), "{wrong}: {error:?}");
        assert!(store.run_folder("best").join("kept").exists(), "{wrong}");
        assert_eq!(store.run("best").unwrap().digest, digest, "{wrong}");
    }
    let running = run_of_steps(&store, 1);
    let error = store.rename_run(running.name(), "other").unwrap_err();
    assert!(matches!(error, StoreError::StillRunning { .. }), "{error:?}");
    drop(running);
    // A program was stopped between the folder and the store.
    std::fs::rename(store.run_folder("best"), store.run_folder("better")).unwrap();
    store.rename_run("best", "better").unwrap();
    assert!(store.run_folder("better").join("kept").exists());
    drop(store);
    change(&place, "DELETE FROM run WHERE name = 'better'");
    assert_eq!(number(&place.read(), "SELECT count(*) FROM run_tag"), 0);
}
