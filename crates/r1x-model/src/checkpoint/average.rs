//! The average of weights: several checkpoints read one after the other into one sum, so that however many there are,
//! the numbers of one model are held, and of a second one where adapters are merged into it.

use std::path::Path;

use r1x_core::plan::ModelPlan;
use r1x_core::port::AveragePart;

use super::{Expected, Home, Numbers, Sink, take_weights};
use crate::error::ModelError;
use crate::layout::{Layout, Parameter};

/// A sum of weights to which a part is being added.
struct Sum {
    numbers: Numbers,
    /// What the numbers of the part are multiplied by.
    share: f64,
}

impl Sum {
    fn add(sums: &mut [f32], values: &[f32], share: f64) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = (f64::from(*sum) + share * f64::from(*value)) as f32;
        }
    }
}

impl Sink for Sum {
    fn take(&mut self, parameter: &Parameter, first: usize, values: &[f32]) {
        let from = parameter.offset - self.numbers.start + first * parameter.columns();
        Self::add(&mut self.numbers.values[from..][..values.len()], values, self.share);
    }

    fn take_biases(&mut self, index: usize, values: &[f32]) {
        Self::add(&mut self.numbers.biases[index], values, self.share);
    }
}

/// Hands the numbers of a checkpoint to a sum; those of a model with adapters are of the model that they are merged into.
type Merge<'m> =
    &'m dyn Fn(&ModelPlan, (&Path, &Expected<'_>), &mut dyn Sink) -> Result<(), ModelError>;

/// The weighted average of checkpoints at home, whose adapters `merge` merges, and of the weights that a model begins with,
/// which `initial` makes; see [`r1x_core::port::EarlierWeights::Average`].
///
/// # Errors
/// When a checkpoint cannot be read whole, and where what is trained are adapters.
pub(crate) fn average(
    home: &Home,
    layout: &Layout,
    parts: &[AveragePart<'_>],
    initial: impl Fn() -> Result<Numbers, ModelError>,
    merge: Merge<'_>,
) -> Result<Numbers, ModelError> {
    if layout.adapters.is_some() {
        return Err(ModelError::AverageOfAdapters);
    }
    let mut sum = Sum { numbers: Numbers::zeros(layout, layout.trained()), share: 0.0 };
    for part in parts {
        sum.share = part.share;
        match part.saved {
            Some(name) => {
                let (folder, expected) = (home.folder.join(name), home.expected(name));
                match part.adapted {
                    None => take_weights(&folder, layout, &expected, &mut sum)?,
                    Some(model) => merge(model, (&folder, &expected), &mut sum)?,
                }
            }
            None => {
                let numbers = initial()?;
                Sum::add(&mut sum.numbers.values, &numbers.values, part.share);
                for (sums, values) in sum.numbers.biases.iter_mut().zip(&numbers.biases) {
                    Sum::add(sums, values, part.share);
                }
            }
        }
    }
    Ok(sum.numbers)
}
