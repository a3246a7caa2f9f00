//! The weights that a planned model begins with: draws from the seed, those of a published model and of published
//! adapters, or those of a checkpoint; and those of a model that never learns.

use std::path::Path;

use r1x_core::Rng;
use r1x_core::plan::{InitialWeights, ModelPlan};
use r1x_ops::Operand;

use crate::checkpoint::{self, Expected};
use crate::error::ModelError;
use crate::layout::Layout;
use crate::published::{MissingHead, Published, adapter};
use crate::weights::{Freezing, Passes, Weights};

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

    /// The seed of draws.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The weights, packed on some threads.
    ///
    /// # Errors
    /// When weights cannot be read, are others than the plan says, or do not fit the plan.
    pub fn weights<E: Operand<Real = f32>>(
        &self,
        layout: &Layout,
        threads: usize,
    ) -> Result<Weights<E>, ModelError> {
        let mut weights = match &self.model {
            InitialWeights::Random => Weights::random(layout, &Rng::new(self.seed)),
            InitialWeights::Published { folder, sha256 } => {
                let published = Published::planned(folder, sha256)?;
                learning(&published, layout, threads, MissingHead::Drawn(self.seed))?
            }
            // Beside adapters a checkpoint has no more than those, so no plan says so.
            InitialWeights::Checkpoint { folder, .. } if layout.adapters.is_some() => {
                let reason = "adapters need a published model to stand beside".to_owned();
                return Err(ModelError::Checkpoint { path: folder.clone(), reason });
            }
            InitialWeights::Checkpoint { folder, sha256 } => {
                let expected = Expected::with_weights(sha256);
                let numbers = checkpoint::load_weights(Path::new(folder), layout, &expected)?;
                Weights::learning(layout, numbers, threads)
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
        threads: usize,
    ) -> Result<(), ModelError> {
        match &layout.adapters {
            None => *weights = self.weights(layout, threads)?,
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
                weights.draw_adapters(layout, &Rng::new(self.seed));
                weights.edit(layout, 1, |values, _| values.copy_from_slice(&numbers));
            }
            Some(InitialWeights::Checkpoint { folder, sha256 }) => {
                let expected = Expected::with_weights(sha256);
                let numbers = checkpoint::load_weights(Path::new(folder), layout, &expected)?;
                weights.set(layout, &numbers, 1);
            }
        }
        Ok(())
    }
}

/// The weights of a published model, to learn from them; those of its adapters, where the layout has any, are zeros. What
/// becomes of a value head that it does not have is said.
///
/// # Errors
/// When files are missing, or their tensors are not those of the configuration.
pub fn learning<E: Operand<Real = f32>>(
    published: &Published,
    layout: &Layout,
    threads: usize,
    missing: MissingHead,
) -> Result<Weights<E>, ModelError> {
    if layout.adapters.is_none() {
        return Ok(Weights::learning(layout, published.numbers_with(layout, missing)?, threads));
    }
    let mut freezing = Freezing::new(layout);
    published.hand_to(layout, &mut freezing)?;
    Ok(freezing.done(Passes::Both).with_zero_adapters(layout))
}

/// Whose weights a model that never learns has.
#[derive(Clone, Copy, Debug)]
pub enum Given<'a> {
    /// The weights of a published model.
    Published(&'a Published),
    /// The weights of a checkpoint.
    Checkpoint {
        /// Its folder.
        folder: &'a Path,
        /// What is known of it.
        expected: &'a Expected<'a>,
        /// The seed of its run, from which weights are drawn that are not in it.
        seed: u64,
    },
}

/// Weights of a planned model that never learns.
///
/// # Errors
/// When files are missing, changed, of another shape, or not what is expected.
pub fn answering<E: Operand<Real = f32>>(
    plan: &ModelPlan,
    given: Given<'_>,
    layout: &Layout,
) -> Result<Weights<E>, ModelError> {
    match given {
        // A checkpoint of adapters has no more than those.
        Given::Checkpoint { folder, expected, seed } if layout.adapters.is_some() => {
            let mut weights = First::of(plan, seed).weights(layout, 1)?;
            weights.set(layout, &checkpoint::load_weights(folder, layout, expected)?, 1);
            Ok(weights)
        }
        Given::Published(_) | Given::Checkpoint { .. } => frozen(given, layout),
    }
}

/// Weights that never learn, of a model without adapters.
///
/// # Errors
/// When files are missing, changed, of another shape, or not what is expected.
pub fn frozen<E: Operand<Real = f32>>(
    given: Given<'_>,
    layout: &Layout,
) -> Result<Weights<E>, ModelError> {
    let mut freezing = Freezing::new(layout);
    match given {
        Given::Published(published) => published.hand_to(layout, &mut freezing)?,
        Given::Checkpoint { folder, expected, .. } => {
            checkpoint::take_weights(folder, layout, expected, &mut freezing)?;
        }
    }
    Ok(freezing.done(Passes::Forward))
}
