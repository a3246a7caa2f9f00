//! Capabilities as a user meets them: what a spec and a manifest must say, and programs in Python.
//!
//! Programs need componentize-py to build the interpreter. What is built stays below `target/`, so only the first run
//! takes the minute. Must not test what a crate can test alone.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use r1x_build::{Environment, Source, interpreter};
use r1x_core::plan::LimitsPlan;
use r1x_core::{Capability, RewardOutcome, RewardStatus, testing};
use r1x_reward::{Grants, Host, HostOptions, Plugin, Sample};
use serde_json::Value;

const LIMITS: LimitsPlan = testing::limits();

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn environment() -> Environment {
    let named = |(name, value): (std::ffi::OsString, _)| Some((name.into_string().ok()?, value));
    let cache_folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    Environment::new(std::env::vars_os().filter_map(named).collect(), cache_folder)
}

fn host(workers: usize) -> Host {
    let cache_dir = Some(environment().cache_folder.join("compiled"));
    Host::new(HostOptions { cache_dir, workers }).unwrap()
}

/// The reward `code` with an interpreter.
fn code() -> Plugin {
    let component = interpreter::component("python", &environment()).unwrap().unwrap();
    let host = host(2);
    let exec = host.load_interpreters(&[("python", &component)]).unwrap();
    let plugin = host.load(root().join("plugins/code.wasm")).unwrap();
    plugin.with(Grants { exec: Some(exec), ..Grants::default() })
}

/// Each case by itself, as `r1x plugin test` judges it.
fn score(plugin: &Plugin, case: &Value) -> Result<RewardOutcome, String> {
    let config = case.get("config").map_or("{}".to_owned(), Value::to_string);
    let sample = Sample::new(case["completion"].as_str().unwrap(), case["columns"].to_string());
    let scored = plugin.probe(&config, &LIMITS).and_then(|mut probe| probe.score(&[sample]));
    scored.map(|mut outcomes| outcomes.remove(0)).map_err(|error| error.sentence)
}

#[test]
#[ignore = "needs componentize-py"]
fn programs_in_python_end_as_the_table_says() {
    let plugin = code();
    let table = std::fs::read_to_string(root().join("plugins/code/cases.jsonl")).unwrap();
    let cases: Vec<Value> = table.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(cases.len() > 25);
    for case in &cases {
        let name = &case["name"];
        let outcome = match (score(&plugin, case), case["error"].as_str()) {
            (Err(sentence), Some(words)) => {
                assert!(sentence.contains(words), "{name}: {sentence}");
                continue;
            }
            (scored, _) => scored.unwrap(),
        };
        assert_eq!(outcome.value, case["reward"].as_f64(), "{name}: {outcome:?}");
        for (part, value) in case["parts"].as_object().into_iter().flatten() {
            let found = outcome.parts.iter().find(|(known, _)| known == part).unwrap();
            assert_eq!(Some(found.1), value.as_f64(), "{name}, {part}: {outcome:?}");
        }
        if let Some(info) = case["info"].as_str() {
            assert_eq!(outcome.info.as_deref(), Some(info), "{name}");
        }
    }
}

