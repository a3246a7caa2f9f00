//! Ports with a stopwatch: how a step's time splits into generation, rewards, training and the store.
//!
//! The loop reads no clock; these wrappers do, outside of it. Must not change what the ports answer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use r1x_core::loss::{Loss, LossTotals};
use r1x_core::plan::{OptimizerPlan, RewardPlan, SamplingPlan};
use r1x_core::port::{
    Arrivals, Cursor, GenerateRequest, Outcomes, SavedCheckpoint, UpdateFacts, Weights,
};
use r1x_core::{
    Completion, Encoder, PendingGroup, Policy, PortError, Rewarder, Stream, TrainingBatch,
};

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

impl<P: Policy + ?Sized> Policy for TimedPolicy<'_, P> {
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
    fn score(
        &mut self,
        weights: Weights,
        batch: &TrainingBatch,
    ) -> Result<Vec<Vec<f32>>, PortError> {
        let inner = &mut self.inner;
        self.stopwatch.time(|split| &mut split.train, || inner.score(weights, batch))
    }
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
    fn set_reference(&mut self) -> Result<(), PortError> {
        self.inner.set_reference()
    }
    fn drop_reference(&mut self) {
        self.inner.drop_reference();
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
    fn score_arriving(
        &mut self,
        rewards: &[RewardPlan],
        groups: &[PendingGroup],
        arrivals: &mut Arrivals<'_>,
    ) -> Result<Outcomes, PortError> {
        let arriving = Cell::new(0.0);
        let mut timed = |arrived: &mut dyn FnMut(usize)| {
            let start = Instant::now();
            let result = arrivals(arrived);
            arriving.set(start.elapsed().as_secs_f64());
            result
        };
        let inner = &mut self.inner;
        let score = || inner.score_arriving(rewards, groups, &mut timed);
        let result = self.stopwatch.time(|split| &mut split.reward, score);
        self.stopwatch.0.borrow_mut().reward -= arriving.get();
        result
    }
}
