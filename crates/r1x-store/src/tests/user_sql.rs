//! Queries of people: what they see, what they may not, and how they are told.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use r1x_core::port::Recorder;

use super::fixtures::*;
use crate::{RowSink, SqlQuery, StoreError, Table, Value};

#[test]
fn values_keep_their_types() {
    let place = Place::new();
    let store = place.write();
    let text =
        "SELECT 1 AS i, 0.5 AS r, 'é' AS t, x'0001' AS b, NULL AS n, 9007199254740993 AS big";
    let table = store.sql_table(&SqlQuery::new(text)).unwrap();
    assert_eq!(table.columns, ["i", "r", "t", "b", "n", "big"]);
    assert_eq!(
        table.rows,
        [[
            Value::Integer(1),
            Value::Real(0.5),
            Value::Text("é".into()),
            Value::Blob(vec![0, 1]),
            Value::Null,
            Value::Integer(9_007_199_254_740_993),
        ]]
    );
    let none = store.sql_table(&SqlQuery::new("SELECT run, seed FROM v_runs")).unwrap();
    assert_eq!(none.columns, ["run", "seed"], "columns are known without rows");
    assert!(none.rows.is_empty());
}

#[test]
fn a_run_is_bound_by_name() {
    let place = Place::new();
    let store = place.write();
    let one = run_of_steps(&store, 2);
    let two = run_of_steps(&store, 3);
    let text =
        "SELECT count(*) FROM v_steps WHERE run = :run AND run_id = :run_id AND step < :most";
    let most = [("most".to_owned(), Value::Integer(2))];
    let count = |run| {
        let query = SqlQuery { run, params: &most, ..SqlQuery::new(text) };
        store.sql_table(&query).unwrap().rows[0][0].clone()
    };
    assert_eq!(count(None), Value::Integer(2));
    assert_eq!(count(Some(one.name())), Value::Integer(2));
    assert_eq!(number(&store, "SELECT count(*) FROM v_steps WHERE run = :run"), 3);
    let error = store.sql_table(&SqlQuery::new("SELECT :other")).unwrap_err();
    assert!(error.to_string().contains("`:other`"), "{error}");
    let query = SqlQuery { run: Some("nobody"), ..SqlQuery::new("SELECT :run") };
    assert!(matches!(store.sql_table(&query).unwrap_err(), StoreError::UnknownRun { .. }));
    drop(two);
}

#[test]
fn nothing_is_written() {
    let place = Place::new();
    let store = place.write();
    let _run = run_of_steps(&store, 1);
    for text in [
        "DELETE FROM run",
        "WITH x AS (SELECT 1) DELETE FROM run",
        "WITH x AS (SELECT 1) INSERT INTO metric_key (name) SELECT 'a' FROM x",
        "WITH x AS (SELECT 1) UPDATE run SET name = 'a'",
        "ATTACH DATABASE 'other.db' AS other",
        "PRAGMA query_only = 0",
        "PRAGMA writable_schema = 1",
        "VACUUM INTO 'copy.db'",
        "CREATE TEMP TABLE t (a)",
        "SELECT 1; DROP TABLE run",
    ] {
        let error = store.sql_table(&SqlQuery::new(text)).unwrap_err();
        assert!(matches!(error, StoreError::Writes { .. }), "{text}: {error}");
    }
    let error = store.sql_table(&SqlQuery::new("SELECT load_extension('x')")).unwrap_err();
    assert!(error.to_string().contains("not authorized"), "{error}");
    assert_eq!(number(&store, "SELECT count(*) FROM run"), 1);
}

#[test]
fn mistakes_are_explained() {
    let place = Place::new();
    let store = place.write();
    let told = |text: &str| {
        let error = store.sql_table(&SqlQuery::new(text)).unwrap_err();
        format!("{error}; {}", error.hint())
    };
    assert!(told("SELECT * FROM v_rollout").contains("did you mean `v_rollouts`? views are "));
    assert!(told("SELECT metrik FROM v_metrics").contains("did you mean `metric`?"));
    // Other tables have a column of this name.
    let said = told("SELECT value FROM v_metrics WHERE name = 'loss'");
    assert!(!said.contains("did you mean `name`?"), "{said}");
    assert!(
        said.contains(
            "v_metrics has the columns run_id, run, stage_idx, stage, step, metric, value"
        ),
        "{said}"
    );
    assert!(told("SELEC 1").contains("SELEC is not a query"));
    assert!(told("SELECT (").contains("the query fails"));
    let names: Vec<String> = store.tables().unwrap().into_iter().map(|table| table.name).collect();
    let place_of = |name: &str| names.iter().position(|known| known == name).unwrap();
    assert!(place_of("v_tokens") < place_of("checkpoint"), "views come first: {names:?}");
    assert!(
        names.contains(&"rollout".to_owned())
            && !names.iter().any(|name| name.starts_with("_sqlx"))
    );
}

#[test]
fn a_query_without_end_is_stopped() {
    let place = Place::new();
    let store = place.write();
    let text =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let query = SqlQuery { time_limit: Duration::from_millis(80), ..SqlQuery::new(text) };
    let error = store.sql_table(&query).unwrap_err();
    assert!(matches!(error, StoreError::Timeout { limit_ms: 80 }), "{error:?}");
    assert_eq!(number(&store, "SELECT 7"), 7, "the next query has its own time");
}

#[test]
fn a_query_is_stopped_when_somebody_asks() {
    let place = Place::new();
    let store = place.write();
    let text =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(60));
        asked.store(true, Ordering::Relaxed);
    });
    let error = store.sql_table(&SqlQuery { stop: Some(stop), ..SqlQuery::new(text) }).unwrap_err();
    assert!(matches!(error, StoreError::Stopped), "{error:?}");
    later.join().unwrap();
    assert_eq!(number(&store, "SELECT 7"), 7, "the next query is not stopped");
}

