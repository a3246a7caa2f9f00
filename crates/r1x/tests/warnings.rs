//! What `check` and `run` say although nothing stops them: words that training never shows, steps without a signal,
//! and texts that reach the model whole.
//!
//! Must not test what is refused. Every run is the real binary on a temporary store.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn r1x(&self, arguments: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_r1x"))
            .args(arguments)
            .env("R1X_STORE", self.folder.path().join("runs/r1x.sqlite"))
            .env("XDG_CACHE_HOME", self.folder.path())
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {message}");
        output
    }

    /// Standard error of a command that succeeds.
    fn said(&self, arguments: &[&str]) -> String {
        String::from_utf8_lossy(&self.r1x(arguments).stderr).into_owned()
    }

    fn sql(&self, query: &str) -> Value {
        let output = self.r1x(&["sql", query, "--format", "json"]);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn write(&self, name: &str, contents: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A spec that learns the capitals in a file by heart and is asked about others.
fn capitals(tokenizer: &str, prompt: &str) -> String {
    let plugin = repository().join("plugins/match.wasm");
    format!(
        "r1x: 1
name: capitals
model:
  tokenizer: {tokenizer}
  hidden_size: 16
  layers: 1
  context_length: 64
  attention: {{gqa: {{heads: 2, kv_heads: 1, head_dim: 8}}}}
  feed_forward: {{dense: {{intermediate_size: 16}}}}
data:
  capitals:
    jsonl: {{path: rows.jsonl, heldout: 0.3, solution: capital, answer: capital}}
    prompt: {prompt}
rewards:
  answer: {{plugin: {}, with: {{pattern: \"x\"}}}}
stages:
  - id: learn
    sft: {{data: capitals.train, steps: 10, batch_size: 4, lr: 1e-3}}
evals:
  - id: others
    data: capitals.heldout
    samples: 1
    sampling: {{temperature: 1.0, max_tokens: 4}}
    grade: answer
    when: {{at: [stage_end]}}
",
        plugin.display()
    )
}

fn rows() -> String {
    let row = |n: u32| json!({"country": format!("land{n}"), "capital": format!("city{n}")});
    (0..40).map(|n| format!("{}\n", row(n))).collect()
}

/// A token per character.
fn characters() -> String {
    let characters = "\u{0120}\u{010a} abcdefghijklmnopqrstuvwxyz0123456789:?\n".chars();
    let mut vocabulary = serde_json::Map::from_iter([("<end>".to_owned(), json!(0))]);
    for (index, one) in characters.enumerate() {
        vocabulary.insert(one.to_string(), json!(index + 1));
    }
    json!({
        "version": "1.0",
        "added_tokens": [{"id": 0, "content": "<end>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    })
    .to_string()
}

#[test]
fn words_that_training_never_shows_are_told_with_their_share() {
    let bench = Bench::new();
    bench.write("rows.jsonl", &rows());
    let prompt = "\"the capital of {{ country }} :\"";
    let words = bench.write("words.yaml", &capitals("{data: capitals}", prompt));
    let said = bench.said(&["check", &words]);
    // `the capital of landN : cityN` has two of six words that no other row has.
    assert!(
        said.contains("warning: eval `others`: 33.3 % of the tokens of its problems ("),
        "{said}"
    );
    assert!(said.contains("occur in no training problem") && said.contains("`city"), "{said}");
    assert!(said.contains("tokenizer: {file: ...}"), "{said}");
    assert!(bench.said(&["run", &words]).contains("33.3 % of the tokens"), "a run says it too");
    let events = bench.sql("SELECT level, target, message FROM event ORDER BY event_id");
    assert_eq!((&events[0]["level"], &events[0]["target"]), (&json!("warn"), &json!("check")));
    assert!(events[0]["message"].as_str().unwrap().contains("33.3 %"), "{events}");
    bench.write("characters.json", &characters());
    let file = "{file: characters.json, eos: \"<end>\"}";
    let pieces = bench.write("pieces.yaml", &capitals(file, prompt));
    assert_eq!(bench.said(&["check", &pieces]), "", "characters are all known");
    let shipped = repository().join("experiments/countdown.yaml");
    let said = bench.said(&["check", shipped.to_str().unwrap()]);
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn a_prompt_reaches_the_model_with_its_last_newline() {
    let bench = Bench::new();
    bench.write("rows.jsonl", &rows());
    bench.write("characters.json", &characters());
    let file = "{file: characters.json, eos: \"<end>\"}";
    let block = "|\n      capital of {{ country }}?\n";
    for (name, prompt, end) in [
        ("block", block, "?\n"),
        ("literal", "\"{{ country }}:\\n\\n\"", ":\n\n"),
        ("none", "\"{{ country }}:\"", ":"),
    ] {
        let spec = bench.write(&format!("{name}.yaml"), &capitals(file, prompt));
        let store = bench.write(name, "");
        std::fs::remove_file(&store).unwrap();
        bench.said(&["run", &spec, "--store", &store]);
        let query = ["sql", "SELECT text FROM prompt", "--format", "json", "--store", &store];
        let prompts: Value = serde_json::from_slice(&bench.r1x(&query).stdout).unwrap();
        let prompts = prompts.as_array().unwrap();
        assert!(!prompts.is_empty());
        for prompt in prompts {
            let text = prompt["text"].as_str().unwrap();
            let tail = &text[text.trim_end().len() - 1..];
            assert_eq!(tail, end, "{name}: {text:?}");
        }
    }
}

#[test]
fn twenty_steps_without_a_signal_are_told_and_recorded() {
    let bench = Bench::new();
    let parent = repository().join("experiments/countdown.yaml");
    let spec = bench.write(
        "blank.yaml",
        &format!(
            "r1x: 1\nextends: {}\nname: blank\nstages:\n  - {{id: cold-start, drop: true}}\n",
            parent.display()
        ),
    );
    let mut arguments = vec!["run", spec.as_str(), "--threads", "1"];
    for set in [
        "model.hidden_size=16",
        "model.layers=1",
        "data.countdown.countdown.train=60",
        "data.countdown.countdown.heldout=4",
        "evals.heldout.limit=2",
        "stages.rl.grpo.skip=1",
        "stages.rl.grpo.steps=25",
        "stages.rl.grpo.prompts_per_step=2",
        "stages.rl.grpo.group_size=2",
        "stages.rl.grpo.micro_batch_size=4",
    ] {
        arguments.extend(["--set", set]);
    }
    let said = bench.said(&arguments);
    let warning = "warning: stage `rl`: the last 20 steps taught nothing";
    assert_eq!(said.matches(warning).count(), 1, "{said}");
    assert!(said.contains("the mean reward is 0"), "{said}");
    let events = bench.sql("SELECT level, target, message FROM event WHERE target = 'signal'");
    assert_eq!(events.as_array().unwrap().len(), 1, "{events}");
    assert_eq!(events[0]["target"], "signal");
    let shown = String::from_utf8(bench.r1x(&["show"]).stdout).unwrap();
    assert!(shown.contains("the last 20 steps taught nothing"), "{shown}");
}
