//! Stages that are taken over: only while they are there, have ended and count.

use r1x_core::port::{Recorder, Reuse};

use super::errors::change;
use super::fixtures::*;
use crate::{RunWriter, StageOrigin, Store};

/// A run whose first stage has the key `key`.
fn begun(store: &Store) -> RunWriter {
    let mut run = store.begin_run(start()).unwrap();
    run.set_stage_keys(vec!["key".to_owned()]);
    run
}

/// The stage of a run that has ended, which only evaluated, as somebody finds it who looks for it.
fn found(store: &Store) -> StageOrigin {
    let (mut run, facts) = (begun(store), stage(0, "evaluate", 0));
    run.stage_started(&facts).unwrap();
    run.evaluation(&evaluation(Some(0), "evaluate-0", 0, 0.5)).unwrap();
    run.stage_finished(&facts, "weights").unwrap();
    store.reusable("key", 0).unwrap().remove(0)
}

#[test]
fn a_stage_is_taken_over_with_its_evaluations() {
    let place = Place::new();
    let store = place.write();
    let origin = found(&store);
    let mut run = begun(&store);
    assert_eq!(run.reuse(&stage(0, "evaluate", 0), &origin, None).unwrap(), Reuse::Taken);
    let count = |sql: &str| number(&place.read(), sql);
    assert_eq!(count("SELECT count(*) FROM v_evals WHERE run_id = 2"), 2);
    assert_eq!(count("SELECT count(*) FROM v_eval_samples WHERE run_id = 2"), 4);
    let from = "SELECT count(*) FROM v_stages s JOIN v_runs r ON r.run = s.reused_from_run
                 WHERE s.run_id = 2 AND r.run_id = 1";
    assert_eq!(count(from), 1);
    assert_eq!(store.reusable("another key", 0).unwrap(), []);
    assert_eq!(store.reusable("key", 1).unwrap(), [], "it has not so many steps");
}

#[test]
fn a_stage_that_goes_after_it_was_found_is_not_taken() {
    for what_happens in [
        // The next run has the number of the one that was removed.
        "DELETE FROM run",
        "UPDATE stage SET superseded_from = 0",
        "UPDATE stage SET status = 'running'",
        "UPDATE stage SET key_sha256 = 'another key'",
    ] {
        let place = Place::new();
        let store = place.write();
        let origin = found(&store);
        drop(store);
        change(&place, what_happens);
        let store = place.write();
        let mut run = begun(&store);
        let reuse = run.reuse(&stage(0, "evaluate", 0), &origin, None).unwrap();
        assert_eq!(reuse, Reuse::NotKnown, "{what_happens}");
        let own = format!("SELECT count(*) FROM stage WHERE run_id = {}", run.run_id());
        assert_eq!(number(&place.read(), &own), 0, "{what_happens}");
    }
}
