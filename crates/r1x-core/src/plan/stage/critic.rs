//! The plan of a critic: a model that learns, beside the policy, what is to come of every token.

use serde::{Deserialize, Serialize};

use super::WeightsFrom;
use crate::plan::{OptimizerPlan, ValueLossPlan};

/// A critic: a further model with a value head, which says of each token of a completion what all before it is worth, and
/// learns from what came of it (Proximal Policy Optimization Algorithms, 2017, arXiv 1707.06347). Its updates are those of the
/// policy: as many, of equal sequences, one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CriticPlan {
    /// The model, by its name among the further models of the run.
    pub model: String,
    /// The weights that it begins with when the stage begins.
    pub weights: WeightsFrom,
    /// The factor γ of what comes a token later, from 0 to 1.
    pub gamma: f64,
    /// The factor λ of the estimate, from 0 to 1: how far it looks beyond what the critic says.
    pub lambda: f64,
    /// Whether the advantages of a step's trained tokens are brought to mean 0 and deviation 1.
    pub whiten: bool,
    /// The steps at the beginning in which the critic learns and the policy does not.
    pub alone_steps: u64,
    /// Optimizer of the critic.
    pub optimizer: OptimizerPlan,
    /// What an update of the critic minimises.
    pub loss: ValueLossPlan,
}

impl CriticPlan {
    /// What the critic does, in words.
    pub(super) fn words(&self) -> String {
        let Self { model, weights, gamma, lambda, alone_steps, .. } = self;
        let begins = match weights {
            WeightsFrom::Base => "the weights of its model".to_owned(),
            WeightsFrom::Stage(id) => format!("the weights of stage `{id}`"),
        };
        let scaled = if self.whiten { ", over the deviation of the step" } else { "" };
        let bound = match self.loss.clip {
            Some(clip) => {
                format!("follows what came until it is {clip} from what it said before the step")
            }
            None => "follows what came without a bound".to_owned(),
        };
        let mut said = format!(
            "model `{model}` says what each token is worth, beginning with {begins}\nit {bound}\n\
             advantages: gamma {gamma}, lambda {lambda}{scaled}"
        );
        if *alone_steps > 0 {
            said.push_str(&format!("\nit learns alone for {alone_steps} steps"));
        }
        said
    }
}
