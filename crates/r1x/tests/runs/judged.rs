//! A run that trains a reward model and learns from what it says: what the store has of it, and what is refused.

use super::bench::{Bench, JUDGED, text};

#[test]
fn what_a_reward_model_says_is_a_reward_like_any_other() {
    let bench = Bench::with_judged();
    let output = bench.output(&["run", JUDGED]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stderr);
    let line = told.lines().find(|line| line.starts_with("judge 6/6")).unwrap_or_default();
    assert!(line.contains("  accuracy ") && line.contains("  held out "), "{told}");
    let metric = |name: &str| {
        let sql =
            format!("SELECT value FROM v_metrics WHERE metric = '{name}' AND stage = 'judge'");
        bench.sql(&sql).iter().map(|row| row["value"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((metric("accuracy").len(), metric("heldout.accuracy").len()), (6, 1));
    let rewards = bench.sql("SELECT reward, status, value FROM v_rewards WHERE stage = 'rl'");
    assert_eq!(rewards.len(), 6 * 4 * 4);
    let values: Vec<f64> = rewards.iter().map(|row| row["value"].as_f64().unwrap()).collect();
    assert!(values.iter().any(|value| *value != values[0]));
    assert!(rewards.iter().all(|row| row["status"] == "ok" && row["reward"] == "preferred"));
    // What a model that judges would write, nobody asks.
    let told = text(&bench.output(&["generate", "--checkpoint", "judge/final"]).stderr);
    assert!(told.contains("head"), "{told}");
}

/// A folder of a reward model is one of the class that hubs have them in, and is read and written again as one.
#[test]
fn a_reward_model_is_published_as_a_classifier_with_one_label() {
    let bench = Bench::with_judged();
    bench.ok(&["run", JUDGED]);
    let name = bench.latest()["name"].as_str().unwrap().to_owned();
    let checkpoint = format!("runs/{name}/judge/final");
    let class = "LlamaForSequenceClassification";
    let told = bench.ok(&["model", "export", &checkpoint, "published"]);
    assert!(told.contains(&format!("llama ({class})")), "{told}");
    let again = bench.ok(&["model", "import", "published", "again"]);
    assert!(again.contains(&format!("llama ({class})")), "{again}");
    for folder in ["published", "again"] {
        let config = std::fs::read(bench.path(folder).join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["architectures"], serde_json::json!([class]));
        assert_eq!(config["id2label"].as_object().unwrap().len(), 1, "the labels of transformers");
        let found = bench.json(&["model", "inspect", folder, "--json"]);
        assert_eq!((&found["class"], &found["shape"]["head"]), (&class.into(), &"value".into()));
    }
    let bytes = |folder: &str| std::fs::read(bench.path(folder).join("model.safetensors")).unwrap();
    assert!(bytes("published") == bytes("again"));
}

#[test]
fn a_reward_model_must_be_there_before_it_is_asked() {
    let bench = Bench::with_judged();
    let refused = |set: &[&str]| {
        let arguments: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
        let output = bench.output(&[&["check", JUDGED][..], &arguments].concat());
        assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let told = refused(&["rewards.preferred.reward_model=rl"]);
    assert!(told.contains("trains no reward model above"), "{told}");
    let told = refused(&["rewards.preferred.with={a: 1}"]);
    assert!(told.contains("`with` stands beside `reward_model`"), "{told}");
    let told = refused(&["models.judge.head=vocabulary"]);
    assert!(told.contains("head"), "{told}");
}
