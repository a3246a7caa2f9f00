//! What a stage says about itself: everything that the rest of r1x asks of a stage without asking of which kind it is.
//!
//! Estimates, checks, progress, rehearsals and the run read an outline. A new kind of stage fills one in, in its own
//! file, and is known to all of them.

use super::{CriticPlan, MergePart, ReadPart, TeacherPlan};
use crate::plan::{DataRef, HeadPlan, SamplingPlan};

/// A stage from outside. The default is a stage that does nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageOutline<'p> {
    /// Steps; 0 for a stage that only evaluates. A step draws problems, and ends with facts that are recorded.
    pub steps: u64,
    /// Problems that each step draws at least, over all of `data` together.
    pub problems_per_step: usize,
    /// The most problems that a step may draw beyond those, in place of some that taught nothing. 0 where every step
    /// draws as many.
    pub further_problems_per_step: usize,
    /// Where the problems come from, in the order of the spec: data sets of the plan, or stages above that make data.
    pub data: Vec<&'p DataRef>,
    /// Rewards that judge what is sampled, by id.
    pub rewards: &'p [String],
    /// Suites that the stage is there to run, by id. Suites that run at moments of their own are not among them.
    pub suites: &'p [String],
    /// What each step samples; `None` when it learns from texts that exist already.
    pub rollouts: Option<Rollouts<'p>>,
    /// The head of the model that the stage works on.
    pub head: HeadPlan,
    /// What of a response the model that it trains says the value of; `None` where it trains no reward model.
    pub values: Option<ReadPart>,
    /// A model that it learns from; `None` where it learns from none.
    pub teacher: Option<Teacher<'p>>,
    /// A model that learns beside the one that the stage works on, from equal sequences; `None` where it learns alone.
    pub critic: Option<&'p CriticPlan>,
    /// The weights whose average it makes; none where it makes no average.
    pub merges: &'p [MergePart],
    /// How weights are learnt; `None` when nothing is.
    pub learning: Option<Learning>,
    /// The data that the stage makes; `None` when it makes none. Its id is that of the stage, and its rows are problems
    /// to train on.
    pub makes: Option<Made>,
    /// What a person should know of the stage beyond its numbers: a word for what it is about, and lines of text.
    pub remarks: Vec<(&'static str, String)>,
}

impl StageOutline<'_> {
    /// The most problems that a step draws.
    pub fn most_problems_per_step(&self) -> usize {
        self.problems_per_step.saturating_add(self.further_problems_per_step)
    }

    /// Whether the stage leaves other weights than it began with.
    pub fn changes_weights(&self) -> bool {
        self.learning.is_some() || !self.merges.is_empty()
    }

    /// Whether suites that are due in its course are run: where weights stay as they are, a suite would find what it found
    /// before, and a model that judges writes nothing.
    pub fn is_evaluated(&self) -> bool {
        self.changes_weights() && self.head == HeadPlan::Vocabulary
    }
}

/// What each step of a stage samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rollouts<'p> {
    /// Completions of each problem.
    pub per_problem: usize,
    /// How they are sampled.
    pub sampling: &'p SamplingPlan,
}

/// A model that a stage learns from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Teacher<'p> {
    /// Which model.
    pub plan: &'p TeacherPlan,
    /// The most tokens that it names at each target.
    pub named: usize,
}

/// The data that a stage makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// The most rows that come of a problem. They have its prompt and columns, and a solution that the model wrote.
    pub most_per_problem: usize,
}

/// How a stage changes weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learning {
    /// Sequences that each step learns from, before any is left out.
    pub sequences_per_step: usize,
    /// How often a step goes through its sequences.
    pub epochs: usize,
    /// Optimizer updates that one pass over the sequences of a step is split into. An update without a token to learn
    /// from is left out, so a step makes at most `epochs` times as many.
    pub updates_per_epoch: usize,
    /// Sequences computed together.
    pub micro_batch_size: usize,
    /// Whether a prompt is computed once for all completions of its problem.
    pub prompts: Prompts,
    /// Frozen weights that the policy is compared with.
    pub reference: Reference,
    /// How often each sequence is scored before it is learnt from, in a stage that samples nothing.
    pub scored_before: u8,
}

impl Learning {
    /// The most optimizer updates that a step makes.
    pub fn updates_per_step(&self) -> usize {
        self.epochs * self.updates_per_epoch
    }

    /// The most sequences that an update learns from.
    pub fn sequences_per_update(&self) -> usize {
        self.sequences_per_step.div_ceil(self.updates_per_epoch.max(1))
    }
}

/// How often training computes the prompt of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompts {
    /// Once for every completion.
    Repeated,
    /// Once for all completions of the problem.
    Shared,
}

/// The frozen weights that a stage compares its policy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// There are none.
    None,
    /// The weights that the stage began with.
    Fixed,
    /// The weights of some steps ago, taken anew from time to time.
    Refreshed,
    /// A moving average of the weights, which is kept as exactly as they are.
    Following,
}
