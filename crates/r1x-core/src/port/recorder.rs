//! The port to whoever remembers.

use super::PortError;
use crate::facts::{CheckpointFacts, EvalFacts, StageFacts, StepFacts};
use crate::problem::Problem;

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
    /// The worked problems that earlier attempts of the run have made in the stage at a position, in the steps before
    /// `before_step`: what [`crate::select::worked`] says of the steps that count, in their order. What their prompts were
    /// made of is not recorded, and may be missing.
    ///
    /// # Errors
    /// When they cannot be read.
    fn made(&mut self, stage: usize, before_step: u64) -> Result<Vec<Problem>, PortError>;
    /// A stage ends; `weights_sha256` is that of its output.
    fn stage_finished(&mut self, facts: &StageFacts, weights_sha256: &str)
    -> Result<(), PortError>;
}
