//! A whole GRPO step through the training loop itself: 16 prompts x 8, sample, reward, assign credit, update.
//!
//! The rewards are trivial and nothing is stored. Completions get exact lengths, full or ragged. Time is taken by the
//! stopwatch of `r1x run`.

use std::cell::RefCell;
use std::time::Instant;

use r1x::timed::{Split as Parts, Stopwatch, TimedPolicy};
use r1x_core::plan::{GrpoPlan, LossPlan, RunPlan, SamplingPlan};
use r1x_core::port::{Cursor, GenerateRequest, OnlyModel, PolicyWrapper, SavedCheckpoint};
use r1x_core::select::Kept;
use r1x_core::testing::{self, ListedProblems, RuleRewarder, Ruled};
use r1x_core::{
    CheckpointFacts, Completion, EvalFacts, Policy, PortError, Recorder, StageFacts, StepFacts,
    Stream,
};
use r1x_train::{Ports, run as train};

use super::Case;
use super::generate::{LONGEST, PROMPT, work};
use super::sampling::{Lengths, policy, sampling, tokens};
use super::train::{MICRO_BATCH, optimizer};
use crate::ALLOCATOR;
use crate::failure::Failure;
use crate::measure::{Options, Samples, Tick, allocations, limit_seconds, since, time_row};
use crate::row::Row;
use crate::shape::{PRECISIONS, Precision, SHAPES, Shape, piece, plan};
use crate::work::Work;

const GROUPS: usize = 16;
const GROUP_SIZE: usize = 8;
/// The one reward.
const REWARD: &str = "parity";

/// The workloads.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for precision in PRECISIONS {
        for shape in SHAPES {
            for lengths in Lengths::ALL {
                let id = format!("grpo/{}/{}/{}", shape.name, lengths.name(), precision.name());
                cases.push(Case::new(id.clone(), move |options| {
                    run(&id, &shape, lengths, *precision, options)
                }));
            }
        }
    }
    cases
}

fn run(
    id: &str,
    shape: &Shape,
    lengths: Lengths,
    precision: Precision,
    options: &Options,
) -> Result<Vec<Row>, Failure> {
    let (mut policy, cost) = policy(shape, precision, PROMPT + LONGEST, options)?;
    let groups = lengths.groups();
    let clock = options.now();
    let stopwatch = Stopwatch::reading(move || clock.seconds());
    let laps = Laps::new(options, stopwatch.clone());
    let mut timed = TimedPolicy { inner: &mut *policy, stopwatch };
    let ports = Ports {
        policy: &mut OnlyModel(&mut ExactLengths { inner: &mut timed, groups: &groups }),
        // Every other rollout earns 1, so that every group has a signal.
        rewarder: &mut RuleRewarder(|(_, _, at, _): Ruled<'_>| testing::outcome((at % 2) as f64)),
        problems: &problems(shape),
        recorder: &mut Stamps(&laps),
    };
    train(&run_plan(shape, precision), ports, Cursor::default(), &|| laps.enough())?;
    let steps = laps.0.into_inner().steps;
    let of =
        |part: fn(&Step) -> f64| Samples { seconds: steps.iter().map(part).collect(), large: 0 };
    let sampled = work(&cost, &groups);
    let learnt = groups.iter().map(|group| cost.train_group(PROMPT, group));
    let learnt = learnt.fold(Work::default(), |sum, group| sum + group);
    let limit = |work: Work| limit_seconds(work, precision, options);
    let mut whole = time_row(id, "s", 1.0, &of(|step| step.whole), limit(sampled + learnt));
    let large = steps.last().map_or(0, |step| step.large);
    whole.allocations = allocations(large, shape.layers as f64, "layer");
    let generate = of(|step| step.parts.generate);
    let train = of(|step| step.parts.train);
    Ok(vec![
        whole,
        time_row(&format!("{id}/of-which-generation"), "s", 1.0, &generate, limit(sampled)),
        time_row(&format!("{id}/of-which-training"), "s", 1.0, &train, limit(learnt)),
    ])
}

/// Seconds of a step and of its parts.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    whole: f64,
    parts: Parts,
    /// Large allocations.
    large: u64,
}

/// When the step under way began, and the steps before it.
struct Laps(RefCell<State>);

struct State {
    options: Options,
    stopwatch: Stopwatch,
    begun: Instant,
    tick: Tick,
    before: r1x_ops::allocations::LargeAllocations,
    warm: bool,
    steps: Vec<Step>,
}

