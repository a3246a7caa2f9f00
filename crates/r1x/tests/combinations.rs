//! Every way of leaving rollouts out with every penalty, on a real model and through the store: each combination runs
//! to its end, on the kernels and with a mixture of experts.
//!
//! Must not know how a loss is computed. Every run is the real binary on a temporary store.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A model and stages small enough for a fraction of a second. The form decides whether the equation counts; it has no
/// weight itself, so that a rollout in the wrong form has no total.
const SMALL: [&str; 13] = [
    "model.hidden_size=32",
    "model.layers=1",
    "model.feed_forward.moe.routed_experts=4",
    "data.countdown.countdown.train=300",
    "data.countdown.countdown.heldout=20",
    "stages.cold-start.sft.limit=100",
    "stages.cold-start.sft.steps=25",
    "stages.rl.grpo.skip=100",
    "stages.rl.grpo.steps=3",
    "stages.rl.grpo.prompts_per_step=4",
    "stages.rl.grpo.group_size=4",
    "stages.rl.grpo.sampling.max_tokens=24",
    "evals.heldout.limit=4",
];

fn experiment() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/countdown.yaml")
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn r1x(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_r1x"));
        command
            .args(arguments)
            .env("R1X_STORE", self.folder.path().join("r1x.sqlite"))
            .env("XDG_CACHE_HOME", self.folder.path())
            .env_remove("RUST_LOG");
        let output = command.output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {message}");
        output.stdout
    }

    fn run(&self, settings: &[String]) -> Value {
        let spec = experiment();
        let mut arguments = vec!["run", spec.to_str().unwrap(), "--json"];
        SMALL.iter().for_each(|set| arguments.extend(["--set", set]));
        settings.iter().for_each(|set| arguments.extend(["--set", set]));
        serde_json::from_slice(&self.r1x(&arguments)).unwrap()
    }

    /// A number that a query over the newest run gives.
    fn number(&self, query: &str) -> f64 {
        let answer: Value =
            serde_json::from_slice(&self.r1x(&["sql", query, "--format", "json"])).unwrap();
        answer[0]["n"].as_f64().unwrap_or_else(|| panic!("{query}: {answer}"))
    }
}

fn settings(zero_signal: &str, truncated: &str, penalty: &str, abstain: bool) -> Vec<String> {
    let mut settings = vec![
        format!("stages.rl.grpo.zero_signal={zero_signal}"),
        format!("stages.rl.grpo.truncated={truncated}"),
    ];
    if penalty != "none" {
        settings.push("stages.rl.grpo.kl.coef=0.01".to_owned());
        settings.push(format!("stages.rl.grpo.kl.estimator={penalty}"));
    }
    if abstain {
        settings.push("rewards.format.weight=0".to_owned());
        let gate = "{reward: format, at_least: 1, otherwise: mask}";
        settings.push(format!("rewards.equation.only_if={gate}"));
    }
    settings
}

#[test]
fn every_combination_of_what_is_left_out_runs_to_its_end() {
    let bench = Bench { folder: tempfile::tempdir().unwrap() };
    let aggregations = ["token_mean", "sequence_mean", "fixed_length"];
    let (mut runs, mut unscored, mut unasked) = (0, 0.0, 0.0);
    for zero_signal in ["keep", "drop"] {
        for truncated in ["keep", "mask"] {
            for penalty in ["none", "k1", "k2", "k3"] {
                for abstain in [false, true] {
                    let mut settings = settings(zero_signal, truncated, penalty, abstain);
                    let aggregation = aggregations[runs % 3];
                    settings.push(format!("stages.rl.grpo.aggregation={aggregation}"));
                    settings.push(format!("stages.rl.grpo.updates_per_epoch={}", 1 + runs % 2));
                    runs += 1;
                    let outcome = bench.run(&settings);
                    assert_eq!(outcome["status"], "done", "{settings:?}");
                    let metrics = "SELECT count(*) AS n FROM v_metrics WHERE run = :run AND";
                    let odd = bench.number(&format!("{metrics} value IS NULL"));
                    assert_eq!(odd, 0.0, "no metric is NaN or infinite: {settings:?}");
                    let far = bench.number(&format!("{metrics} metric = 'kl.far'"));
                    assert!(penalty != "none" || far == 0.0, "{settings:?}");
                    let rollouts = "SELECT count(*) AS n FROM v_rollouts WHERE run = :run AND";
                    let left = bench.number(&format!("{rollouts} reward IS NULL"));
                    assert!(abstain || left == 0.0, "{settings:?}");
                    unscored += left;
                    let drops = zero_signal == "drop" && penalty != "none";
                    let query = format!("{rollouts} ref_diff IS NULL");
                    unasked += if drops { bench.number(&query) } else { 0.0 };
                }
            }
        }
    }
    assert_eq!(runs, 32);
    assert!(unscored > 0.0, "some rollouts abstain");
    assert!(unasked > 0.0, "some groups are dropped beside a penalty");
}
