//! The port to rewards.

use std::sync::Arc;

use super::PortError;
use crate::plan::RewardPlan;
use crate::rollout::{PendingGroup, RewardOutcome, RolloutGroup};

/// Outcomes of rewards as `[reward][group][rollout]`.
pub type Outcomes = Vec<Vec<Vec<RewardOutcome>>>;

/// The groups of one scoring, shared between the loop, which makes them complete, and whoever judges them meanwhile.
pub type PendingGroups = Arc<Vec<PendingGroup>>;

/// Judges completions.
pub trait Rewarder {
    /// Begins to score every rollout of some groups with every reward named. Rollouts may still be on their way: the
    /// session is told of each group whose rollouts are there. The outcomes depend on rewards and groups only, not on
    /// the order in which the groups arrive.
    ///
    /// # Errors
    /// When a reward is unknown, or cannot be asked about these problems.
    fn begin(
        &mut self,
        rewards: &[RewardPlan],
        groups: PendingGroups,
    ) -> Result<Box<dyn Scoring + '_>, PortError>;

    /// Scores groups that are all there.
    ///
    /// # Errors
    /// The errors of [`Rewarder::begin`] and of [`Scoring::finish`].
    fn score(
        &mut self,
        rewards: &[RewardPlan],
        groups: &[RolloutGroup],
    ) -> Result<Outcomes, PortError> {
        let groups: Vec<PendingGroup> = groups.iter().map(PendingGroup::from).collect();
        let count = groups.len();
        let mut scoring = self.begin(rewards, Arc::new(groups))?;
        (0..count).for_each(|group| scoring.arrived(group));
        scoring.finish()
    }
}

/// The columns of a problem that a reward reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadColumns<'a> {
    /// Columns it cannot do without.
    pub required: &'a [String],
    /// Columns it reads where they are.
    pub optional: &'a [String],
}

/// A [`Rewarder`] whose rewards can be rehearsed: asked, before a run begins, about the rows that tell most about them.
///
/// Whoever rehearses chooses these rows by what a reward reads and by what a call costs, and stops when further rows
/// are not worth their time. The loop itself asks none of this, so a rewarder that is never rehearsed needs none of it.
pub trait Rehearsable: Rewarder {
    /// The columns that a reward reads; none for a reward that this rewarder does not have.
    fn columns(&self, reward: &str) -> ReadColumns<'_>;

    /// Whether a call of this reward takes long by its nature, because the reward runs a program or asks a model.
    fn is_costly(&self, reward: &str) -> bool;

    /// Whether a rollout of the newest scoring took all the time that its reward may take.
    fn met_deadline(&self) -> bool;
}

/// Scoring under way. Dropped before its end, it stops as soon as it can.
pub trait Scoring {
    /// The rollouts of the group at this position are there; said once for each group.
    fn arrived(&mut self, group: usize);

    /// Waits for all outcomes. No group is shared with the session any more when this returns. A reward that fails is
    /// an outcome, and is asked only about problems that it judges ([`crate::reward::applies`]): for others the outcome
    /// is [`RewardOutcome::unasked`].
    ///
    /// # Errors
    /// When the plan of a reward says to stop, or a group has not arrived.
    fn finish(self: Box<Self>) -> Result<Outcomes, PortError>;
}
