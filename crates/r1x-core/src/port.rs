//! The ports: what the training loop asks of the outside world (Policy, Rewarder, ProblemSource, Recorder), and what
//! a reward asks of it (Judge).
//!
//! The loop (r1x-train) knows these traits and nothing else; adapters live in the other crates. A test holds the loop
//! to it: r1x-train depends on r1x-core alone.

use std::sync::Arc;

use crate::facts::{CheckpointFacts, EvalFacts, StageFacts, StepFacts};
use crate::loss::{Loss, LossTotals};
use crate::plan::{OptimizerPlan, RewardPlan, SamplingPlan};
use crate::problem::{Problem, Split};
use crate::rng::Stream;
use crate::rollout::{Completion, PendingGroup, RewardOutcome, RolloutGroup, TrainingBatch};

/// Which side of r1x an error belongs to; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// The spec is wrong. Exit 3.
    Spec,
    /// An input is missing or does not match. Exit 4.
    Data,
    /// The model cannot be built, loaded or saved. Exit 4.
    Model,
    /// A reward plugin failed beyond its policy. Exit 6.
    Reward,
    /// Memory, disk or device is exhausted or missing. Exit 7.
    Device,
    /// The store is locked, damaged or newer. Exit 8.
    Store,
    /// Training produced a value that is not finite. Exit 10.
    Diverged,
    /// Parts of r1x do not fit together: nothing the user gave is at fault. Exit 1.
    Internal,
}

/// An error as the loop and the command line see it: whose, what and where, how to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    /// Whose error it is.
    pub boundary: Boundary,
    /// What happened and where.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl PortError {
    /// An error with a hint.
    pub fn new(boundary: Boundary, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { boundary, message: message.into(), hint: Some(hint.into()) }
    }
}

/// One prompt to sample from.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateRequest {
    /// Tokenised prompt, at least one token; computed once for all its samples.
    pub prompt: Vec<u32>,
    /// How many completions.
    pub samples: usize,
    /// Address of its draws: sample `s` at position `t` draws from `stream.at([address, s, t])`.
    pub address: u64,
    /// The exact length of each sample, from 1 to `max_tokens`: the end-of-sequence token ends nothing then, it
    /// is a token like any other. For measurements, which must not depend on what is drawn; empty otherwise.
    pub lengths: Vec<usize>,
}

/// Which weights to score with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// The policy being trained.
    Current,
    /// The frozen reference.
    Reference,
}

/// What one optimizer update did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateFacts {
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Further named numbers, e.g. `moe.load_max` (largest expert load over the mean).
    pub metrics: Vec<(String, f64)>,
    /// A number of the first tensor that has left the finite ones, and its name in words: "gradient of
    /// `model.norm.weight`". The weights were not changed when it is a gradient.
    pub not_finite: Option<(String, f64)>,
}

/// Where a run is; saved with a checkpoint. A stage is named by its id, which stays when stages are added before it.
/// All chance is addressed by position, so this is the whole
/// state of the random streams and of the data cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cursor {
    /// Id of the stage to go on with; `None` at the very beginning, before what is evaluated at the start.
    pub stage: Option<String>,
    /// Steps of that stage already done.
    pub step: u64,
    /// Problems drawn so far in that stage.
    pub drawn: u64,
}

impl Cursor {
    /// After `step` steps of a stage, with so many problems drawn.
    pub fn at(stage_id: &str, step: u64, drawn: u64) -> Self {
        Self { stage: Some(stage_id.to_owned()), step, drawn }
    }
}

/// What a model reads and writes: text as tokens, and how many of them. It needs no weights, so whether texts
/// fit a model can be checked before there is one.
pub trait Encoder {
    /// Text to tokens. `Data` error when a piece of text is not in the vocabulary.
    fn encode(&self, text: &str) -> Result<Vec<u32>, PortError>;
    /// Tokens to text; the end-of-sequence token is left out.
    fn decode(&self, tokens: &[u32]) -> String;
    /// The end-of-sequence token.
    fn eos(&self) -> u32;
    /// The longest prompt plus completion the model can take, tokens.
    fn context_length(&self) -> usize;
}

/// A language model that can sample, score and learn.
pub trait Policy: Encoder {
    /// Samples completions and hands each request's over as soon as the last of them has ended: calls
    /// `each(request, completions)` once per request, on the calling thread, in any order. The completions
    /// depend on weights, requests, sampling and stream only: not on batching, order or threads.
    fn generate_each(
        &self,
        requests: &[GenerateRequest],
        sampling: &SamplingPlan,
        stream: Stream,
        each: &mut dyn FnMut(usize, Vec<Completion>),
    ) -> Result<(), PortError>;
    /// Samples completions: one list per request, in order.
    fn generate(
        &self,
        requests: &[GenerateRequest],
        sampling: &SamplingPlan,
        stream: Stream,
    ) -> Result<Vec<Vec<Completion>>, PortError> {
        let mut completions = vec![Vec::new(); requests.len()];
        let mut each = |request: usize, group| completions[request] = group;
        self.generate_each(requests, sampling, stream, &mut each)?;
        Ok(completions)
    }
    /// Log-probs of the completion tokens of each sequence, at the batch's temperature. A `Model` error when they are
    /// asked of a reference that was never set.
    fn score(
        &mut self,
        weights: Weights,
        batch: &TrainingBatch,
    ) -> Result<Vec<Vec<f32>>, PortError>;
    /// Forward, loss and backward over a batch; gradients add to those already accumulated.
    fn accumulate(
        &mut self,
        batch: &TrainingBatch,
        loss: &dyn Loss,
    ) -> Result<LossTotals, PortError>;
    /// Clips, updates the weights with the accumulated gradients, and clears them.
    fn update(&mut self, optimizer: &OptimizerPlan, lr: f64) -> Result<UpdateFacts, PortError>;
    /// Forgets optimizer moments and step count: a new training stage begins.
    fn reset_optimizer(&mut self);
    /// Makes the current weights the reference.
    fn set_reference(&mut self) -> Result<(), PortError>;
    /// Forgets the reference, which then takes no memory and is in no checkpoint.
    fn drop_reference(&mut self);
    /// Writes weights, optimizer, reference and cursor to `name`, whole or not at all.
    fn save(&mut self, name: &str, cursor: &Cursor) -> Result<SavedCheckpoint, PortError>;
    /// sha256 of the current weights, hex.
    fn weights_sha256(&self) -> Result<String, PortError>;
}

