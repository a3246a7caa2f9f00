//! A policy inside a wrapper is the policy: a run through one leaves the same facts, and every question goes inside.

use std::cell::Cell;

use r1x_core::loss::{Loss, LossTotals};
use r1x_core::plan::{OptimizerPlan, RunPlan, SamplingPlan};
use r1x_core::port::{
    Cursor, GenerateRequest, OnlyModel, PolicyWrapper, SavedCheckpoint, UpdateFacts, WeightChoice,
};
use r1x_core::{Completion, Encoder, Learner, Policy, PortError, Sampler, Scorer, Stream};
use r1x_core::{TrainingBatch, testing};
use r1x_train::{Ports, RunOutcome, run};

use crate::support::{
    Fact, FixedProblems, MemoryRecorder, Rules, TablePolicy, grpo_plan, grpo_stage, run_plan,
    sft_plan, sft_stage,
};

/// Changes nothing.
struct Plain<'a>(&'a mut TablePolicy);

impl PolicyWrapper for Plain<'_> {
    type Inner = TablePolicy;

    fn inner(&self) -> &TablePolicy {
        self.0
    }

    fn inner_mut(&mut self) -> &mut TablePolicy {
        self.0
    }
}

/// Counts the questions that take long: sampling, scoring, accumulation, updates, saving.
struct Counting<'a> {
    inner: &'a mut TablePolicy,
    sampled: Cell<usize>,
    others: [usize; 4],
}

impl PolicyWrapper for Counting<'_> {
    type Inner = TablePolicy;

    fn inner(&self) -> &TablePolicy {
        self.inner
    }

    fn inner_mut(&mut self) -> &mut TablePolicy {
        self.inner
    }

    fn around_sampling(
        &self,
        requests: &[GenerateRequest],
        sampling: &SamplingPlan,
        stream: Stream,
        each: &mut dyn FnMut(usize, Vec<Completion>),
    ) -> Result<(), PortError> {
        self.sampled.set(self.sampled.get() + 1);
        self.inner.generate_each(requests, sampling, stream, each)
    }

    fn around_scoring(
        &mut self,
        weights: WeightChoice<'_>,
        batch: &TrainingBatch,
    ) -> Result<Vec<Vec<f32>>, PortError> {
        self.others[0] += 1;
        self.inner.score(weights, batch)
    }

    fn around_accumulation(
        &mut self,
        batch: &TrainingBatch,
        loss: &dyn Loss,
    ) -> Result<LossTotals, PortError> {
        self.others[1] += 1;
        self.inner.accumulate(batch, loss)
    }

    fn around_update(
        &mut self,
        optimizer: &OptimizerPlan,
        lr: f64,
    ) -> Result<UpdateFacts, PortError> {
        self.others[2] += 1;
        self.inner.update(optimizer, lr)
    }

    fn around_saving(&mut self, name: &str, cursor: &Cursor) -> Result<SavedCheckpoint, PortError> {
        self.others[3] += 1;
        self.inner.save(name, cursor)
    }
}

/// Two steps of supervised fine-tuning, then two of GRPO with a penalty, which needs frozen weights.
fn plan() -> RunPlan {
    let mut grpo = grpo_plan(2);
    testing::surrogate_of(&mut grpo).kl.coef = 0.1;
    run_plan(vec![sft_stage(sft_plan(2)), grpo_stage(grpo)])
}

fn facts(policy: &mut dyn Policy) -> Vec<Fact> {
    let mut recorder = MemoryRecorder::default();
    let ports = Ports {
        policy: &mut OnlyModel(policy),
        rewarder: &mut Rules::default(),
        problems: &FixedProblems::digits(),
        recorder: &mut recorder,
    };
    assert_eq!(run(&plan(), ports, Cursor::default(), &|| false), Ok(RunOutcome::Done));
    recorder.facts
}

#[test]
fn a_run_through_a_wrapper_leaves_the_same_facts() {
    let expected = facts(&mut TablePolicy::new());
    assert_eq!(facts(&mut Plain(&mut TablePolicy::new())), expected);
    let mut policy = TablePolicy::new();
    let mut counting =
        Counting { inner: &mut policy, sampled: Cell::new(0), others: Default::default() };
    assert_eq!(facts(&mut counting), expected);
    assert_eq!(counting.sampled.get(), 2, "each step of GRPO samples once");
    // Two steps of each stage learn; the penalty scores in GRPO; each stage ends with a checkpoint.
    assert_eq!(counting.others, [2, 4, 4, 2]);
    let text = counting.decode(&[3, 4]);
    assert_eq!((text.as_str(), counting.encode("23")), ("23", Ok(vec![3, 4])));
}
