//! Runs and facts for the tests, small and with every field in use.

use std::path::{Path, PathBuf};

use r1x_core::CheckpointKind;
use r1x_core::facts::{CheckpointFacts, EvalFacts, EvalMetric, EvalSample, StageFacts, StepFacts};
use r1x_core::port::Recorder;
use r1x_core::problem::{Problem, PromptForm};
use r1x_core::rollout::{
    Completion, CreditedGroup, FinishReason, RewardOutcome, RewardStatus, RewardTerm,
    RewardedGroup, RewardedRollout, Rollout,
};
use r1x_core::select::Verdict;
use tempfile::TempDir;

use crate::{DatasetInput, Environment, Mode, PluginInput, RunStart, RunWriter, Store};

/// A store in a folder that goes away.
pub struct Place {
    pub folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("r1x.db")
    }

    pub fn write(&self) -> Store {
        Store::open(&self.path(), Mode::Write).unwrap()
    }

    pub fn read(&self) -> Store {
        Store::open(&self.path(), Mode::Read).unwrap()
    }
}

pub fn plugin(reward_id: &str, weight: f64) -> PluginInput {
    PluginInput {
        reward_id: reward_id.into(),
        name: format!("{reward_id}-plugin"),
        version: "0.1.0".into(),
        wit_world: "r1x:reward@0.1.0".into(),
        sha256: r1x_core::digest::hex(&crate::run_begin::hash_parts([Some(reward_id.as_bytes())])),
        bytes: format!("\0asm {reward_id}").into_bytes(),
        source_sha256: Some("aa".repeat(32)),
        config_json: r#"{"strict":true}"#.into(),
        weight,
    }
}

pub fn start() -> RunStart {
    RunStart {
        name: "countdown".into(),
        seed: u64::MAX - 3,
        spec_path: Some("experiments/countdown.yaml".into()),
        spec_text: "name: countdown # with a comment\n".into(),
        overrides: vec!["seed=2".into(), "model.layers=3".into()],
        plan_json: r#"{"name":"countdown","record":{"text":true,"tokens":true,"logprobs":true}}"#
            .into(),
        plan_sha256: "bb".repeat(32),
        environment: Environment {
            r1x_version: "0.1.0".into(),
            git_commit: Some("cc".repeat(20)),
            git_dirty: Some(true),
            host: Some("box".into()),
            os: Some("linux".into()),
            cpu: Some("a processor".into()),
            cores: Some(2),
            ram_bytes: Some(8 << 30),
            device: Some("cpu".into()),
            rustc: Some("1.95.0".into()),
            features: None,
            threads: Some(2),
            kernels: Some("avx2".into()),
        },
        datasets: vec![
            DatasetInput {
                id: "numbers".into(),
                split: "train".into(),
                sha256: "dd".repeat(32),
                rows: 4000,
                source: "countdown generator, seed 7".into(),
            },
            DatasetInput {
                id: "numbers".into(),
                split: "heldout".into(),
                sha256: "ee".repeat(32),
                rows: 1000,
                source: "countdown generator, seed 7".into(),
            },
        ],
        plugins: vec![plugin("equation", 1.0), plugin("format", 0.5)],
        parent: None,
        member: None,
        folder: Some("/home/ann/project".into()),
    }
}

pub fn problem(index: u64) -> Problem {
    Problem {
        data: "numbers".into(),
        key: format!("key-{index}"),
        prompt: format!("numbers 1 2 {index} target 7 ="),
        form: PromptForm::Text,
        solution: index.is_multiple_of(2).then(|| format!("1 + 2 = {index}")),
        solution_tokens: None,
        rejected: None,
        answer: Some("7".into()),
        columns: [
            ("nums".to_owned(), format!("[1,2,{index}]")),
            ("target".to_owned(), "7".to_owned()),
        ]
        .into(),
    }
}

pub fn completion(tokens: usize, salt: u32, finish: FinishReason) -> Completion {
    let numbers = || (0..tokens as u32).map(move |t| t * 7 + salt);
    Completion {
        tokens: numbers().collect(),
        logprobs: numbers().map(|n| -1.0 / (n as f32 + 0.3)).collect(),
        entropies: numbers().map(|n| 1.0 / (n as f32 + 0.7)).collect(),
        finish,
    }
}

pub fn outcome(value: Option<f64>) -> RewardOutcome {
    RewardOutcome {
        value,
        status: if value.is_some() { RewardStatus::Ok } else { RewardStatus::Timeout },
        parts: vec![("numbers".into(), 0.25), ("value".into(), value.unwrap_or(f64::NAN))],
        info: Some(if value.is_some() { "a sentence".into() } else { "took too long".into() }),
    }
}

/// The term of an outcome that counts as it is.
pub fn term(value: Option<f64>, weight: f64) -> RewardTerm {
    RewardTerm { clipped: value, condition: None, counted: value, weight, normalized: None }
}

