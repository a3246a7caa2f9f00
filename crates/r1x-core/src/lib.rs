//! The nouns, the plan, the facts and the mathematics of r1x.
//!
//! This crate must not know tensors, files, clocks, threads or SQL. Everything here can be read in
//! any order and tested in milliseconds.

pub mod advantage;
pub mod capability;
pub mod checkpoint;
pub mod cursor;
pub mod digest;
pub mod estimate;
pub mod facts;
pub mod kl;
pub mod long_number;
pub mod loss;
pub mod markup;
pub mod parameters;
pub mod plan;
pub mod port;
pub mod problem;
pub mod reward;
pub mod rng;
pub mod rollout;
pub mod rope;
pub mod schedule;
pub mod select;
pub mod shown;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod units;
pub mod valued;

pub use capability::Capability;
pub use checkpoint::CheckpointKind;
pub use facts::{CheckpointFacts, EvalFacts, EvalMetric, EvalSample, StageFacts, StepFacts};
pub use markup::Markup;
pub use port::{
    Boundary, Encoder, Judge, JudgeRequest, Learner, Policy, PortError, ProblemSource, Recorder,
    Rewarder, Sampler, Scorer,
};
pub use problem::{Problem, PromptForm, Split};
pub use rng::{Position, Rng, Stream};
pub use rollout::{
    Completion, ConditionState, CreditedGroup, FinishReason, PendingGroup, RewardOutcome,
    RewardStatus, RewardTerm, RewardedGroup, RewardedRollout, Rollout, RolloutGroup, TrainingBatch,
    TrainingSequence,
};
