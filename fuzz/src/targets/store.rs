//! The file of a store: opened for reading, and asked what `ls`, `show` and `sql` ask.

use std::path::Path;
use std::time::Duration;

use r1x_core::{
    Completion, CreditedGroup, FinishReason, Recorder, RewardTerm, RewardedGroup, RewardedRollout,
    Rollout, StageFacts, StepFacts, testing,
};
use r1x_store::{Environment, Mode, PluginInput, RunStart, RunStatus, SqlQuery, Store};

use super::{Read, Target, failed, said};

/// Words worth writing into the file of a store.
pub const WORDS: &[&str] =
    &["CREATE TABLE ", "CREATE VIEW v_runs AS ", "CREATE TRIGGER ", "SQLite format 3\0"];

/// What stands for a plan: all that the store asks of one.
const PLAN: &str = r#"{"record":{"text":true,"tokens":true,"logprobs":true}}"#;

/// What stands for a component.
const COMPONENT: &[u8] = b"right";

/// The target.
pub const TARGET: Target =
    Target { name: "store", reads: "the SQLite file of a store", files: &[], words: WORDS, make };

fn make(folder: &Path) -> std::io::Result<(Read, Vec<Vec<u8>>)> {
    let original = folder.join("original.sqlite");
    {
        let store = Store::open(&original, Mode::Write).map_err(failed)?;
        store.begin_run(start()).map_err(failed)?;
    }
    let seed = std::fs::read(&original)?;
    let path = folder.join("store.sqlite");
    let read = move |input: &[u8]| {
        if let Err(error) = put(&path, input) {
            return error.to_string();
        }
        match Store::open(&path, Mode::Read) {
            Ok(store) => asked(&store),
            Err(error) => error.to_string(),
        }
    };
    Ok((Box::new(read), vec![seed]))
}

/// Puts a file into the place of a store, without what an earlier one has left beside it.
pub fn put(path: &Path, file: &[u8]) -> std::io::Result<()> {
    for left in ["sqlite-wal", "sqlite-shm"] {
        let _ = std::fs::remove_file(path.with_extension(left));
    }
    std::fs::write(path, file)
}

/// The bytes of a store that is made at a path: a finished run of two steps of two groups, each of two completions.
pub fn filled(path: &Path) -> std::io::Result<Vec<u8>> {
    {
        let store = Store::open(path, Mode::Write).map_err(failed)?;
        let mut run = store.begin_run(start()).map_err(failed)?;
        let stage = StageFacts { index: 0, id: "rl".to_owned(), kind: "grpo", start_step: 0 };
        run.stage_started(&stage).map_err(failed)?;
        for number in 0..2 {
            run.step(step(number)).map_err(failed)?;
        }
        let digest = run.digest().map_err(failed)?;
        run.finish(RunStatus::Done, 0, None, Some(&digest)).map_err(failed)?;
    }
    std::fs::read(path)
}

fn step(step: u64) -> StepFacts {
    StepFacts {
        stage: 0,
        step,
        rewards: vec!["right".to_owned()],
        groups: (0..2).map(|index| group(step, index)).collect(),
        reference_logprobs: Vec::new(),
        verdicts: Vec::new(),
        metrics: vec![("loss".to_owned(), 0.5)],
    }
}

fn group(step: u64, index: u64) -> CreditedGroup {
    let rollout = |sample: u32| {
        let value = f64::from(sample);
        let completion = Completion {
            tokens: vec![sample, 1, 2],
            logprobs: vec![-0.5; 3],
            entropies: vec![0.25; 3],
            finish: FinishReason::Stop,
        };
        let term = RewardTerm {
            clipped: Some(value),
            condition: None,
            counted: Some(value),
            weight: 1.0,
            normalized: None,
        };
        RewardedRollout {
            rollout: Rollout { completion, text: format!("answer {sample}") },
            outcomes: vec![testing::outcome(value)],
            terms: vec![term],
            unclipped: Some(value),
            total: Some(value),
        }
    };
    CreditedGroup {
        advantages: vec![-1.0, 1.0],
        zero_signal: false,
        group: RewardedGroup {
            problem: testing::problem(&format!("key-{step}-{index}"), "1 + 2 ="),
            prompt_tokens: vec![7; 4],
            rollouts: (0..2).map(rollout).collect(),
        },
    }
}

fn asked(store: &Store) -> String {
    let runs = match store.runs() {
        Ok(runs) => runs,
        Err(error) => return error.to_string(),
    };
    for run in runs.iter().take(3) {
        if let Err(error) = store.run_card(&run.name) {
            return error.to_string();
        }
        if let Err(error) = store.spec(&run.name) {
            return error.to_string();
        }
    }
    let time_limit = Duration::from_millis(500);
    let query = SqlQuery { time_limit, limit: Some(50), ..SqlQuery::new("SELECT * FROM v_runs") };
    said(store.tables().and_then(|_| store.sql_table(&query)))
}

fn start() -> RunStart {
    RunStart {
        name: "fuzz".to_owned(),
        seed: 1,
        spec_path: None,
        spec_text: "r1x: 1".to_owned(),
        overrides: Vec::new(),
        plan_json: PLAN.to_owned(),
        plan_sha256: r1x_core::digest::sha256(PLAN.as_bytes()),
        environment: Environment::default(),
        datasets: Vec::new(),
        plugins: vec![PluginInput {
            reward_id: "right".to_owned(),
            name: "right".to_owned(),
            version: "0.1.0".to_owned(),
            wit_world: r1x_reward::WIT_WORLD.to_owned(),
            sha256: r1x_core::digest::sha256(COMPONENT),
            bytes: COMPONENT.to_vec(),
            source_sha256: None,
            config_json: "{}".to_owned(),
            weight: 1.0,
        }],
        parent: None,
        member: None,
        folder: None,
    }
}
