//! The questions on a small run whose answers are known, and the plans of common queries.

use r1x_core::facts::StepFacts;
use r1x_core::port::Recorder;

use super::fixtures::*;
use crate::examples::{EXAMPLES, find};
use crate::{SqlQuery, Store, Value};

/// Twenty steps: format is right from step 5 on, equations from step 15 on. Every second group has no
/// signal. At steps 8 and 9 one rollout is long, well-formed and wrong; at step 3 the plugin fails once.
fn facts(step: u64) -> StepFacts {
    let format = if step >= 5 { 1.0 } else { 0.0 };
    let equation = if step >= 15 { 1.0 } else { 0.0 };
    let odd_one = |salt: u32| {
        let long = matches!(step, 8 | 9);
        let equation = if step == 3 { None } else { Some(equation) };
        rollout(if long { 30 } else { 4 }, salt, equation, Some(format))
    };
    let salt = step as u32 * 10;
    step_facts(
        0,
        step,
        vec![
            group(
                problem(step % 10),
                vec![rollout(4, salt, Some(equation), Some(format)), odd_one(salt + 2)],
            ),
            group(
                problem(100 + step),
                vec![
                    rollout(4, salt + 4, Some(0.0), Some(format)),
                    rollout(4, salt + 6, Some(1.0), Some(format)),
                ],
            ),
        ],
    )
}

fn store() -> (Place, Store) {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    run.stage_started(&stage(0, "grpo", 0)).unwrap();
    run.evaluation(&evaluation(None, "start", 0, 0.5)).unwrap();
    for step in 0..20 {
        write(&mut run, facts(step));
    }
    let _other = store
        .begin_run(crate::RunStart { plugins: vec![plugin("equation", 2.0)], ..start() })
        .unwrap();
    let name = run.name().to_owned();
    drop(run);
    assert_eq!(store.run(&name).unwrap().steps, 20);
    (place, store)
}

fn answer(store: &Store, example: &str) -> Vec<Vec<Value>> {
    let first = store.runs().unwrap().pop().unwrap();
    let query = SqlQuery { run: Some(&first.name), ..SqlQuery::new(find(example).unwrap().sql) };
    store.sql_table(&query).unwrap().rows
}

