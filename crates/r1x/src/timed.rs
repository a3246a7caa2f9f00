//! Ports with a stopwatch: how a step's time splits into generation, rewards, training and the store.
//!
//! The loop reads no clock; these wrappers do, outside of it, for the display of a run and for benchmarks. Must not
//! change what the ports answer.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use r1x_core::loss::{Loss, LossTotals};
use r1x_core::plan::{CriticPlan, OptimizerPlan, RewardPlan, SamplingPlan, TeacherPlan};
use r1x_core::port::{
    GenerateRequest, Models, Outcomes, PendingGroups, PolicyWrapper, ReadColumns, Rehearsable,
    Scoring, UpdateFacts, WeightChoice,
};
use r1x_core::rollout::Candidates;
use r1x_core::{Completion, Policy, PortError, Rewarder, Stream, TrainingBatch};

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
#[derive(Clone)]
pub struct Stopwatch {
    clock: Rc<dyn Fn() -> f64>,
    split: Rc<RefCell<Split>>,
}

impl Default for Stopwatch {
    fn default() -> Self {
        let start = Instant::now();
        Self::reading(move || start.elapsed().as_secs_f64())
    }
}

impl fmt::Debug for Stopwatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Stopwatch").field("split", &self.split).finish_non_exhaustive()
    }
}

impl Stopwatch {
    /// A stopwatch that reads another clock than that on the wall: the seconds since a moment of its own.
    pub fn reading(clock: impl Fn() -> f64 + 'static) -> Self {
        Self { clock: Rc::new(clock), split: Rc::default() }
    }

    /// What was measured since the last call.
    pub fn take(&self) -> Split {
        self.split.take()
    }

    fn time<T>(&self, part: fn(&mut Split) -> &mut f64, work: impl FnOnce() -> T) -> T {
        let start = (self.clock)();
        let result = work();
        *part(&mut self.split.borrow_mut()) += (self.clock)() - start;
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

impl<P: Policy + ?Sized> PolicyWrapper for TimedPolicy<'_, P> {
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
        let mut counted = |request: usize, completions: Vec<Completion>| {
            let tokens: usize = completions.iter().map(|c| c.tokens.len()).sum();
            self.stopwatch.split.borrow_mut().tokens += tokens as u64;
            each(request, completions);
        };
        let generate = || self.inner.generate_each(requests, sampling, stream, &mut counted);
        self.stopwatch.time(|split| &mut split.generate, generate)
    }

    fn around_scoring(
        &mut self,
        weights: WeightChoice<'_>,
        batch: &TrainingBatch,
    ) -> Result<Vec<Vec<f32>>, PortError> {
        let inner = &mut self.inner;
        self.stopwatch.time(|split| &mut split.train, || inner.score(weights, batch))
    }

    fn around_accumulation(
        &mut self,
        batch: &TrainingBatch,
        loss: &dyn Loss,
    ) -> Result<LossTotals, PortError> {
        let inner = &mut self.inner;
        self.stopwatch.time(|split| &mut split.train, || inner.accumulate(batch, loss))
    }

    fn around_update(
        &mut self,
        optimizer: &OptimizerPlan,
        lr: f64,
    ) -> Result<UpdateFacts, PortError> {
        let inner = &mut self.inner;
        self.stopwatch.time(|split| &mut split.train, || inner.update(optimizer, lr))
    }
}

impl<P: Models + ?Sized> Models for TimedPolicy<'_, P> {
    fn put_to_work(&mut self, model: Option<&str>) -> Result<(), PortError> {
        self.inner.put_to_work(model)
    }

    fn ask_teacher(
        &mut self,
        teacher: &TeacherPlan,
        batch: &TrainingBatch,
        width: usize,
    ) -> Result<Vec<Candidates>, PortError> {
        let inner = &mut self.inner;
        self.stopwatch.time(|split| &mut split.train, || inner.ask_teacher(teacher, batch, width))
    }

    fn with_critic(
        &mut self,
        critic: &CriticPlan,
        work: &mut dyn FnMut(&mut dyn Policy) -> Result<(), PortError>,
    ) -> Result<(), PortError> {
        let inner = &mut self.inner;
        self.stopwatch.time(|split| &mut split.train, || inner.with_critic(critic, work))
    }

    fn forget_others(&mut self) {
        self.inner.forget_others();
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use r1x_core::testing::{self, RuleRewarder};

    use super::*;

    /// A clock that is one second further each time it is read.
    fn ticking() -> Stopwatch {
        let seconds = Cell::new(0.0);
        Stopwatch::reading(move || seconds.replace(seconds.get() + 1.0))
    }

    #[test]
    fn rewards_are_timed_by_the_clock_that_is_read_and_judge_as_before() {
        let stopwatch = ticking();
        let judge = RuleRewarder(|(_, _, at, _): testing::Ruled<'_>| testing::outcome(at as f64));
        let mut timed = TimedRewarder { inner: judge, stopwatch: stopwatch.clone() };
        let rollout = |text: &str| r1x_core::Rollout {
            completion: testing::completion(3),
            text: text.to_owned(),
        };
        let group = r1x_core::RolloutGroup {
            problem: testing::problem("key", "prompt"),
            prompt_tokens: vec![1],
            rollouts: vec![rollout("a"), rollout("b")],
        };
        let outcomes = timed.score(&[testing::reward("place")], &[group]).unwrap();
        assert_eq!(outcomes, [[[testing::outcome(0.0), testing::outcome(1.0)]]]);
        let split = stopwatch.take();
        assert_eq!(split, Split { reward: 2.0, ..Split::default() }, "begin and finish, each 1 s");
        assert_eq!(stopwatch.take(), Split::default(), "the measurement begins anew");
    }
}
