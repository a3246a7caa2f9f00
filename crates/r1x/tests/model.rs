//! `r1x model` as a user meets it: published models are looked into, read and written, and the checkpoint of a run becomes
//! one.
//!
//! Must not test what a crate can test alone. Every command is the real binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// A model and stages small enough for a second.
const SMALL: [&str; 11] = [
    "model.hidden_size=32",
    "model.layers=2",
    "data.countdown.countdown.train=300",
    "data.countdown.countdown.heldout=20",
    "stages.cold-start.sft.limit=100",
    "stages.cold-start.sft.steps=25",
    "stages.rl.grpo.skip=100",
    "stages.rl.grpo.steps=12",
    "stages.rl.grpo.prompts_per_step=4",
    "stages.rl.grpo.group_size=4",
    "evals.heldout.limit=5",
];

struct Bench {
    folder: tempfile::TempDir,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A golden folder, as a user would name it.
fn golden(name: &str) -> String {
    let families = root().join("crates/r1x-model/tests/golden/families");
    families.join(name).to_str().unwrap().to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn r1x(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_r1x"))
            .args(arguments)
            .current_dir(root())
            .env("R1X_STORE", self.path("runs/r1x.sqlite"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .output()
            .unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.r1x(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Standard error of a command that must fail with this code.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.r1x(arguments);
        let message = text(&output.stderr).replace(self.folder.path().to_str().unwrap(), "DIR");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(!message.contains("has a bug"), "{message}");
        message
    }

    fn inspected(&self, model: &str) -> Value {
        serde_json::from_str(&self.ok(&["model", "inspect", model, "--json"])).unwrap()
    }
}

#[test]
fn the_verbs_are_told() {
    let bench = Bench::new();
    let told = bench.ok(&["model", "--help"]);
    let verbs: Vec<&str> = told
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for verb in ["import", "export", "inspect"] {
        assert!(verbs.contains(&verb), "{told}");
    }
    let told = bench.ok(&["model", "import", "--help"]);
    assert!(["- bf16: ", "- f16: ", "- f32: "].iter().all(|word| told.contains(word)), "{told}");
}

#[test]
fn a_published_model_can_be_looked_into() {
    let bench = Bench::new();
    let folder = golden("deepseek-v3");
    let told = bench.ok(&["model", "inspect", &folder]).replace(&folder, "FOLDER");
    insta::assert_snapshot!(told, @r"
    model         FOLDER
    family        deepseek_v3 (DeepseekV3ForCausalLM)
    parameters    13,928, of which a token uses 11,408
    layers        2 of width 24
    attention     3 heads of 14, a latent of 10 for keys and values
    feed-forward  8 experts of 7, 3 a token, shared ones of 14, 1 dense layers of 30
    positions     base 50, YaRN's 4 from 16 tokens
    context       64 tokens
    vocabulary    53
    weights       safetensors, 54.4 KiB in tensors: 53 F32
    tokenizer     -
    ends with     2
    ");
    let found = bench.inspected(&folder);
    assert_eq!(found["family"], "deepseek_v3");
    assert_eq!(found["parameters"], json!({"total": 13928, "active": 11408, "untrained": 8}));
    assert_eq!(found["shape"]["attention"]["mla"]["kv_lora_rank"], 10);
    assert_eq!(found["shape"].get("precision"), None);
    assert_eq!(found["weights"]["types"][0]["type"], "F32");
    let ends = json!([{"id": 2, "token": null}]);
    assert_eq!((&found["tokenizer"]["eos"], &found["tokenizer"]["tokens"]), (&ends, &Value::Null));
}

#[test]
fn a_published_model_is_imported_with_the_numbers_it_has() {
    let bench = Bench::new();
    let (exact, half, again) = (bench.path("exact"), bench.path("half"), bench.path("again"));
    let told = bench.ok(&["model", "import", &golden("qwen2-moe"), &exact]);
    assert!(told.contains("qwen2_moe (Qwen2MoeForCausalLM)"), "{told}");
    let [from, to] = [golden("qwen2-moe"), exact.clone()].map(|folder| {
        let mut found = bench.inspected(&folder);
        found["path"] = Value::Null;
        found
    });
    assert_eq!(from, to);
    bench.ok(&["model", "import", &exact, &half, "--dtype", "bf16"]);
    let found = bench.inspected(&half);
    assert_eq!(found["weights"]["types"][0]["type"], "BF16");
    assert_eq!(found["shape"], to["shape"]);
    bench.ok(&["model", "import", &exact, &again]);
    let bytes = |folder: &str| std::fs::read(Path::new(folder).join("model.safetensors")).unwrap();
    assert_eq!(bytes(&again), bytes(&exact));
}

#[test]
fn a_checkpoint_of_a_run_becomes_a_published_model() {
    let bench = Bench::new();
    let mut arguments = vec!["run", "experiments/countdown.yaml", "--json"];
    SMALL.iter().for_each(|set| arguments.extend(["--set", set]));
    let run: Value = serde_json::from_str(&bench.ok(&arguments)).unwrap();
    let name = run["run"].as_str().unwrap();
    let checkpoint = bench.path(&format!("runs/{name}/rl/final"));
    let to = bench.path("published");
    // The store is found beside the run, wherever the command is given.
    let told = Command::new(env!("CARGO_BIN_EXE_r1x"))
        .args(["model", "export", &checkpoint, &to])
        .env_remove("R1X_STORE")
        .current_dir(root())
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", text(&told.stderr));
    let found = bench.inspected(&to);
    assert_eq!(found["family"], "deepseek_v3");
    assert_eq!(found["shape"]["hidden_size"], 32);
    assert_eq!(found["shape"]["attention"]["mla"]["kv_lora_rank"], 32);
    assert_eq!(found["tokenizer"]["eos"], json!([{"id": 0, "token": "<eos>"}]));
    assert_eq!(found["tokenizer"]["tokens"], found["shape"]["vocabulary_size"]);
    // A checkpoint is no published model by itself, and its weights are those that it was saved with.
    let told = bench.fails(4, &["model", "inspect", &checkpoint]);
    assert!(told.contains("it is a checkpoint of r1x"), "{told}");
    let file = Path::new(&checkpoint).join("model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let told = bench.fails(4, &["model", "export", &checkpoint, &bench.path("changed")]);
    assert!(told.contains("it was changed or torn"), "{told}");
    assert!(!bench.folder.path().join("changed").exists());
}

#[test]
fn mistakes_say_how_to_mend_them() {
    let bench = Bench::new();
    let nowhere = bench.path("nowhere");
    let told = bench.fails(4, &["model", "inspect", &nowhere]);
    assert!(told.contains("DIR/nowhere: No such file") && told.contains("help: "), "{told}");
    let told = bench.fails(4, &["model", "import", &golden("llama"), &bench.path("")]);
    assert_eq!(
        told,
        "error: DIR is there already\n  help: give a path where nothing is, or remove what is there\n"
    );
    bench.fails(2, &["model", "import", &golden("llama"), &nowhere, "--dtype", "f64"]);
    let told = bench.fails(4, &["model", "export", &golden("llama"), &nowhere]);
    assert!(told.contains("state.json"), "{told}");
    std::fs::write(bench.folder.path().join("config.json"), "{\"model_type\": \"gpt2\"}").unwrap();
    let told = bench.fails(4, &["model", "inspect", &bench.path("")]);
    assert!(told.contains("`model_type` is `gpt2`; what is known: llama, qwen2, "), "{told}");
}
