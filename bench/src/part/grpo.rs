//! A whole GRPO step through the training loop itself: 16 prompts x 8, sample, reward, assign credit, update.
//!
//! The rewards are trivial and nothing is stored. Completions get exact lengths, full or ragged.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

use r1x_core::loss::{Loss, LossTotals};
use r1x_core::plan::{GrpoPlan, LossPlan, OptimizerPlan, RewardPlan, RunPlan, SamplingPlan};
use r1x_core::port::{
    Cursor, EarlierWeights, GenerateRequest, Outcomes, PendingGroups, SavedCheckpoint, Scoring,
    UpdateFacts, WeightChoice,
};
use r1x_core::{
    CheckpointFacts, Completion, Encoder, EvalFacts, Learner, PendingGroup, Policy, PortError,
    Problem, ProblemSource, Recorder, RewardOutcome, RewardStatus, Rewarder, Sampler, Scorer,
    Split, StageFacts, StepFacts, Stream, TrainingBatch, testing,
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
    let clock = Clock::new(options);
    let mut timed = ExactPolicy { inner: &mut *policy, groups: &groups, clock: &clock };
    let ports = Ports {
        policy: &mut timed,
        rewarder: &mut Parity,
        problems: &Problems::new(shape),
        recorder: &mut Stamps(&clock),
    };
    train(&run_plan(shape, precision), ports, Cursor::default(), &|| clock.enough())?;
    let steps = clock.0.into_inner().steps;
    let of =
        |part: fn(&Step) -> f64| Samples { seconds: steps.iter().map(part).collect(), large: 0 };
    let sampled = work(&cost, &groups);
    let learnt = groups.iter().map(|group| cost.train_group(PROMPT, group));
    let learnt = learnt.fold(Work::default(), |sum, group| sum + group);
    let limit = |work: Work| limit_seconds(work, precision, options);
    let mut whole = time_row(id, "s", 1.0, &of(|step| step.whole), limit(sampled + learnt));
    let large = steps.last().map_or(0, |step| step.large);
    whole.allocations = allocations(large, shape.layers as f64, "layer");
    let generate = of(|step| step.generate);
    let train = of(|step| step.train);
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
    generate: f64,
    train: f64,
    /// Large allocations.
    large: u64,
}

/// When the step began, what was spent so far, and the steps before it.
struct Clock(RefCell<State>);

struct State {
    options: Options,
    begun: Instant,
    tick: Tick,
    before: r1x_ops::allocations::LargeAllocations,
    step: Step,
    warm: bool,
    steps: Vec<Step>,
}

impl Clock {
    fn new(options: &Options) -> Self {
        Self(RefCell::new(State {
            options: *options,
            begun: Instant::now(),
            tick: options.now(),
            before: ALLOCATOR.large(),
            step: Step::default(),
            warm: false,
            steps: Vec::new(),
        }))
    }

    /// Does the work and adds its seconds to a part of the step.
    fn time<T>(&self, part: fn(&mut Step) -> &mut f64, work: impl FnOnce() -> T) -> T {
        let tick = self.0.borrow().options.now();
        let result = work();
        *part(&mut self.0.borrow_mut().step) += tick.seconds();
        result
    }

    /// A step ends and the next begins. The first one only warms up.
    fn lap(&self) {
        let state = &mut *self.0.borrow_mut();
        let whole = state.tick.seconds();
        let step = Step { whole, large: since(state.before).count, ..state.step };
        if state.warm {
            state.steps.push(step);
        } else {
            (state.warm, state.begun) = (true, Instant::now());
        }
        (state.step, state.before) = (Step::default(), ALLOCATOR.large());
        state.tick = state.options.now();
    }

    fn enough(&self) -> bool {
        let state = self.0.borrow();
        state.warm && state.options.enough(state.steps.len(), state.begun.elapsed().as_secs_f64())
    }
}

/// The policy with exact lengths and a clock.
struct ExactPolicy<'a> {
    inner: &'a mut dyn Policy,
    groups: &'a [Vec<usize>],
    clock: &'a Clock,
}

