//! The outside world of a run, as the stages see it.

use r1x_core::{Policy, ProblemSource, Recorder, Rewarder};

/// The outside world of a run.
pub struct Ports<'a> {
    /// The model that learns.
    pub policy: &'a mut dyn Policy,
    /// Who judges completions.
    pub rewarder: &'a mut dyn Rewarder,
    /// Where problems come from.
    pub problems: &'a dyn ProblemSource,
    /// Who remembers.
    pub recorder: &'a mut dyn Recorder,
}

impl Ports<'_> {
    /// The outside world with other problems in it.
    pub(crate) fn with<'s>(&'s mut self, problems: &'s dyn ProblemSource) -> Ports<'s> {
        Ports {
            policy: &mut *self.policy,
            rewarder: &mut *self.rewarder,
            problems,
            recorder: &mut *self.recorder,
        }
    }
}
