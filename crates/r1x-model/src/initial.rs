//! The weights that a planned model begins with: draws from the seed, or those of a published model; and those of a
//! model that never learns.

use std::path::Path;

use r1x_core::Rng;
use r1x_core::plan::InitialWeights;
use r1x_ops::Operand;

use crate::checkpoint::{self, Expected};
use crate::error::ModelError;
use crate::layout::Layout;
use crate::published::Published;
use crate::weights::{Freezing, Weights};

/// The first weights of a model, packed on some threads.
///
/// # Errors
/// When a published model cannot be read, is another one than the plan says, or does not fit the plan.
pub fn weights<E: Operand<Real = f32>>(
    initial: &InitialWeights,
    layout: &Layout,
    seed: u64,
    threads: usize,
) -> Result<Weights<E>, ModelError> {
    match initial {
        InitialWeights::Random => Ok(Weights::random(layout, &Rng::new(seed))),
        InitialWeights::Published { folder, sha256 } => {
            let numbers = Published::planned(folder, sha256, layout)?;
            Ok(Weights::learning(layout, numbers, threads))
        }
    }
}

/// Whose weights a model that never learns has.
#[derive(Clone, Copy, Debug)]
pub enum Given<'a> {
    /// The weights of a published model.
    Published(&'a Published),
    /// The weights of a checkpoint folder, which is what is expected.
    Checkpoint(&'a Path, &'a Expected<'a>),
}

/// Weights that never learn.
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
        Given::Checkpoint(folder, expected) => {
            checkpoint::take_weights(folder, layout, expected, &mut freezing)?;
        }
    }
    Ok(freezing.done())
}
