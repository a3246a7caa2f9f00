//! The store: one step of 1024 rollouts of 128 tokens with two rewards, written whole.

use r1x_core::{
    Completion, CreditedGroup, FinishReason, PortError, Problem, Recorder, RewardTerm,
    RewardedGroup, RewardedRollout, Rollout, StageFacts, StepFacts, testing,
};
use r1x_store::{Environment, Mode, PluginInput, RunStart, Store, StoreError};

use super::Case;
use crate::failure::Failure;
use crate::measure::{Options, repeat, time_row};
use crate::row::Row;

const GROUPS: usize = 128;
const GROUP_SIZE: usize = 8;
const TOKENS: usize = 128;
/// Names of the rewards.
pub const REWARDS: [&str; 2] = ["equation", "format"];

/// The workloads.
pub fn cases() -> Vec<Case> {
    vec![Case::new("store/step", |options| Ok(vec![run(options)?]))]
}

fn run(options: &Options) -> Result<Row, Failure> {
    let failure = |error: StoreError| Failure::from(PortError::from(error));
    let folder = tempfile::tempdir().map_err(|error| {
        Failure::new(format!("no temporary folder: {error}"), "check the disk and TMPDIR")
    })?;
    let store = Store::open(&folder.path().join("bench.sqlite"), Mode::Write).map_err(failure)?;
    let mut run = store.begin_run(start()).map_err(failure)?;
    let stage = StageFacts { index: 0, id: "rl".to_owned(), kind: "grpo", start_step: 0 };
    run.stage_started(&stage)?;
    let mut facts = StepFacts {
        stage: 0,
        step: 0,
        rewards: REWARDS.map(str::to_owned).to_vec(),
        groups: (0..GROUPS).map(group).collect(),
        reference_logprobs: Vec::new(),
        verdicts: Vec::new(),
        metrics: vec![("loss".to_owned(), 0.5), ("lr".to_owned(), 1e-3)],
    };
    let samples = repeat(options, || {
        let given = facts.clone();
        let tick = options.now();
        run.step(given)?;
        // The step is written beside the next one; what it costs is known when it is there.
        run.flush().map_err(failure)?;
        let seconds = tick.seconds();
        facts.step += 1;
        Ok(Some(seconds))
    })?;
    Ok(time_row("store/step", "ms", 1e3, &samples, None))
}

/// A run with two rewards that records everything.
pub fn start() -> RunStart {
    let plugin = |id: &str| PluginInput {
        reward_id: id.to_owned(),
        name: id.to_owned(),
        version: "0.1.0".to_owned(),
        wit_world: r1x_reward::WIT_WORLD.to_owned(),
        sha256: "0".repeat(64),
        bytes: id.as_bytes().to_vec(),
        source_sha256: None,
        config_json: "{}".to_owned(),
        weight: 1.0,
    };
    RunStart {
        name: "bench".to_owned(),
        seed: 1,
        spec_path: None,
        spec_text: "name: bench\n".to_owned(),
        overrides: Vec::new(),
        plan_json: r#"{"name":"bench","record":{"text":true,"tokens":true,"logprobs":true}}"#
            .to_owned(),
        plan_sha256: "0".repeat(64),
        environment: Environment::default(),
        datasets: Vec::new(),
        plugins: REWARDS.map(plugin).to_vec(),
        parent: None,
        member: None,
        folder: None,
    }
}

fn group(index: usize) -> CreditedGroup {
    let prompt = format!("numbers 1 2 {index} target 7 =");
    let problem = Problem {
        answer: Some("7".to_owned()),
        columns: [("target".to_owned(), "7".to_owned())].into(),
        ..testing::problem(&format!("key-{index}"), &prompt)
    };
    CreditedGroup {
        advantages: (0..GROUP_SIZE).map(|sample| sample as f64 - 3.5).collect(),
        zero_signal: false,
        group: RewardedGroup {
            problem,
            prompt_tokens: vec![7; 32],
            rollouts: (0..GROUP_SIZE).map(|sample| rollout(index * GROUP_SIZE + sample)).collect(),
        },
    }
}

fn rollout(index: usize) -> RewardedRollout {
    let numbers = || (0..TOKENS).map(move |token| (token * 7 + index) as f32);
    let completion = Completion {
        tokens: numbers().map(|number| number as u32).collect(),
        logprobs: numbers().map(|number| -1.0 / (number + 0.3)).collect(),
        entropies: numbers().map(|number| 1.0 / (number + 0.7)).collect(),
        finish: FinishReason::Stop,
    };
    let words: Vec<String> = completion.tokens.iter().map(|token| format!("t{token}")).collect();
    RewardedRollout {
        rollout: Rollout { completion, text: words.join(" ") },
        outcomes: vec![testing::outcome((index % 2) as f64), testing::outcome(1.0)],
        terms: vec![term((index % 2) as f64), term(1.0)],
        unclipped: Some((index % 2) as f64 + 1.0),
        total: Some((index % 2) as f64 + 1.0),
    }
}

/// What becomes of a reward without bounds and conditions, of weight 1.
pub fn term(value: f64) -> RewardTerm {
    RewardTerm {
        clipped: Some(value),
        condition: None,
        counted: Some(value),
        weight: 1.0,
        normalized: None,
    }
}
