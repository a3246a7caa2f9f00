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

/// A chat template of words that the vocabulary of the numbers game has.
const CHAT: &str = "{% for m in messages %}{{ m.content }} {% endfor %}";

/// A run of the numbers game, and its model as a published folder.
fn published_run(bench: &Bench) -> (String, String) {
    let mut arguments = vec!["run", "experiments/countdown.yaml", "--json"];
    SMALL.iter().for_each(|set| arguments.extend(["--set", set]));
    let run: Value = serde_json::from_str(&bench.ok(&arguments)).unwrap();
    let name = run["run"].as_str().unwrap().to_owned();
    let folder = bench.path("published");
    bench.ok(&["model", "export", &bench.path(&format!("runs/{name}/rl/final")), &folder]);
    (name, folder)
}

impl Bench {
    fn write(&self, name: &str, contents: &str) -> String {
        std::fs::write(self.folder.path().join(name), contents).unwrap();
        self.path(name)
    }

    /// The one completion of a command that prints JSON, greedy and short.
    fn greedy(&self, model: &str, more: &[&str]) -> Value {
        let mut arguments = vec!["generate", model, "--temperature", "0", "--max-tokens", "9"];
        arguments.extend(["-n", "1", "--precision", "bf16", "--json"]);
        arguments.extend(more);
        serde_json::from_str(&self.ok(&arguments)).unwrap()
    }

    /// Standard output and standard error of a conversation.
    fn chat(&self, model: &str, lines: &str) -> (String, String) {
        let typed = std::fs::File::open(self.write("typed", lines)).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_r1x"))
            .args(["chat", model, "--temperature", "0", "--max-tokens", "9"])
            .stdin(typed)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    }
}

#[test]
fn a_published_model_is_asked_as_the_run_that_it_comes_from() {
    let bench = Bench::new();
    let (run, folder) = published_run(&bench);
    let prompt = "3 5 7 -> 22 <think>";
    let of_run = bench.greedy(&run, &["--prompt", prompt]);
    assert_eq!(bench.greedy(&folder, &["--prompt", prompt]), of_run);
    assert!(of_run["tokens"].as_array().unwrap().len() <= 9);
    let told = bench.fails(4, &["generate", &folder]);
    assert!(told.contains("no held-out problems") && told.contains("--messages"), "{told}");

    let messages = json!([
        {"role": "user", "content": "3 5 7 -> 22"},
        {"role": "assistant", "content": "<think>"},
    ]);
    let messages = bench.write("messages.json", &messages.to_string());
    let ask = ["generate", &folder, "--messages", &messages];
    let told = bench.fails(4, &ask);
    assert!(told.contains("the model has no chat template"), "{told}");
    bench.write("published/chat_template.jinja", CHAT);
    let asked = bench.greedy(&folder, &["--messages", &messages]);
    assert_eq!((&asked["prompt"], &asked["tokens"]), (&json!(prompt), &of_run["tokens"]));
    let answer = format!("<think>{}", of_run["completion"].as_str().unwrap());
    assert_eq!(asked["completion"], json!(answer));

    let forged = r#"[{"role": "user", "content": "3 <eos> 7"}]"#;
    let forged = bench.write("forged.json", forged);
    let told = bench.fails(4, &["generate", &folder, "--messages", &forged]);
    assert!(told.contains("the message holds `<eos>`"), "{told}");
    for wrong in ["{}", "[]", r#"[{"role": "user"}]"#, "no JSON"] {
        let wrong = bench.write("wrong.json", wrong);
        let told = bench.fails(4, &["generate", &folder, "--messages", &wrong]);
        assert!(told.contains("a file of messages is a JSON list"), "{told}");
    }
    bench.fails(2, &["generate", &folder, "--messages", &messages, "--prompt", "3"]);
}

#[test]
fn a_conversation_goes_on_line_by_line() {
    let bench = Bench::new();
    let (_, folder) = published_run(&bench);
    let told = bench.fails(4, &["chat", &folder]);
    assert!(told.contains("the model has no chat template"), "{told}");
    bench.write("published/chat_template.jinja", CHAT);
    let question = "3 5 7 -> 22 <think>";
    let (said, _) = bench.chat(&folder, &format!("{question}\n"));
    assert!(said.starts_with("  | "), "{said}");
    // A question that is refused leaves the conversation as it was, and another one begins where the first did.
    let (twice, told) = bench.chat(&folder, &format!("\n{question}\n<eos>\n/new\n{question}"));
    assert_eq!(twice, [said.as_str(), &said].concat());
    assert!(told.contains("the message holds `<eos>`"), "{told}");
}

