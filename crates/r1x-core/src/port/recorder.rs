//! The port to whoever remembers.

use super::PortError;
use crate::facts::{CheckpointFacts, EvalFacts, StageFacts, StepFacts};
use crate::select::Kept;

/// What became of taking a stage over that was run before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Its facts are facts of this run, and it need not be run.
    Taken,
    /// No such stage is known, and nothing was recorded.
    NotKnown,
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
    /// Takes a stage over, instead of beginning it, that was run before: where the recorder knows of one whose facts are those
    /// that this stage would leave, these facts are recorded as facts of this run, and the checkpoint that the known stage ended
    /// with is the checkpoint of this stage. A recorder that knows of no other runs takes nothing over.
    ///
    /// # Errors
    /// When the facts cannot be recorded.
    fn reuse(&mut self, _facts: &StageFacts) -> Result<Reuse, PortError> {
        Ok(Reuse::NotKnown)
    }
    /// A step is done. Its facts may still be on their way when this returns.
    fn step(&mut self, facts: StepFacts) -> Result<(), PortError>;
    /// An evaluation is done.
    fn evaluation(&mut self, facts: &EvalFacts) -> Result<(), PortError>;
    /// A checkpoint was written.
    fn checkpoint(&mut self, facts: &CheckpointFacts) -> Result<(), PortError>;
    /// The completions that earlier attempts of the run have kept in the stage at a position, in the steps before
    /// `before_step`: what [`crate::select::kept`] says of the steps that count, in their order.
    ///
    /// # Errors
    /// When they cannot be read.
    fn kept(&mut self, stage: usize, before_step: u64) -> Result<Vec<Kept>, PortError>;
    /// A stage ends; `weights_sha256` is that of its output.
    fn stage_finished(&mut self, facts: &StageFacts, weights_sha256: &str)
    -> Result<(), PortError>;
}
