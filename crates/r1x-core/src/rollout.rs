//! The pipeline of one step as types: each stage of it has a type of its own.
//!
//! `Problem ▶ PendingGroup ▶ RolloutGroup ▶ RewardedGroup ▶ CreditedGroup ▶ TrainingBatch`.

use std::sync::{Arc, OnceLock};

use crate::problem::Problem;

/// Why a completion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The policy produced its end-of-sequence token, which is the last token of the completion.
    Stop,
    /// `max_tokens` was reached first: the completion is truncated.
    Length,
    /// Nobody has said: another system sampled the completion.
    Unknown,
}

impl FinishReason {
    /// The word used in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::Unknown => "unknown",
        }
    }
}

/// What a policy's generator returns for one sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// Completion tokens, the end-of-sequence token included when `finish` is `Stop`.
    pub tokens: Vec<u32>,
    /// Log-probability of each token under the full distribution at the sampling temperature, nats.
    pub logprobs: Vec<f32>,
    /// Entropy of that distribution at each position, nats.
    pub entropies: Vec<f32>,
    /// Why it ended.
    pub finish: FinishReason,
}

impl Completion {
    /// The first token whose log-prob or entropy is not finite: its position, which of both it is, and the value.
    pub fn not_finite(&self) -> Option<(usize, &'static str, f32)> {
        let first = |what: &'static str, values: &[f32]| {
            let token = values.iter().position(|value| !value.is_finite())?;
            Some((token, what, values[token]))
        };
        let found = [first("log-prob", &self.logprobs), first("entropy", &self.entropies)];
        found.into_iter().flatten().min_by_key(|(token, ..)| *token)
    }
}

/// One sampled completion with its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// Tokens and log-probabilities as sampled.
    pub completion: Completion,
    /// The completion decoded without the end-of-sequence token.
    pub text: String,
}

/// A prompt whose rollouts are being sampled. What was asked is known from the beginning; the rollouts arrive
/// once, all together, and may be read while other groups are still waiting for theirs.
#[derive(Clone, Debug)]
pub struct PendingGroup {
    /// The problem asked.
    pub problem: Problem,
    /// Its tokenised prompt.
    pub prompt_tokens: Vec<u32>,
    /// How many rollouts there will be.
    pub samples: usize,
    rollouts: OnceLock<Vec<Rollout>>,
}

impl PendingGroup {
    /// A group that waits for its rollouts.
    pub fn new(problem: Problem, prompt_tokens: Vec<u32>, samples: usize) -> Self {
        Self { problem, prompt_tokens, samples, rollouts: OnceLock::new() }
    }

    /// The rollouts are here. False when they are not as many as were asked for, or came before.
    pub fn arrive(&self, rollouts: Vec<Rollout>) -> bool {
        rollouts.len() == self.samples && self.rollouts.set(rollouts).is_ok()
    }

    /// The rollouts, if they are here.
    pub fn rollouts(&self) -> Option<&[Rollout]> {
        self.rollouts.get().map(Vec::as_slice)
    }

    /// The group as a whole, if its rollouts are here.
    pub fn complete(self) -> Option<RolloutGroup> {
        let Self { problem, prompt_tokens, rollouts, .. } = self;
        let rollouts = rollouts.into_inner()?;
        Some(RolloutGroup { problem, prompt_tokens, rollouts })
    }
}

impl From<&RolloutGroup> for PendingGroup {
    fn from(group: &RolloutGroup) -> Self {
        let RolloutGroup { problem, prompt_tokens, rollouts } = group.clone();
        let pending = Self::new(problem, prompt_tokens, rollouts.len());
        pending.arrive(rollouts);
        pending
    }
}

/// All rollouts of one prompt in one step.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutGroup {
    /// The problem asked.
    pub problem: Problem,
    /// Its tokenised prompt.
    pub prompt_tokens: Vec<u32>,
    /// `group_size` rollouts.
    pub rollouts: Vec<Rollout>,
}

/// How scoring one rollout with one reward ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardStatus {
    /// A finite value.
    Ok,
    /// The reward has no opinion.
    Abstain,
    /// The deadline passed, twice.
    Timeout,
    /// The guest trapped or returned an error.
    Trap,
    /// NaN, infinite, out of the declared range, or a list of the wrong length.
    Invalid,
    /// The reward does not judge this problem, and was not asked.
    Unasked,
}

