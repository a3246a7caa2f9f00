//! A folder with a small experiment of its own, and the binary to run it with.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::Value;

/// A project: a spec, its data and its plugins, all named by relative paths.
pub struct Bench {
    pub folder: tempfile::TempDir,
}

/// An experiment that takes a second, on data from a file. `{more}` stands for what a test adds.
const SPEC: &str = r#"
r1x: 1
name: small
seed: 1
tags: [tiny, test]
model:
  tokenizer: {data: sums}
  hidden_size: 32
  layers: 1
  context_length: 32
  attention: {gqa: {heads: 2, kv_heads: 1, head_dim: 16}}
  feed_forward: {dense: {intermediate_size: 64}}
data:
  sums:
    countdown: {count: 3, numbers: [1, 9], target: [1, 20], operations: "+-", train: 300, heldout: 20, trace: steps, seed: 0}
    prompt: "{{ nums | join(' ') }} -> {{ target }} <think>"
rewards:
  format: {plugin: plugins/format.wasm, weight: 0.1}
  equation: {plugin: plugins/countdown.wasm, weight: 1.0}
stages:
  - id: cold-start
    sft: {data: sums.train, limit: 100, steps: 12, batch_size: 16, micro_batch_size: 8, lr: 3e-3, schedule: {kind: constant}}
  - id: rl
    grpo:
      data: sums.train
      skip: 100
      rewards: [format, equation]
      steps: 40
      prompts_per_step: 6
      group_size: 4
      micro_batch_size: 8
      sampling: {temperature: 1.0, max_tokens: 16}
      lr: 3e-4
      schedule: {kind: constant}
evals:
  - id: heldout
    data: sums.heldout
    samples: 2
    sampling: {temperature: 1.0, max_tokens: 16}
    grade: equation
    report: [pass@1]
    when: {at: [start, stage_end], every: 20}
checkpoints: {every: 10, keep: 2}
"#;

/// An experiment whose last stage learns from what the stage above it kept.
const HARVEST_SPEC: &str = r#"
extends: small.yaml
name: harvest
stages:
  - id: rl
    grpo: null
    evaluate: {evals: [heldout]}
  - id: harvest
    reject:
      data: sums.train
      skip: 100
      rewards: [format, equation]
      steps: 13
      prompts_per_step: 6
      samples: 8
      sampling: {temperature: 1.0, max_tokens: 16}
      keep: {equation: 0}
      per_prompt: 3
  - id: again
    weights: base
    sft: {data: [harvest.train, sums.train], steps: 8, batch_size: 16, micro_batch_size: 8, lr: 3e-3}
"#;

const TURNS_SPEC: &str = r#"
extends: small.yaml
name: turns
models:
  student: {layers: 2, context_length: 40}
stages:
  - id: small
    model: student
    sft: {data: sums.train, steps: 6, batch_size: 16, micro_batch_size: 8, lr: 3e-3}
  - id: back
    evaluate: {evals: [heldout]}
  - id: smaller
    model: student
    sft: {data: sums.train, steps: 4, batch_size: 16, micro_batch_size: 8, lr: 3e-3}
"#;

/// The file of an experiment in which two models take turns.
pub const TURNS: &str = "turns.yaml";

const JUDGED_SPEC: &str = r#"
r1x: 1
name: judged
model:
  tokenizer: {data: requests}
  hidden_size: 32
  layers: 1
  context_length: 96
  attention: {gqa: {heads: 2, kv_heads: 1, head_dim: 16}}
  feed_forward: {dense: {intermediate_size: 64}}
models:
  judge: {head: value}
data:
  requests:
    requests: {refuse: 0.25, train: 200, heldout: 40}
    prompt: "{{ question }}"
rewards:
  preferred: {reward_model: judge}
stages:
  - id: warm-up
    sft: {data: requests.train, steps: 6, batch_size: 16, micro_batch_size: 8, lr: 3e-3}
  - id: judge
    model: judge
    weights: warm-up
    reward_model: {data: requests.train, steps: 6, batch_size: 8, micro_batch_size: 4, lr: 3e-3}
  - id: rl
    grpo:
      data: requests.train
      rewards: [preferred]
      steps: 6
      prompts_per_step: 4
      group_size: 4
      micro_batch_size: 8
      sampling: {temperature: 1.0, max_tokens: 24}
      lr: 3e-4
