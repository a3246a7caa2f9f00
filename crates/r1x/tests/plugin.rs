//! `r1x plugin` and `r1x rescore` as a user meets them, on the components that come with r1x.
//!
//! Must not test what a crate can test alone. What needs a WebAssembly compiler skips where there is none.

mod attack;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

struct Bench {
    folder: tempfile::TempDir,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_r1x"));
        command
            .args(arguments)
            .current_dir(root())
            .env("R1X_STORE", self.folder.path().join("runs/r1x.sqlite"))
            .env("XDG_CACHE_HOME", self.folder.path().join("cache"))
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG");
        command
    }

    fn r1x(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.r1x(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Both streams of a command that must fail with this code.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.r1x(arguments);
        let message = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(!message.contains("has a bug"), "{message}");
        message
    }

    fn write(&self, name: &str, contents: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

const COUNTDOWN: &str = "plugins/countdown.wasm";
const HOSTILE: &str = "crates/r1x-reward/tests/fixtures/hostile.wasm";

const CASES: &str = r#"{"completion":"</think> <answer> 1 + 2 </answer>","columns":{"nums":[1,2],"target":3},"reward":1}
{"completion":"nothing","columns":{"nums":[1,2],"target":3},"reward":0}
"#;

#[test]
fn a_plugin_that_keeps_its_promises_passes() {
    let bench = Bench::new();
    let cases = bench.write("cases.jsonl", CASES);
    let told = bench.ok(&["plugin", "test", COUNTDOWN, "--cases", &cases]);
    let told = told.rsplit_once("\nok  countdown").unwrap().0;
    insta::assert_snapshot!(told, @r"
    2 of 2 cases pass

    conformance, with 2 samples
      ok    info is the same before and after work
      ok    an empty batch has no scores
      ok    the same batch twice, the same scores
      ok    a fresh and a used instance agree
      ok    a score for each of several rollouts
      ok    one by one, as in a batch
      ok    shuffled, as in order
      ok    in two halves, as in one
      ok    rewards are finite and in range, parts declared
      ok    no completion breaks it
      ok    a missing column is told, not a crash
      ok    64 kB are judged in time
      ok    memory does not grow over 100 calls
    ");
}

#[test]
fn broken_promises_are_told_one_by_one() {
    let bench = Bench::new();
    let case = |completion: &str, expected: &str| {
        format!("{{\"completion\":\"{completion}\",\"columns\":{{\"wanted\":1}},{expected}}}\n")
    };
    let cases = [
        case("give 1", "\"reward\":0.5,\"info\":\"take\""),
        case("abstain", "\"abstain\":true"),
        case("refuse", "\"error\":\"asked to refuse\""),
        case("panic 3", "\"reward\":1"),
    ];
    let cases = bench.write("cases.jsonl", &cases.concat());
    let told = bench.fails(5, &["plugin", "test", HOSTILE, "--cases", &cases]);
    let told: Vec<&str> =
        told.lines().take_while(|line| !line.starts_with("conformance")).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    FAIL  line 1: `give 1`
          expected 0.5, got 1 (give)
          info: expected `take`, got `give`
    FAIL  line 4: `panic 3`
          expected 1, got: trapped: it gave up (unreachable); its last message: panicked at hostile/src/lib.rs:57:24:
          | asked to panic with 3
    2 of 4 cases pass
    ");
}

/// A spec whose reward gives a single score, always or once something is written.
fn single_score(bench: &Bench, when: &str) -> String {
    let plugin = root().join(HOSTILE).canonicalize().unwrap();
    attack::spec(bench, plugin.to_str().unwrap(), &format!(", with: {{one: {when}}}"))
}

#[test]
fn a_run_stops_at_a_wrong_number_of_scores() {
    let bench = Bench::new();
    let told = bench.fails(6, &["run", &single_score(&bench, "always")]);
    assert!(told.contains("before stage `rl`: ") && told.contains("reward `toy`"), "{told}");
    assert!(told.contains("returned 1 score for 2 rollouts"), "{told}");
    let told = bench.fails(6, &["plugin", "check", &single_score(&bench, "always")]);
    assert!(told.contains("returned 1 score for 2 rollouts"), "{told}");
    let told = bench.fails(6, &["run", &single_score(&bench, "later")]);
    assert!(told.contains("16 of 16 rollouts failed"), "{told}");
    assert!(told.contains("returned 1 score for 16 rollouts"), "{told}");
    let replay = told.split("--replay ").nth(1).unwrap().split('`').next().unwrap();
    let again = bench.fails(6, &["plugin", "test", "--replay", replay]);
    assert!(again.contains("returned 1 score for 16 rollouts"), "{again}");
}

#[test]
fn a_wrong_number_of_scores_fails_a_plugin_with_one_case() {
    let bench = Bench::new();
    let one = "{\"completion\":\"x\",\"columns\":{\"wanted\":1},\"reward\":1}\n";
    let cases = bench.write("one.jsonl", one);
    let told = bench
        .fails(5, &["plugin", "test", HOSTILE, "--with", "{\"one\":\"later\"}", "--cases", &cases]);
    assert!(told.contains("expected 1, got: returned 1 score for 2 rollouts"), "{told}");
    assert!(told.contains("FAIL  a score for each of several rollouts"), "{told}");
}

#[test]
fn a_component_can_be_looked_into() {
    let bench = Bench::new();
    let told = bench.ok(&["plugin", "inspect", HOSTILE]);
    let told: Vec<&str> = told
        .lines()
        .filter(|line| !line.starts_with("sha256") && !line.starts_with("size"))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    hostile 0.1.0
      Misbehaves on request

    component  crates/r1x-reward/tests/fixtures/hostile.wasm
    imports    r1x:reward/log@0.1.0, r1x:reward/types@0.1.0
    exports    info, configure, score-batch
    asks for   -
    columns    wanted
    optional   maybe
    needs      prompt, metadata
    range      -1 to 1
    parts      declared
    config     {"type":"object"}
    "#);
    let object: Value =
        serde_json::from_str(&bench.ok(&["plugin", "inspect", HOSTILE, "--json"])).unwrap();
    assert_eq!(object["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(object["columns"], json!(["wanted"]));
}

#[test]
fn mistakes_say_how_to_mend_them() {
    let bench = Bench::new();
    let told = bench.fails(4, &["plugin", "test", "nowhere"]);
    assert!(told.contains("nowhere: No such file"), "{told}");
    let told = bench.fails(4, &["plugin", "inspect", "docs"]);
    insta::assert_snapshot!(told, @r"
    error: docs: has no plugin.toml
      help: give a folder with a plugin.toml, a reward.py, .js or .c, or a .wasm component; `r1x plugin new NAME` makes a folder
    ");
    let manifest = "[plugin]\nname = \"a\"\nversion = \"1\"\n[build]\nlangauge = \"rust\"\n";
    bench.write("mine/plugin.toml", manifest);
    let told =
        bench.fails(4, &["plugin", "build", bench.folder.path().join("mine").to_str().unwrap()]);
    assert!(told.contains("plugin.toml:5:1: unknown key `langauge`"), "{told}");
    assert!(told.contains("did you mean `language`?"), "{told}");
    let told = bench.fails(4, &["plugin", "build", COUNTDOWN]);
    assert!(told.contains("is a component already"), "{told}");
    let told = bench.fails(4, &["plugin", "new", "My Reward"]);
    assert!(told.contains("lower-case letters"), "{told}");
    let told = bench.fails(4, &["plugin", "new", "mine", "--lang", "cobol"]);
    assert!(told.contains("--lang takes: python, rust, c, js"), "{told}");
    let told = bench.fails(4, &["plugin", "test", COUNTDOWN, "--with", "[1]"]);
    assert!(told.contains("is not a JSON object"), "{told}");
    let told = bench.fails(4, &["plugin", "bench", COUNTDOWN]);
    assert!(told.contains("needs the columns nums, target"), "{told}");
    let told = bench.fails(4, &["plugin", "test", "--replay", "Cargo.toml"]);
    assert!(told.contains("is not a replay file"), "{told}");
}

#[test]
fn a_failed_call_can_be_made_again() {
    let bench = Bench::new();
    let replay = |completion: &str| {
        let sample = json!({
            "id": 7, "group": 0, "prompt": null, "completion": completion, "prompt_tokens": 1,
            "completion_tokens": 1, "truncated": false, "columns": "{\"wanted\":1}", "metadata": null,
        });
        let limits = json!({"time_ms": 1000, "time_per_rollout_ms": 0, "memory_bytes": 16 << 20});
        let file = json!({
            "r1x_replay": 1, "reward": "mine", "plugin": HOSTILE, "sha256": "0", "config": "{}",
            "limits": limits, "status": "trap", "sentence": "trapped", "rollouts": [sample],
        });
        bench.write("failure.json", &file.to_string())
    };
    let told = bench.fails(6, &["plugin", "test", "--replay", &replay("panic 2")]);
    assert!(told.contains("recorded  trap: trapped"), "{told}");
    assert!(told.contains("asked to panic with 2"), "{told}");
    assert!(told.contains("error: it fails again\n  help: mend the plugin"), "{told}");
    let told = bench.ok(&["plugin", "test", "--replay", &replay("give 0.5")]);
    assert!(told.contains("0.5  ok      give"), "{told}");
    bench.fails(6, &["plugin", "test", "--replay", &replay("nan")]);
}

#[test]
fn what_a_plugin_costs_is_measured() {
    let bench = Bench::new();
    let manifest =
        "[plugin]\nname = \"countdown\"\nversion = \"1\"\n[build]\nprebuilt = \"c.wasm\"\n";
    let folder = bench.folder.path().join("mine");
    bench.write("mine/plugin.toml", manifest);
    bench.write("mine/cases.jsonl", CASES);
    std::fs::copy(root().join(COUNTDOWN), folder.join("c.wasm")).unwrap();
    let folder = folder.to_str().unwrap();
    let arguments = ["plugin", "bench", folder, "-n", "64", "--rounds", "3", "--step-ms", "100"];
    let told = bench.ok(&arguments);
    for piece in ["64 completions of 2000 bytes", "units of work", "memory", "% of 100 ms"] {
        assert!(told.contains(piece), "{told}");
    }
    let units =
        |text: &str| text.split("µs, ").nth(1).unwrap().split(" units").next().unwrap().to_owned();
    assert_eq!(units(&told), units(&bench.ok(&arguments)), "fuel is the same every time");
    for (beyond, expected) in [
        (["--bytes", "99999999999999"], "more than a batch has room for (1.0 GiB)"),
        (["-n", "18446744073709551615"], "more than a batch has room for (1.0 GiB)"),
        (["--step-ms", "nan"], "--step-ms is a length above 0"),
        (["--step-ms", "0"], "--step-ms is a length above 0"),
    ] {
        let told = bench.fails(4, &[&arguments[..3], &beyond].concat());
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn a_spec_and_its_plugins_are_compared() {
    let bench = Bench::new();
    let told = bench.ok(&["plugin", "check", "experiments/countdown.yaml"]);
    assert!(told.contains("equation") && told.contains("nums, target"), "{told}");
    assert!(told.contains("10.0 s + 20 ms a rollout, 256.0 MiB"), "{told}");
    let manifest = "[plugin]\nname = \"countdown\"\nversion = \"1\"\n[build]\nprebuilt = \"c.wasm\"\n\
                    [limits]\ntime_ms = 500\n";
    let path = bench.write("mine/plugin.toml", manifest);
    std::fs::copy(root().join(COUNTDOWN), bench.folder.path().join("mine/c.wasm")).unwrap();
    let set = format!("rewards.equation.plugin={}", path.trim_end_matches("/plugin.toml"));
    let told = bench.fails(3, &["plugin", "check", "experiments/countdown.yaml", "--set", &set]);
    assert!(told.contains("reward `equation`: limits.time_ms is 10000"), "{told}");
    assert!(told.contains("allows 500"), "{told}");
}

#[test]
fn a_recorded_run_can_be_judged_again() {
    let bench = Bench::new();
    let small = [
        "model.hidden_size=32",
        "model.layers=1",
        "data.countdown.countdown.train=300",
        "data.countdown.countdown.heldout=20",
        "stages.cold-start.sft.limit=100",
        "stages.cold-start.sft.steps=10",
        "stages.cold-start.sft.schedule.warmup_steps=2",
        "stages.rl.grpo.skip=100",
        "stages.rl.grpo.steps=3",
        "stages.rl.grpo.schedule.warmup_steps=1",
        "stages.rl.grpo.prompts_per_step=6",
        "stages.rl.grpo.group_size=4",
        "evals.heldout.limit=20",
    ];
    let mut arguments = vec!["run", "experiments/countdown.yaml", "--json"];
    small.iter().for_each(|set| arguments.extend(["--set", set]));
    let run: Value = serde_json::from_str(&bench.ok(&arguments)).unwrap();

    let same = bench.ok(&["plugin", "run", COUNTDOWN, "--replay", "latest"]);
    assert!(same.contains("reward `equation`\n0 of 72 rollouts change"), "{same}");

    let told = bench.fails(4, &["plugin", "run", HOSTILE]);
    assert!(told.contains("--reward format or --reward equation"), "{told}");

    let name = run["run"].as_str().unwrap();
    let other =
        ["rescore", name, "--plugin", "plugins/format.wasm", "--reward", "equation", "--json"];
    let changes: Value = serde_json::from_str(&bench.ok(&other)).unwrap();
    assert_eq!(changes["rollouts"], 72);
    let query = "SELECT count(*) AS n, sum(original IS NULL) AS lost,
                        sum(value IS NOT original) AS changed FROM v_rescores WHERE plugin = 'format'";
    let rows: Value = serde_json::from_str(&bench.ok(&["sql", query, "--format", "json"])).unwrap();
    assert_eq!(rows[0]["n"], 72);
    assert_eq!(rows[0]["lost"], 0);
    assert_eq!(rows[0]["changed"], changes["changed"]);
    let card: Value = serde_json::from_str(&bench.ok(&["show", name, "--json"])).unwrap();
    assert_eq!(card["digest"], run["digest"], "the run itself is as it was");
}

#[test]
fn a_new_plugin_has_a_folder_that_was_not_there() {
    let bench = Bench::new();
    let folder = bench.folder.path().to_str().unwrap().to_owned();
    let told = bench.ok(&["plugin", "new", "my-reward", "--lang", "rust", "--in", &folder]);
    assert!(told.contains("src/lib.rs") && told.contains("r1x plugin test"), "{told}");
    let told = bench.fails(4, &["plugin", "new", "my-reward", "--in", &folder]);
    assert!(told.contains("is there already"), "{told}");
}

#[test]
#[ignore = "needs a Rust compiler for WebAssembly"]
fn a_new_plugin_passes_its_tests_as_it_is() {
    let bench = Bench::new();
    let folder = bench.folder.path().to_str().unwrap().to_owned();
    bench.ok(&["plugin", "new", "my-reward", "--lang", "rust", "--in", &folder]);
    let plugin = format!("{folder}/my-reward");
    let told = bench.ok(&["plugin", "test", &plugin]);
    assert!(told.contains("3 of 3 cases pass") && told.contains("ok  my-reward 0.1.0"), "{told}");
    let told = bench.ok(&["plugin", "build", &plugin]);
    assert!(told.contains("my-reward.wasm"), "{told}");
    assert!(Path::new(&plugin).join("my-reward.wasm").is_file());
}

/// A packager that answers like the one r1x asks for, and then does what it is told here.
#[cfg(unix)]
fn packager(bench: &Bench, script: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let version = r1x_build::language::python::VERSION;
    let text = format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo componentize-py {version}; exit; fi\n{script}\n"
    );
    let path = bench.write("packager", &text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[cfg(unix)]
#[test]
fn what_a_builder_says_keeps_its_lines_in_check_and_in_the_verbs() {
    let bench = Bench::new();
    let said = r#"printf 'KeyError: 7\n  base.py, line 2\n' >&2"#;
    let packager = packager(&bench, &format!("{said}; exit 1"));
    let reward = bench.write("reward.py", "def reward(completions):\n    return []\n");
    let set = format!("rewards.equation.plugin={reward}");
    for arguments in [
        vec!["check", "experiments/countdown.yaml", "--set", &set],
        vec!["plugin", "test", &reward],
    ] {
        let output = bench.command(&arguments).env("R1X_COMPONENTIZE_PY", &packager).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(4));
        let told = text(&output.stderr);
        assert!(!told.contains('\u{fffd}'), "{told}");
        let lines = " cannot be built\n  | KeyError: 7\n  |   base.py, line 2\n";
        assert!(told.contains(lines), "{told}");
        assert!(told.contains("help: this is what componentize-py"), "{told}");
    }
}

#[cfg(unix)]
#[test]
fn a_build_that_does_not_end_is_stopped() {
    let bench = Bench::new();
    let packager = packager(&bench, "sleep 600 & wait");
    let reward = bench.write("reward.py", "while True:\n    pass\n");
    let mut command = bench.command(&["plugin", "inspect", &reward]);
    command.env("R1X_COMPONENTIZE_PY", &packager).env("R1X_BUILD_TIMEOUT_MS", "400");
    let output = command.output().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(told.contains("  | it did not end in 0.4 s, and was stopped\n"), "{told}");
    assert!(told.contains("help: `R1X_BUILD_TIMEOUT_MS`"), "{told}");
}