#[test]
fn mathematics_is_there() {
    let place = Place::new();
    let store = place.write();
    let text =
        "SELECT sqrt(2.0), exp(1), ln(10), log10(1000), pow(2, 10), floor(-1.5), ceil(1.2), pi(),
                       log2(8), sin(0), mod(7, 4), radians(180), trunc(2.7), tanh(0)";
    let table = store.sql_table(&SqlQuery::new(text)).unwrap();
    let expected = [
        std::f64::consts::SQRT_2,
        std::f64::consts::E,
        std::f64::consts::LN_10,
        3.0,
        1024.0,
        -2.0,
        2.0,
        std::f64::consts::PI,
        3.0,
        0.0,
        3.0,
        std::f64::consts::PI,
        2.0,
        0.0,
    ];
    for ((value, expected), at) in table.rows[0].iter().zip(expected).zip(0..) {
        let Value::Real(value) = value else { panic!("column {at}: {value:?}") };
        assert!((value - expected).abs() < 1e-12, "column {at}: {value}, not {expected}");
    }
    let error = store.sql_table(&SqlQuery::new("SELECT sqroot(2)")).unwrap_err();
    assert!(error.hint().contains("pragma_function_list"), "{}", error.hint());
}

#[test]
fn rows_come_as_they_are_found() {
    struct Five(u32);
    impl RowSink for Five {
        fn columns(&mut self, _: &[String]) {}
        fn row(&mut self, _: Vec<Value>) -> ControlFlow<()> {
            self.0 += 1;
            // Slower than the time limit: the sink's own time does not count.
            std::thread::sleep(Duration::from_millis(40));
            if self.0 == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    let place = Place::new();
    let store = place.write();
    let text = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    let query = SqlQuery { time_limit: Duration::from_millis(100), ..SqlQuery::new(text) };
    let mut five = Five(0);
    let end = store.sql(&query, &mut five).unwrap();
    assert_eq!((end.rows, end.truncated, five.0), (5, false, 5));
    let mut table = Table::default();
    let end = store.sql(&SqlQuery { limit: Some(3), ..query }, &mut table).unwrap();
    assert_eq!((end.rows, end.truncated, table.rows.len()), (3, true, 3));
}

/// Whoever made the store may have put anything into it.
#[test]
fn text_that_is_none_is_shown_as_what_it_is_not() {
    let place = Place::new();
    let store = place.write();
    let read = |sql: &str| store.sql_table(&SqlQuery::new(sql)).unwrap().rows.remove(0).remove(0);
    assert_eq!(read("SELECT cast(x'41ff42' AS TEXT)"), Value::Text("A\u{fffd}B".into()));
    assert_eq!(read("SELECT cast(x'ff' AS TEXT)"), Value::Text("\u{fffd}".into()));
    assert_eq!(read("SELECT cast(x'c3a9' AS TEXT)"), Value::Text("é".into()));
    let mut run = run_of_steps(&store, 1);
    run.event(crate::Level::Warn, "test", "said").unwrap();
    run.evaluation(&evaluation(Some(1), "grpo-1", 1, 0.5)).unwrap();
    run.finish(crate::RunStatus::Failed, 1, Some("why"), None).unwrap();
    drop(run);
    for statement in [
        "UPDATE run SET name = cast(x'6eff' AS TEXT), error = cast(x'ff' AS TEXT)",
        "UPDATE spec SET source_path = cast(x'ff' AS TEXT), source_text = cast(x'ff' AS TEXT)",
        "UPDATE environment SET host = cast(x'ff' AS TEXT)",
        "UPDATE stage SET name = cast(x'ff' AS TEXT)",
        "UPDATE dataset SET source = cast(x'ff' AS TEXT)",
        "UPDATE plugin SET version = cast(x'ff' AS TEXT)",
        "UPDATE prompt SET text = cast(x'ff' AS TEXT), answer = cast(x'ff' AS TEXT)",
        "UPDATE rollout_payload SET text = cast(x'61ff' AS TEXT)",
        "UPDATE reward SET info = cast(x'ff' AS TEXT)",
        "UPDATE event SET message = cast(x'ff' AS TEXT)",
        "UPDATE metric_key SET name = cast(x'ff' AS TEXT) WHERE name = 'loss'",
        "UPDATE eval_run SET suite = cast(x'ff' AS TEXT)",
    ] {
        super::errors::change(&place, statement);
    }
    let store = place.read();
    assert_eq!(store.runs().unwrap()[0].name, "n\u{fffd}");
    let card = store.run_card("latest").unwrap();
    assert_eq!(card.run.error.as_deref(), Some("\u{fffd}"));
    assert_eq!(card.events[0].message, "\u{fffd}");
    assert_eq!(card.evals[0].suite, "\u{fffd}");
    assert_eq!(store.spec("latest").unwrap().text, "\u{fffd}");
    let step = store.step("latest", None, 0).unwrap();
    assert!(step.metrics.iter().any(|metric| metric.name == "\u{fffd}"));
    assert_eq!(store.group("latest", None, 0, 0).unwrap().group.prompt, "\u{fffd}");
    let rollout = store.rollout("latest", None, 0, 0, 0).unwrap();
    assert_eq!(rollout.text.as_deref(), Some("a\u{fffd}"));
    let steps = store.rollout_steps("latest").unwrap();
    assert_eq!(store.stored_groups(&steps[0], "equation").unwrap().len(), 2);
    assert_eq!(store.checkpoints("latest").unwrap(), []);
    // A run with such a name is found by its identity.
    assert!(store.run(&card.run.uid).is_ok());
}
