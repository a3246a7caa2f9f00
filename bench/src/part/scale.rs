//! The store at scale: a million rollouts of 600 tokens through the writer of production, and what becomes of the cost of a
//! step, of the size of the file and of the documented questions.

use std::path::Path;
use std::time::Duration;

use r1x_core::{
    Completion, CreditedGroup, FinishReason, PortError, Problem, Recorder, RewardedGroup,
    RewardedRollout, Rollout, StageFacts, StepFacts, testing,
};
use r1x_store::examples::EXAMPLES;
use r1x_store::{Mode, SqlQuery, Store, StoreError};

use super::{Asked, Case, store};
use crate::failure::Failure;
use crate::measure::{Options, median};
use crate::row::Row;

/// Rollouts of a step.
const STEP_ROLLOUTS: usize = 512;
const GROUP_SIZE: usize = 8;
const TOKENS: usize = 600;
/// Problems that the groups ask by turns.
const PROBLEMS: usize = 20_000;
/// Times that each question is asked after one that warms up.
const REPEATED: usize = 3;

/// The workloads.
pub fn cases() -> Vec<Case> {
    vec![Case { asked: Asked::ByName, ..Case::new("scale/million", run) }]
}

/// A number that looks random, from a counter.
fn mixed(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

fn run(options: &Options) -> Result<Vec<Row>, Failure> {
    let failure = |error: StoreError| Failure::from(PortError::from(error));
    let rollouts = if options.quick { 50_000 } else { 1_000_000 };
    let steps = rollouts / STEP_ROLLOUTS;
    let folder = tempfile::tempdir().map_err(|error| {
        Failure::new(format!("no temporary folder: {error}"), "check the disk and TMPDIR")
    })?;
    let path = folder.path().join("bench.sqlite");
    let store = Store::open(&path, Mode::Write).map_err(failure)?;
    let mut run = store.begin_run(store::start()).map_err(failure)?;
    run.stage_started(&StageFacts { index: 0, id: "rl".to_owned(), kind: "grpo", start_step: 0 })?;
    let mut seconds = Vec::with_capacity(steps);
    for step in 0..steps {
        let facts = facts(step, steps);
        let tick = options.now();
        run.step(facts)?;
        // The step is written beside the next one; what it costs is known when it is there.
        run.flush().map_err(failure)?;
        seconds.push(tick.seconds());
    }
    let name = run.name().to_owned();
    run.finish(r1x_store::RunStatus::Done, 0, None, None).map_err(failure)?;
    drop((run, store));
    let mut rows = costs(&seconds);
    rows.push(size(&path, steps * STEP_ROLLOUTS));
    let store = Store::open(&path, Mode::Read).map_err(failure)?;
    for example in EXAMPLES {
        let query = SqlQuery {
            run: Some(&name),
            time_limit: Duration::from_secs(300),
            ..SqlQuery::new(example.sql)
        };
        let mut times = Vec::new();
        for turn in 0..=REPEATED {
            let tick = options.now();
            store.sql_table(&query).map_err(failure)?;
            if turn > 0 {
                times.push(tick.seconds() * 1e3);
            }
        }
        rows.push(Row::new(&format!("scale/ask/{}", example.name), "ms", &times, None));
    }
    Ok(rows)
}

/// Cost of a step in the first and in the last tenth of the run.
fn costs(seconds: &[f64]) -> Vec<Row> {
    let tenth = (seconds.len() / 10).max(1);
    let ms = |part: &[f64]| part.iter().map(|seconds| seconds * 1e3).collect::<Vec<f64>>();
    let (first, last) = (ms(&seconds[..tenth]), ms(&seconds[seconds.len() - tenth..]));
    let middles = [median(&last) / median(&first)];
    vec![
        Row::new("scale/step/first-tenth", "ms", &first, None),
        Row::new("scale/step/last-tenth", "ms", &last, None),
        Row::new("scale/step/last-over-first", "x time", &middles, None),
    ]
}

/// Bytes of the file for each rollout.
fn size(path: &Path, rollouts: usize) -> Row {
    let bytes = std::fs::metadata(path).map_or(0, |meta| meta.len());
    Row::new("scale/file", "B/rollout", &[bytes as f64 / rollouts as f64], None)
}

fn facts(step: usize, steps: usize) -> StepFacts {
    let groups = STEP_ROLLOUTS / GROUP_SIZE;
    let metric = |name: &str, value: f64| (name.to_owned(), value);
    StepFacts {
        stage: 0,
        step: step as u64,
        rewards: store::REWARDS.map(str::to_owned).to_vec(),
        groups: (0..groups).map(|index| group(step * groups + index, step, steps)).collect(),
        reference_logprobs: Vec::new(),
        verdicts: Vec::new(),
        metrics: vec![
            metric("loss", 0.5),
            metric("reward.mean", step as f64 / steps as f64),
            metric("entropy", 1.0),
            metric("tokens.mean", TOKENS as f64),
            metric("truncated", 0.1),
            metric("grad_norm", 0.3),
        ],
    }
}

fn group(index: usize, step: usize, steps: usize) -> CreditedGroup {
    let number = index % PROBLEMS;
    let prompt = format!("numbers 1 2 {number} target 7 =");
    let problem = Problem {
        answer: Some("7".to_owned()),
        columns: [("target".to_owned(), "7".to_owned())].into(),
        ..testing::problem(&format!("key-{number}"), &prompt)
    };
    let rollouts: Vec<RewardedRollout> = (0..GROUP_SIZE)
        .map(|sample| rollout((index * GROUP_SIZE + sample) as u64, step as f64 / steps as f64))
        .collect();
    let totals: Vec<f64> = rollouts.iter().filter_map(|rollout| rollout.total).collect();
    let mean = totals.iter().sum::<f64>() / totals.len() as f64;
    CreditedGroup {
        advantages: totals.iter().map(|total| total - mean).collect(),
        zero_signal: totals.iter().all(|total| *total == totals[0]),
        group: RewardedGroup { problem, prompt_tokens: vec![7; 32], rollouts },
    }
}

/// A rollout that is right with a chance that grows with `progress`, from 0 to 1.
fn rollout(index: u64, progress: f64) -> RewardedRollout {
    let share = |salt: u64| (mixed(index * 8 + salt) >> 11) as f64 / (1u64 << 53) as f64;
    let length = TOKENS - 100 + (share(0) * 200.0) as usize;
    let token = |at: usize| mixed(index << 10 | at as u64);
    let completion = Completion {
        tokens: (0..length).map(|at| (token(at) % 49_152) as u32).collect(),
        logprobs: (0..length).map(|at| -((token(at) >> 40) as f32) / 1e7).collect(),
        entropies: (0..length).map(|at| (token(at) >> 44) as f32 / 1e6).collect(),
        finish: if share(1) < 0.1 { FinishReason::Length } else { FinishReason::Stop },
    };
    let words: Vec<String> = completion.tokens.iter().map(|token| format!("{token:x}")).collect();
    let right = f64::from(share(2) < progress);
    let formed = f64::from(share(3) < 0.2 + progress);
    let total = Some(right + formed);
    RewardedRollout {
        rollout: Rollout { completion, text: words.join(" ") },
        outcomes: vec![testing::outcome(right), testing::outcome(formed)],
        terms: vec![store::term(right), store::term(formed)],
        unclipped: total,
        total,
    }
}