/// A rollout with the rewards `equation` and `format`, and their weighted total.
pub fn rollout(
    tokens: usize,
    salt: u32,
    equation: Option<f64>,
    format: Option<f64>,
) -> RewardedRollout {
    let total = match (equation, format) {
        (None, None) => None,
        (e, f) => Some(e.unwrap_or(0.0) + 0.5 * f.unwrap_or(0.0)),
    };
    RewardedRollout {
        rollout: Rollout {
            completion: completion(
                tokens,
                salt,
                if salt.is_multiple_of(2) { FinishReason::Stop } else { FinishReason::Length },
            ),
            text: format!("<think>{salt}</think> 1 + 2"),
        },
        outcomes: vec![outcome(equation), outcome(format)],
        terms: vec![term(equation, 1.0), term(format, 0.5)],
        unclipped: total,
        total,
    }
}

pub fn group(problem: Problem, rollouts: Vec<RewardedRollout>) -> CreditedGroup {
    let zero_signal = rollouts.windows(2).all(|pair| pair[0].total == pair[1].total);
    CreditedGroup {
        advantages: (0..rollouts.len()).map(|s| s as f64 - 0.5).collect(),
        zero_signal,
        group: RewardedGroup { problem, prompt_tokens: vec![3, 1, 4, u32::MAX], rollouts },
    }
}

pub fn step_facts(stage: usize, step: u64, groups: Vec<CreditedGroup>) -> StepFacts {
    StepFacts {
        stage,
        step,
        rewards: if groups.is_empty() {
            Vec::new()
        } else {
            vec!["equation".into(), "format".into()]
        },
        reference_logprobs: Vec::new(),
        groups,
        verdicts: Vec::new(),
        metrics: vec![
            ("loss".into(), 0.5 + step as f64),
            ("lr".into(), 1e-3),
            ("grad_norm".into(), f64::NAN),
            ("ratio".into(), f64::INFINITY),
        ],
    }
}

/// A step of two groups of two rollouts each, with a reference.
pub fn grpo_step(stage: usize, step: u64) -> StepFacts {
    let salt = step as u32 * 100;
    let groups = vec![
        group(
            problem(step),
            vec![
                rollout(3, salt, Some(1.0), Some(1.0)),
                rollout(5, salt + 1, Some(0.0), Some(1.0)),
            ],
        ),
        group(
            problem(step + 1),
            vec![rollout(2, salt + 2, None, None), rollout(4, salt + 3, None, Some(0.0))],
        ),
    ];
    let reference = |rollout: &RewardedRollout| {
        rollout
            .rollout
            .completion
            .logprobs
            .iter()
            .map(|logprob| logprob - 0.25)
            .collect::<Vec<f32>>()
    };
    let references =
        groups.iter().map(|group| group.group.rollouts.iter().map(reference).collect()).collect();
    StepFacts { reference_logprobs: references, ..step_facts(stage, step, groups) }
}

pub fn stage(index: usize, kind: &'static str, start_step: u64) -> StageFacts {
    StageFacts { index, id: format!("{kind}-{index}"), kind, start_step }
}

pub fn evaluation(stage: Option<usize>, label: &str, step: u64, value: f64) -> EvalFacts {
    let sample = |salt: u32, score: Option<f64>| EvalSample {
        text: format!("answer {salt}"),
        tokens: vec![salt, 2, 0],
        logprobs: vec![-0.5, -0.25, -f32::MIN_POSITIVE],
        finish: FinishReason::Stop,
        value: score,
        condition: None,
        score,
        status: if score.is_some() { RewardStatus::Ok } else { RewardStatus::Trap },
        correct: score.is_some_and(|score| score >= 1.0),
        outcomes: vec![match score {
            Some(_) => outcome(score),
            None => RewardOutcome {
                value: None,
                status: RewardStatus::Trap,
                parts: vec![("used".into(), 2.0)],
                info: Some("divided by zero".into()),
            },
        }],
    };
    EvalFacts {
        stage,
        label: label.into(),
        step,
        suite: "heldout".into(),
        rewards: vec!["equation".into()],
        items: vec![
            (problem(1000), vec![sample(1, Some(1.0)), sample(2, Some(0.0))]),
            (problem(1001), vec![sample(3, None), sample(4, Some(0.0))]),
        ],
        metrics: vec![
            EvalMetric { metric: "pass@1".into(), value, stderr: 0.1, n_items: 2, n_samples: 2 },
            EvalMetric {
                metric: "pass@2".into(),
                value: 0.5,
                stderr: 0.2,
                n_items: 2,
                n_samples: 2,
            },
        ],
    }
}

pub fn checkpoint(stage: usize, step: u64, kind: CheckpointKind, path: &str) -> CheckpointFacts {
    CheckpointFacts {
        stage,
        step,
        kind,
        path: path.into(),
        sha256: "ff".repeat(32),
        state_sha256: "ee".repeat(32),
        bytes: 1234,
    }
}

