//! A model on whichever device a run uses: the CPU's kernels, or tensors on a card.

use std::path::{Path, PathBuf};

use half::bf16;
use r1x_core::plan::{InitialWeights, ModelPlan, Precision};
use r1x_core::port::{Cursor, SavedCheckpoint};
use r1x_core::{Policy, PortError};
use r1x_ops::Operand;
use r1x_ops::device::Device;

use crate::checkpoint::{Expected, Home, Place, WriteInside};
use crate::error::ModelError;
use crate::initial::Given;
use crate::policy::DecoderPolicy;
use crate::published::Published;
use crate::tensor::TensorPolicy;

/// A policy whose state can be read back from a checkpoint, whichever device wrote it.
pub trait Model: Policy {
    /// Trained numbers in the model.
    fn parameter_count(&self) -> usize;
    /// Says where checkpoints go from now on: a run gets its folder when it begins, and its model is there before.
    fn keep_in(&mut self, home: Home);
    /// Loads the weights of a checkpoint folder, to sample from or to start with.
    ///
    /// # Errors
    /// When files are missing, changed, of another shape, or not what is expected.
    fn load_weights(&mut self, folder: &Path, expected: &Expected<'_>) -> Result<(), PortError>;
    /// Loads the weights of a checkpoint folder but for the head of a model that says values, which stays as it is. So such
    /// a model begins with the body of one that writes.
    ///
    /// # Errors
    /// As [`Model::load_weights`], and when the weights cannot be changed.
    fn load_body(&mut self, folder: &Path, expected: &Expected<'_>) -> Result<(), PortError>;
    /// Loads the weights of a published model, to sample from or to start with.
    ///
    /// # Errors
    /// When files are missing, or their tensors are not those of the configuration.
    fn load_published(&mut self, published: &Published) -> Result<(), PortError>;
    /// Loads everything of a checkpoint folder and returns where to go on.
    ///
    /// # Errors
    /// When files are missing, changed, of another shape, or not what is expected.
    fn load(&mut self, folder: &Path, expected: &Expected<'_>) -> Result<Place, PortError>;
    /// Writes a checkpoint called `name` at `home`, whole or not at all ([`r1x_core::Learner::save`]), and in it the checkpoint
    /// of a critic that learns beside the model, where there is one.
    ///
    /// # Errors
    /// When the weights of either never change, or the files cannot be written.
    fn write(
        &self,
        home: &Home,
        name: &str,
        cursor: &Cursor,
        critic: Option<WriteInside<'_>>,
    ) -> Result<SavedCheckpoint, ModelError>;
}

impl<E: Operand<Real = f32>> Model for DecoderPolicy<E> {
    fn parameter_count(&self) -> usize {
        self.parameter_count()
    }

    fn keep_in(&mut self, home: Home) {
        self.home = home;
    }

    fn load_weights(&mut self, folder: &Path, expected: &Expected<'_>) -> Result<(), PortError> {
        Ok(self.load_weights(folder, expected)?)
    }

    fn load_body(&mut self, folder: &Path, expected: &Expected<'_>) -> Result<(), PortError> {
        Ok(self.load_body(folder, expected)?)
    }

    fn load_published(&mut self, published: &Published) -> Result<(), PortError> {
        Ok(self.load_published(published)?)
    }

    fn load(&mut self, folder: &Path, expected: &Expected<'_>) -> Result<Place, PortError> {
        Ok(self.load(folder, expected)?)
    }

    fn write(
        &self,
        home: &Home,
        name: &str,
        cursor: &Cursor,
        critic: Option<WriteInside<'_>>,
    ) -> Result<SavedCheckpoint, ModelError> {
        self.write(home, name, cursor, critic)
    }
}

impl Model for TensorPolicy {
    fn parameter_count(&self) -> usize {
        self.parameter_count()
    }

    fn keep_in(&mut self, home: Home) {
        self.home = home;
    }

    fn load_weights(&mut self, folder: &Path, expected: &Expected<'_>) -> Result<(), PortError> {
        Ok(self.load_weights(folder, expected)?)
    }

    fn load_body(&mut self, folder: &Path, expected: &Expected<'_>) -> Result<(), PortError> {
        Ok(self.load_body(folder, expected)?)
    }

    fn load_published(&mut self, published: &Published) -> Result<(), PortError> {
        Ok(self.load_published(published)?)
    }

    fn load(&mut self, folder: &Path, expected: &Expected<'_>) -> Result<Place, PortError> {
        Ok(self.load(folder, expected)?)
    }

    fn write(
        &self,
        home: &Home,
        name: &str,
        cursor: &Cursor,
        critic: Option<WriteInside<'_>>,
    ) -> Result<SavedCheckpoint, ModelError> {
        self.write(home, name, cursor, critic)
    }
}

/// A model with fresh weights from `seed` on a device; checkpoints go under `folder`. On the CPU it is the
/// hand-written kernels on this many threads, elsewhere candle's tensors.
///
/// # Errors
/// When the tokenizer cannot be built, or the device's memory does not suffice.
pub fn fresh(
    plan: &ModelPlan,
    seed: u64,
    threads: usize,
    folder: PathBuf,
    device: &Device,
) -> Result<Box<dyn Model>, ModelError> {
    if !device.is_cpu() {
        return Ok(Box::new(TensorPolicy::new(plan, seed, folder, device)?));
    }
    Ok(on_cpu(plan, seed, threads, folder)?)
}

/// A model with fresh weights from `seed` on the CPU, on this many threads; checkpoints go under `folder`. It may go
/// from thread to thread, which one on a device may not.
///
/// # Errors
/// When the tokenizer cannot be built.
pub fn on_cpu(
    plan: &ModelPlan,
    seed: u64,
    threads: usize,
    folder: PathBuf,
) -> Result<Box<dyn Model + Send>, ModelError> {
    Ok(match plan.precision {
        Precision::F32 => Box::new(DecoderPolicy::<f32>::new(plan, seed, threads, folder)?),
        Precision::Bf16 => Box::new(DecoderPolicy::<bf16>::new(plan, seed, threads, folder)?),
    })
}

/// A model on a device that samples and scores with given weights; see [`answering_on_cpu`].
///
/// # Errors
/// When the tokenizer cannot be built, the weights cannot be read, or the device's memory does not suffice.
pub fn answering(
    plan: &ModelPlan,
    threads: usize,
    device: &Device,
    given: Given<'_>,
) -> Result<Box<dyn Model>, ModelError> {
    if device.is_cpu() {
        return Ok(answering_on_cpu(plan, threads, given)?);
    }
    let random = ModelPlan { initial: InitialWeights::Random, ..plan.clone() };
    // What adapters stand beside is not in their checkpoint.
    let (plan, seed) = match given {
        Given::Checkpoint { seed, .. } if plan.lora.is_some() => (plan, seed),
        Given::Checkpoint { .. } | Given::Published(_) => (&random, 0),
    };
    let mut policy = TensorPolicy::new(plan, seed, PathBuf::new(), device)?;
    match given {
        Given::Published(published) => policy.load_published(published)?,
        Given::Checkpoint { folder, expected, .. } => policy.load_weights(folder, expected)?,
    }
    Ok(Box::new(policy))
}

/// A model on the CPU that samples and scores with given weights, on this many threads. It never learns, and takes the
/// memory of its weights once.
///
/// # Errors
/// When the tokenizer cannot be built, or the weights cannot be read.
pub fn answering_on_cpu(
    plan: &ModelPlan,
    threads: usize,
    given: Given<'_>,
) -> Result<Box<dyn Model + Send>, ModelError> {
    Ok(match plan.precision {
        Precision::F32 => Box::new(DecoderPolicy::<f32>::answering(plan, threads, given)?),
        Precision::Bf16 => Box::new(DecoderPolicy::<bf16>::answering(plan, threads, given)?),
    })
}
