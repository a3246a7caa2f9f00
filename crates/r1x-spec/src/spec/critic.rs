//! The keys of a critic.

use super::ranges::*;
use super::stages::OptimizerSpec;
use crate::read::record;
use crate::schema_tree::Range;
use crate::value_types::Name;

record! {
    /// A model that learns, beside the policy, what is to come of each token (PPO). It has as many updates as the policy, of
    /// equal sequences.
    pub struct CriticSpec {
        /// The model: one of `models`, with `head: value`.
        model: Name => required;
        /// The weights that it begins with when the stage begins: `base`, which the model begins with, or the id of a stage
        /// above. A stage that works on a model of this shape that writes gives all but the head. Left out, they are those of
        /// the nearest stage above that works on the model, and `base` where there is none.
        weights: Name => optional;
        /// The factor of what comes a token later.
        gamma: f64 => default(1.0), SHARE;
        /// How far an advantage looks beyond what the critic says: at 1 to the end of the completion, at 0 to the next token.
        lambda: f64 => default(1.0), SHARE;
        /// Whether the advantages of a step's trained tokens are moved to mean 0 and divided by their standard deviation.
        whiten: bool => default(true);
        /// How far a value may move, within a step, from the one that the step began with before the loss stops following it.
        /// 0 turns it off.
        value_clip: f64 => default(0.2), Range::from(1e-9).to(1e30).or_zero();
        /// The number of steps at the beginning in which the critic learns and the policy does not.
        alone_steps: u64 => default(0), COUNT_OR_NONE;
        /// AdamW.
        optimizer: OptimizerSpec => flat;
    }
}
