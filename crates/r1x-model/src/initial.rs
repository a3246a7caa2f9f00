//! The weights that a planned model begins with: draws from the seed, or those of a published model and of published
//! adapters.

use std::path::Path;

use r1x_core::Rng;
use r1x_core::plan::{InitialWeights, ModelPlan};
use r1x_ops::Operand;

use crate::error::ModelError;
use crate::layout::Layout;
use crate::published::{Published, adapter};
use crate::weights::Weights;

/// Where the first weights of a model come from.
#[derive(Clone, Debug)]
pub struct First {
    /// The model itself.
    model: InitialWeights,
    /// Its adapters, where it has any.
    adapters: Option<InitialWeights>,
    /// The seed of draws.
    seed: u64,
}

impl First {
    /// What a plan says.
    pub fn of(plan: &ModelPlan, seed: u64) -> Self {
        let adapters = plan.lora.as_ref().map(|lora| lora.initial.clone());
        Self { model: plan.initial.clone(), adapters, seed }
    }

    /// The weights.
    ///
    /// # Errors
    /// When published weights cannot be read, are others than the plan says, or do not fit the plan.
    pub fn weights<E: Operand<Real = f32>>(
        &self,
        layout: &Layout,
    ) -> Result<Weights<E>, ModelError> {
        let mut weights = match &self.model {
            InitialWeights::Random => Weights::random(layout, &Rng::new(self.seed)),
            InitialWeights::Published { folder, sha256 } => {
                Weights::of_model(layout, &Published::planned(folder, sha256, layout)?)
            }
        };
        self.set_adapters(layout, &mut weights)?;
        Ok(weights)
    }

    /// Gives weights their first values again. What is never changed is not read again.
    ///
    /// # Errors
    /// As those of [`First::weights`].
    pub fn reset<E: Operand<Real = f32>>(
        &self,
        layout: &Layout,
        weights: &mut Weights<E>,
    ) -> Result<(), ModelError> {
        match &layout.adapters {
            None => *weights = self.weights(layout)?,
            Some(_) => self.set_adapters(layout, weights)?,
        }
        Ok(())
    }

    fn set_adapters<E: Operand<Real = f32>>(
        &self,
        layout: &Layout,
        weights: &mut Weights<E>,
    ) -> Result<(), ModelError> {
        match &self.adapters {
            None => {}
            Some(InitialWeights::Random) => weights.draw_adapters(layout, &Rng::new(self.seed)),
            Some(InitialWeights::Published { folder, sha256 }) => {
                let numbers = adapter::planned(Path::new(folder), sha256, layout)?;
                weights.edit(layout, 1, |values, _| values.copy_from_slice(&numbers));
            }
        }
        Ok(())
    }
}
