//! The ports: what the training loop asks of the outside world, and what a reward asks of it.
//!
//! The loop (r1x-train) knows these traits and nothing else; adapters live in the other crates. A test holds the loop
//! to it: r1x-train depends on r1x-core alone.
//!
//! A model is asked through one small port for each thing that it can do: [`Encoder`] turns text into tokens,
//! [`Sampler`] writes, [`Scorer`] says how likely given tokens are, [`Learner`] changes its weights. A [`Policy`] does
//! all of it; [`Models`] are policies that take turns. Frozen weights beside those that learn have names, so a reference, a teacher and a judge differ in nothing
//! else.

mod error;
mod judge;
mod model;
mod problems;
mod recorder;
mod reward;
mod wrapper;

pub use crate::cursor::Cursor;
pub use error::{Boundary, PortError};
pub use judge::{Judge, JudgeRequest};
pub use model::{
    AveragePart, EarlierWeights, Encoder, GenerateRequest, Learner, Models, OnlyModel, Policy,
    REFERENCE, Sampler, SavedCheckpoint, Scorer, UpdateFacts, WeightChoice,
};
pub use problems::ProblemSource;
pub use recorder::{Recorder, Reuse};
pub use reward::{Outcomes, PendingGroups, ReadColumns, Rehearsable, Rewarder, Scoring};
pub use wrapper::PolicyWrapper;