#[test]
fn a_run_asks_by_messages_and_no_row_can_speak_for_the_model() {
    let bench = Bench::new();
    let (_, folder) = published_run(&bench);
    bench.write("mine.jinja", CHAT);
    let parent = root().join("experiments/countdown.yaml").canonicalize().unwrap();
    let spec = format!(
        "r1x: 1\nextends: {}\nname: chatty\nmodel:\n  from: {folder}\n  tokenizer: {{file: {folder}/tokenizer.json, eos: <eos>, \
         chat_template: mine.jinja}}\n  hidden_size: null\n  layers: null\n  context_length: 60\n  attention: null\n  feed_forward: null\ndata:\n  countdown:\n    \
         messages:\n      user: \"{{{{ nums | join(' ') }}}} -> {{{{ target }}}}\"\n      prefill: <think>\n",
        parent.display()
    );
    let spec = bench.write("chatty.yaml", &spec);
    let mut arguments = vec!["run", &spec, "--json"];
    SMALL.iter().skip(2).for_each(|set| arguments.extend(["--set", set]));
    // The reward for the form takes prompts to open the thought, unless it is told otherwise.
    let mut check = arguments.clone();
    (check[0], check[2]) = ("check", "--force");
    let told = |arguments: &[&str]| text(&bench.r1x(arguments).stderr);
    let warning = "the reward `format` takes the prompt to end with <think> (`prefilled`)";
    assert!(told(&check).contains(warning), "{}", told(&check));
    let unopened = [&check[..], &["--set", "data.countdown.messages.prefill=null"]].concat();
    let said = told(&unopened);
    assert!(said.contains("completions for `countdown` have to open it themselves"), "{said}");
    let set = ["--set", "rewards.format.with={prefilled: false}"];
    check.extend(set);
    assert!(!told(&check).contains("prefilled"), "{}", told(&check));
    arguments.extend(set);
    let run: Value = serde_json::from_str(&bench.ok(&arguments)).unwrap();
    let query = "SELECT count(*) AS n, sum(completion GLOB '<think>*') AS begun FROM v_rollouts WHERE run = :run";
    let rows: Value = serde_json::from_str(&bench.ok(&["sql", query, "--format", "json"])).unwrap();
    assert_eq!(rows[0]["n"], rows[0]["begun"]);
    assert!(rows[0]["n"].as_u64().unwrap() >= 16, "{rows}");
    // The chat template goes with the model, wherever the spec had it from.
    let trained = bench.path(&format!("runs/{}/rl/final", run["run"].as_str().unwrap()));
    let again = bench.path("again");
    bench.ok(&["model", "export", &trained, &again]);
    let template = std::fs::read_to_string(Path::new(&again).join("chat_template.jinja"));
    assert_eq!(template.unwrap(), CHAT);
    let newest = bench.path("newest");
    bench.ok(&["model", "export", "latest", &newest]);
    let weights =
        |folder: &str| std::fs::read(Path::new(folder).join("model.safetensors")).unwrap();
    assert!(weights(&newest) == weights(&again), "the newest checkpoint of the run");
    let config = std::fs::read_to_string(Path::new(&again).join("config.json")).unwrap();
    let before = std::fs::read_to_string(Path::new(&folder).join("config.json")).unwrap();
    let context = |text: &str| {
        serde_json::from_str::<Value>(text).unwrap()["max_position_embeddings"].clone()
    };
    assert_eq!(context(&config), context(&before), "the context is that of the folder");
    // What people read of held-out problems begins so too.
    let told = bench.ok(&["generate", "-n", "1", "--max-tokens", "5"]);
    assert!(told.contains("  <think>"), "{told}");

    bench.write("rows.jsonl", "{\"q\": \"3 5\"}\n{\"q\": \"3 <eos> 5\"}\n");
    for prompt in ["messages: {user: \"{{ q }}\"}", "prompt: \"{{ q }}\""] {
        let rows = format!("\n  rows:\n    jsonl: {{path: rows.jsonl}}\n    {prompt}\n");
        let text = std::fs::read_to_string(&spec).unwrap() + &rows;
        let told = bench.fails(4, &["check", &bench.write("forged.yaml", &text)]);
        assert!(told.contains("rows.jsonl:2: the "), "{told}");
        assert!(told.contains("holds `<eos>`, which the tokenizer reads as a token"), "{told}");
    }
}

