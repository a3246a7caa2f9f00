//! Locks: what a spec reads is written down by hash, and whoever asks for the locked inputs gets them or an error that
//! names each other one.
//!
//! Must not test the format of the file.

use std::path::Path;

use super::bench::{BEGUN, Bench, text};

/// A spec with every kind of input. Its folder is not the one that commands run in, and its parent lies beside it.
const EVERYTHING: &str = r#"
r1x: 1
extends: parent.yaml
name: everything
model:
  from: ../models/tiny
  tokenizer: {file: ../models/tiny/tokenizer.json, eos: <eos>, chat_template: talk.jinja}
  lora: {from: ../models/adapters}
judges:
  critic: {checkpoint: ../models/critic, model: {from: ../models/tiny, lora: null}}
data:
  rows:
    jsonl: {path: ../rows, solution: solution}
    prompt: "{{ question }}"
stages:
  - id: cold-start
    sft: {data: rows.train, limit: null, steps: 2, batch_size: 4, micro_batch_size: 4}
"#;

/// A project with [`EVERYTHING`] in `specs/all.yaml`.
fn everything() -> Bench {
    let bench = Bench::new();
    for folder in ["specs", "rows", "models", "models/critic"] {
        std::fs::create_dir(bench.path(folder)).unwrap();
    }
    let parent = std::fs::read_to_string(bench.path("small.yaml")).unwrap();
    let parent = parent.replace("plugins/", "../plugins/");
    std::fs::write(bench.path("specs/parent.yaml"), &parent).unwrap();
    let rows = |from: u32, to: u32| -> String {
        let row = |n: u32| {
            format!(
                "{{\"question\": \"{} {} 3 -> 7 <think>\", \"solution\": \"7\"}}\n",
                n % 9 + 1,
                n / 9 + 1
            )
        };
        (from..to).map(row).collect()
    };
    std::fs::write(bench.path("rows/train.jsonl"), rows(0, 30)).unwrap();
    std::fs::write(bench.path("rows/test.jsonl"), rows(30, 40)).unwrap();
    let evaluate =
        ["--set", "stages.rl.grpo=null", "--set", "stages.rl.evaluate={evals: [heldout]}"];
    let run = |more: &[&str]| {
        let run = bench.json(&[&["run", "small.yaml", "--json"], &evaluate[..], more].concat());
        format!("runs/{}/cold-start/final", run["run"].as_str().unwrap())
    };
    let trained = run(&[]);
    bench.ok(&["model", "export", &trained, "models/tiny"]);
    let (from, lora) = ("model={from: models/tiny}", "model.lora={rank: 2}");
    let adapted = run(&["--set", from, "--set", lora]);
    bench.ok(&["model", "export", &adapted, "models/adapters", "--adapters"]);
    let weights = "model.safetensors";
    std::fs::copy(bench.path(&trained).join(weights), bench.path("models/critic").join(weights))
        .unwrap();
    std::fs::write(
        bench.path("specs/talk.jinja"),
        "{% for m in messages %}{{ m.content }} {% endfor %}",
    )
    .unwrap();
    std::fs::write(bench.path("specs/all.yaml"), EVERYTHING).unwrap();
    bench
}

/// One more byte that changes nothing of what JSON, YAML and templates mean.
fn touch(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes.push(b'\n');
    std::fs::write(path, bytes).unwrap();
}

