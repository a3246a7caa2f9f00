//! A run of two models that take turns: what is shown, saved and exported of each.

use super::bench::{Bench, TURNS, text};

#[test]
fn each_model_is_what_its_checkpoints_say() {
    let bench = Bench::with_turns();
    let plan = bench.ok(&["plan", TURNS]);
    assert!(plan.contains("models.student.layers"), "{plan}");
    let output = bench.output(&["run", TURNS, "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    // A suite is run of the model that has learnt.
    let rows = bench.sql("SELECT stage, count(*) AS n FROM v_evals GROUP BY stage ORDER BY stage");
    assert!(rows.iter().any(|row| row["stage"] == "smaller"), "{rows:?}");
    let layers = |checkpoint: &str| {
        let run = bench.latest()["name"].as_str().unwrap().to_owned();
        let from = format!("runs/{run}/{checkpoint}");
        let to = format!("out-{}", checkpoint.replace('/', "-"));
        bench.ok(&["model", "export", &from, &to]);
        let config = std::fs::read_to_string(bench.path(&to).join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        config["num_hidden_layers"].as_u64().unwrap()
    };
    assert_eq!((layers("rl/final"), layers("small/final")), (1, 2));
    let said = bench.ok(&["generate", "--checkpoint", "small/final", "-n", "1", "--json"]);
    assert!(said.lines().count() > 0);
}