#[test]
#[ignore = "needs componentize-py"]
fn a_batch_of_programs_gives_what_each_gives_alone() {
    let plugin = code();
    let samples: Vec<Sample> = (0..24)
        .map(|index| {
            let program = match index % 3 {
                0 => format!("print({index})"),
                1 => "print(int(input()) / 0)".to_owned(),
                _ => "import sys\nprint(sys.stdin.read(), end='')".to_owned(),
            };
            let columns = format!(r#"{{"tests":[{{"input":"{index}","output":"{index}"}}]}}"#);
            Sample::new(format!("```python\n{program}\n```"), columns)
        })
        .collect();
    let together = plugin.probe("{}", &LIMITS).unwrap().score(&samples).unwrap();
    for (index, (sample, outcome)) in samples.iter().zip(&together).enumerate() {
        let right = if index % 3 == 1 { 0.0 } else { 1.0 };
        assert_eq!((outcome.value, outcome.status), (Some(right), RewardStatus::Ok), "{outcome:?}");
        let alone = plugin.probe("{}", &LIMITS).unwrap().score(std::slice::from_ref(sample));
        assert_eq!(alone.unwrap()[0], *outcome);
    }
    let score = |samples: &[Sample]| plugin.probe("{}", &LIMITS).unwrap().score(samples).unwrap();
    let (left, right) = samples.split_at(7);
    assert_eq!([score(left), score(right)].concat(), together, "two calls");
    let mut backwards = score(&samples.iter().rev().cloned().collect::<Vec<_>>());
    backwards.reverse();
    assert_eq!(backwards, together, "backwards");
}

/// A plugin's folder around a component that exists.
fn folder(component: &str, capabilities: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(root().join(component), folder.path().join("x.wasm")).unwrap();
    let manifest = format!(
        "[plugin]\nname = \"x\"\nversion = \"1\"\n[build]\nprebuilt = \"x.wasm\"\n{capabilities}"
    );
    std::fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
    folder
}

#[test]
fn the_files_of_a_manifest_reach_the_plugin_and_its_hash() {
    let words = b"one two";
    let pinned = r1x_build::files::sha256(words);
    let folder = folder(
        "crates/r1x-reward/tests/fixtures/capable.wasm",
        &format!(
            "[capabilities]\nexec = true\njudge = [\"critic\"]\nassets = {{ \"words.txt\" = \"{pinned}\" }}\n"
        ),
    );
    std::fs::write(folder.path().join("words.txt"), words).unwrap();
    let source = Source::open(folder.path()).unwrap();
    let environment = Environment::new(Default::default(), folder.path().join("cache"));
    let built = r1x_build::build(&source, &environment).unwrap();
    assert_ne!(built.wasm, folder.path().join("x.wasm"));
    let plugin = host(1).load(&built.wasm).unwrap();
    assert_eq!(plugin.sha256(), built.sha256);
    assert_eq!(plugin.asks(), Capability::ALL);
    let plugin = plugin.with(Grants { assets: true, ..Grants::default() });
    let sample = Sample::new("asset words.txt", "{}");
    let outcomes = plugin.probe("{}", &LIMITS).unwrap().score(&[sample]).unwrap();
    assert_eq!(outcomes[0].info.as_deref(), Some("Ok(\"one two\")"));

    std::fs::write(folder.path().join("words.txt"), b"one three").unwrap();
    let error = r1x_build::build(&source, &environment).unwrap_err();
    assert!(error.to_string().contains("but the manifest pins"), "{error}");
}

fn r1x(store: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_r1x"))
        .args(arguments)
        .current_dir(root())
        .env("R1X_STORE", store.join("r1x.sqlite"))
        .env("XDG_CACHE_HOME", store.join("cache"))
        .env("R1X_COMPONENTIZE_PY", "/nowhere/componentize-py")
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let streams = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&streams).into_owned())
}

#[test]
fn a_manifest_and_its_component_must_ask_for_the_same() {
    let store = tempfile::tempdir().unwrap();
    let silent = folder("plugins/code.wasm", "");
    let path = silent.path().to_str().unwrap();
    let (code, told) = r1x(store.path(), &["plugin", "test", path, "--grant", "exec"]);
    assert_eq!(code, Some(4), "{told}");
    assert!(
        told.contains("asks for nothing under [capabilities], and the component for exec"),
        "{told}"
    );
    let boastful = folder("plugins/length.wasm", "[capabilities]\nexec = true\n");
    let path = boastful.path().to_str().unwrap();
    let (code, told) = r1x(store.path(), &["plugin", "test", path]);
    assert_eq!(code, Some(4), "{told}");
    assert!(
        told.contains("asks for exec under [capabilities], and the component for nothing"),
        "{told}"
    );
}

#[test]
fn what_is_not_granted_or_not_here_is_told_before_anything_runs() {
    let store = tempfile::tempdir().unwrap();
    let (code, told) = r1x(store.path(), &["plugin", "test", "plugins/code.wasm"]);
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("asks for `exec`") && told.contains("--grant exec"), "{told}");

    let (code, told) =
        r1x(store.path(), &["plugin", "bench", "plugins/code.wasm", "--grant", "magic"]);
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("`magic` is no capability"), "{told}");

    let spec = std::fs::read_to_string(root().join("experiments/countdown.yaml")).unwrap();
    let wasm = root().join("plugins/countdown.wasm");
    let coded = root().join("plugins/code.wasm");
    let spec = spec
        .replace("../plugins/format.wasm", root().join("plugins/format.wasm").to_str().unwrap())
        .replace("../plugins/countdown.wasm", wasm.to_str().unwrap())
        .replace("rewards:\n", &format!("rewards:\n  program: {{plugin: {}}}\n", coded.display()));
    let path = store.path().join("spec.yaml");
    std::fs::write(&path, &spec).unwrap();
    let (code, told) = r1x(store.path(), &["check", path.to_str().unwrap()]);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("R1X0206") && told.contains("grant: [exec]"), "{told}");

    std::fs::write(&path, spec.replace("code.wasm}", "code.wasm, grant: [exec]}")).unwrap();
    let (code, told) = r1x(store.path(), &["check", path.to_str().unwrap()]);
    assert_eq!(code, Some(4), "{told}");
    assert!(
        told.contains("`exec` cannot be had here") && told.contains("componentize-py"),
        "{told}"
    );
    assert!(told.contains("pip install"), "{told}");
}