/// Other numbers in a file of weights: the last byte belongs to one.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// A component with one more section, which means nothing: it has the number 0, a size of 2 and a name of one letter.
fn append(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes.extend([0, 2, 1, b'x']);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn every_kind_of_input_is_refused_when_a_byte_of_it_is_another_one() {
    let bench = everything();
    let spec = "specs/all.yaml";
    let told = bench.fails(4, &["run", spec, "--locked"]);
    assert!(
        told.contains("specs/all.yaml has no lock") && told.contains("`r1x lock specs/all.yaml`")
    );
    let told = bench.ok(&["lock", spec]);
    assert!(told.contains("locked  specs/all.yaml.lock: 11 inputs"), "{told}");
    let said = bench.ok(&["check", spec, "--locked"]);
    assert!(said.contains("specs/all.yaml.lock  11 inputs as locked\n"), "{said}");
    let changes: [(&str, &str, &str, fn(&Path)); 13] = [
        ("extends", "parent.yaml", "specs/parent.yaml", touch),
        ("model.from", "../models/tiny/config.json", "models/tiny/config.json", touch),
        ("model.from", "../models/tiny/model.safetensors", "models/tiny/model.safetensors", flip),
        ("model.tokenizer", "../models/tiny/tokenizer.json", "models/tiny/tokenizer.json", touch),
        (
            "model.tokenizer",
            "../models/tiny/tokenizer_config.json",
            "models/tiny/tokenizer_config.json",
            touch,
        ),
        ("model.tokenizer.chat_template", "talk.jinja", "specs/talk.jinja", touch),
        (
            "model.lora.from",
            "../models/adapters/adapter_config.json",
            "models/adapters/adapter_config.json",
            touch,
        ),
        (
            "model.lora.from",
            "../models/adapters/adapter_model.safetensors",
            "models/adapters/adapter_model.safetensors",
            flip,
        ),
        ("judges.critic", "../models/critic", "models/critic/model.safetensors", flip),
        ("data.rows", "../rows/train.jsonl", "rows/train.jsonl", touch),
        ("data.rows", "../rows/test.jsonl", "rows/test.jsonl", touch),
        ("rewards.format", "../plugins/format.wasm", "plugins/format.wasm", append),
        ("rewards.equation", "../plugins/countdown.wasm", "plugins/countdown.wasm", append),
    ];
    for (key, shown, file, change) in changes {
        let path = bench.path(file);
        let kept = std::fs::read(&path).unwrap();
        change(&path);
        let told = bench.fails(4, &["check", spec, "--locked"]);
        let expected =
            format!("error: specs/all.yaml.lock: `{key}`: {shown} is another one: locked ");
        assert!(told.contains(&expected), "{expected}: {told}");
        // The judge has the shape and the tokenizer of the model that the policy begins with, and other weights.
        let shared = file.starts_with("models/tiny/") && !file.ends_with(".safetensors");
        assert_eq!(told.matches("is another one").count(), 1 + usize::from(shared), "{told}");
        assert_eq!(told.matches("  help: `r1x lock specs/all.yaml` records").count(), 1, "{told}");
        std::fs::write(&path, kept).unwrap();
    }
    bench.ok(&["check", spec, "--locked"]);
    // Files of a folder that come and go.
    std::fs::copy(bench.path("rows/train.jsonl"), bench.path("rows/train-2.jsonl")).unwrap();
    let told = bench.fails(4, &["check", spec, "--locked"]);
    assert!(
        told.contains("`data.rows`: ../rows/train-2.jsonl is not in the lock: found "),
        "{told}"
    );
    std::fs::remove_file(bench.path("rows/train-2.jsonl")).unwrap();
    std::fs::remove_file(bench.path("rows/test.jsonl")).unwrap();
    let told = bench.fails(4, &["check", spec, "--locked"]);
    assert!(told.contains("`data.rows`: ../rows/test.jsonl is locked ("), "{told}");
    assert!(told.contains(", and nothing reads it now"), "{told}");
}

#[test]
fn a_lock_is_the_same_from_every_folder_and_is_written_once() {
    let bench = Bench::new();
    bench.ok(&["lock", "small.yaml"]);
    let path = bench.path("small.yaml.lock");
    let lock = std::fs::read_to_string(&path).unwrap();
    assert!(lock.contains("\npath = \"plugins/format.wasm\"\n"), "{lock}");
    let written = std::fs::metadata(&path).unwrap().modified().unwrap();
    let elsewhere = |inside: &str, spec: &str| {
        let output = bench.command(inside, &["lock", spec, "--json"]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&said["written"], &said["inputs"]), (&false.into(), &2.into()), "{said}");
    };
    elsewhere("", "./small.yaml");
    elsewhere("plugins", "../small.yaml");
    elsewhere("plugins", bench.path("small.yaml").to_str().unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), written);
    let output =
        bench.command("plugins", &["check", "../small.yaml", "--locked"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("../small.yaml.lock  2 inputs as locked\n"), "{said}");
}

/// A lock is about inputs: another value of the spec is none, and another file is one wherever it is written.
#[test]
fn what_is_set_is_no_difference_unless_it_names_another_input() {
    let bench = Bench::new();
    bench.ok(&["lock", "small.yaml"]);
    let said = bench.ok(&[
        "check",
        "small.yaml",
        "--locked",
        "--set",
        "stages.rl.grpo.lr=1e-4",
        "--seed",
        "3",
    ]);
    assert!(said.contains("2 inputs as locked, under another plan"), "{said}");
    std::fs::copy(bench.path("plugins/format.wasm"), bench.path("same.wasm")).unwrap();
    std::fs::copy(bench.path("plugins/format.wasm"), bench.path("other.wasm")).unwrap();
    append(&bench.path("other.wasm"));
    bench.ok(&["check", "small.yaml", "--locked", "--set", "rewards.format.plugin=same.wasm"]);
    let other = ["--set", "rewards.format.plugin=other.wasm"];
    let told = bench.fails(4, &[&["run", "small.yaml", "--locked"], &other[..]].concat());
    assert!(told.contains("`rewards.format`: other.wasm is another one: locked "), "{told}");
    assert!(told.contains("with the same `--set`"), "{told}");
    assert!(!bench.path("runs").exists(), "nothing has begun");
    let more = "rewards.more={plugin: other.wasm, weight: 0}";
    let told = bench.fails(4, &["check", "small.yaml", "--locked", "--set", more]);
    assert!(told.contains("`rewards.more`: other.wasm is not in the lock: found "), "{told}");
    let fewer = "stages.rl.grpo.rewards=[equation]";
    let fewer = ["--set", "rewards.format=null", "--set", fewer];
    let told = bench.fails(4, &[&["check", "small.yaml", "--locked"], &fewer[..]].concat());
    assert!(told.contains("`rewards.format`: plugins/format.wasm is locked ("), "{told}");
    // Locked with a change, it says so, and the spec as it stands is what differs.
    bench.ok(&[&["lock", "small.yaml"], &other[..]].concat());
    bench.ok(&[&["check", "small.yaml", "--locked"], &other[..]].concat());
    let told = bench.fails(4, &["check", "small.yaml", "--locked"]);
    assert!(told.contains("it was locked with --set rewards.format.plugin=other.wasm"), "{told}");
}