impl Laps {
    fn new(options: &Options, stopwatch: Stopwatch) -> Self {
        Self(RefCell::new(State {
            options: *options,
            stopwatch,
            begun: Instant::now(),
            tick: options.now(),
            before: ALLOCATOR.large(),
            warm: false,
            steps: Vec::new(),
        }))
    }

    /// A step ends and the next begins. The first one only warms up.
    fn lap(&self) {
        let state = &mut *self.0.borrow_mut();
        let whole = state.tick.seconds();
        let parts = state.stopwatch.take();
        if state.warm {
            state.steps.push(Step { whole, parts, large: since(state.before).count });
        } else {
            (state.warm, state.begun) = (true, Instant::now());
        }
        state.before = ALLOCATOR.large();
        state.tick = state.options.now();
    }

    fn enough(&self) -> bool {
        let state = self.0.borrow();
        state.warm && state.options.enough(state.steps.len(), state.begun.elapsed().as_secs_f64())
    }
}

/// A policy whose completions have the lengths that are measured, and which keeps nothing: the run ends when enough was
/// measured.
struct ExactLengths<'a, P: ?Sized> {
    inner: &'a mut P,
    groups: &'a [Vec<usize>],
}

impl<P: Policy + ?Sized> PolicyWrapper for ExactLengths<'_, P> {
    type Inner = P;

    fn inner(&self) -> &P {
        self.inner
    }

    fn inner_mut(&mut self) -> &mut P {
        self.inner
    }

    fn around_sampling(
        &self,
        requests: &[GenerateRequest],
        sampling: &SamplingPlan,
        stream: Stream,
        each: &mut dyn FnMut(usize, Vec<Completion>),
    ) -> Result<(), PortError> {
        let mut requests = requests.to_vec();
        for (request, lengths) in requests.iter_mut().zip(self.groups) {
            request.lengths.clone_from(lengths);
        }
        self.inner.generate_each(&requests, sampling, stream, each)
    }

    fn around_saving(&mut self, name: &str, _: &Cursor) -> Result<SavedCheckpoint, PortError> {
        Ok(SavedCheckpoint {
            path: name.to_owned(),
            sha256: String::new(),
            state_sha256: String::new(),
            bytes: 0,
        })
    }
}

/// As many problems as a step draws.
fn problems(shape: &Shape) -> ListedProblems {
    let problem = |index: usize| {
        let tokens = tokens(PROMPT, index, shape.vocabulary).into_iter();
        let words: Vec<String> = tokens.map(|token| piece(token as usize)).collect();
        testing::problem(&index.to_string(), &words.join(" "))
    };
    ListedProblems((0..GROUPS).map(problem).collect())
}

/// Notes when steps end.
struct Stamps<'a>(&'a Laps);

impl Recorder for Stamps<'_> {
    fn stage_started(&mut self, _: &StageFacts) -> Result<(), PortError> {
        Ok(())
    }
    fn step(&mut self, _: StepFacts) -> Result<(), PortError> {
        self.0.lap();
        Ok(())
    }
    fn evaluation(&mut self, _: &EvalFacts) -> Result<(), PortError> {
        Ok(())
    }
    fn checkpoint(&mut self, _: &CheckpointFacts) -> Result<(), PortError> {
        Ok(())
    }
    fn kept(&mut self, _: usize, _: u64) -> Result<Vec<Kept>, PortError> {
        Ok(Vec::new())
    }
    fn stage_finished(&mut self, _: &StageFacts, _: &str) -> Result<(), PortError> {
        Ok(())
    }
}

/// One GRPO stage that goes on until it is stopped.
fn run_plan(shape: &Shape, precision: Precision) -> RunPlan {
    RunPlan {
        model: plan(shape, PROMPT + LONGEST, precision),
        rewards: vec![testing::reward(REWARD)],
        ..testing::run(vec![testing::grpo_stage(grpo_plan())])
    }
}

fn grpo_plan() -> GrpoPlan {
    GrpoPlan {
        data: vec![testing::data_ref("bench")],
        rewards: vec![REWARD.to_owned()],
        prompts_per_step: GROUPS,
        group_size: GROUP_SIZE,
        sampling: sampling(LONGEST),
        epochs: 1,
        updates_per_epoch: 1,
        micro_batch_size: MICRO_BATCH,
        optimizer: optimizer(),
        // The mean over tokens, without a penalty.
        loss: LossPlan::Surrogate(testing::surrogate()),
        share_prompts: true,
        ..testing::grpo(1_000_000)
    }
}