impl RewardStatus {
    /// The word used in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            RewardStatus::Ok => "ok",
            RewardStatus::Abstain => "abstain",
            RewardStatus::Timeout => "timeout",
            RewardStatus::Trap => "trap",
            RewardStatus::Invalid => "invalid",
            RewardStatus::Unasked => "unasked",
        }
    }
}

/// What one reward said about one rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct RewardOutcome {
    /// The value, `None` unless the status is `Ok` (or a failure the plan turns into zero).
    pub value: Option<f64>,
    /// How scoring ended.
    pub status: RewardStatus,
    /// Named sub-scores.
    pub parts: Vec<(String, f64)>,
    /// A sentence for people: the guest's own, or what went wrong.
    pub info: Option<String>,
}

impl RewardOutcome {
    /// The outcome of a reward that does not judge the problem.
    pub fn unasked() -> Self {
        Self { value: None, status: RewardStatus::Unasked, parts: Vec::new(), info: None }
    }
}

/// Whether the condition of a reward (`only_if` in a spec) is met in a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionState {
    /// The deciding reward reaches the bound.
    Met,
    /// The deciding reward stays below the bound.
    Unmet,
    /// The deciding reward has no value, so nobody knows.
    Unknown,
}

impl ConditionState {
    /// The word used in the column `gate` of the store, and hashed into digests.
    pub fn as_str(self) -> &'static str {
        match self {
            ConditionState::Met => "open",
            ConditionState::Unmet => "closed",
            ConditionState::Unknown => "unknown",
        }
    }
}

/// How one reward's outcome enters a rollout's total.
#[derive(Clone, Debug, PartialEq)]
pub struct RewardTerm {
    /// The outcome's value, moved into the reward's bounds.
    pub clipped: Option<f64>,
    /// Whether its condition is met; `None` for a reward without a condition.
    pub condition: Option<ConditionState>,
    /// What is weighted: the clipped value, or what its condition makes of it.
    pub counted: Option<f64>,
    /// The reward's weight at this step.
    pub weight: f64,
    /// The counted value compared with the others of its group; `None` where totals are compared instead.
    pub normalized: Option<f64>,
}

/// A rollout with one outcome per reward of the stage and their weighted total.
#[derive(Clone, Debug, PartialEq)]
pub struct RewardedRollout {
    /// The rollout.
    pub rollout: Rollout,
    /// One outcome per reward, in the order of the stage's list.
    pub outcomes: Vec<RewardOutcome>,
    /// What becomes of each outcome, in the same order.
    pub terms: Vec<RewardTerm>,
    /// Σ weight · counted value over the rewards that have both; `None` when none has, which is not the total 0.
    pub unclipped: Option<f64>,
    /// `unclipped`, moved into the stage's bounds of totals.
    pub total: Option<f64>,
}

/// A group after scoring.
#[derive(Clone, Debug, PartialEq)]
pub struct RewardedGroup {
    /// The problem asked.
    pub problem: Problem,
    /// Its tokenised prompt.
    pub prompt_tokens: Vec<u32>,
    /// The scored rollouts.
    pub rollouts: Vec<RewardedRollout>,
}

/// A group after credit assignment.
#[derive(Clone, Debug, PartialEq)]
pub struct CreditedGroup {
    /// The scored group.
    pub group: RewardedGroup,
    /// The advantage of each rollout; empty where nobody learns from the group.
    pub advantages: Vec<f64>,
    /// True when all totals (or, where rewards are compared one by one, all values of each) are equal, so the
    /// group teaches nothing.
    pub zero_signal: bool,
}

impl CreditedGroup {
    /// A group whose rollouts nobody compares with each other: they have no advantages.
    pub fn uncompared(group: RewardedGroup) -> Self {
        Self { group, advantages: Vec::new(), zero_signal: false }
    }
}

