//! How long a run was worked on, how it and its stages ended, and what failed in evaluations; in new stores and in
//! those of earlier schemas.

use r1x_core::port::Recorder;

use super::errors::change;
use super::fixtures::*;
use crate::{Mode, RunStatus, SqlQuery, StagePoint, Store, StoreError};

/// Statements that take away what schema 8 has added, but for the numbers of the schema itself.
pub const WITHOUT_SCHEMA_8: [&str; 27] = [
    "DROP VIEW v_tokens",
    "DROP VIEW v_problems",
    "DROP VIEW v_reward_steps",
    "DROP VIEW v_groups",
    "CREATE VIEW v_groups AS SELECT 1",
    "DROP VIEW computed_reward_total",
    "DROP TABLE reward_total",
    "DROP VIEW computed_group_total",
    "DROP TABLE group_total",
    "DROP VIEW v_sweeps",
    "DROP TABLE sweep_run",
    "DROP TABLE sweep_member",
    "DROP TABLE sweep",
    "DROP VIEW v_stages",
    "DROP INDEX stage_key",
    "ALTER TABLE stage DROP COLUMN key_sha256",
    "ALTER TABLE stage DROP COLUMN reused_from",
    "DROP VIEW v_selections",
    "DROP TABLE selection",
    "ALTER TABLE environment DROP COLUMN kernels",
    "DROP VIEW v_runs",
    "CREATE VIEW v_runs AS SELECT 1",
    "DROP TABLE run_tag",
    "ALTER TABLE run DROP COLUMN note",
    "ALTER TABLE step DROP COLUMN rows_sha256",
    "ALTER TABLE step DROP COLUMN dropped",
    "ALTER TABLE eval_run DROP COLUMN rows_sha256",
];