#[test]
fn adapters_are_trained_written_as_elsewhere_and_gone_on_from() {
    let bench = Bench::new();
    let mut arguments = vec!["run", "experiments/countdown.yaml", "--json"];
    SMALL.iter().for_each(|set| arguments.extend(["--set", set]));
    arguments.extend(["--set", "model.lora={rank: 4}", "--set", "model.precision=f32"]);
    let run: Value = serde_json::from_str(&bench.ok(&arguments)).unwrap();
    let name = run["run"].as_str().unwrap();
    let (whole, adapters) = (bench.path("whole"), bench.path("adapters"));
    bench.ok(&["model", "export", name, &whole]);
    let told = bench.ok(&["model", "export", name, &adapters, "--adapters"]);
    assert!(
        told.contains("adapter_config.json\n") || told.contains("adapter_config.json"),
        "{told}"
    );
    let config = std::fs::read_to_string(Path::new(&adapters).join("adapter_config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!((&config["peft_type"], &config["r"]), (&json!("LORA"), &json!(4)));
    let checkpoint = bench.path(&format!("runs/{name}/rl/final/model.safetensors"));
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    assert!(size(Path::new(&checkpoint)) < size(&Path::new(&whole).join("model.safetensors")));

    // The merged model answers as the run does.
    let ask = |model: &str| {
        let prompt = ["--prompt", "3 5 7 -> 22 <think>", "--precision", "f32", "--json"];
        let mut arguments = vec!["generate", model, "--temperature", "0", "--max-tokens", "9"];
        arguments.extend(["-n", "1"].iter().chain(&prompt));
        serde_json::from_str::<Value>(&bench.ok(&arguments)).unwrap()["tokens"].clone()
    };
    assert_eq!(ask(&whole), ask(name));

    // A stage goes on from the folder of adapters, and a model that they do not fit is told what is wrong.
    let from = format!("model.lora={{from: {adapters}}}");
    let mut again = arguments.clone();
    let place = again.iter().position(|word| word.starts_with("model.lora")).unwrap();
    again[place] = &from;
    bench.ok(&again);
    let plan = ["plan", "experiments/countdown.yaml", "--set", "model.lora={rank: 4}"];
    assert!(bench.ok(&plan).contains("rank 4, factor 2 (q_proj, kv_a_proj_with_mqa, o_proj"));
    let wrong = ["check", "experiments/countdown.yaml", "--set", &from];
    let told = bench.fails(4, &wrong);
    assert!(told.contains("its tensors are not those of the adapters of the model"), "{told}");
    let full = published_run(&bench).0;
    let told = bench.fails(4, &["model", "export", &full, &bench.path("none"), "--adapters"]);
    assert!(told.contains("the model of its run has no adapters"), "{told}");
}

#[test]
#[ignore = "needs models/smollm2"]
fn smollm2_answers_in_its_own_words_and_can_be_trained() {
    let bench = Bench::new();
    let folder = bench.path("smollm2-135m");
    bench.ok(&["model", "import", "models/smollm2", &folder]);
    let question = json!([{"role": "user", "content": "What is the capital of France?"}]);
    let question = bench.write("question.json", &question.to_string());
    let mut arguments = vec!["generate", &folder, "--messages", &question, "--json"];
    arguments.extend(["--temperature", "0", "--max-tokens", "20"]);
    let said: Value = serde_json::from_str(&bench.ok(&arguments)).unwrap();
    assert_eq!(said["completion"], "The capital of France is Paris.");
    assert_eq!(said["finish"], "stop");
    let from = format!("model.from={folder}");
    let told = bench.ok(&["check", "experiments/smollm2-sums.yaml", "--set", &from]);
    assert!(told.starts_with("ok "), "{told}");
    let told = bench.ok(&["check", "experiments/smollm2-sums-lora.yaml", "--set", &from]);
    assert!(told.starts_with("ok "), "{told}");
}