#[test]
fn a_stale_lock_is_told_once_and_recorded_and_lock_says_what_is_new() {
    let bench = Bench::new();
    let brief = ["--set", "stages.rl.grpo.steps=1", "--set", "stages.cold-start.sft.steps=1"];
    let run = || {
        let output = bench.output(&[&["run", "small.yaml"], &brief[..]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    assert!(!run().contains("lock"), "without a lock nothing is said of one");
    bench.ok(&["lock", "small.yaml"]);
    assert!(!run().contains("lock"), "nor of one that holds");
    append(&bench.path("plugins/format.wasm"));
    append(&bench.path("plugins/countdown.wasm"));
    let stale = "warning: small.yaml.lock is stale: `rewards.equation`: plugins/countdown.wasm is another one: locked ";
    for told in [run(), text(&bench.output(&["check", "small.yaml"]).stderr)] {
        assert!(told.contains(stale) && told.contains("; and 1 more"), "{told}");
        assert_eq!(told.matches("stale").count(), 1, "{told}");
    }
    let events = bench.sql("SELECT message FROM event WHERE target = 'check'");
    assert!(events.len() == 1 && events[0]["message"].as_str().unwrap().contains("is stale"));
    let told = bench.ok(&["lock", "small.yaml"]);
    let row = told.lines().find(|line| line.starts_with("rewards.format")).unwrap_or_default();
    assert_eq!(row.split_whitespace().count(), 4, "{told}");
    let told = bench.ok(&["lock", "small.yaml"]);
    assert!(told.ends_with("small.yaml.lock: 2 inputs, unchanged\n"), "{told}");
    bench.ok(&[&["run", "small.yaml", "--locked"], &brief[..]].concat());
}

#[test]
fn a_file_that_is_no_lock_is_told_and_only_a_damaged_lock_is_replaced() {
    let bench = Bench::new();
    bench.ok(&["lock", "small.yaml"]);
    let path = bench.path("small.yaml.lock");
    let whole = std::fs::read_to_string(&path).unwrap();
    let refused = |contents: &[u8], expected: &str| {
        std::fs::write(&path, contents).unwrap();
        let told = bench.fails(4, &["check", "small.yaml", "--locked"]);
        assert!(told.contains(expected) && told.contains("  help: "), "{expected}: {told}");
        let output = bench.output(&["check", "small.yaml"]);
        assert!(output.status.success() && text(&output.stderr).contains(expected));
    };
    // A torn one, and one with the marks of a merge.
    let torn = [
        whole[..whole.len() / 2].to_owned(),
        String::new(),
        whole.replace("\n[[input]]", "\n<<<<<<< ours\n[[input]]"),
    ];
    for torn in torn {
        refused(torn.as_bytes(), "small.yaml.lock is a damaged lock: line ");
        let output = bench.output(&["lock", "small.yaml"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("a new one takes its place"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
    }
    // Files of somebody else stay.
    let escape = format!("{}\u{1b}[2J", whole.replace("key =", "\"\u{1b}[2J\" ="));
    let newer = whole.replace("version = 1", "version = 7\nmore = 1");
    let large = vec![b'#'; (4 << 20) + 1];
    let kept: [(&[u8], &str); 4] = [
        (b"package-lock: 1\n", "small.yaml.lock is no lock of r1x: line 1"),
        (&[0xff, 0xfe], "small.yaml.lock is no lock of r1x: it is not text"),
        (newer.as_bytes(), "small.yaml.lock has version 7 of the format; this r1x knows 1"),
        (&large, "small.yaml.lock: it has more than 4194304 bytes"),
    ];
    for (contents, expected) in kept {
        refused(contents, expected);
        assert!(bench.fails(4, &["lock", "small.yaml"]).contains(expected));
        assert_eq!(std::fs::read(&path).unwrap(), contents);
    }
    std::fs::write(&path, escape).unwrap();
    let told = bench.fails(4, &["check", "small.yaml", "--locked"]);
    assert!(told.contains("damaged lock") && !told.contains('\u{1b}'), "{told}");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(bench.fails(4, &["lock", "small.yaml"]).contains("it is a folder, not a file"));
    assert!(bench.fails(4, &["run", "small.yaml", "--locked"]).contains("it is a folder"));
}

/// A checkpoint is locked by its weights, by whatever name the spec has it.
#[test]
fn the_checkpoint_of_an_earlier_run_is_locked() {
    let bench = Bench::with_begun();
    let last = ["--set", "stages.rl.grpo=null", "--set", "stages.rl.evaluate={evals: [heldout]}"];
    let run = |steps: &str| {
        let run =
            bench.json(&[&["run", "small.yaml", "--json", "--set", steps], &last[..]].concat());
        run["run"].as_str().unwrap().to_owned()
    };
    let (one, other) = (run("stages.cold-start.sft.steps=3"), run("stages.cold-start.sft.steps=4"));
    let begins = |run: &str| format!("model.checkpoint={run}:cold-start");
    let told = bench.ok(&["lock", BEGUN, "--set", &begins(&one)]);
    assert!(told.contains("model.checkpoint") && told.contains("extends"), "{told}");
    let folder = format!("model.checkpoint=runs/{one}/cold-start/final");
    bench.ok(&["check", BEGUN, "--locked", "--set", &folder]);
    let told = bench.fails(4, &["check", BEGUN, "--locked", "--set", &begins(&other)]);
    let expected = format!("`model.checkpoint`: runs/{other}/cold-start/final is another one");
    assert!(told.contains(&expected), "{told}");
}

/// What any run of a sweep reads is in its lock, and nothing is begun where one of them would read something else.
#[test]
fn a_lock_of_a_sweep_is_about_every_run_of_it() {
    let bench = Bench::new();
    for name in ["one.wasm", "other.wasm", "third.wasm"] {
        std::fs::copy(bench.path("plugins/format.wasm"), bench.path(name)).unwrap();
    }
    append(&bench.path("other.wasm"));
    append(&bench.path("third.wasm"));
    append(&bench.path("third.wasm"));
    let spec = std::fs::read_to_string(bench.path("small.yaml")).unwrap();
    let varied = |names: &str| {
        let sweep = format!(
            "sweep:\n  matrix:\n    rewards.format.plugin: [{names}]\n    stages.cold-start.sft.steps: [1, 2]\n"
        );
        std::fs::write(bench.path("swept.yaml"), format!("{spec}{sweep}")).unwrap();
    };
    varied("one.wasm, other.wasm");
    let told = bench.ok(&["lock", "swept.yaml"]);
    assert!(told.contains("locked  swept.yaml.lock: 3 inputs"), "{told}");
    let said = bench.ok(&["check", "swept.yaml", "--locked"]);
    assert!(said.contains("swept.yaml.lock  3 inputs as locked\n"), "{said}");
    // One run of it reads one of the two components, and a third one is in no lock.
    let alone = ["check", "swept.yaml", "--locked", "--set", "sweep=null", "--set"];
    let said = bench.ok(&[&alone[..], &["rewards.format.plugin=other.wasm"]].concat());
    assert!(said.contains("2 inputs as locked, under another plan"), "{said}");
    let told = bench.fails(4, &[&alone[..], &["rewards.format.plugin=third.wasm"]].concat());
    assert!(told.contains("`rewards.format`: third.wasm is not in the lock: found "), "{told}");
    varied("one.wasm, third.wasm");
    let told = bench.fails(4, &["run", "swept.yaml", "--locked"]);
    assert!(told.contains("`rewards.format`: third.wasm is not in the lock"), "{told}");
    assert!(!bench.path("runs").exists(), "nothing has begun");
    let output = bench.output(&["check", "swept.yaml"]);
    let stale =
        "warning: swept.yaml.lock is stale: `rewards.format`: third.wasm is not in the lock";
    assert!(output.status.success() && text(&output.stderr).contains(stale), "{output:?}");
    // Locked again, what changed is told, and every run is made.
    let told = bench.ok(&["lock", "swept.yaml"]);
    assert!(told.contains("third.wasm") && !told.contains("one.wasm"), "{told}");
    let rl = ["--set", "stages.rl.grpo.steps=1", "--locked"];
    let made = bench.json(&[&["run", "swept.yaml", "--json"], &rl[..]].concat());
    assert_eq!(made["rows"].as_array().map(Vec::len), Some(4), "{made}");
}