/// Statements that make a store of schema 7 one of schema 3 again.
pub const TO_SCHEMA_3: [&str; 11] = [
    "DROP VIEW v_checkpoints",
    "CREATE VIEW v_checkpoints AS SELECT 1",
    "ALTER TABLE checkpoint DROP COLUMN state_sha256",
    "ALTER TABLE plugin DROP COLUMN packing",
    "DROP VIEW v_eval_rewards",
    "DROP TABLE eval_reward",
    "DROP TABLE sitting",
    "UPDATE run SET status = 'done' WHERE status = 'gate missed'",
    "UPDATE stage SET status = 'running', ended_ms = NULL WHERE status <> 'done'",
    "PRAGMA writable_schema = ON;
     UPDATE sqlite_schema SET sql = replace(sql, '''gate missed'', ', '') WHERE name = 'run';
     UPDATE sqlite_schema SET sql = replace(sql,
         '(''running'', ''done'', ''failed'', ''interrupted'', ''crashed'', ''diverged'')', '(''running'', ''done'')')
      WHERE name = 'stage';
     PRAGMA writable_schema = RESET;",
    "DELETE FROM _sqlx_migrations WHERE version > 3",
];

pub fn words(store: &Store, sql: &str) -> Vec<String> {
    let rows = store.sql_table(&SqlQuery::new(sql)).unwrap().rows;
    rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect()
}

/// A run that was interrupted after two steps and has waited for an hour since.
fn waiting(place: &Place) -> String {
    let store = place.write();
    let mut run = run_of_steps(&store, 2);
    run.evaluation(&evaluation(None, "start", 0, 0.1)).unwrap();
    run.finish(RunStatus::Interrupted, 130, None, None).unwrap();
    let name = run.name().to_owned();
    drop((run, store));
    for statement in [
        "UPDATE run SET started_ms = started_ms - 3600000, ended_ms = ended_ms - 3600000",
        "UPDATE stage SET started_ms = started_ms - 3600000, ended_ms = ended_ms - 3600000",
        "UPDATE step SET started_ms = started_ms - 3600000, ended_ms = ended_ms - 3600000",
        "UPDATE sitting SET started_ms = started_ms - 3600000, ended_ms = ended_ms - 3600000",
        "UPDATE eval_run SET ended_ms = ended_ms - 3600000",
    ] {
        change(place, statement);
    }
    name
}

const POINT: StagePoint = StagePoint { stage: 1, step: 2 };

#[test]
fn pauses_between_sittings_do_not_count() {
    let place = Place::new();
    let name = waiting(&place);
    let store = place.write();
    let mut run = store.resume_run(&name, POINT, Some("/elsewhere")).unwrap();
    run.stage_started(&stage(1, "grpo", 2)).unwrap();
    assert!(store.run(&name).unwrap().seconds < 600.0, "while it runs");
    write(&mut run, grpo_step(1, 2));
    run.finish(RunStatus::Done, 0, None, Some("digest")).unwrap();
    let found = store.run(&name).unwrap();
    assert!(found.seconds < 600.0, "an hour of waiting counts: {} s", found.seconds);
    assert_eq!(found.sittings, 2);
    let stage = &store.run_card(&name).unwrap().stages[0];
    assert!(stage.worked_ms < 600_000, "nor does it in a stage: {} ms", stage.worked_ms);
    let view = "SELECT count(*) FROM v_runs WHERE seconds < 600 AND sittings = 2";
    assert_eq!(number(&store, view), 1);
    assert_eq!(store.spec(&name).unwrap().folder.as_deref(), Some("/elsewhere"));
}

#[test]
fn a_stage_ends_as_its_run_does() {
    let ends = [
        (RunStatus::Failed, "failed"),
        (RunStatus::Diverged, "diverged"),
        (RunStatus::Interrupted, "interrupted"),
    ];
    for (status, word) in ends {
        let place = Place::new();
        let store = place.write();
        run_of_steps(&store, 1).finish(status, 6, Some("why"), None).unwrap();
        let card = store.run_card("latest").unwrap();
        assert_eq!((card.run.status.as_str(), card.stages[0].status.as_str()), (word, word));
        assert!(card.stages[0].ended_ms.is_some());
    }
    let place = Place::new();
    let store = place.write();
    drop(run_of_steps(&store, 1));
    assert_eq!(store.run_card("latest").unwrap().stages[0].status, "crashed");
    assert_eq!(number(&store, "SELECT count(*) FROM stage WHERE status = 'running'"), 0);
    assert_eq!(number(&store, "SELECT count(*) FROM sitting WHERE ended_ms IS NULL"), 0);
}

#[test]
fn a_missed_gate_is_not_done() {
    let place = Place::new();
    let store = place.write();
    let mut run = run_of_steps(&store, 1);
    run.stage_finished(&stage(1, "grpo", 0), "aa").unwrap();
    run.finish(RunStatus::GateMissed, 5, Some("gate missed: heldout"), Some("digest")).unwrap();
    let card = store.run_card("latest").unwrap();
    assert_eq!((card.run.status.as_str(), card.stages[0].status.as_str()), ("gate missed", "done"));
}

#[test]
fn another_thread_can_mark_a_run_as_interrupted_but_not_one_that_has_ended() {
    let place = Place::new();
    let store = place.write();
    let mut run = run_of_steps(&store, 1);
    let stopper = run.stopper();
    std::thread::scope(|scope| {
        scope.spawn(|| stopper.interrupt(130, "stopped at once").unwrap());
    });
    let found = store.run_card("latest").unwrap();
    assert_eq!((found.run.status.as_str(), found.run.exit_code), ("interrupted", Some(130)));
    assert_eq!(found.run.error.as_deref(), Some("stopped at once"));
    assert_eq!(found.stages[0].status, "interrupted");
    run.finish(RunStatus::Done, 0, None, None).unwrap();
    stopper.interrupt(130, "too late").unwrap();
    assert_eq!(store.run("latest").unwrap().status, "done");
}

#[test]
fn what_fails_in_an_evaluation_is_a_row_with_its_reason() {
    let place = Place::new();
    let store = place.write();
    let mut run = run_of_steps(&store, 1);
    run.evaluation(&evaluation(Some(1), "grpo-1", 1, 0.5)).unwrap();
    let failed = "SELECT suite, stage, step, item, sample, reward, value, status, parts, info
                    FROM v_eval_rewards WHERE status <> 'ok'";
    assert_eq!(
        words(&store, failed),
        [r#"["heldout","grpo-1",1,1,0,"equation",null,"trap","{\"used\":2.0}","divided by zero"]"#]
    );
    assert_eq!(number(&store, "SELECT count(*) FROM v_eval_rewards"), 4);
    run.evaluation(&evaluation(Some(1), "grpo-1", 1, 0.5)).unwrap();
    assert_eq!(number(&store, "SELECT count(*) FROM v_eval_rewards"), 4, "the newer one counts");
    let mut short = evaluation(Some(1), "grpo-1", 2, 0.5);
    short.rewards.push("format".into());
    assert!(run.evaluation(&short).is_err(), "every reward needs an outcome");
}

#[test]
fn a_list_of_runs_has_tags_overrides_and_the_newest_numbers() {
    let place = Place::new();
    let store = place.write();
    let plan_json = r#"{"name":"countdown","tags":["small","first"],
        "record":{"text":true,"tokens":true,"logprobs":true}}"#
        .to_owned();
    let mut run = store.begin_run(crate::RunStart { plan_json, ..start() }).unwrap();
    let empty = &store.runs().unwrap()[0];
    assert_eq!((&empty.last_metric, &empty.last_eval), (&None, &None));
    run.stage_started(&stage(0, "sft", 0)).unwrap();
    write(&mut run, step_facts(0, 0, Vec::new()));
    let last = |store: &Store| store.runs().unwrap()[0].last_metric.clone().unwrap();
    assert_eq!((last(&store).name.as_str(), last(&store).value), ("loss", Some(0.5)));
    run.stage_started(&stage(1, "grpo", 0)).unwrap();
    let mut rewarded = grpo_step(1, 0);
    rewarded.metrics.push(("reward.mean".into(), 0.75));
    write(&mut run, rewarded);
    run.evaluation(&evaluation(Some(1), "grpo-1", 1, 0.3)).unwrap();
    let found = &store.runs().unwrap()[0];
    assert_eq!(found.tags, ["small", "first"]);
    assert_eq!(found.overrides, ["seed=2", "model.layers=3"]);
    assert_eq!((last(&store).name.as_str(), last(&store).value), ("reward.mean", Some(0.75)));
    let eval = found.last_eval.clone().unwrap();
    assert_eq!((eval.name.as_str(), eval.value), ("pass@1", Some(0.3)));
}

/// What an earlier r1x wrote is told apart as far as it can be: pauses, ends, the grades of evaluations.
#[test]
fn a_store_of_schema_3_is_brought_up_to_date() {
    let place = Place::new();
    let name = waiting(&place);
    let store = place.write();
    let mut run = store.resume_run(&name, POINT, None).unwrap();
    run.stage_started(&stage(1, "grpo", 2)).unwrap();
    run.stage_finished(&stage(1, "grpo", 2), "aa").unwrap();
    run.finish(RunStatus::GateMissed, 5, None, Some("digest")).unwrap();
    let mut failed = run_of_steps(&store, 1);
    failed.finish(RunStatus::Failed, 6, None, None).unwrap();
    let failed = failed.name().to_owned();
    drop((run, store));
    let suites = "UPDATE spec SET plan_json = json_set(plan_json, '$.evals',
                  json('[{\"id\":\"heldout\",\"grade\":\"equation\"}]'))";
    let older = [suites]
        .into_iter()
        .chain(WITHOUT_SCHEMA_8)
        .chain(TO_SCHEMA_3)
        .chain(["PRAGMA user_version = 3"]);
    older.for_each(|statement| change(&place, statement));
    let error = Store::open(&place.path(), Mode::Read).err().unwrap();
    assert!(matches!(error, StoreError::TooOld { found: 3, .. }), "{error}");
    let store = place.write();
    let found = store.run_card(&name).unwrap();
    assert_eq!((found.run.status.as_str(), found.run.sittings), ("gate missed", 2));
    assert!(found.run.seconds < 600.0, "an hour of waiting counts: {} s", found.run.seconds);
    assert_eq!(store.run_card(&failed).unwrap().stages[0].status, "failed");
    let attempts = "SELECT s.status FROM stage s JOIN run r USING (run_id) WHERE r.exit_code = 5 ORDER BY attempt";
    assert_eq!(words(&store, attempts), [r#"["interrupted"]"#, r#"["done"]"#]);
    let grades =
        "SELECT status, count(*), max(info) FROM v_eval_rewards GROUP BY status ORDER BY status";
    assert_eq!(words(&store, grades), [r#"["ok",3,null]"#, r#"["trap",1,null]"#]);
    let mut next = run_of_steps(&store, 1);
    next.finish(RunStatus::GateMissed, 5, None, None).unwrap();
    let bad = store.sql_table(&SqlQuery::new("PRAGMA quick_check")).unwrap();
    assert_eq!(bad.rows, [[crate::Value::Text("ok".into())]]);
}
