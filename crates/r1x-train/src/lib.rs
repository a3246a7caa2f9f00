//! The loop: stages of supervised and reinforcement learning, evaluations, checkpoints, resume.
//!
//! Knows the ports of r1x-core and nothing else: no tensors, files, clocks, WASM, SQL or YAML. Start
//! reading at `stage/grpo.rs`, whose `step` is the whole method in one screen.

mod check;
mod credit;
mod critic;
mod draw;
mod error;
mod example;
mod finite;
mod made;
mod metrics;
mod optimize;
mod pack;
mod pairs;
mod penalty;
mod place;
mod ports;
mod rehearsal;
mod resample;
mod rollout;
mod run;
mod stage;
mod unseen;

pub use check::{Checked, check, check_inputs, check_plan};
pub use error::TrainError;
pub use place::{check_cursor, check_place};
pub use ports::Ports;
pub use rehearsal::{Rehearsal, Tolerated, rehearse};
pub use run::{RunOutcome, run};
pub use unseen::{Unseen, unseen};
