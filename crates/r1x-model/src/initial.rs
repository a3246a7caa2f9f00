//! The weights that a planned model begins with: draws from the seed, or those of a published model.

use r1x_core::Rng;
use r1x_core::plan::InitialWeights;
use r1x_ops::Operand;

use crate::error::ModelError;
use crate::layout::Layout;
use crate::published::Published;
use crate::weights::Weights;

/// The first weights of a model.
///
/// # Errors
/// When a published model cannot be read, is another one than the plan says, or does not fit the plan.
pub fn weights<E: Operand<Real = f32>>(
    initial: &InitialWeights,
    layout: &Layout,
    seed: u64,
) -> Result<Weights<E>, ModelError> {
    match initial {
        InitialWeights::Random => Ok(Weights::random(layout, &Rng::new(seed))),
        InitialWeights::Published { folder, sha256 } => {
            Ok(Weights::packed(layout, &Published::planned(folder, sha256, layout)?))
        }
    }
}
