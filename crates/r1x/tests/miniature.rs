//! The claims in miniature: their specs run, and the questions of the page about them have an answer for every arm.
//!
//! Must not test what comes out: a run here has one step in each stage, of a model that has learnt nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/miniature")
}

/// The program with a store and a cache of its own.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn r1x(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_r1x"))
            .args(arguments)
            .env("R1X_STORE", self.folder.path().join("r1x.sqlite"))
            .env("XDG_CACHE_HOME", self.folder.path())
            .env_remove("RUST_LOG")
            .output()
            .unwrap()
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.r1x(arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {message}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A moment of a spec.
    fn run(&self, name: &str) {
        let spec = folder().join(format!("{name}.yaml"));
        let spec = spec.to_str().unwrap();
        let plan: Value = serde_json::from_str(&self.ok(&["plan", spec, "--json"])).unwrap();
        let settings = small(&plan["plan"]);
        let mut arguments = vec!["run", spec, "--threads", "1"];
        settings.iter().for_each(|setting| arguments.extend(["--set", setting.as_str()]));
        self.ok(&arguments);
    }
}

/// What makes a plan so small that it runs in a moment.
fn small(plan: &Value) -> Vec<String> {
    let mut settings = vec!["model.hidden_size=16".to_owned(), "model.layers=1".to_owned()];
    for stage in plan["stages"].as_array().unwrap() {
        let id = stage["id"].as_str().unwrap();
        let kind = stage["kind"].as_object().unwrap().keys().next().unwrap();
        let keys: &[&str] = match kind.as_str() {
            "grpo" => &[
                "schedule.warmup_steps=0",
                "prompts_per_step=2",
                "group_size=2",
                "updates_per_epoch=1",
                "micro_batch_size=2",
            ],
            // Of a model that has learnt nothing, whatever ends by itself is kept.
            "reject" => &["prompts_per_step=20", "keep=null", "per_prompt=4"],
            _ => &["schedule.warmup_steps=0"],
        };
        let critic: &[&str] = match stage["kind"][kind]["critic"].is_object() {
            true => &["critic.schedule.warmup_steps=0"],
            false => &[],
        };
        for key in keys.iter().chain(critic).chain(&["steps=1"]) {
            settings.push(format!("stages.{id}.{kind}.{key}"));
        }
    }
    for suite in plan["evals"].as_array().unwrap() {
        settings.push(format!("evals.{}.limit=2", suite["id"].as_str().unwrap()));
    }
    settings
}

/// The names between quotes of the list of arms that a question begins with.
fn arms(question: &str) -> Vec<String> {
    let rows = question.split_once("arms(").and_then(|(_, rest)| rest.split_once("figures("));
    let (rows, _) = rows.expect("a list of arms");
    let row = |row: &str| row.split('\'').nth(3).map(str::to_owned);
    rows.lines().filter(|line| line.starts_with("  (")).filter_map(row).collect()
}

#[test]
fn every_question_has_an_answer_for_every_arm() {
    let bench = Bench { folder: tempfile::tempdir().unwrap() };
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let (mut questions, mut ran) = (Vec::new(), Vec::new());
    for path in entries.filter(|path| path.extension().is_some_and(|end| end == "sql")) {
        questions.push(path);
    }
    questions.sort();
    assert!(questions.len() > 6, "{questions:?}");
    for path in questions {
        let claim = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let spec = claim.split('.').next().unwrap().to_owned();
        if !ran.contains(&spec) {
            bench.run(&spec);
            ran.push(spec);
        }
        let question = std::fs::read_to_string(&path).unwrap();
        let answer = bench.ok(&["sql", &question, "--format", "jsonl"]);
        let rows: Vec<Value> =
            answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let wanted = arms(&question);
        assert!(wanted.len() > 2, "{claim}: {wanted:?}");
        for arm in wanted {
            let found =
                rows.iter().any(|row| row["arm"] == arm.as_str() && row["value"].is_number());
            assert!(found, "{claim}: nothing about {arm} in\n{answer}");
        }
    }
}
