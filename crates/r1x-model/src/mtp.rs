//! How multi-token prediction is learnt: which losses ask for it, what each module is told, and what an update adds up.
//!
//! The modules are computed in `family`; what is here serves both forms of the model.

use std::sync::Arc;

use r1x_core::TrainingSequence;
use r1x_core::loss::{Loss, Said};
use r1x_core::plan::{ModelPlan, MtpPlan};

use crate::family::mtp::Ahead;
use crate::layout::{Layout, Parameter};

/// The modules of a model, and what the update that is being made has added up of them.
#[derive(Clone, Debug, Default)]
pub struct Mtp {
    /// How many modules there are.
    depth: usize,
    /// Factor of the mean of their losses.
    pub weight: f64,
    /// The mean of their losses; `None` where no batch of the update asked for them.
    sum: Option<f64>,
}

/// What a module learns from some sequences.
#[derive(Clone, Debug, Default)]
pub struct Credit {
    /// Its loss, without a factor.
    pub loss: f64,
    /// The derivative of the model's whole loss by each log-prob.
    pub gradients: Vec<f32>,
}

impl Mtp {
    /// The modules of a plan.
    pub fn new(plan: &ModelPlan) -> Self {
        match plan.mtp {
            None => Self::default(),
            Some(MtpPlan { depth, weight }) => Self { depth, weight, sum: None },
        }
    }

    /// What the modules learn by beside a loss; `None` where they are not trained with it.
    pub fn loss<'l>(&self, loss: &'l dyn Loss) -> Option<&'l dyn Loss> {
        loss.further_tokens().filter(|_| self.depth > 0 && self.weight > 0.0)
    }

    /// What a module learns from the log-probs that it gives to its targets of some sequences, one sequence after the
    /// other.
    pub fn credit(
        &self,
        loss: &dyn Loss,
        sequences: &[Arc<TrainingSequence>],
        module: usize,
        logprobs: &[f32],
    ) -> Credit {
        let factor = self.weight / self.depth as f64;
        let (mut credit, mut rest) = (Credit::default(), logprobs);
        for sequence in sequences {
            let cut = Ahead::predicted(sequence, module + 1);
            let sequence = cut.as_ref().unwrap_or(&**sequence);
            let (own, behind) = rest.split_at(sequence.tokens.len() - sequence.prompt_len);
            rest = behind;
            let output = loss.evaluate(sequence, Said::of(own));
            credit.loss += output.totals.loss;
            let gradients = output.gradient.iter();
            credit.gradients.extend(gradients.map(|g| (factor * f64::from(*g)) as f32));
        }
        credit
    }

    /// The mean of the modules' losses from their sum; a module that was not computed has none to add.
    pub fn mean(&self, sum: f64) -> f64 {
        sum / self.depth as f64
    }

    /// Adds the mean loss of a micro-batch to those of the update.
    pub fn add(&mut self, loss: Option<f64>) {
        if let Some(loss) = loss {
            *self.sum.get_or_insert(0.0) += loss;
        }
    }

    /// The trained parameters that the update changes: modules that were not computed stay as they are, and nothing decays
    /// in them.
    pub fn changed<'l>(&self, layout: &'l Layout) -> &'l [Parameter] {
        let trained = &layout.trained().parameters;
        match self.sum {
            None if layout.adapters.is_none() => &trained[..layout.without_mtp],
            None | Some(_) => trained,
        }
    }

    /// What is recorded of an update, after which the next one begins.
    pub fn take(&mut self) -> Option<(String, f64)> {
        self.sum.take().map(|loss| ("mtp.loss".to_owned(), loss))
    }
}