fn text(rows: &[Vec<Value>], columns: &[usize]) -> Vec<String> {
    let cell = |row: &Vec<Value>, column: usize| serde_json::to_string(&row[column]).unwrap();
    rows.iter()
        .map(|row| columns.iter().map(|&column| cell(row, column)).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn the_questions_that_are_asked_first_have_their_answers() {
    let (_place, store) = store();
    let rows = answer(&store, "format-first");
    assert_eq!(rows.len(), 10, "twenty steps in tenths");
    let curve = text(&rows, &[1, 2, 3]);
    assert_eq!(curve[0], "0 0.0 0.25");
    assert_eq!(curve[2], "4 0.5 0.25", "format comes first");
    assert_eq!(curve[9], "18 1.0 0.75", "and correctness after it");

    let rows = answer(&store, "hacking");
    assert_eq!(text(&rows, &[0, 1, 2, 4, 5]), ["8 0 1 30 1.76", "9 0 1 30 1.76"]);

    let rows = answer(&store, "no-signal");
    let shares = text(&rows, &[1, 2, 3, 4, 5, 6]);
    assert_eq!(shares[0], "0 4 2 0 2 0.5");
    assert_eq!(shares[9], "18 4 2 2 0 0.5");

    let rows = answer(&store, "one-prompt");
    assert_eq!(text(&rows, &[1, 2, 5]), ["0 2 0.0", "10 2 0.5"], "the prompt asked most often");

    let rows = answer(&store, "same-plugin");
    assert_eq!(text(&rows, &[0, 6]), [r#""equation" 1.0"#, r#""equation" 2.0"#, r#""format" 0.5"#]);

    let rows = answer(&store, "plugin-failures");
    assert_eq!(
        text(&rows, &[0, 1, 2, 3, 4, 5, 6]),
        [
            r#""equation" "grpo-0" "ok" 79 98.75 0 19"#,
            r#""equation" "grpo-0" "timeout" 1 1.25 3 3"#,
            r#""equation" "heldout" "ok" 3 75.0 0 0"#,
            r#""equation" "heldout" "trap" 1 25.0 0 0"#,
            r#""format" "grpo-0" "ok" 80 100.0 0 19"#,
        ]
    );
}

#[test]
fn questions_about_learning_have_their_answers() {
    let (_place, store) = store();
    let rows = answer(&store, "course");
    assert_eq!(rows.len(), 10);
    assert_eq!(text(&rows, &[1, 2, 3, 7])[0], "0 null 1.0 null", "0.5 and 1.5; NaN is no number");
    assert_eq!(text(&rows, &[1, 3])[9], "18 19.0");
    let rows = answer(&store, "never-solved");
    let tried = text(&rows, &[1, 2, 3, 4]);
    assert_eq!(tried.len(), 10);
    assert!(tried[..5].iter().all(|row| row == "2 4 0.5 0.25"), "{tried:?}");
    assert!(tried[5..].iter().all(|row| row == "1 2 1.0 0.5"), "{tried:?}");
    assert!(answer(&store, "repeated").is_empty(), "no two completions are alike");
    let rows = answer(&store, "surprising");
    assert_eq!(rows.len(), 20);
    assert_eq!(text(&rows, &[1, 2, 3, 4])[0], "5 1 1 1.5");
    assert_eq!(text(&answer(&store, "time"), &[0, 1, 2]), [r#""grpo-0" "grpo" 20"#]);
}

#[test]
fn a_completion_that_is_written_again_and_again_is_told() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    run.stage_started(&stage(0, "grpo", 0)).unwrap();
    let alike = |key| {
        group(problem(key), vec![rollout(3, 7, Some(1.0), None), rollout(3, 8, Some(0.0), None)])
    };
    write(&mut run, step_facts(0, 0, vec![alike(1), alike(2), alike(2)]));
    let said = text(&answer(&store, "repeated"), &[1, 2, 3, 4, 5]);
    let expected =
        [r#""<think>7</think> 1 + 2" 3 2 50.0 1.0"#, r#""<think>8</think> 1 + 2" 3 2 50.0 0.0"#];
    assert_eq!(said, expected);
}

#[test]
fn questions_about_rewards_have_their_answers() {
    let (_place, store) = store();
    let rows = text(&answer(&store, "totals"), &[1, 2, 3, 4, 5]);
    assert_eq!(rows.len(), 20);
    assert_eq!(rows[0], r#"0 "equation" 0.25 0.25 1.0"#);
    assert_eq!(rows[2], r#"2 "equation" 0.25 0.2857 0.875"#, "one of eight was not judged");
    assert_eq!(rows[19], r#"18 "format" 0.5 1.0 1.0"#);
    let rows = text(&answer(&store, "disagree"), &[0, 1, 2, 3]);
    assert_eq!(rows, [r#""format" "equation" 79 35"#, r#""equation" "format" 79 5"#]);
    assert!(answer(&store, "filters").is_empty());
}

#[test]
fn questions_about_evaluations_have_their_answers() {
    let (_place, store) = store();
    let first = store.runs().unwrap().pop().unwrap();
    let mut run =
        store.resume_run(&first.name, crate::StagePoint { stage: 1, step: 0 }, None).unwrap();
    let mut later = evaluation(None, "later", 20, 0.25);
    for sample in &mut later.items[0].1 {
        (sample.score, sample.correct) = (Some(0.5), false);
    }
    run.evaluation(&later).unwrap();
    let rows = text(&answer(&store, "scores"), &[0, 1, 2, 4, 6]);
    assert_eq!(rows[0], r#""heldout" "pass@1" "start" 0.5 null"#);
    assert_eq!(rows[1], r#""heldout" "pass@1" "later" 0.25 -0.25"#);
    let rows = text(&answer(&store, "unlearnt"), &[1, 2, 3]);
    assert_eq!(rows, ["0 0.5 0.0"]);
    let rows = text(&answer(&store, "unsolved"), &[1, 2, 3]);
    assert_eq!(rows, ["0 2 0.5", "1 2 0.0"]);
}

#[test]
fn questions_about_runs_have_their_answers() {
    let (_place, store) = store();
    let rows = text(&answer(&store, "seeds"), &[0, 1, 2, 3, 4]);
    assert_eq!(rows, [r#""heldout" "pass@1" 1 1 0.5"#, r#""heldout" "pass@2" 1 1 0.5"#]);
    let rows = text(&answer(&store, "repeated-runs"), &[3]);
    assert_eq!(rows, ["1", "1"], "two runs of one plan, of which none has a digest yet");
    let rows = text(&answer(&store, "origins"), &[0, 1, 3, 4, 5]);
    assert_eq!(rows, [r#""grpo-0" "grpo" 20 1 null"#]);
}

#[test]
fn questions_run_on_an_empty_run_too() {
    let place = Place::new();
    let store = place.write();
    let _run = store.begin_run(start()).unwrap();
    for example in EXAMPLES {
        assert!(!example.question.is_empty() && !example.reading.is_empty());
        store.sql_table(&SqlQuery::new(example.sql)).unwrap();
    }
}

/// The lines of a query plan.
fn plan(store: &Store, sql: &str) -> Vec<String> {
    let sql = format!("EXPLAIN QUERY PLAN {sql}");
    let table = store.sql_table(&SqlQuery::new(&sql)).unwrap();
    let line = |row: &Vec<Value>| match &row[3] {
        Value::Text(line) => line.clone(),
        other => panic!("{other:?}"),
    };
    table.rows.iter().map(line).collect()
}

#[test]
fn common_queries_use_indices() {
    let (_place, store) = store();
    let mut queries: Vec<&str> = EXAMPLES.iter().map(|example| example.sql).collect();
    queries.extend([
        "SELECT step, value FROM v_metrics WHERE run = :run AND metric = 'loss'",
        "SELECT * FROM v_rollouts WHERE run = :run AND step = 10",
        "SELECT * FROM v_rollouts WHERE run_id = :run_id AND stage = 'grpo' AND step = 10 AND grp = 1",
        "SELECT * FROM v_rewards WHERE run = :run AND status <> 'ok'",
        "SELECT * FROM v_groups WHERE run = :run AND step = 10",
        "SELECT * FROM v_evals WHERE run = :run",
        "SELECT * FROM v_checkpoints WHERE run_id = :run_id",
        "SELECT * FROM v_rollouts WHERE prompt_id = 3",
    ]);
    for sql in queries {
        for line in plan(&store, sql) {
            // The big tables, by every name the views give them.
            let big = ["o", "w", "x", "g", "m", "rollout", "reward", "metric", "s"];
            let scanned =
                line.strip_prefix("SCAN ").map(|rest| rest.split(' ').next().unwrap_or(""));
            let allowed = scanned.is_none_or(|table| !big.contains(&table));
            assert!(allowed, "{line}\n{sql}\n{:#?}", plan(&store, sql));
        }
    }
}
