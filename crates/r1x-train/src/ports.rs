//! The outside world of a run, as the stages see it.

use r1x_core::port::Models;
use r1x_core::{ProblemSource, Recorder, Rewarder};

/// The outside world of a run.
pub struct Ports<'a> {
    /// The model that learns, which may be another one in another stage.
    pub policy: &'a mut dyn Models,
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