/// One sequence to train on. The tokens after its prompt are **targets**: each is predicted from all tokens before it,
/// and the loss falls on those that the mask names. A conversation of several turns is one sequence, in which what
/// others wrote (a user, a tool) is masked. Every list about targets has one entry per target, or is empty where
/// nobody needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingSequence {
    /// The prompt, then the targets.
    pub tokens: Vec<u32>,
    /// How many tokens are the prompt, at least 1. Neighbours with equal prompts may share their computation.
    pub prompt_len: usize,
    /// Which targets the loss falls on.
    pub mask: Vec<bool>,
    /// What each target earned, relative to what was expected; empty for supervised stages.
    pub advantages: Vec<f64>,
    /// Log-probs recorded when the targets were sampled; empty for supervised stages.
    pub sampled_logprobs: Vec<f32>,
    /// Log-probs under the reference policy; empty when no loss compares with one.
    pub reference_logprobs: Vec<f32>,
    /// What a teacher says of the targets; of width 0 when no loss learns from one.
    pub candidates: Candidates,
    /// What a critic learns to say of the targets, in reward units; empty unless a critic learns from the sequence.
    pub returns: Vec<f64>,
    /// What a critic has said of the targets before it learns, in reward units; empty unless a critic learns from the
    /// sequence.
    pub values: Vec<f32>,
}

/// Tokens that could stand at each target of a sequence, and how likely somebody takes them to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates {
    /// How many tokens each target has.
    pub width: usize,
    /// The tokens, `[targets, width]`; no token occurs twice at a target.
    pub tokens: Vec<u32>,
    /// Their log-probs in nats, `[targets, width]`.
    pub logprobs: Vec<f32>,
}

impl Candidates {
    /// Candidates of the targets of packed sequences, one after the other, `width` tokens and log-probs at each target,
    /// cut at the ends of the sequences.
    ///
    /// # Panics
    /// When there are fewer than the sequences have targets.
    pub fn by_sequence(
        (width, tokens, logprobs): (usize, &[u32], &[f32]),
        sequences: &[Arc<TrainingSequence>],
    ) -> Vec<Self> {
        let mut at = 0;
        let mut cut = |sequence: &Arc<TrainingSequence>| {
            let rows = at..at + sequence.mask.len() * width;
            at = rows.end;
            Self { width, tokens: tokens[rows.clone()].to_vec(), logprobs: logprobs[rows].to_vec() }
        };
        sequences.iter().map(&mut cut).collect()
    }

    /// The candidates of the targets from `first` on.
    pub fn from_target(&self, first: usize) -> Self {
        let at = first * self.width;
        Self {
            width: self.width,
            tokens: self.tokens.get(at..).unwrap_or_default().to_vec(),
            logprobs: self.logprobs.get(at..).unwrap_or_default().to_vec(),
        }
    }
}

impl TrainingSequence {
    /// A prompt and what follows it, every token of which the loss falls on.
    pub fn new(prompt: &[u32], targets: &[u32]) -> Self {
        Self {
            tokens: [prompt, targets].concat(),
            prompt_len: prompt.len(),
            mask: vec![true; targets.len()],
            ..Self::default()
        }
    }

    /// The sequence with its first targets as a part of the prompt: only those from `first` on are predicted. `first` is
    /// at most the number of targets.
    pub fn from_target(&self, first: usize) -> Self {
        fn rest<T: Clone>(of_targets: &[T], first: usize) -> Vec<T> {
            of_targets.get(first..).unwrap_or_default().to_vec()
        }
        Self {
            tokens: self.tokens.clone(),
            prompt_len: self.prompt_len + first,
            mask: rest(&self.mask, first),
            advantages: rest(&self.advantages, first),
            sampled_logprobs: rest(&self.sampled_logprobs, first),
            reference_logprobs: rest(&self.reference_logprobs, first),
            candidates: self.candidates.from_target(first),
            returns: rest(&self.returns, first),
            values: rest(&self.values, first),
        }
    }
}

impl AsRef<TrainingSequence> for TrainingSequence {
    fn as_ref(&self) -> &TrainingSequence {
        self
    }
}

/// Sequences of one optimizer update.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingBatch {
    /// The sequences; their order is part of the result's bits. Shared with whoever
    /// made them, because an update holds every sequence of a step once more.
    pub sequences: Vec<Arc<TrainingSequence>>,
    /// How many sequences are computed together; changes speed and rounding, not the mathematics.
    pub micro_batch_size: usize,
    /// Softmax temperature of the log-probs.
    pub temperature: f32,
    /// Neighbours with the same prompt compute it once; changes speed and the rounding of gradients.
    pub share_prompts: bool,
}
