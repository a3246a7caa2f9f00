//! `r1x import-spec` as a user meets it: what it writes passes `r1x check` on a model and data of that name, and runs.
//!
//! Must not test what a recipe becomes, which the crate of specs can test alone. Every command is the real binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// Words that problems are made of.
const WORDS: [&str; 10] =
    ["red", "blue", "green", "white", "black", "one", "two", "three", "four", "five"];
/// What open-r1's recipe tells the model first, by its words.
const SYSTEM: &str = "Think first, then answer. Write <think> ... </think> <answer> ... </answer>";

/// A folder in which a tiny model was made.
struct Bench {
    folder: tempfile::TempDir,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A recipe of the tests of specs.
fn recipe(name: &str) -> String {
    let folder = root().join("crates/r1x-spec/tests/fixtures/import");
    folder.join(name).to_str().unwrap().to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A problem of any of the recipes; each of the first thousand is another one.
fn problem(number: usize) -> Value {
    let word = |at: u32| WORDS[number / 10_usize.pow(at) % 10];
    let asked = format!("{} {} {}", word(2), word(1), word(0));
    let conversation = [
        json!({"role": "user", "content": asked}),
        json!({"role": "assistant", "content": word(0)}),
    ];
    json!({
        "prompt": [conversation[0]], "problem": asked, "solution": word(0), "answer": word(0), "messages": conversation,
    })
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        std::os::unix::fs::symlink(root().join("plugins"), bench.path("plugins")).unwrap();
        let rows: String = (0..700).map(|number| format!("{}\n", problem(number))).collect();
        std::fs::create_dir(bench.path("rows")).unwrap();
        std::fs::write(bench.path("rows/train.jsonl"), rows).unwrap();
        std::fs::write(bench.path("rows/test.jsonl"), format!("{}\n", problem(999))).unwrap();
        let mut words: Vec<&str> = WORDS.into_iter().chain(SYSTEM.split_whitespace()).collect();
        words.sort_unstable();
        words.dedup();
        let spec = format!(
            "r1x: 1\nname: tiny\nmodel:\n  tokenizer: {{vocabulary: {}}}\n  hidden_size: 16\n  layers: 1\n  \
             context_length: 33000\n  attention: {{gqa: {{heads: 2, kv_heads: 1, head_dim: 8}}}}\n  feed_forward: {{dense: \
             {{intermediate_size: 16}}}}\ndata:\n  rows:\n    jsonl: {{path: rows, solution: solution}}\n    prompt: \"{{{{ \
             problem }}}}\"\nstages:\n  - id: sft\n    sft: {{data: rows.train, steps: 1, batch_size: 4, lr: 1e-3}}\n",
            json!(words)
        );
        std::fs::write(bench.path("tiny.yaml"), spec).unwrap();
        let run: Value = serde_json::from_str(&bench.ok(&["run", "tiny.yaml", "--json"])).unwrap();
        let trained = format!("runs/{}/sft/final", run["run"].as_str().unwrap());
        bench.ok(&["model", "export", &trained, "models/tiny"]);
        let template = "{% for m in messages %}{{ m.content }} {% endfor %}";
        std::fs::write(bench.path("models/tiny/chat_template.jinja"), template).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn r1x(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_r1x"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .env_remove("R1X_STORE")
            .output()
            .unwrap()
    }

    /// Standard output of a command that must succeed.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.r1x(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Standard error of a command that must fail with this code.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.r1x(arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(!message.contains("has a bug"), "{message}");
        message
    }

    /// Puts the tiny model and the problems where a spec looks for its own, as JSON lines.
    fn furnish(&self, spec: &str) {
        let written = std::fs::read_to_string(self.path(spec)).unwrap();
        for line in written.lines() {
            let value = |key: &str| line.trim_start().strip_prefix(key)?.split("  ").next();
            let (place, from) = match (value("from: "), value("path: ")) {
                (Some(place), _) => (place, "models/tiny"),
                (_, Some(place)) => (place, "rows"),
                _ => continue,
            };
            let place = self.path(place);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            if !place.exists() {
                std::os::unix::fs::symlink(self.path(from), place).unwrap();
            }
        }
        // A component stands for each function that is still to be written.
        let lines =
            written.lines().map(|line| match line.trim_start().strip_prefix("plugin: ./") {
                Some(_) => "    plugin: plugins/format.wasm\n".to_owned(),
                None => format!("{line}\n"),
            });
        let furnished = lines.collect::<String>().replace("    parquet:\n", "    jsonl:\n");
        std::fs::write(self.path(spec), furnished).unwrap();
    }
}

/// Each recipe as it is imported, with nothing filled in but what the report asks for.
#[test]
fn what_is_written_passes_the_check_once_model_and_data_are_there() {
    let bench = Bench::new();
    for (number, (name, from)) in [
        ("trl-grpo.yaml", "trl"),
        ("trl-sft.yaml", "trl"),
        ("open-r1-grpo.yaml", "open-r1"),
        ("open-r1-sft.yaml", "open-r1"),
        ("verl-gsm8k.sh", "verl"),
        ("verl-dapo.sh", "verl"),
        ("verl-ppo.sh", "verl"),
    ]
    .into_iter()
    .enumerate()
    {
        let spec = format!("imported-{number}.yaml");
        let told = bench.ok(&["import-spec", &recipe(name), "--from", from, "-o", &spec]);
        assert!(told.contains("to be filled in") && told.contains("model.from"), "{told}");
        bench.furnish(&spec);
        // The tiny model has no projections of a name that the recipe asks adapters for in vain, and a small machine may
        // not have the memory of a long context.
        let checked = bench.r1x(&["check", &spec, "--force"]);
        assert!(checked.status.success(), "{name}: {}", text(&checked.stderr));
    }
}

#[test]
fn an_imported_recipe_runs() {
    let bench = Bench::new();
    bench.ok(&["import-spec", &recipe("trl-grpo.yaml"), "--from", "trl", "-o", "imported.yaml"]);
    bench.furnish("imported.yaml");
    let run = bench.ok(&[
        "run",
        "imported.yaml",
        "--json",
        "--set",
        "stages.rl.grpo.steps=2",
        "--set",
        "stages.rl.grpo.schedule.warmup_steps=1",
        "--set",
        "stages.rl.grpo.sampling.max_tokens=4",
        "--set",
        "evals.heldout.sampling.max_tokens=4",
    ]);
    let run: Value = serde_json::from_str(&run).unwrap();
    assert_eq!(run["status"], "done", "{run}");
}

#[test]
fn the_spec_or_the_report_is_the_result() {
    let bench = Bench { folder: tempfile::tempdir().unwrap() };
    let file = recipe("verl-gsm8k.sh");
    let output = bench.r1x(&["import-spec", &file, "--from", "verl", "--rows", "7473"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (spec, report) = (text(&output.stdout), text(&output.stderr));
    assert!(spec.starts_with("# From verl-gsm8k.sh\n") && spec.contains("\nr1x: 1\n"), "{spec}");
    assert!(report.contains("to be filled in") && report.contains("components"), "{report}");
    // 15 passes over 116 whole batches of 64 problems.
    assert!(spec.contains("steps: 1740 "), "{spec}");
    let told = bench.ok(&["import-spec", &file, "--from", "verl", "-o", "new.yaml"]);
    assert!(told.contains("next: fill in what is left, then r1x check new.yaml"), "{told}");
    let again = bench.fails(4, &["import-spec", &file, "--from", "verl", "-o", "new.yaml"]);
    assert!(again.contains("new.yaml is there already") && again.contains("help:"), "{again}");
}

#[test]
fn a_program_reads_the_spec_and_what_became_of_each_key() {
    let bench = Bench { folder: tempfile::tempdir().unwrap() };
    let import = |more: &[&str]| {
        let file = recipe("verl-ppo.sh");
        let arguments = [&["import-spec", &file, "--from", "verl", "--json"][..], more].concat();
        let output = bench.r1x(&arguments);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let said = import(&[]);
    assert_eq!((&said["from"], &said["output"]), (&json!("verl"), &Value::Null));
    let found = |list: &str, key: &str, value: &str| {
        let all = said[list].as_array().unwrap().iter();
        all.filter(|one| one[key] == value).cloned().collect::<Vec<Value>>()
    };
    let lr = json!({"path": "stages.rl.grpo.lr", "value": "1e-6", "from": ["actor_rollout_ref.actor.optim.lr: 1e-6"]});
    assert_eq!(found("carried", "path", "stages.rl.grpo.lr"), [lr]);
    let warmup = found("fill_in", "path", "stages.rl.grpo.critic.schedule.warmup_steps");
    assert_eq!(warmup[0]["from"], json!(["critic.optim.lr_warmup_steps_ratio: 0.05"]));
    assert_eq!(
        (warmup.len(), found("unsupported", "key", "critic.ppo_epochs")[0]["line"].clone()),
        (1, json!(21))
    );
    let idle = said["no_matter"].to_string();
    assert!(idle.contains("critic.ppo_micro_batch_size"), "{idle}");
    assert!(
        !idle.contains("lr_warmup_steps_ratio") && !idle.contains("trainer.critic_warmup"),
        "{idle}"
    );
    // No folder of components lies beside a spec here.
    assert_eq!(found("fill_in", "path", "rewards.ID.plugin").len(), 1);
    // A spec of one's own functions needs none.
    std::fs::write(bench.path("own.yaml"), "reward_funcs: colours.score\nmax_steps: 7\n").unwrap();
    let own: Value =
        serde_json::from_str(&bench.ok(&["import-spec", "own.yaml", "--from", "trl", "--json"]))
            .unwrap();
    let left: Vec<&Value> =
        own["fill_in"].as_array().unwrap().iter().map(|left| &left["path"]).collect();
    assert!(left.contains(&&json!("rewards.score.plugin")), "{left:?}");
    assert!(!left.contains(&&json!("rewards.ID.plugin")), "{left:?}");
    let written = import(&["-o", "new.yaml"]);
    assert_eq!((&written["output"], &written["spec"]), (&json!("new.yaml"), &said["spec"]));
    assert_eq!(json!(std::fs::read_to_string(bench.path("new.yaml")).unwrap()), said["spec"]);
}

#[test]
fn what_cannot_be_imported_is_told_with_its_exit_code() {
    let bench = Bench { folder: tempfile::tempdir().unwrap() };
    let write = |name: &str, text: &str| std::fs::write(bench.path(name), text).unwrap();
    bench.fails(4, &["import-spec", "nothing.yaml", "--from", "trl"]);
    bench.fails(2, &["import-spec", &recipe("trl-grpo.yaml"), "--from", "unsloth"]);
    bench.fails(2, &["import-spec", &recipe("trl-grpo.yaml")]);
    write("wrong.yaml", "reward_funcs: accuracy_reward\nlearning_rate: fast\n");
    let told = bench.fails(3, &["import-spec", "wrong.yaml", "--from", "trl", "-o", "out.yaml"]);
    assert!(told.contains("wrong.yaml:2:16") && told.contains("= help: write a number"), "{told}");
    assert!(!bench.path("out.yaml").exists());
    write("alone.yaml", "algorithm: {adv_estimator: grpo}\n");
    let told = bench.fails(3, &["import-spec", "alone.yaml", "--from", "verl"]);
    assert!(told.contains("a group of one completion"), "{told}");
}
