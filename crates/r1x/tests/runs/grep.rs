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
fn texts_that_are_not_recorded_are_told() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml", "--set", "record.text=false"]);
    let told = bench.fails(4, &["grep", "latest", "x"]);
    assert!(told.contains("are not recorded") && told.contains("record: {text: true}"), "{told}");
    assert_eq!(bench.json(&["grep", "latest", "->", "--in", "prompt", "--json"])["matching"], 240);
}
