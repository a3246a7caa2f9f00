//! What is found in texts of a run is what SQLite finds there.

use serde_json::json;

use super::bench::{Bench, text};

#[test]
fn completions_are_found_with_their_addresses_and_counted() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml"]);
    let found = bench.json(&["grep", "latest", "+ 1", "--json", "--limit", "10000"]);
    let rows = bench.sql(
        "SELECT run || '@' || step || '.' || grp || '.' || sample AS address, reward, completion FROM v_rollouts
          WHERE instr(completion, '+ 1') ORDER BY step, grp, sample",
    );
    assert!(rows.len() > 10 && rows.len() < 960, "{}", rows.len());
    assert_eq!((&found["searched"], &found["matching"]), (&json!(960), &json!(rows.len())));
    for (hit, row) in found["hits"].as_array().unwrap().iter().zip(&rows) {
        assert_eq!((&hit["address"], &hit["reward"]), (&row["address"], &row["reward"]));
        let part = |name: &str| hit[name].as_str().unwrap();
        let line = format!("{}{}{}", part("before"), part("found"), part("behind"));
        assert_eq!(row["completion"], json!(line));
        let count = row["completion"].as_str().unwrap().matches("+ 1").count();
        assert_eq!(hit["matches"], json!(count));
    }
    // An address is one that `show` takes.
    let address = rows[0]["address"].as_str().unwrap();
    let shown = bench.json(&["show", address, "--json"]);
    assert_eq!(shown["text"], rows[0]["completion"]);

    let output = bench.output(&["grep", "latest", "+ 1", "--limit", "2"]);
    let (table, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(table.lines().count(), 2 + 2, "{table}");
    assert!(table.contains(address) && table.contains("»+ 1«"), "{table}");
    assert!(told.contains(&format!("{} of 960 completions (", rows.len())), "{told}");
    assert!(told.contains("the first 2 are shown, --limit shows more"), "{told}");

    let pattern = ["grep", "latest", r"^\d+ \d+ \d+ ->", "--regex", "--in", "prompt", "--json"];
    let prompts = bench.json(&pattern);
    assert_eq!((&prompts["searched"], &prompts["matching"]), (&json!(240), &json!(240)));
    let name = bench.latest()["name"].as_str().unwrap().to_owned();
    assert_eq!(prompts["hits"][7]["address"], json!(format!("{name}@1.1")));
    assert_eq!(prompts["hits"].as_array().unwrap().len(), 100);

    let nothing = bench.output(&["grep", "latest", "no such words"]);
    assert!(nothing.status.success() && nothing.stdout.is_empty());
    assert_eq!(text(&nothing.stderr), "0 of 960 completions (0 %)\n");
    assert!(bench.fails(2, &["grep", "latest", "(", "--regex"]).contains("without --regex"));
    assert!(bench.fails(4, &["grep", "latest", "x", "--stage", "cold-start"]).contains("has no"));
    assert!(bench.fails(4, &["grep", "latest", "x", "--stage", "r"]).contains("`rl`"));
}

#[test]
fn answers_in_evaluations_are_found_with_suite_step_item_and_sample() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml", "--set", "data.sums.countdown.heldout=70"]);
    let grep = ["grep", "latest", "+ 1", "--in", "evaluations"];
    let found = bench.json(&[&grep[..], &["--json", "--limit", "10000"]].concat());
    let rows = bench.sql(
        "SELECT suite, stage, step, item, sample, value AS reward, completion FROM v_eval_samples
          WHERE instr(completion, '+ 1') ORDER BY eval_id, item, sample",
    );
    let all = bench.sql("SELECT count(*) AS n FROM v_eval_samples")[0]["n"].clone();
    // More problems than one page of the store has.
    assert!(rows.len() > 10 && rows.iter().any(|row| row["item"].as_i64() > Some(63)), "{rows:?}");
    assert_eq!((&found["searched"], &found["matching"]), (&all, &json!(rows.len())));
    let hits = found["hits"].as_array().unwrap();
    assert_eq!(hits.len(), rows.len());
    for (hit, row) in hits.iter().zip(&rows) {
        for key in ["suite", "stage", "step", "item", "sample", "reward"] {
            assert_eq!(hit[key], row[key], "{key}: {hit}");
        }
        let part = |name: &str| hit[name].as_str().unwrap();
        let line = format!("{}{}{}", part("before"), part("found"), part("behind"));
        assert_eq!(row["completion"], json!(line));
        assert!(hit.get("address").is_none() && hit.get("group").is_none(), "{hit}");
    }
    let output = bench.output(&[&grep[..], &["--limit", "1", "--stage", "rl"]].concat());
    let (table, told) = (text(&output.stdout), text(&output.stderr));
    let words: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(words, ["suite", "after", "steps", "item", "sample", "reward", "line"]);
    let first = rows.iter().find(|row| row["stage"] == "rl").unwrap();
    let expected = format!("heldout  rl        {}", first["step"]);
    assert!(table.lines().nth(2).unwrap().starts_with(&expected), "{expected}\n{table}");
    assert!(told.contains(" answers in evaluations ("), "{told}");
    let start = bench.json(&[&grep[..], &["--json", "--stage", "start"]].concat());
    assert_eq!(start["searched"], json!(140));
    bench.ok(&["run", "small.yaml", "--set", "evals=[]"]);
    let told = bench.fails(4, &grep);
    assert!(told.contains("has no answers in evaluations to look at"), "{told}");
}

#[test]
fn texts_that_are_not_recorded_are_told() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml", "--set", "record.text=false"]);
    let told = bench.fails(4, &["grep", "latest", "x"]);
    assert!(told.contains("are not recorded") && told.contains("record: {text: true}"), "{told}");
    assert_eq!(bench.json(&["grep", "latest", "->", "--in", "prompt", "--json"])["matching"], 240);
    let told = bench.fails(4, &["grep", "latest", "x", "--in", "evaluations"]);
    assert!(told.contains("the answers in evaluations of ") && told.contains("are not"), "{told}");
}