/// Records a step and waits until it is there to be read.
pub fn write(run: &mut RunWriter, facts: StepFacts) {
    run.step(facts).unwrap();
    run.flush().unwrap();
}

/// A run with one `grpo` stage (index 1) and this many steps of `grpo_step`, not finished.
pub fn run_of_steps(store: &Store, steps: u64) -> RunWriter {
    let mut run = store.begin_run(start()).unwrap();
    run.stage_started(&stage(1, "grpo", 0)).unwrap();
    for step in 0..steps {
        run.step(grpo_step(1, step)).unwrap();
    }
    run.flush().unwrap();
    run
}

/// One number of a query.
pub fn number(store: &Store, sql: &str) -> i64 {
    let table = store.sql_table(&crate::SqlQuery::new(sql)).unwrap();
    match table.rows.as_slice() {
        [row] => match row.as_slice() {
            [crate::Value::Integer(value)] => *value,
            other => panic!("{sql}: {other:?}"),
        },
        other => panic!("{sql}: {} rows", other.len()),
    }
}

/// Rollouts of the newest step are whole: as many payloads and twice as many rewards.
pub fn assert_whole(path: &Path) {
    let store = Store::open(path, Mode::Read).unwrap();
    let rollouts = number(&store, "SELECT count(*) FROM rollout");
    assert_eq!(number(&store, "SELECT count(*) FROM rollout_payload"), rollouts);
    assert_eq!(number(&store, "SELECT count(*) FROM reward"), 2 * rollouts);
    assert_eq!(4 * number(&store, "SELECT count(*) FROM step"), rollouts);
    assert_eq!(number(&store, "SELECT count(*) FROM metric"), rollouts);
    let bad = store.sql_table(&crate::SqlQuery::new("PRAGMA foreign_key_check")).unwrap();
    assert!(bad.rows.is_empty());
    let check = store.sql_table(&crate::SqlQuery::new("PRAGMA quick_check")).unwrap();
    assert_eq!(check.rows, [[crate::Value::Text("ok".into())]]);
}

/// A start whose plan and components have the hashes that they are recorded with.
pub fn hashed_start() -> RunStart {
    let sha256 = r1x_core::digest::sha256;
    let mut start = start();
    start.plan_sha256 = sha256(start.plan_json.as_bytes());
    for plugin in &mut start.plugins {
        // Long enough to be packed.
        plugin.bytes = format!("\0asm {} ", plugin.reward_id).repeat(100).into_bytes();
        plugin.sha256 = sha256(&plugin.bytes);
    }
    start
}

/// A finished run of two attempts of one stage, with evaluations, checkpoints, a warning, metrics that SQLite keeps
/// otherwise than they are, and verdicts. The seed is what tells two of them apart.
pub fn finished_run(store: &Store, seed: u64) -> String {
    let start = hashed_start();
    let plan_json = start.plan_json.replacen('{', &format!("{{\"seed\":{seed},"), 1);
    let plan_sha256 = r1x_core::digest::sha256(plan_json.as_bytes());
    finished_run_of(store, RunStart { seed, plan_json, plan_sha256, ..start })
}

/// A finished run that begins like this.
pub fn finished_run_of(store: &Store, start: RunStart) -> String {
    let salt = start.seed;
    let mut run = store.begin_run(start).unwrap();
    run.stage_started(&stage(1, "grpo", 0)).unwrap();
    for step in 0..3 {
        let mut facts = grpo_step(1, step + salt);
        facts.step = step;
        facts.metrics.push(("zero".into(), -0.0));
        facts.verdicts = vec![vec![Verdict::Kept, Verdict::Dropped("format".into())]; 2];
        facts.groups.iter_mut().for_each(|group| group.advantages.clear());
        run.step(facts).unwrap();
    }
    run.evaluation(&evaluation(None, "start", 0, 0.1)).unwrap();
    run.checkpoint(&checkpoint(1, 2, CheckpointKind::Step, "grpo-1/step-000002")).unwrap();
    run.event(crate::Level::Warn, "test", "it is small").unwrap();
    run.finish(crate::RunStatus::Interrupted, 130, None, None).unwrap();
    let name = run.name().to_owned();
    drop(run);
    let from = crate::StagePoint { stage: 1, step: 2 };
    let mut run = store.resume_run(&name, from, Some("/elsewhere")).unwrap();
    run.stage_started(&stage(1, "grpo", 2)).unwrap();
    write(&mut run, grpo_step(1, 2));
    run.evaluation(&evaluation(Some(1), "grpo-1", 3, 0.5)).unwrap();
    run.checkpoint(&checkpoint(1, 3, CheckpointKind::Stage, "grpo-1/final")).unwrap();
    run.stage_finished(&stage(1, "grpo", 2), &"ab".repeat(32)).unwrap();
    let digest = run.digest().unwrap();
    run.finish(crate::RunStatus::Done, 0, None, Some(&digest)).unwrap();
    name
}
