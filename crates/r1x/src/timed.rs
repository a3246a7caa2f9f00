//! Ports with a stopwatch: how a step's time splits into generation, rewards, training and the store.
//!
//! The loop reads no clock; these wrappers do, outside of it. Must not change what the ports answer.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use r1x_core::loss::{Loss, LossTotals};
use r1x_core::plan::{OptimizerPlan, RewardPlan, SamplingPlan};
use r1x_core::port::{
    Cursor, EarlierWeights, GenerateRequest, Outcomes, PendingGroups, ReadColumns, Rehearsable,
    SavedCheckpoint, Scoring, UpdateFacts, WeightChoice,
};
use r1x_core::{
    Completion, Encoder, Learner, Policy, PortError, Rewarder, Sampler, Scorer, Stream,
    TrainingBatch,
};

use crate::table;

/// Seconds spent in each part, and tokens generated, since the last reset or the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Split {
    /// Sampling.
    pub generate: f64,
    /// Rewards, as long as sampling waited for them: what is scored meanwhile costs no time of its own.
    pub reward: f64,
    /// Scoring, gradients, updates.
    pub train: f64,
    /// Completion tokens sampled.
    pub tokens: u64,
}

/// Where the time of the GRPO steps went, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shares {
    /// Sampling.
    pub generate: f64,
    /// Rewards.
    pub reward: f64,
    /// Training.
    pub train: f64,
    /// The store.
    pub store: f64,
    /// Steps.
    pub steps: u64,
    /// Wall time of the steps.
    pub wall: f64,
}

impl Shares {
    /// A step took so long.
    pub fn add(&mut self, split: Split, store: f64, wall: f64) {
        self.generate += split.generate;
        self.reward += split.reward;
        self.train += split.train;
        self.store += store;
        self.wall += wall;
        self.steps += 1;
    }

    /// One line for people, empty when there was no GRPO step.
    pub fn line(&self) -> String {
        if self.steps == 0 {
            return String::new();
        }
        let share = |part: f64| format!("{:.1} %", 100.0 * part / self.wall);
        format!(
            "time per RL step {}: generation {}, reward {}, training {}, store {}",
            table::seconds(self.wall / self.steps as f64),
            share(self.generate),
            share(self.reward),
            share(self.train),
            share(self.store),
        )
    }
}

/// A stopwatch shared by the wrappers of one run.
#[derive(Clone, Debug, Default)]
pub struct Stopwatch(Rc<RefCell<Split>>);

impl Stopwatch {
    /// What was measured since the last call.
    pub fn take(&self) -> Split {
        self.0.take()
    }

    fn time<T>(&self, part: fn(&mut Split) -> &mut f64, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        *part(&mut self.0.borrow_mut()) += start.elapsed().as_secs_f64();
        result
    }
}

/// A policy with a stopwatch.
#[derive(Debug)]
pub struct TimedPolicy<'a, P: ?Sized> {
    /// The policy.
    pub inner: &'a mut P,
    /// The stopwatch.
    pub stopwatch: Stopwatch,
}

impl<P: Policy + ?Sized> Encoder for TimedPolicy<'_, P> {
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

impl<P: Policy + ?Sized> Sampler for TimedPolicy<'_, P> {
    fn generate_each(
        &self,
        requests: &[GenerateRequest],
        sampling: &SamplingPlan,
        stream: Stream,
        each: &mut dyn FnMut(usize, Vec<Completion>),
    ) -> Result<(), PortError> {
        let mut counted = |request: usize, completions: Vec<Completion>| {
            let tokens: usize = completions.iter().map(|c| c.tokens.len()).sum();
            self.stopwatch.0.borrow_mut().tokens += tokens as u64;
            each(request, completions);
        };
        let generate = || self.inner.generate_each(requests, sampling, stream, &mut counted);
        self.stopwatch.time(|split| &mut split.generate, generate)
    }
}

impl<P: Policy + ?Sized> Scorer for TimedPolicy<'_, P> {
    fn score(
        &mut self,
        weights: WeightChoice<'_>,
        batch: &TrainingBatch,
    ) -> Result<Vec<Vec<f32>>, PortError> {
        let inner = &mut self.inner;
        self.stopwatch.time(|split| &mut split.train, || inner.score(weights, batch))
    }
}

impl<P: Policy + ?Sized> Learner for TimedPolicy<'_, P> {
    fn accumulate(
        &mut self,
        batch: &TrainingBatch,
        loss: &dyn Loss,
    ) -> Result<LossTotals, PortError> {
        let inner = &mut self.inner;
        self.stopwatch.time(|split| &mut split.train, || inner.accumulate(batch, loss))
    }
    fn update(&mut self, optimizer: &OptimizerPlan, lr: f64) -> Result<UpdateFacts, PortError> {
        let inner = &mut self.inner;
        self.stopwatch.time(|split| &mut split.train, || inner.update(optimizer, lr))
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
    fn save(&mut self, name: &str, cursor: &Cursor) -> Result<SavedCheckpoint, PortError> {
        self.inner.save(name, cursor)
    }
    fn weights_sha256(&self) -> Result<String, PortError> {
        self.inner.weights_sha256()
    }
}

/// Rewards with a stopwatch.
#[derive(Debug)]
pub struct TimedRewarder<R> {
    /// The rewards.
    pub inner: R,
    /// The stopwatch.
    pub stopwatch: Stopwatch,
}

impl<R: Rewarder> Rewarder for TimedRewarder<R> {
    fn begin(
        &mut self,
        rewards: &[RewardPlan],
        groups: PendingGroups,
    ) -> Result<Box<dyn Scoring + '_>, PortError> {
        let Self { inner, stopwatch } = self;
        let begun = stopwatch.time(|split| &mut split.reward, || inner.begin(rewards, groups))?;
        Ok(Box::new(TimedScoring { inner: begun, stopwatch }))
    }
}

impl<R: Rehearsable> Rehearsable for TimedRewarder<R> {
    fn columns(&self, reward: &str) -> ReadColumns<'_> {
        self.inner.columns(reward)
    }
    fn is_costly(&self, reward: &str) -> bool {
        self.inner.is_costly(reward)
    }
    fn met_deadline(&self) -> bool {
        self.inner.met_deadline()
    }
}

/// Scoring with a stopwatch. What is scored while sampling goes on is not waited for, and not measured.
struct TimedScoring<'a> {
    inner: Box<dyn Scoring + 'a>,
    stopwatch: &'a Stopwatch,
}

impl Scoring for TimedScoring<'_> {
    fn arrived(&mut self, group: usize) {
        self.inner.arrived(group);
    }

    fn finish(self: Box<Self>) -> Result<Outcomes, PortError> {
        let Self { inner, stopwatch } = *self;
        stopwatch.time(|split| &mut split.reward, || inner.finish())
    }
}