checkpoints: {every: 2, keep: 2}
"#;

const TAUGHT_SPEC: &str = r#"
extends: small.yaml
name: taught
models:
  student: {layers: 2}
stages:
  - id: student
    model: student
    distill: {teacher: rl, data: sums.train, steps: 4, batch_size: 16, micro_batch_size: 8, lr: 3e-3, top: 5}
  - id: on-its-own
    model: student
    distill:
      teacher: rl
      data: sums.train
      sampling: {temperature: 1.0, max_tokens: 16}
      samples: 2
      divergence: reverse_kl
      steps: 4
      batch_size: 6
      micro_batch_size: 4
      lr: 3e-3
"#;

const CRITIC_SPEC: &str = r#"
extends: small.yaml
name: criticised
models:
  critic: {head: value}
stages:
  - id: rl
    drop: true
  - id: ppo
    grpo:
      algorithm: ppo
      critic: {model: critic, weights: cold-start, lr: 3e-3, lambda: 0.95, alone_steps: 2}
      data: sums.train
      skip: 100
      rewards: [format, equation]
      steps: 8
      prompts_per_step: 12
      group_size: 1
      epochs: 2
      updates_per_epoch: 2
      micro_batch_size: 3
      sampling: {temperature: 1.0, max_tokens: 16}
      kl: {coef: 0.05}
      lr: 3e-4
"#;

/// The file of an experiment in which a critic learns beside the policy.
pub const CRITIC: &str = "criticised.yaml";

const MERGED_SPEC: &str = r#"
extends: small.yaml
name: merged
stages:
  - id: other
    weights: cold-start
    sft: {data: sums.train, skip: 100, steps: 6, batch_size: 16, micro_batch_size: 8, lr: 3e-3}
  - id: both
    merge: {parts: {rl: 1, other: 3}}
  - id: on
    sft: {data: sums.train, steps: 4, batch_size: 16, micro_batch_size: 8, lr: 1e-3}
"#;

const BEGUN_SPEC: &str = r#"
extends: small.yaml
name: begun
stages:
  - id: cold-start
    drop: true
  - id: rl
    grpo: null
    sft: {data: sums.train, skip: 100, steps: 8, batch_size: 16, micro_batch_size: 8, lr: 3e-3}
"#;

const SWEPT_SPEC: &str = r#"
extends: small.yaml
name: swept
stages:
  - id: cold-start
    sft: {steps: 4}
  - id: rl
    grpo: {steps: 6}
checkpoints: {every: 2, keep: 2}
sweep:
  matrix:
    seed: [1, 2]
    stages.rl.grpo.lr: [1e-4, 3e-4]
"#;

/// The file of an experiment that stands for four runs.
pub const SWEPT: &str = "swept.yaml";

/// The file of an experiment that has a last stage of its own and no other, to begin with a checkpoint.
pub const BEGUN: &str = "begun.yaml";

/// The file of an experiment that averages the weights of two stages.
pub const MERGED: &str = "merged.yaml";

/// The file of an experiment in which a student learns from the model of a stage.
pub const TAUGHT: &str = "taught.yaml";

/// The file of an experiment in which a reward is the value of a model that the run trains.
pub const JUDGED: &str = "judged.yaml";

