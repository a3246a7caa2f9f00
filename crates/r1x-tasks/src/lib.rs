//! Problems: generated Countdown problems, problems read from JSON lines, their prompts and vocabularies; chat
//! templates.
//!
//! Implements the `ProblemSource` port. Must not know models, training or rewards.

pub mod chat;
pub mod dataset;
mod digest;
mod error;
mod prompt;
mod source;
mod template;
pub mod vocabulary;

pub use chat::{ChatTemplate, Message};
pub use dataset::{Column, DataSet, Survey, load, survey};
pub use error::TaskError;
pub use prompt::unreserved;
pub use source::Problems;
pub use vocabulary::{vocabulary, words};
