//! A run in which a stage makes data: what people are shown of it, and what they find in the store.

use super::bench::{Bench, HARVEST, text};

#[test]
fn what_was_kept_and_what_dropped_it_is_one_query_away() {
    let bench = Bench::with_harvest();
    let plan = bench.ok(&["plan", HARVEST]);
    assert!(plan.contains("harvest: not truncated, `equation` at least 0"), "{plan}");
    assert!(plan.contains("at most 3 of a prompt, the first"), "{plan}");
    assert!(plan.contains("again: begins with the weights of the beginning"), "{plan}");
    let output = bench.output(&["run", HARVEST]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stderr);
    assert!(told.contains("stage harvest (reject), 13 steps"), "{told}");
    assert!(told.contains("kept "), "{told}");
    let rows = |sql: &str| bench.sql(sql);
    let counts = rows(
        "SELECT count(*) AS sampled, sum(kept) AS kept, sum(dropped_by = 'truncated') AS truncated,
                count(DISTINCT dropped_by) AS filters FROM v_selections WHERE stage = 'harvest'",
    );
    let number = |name: &str| counts[0][name].as_u64().unwrap();
    assert_eq!(number("sampled"), 13 * 6 * 8);
    assert!(number("kept") > 0 && number("filters") > 0, "{counts:?}");
    let most = rows(
        "SELECT max(n) AS most FROM (SELECT sum(kept) AS n FROM v_selections GROUP BY prompt_key)",
    );
    assert!(most[0]["most"].as_u64().unwrap() <= 3, "{most:?}");
    // What was kept is a file of problems, one a line.
    let query = "SELECT prompt, completion FROM v_selections WHERE run = :run AND kept";
    let lines = bench.ok(&["sql", query, "--format", "jsonl"]);
    let is_row = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        row["prompt"].is_string() && row["completion"].is_string()
    };
    assert_eq!(lines.lines().filter(|line| is_row(line)).count() as u64, number("kept"));
    // The metrics of the steps say what the rows say.
    let metric = |name: &str| {
        let sql = format!(
            "SELECT sum(value) AS total FROM v_metrics WHERE metric = '{name}' AND stage = 'harvest'"
        );
        rows(&sql)[0]["total"].as_f64().unwrap()
    };
    assert_eq!(metric("kept"), number("kept") as f64);
    assert_eq!(metric("dropped.truncated"), number("truncated") as f64);
    // A pass over both data sets is a pass over the rows that were kept and all others.
    let epoch =
        rows("SELECT value FROM v_metrics WHERE metric = 'epoch' AND stage = 'again' AND step = 0");
    assert_eq!(epoch[0]["value"].as_f64().unwrap(), 16.0 / (number("kept") + 300) as f64);
}

#[test]
fn data_without_a_row_is_told_with_the_filter_to_look_at() {
    let bench = Bench::with_harvest();
    let output = bench.output(&["run", HARVEST, "--set", "stages.harvest.reject.keep.equation=5"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(told.contains("none of its 624 completions passed every filter"), "{told}");
    assert!(told.contains("v_selections"), "{told}");
    let sql = "SELECT count(*) AS n FROM v_selections WHERE dropped_by = 'reward.equation'";
    assert!(bench.sql(sql)[0]["n"].as_u64().unwrap() > 0);
}