/// Settings that make the shipped experiment a matter of seconds.
const SMALL: [&str; 12] = [
    "model.hidden_size=32",
    "model.layers=1",
    "data.countdown.countdown.train=300",
    "data.countdown.countdown.heldout=20",
    "stages.cold-start.sft.limit=100",
    "stages.cold-start.sft.steps=25",
    "stages.rl.grpo.skip=100",
    "stages.rl.grpo.steps=12",
    "stages.rl.grpo.prompts_per_step=4",
    "stages.rl.grpo.group_size=4",
    "evals.heldout.limit=4",
    "checkpoints.every=5",
];

/// A folder below this one that holds a checkpoint.
fn checkpoint(folder: &Path) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    if entries.iter().any(|path| path.ends_with("model.safetensors")) {
        return Some(folder.to_owned());
    }
    entries.into_iter().filter(|path| path.is_dir()).find_map(|path| checkpoint(&path))
}

fn small_run(store: &Path, spec: &Path, extra: &[&str]) -> (Option<i32>, String) {
    let mut arguments = vec!["run", spec.to_str().unwrap(), "--json"];
    SMALL.iter().for_each(|set| arguments.extend(["--set", set]));
    arguments.extend(extra);
    r1x(store, &arguments)
}

fn digest(told: &str) -> String {
    let json = told.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{told}"));
    let report: Value = serde_json::from_str(json).unwrap();
    report["digest"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned()
}

#[test]
fn a_run_is_judged_by_the_checkpoint_of_another() {
    let store = tempfile::tempdir().unwrap();
    let shipped = root().join("experiments/countdown.yaml");
    let (code, told) = small_run(store.path(), &shipped, &[]);
    assert_eq!(code, Some(0), "{told}");
    let critic = checkpoint(store.path()).expect("a checkpoint");
    let spec = store.path().join("judged.yaml");
    let text = format!(
        "r1x: 1\nextends: {}\nname: judged\njudges:\n  critic: {{checkpoint: {}}}\nrewards:\n  taste:\n    \
         plugin: {}\n    weight: 0.5\n    grant: [judge]\n    with: {{model: critic, mode: likelihood, \
         part: whole, template: \"{{prompt}} {{completion}}\", verdicts: \"1=1, 2=0\"}}\n",
        shipped.display(),
        critic.display(),
        root().join("plugins/judge.wasm").display(),
    );
    std::fs::write(&spec, &text).unwrap();
    let judged = ["--set", "stages.rl.grpo.rewards=[format, equation, taste]"];
    let one = small_run(store.path(), &spec, &[&judged[..], &["--threads", "1"]].concat());
    assert_eq!(one.0, Some(0), "{}", one.1);
    let two = small_run(store.path(), &spec, &[&judged[..], &["--threads", "2"]].concat());
    assert_eq!(digest(&one.1), digest(&two.1));
    let query = "SELECT count(*) AS n, count(DISTINCT value) AS different, min(value) AS least, \
                 max(value) AS most FROM v_rewards WHERE reward = 'taste' AND status = 'ok'";
    let (code, told) = r1x(store.path(), &["sql", query, "--format", "json"]);
    assert_eq!(code, Some(0), "{told}");
    let rows: Value = serde_json::from_str(told.trim()).unwrap_or_else(|e| panic!("{e}: {told}"));
    let row = rows.get(0).unwrap_or(&rows);
    assert!(row["n"].as_u64() >= Some(32) && row["different"].as_u64() > Some(4), "{told}");
    assert!(row["least"].as_f64() >= Some(0.0) && row["most"].as_f64() <= Some(1.0), "{told}");

    // A judge nobody named is told before the first step.
    std::fs::write(&spec, text.replace("model: critic", "model: nobody")).unwrap();
    let (code, told) = small_run(store.path(), &spec, &judged);
    assert_eq!(code, Some(6), "{told}");
    assert!(told.contains("there is no judge `nobody`") && told.contains("critic"), "{told}");
    // So are a grant without anybody to ask, and weights that changed after the plan was made.
    std::fs::write(&spec, text.replace("judges:\n  critic: ", "# ")).unwrap();
    let (code, told) = small_run(store.path(), &spec, &judged);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("there are no `judges` to ask"), "{told}");
}
