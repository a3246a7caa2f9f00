//! Judging recorded rollouts again: read whole, kept beside the original, and the run stays as it was.

use r1x_core::{RewardOutcome, RewardStatus};

use super::errors::change;
use super::fixtures::*;
use super::sittings::{TO_SCHEMA_3, WITHOUT_SCHEMA_8};
use super::terms::TO_SCHEMA_2;
use crate::{SqlQuery, Store, StoreError, Value};

fn judged(value: f64) -> RewardOutcome {
    let parts = vec![("half".to_owned(), value / 2.0)];
    RewardOutcome { value: Some(value), status: RewardStatus::Ok, parts, info: Some("now".into()) }
}

fn rows(store: &Store, sql: &str) -> Vec<Vec<Value>> {
    store.sql_table(&SqlQuery::new(sql)).unwrap().rows
}

#[test]
fn both_judgements_stand_side_by_side() {
    let place = Place::new();
    let store = place.write();
    let run = run_of_steps(&store, 2);
    let name = run.name().to_owned();
    drop(run);
    let steps = store.rollout_steps(&name).unwrap();
    assert_eq!(steps.iter().map(|step| step.step).collect::<Vec<_>>(), [0, 1]);
    let recorded =
        rows(&store, "SELECT count(*), sum(w.value) FROM v_rewards w WHERE reward = 'equation'");

    let mut outcomes = Vec::new();
    for step in &steps {
        let groups = store.stored_groups(step, "equation").unwrap();
        let facts = grpo_step(1, step.step.cast_unsigned());
        assert_eq!(groups.len(), facts.groups.len());
        for (stored, fact) in groups.iter().zip(&facts.groups) {
            assert_eq!(stored.problem, fact.group.problem);
            assert_eq!(stored.prompt_tokens, fact.group.prompt_tokens);
            for (rollout, fact) in stored.rollouts.iter().zip(&fact.group.rollouts) {
                assert_eq!(rollout.text.as_deref(), Some(fact.rollout.text.as_str()));
                assert_eq!(rollout.value, fact.outcomes[0].value);
                assert_eq!(rollout.status.as_deref(), Some(fact.outcomes[0].status.as_str()));
                outcomes.push((rollout.rollout_id(), judged(0.75)));
            }
        }
    }
    let count = outcomes.len() as i64;
    let number_of = store.add_rescore(&name, plugin("equation", 1.0), outcomes).unwrap();
    assert_eq!(number(&store, "SELECT count(*) FROM v_rescores"), count);
    let whole = format!(
        "SELECT count(*) FROM v_rescores WHERE rescore_id = {number_of} AND value = 0.75 AND info = 'now'
            AND change IS value - original AND json_extract(parts, '$.half') = 0.375"
    );
    assert_eq!(number(&store, &whole), count);
    let again =
        rows(&store, "SELECT count(*), sum(w.value) FROM v_rewards w WHERE reward = 'equation'");
    assert_eq!(again, recorded, "what was recorded stays");
    let unknown = store.add_rescore("nobody", plugin("equation", 1.0), Vec::new()).unwrap_err();
    assert!(matches!(unknown, StoreError::UnknownRun { .. }), "{unknown}");
}

#[test]
fn a_rollout_that_is_not_there_keeps_nothing() {
    let place = Place::new();
    let store = place.write();
    let name = run_of_steps(&store, 1).name().to_owned();
    let strangers = vec![(1, judged(1.0)), (999_999, judged(1.0))];
    assert!(store.add_rescore(&name, plugin("equation", 1.0), strangers).is_err());
    assert_eq!(number(&store, "SELECT count(*) FROM rescore"), 0);
    assert_eq!(number(&store, "SELECT count(*) FROM rescored"), 0);
}

#[test]
fn a_store_of_the_first_schema_is_brought_up_to_date_with_its_runs() {
    let place = Place::new();
    let name = run_of_steps(&place.write(), 1).name().to_owned();
    let to_schema_1 = [
        "DROP VIEW v_rescores",
        "DROP TABLE rescored",
        "DROP TABLE rescore",
        "DELETE FROM _sqlx_migrations WHERE version > 1",
        "PRAGMA user_version = 1",
    ];
    for statement in
        WITHOUT_SCHEMA_8.into_iter().chain(TO_SCHEMA_3).chain(TO_SCHEMA_2).chain(to_schema_1)
    {
        change(&place, statement);
    }
    let error = Store::open(&place.path(), crate::Mode::Read).err().unwrap();
    assert!(matches!(error, StoreError::TooOld { found: 1, .. }), "{error}");
    let store = place.write();
    assert_eq!(store.rollout_steps(&name).unwrap().len(), 1);
    assert_eq!(number(&store, "SELECT count(*) FROM v_rescores"), 0);
}