impl Encoder for ExactPolicy<'_> {
    fn encode(&self, text: &str) -> Result<Vec<u32>, PortError> {
        self.inner.encode(text)
    }
    fn decode(&self, tokens: &[u32]) -> String {
        self.inner.decode(tokens)
    }
    fn eos(&self) -> u32 {
        self.inner.eos()
    }
    fn context_length(&self) -> usize {
        self.inner.context_length()
    }
}

impl Sampler for ExactPolicy<'_> {
    fn generate_each(
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
        let generate = || self.inner.generate_each(&requests, sampling, stream, each);
        self.clock.time(|step| &mut step.generate, generate)
    }
}

impl Scorer for ExactPolicy<'_> {
    fn score(
        &mut self,
        weights: WeightChoice<'_>,
        batch: &TrainingBatch,
    ) -> Result<Vec<Vec<f32>>, PortError> {
        let inner = &mut self.inner;
        self.clock.time(|step| &mut step.train, || inner.score(weights, batch))
    }
}

impl Learner for ExactPolicy<'_> {
    fn accumulate(
        &mut self,
        batch: &TrainingBatch,
        loss: &dyn Loss,
    ) -> Result<LossTotals, PortError> {
        let inner = &mut self.inner;
        self.clock.time(|step| &mut step.train, || inner.accumulate(batch, loss))
    }
    fn update(&mut self, optimizer: &OptimizerPlan, lr: f64) -> Result<UpdateFacts, PortError> {
        let inner = &mut self.inner;
        self.clock.time(|step| &mut step.train, || inner.update(optimizer, lr))
    }
    fn reset_optimizer(&mut self) {
        self.inner.reset_optimizer();
    }
    fn freeze(&mut self, name: &str) -> Result<(), PortError> {
        self.inner.freeze(name)
    }
    fn take_weights(&mut self, weights: EarlierWeights<'_>) -> Result<(), PortError> {
        self.inner.take_weights(weights)
    }
    fn forget_frozen(&mut self) {
        self.inner.forget_frozen();
    }
    /// Nothing is kept: the run ends when enough was measured.
    fn save(&mut self, name: &str, _: &Cursor) -> Result<SavedCheckpoint, PortError> {
        Ok(SavedCheckpoint {
            path: name.to_owned(),
            sha256: String::new(),
            state_sha256: String::new(),
            bytes: 0,
        })
    }
    fn weights_sha256(&self) -> Result<String, PortError> {
        self.inner.weights_sha256()
    }
}

/// Every other rollout earns 1, so that every group has a signal.
struct Parity;

impl Rewarder for Parity {
    fn begin(
        &mut self,
        _: &[RewardPlan],
        groups: PendingGroups,
    ) -> Result<Box<dyn Scoring + '_>, PortError> {
        Ok(Box::new(ParityOf(groups)))
    }
}

struct ParityOf(PendingGroups);

impl Scoring for ParityOf {
    fn arrived(&mut self, _: usize) {}

    fn finish(self: Box<Self>) -> Result<Outcomes, PortError> {
        let outcome = |index: usize| RewardOutcome {
            value: Some((index % 2) as f64),
            status: RewardStatus::Ok,
            parts: Vec::new(),
            info: None,
        };
        let of_group = |group: &PendingGroup| (0..group.samples).map(outcome).collect();
        Ok(vec![self.0.iter().map(of_group).collect()])
    }
}

/// As many problems as a step draws.
struct Problems(Vec<Problem>);

impl Problems {
    fn new(shape: &Shape) -> Self {
        let problem = |index: usize| {
            let words: Vec<String> = tokens(PROMPT, index, shape.vocabulary)
                .into_iter()
                .map(|token| piece(token as usize))
                .collect();
            Problem {
                data: String::new(),
                key: index.to_string(),
                prompt: words.join(" "),
                solution: None,
                answer: None,
                columns: BTreeMap::new(),
            }
        };
        Self((0..GROUPS).map(problem).collect())
    }
}

impl ProblemSource for Problems {
    fn problems(&self, _: &str, _: Split) -> Result<&[Problem], PortError> {
        Ok(&self.0)
    }
}

/// Notes when steps end.
struct Stamps<'a>(&'a Clock);

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