/// A checkpoint on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedCheckpoint {
    /// Path relative to the run's folder.
    pub path: String,
    /// sha256 of the weights file, hex.
    pub sha256: String,
    /// sha256 of its state, hex: the cursor, and the hashes of everything else in it.
    pub state_sha256: String,
    /// Bytes on disk.
    pub bytes: u64,
}

/// Outcomes of rewards as `[reward][group][rollout]`.
pub type Outcomes = Vec<Vec<Vec<RewardOutcome>>>;

/// The groups of one scoring, shared between the loop, which makes them complete, and whoever judges them meanwhile.
pub type PendingGroups = Arc<Vec<PendingGroup>>;

/// Judges completions.
pub trait Rewarder {
    /// Begins to score every rollout of some groups with every reward named. Rollouts may still be on their way: the
    /// session is told of each group whose rollouts are there. The outcomes depend on rewards and groups only, not on
    /// the order in which the groups arrive.
    ///
    /// # Errors
    /// When a reward is unknown, or cannot be asked about these problems.
    fn begin(
        &mut self,
        rewards: &[RewardPlan],
        groups: PendingGroups,
    ) -> Result<Box<dyn Scoring + '_>, PortError>;

    /// Scores groups that are all there.
    ///
    /// # Errors
    /// Those of [`Rewarder::begin`] and of [`Scoring::finish`].
    fn score(
        &mut self,
        rewards: &[RewardPlan],
        groups: &[RolloutGroup],
    ) -> Result<Outcomes, PortError> {
        let groups: Vec<PendingGroup> = groups.iter().map(PendingGroup::from).collect();
        let count = groups.len();
        let mut scoring = self.begin(rewards, Arc::new(groups))?;
        (0..count).for_each(|group| scoring.arrived(group));
        scoring.finish()
    }
}

/// Scoring under way. Dropped before its end, it stops as soon as it can.
pub trait Scoring {
    /// The rollouts of the group at this position are there; said once for each group.
    fn arrived(&mut self, group: usize);

    /// Waits for all outcomes. No group is shared with the session any more when this returns. A reward that fails is
    /// an outcome, and is asked only about problems that it judges ([`crate::reward::applies`]): for others the outcome
    /// is [`RewardOutcome::unasked`].
    ///
    /// # Errors
    /// When the plan of a reward says to stop, or a group has not arrived.
    fn finish(self: Box<Self>) -> Result<Outcomes, PortError>;
}

/// One question to a frozen model.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgeRequest {
    /// What it goes on from.
    pub prompt: String,
    /// Tokens it may write.
    pub max_tokens: usize,
    /// 0 takes the likeliest token each time.
    pub temperature: f64,
    /// Of the draws.
    pub seed: u64,
}

/// Frozen models by name. An answer depends on the model and the request only, whatever else is asked
/// beside it or at the same time.
pub trait Judge: Send + Sync {
    /// What the model writes after each prompt.
    fn complete(&self, model: &str, batch: &[JudgeRequest]) -> Result<Vec<String>, PortError>;

    /// How likely the model finds each text after its prompt, as a natural logarithm.
    fn logprob(&self, model: &str, batch: &[(String, String)]) -> Result<Vec<f64>, PortError>;
}

/// Problems by data set and split, in a fixed order.
pub trait ProblemSource {
    /// All problems of a split.
    fn problems(&self, data: &str, split: Split) -> Result<&[Problem], PortError>;
    /// Where a person finds a problem: the file and line of its row, or the beginning of its prompt.
    fn origin(&self, problem: &Problem) -> String {
        problem.shown()
    }
}

/// Remembers facts, in the order of the calls.
///
/// When a call returns, the facts of all earlier calls are committed: a program that is killed does not lose them. The
/// call's own facts are committed too, with one exception: [`Recorder::step`] may return while its facts are still
/// being written, so that the next step is computed meanwhile. An error of that writing is returned by the next call.
/// So a run that is killed loses at most the newest step, and a run that goes on after a call has lost nothing before
/// it. A [`Recorder::checkpoint`] that has returned also outlasts a power cut, together with every fact before it;
/// other facts of the last moments may not.
pub trait Recorder {
    /// A stage begins.
    fn stage_started(&mut self, facts: &StageFacts) -> Result<(), PortError>;
    /// A step is done. Its facts may still be on their way when this returns.
    fn step(&mut self, facts: StepFacts) -> Result<(), PortError>;
    /// An evaluation is done.
    fn evaluation(&mut self, facts: &EvalFacts) -> Result<(), PortError>;
    /// A checkpoint was written.
    fn checkpoint(&mut self, facts: &CheckpointFacts) -> Result<(), PortError>;
    /// A stage ends; `weights_sha256` is that of its output.
    fn stage_finished(&mut self, facts: &StageFacts, weights_sha256: &str)
    -> Result<(), PortError>;
}
