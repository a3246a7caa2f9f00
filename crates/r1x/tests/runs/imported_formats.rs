//! How rows of other systems are read, by value, and how each mistake in them is told. What is refused leaves no run.
//!
//! Must not test what commands do with a run: `imported` does.

use serde_json::{Value, json};

use super::bench::Bench;
use super::imported::{Row, table};

fn write(bench: &Bench, name: &str, text: &str) {
    let path = bench.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Rollouts as rows of JSON: step, group, sample, prompt, answer, completion, total, advantage, tokens, finish.
fn rollouts(bench: &Bench) -> Vec<String> {
    let rows = bench.sql(
        "SELECT json_array(step, grp, sample, prompt, gold, completion, reward, advantage, n_tokens, finish) AS row
           FROM v_rollouts ORDER BY step, grp, sample",
    );
    rows.iter().map(|row| row["row"].as_str().unwrap().to_owned()).collect()
}

/// Rewards as words: sample, name, value, weight, status.
fn rewards(bench: &Bench) -> Vec<String> {
    let rows = bench.sql(
        "SELECT concat_ws(' ', step, sample, reward, coalesce(value, 'none'), weight, status) AS row
           FROM v_rewards ORDER BY step, grp, sample, reward",
    );
    rows.iter().map(|row| row["row"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_lines_of_trl_have_texts_messages_and_steps_as_texts() {
    let bench = Bench::new();
    let lines = r#"{"step": "3", "prompt": [{"role": "user", "content": "hi"}], "completion": [{"role": "assistant", "content": "yo"}], "r": 0.1, "solution": "yo", "note": "x", "advantage": null}
{"step": "3", "prompt": [{"role": "system", "content": "Be kind"}, {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image"}]}], "completion": "", "r": null, "solution": 7, "note": "x"}
"#;
    write(&bench, "t.jsonl", lines);
    let told =
        bench.json(&["import", "t.jsonl", "--from", "trl", "--answer", "solution", "--json"]);
    assert_eq!(told["notes"], json!(["the files have no advantages for 2 groups"]));
    assert_eq!(
        rollouts(&bench),
        [
            r#"[3,0,0,"hi","yo","yo",0.1,null,0,"unknown"]"#,
            r#"[3,1,0,"[system]\nBe kind\n\n[user]\nhi[image]","7","",null,null,0,"unknown"]"#,
        ]
    );
    assert_eq!(rewards(&bench), ["3 0 r 0.1 1.0 ok", "3 0 r none 1.0 abstain"]);
    // What is no reward is a column of the problem, and the answer has the name that plugins look for.
    let columns = bench.sql("SELECT columns FROM prompt ORDER BY prompt_id");
    assert_eq!(columns[0]["columns"], r#"{"answer":"\"yo\"","note":"\"x\"","solution":"\"yo\""}"#);
}

#[test]
fn the_dumps_of_verl_have_their_steps_in_their_names() {
    let bench = Bench::new();
    let file = |step: &str, gts: &str| {
        format!(
            "{{\"input\": \"q\", \"output\": \"a{step}\", \"gts\": {gts}, \"score\": 1e-05, \"acc\": true, \"pred\": \"p\"}}\n\
             {{\"input\": \"q\", \"output\": \"b{step}\", \"gts\": \"other\", \"score\": -2, \"acc\": false, \"pred\": \"q\"}}\n"
        )
    };
    for (step, gts) in [("10", "\"4\""), ("2", "{\"x\": 1}")] {
        write(&bench, &format!("dumps/{step}.jsonl"), &file(step, gts));
    }
    bench.ok(&["import", "dumps/10.jsonl", "dumps/2.jsonl", "--from", "verl"]);
    assert_eq!(
        rollouts(&bench),
        [
            r#"[2,0,0,"q","{\"x\":1}","a2",1.0e-05,null,0,"unknown"]"#,
            r#"[2,1,0,"q","other","b2",-2.0,null,0,"unknown"]"#,
            r#"[10,0,0,"q","4","a10",1.0e-05,null,0,"unknown"]"#,
            r#"[10,1,0,"q","other","b10",-2.0,null,0,"unknown"]"#,
        ],
        "equal prompts with other answers are other groups"
    );
    let told = rewards(&bench);
    assert_eq!(told[..2], ["2 0 acc 1.0 0.0 ok", "2 0 score 1.0e-05 1.0 ok"]);
    // Later versions write the step into each row, and it counts.
    write(
        &bench,
        "5.jsonl",
        "{\"input\": \"q\", \"output\": \"a\", \"gts\": null, \"score\": null, \"step\": 8}\n",
    );
    bench.ok(&["import", "5.jsonl", "--from", "verl", "--name", "later"]);
    let last = rollouts(&bench);
    assert_eq!(last[2], r#"[8,0,0,"q",null,"a",null,null,0,"unknown"]"#);
}

#[test]
fn results_of_verifiers_have_metrics_tokens_and_ends() {
    let bench = Bench::new();
    let lines = r#"{"example_id": 1, "prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}, {"role": "tool", "content": "t"}, {"role": "assistant", "content": "b", "tool_calls": [{"name": "f"}]}], "answer": "4", "reward": 0.5, "metrics": {"exact": 1.0, "reward": null}, "exact": 1.0, "is_completed": true, "is_truncated": false, "token_usage": {"input_tokens": 3.0, "output_tokens": 12.0}, "info": {"a": 1}, "advantage": 0.25}
{"example_id": 1, "prompt": [{"role": "user", "content": "q"}], "completion": null, "answer": "4", "reward": 0.0, "metrics": {"exact": 0.0}, "is_truncated": true, "error": {"error": "x"}, "advantage": -0.25}
{"example_id": 2, "prompt": "q", "completion": "c", "answer": "4", "reward": 1, "metrics": {}}
"#;
    write(&bench, "results.jsonl", lines);
    let told = bench.json(&["import", "results.jsonl", "--from", "verifiers", "--json"]);
    assert_eq!(told["tokens"], "recorded");
    assert_eq!(
        rollouts(&bench),
        [
            r#"[0,0,0,"q","4","[assistant]\na\n\n[tool]\nt\n\n[assistant]\nb\n[tool call] {\"name\":\"f\"}",0.5,0.25,12,"stop"]"#,
            r#"[0,0,1,"q","4","",0.0,-0.25,0,"length"]"#,
            r#"[0,1,0,"q","4","c",1.0,null,0,"unknown"]"#,
        ],
        "a file without steps is one step, and examples are groups"
    );
    assert_eq!(
        rewards(&bench),
        [
            "0 0 exact 1.0 0.0 ok",
            "0 0 reward 0.5 1.0 ok",
            "0 1 exact 0.0 0.0 ok",
            "0 1 reward 0.0 1.0 ok",
            "0 0 reward 1.0 1.0 ok",
        ],
        "a reward that a row does not have has no row"
    );
}

#[test]
fn traces_of_prime_rl_are_the_path_to_the_newest_message() {
    let bench = Bench::new();
    let trace = r#"{"task": {"type": "T", "key": "k", "data": {"idx": 3, "prompt": "p", "answer": "42", "level": 2}}, "nodes": [
{"parent": null, "message": {"role": "user", "content": "q"}, "sampled": false, "token_ids": [1, 2], "mask": [false, false]},
{"parent": 0, "message": {"role": "assistant", "content": "lost"}, "sampled": true, "mask": [true], "advantages": [9.0]},
{"parent": 0, "message": {"role": "assistant", "content": "found"}, "sampled": true, "token_ids": [3, 4, 5], "mask": [false, true, true], "advantages": [0.5, 0.5]}],
"calls": [{"node": 2, "finish_reason": "stop"}], "rewards": {"solved": {"score": 0.5, "weight": 2.0}, "judged": null}, "metrics": {"turns": 1.0}}"#
        .replace('\n', "");
    write(&bench, "rollouts/step_4/train/all/traces.jsonl", &format!("{trace}\n"));
    bench.ok(&["import", "rollouts/step_4/train/all/traces.jsonl", "--from", "prime-rl"]);
    assert_eq!(rollouts(&bench), [r#"[4,0,0,"q","42","found",1.0,0.5,2,"stop"]"#]);
    assert_eq!(rewards(&bench), ["4 0 solved 0.5 2.0 ok", "4 0 turns 1.0 0.0 ok"]);
    let columns = bench.sql("SELECT columns FROM prompt");
    assert_eq!(columns[0]["columns"], r#"{"answer":"\"42\"","idx":"3","level":"2"}"#);
}

#[test]
fn a_tokenizer_counts_tokens() {
    let bench = Bench::new();
    let tokenizer = r#"{"version": "1.0", "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": {"<e>": 0, "a": 1, "b": 2}, "unk_token": "<e>"}}"#;
    write(&bench, "model/tokenizer.json", tokenizer);
    write(&bench, "model/tokenizer_config.json", r#"{"eos_token": "<e>"}"#);
    write(
        &bench,
        "1.jsonl",
        "{\"input\": \"q\", \"output\": \"a b a\", \"gts\": null, \"score\": 1}\n",
    );
    let told =
        bench.json(&["import", "1.jsonl", "--from", "verl", "--tokenizer", "model", "--json"]);
    assert_eq!(told["tokens"], "counted");
    assert_eq!(rollouts(&bench), [r#"[1,0,0,"q",null,"a b a",1.0,null,3,"unknown"]"#]);
    let told = bench.fails(4, &["import", "1.jsonl", "--from", "verl", "--tokenizer", "nowhere"]);
    assert!(told.contains("nowhere has no tokenizer.json"), "{told}");
}

/// A row of TRL of this step.
fn row(step: &str) -> String {
    format!(
        "{{\"step\": {step}, \"prompt\": \"p\", \"completion\": \"c\", \"r\": 1, \"t\": \"x\"}}\n"
    )
}

/// Files, whose they are, what else is said, and what is told.
type Wrong<'w> = (&'w [&'w str], &'w str, &'w [&'w str], &'w str);

/// Each case is refused with a hint, and nothing is written.
fn refused(bench: &Bench, cases: &[Wrong<'_>]) {
    for (files, from, more, expected) in cases {
        let told = bench.fails(4, &[&["import"], *files, &["--from", from], *more].concat());
        assert!(told.contains(expected) && told.contains("help: "), "{files:?}: {told}");
    }
    assert!(!bench.path("runs").exists(), "a mistake is found before there is a store");
}

#[test]
fn steps_that_are_none_or_in_no_order_are_told_with_their_place() {
    let bench = Bench::new();
    for (name, text) in [
        ("good.jsonl", row("1")),
        ("copy.jsonl", row("1")),
        ("other.jsonl", format!("{} ", row("1"))),
        ("back.jsonl", format!("{}{}", row("2"), row("1"))),
        ("some.jsonl", format!("{}{}", row("2"), row("null"))),
        ("silent.jsonl", row("null")),
        ("minus.jsonl", row("-1")),
        ("half.jsonl", row("1.5")),
    ] {
        write(&bench, name, &text);
    }
    let cases: [Wrong<'_>; 7] = [
        (&["back.jsonl"], "trl", &[], "back.jsonl:2: step 1 stands behind step 2 of row 1"),
        (&["some.jsonl"], "trl", &[], "some.jsonl:2: this row or row 1 does not say which step"),
        (&["good.jsonl", "silent.jsonl"], "trl", &[], "silent.jsonl says of no row which step"),
        (&["good.jsonl", "copy.jsonl"], "trl", &[], "good.jsonl and copy.jsonl are one file"),
        (&["good.jsonl", "other.jsonl"], "trl", &[], "have steps in common, such as step 1"),
        (&["minus.jsonl"], "trl", &[], "minus.jsonl:1: `step` is no number of a step: -1"),
        (&["half.jsonl"], "trl", &[], "half.jsonl:1: `step` is no number of a step: 1.5"),
    ];
    refused(&bench, &cases);
}

#[test]
fn files_and_rows_that_are_none_are_told_with_their_place() {
    let bench = Bench::new();
    let looped = r#"{"nodes": [{"parent": 0, "message": {"role": "user"}}]}"#;
    let many =
        r#"{"prompt": "", "completion": "", "reward": 1, "token_usage": {"output_tokens": 1e15}}"#;
    for (name, text) in [
        ("torn.jsonl", format!("{}{}", row("1"), &row("2")[..30])),
        ("nan.jsonl", row("1").replace("\"r\": 1", "\"r\": NaN")),
        ("number.jsonl", row("1").replace("\"p\"", "5")),
        ("message.jsonl", row("1").replace("\"p\"", "[{\"role\": 5}]")),
        ("empty.jsonl", "\n".to_owned()),
        ("loop.jsonl", looped.to_owned()),
        ("node.jsonl", "{\"nodes\": [5]}\n".to_owned()),
        ("many.jsonl", many.to_owned()),
        ("rows.csv", "a,b\n".to_owned()),
        ("no.parquet", "PAR1 but nothing else PAR1".to_owned()),
    ] {
        write(&bench, name, &text);
    }
    let cases: [Wrong<'_>; 11] = [
        (&["torn.jsonl"], "trl", &[], "torn.jsonl:2: not JSON"),
        (&["nan.jsonl"], "trl", &[], "write null"),
        (&["number.jsonl"], "trl", &[], "the column `prompt` is neither a text nor a list"),
        (&["message.jsonl"], "trl", &[], "an entry of it is no message"),
        (&["empty.jsonl"], "trl", &[], "there are no rows in empty.jsonl"),
        (&["loop.jsonl"], "verifiers", &[], "entry 0 of `nodes` follows none that stands before"),
        (&["node.jsonl"], "verifiers", &[], "entry 0 of `nodes` has no message"),
        (&["many.jsonl"], "verifiers", &[], "`output_tokens` is no number of tokens"),
        (&["rows.csv"], "trl", &[], "names end with .parquet, .jsonl"),
        (&["no.parquet"], "trl", &[], "no.parquet cannot be read as Parquet"),
        (&["gone.jsonl"], "trl", &[], "cannot read gone.jsonl"),
    ];
    refused(&bench, &cases);
}

#[test]
fn what_is_said_beside_the_files_must_fit_them() {
    let bench = Bench::new();
    write(&bench, "good.jsonl", &row("1"));
    let cases: [Wrong<'_>; 5] = [
        (&["good.jsonl"], "verl", &[], "the column `score` is missing; the row has `step`, `p"),
        (&["good.jsonl"], "verifiers", &[], "the column `reward` is missing"),
        (&["good.jsonl"], "trl", &["--reward", "s"], "the files have no column `s`"),
        (&["good.jsonl"], "trl", &["--weight", "s=1"], "the files have no column `s`"),
        (&["good.jsonl"], "trl", &["--reward", "t"], "good.jsonl:1: the column `t` holds no n"),
    ];
    refused(&bench, &cases);
    for more in [&["--name", "../up"][..], &["--weight", "r"], &["--weight", "r=inf"]] {
        bench.fails(2, &[&["import", "good.jsonl", "--from", "trl"], more].concat());
    }
}

/// What only shows when rewards are added up is found when a part of the run is in the store.
#[test]
fn an_import_that_fails_on_its_way_is_taken_back() {
    let bench = Bench::new();
    let large = row("3").replace("\"r\": 1", "\"r\": 1e308, \"s\": 1e308");
    write(&bench, "large.jsonl", &format!("{}{}{large}", row("1"), row("2")));
    let told = bench.fails(4, &["import", "large.jsonl", "--from", "trl"]);
    assert!(told.contains("large.jsonl:3: the total of the rewards is not finite"), "{told}");
    assert_eq!(bench.json(&["ls", "--json"]), json!([]));
    let left = std::fs::read_dir(bench.path("runs")).unwrap();
    let left: Vec<String> =
        left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| name.starts_with("r1x.sqlite")), "{left:?}");
    bench.ok(&["import", "large.jsonl", "--from", "trl", "--reward", "r"]);
}

#[test]
fn hostile_texts_do_nothing() {
    let bench = Bench::new();
    let bad = "'; DROP TABLE run; --\\u001b[2J\\u202e";
    let long = "x".repeat(5000);
    let line = format!(
        "{{\"step\": 0, \"prompt\": \"{bad}\", \"completion\": \"<script>alert(1)</script>{bad}\", \"{bad}\": 1e308, \
         \"{long}\": 5, \"deep\": {}{}, \"answer\": 123456789012345678901234567890}}\n",
        "[".repeat(100),
        "]".repeat(100)
    );
    write(&bench, "bad.jsonl", &line);
    let told = bench.ok(&["import", "bad.jsonl", "--from", "trl"]);
    assert!(!told.contains('\u{1b}') && !told.contains('\u{202e}'), "{told}");
    for arguments in [&["ls"][..], &["show"], &["show", "latest@0"], &["show", "latest@0.0.0"]] {
        let told = bench.ok(arguments);
        assert!(!told.contains('\u{1b}') && !told.contains('\u{202e}'), "{told}");
    }
    let gold = bench.sql("SELECT gold FROM v_rollouts");
    assert_eq!(gold, [json!({"gold": "123456789012345678901234567890"})]);
    bench.ok(&["report", "latest", "-o", "page.html"]);
    let page = std::fs::read_to_string(bench.path("page.html")).unwrap();
    assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;alert"));
    bench.ok(&["plot", "latest", "-o", "curve.svg"]);
    assert!(bench.ok(&["store", "verify"]).contains("nothing is wrong"));
}

#[test]
fn a_step_that_is_larger_than_the_others_and_many_steps_are_whole() {
    let bench = Bench::new();
    // Rows of one file over many steps, and a second file that goes on from there.
    let rows = |steps: std::ops::Range<u64>| -> String {
        let row = |step: u64| {
            let of = if step == 7 { 50 } else { 2 };
            (0..of).map(move |sample| {
                let score = sample % 2;
                format!("{{\"input\": \"q{step}\", \"output\": \"{sample}\", \"gts\": \"1\", \"score\": {score}, \"step\": {step}}}\n")
            })
        };
        steps.flat_map(row).collect()
    };
    write(&bench, "a.jsonl", &rows(0..40));
    write(&bench, "b.jsonl", &rows(40..60));
    let told: Value = bench.json(&["import", "b.jsonl", "a.jsonl", "--from", "verl", "--json"]);
    let counts = ["steps", "groups", "rollouts"].map(|name| told[name].as_u64().unwrap());
    assert_eq!(counts, [60, 60, 168]);
    let largest =
        bench.sql("SELECT count(*) AS n, sum(reward) AS total FROM v_rollouts WHERE step = 7");
    assert_eq!(largest, [json!({"n": 50, "total": 25.0})]);
    assert!(bench.ok(&["store", "verify"]).contains("nothing is wrong"));
}

#[test]
fn a_table_with_a_number_for_each_row_is_read_in_groups_of_one() {
    let bench = Bench::new();
    table(&bench.path("t.parquet"), &[Row(1, "p", "c", Some(1.0), None, 0.0)]);
    let told =
        bench.json(&["import", "t.parquet", "--from", "trl", "--reward", "accuracy", "--json"]);
    assert_eq!(told["rewards"], json!([{"name": "accuracy", "weight": 1.0}]));
    assert_eq!(rollouts(&bench), [r#"[1,0,0,"p",null,"c",1.0,0.0,0,"unknown"]"#]);
    let columns = bench.sql("SELECT columns FROM prompt");
    assert_eq!(columns[0]["columns"], r#"{"format":"null"}"#, "what is no reward stays a column");
}
