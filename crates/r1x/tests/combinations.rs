//! Every way of leaving rollouts out with every penalty, on a real model and through the store: each combination runs
//! to its end, on the kernels and with a mixture of experts.
//!
//! Every run is the real binary on a temporary store.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A model and stages small enough for a second, that learn enough of the form for groups to differ.
const SMALL: [&str; 16] = [
    "model.hidden_size=32",
    "model.layers=1",
    "model.feed_forward.moe.routed_experts=4",
    "data.countdown.countdown.train=300",
    "data.countdown.countdown.heldout=20",
    "stages.cold-start.sft.limit=100",
    "stages.cold-start.sft.steps=200",
    "stages.cold-start.sft.batch_size=32",
    "stages.rl.grpo.skip=100",
    "stages.rl.grpo.steps=3",
    "stages.rl.grpo.schedule.warmup_steps=0",
    "stages.rl.grpo.prompts_per_step=8",
    "stages.rl.grpo.group_size=4",
    "stages.rl.grpo.micro_batch_size=8",
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
        let mut arguments = vec!["run", spec.to_str().unwrap(), "--no-reuse", "--json"];
        SMALL.iter().for_each(|set| arguments.extend(["--set", set]));
        settings.iter().for_each(|set| arguments.extend(["--set", set]));
        serde_json::from_slice(&self.r1x(&arguments)).unwrap()
    }

    /// What the newest run left: finite metrics, rollouts without a total where some are not judged, and a score by
    /// the reference for what was trained on.
    fn check(&self, judged: Judged, penalty: &str, all_trained: bool) {
        let metrics = "SELECT count(*) AS n FROM v_metrics WHERE run = :run AND";
        assert_eq!(self.number(&format!("{metrics} value IS NULL")), 0.0, "NaN or infinite");
        let far = self.number(&format!("{metrics} metric = 'kl.far'"));
        assert_eq!(far > 0.0, penalty != "none");
        let rollouts = "SELECT count(*) AS n FROM v_rollouts WHERE run = :run AND";
        let unjudged = self.number(&format!("{rollouts} reward IS NULL"));
        assert_eq!(unjudged > 0.0, judged == Judged::InForm);
        let moved = self.number(&format!("{rollouts} reward IS NULL AND advantage != 0"));
        assert_eq!(moved, 0.0);
        let unscored = self.number(&format!("{rollouts} ref_diff IS NULL"));
        let everything = all_trained && judged == Judged::All && penalty != "none";
        assert_eq!(unscored == 0.0, everything, "{unscored} rollouts were not scored");
    }

    /// A number that a query over the newest run gives.
    fn number(&self, query: &str) -> f64 {
        let answer: Value =
            serde_json::from_slice(&self.r1x(&["sql", query, "--format", "json"])).unwrap();
        answer[0]["n"].as_f64().unwrap_or_else(|| panic!("{query}: {answer}"))
    }
}

/// Whether some rollouts are not judged.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Judged {
    All,
    /// The form has no weight and decides whether the length counts: a rollout in the wrong form has no total.
    InForm,
}

fn settings(zero_signal: &str, truncated: &str, penalty: &str, judged: Judged) -> Vec<String> {
    let mut settings = vec![
        format!("stages.rl.grpo.zero_signal={zero_signal}"),
        format!("stages.rl.grpo.truncated={truncated}"),
    ];
    if zero_signal == "resample" {
        settings.push("stages.rl.grpo.max_batches=3".to_owned());
    }
    if penalty != "none" {
        settings.push("stages.rl.grpo.kl.coef=0.01".to_owned());
        settings.push(format!("stages.rl.grpo.kl.estimator={penalty}"));
    }
    if judged == Judged::InForm {
        let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/length.wasm");
        settings.push("rewards.format.weight=0".to_owned());
        settings.push(format!(
            "rewards.length={{plugin: {}, with: {{shape: overlong, max: 64, buffer: 60}}, \
             only_if: {{reward: format, at_least: 1, otherwise: mask}}}}",
            plugin.display()
        ));
        settings.push("stages.rl.grpo.rewards=[format, length]".to_owned());
    }
    settings
}

#[test]
fn every_combination_of_what_is_left_out_runs_to_its_end() {
    let bench = Bench { folder: tempfile::tempdir().unwrap() };
    let mut runs = 0;
    for zero_signal in ["keep", "drop", "resample"] {
        for truncated in ["keep", "mask"] {
            for judged in [Judged::All, Judged::InForm] {
                for penalty in ["none", ["k3_plus", "k3_unbiased", "k3"][runs / 2 % 3]] {
                    let mut settings = settings(zero_signal, truncated, penalty, judged);
                    let aggregation = ["token_mean", "sequence_mean", "fixed_length"][runs % 3];
                    settings.push(format!("stages.rl.grpo.aggregation={aggregation}"));
                    settings.push(format!("stages.rl.grpo.updates_per_epoch={}", 1 + runs / 2 % 2));
                    let outcome = bench.run(&settings);
                    assert_eq!(outcome["status"], "done", "{settings:?}");
                    bench.check(judged, penalty, zero_signal == "keep" && truncated == "keep");
                    runs += 1;
                }
            }
        }
    }
    assert_eq!(runs, 24);
}
