//! A run that another system made, in every command that takes a run: it is listed, shown, asked, drawn, exported and
//! scored again like one of r1x's own, and what needs a plan is refused.
//!
//! Must not test how rows of a system are read: `imported_formats` does.

use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};

use super::bench::Bench;

/// A row of TRL's table.
pub struct Row(
    pub i64,
    pub &'static str,
    pub &'static str,
    pub Option<f64>,
    pub Option<f64>,
    pub f64,
);

/// Writes a table as TRL does: `step`, `prompt`, `completion`, a column for each of two rewards, `advantage`.
pub fn table(path: &Path, rows: &[Row]) {
    let schema = "message schema {
        OPTIONAL INT64 step; OPTIONAL BYTE_ARRAY prompt (STRING); OPTIONAL BYTE_ARRAY completion (STRING);
        OPTIONAL DOUBLE accuracy; OPTIONAL DOUBLE format; OPTIONAL DOUBLE advantage;
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = std::fs::File::create(path).unwrap();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let there = vec![1_i16; rows.len()];
    for column in 0..6 {
        let mut out = group.next_column().unwrap().unwrap();
        match column {
            0 => {
                let steps: Vec<i64> = rows.iter().map(|row| row.0).collect();
                out.typed::<Int64Type>().write_batch(&steps, Some(&there), None).unwrap();
            }
            1 | 2 => {
                let text = |row: &Row| ByteArray::from(if column == 1 { row.1 } else { row.2 });
                let texts: Vec<ByteArray> = rows.iter().map(text).collect();
                out.typed::<ByteArrayType>().write_batch(&texts, Some(&there), None).unwrap();
            }
            _ => {
                let number = |row: &Row| match column {
                    3 => row.3,
                    4 => row.4,
                    _ => Some(row.5),
                };
                let numbers: Vec<f64> = rows.iter().filter_map(number).collect();
                let defined: Vec<i16> =
                    rows.iter().map(|row| i16::from(number(row).is_some())).collect();
                out.typed::<DoubleType>().write_batch(&numbers, Some(&defined), None).unwrap();
            }
        }
        out.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

/// Two tables of one run. In the later step, a reward has no opinion about one rollout and is not finite for another one.
fn tables(bench: &Bench) {
    let early = [
        Row(5, "2 + 2?", "It is \\boxed{4}", Some(1.0), Some(0.5), 0.75),
        Row(5, "3 + 3?", "6", Some(0.0), Some(0.5), 0.0),
        Row(5, "2 + 2?", "It is 5", Some(0.0), Some(0.5), -0.75),
        Row(5, "3 + 3?", "7", Some(0.0), Some(0.5), 0.0),
    ];
    let late = [
        Row(10, "2 + 2?", "\\boxed{4}", Some(1.0), None, 0.5),
        Row(10, "2 + 2?", "\u{1b}[31mred", Some(f64::NAN), Some(0.25), -0.5),
    ];
    table(&bench.path("completions_00005.parquet"), &early);
    table(&bench.path("completions_00010.parquet"), &late);
}

/// The files of [`tables`], the later one first.
const FILES: [&str; 2] = ["completions_00010.parquet", "completions_00005.parquet"];

/// Imports them, and returns what was told.
fn imported(bench: &Bench) -> Value {
    tables(bench);
    let more = ["--from", "trl", "--name", "theirs", "--weight", "format=0.5", "--json"];
    bench.json(&[&["import"], &FILES[..], &more].concat())
}

#[test]
fn a_run_of_trl_is_in_the_store_by_value() {
    let bench = Bench::new();
    let told = imported(&bench);
    let run = told["run"].as_str().unwrap();
    assert!(run.starts_with("theirs-"), "{run}");
    let counts = ["steps", "groups", "rollouts"].map(|name| told[name].as_u64().unwrap());
    assert_eq!((counts, &told["tokens"]), ([2, 3, 6], &json!("unknown")));
    let rewards = json!([{"name": "accuracy", "weight": 1.0}, {"name": "format", "weight": 0.5}]);
    assert_eq!(told["rewards"], rewards);
    let names: Vec<&Value> =
        told["files"].as_array().unwrap().iter().map(|file| &file["name"]).collect();
    assert_eq!(names, ["completions_00005.parquet", "completions_00010.parquet"]);

    let rows = bench.sql(
        "SELECT step, grp, sample, prompt, completion, reward, advantage, n_tokens, finish, logp_sum
           FROM v_rollouts ORDER BY step, grp, sample",
    );
    let row = |place: [u64; 3], texts: [&str; 2], numbers: [f64; 2]| {
        json!({
            "step": place[0], "grp": place[1], "sample": place[2], "prompt": texts[0], "completion": texts[1],
            "reward": numbers[0], "advantage": numbers[1], "n_tokens": 0, "finish": "unknown", "logp_sum": null
        })
    };
    let expected = [
        row([5, 0, 0], ["2 + 2?", "It is \\boxed{4}"], [1.25, 0.75]),
        row([5, 0, 1], ["2 + 2?", "It is 5"], [0.25, -0.75]),
        row([5, 1, 0], ["3 + 3?", "6"], [0.25, 0.0]),
        row([5, 1, 1], ["3 + 3?", "7"], [0.25, 0.0]),
        row([10, 0, 0], ["2 + 2?", "\\boxed{4}"], [1.0, 0.5]),
        row([10, 0, 1], ["2 + 2?", "\u{1b}[31mred"], [0.125, -0.5]),
    ];
    assert_eq!(rows, expected);

    let said = bench.sql(
        "SELECT sample, reward, value, weight, status FROM v_rewards WHERE step = 10 ORDER BY sample, reward",
    );
    let said: Vec<String> = said.iter().map(Value::to_string).collect();
    assert_eq!(
        said,
        [
            r#"{"sample":0,"reward":"accuracy","value":1.0,"weight":1.0,"status":"ok"}"#,
            r#"{"sample":0,"reward":"format","value":null,"weight":0.5,"status":"abstain"}"#,
            r#"{"sample":1,"reward":"accuracy","value":null,"weight":1.0,"status":"abstain"}"#,
            r#"{"sample":1,"reward":"format","value":0.25,"weight":0.5,"status":"ok"}"#,
        ]
    );
    let signal = bench.sql("SELECT step, grp, zero_signal FROM v_groups ORDER BY step, grp");
    let signal: Vec<&Value> = signal.iter().map(|group| &group["zero_signal"]).collect();
    assert_eq!(signal, [0, 1, 0]);
    let means =
        bench.sql("SELECT step, value FROM v_metrics WHERE metric = 'reward.mean' ORDER BY step");
    assert_eq!(means, [json!({"step": 5, "value": 0.5}), json!({"step": 10, "value": 0.5625})]);
    assert!(bench.ok(&["store", "verify"]).contains("nothing is wrong"));
}

#[test]
fn every_command_that_reads_runs_takes_an_imported_one() {
    let bench = Bench::new();
    imported(&bench);
    let listed = bench.json(&["ls", "--status", "imported", "--json"]);
    assert_eq!(
        (&listed[0]["steps"], &listed[0]["last_metric"]["value"]),
        (&json!(2), &json!(0.5625))
    );
    let card = bench.json(&["show", "theirs", "--json"]);
    assert_eq!(card["stages"][0]["kind"], "imported");
    assert_eq!(card["datasets"][0]["rows"], 4);
    let shown = bench.ok(&["show", "theirs@10.0.1"]);
    assert!(shown.contains("unknown after 0 tokens") && !shown.contains('\u{1b}'), "{shown}");
    assert!(bench.ok(&["show", "theirs@5"]).contains("reward.accuracy.mean"));
    assert!(bench.ok(&["show", "theirs@5.1"]).contains("3 + 3?"));
    let told = bench.fails(4, &["show", "theirs@6"]);
    assert!(told.contains("`rollouts` has steps 5 to 10"), "{told}");
    assert!(bench.ok(&["grep", "theirs", "boxed"]).contains("theirs-"));
    bench.ok(&["plot", "theirs", "-o", "curve.svg"]);
    bench.ok(&["report", "theirs", "-o", "page.html"]);
    let page = std::fs::read_to_string(bench.path("page.html")).unwrap();
    assert!(page.contains("2 + 2?") && page.contains("completions_00005.parquet"));
    let mut number = 1;
    while bench
        .output(&["sql", "--example", &number.to_string(), "--run", "theirs"])
        .status
        .success()
    {
        number += 1;
    }
    let told = bench.fails(4, &["sql", "--example", &number.to_string()]);
    assert!(told.contains("there is no built-in question"), "{number}: {told}");

    // What is exported for TRL is imported as the same facts, where a column is a reward that counts once.
    bench.ok(&["import", FILES[0], FILES[1], "--from", "trl", "--name", "once"]);
    bench.ok(&["export", "once", "-o", "again.parquet", "--to", "trl"]);
    bench.ok(&["import", "again.parquet", "--from", "trl", "--name", "again"]);
    let digests = bench.sql(
        "SELECT count(*) AS runs, count(DISTINCT digest) AS digests FROM v_runs WHERE run NOT LIKE 'theirs%'",
    );
    assert_eq!(digests, [json!({"runs": 2, "digests": 1})]);
    let different = bench.json(&["diff", "theirs", "once", "--json"]);
    let paths: Vec<&str> = different["plan"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["name", "imported.rewards.1.weight"]);
    bench.ok(&["store", "merge", "--store", "other.sqlite", "runs/r1x.sqlite"]);
}

#[test]
fn what_needs_a_plan_is_refused_with_a_hint() {
    let bench = Bench::new();
    imported(&bench);
    for arguments in
        [&["reproduce", "theirs"][..], &["replay", "theirs@5"], &["generate", "theirs"]]
    {
        let told = bench.fails(4, arguments);
        assert!(told.contains("was imported from trl: it has rollouts, and no plan"), "{told}");
        assert!(told.contains("`r1x rescore`"), "{told}");
    }
    let told = bench.fails(4, &["resume", "theirs"]);
    assert!(told.contains("is imported, and was never run here"), "{told}");
}

#[test]
fn a_plugin_scores_imported_rollouts_with_the_answer_of_a_column() {
    let bench = Bench::new();
    let rows = r#"{"input": "2 + 2?", "output": "\\boxed{4}", "gts": "4", "score": 0.0, "acc": 0}
{"input": "2 + 2?", "output": "\\boxed{5}", "gts": "4", "score": 1.0, "acc": 0}
"#;
    std::fs::write(bench.path("7.jsonl"), rows).unwrap();
    bench.ok(&["import", "7.jsonl", "--from", "verl"]);
    let math = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/math.wasm");
    let math = math.to_str().unwrap();
    let told = bench.fails(4, &["rescore", "verl", "--plugin", math]);
    assert!(told.contains("--reward score or --reward acc"), "{told}");
    let told = bench.json(&["rescore", "verl", "--plugin", math, "--reward", "score", "--json"]);
    assert_eq!((&told["changed"], &told["higher"]), (&json!(2), &json!(1)));
    let kept = bench.sql("SELECT step, sample, value FROM v_rescores ORDER BY sample");
    let values: Vec<&Value> = kept.iter().map(|row| &row["value"]).collect();
    assert_eq!(values, [1.0, 0.0]);
}

#[test]
fn files_are_imported_once_under_a_name() {
    let bench = Bench::new();
    let run = imported(&bench)["run"].as_str().unwrap().to_owned();
    let again = [
        "import",
        FILES[0],
        FILES[1],
        "--from",
        "trl",
        "--weight",
        "format=0.5",
        "--name",
        "theirs",
    ];
    let told = bench.fails(4, &[&again[..], &["--answer", "nosuch"]].concat());
    assert!(told.contains("no row has a column `nosuch`"), "{told}");
    let told = bench.fails(4, &again);
    assert!(told.contains(&format!("imported under this name before: run {run}")), "{told}");
    bench.ok(&["rm", "theirs", "--yes"]);
    bench.ok(&again);
    assert_eq!(bench.json(&["ls", "--json"]).as_array().unwrap().len(), 1);
}
