//! Two recorded runs side by side: what is said to differ is what was changed, and figures are those of the store.

use serde_json::{Value, json};

use super::bench::{Bench, text};

/// Makes a run of `small.yaml` with these arguments, and returns its name.
fn run(bench: &Bench, arguments: &[&str]) -> String {
    let arguments: Vec<&str> = ["run", "small.yaml"].iter().chain(arguments).copied().collect();
    bench.ok(&arguments);
    bench.latest()["name"].as_str().unwrap().to_owned()
}

fn close(value: &Value, expected: &Value) {
    let [value, expected] = [value, expected].map(|number| number.as_f64().unwrap());
    assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
}

/// Rows of a query that asks about the runs `A` and `B`.
fn rows(bench: &Bench, sql: &str, [a, b]: [&str; 2]) -> Vec<Value> {
    bench.sql(&sql.replace("'A'", &format!("'{a}'")).replace("'B'", &format!("'{b}'")))
}

#[test]
fn runs_with_another_learning_rate_are_compared_in_every_part() {
    let bench = Bench::new();
    // So many steps, and so little asked, that the policy has something to learn from.
    let alike = ["--set", "stages.cold-start.sft.steps=80", "--set", "evals.heldout.grade=format"];
    let a = run(&bench, &alike);
    let b = run(&bench, &[&alike[..], &["--set", "stages.rl.grpo.lr=0.003"]].concat());
    let said = bench.json(&["diff", &a, "latest", "--json"]);
    assert_eq!((&said["a"]["run"], &said["b"]["run"]), (&json!(a), &json!(b)));
    assert_eq!(said["equal"], json!(false));
    let plan = json!([{"path": "stages.rl.grpo.lr", "a": 3e-4, "b": 3e-3}]);
    assert_eq!(said["plan"], plan);
    assert_eq!((&said["environment"], &said["plugins"]), (&json!([]), &json!([])));

    // Both runs warm up alike, so nothing of the first stage differs.
    let metrics = said["metrics"].as_array().unwrap();
    assert!(metrics.iter().all(|metric| metric["stage"] == "rl") && metrics.len() > 3);
    let rate = metrics.iter().find(|metric| metric["metric"] == "lr").unwrap();
    close(&rate["a"], &json!(3e-4));
    close(&rate["b"], &json!(3e-3));
    let reward = metrics.iter().find(|metric| metric["metric"] == "reward.mean").unwrap();
    let sql =
        "SELECT avg(value) FILTER (WHERE run = 'A') AS a, avg(value) FILTER (WHERE run = 'B') AS b
                 FROM v_metrics WHERE stage = 'rl' AND metric = 'reward.mean' AND step >= 36";
    let expected = &rows(&bench, sql, [&a, &b])[0];
    close(&reward["a"], &expected["a"]);
    close(&reward["b"], &expected["b"]);

    let shares = "WITH x AS (SELECT prompt_key, avg(correct) AS s FROM v_eval_samples
                        WHERE run = 'A' AND stage = 'rl' AND step = 40 GROUP BY prompt_key),
                       y AS (SELECT prompt_key, avg(correct) AS s FROM v_eval_samples
                        WHERE run = 'B' AND stage = 'rl' AND step = 40 GROUP BY prompt_key)
                  SELECT x.s AS a, y.s AS b FROM x JOIN y USING (prompt_key)";
    let shares: Vec<(f64, f64)> = rows(&bench, shares, [&a, &b])
        .iter()
        .map(|row| (row["a"].as_f64().unwrap(), row["b"].as_f64().unwrap()))
        .collect();
    let evaluations = said["evaluations"].as_array().unwrap();
    let last = evaluations.iter().find(|row| row["stage"] == "rl" && row["step"] == 40);
    let last = last.unwrap_or_else(|| panic!("{evaluations:?}"));
    assert_eq!((&last["suite"], &last["metric"]), (&json!("heldout"), &json!("pass@1")));
    let paired = &last["paired"];
    assert_eq!(paired["problems"], json!(20));
    let differences: Vec<f64> = shares.iter().map(|(a, b)| b - a).collect();
    let mean = differences.iter().sum::<f64>() / 20.0;
    let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
    close(&paired["difference"], &json!(mean));
    // Every problem is in both runs, so the mean of differences is the difference of the figures.
    close(&paired["difference"], &last["difference"]);
    close(&paired["stderr"], &json!((squares / 19.0 / 20.0).sqrt()));
    assert!(differences.iter().any(|difference| *difference != 0.0), "{shares:?}");
    let count = |is: fn(&(f64, f64)) -> bool| json!(shares.iter().filter(|pair| is(pair)).count());
    assert_eq!(paired["better_in_a"], count(|(a, b)| a > b));
    assert_eq!(paired["better_in_b"], count(|(a, b)| b > a));
    assert_eq!(paired["right_in_a_alone"], count(|(a, b)| *a > 0.5 && *b <= 0.5));
    assert_eq!(paired["right_in_b_alone"], count(|(a, b)| *b > 0.5 && *a <= 0.5));

    let page = bench.ok(&["diff", &a, &b]);
    let order = ["stages.rl.grpo.lr", "last tenth of the steps", "figure", "B − A, paired"];
    let places: Vec<usize> = order.iter().map(|words| page.find(words).unwrap()).collect();
    assert!(places.is_sorted(), "{page}");
    assert!(!page.contains("environment") && !page.contains("plugin of reward"), "{page}");
}

#[test]
fn equal_runs_are_said_to_be_equal_and_other_threads_and_builds_are_told() {
    let bench = Bench::new();
    let a = run(&bench, &["--threads", "2"]);
    let b = run(&bench, &["--threads", "2"]);
    let digest = bench.latest()["digest"].as_str().unwrap().to_owned();
    let page = bench.ok(&["diff", &a, &b]);
    let expected =
        format!("nothing differs between {a} (digest {digest}) and {b} (digest {digest})\n");
    assert_eq!(page, expected);
    assert_eq!(bench.json(&["diff", &a, &b, "--json"])["equal"], json!(true));

    // A section that no engine reads makes another component of the reward. It judges as before.
    let path = bench.path("plugins/countdown.wasm");
    let mut component = std::fs::read(&path).unwrap();
    component.extend([0, 2, 1, b'x']);
    std::fs::write(&path, &component).unwrap();
    let c = run(&bench, &["--threads", "1"]);
    let said = bench.json(&["diff", &a, &c, "--json"]);
    assert_eq!(said["equal"], json!(false));
    let paths: Vec<&Value> =
        said["plan"].as_array().unwrap().iter().map(|change| &change["path"]).collect();
    assert_eq!(paths, ["rewards.equation.plugin.sha256"]);
    assert_eq!(said["environment"], json!([{"name": "threads", "a": "2", "b": "1"}]));
    let plugins = said["plugins"].as_array().unwrap();
    assert_eq!((plugins.len(), &plugins[0]["reward"]), (1, &json!("equation")));
    let sha256 = r1x_core::digest::sha256(&component);
    assert_eq!(plugins[0]["b"]["sha256"], json!(sha256));
    assert_eq!((&said["metrics"], &said["evaluations"]), (&json!([]), &json!([])));
    let page = bench.ok(&["diff", &a, &c]);
    assert!(page.contains("plugin of reward") && page.contains(&sha256[..12]), "{page}");

    let told = bench.output(&["diff", &a, "nobody"]);
    assert_eq!(told.status.code(), Some(4), "{}", text(&told.stderr));
}
