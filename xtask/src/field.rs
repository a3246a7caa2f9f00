//! A folder with a tiny experiment of its own, and the built `r1x` to work in it: where tasks try what happens to runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::Context;
use crate::failure::Failure;

/// Some seconds of work with many checkpoints, and evaluations between them: a stage is trained on what another one makes.
const SPEC: &str = r#"
r1x: 1
name: tiny
seed: 1
model:
  tokenizer: {data: sums}
  hidden_size: 32
  layers: 1
  context_length: 32
  attention: {gqa: {heads: 2, kv_heads: 1, head_dim: 16}}
  feed_forward: {dense: {intermediate_size: 64}}
data:
  sums:
    countdown: {count: 3, numbers: [1, 9], target: [1, 20], operations: "+-", train: 200, heldout: 8, trace: steps, seed: 0}
    prompt: "{{ nums | join(' ') }} -> {{ target }} <think>"
rewards:
  format: {plugin: plugins/format.wasm, weight: 0.1}
  equation: {plugin: plugins/countdown.wasm, weight: 1.0}
stages:
  - id: cold-start
    sft: {data: sums.train, limit: 100, steps: 12, batch_size: 8, lr: 3e-3, schedule: {kind: constant}}
  - id: rl
    grpo:
      data: sums.train
      skip: 100
      rewards: [format, equation]
      steps: 30
      prompts_per_step: 4
      group_size: 4
      sampling: {temperature: 1.0, max_tokens: 12}
      lr: 3e-4
      schedule: {kind: constant}
  - id: harvest
    reject:
      data: sums.train
      skip: 100
      rewards: [format, equation]
      steps: 8
      prompts_per_step: 4
      samples: 4
      sampling: {temperature: 1.0, max_tokens: 12}
      keep: {equation: 0}
      per_prompt: 2
  - id: again
    weights: base
    sft: {data: [harvest.train, sums.train], steps: 8, batch_size: 8, lr: 3e-3, schedule: {kind: constant}}
  - id: last
    evaluate: {evals: [heldout]}
evals:
  - id: heldout
    data: sums.heldout
    samples: 2
    sampling: {temperature: 1.0, max_tokens: 12}
    grade: equation
    report: [pass@1]
    when: {at: [start, stage_end], every: 10}
checkpoints: {every: 4, keep: 2}
"#;

/// A folder that goes away with this.
pub struct Field {
    folder: PathBuf,
    program: PathBuf,
}

impl Field {
    /// Builds `r1x` and makes a folder of this name among the temporary ones.
    pub fn new(context: &Context, name: &str) -> Result<Self, Failure> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // The features of the whole workspace, so that the dependencies of an ordinary build are used again.
        let build = ["build", "--release", "--workspace", "--bin", "r1x"];
        let built = Command::new(cargo).args(build).current_dir(&context.root).status();
        if !built.is_ok_and(|status| status.success()) {
            return Err(Failure::new("r1x could not be built", "its message is above"));
        }
        let program = std::env::current_exe()
            .map_err(|error| {
                Failure::new(format!("no path to this program: {error}"), "report it")
            })?
            .with_file_name("r1x");
        let folder = std::env::temp_dir().join(format!("r1x-{name}-{}", std::process::id()));
        let field = Self { folder, program };
        field.prepare(&context.root.join("plugins")).map_err(|error| {
            let message = format!("{}: {error}", field.folder.display());
            Failure::new(message, "is there space among the temporary files?")
        })?;
        Ok(field)
    }

    fn prepare(&self, shipped: &Path) -> std::io::Result<()> {
        fs::create_dir_all(self.folder.join("plugins"))?;
        for plugin in ["format.wasm", "countdown.wasm"] {
            fs::copy(shipped.join(plugin), self.folder.join("plugins").join(plugin))?;
        }
        fs::write(self.folder.join("tiny.yaml"), SPEC)
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The program at work here, with nothing from outside.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("XDG_CACHE_HOME", self.folder.join("cache"))
            .env("NO_COLOR", "1")
            .env_remove("R1X_STORE")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    /// What a command says, once it has ended.
    pub fn output(&self, arguments: &[&str]) -> Result<Output, Failure> {
        self.command(arguments)
            .output()
            .map_err(|error| Failure::new(format!("r1x does not start: {error}"), "build it first"))
    }

    /// What a command that must succeed says in JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value, Failure> {
        let output = self.output(arguments)?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Failure::new(format!("r1x {}: {said}", arguments.join(" ")), "see above")
        })
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The values of options `--name VALUE`, all of them numbers, in the order of `names`.
pub fn numbers<const N: usize>(
    arguments: &[String],
    names: [(&str, u64); N],
) -> Result<[u64; N], Failure> {
    let mut values = names.map(|(_, default)| default);
    for pair in arguments.chunks(2) {
        let at = names.iter().position(|(name, _)| pair[0] == format!("--{name}"));
        let value = pair.get(1).and_then(|value| value.parse().ok());
        match (at, value) {
            (Some(at), Some(value)) => values[at] = value,
            _ => {
                let known = names.map(|(name, default)| format!("--{name} N (default {default})"));
                return Err(Failure::new(
                    format!("`{}` is not understood", pair.join(" ")),
                    known.join(", "),
                ));
            }
        }
    }
    Ok(values)
}
