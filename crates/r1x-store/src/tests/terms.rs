//! What becomes of a reward's value: recorded beside it, asked of the views, part of the digest. Older stores too.

use r1x_core::facts::StepFacts;
use r1x_core::port::Recorder;
use r1x_core::{ConditionState, RewardOutcome, RewardTerm};

use super::errors::change;
use super::fixtures::*;
use super::sittings::{TO_SCHEMA_3, WITHOUT_SCHEMA_8};
use crate::digest;
use crate::{SqlQuery, Store, Value};

/// One group of two rollouts. In the first, `equation` is clipped from 3 to 2 and its condition is met; in the second
/// the condition is not met, and `format` does not judge it.
fn shaped() -> StepFacts {
    let mut rollouts = vec![rollout(3, 0, Some(3.0), Some(1.0)), rollout(5, 1, Some(1.0), None)];
    rollouts[0].terms[0] = RewardTerm {
        clipped: Some(2.0),
        condition: Some(ConditionState::Met),
        counted: Some(2.0),
        weight: 0.5,
        normalized: Some(1.25),
    };
    rollouts[0].terms[1].weight = 0.25;
    rollouts[0].unclipped = Some(1.25);
    rollouts[0].total = Some(1.0);
    rollouts[1].terms[0] = RewardTerm {
        clipped: Some(1.0),
        condition: Some(ConditionState::Unmet),
        counted: Some(0.0),
        weight: 0.5,
        normalized: Some(-1.25),
    };
    rollouts[1].outcomes[1] = RewardOutcome::unasked();
    rollouts[1].total = Some(0.0);
    rollouts[1].unclipped = Some(0.0);
    step_facts(0, 0, vec![group(problem(0), rollouts)])
}