/// The file of an experiment in which a stage makes data.
pub const HARVEST: &str = "harvest.yaml";

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Bench {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
        std::fs::create_dir(folder.path().join("plugins")).unwrap();
        for plugin in ["format.wasm", "countdown.wasm"] {
            std::fs::copy(shipped.join(plugin), folder.path().join("plugins").join(plugin))
                .unwrap();
        }
        std::fs::write(folder.path().join("small.yaml"), SPEC).unwrap();
        Self { folder }
    }

    /// With a second experiment, [`HARVEST`].
    pub fn with_harvest() -> Self {
        let bench = Self::new();
        std::fs::write(bench.path(HARVEST), HARVEST_SPEC).unwrap();
        bench
    }

    /// With a second experiment, [`TURNS`].
    pub fn with_turns() -> Self {
        let bench = Self::new();
        std::fs::write(bench.path(TURNS), TURNS_SPEC).unwrap();
        bench
    }

    /// With a second experiment, [`CRITIC`].
    pub fn with_critic() -> Self {
        let bench = Self::new();
        std::fs::write(bench.path(CRITIC), CRITIC_SPEC).unwrap();
        bench
    }

    /// With a second experiment, [`TAUGHT`].
    pub fn with_taught() -> Self {
        let bench = Self::new();
        std::fs::write(bench.path(TAUGHT), TAUGHT_SPEC).unwrap();
        bench
    }

    /// With a second experiment, [`BEGUN`].
    pub fn with_begun() -> Self {
        let bench = Self::new();
        std::fs::write(bench.path(BEGUN), BEGUN_SPEC).unwrap();
        bench
    }

    /// With a second experiment, [`MERGED`].
    pub fn with_merged() -> Self {
        let bench = Self::new();
        std::fs::write(bench.path(MERGED), MERGED_SPEC).unwrap();
        bench
    }

    /// With a second experiment, [`SWEPT`].
    pub fn with_swept() -> Self {
        let bench = Self::new();
        std::fs::write(bench.path(SWEPT), SWEPT_SPEC).unwrap();
        bench
    }

    /// With a second experiment, [`JUDGED`].
    pub fn with_judged() -> Self {
        let bench = Self::new();
        std::fs::write(bench.path(JUDGED), JUDGED_SPEC).unwrap();
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The binary in a folder of the project, with the store where it is without a word about it. A run runs all of its stages:
    /// what a test says of a result would say nothing of one that was taken over.
    pub fn command(&self, inside: &str, arguments: &[&str]) -> Command {
        let mut command = self.bare(inside, arguments);
        if arguments.first() == Some(&"run") {
            command.arg("--no-reuse");
        }
        command
    }

    /// What comes of a run that may take stages of earlier runs over.
    pub fn reusing(&self, arguments: &[&str]) -> Output {
        self.bare("", arguments).output().unwrap()
    }

    fn bare(&self, inside: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_r1x"));
        command
            .args(arguments)
            .current_dir(self.path(inside))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("NO_COLOR", "1")
            .env_remove("R1X_STORE")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command("", arguments).output().unwrap()
    }

    /// Standard output of a command that must succeed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Standard error of a command that must fail with this code.
    pub fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(!message.contains("has a bug"), "{message}");
        message
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    /// Rows of a query, as objects.
    pub fn sql(&self, query: &str) -> Vec<Value> {
        self.json(&["sql", query, "--format", "json"]).as_array().unwrap().clone()
    }

    pub fn start(&self, arguments: &[&str]) -> Started {
        Self::started(self.command("", arguments))
    }

    /// A run under way that may take stages of earlier runs over.
    pub fn start_reusing(&self, arguments: &[&str]) -> Started {
        Self::started(self.bare("", arguments))
    }

    fn started(mut command: Command) -> Started {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Started { child, lines, seen: String::new() }
    }

    /// A run with these changes, asked to stop once its second stage has begun.
    pub fn interrupted(&self, sets: &[&str]) -> String {
        let mut arguments = vec!["run", "small.yaml"];
        sets.iter().for_each(|set| arguments.extend(["--set", set]));
        let mut started = self.start(&arguments);
        started.wait_for("stage rl");
        started.signal("INT");
        started.end(130)
    }

    pub fn latest(&self) -> Value {
        self.json(&["show", "--json"])
    }
}

/// A command under way.
pub struct Started {
    pub child: Child,
    lines: BufReader<ChildStderr>,
    seen: String,
}

impl Started {
    /// Reads messages up to a line that begins like this.
    pub fn wait_for(&mut self, beginning: &str) {
        let mut line = String::new();
        while !line.starts_with(beginning) {
            line.clear();
            let read = self.lines.read_line(&mut line).unwrap();
            self.seen.push_str(&line);
            assert!(read > 0, "no line `{beginning}`: {}", self.seen);
        }
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Every message, once whoever writes to its messages has ended.
    pub fn rest(mut self) -> String {
        self.lines.read_to_string(&mut self.seen).unwrap();
        self.seen
    }

    /// Every message, once it has ended with this code.
    pub fn end(mut self, code: i32) -> String {
        self.lines.read_to_string(&mut self.seen).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(code), "{}", self.seen);
        self.seen
    }
}
