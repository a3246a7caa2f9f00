//! What of a run is kept: facts of rollouts, and weights.

use serde::{Deserialize, Serialize};

/// What of a rollout is kept besides its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordPlan {
    /// Completion text.
    pub text: bool,
    /// Token ids.
    pub tokens: bool,
    /// Log-prob per token.
    pub logprobs: bool,
}

/// What a clean-up (`r1x gc`) leaves of older steps. A field that is `None` is kept for good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionPlan {
    /// Completion text.
    pub text: Option<StepsKept>,
    /// Token ids.
    pub tokens: Option<StepsKept>,
    /// Log-prob per token, with that under the reference, and the entropy.
    pub logprobs: Option<StepsKept>,
}

impl RetentionPlan {
    /// Whether everything is kept for good.
    pub fn is_forever(&self) -> bool {
        *self == Self::default()
    }
}

/// The steps of a stage of which a field is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepsKept {
    /// The newest so many.
    pub last_steps: u64,
    /// And each whose number is a multiple of this; `None` for no others.
    pub every: Option<u64>,
}

impl StepsKept {
    /// Whether the field is kept of a step, where `steps` are recorded.
    pub fn keeps(&self, step: u64, steps: u64) -> bool {
        step.saturating_add(self.last_steps) >= steps
            || self.every.is_some_and(|every| every > 0 && step.is_multiple_of(every))
    }
}

/// When weights are saved. The end of every training stage always is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointPlan {
    /// Every so many steps; `None` saves at stage ends only.
    pub every: Option<u64>,
    /// Periodic checkpoints kept per stage.
    pub keep: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_steps_and_every_so_many_are_kept() {
        let kept = |last_steps, every, steps| -> Vec<u64> {
            let kept = StepsKept { last_steps, every };
            (0..steps).filter(|step| kept.keeps(*step, steps)).collect()
        };
        assert_eq!(kept(2, None, 7), [5, 6]);
        assert_eq!(kept(2, Some(3), 7), [0, 3, 5, 6]);
        assert_eq!(kept(9, None, 3), [0, 1, 2]);
        assert_eq!(kept(u64::MAX, Some(0), 3), [0, 1, 2]);
        assert!(RetentionPlan::default().is_forever());
    }
}