fn rows(store: &Store, sql: &str) -> Vec<String> {
    let table = store.sql_table(&SqlQuery::new(sql)).unwrap();
    let cell = |value: &Value| serde_json::to_string(value).unwrap();
    table.rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn every_value_on_the_way_to_the_total_is_recorded() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    run.stage_started(&stage(0, "grpo", 0)).unwrap();
    write(&mut run, shaped());
    let said = "SELECT sample, reward, value, clipped, gate, counted, weight, contribution, normalized, push
                  FROM v_rewards ORDER BY sample, reward";
    assert_eq!(
        rows(&store, said),
        [
            r#"0 "equation" 3.0 2.0 "open" 2.0 0.5 1.0 1.25 0.625"#,
            r#"0 "format" 1.0 1.0 null 1.0 0.25 0.25 null null"#,
            r#"1 "equation" 1.0 1.0 "closed" 0.0 0.5 0.0 -1.25 -0.625"#,
        ],
        "a reward that was not asked has no row"
    );
    let totals = "SELECT sample, unclipped, reward, data FROM v_rollouts ORDER BY sample";
    assert_eq!(rows(&store, totals), [r#"0 1.25 1.0 "numbers""#, r#"1 0.0 0.0 "numbers""#]);
    assert_eq!(rows(&store, "SELECT data FROM v_groups"), [r#""numbers""#]);
    let sums = "SELECT sum(contribution) FROM v_rewards GROUP BY sample ORDER BY sample";
    assert_eq!(rows(&store, sums), ["1.25", "0.0"]);

    let found = store.rollout("latest", None, 0, 0, 0).unwrap();
    assert_eq!((found.unclipped, found.reward), (Some(1.25), Some(1.0)));
    assert_eq!(found.data.as_deref(), Some("numbers"));
    let card = &found.rewards[0];
    assert_eq!((card.value, card.clipped, card.counted), (Some(3.0), Some(2.0), Some(2.0)));
    assert_eq!(
        (card.weight, card.contribution, card.normalized),
        (Some(0.5), Some(1.0), Some(1.25))
    );
    assert_eq!(card.condition.as_deref(), Some("open"));
    assert_eq!(store.rollout("latest", None, 0, 0, 1).unwrap().rewards.len(), 1);
}

#[test]
fn what_a_grade_said_is_recorded_beside_what_counts() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    let mut facts = evaluation(None, "start", 0, 0.5);
    let sample = &mut facts.items[0].1[0];
    (sample.value, sample.score, sample.condition) =
        (Some(1.0), Some(0.0), Some(ConditionState::Unmet));
    sample.correct = false;
    run.evaluation(&facts).unwrap();
    let sql =
        "SELECT value, score, gate, correct FROM v_eval_samples ORDER BY item, sample LIMIT 2";
    assert_eq!(rows(&store, sql), [r#"1.0 0.0 "closed" 0"#, "0.0 0.0 null 0"]);
}

/// Every number of a term reaches the hash, and a term that changes nothing does not: so runs without shaped
/// rewards keep the digests they had.
#[test]
fn the_digest_sees_what_terms_change() {
    let facts = shaped();
    let hash = digest::step(&facts);
    let with = |change: &dyn Fn(&mut RewardTerm)| {
        let mut facts = facts.clone();
        change(&mut facts.groups[0].group.rollouts[0].terms[0]);
        digest::step(&facts)
    };
    assert_eq!(with(&|_| {}), hash);
    let changes: [&dyn Fn(&mut RewardTerm); 5] = [
        &|term| term.clipped = Some(2.5),
        &|term| term.condition = Some(ConditionState::Unknown),
        &|term| term.counted = None,
        &|term| term.weight = 0.75,
        &|term| term.normalized = None,
    ];
    for change in changes {
        assert_ne!(with(change), hash);
    }
    let mut unclipped = facts.clone();
    unclipped.groups[0].group.rollouts[0].unclipped = Some(1.5);
    assert_ne!(digest::step(&unclipped), hash);

    let plain = grpo_step(0, 3);
    let mut bare = plain.clone();
    for rollout in bare.groups.iter_mut().flat_map(|group| &mut group.group.rollouts) {
        rollout.terms.clear();
    }
    assert_eq!(digest::step(&plain), digest::step(&bare));
}

/// Statements that make a store of schema 3 one of schema 2 again.
pub const TO_SCHEMA_2: [&str; 18] = [
    "DROP VIEW v_rollouts",
    "DROP VIEW v_rewards",
    "DROP VIEW v_groups",
    "DROP VIEW v_eval_samples",
    "ALTER TABLE reward DROP COLUMN clipped",
    "ALTER TABLE reward DROP COLUMN gate",
    "ALTER TABLE reward DROP COLUMN counted",
    "ALTER TABLE reward DROP COLUMN weight",
    "ALTER TABLE reward DROP COLUMN normalized",
    "ALTER TABLE rollout DROP COLUMN unclipped",
    "ALTER TABLE rollout_group DROP COLUMN data",
    "ALTER TABLE eval_sample DROP COLUMN value",
    "ALTER TABLE eval_sample DROP COLUMN gate",
    "CREATE VIEW v_rollouts AS SELECT 1",
    "CREATE VIEW v_rewards AS SELECT 1",
    "CREATE VIEW v_groups AS SELECT 1",
    "CREATE VIEW v_eval_samples AS SELECT 1",
    "DELETE FROM _sqlx_migrations WHERE version > 2",
];

#[test]
fn rewards_of_a_store_of_schema_2_are_their_own_terms() {
    let place = Place::new();
    drop(run_of_steps(&place.write(), 1));
    for statement in WITHOUT_SCHEMA_8.into_iter().chain(TO_SCHEMA_3).chain(TO_SCHEMA_2) {
        change(&place, statement);
    }
    change(&place, "PRAGMA user_version = 2");
    let store = place.write();
    let said = "SELECT reward, value, clipped, gate, counted, weight, contribution, normalized
                  FROM v_rewards WHERE grp = 0 AND sample = 0 ORDER BY reward";
    assert_eq!(
        rows(&store, said),
        [
            r#""equation" 1.0 1.0 null 1.0 1.0 1.0 null"#,
            r#""format" 1.0 1.0 null 1.0 0.5 0.5 null"#,
        ]
    );
    let totals = "SELECT unclipped IS reward, data FROM v_rollouts LIMIT 1";
    assert_eq!(rows(&store, totals), ["1 null"]);
    let found = store.rollout("latest", None, 0, 0, 0).unwrap();
    assert_eq!((found.unclipped, found.data), (found.reward, None));
    assert_eq!(found.rewards[1].contribution, Some(0.5));
    let steps = store.rollout_steps("latest").unwrap();
    assert_eq!(store.stored_groups(&steps[0], "format").unwrap()[0].problem.data, "");
}
