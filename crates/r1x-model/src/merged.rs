//! A model with adapters as one without: each projection W becomes W + s · B · A.
//!
//! The model is handed on tensor by tensor, so that its numbers are held once, however many it is added to.

use std::path::Path;

use r1x_core::plan::ModelPlan;

use crate::checkpoint::{self, Expected, Numbers, Sink};
use crate::error::ModelError;
use crate::initial::First;
use crate::layout::{Block, Layout, Parameter};

/// Hands the numbers of a checkpoint, in f32, to a sink for the model without adapters. Weights that are not in the
/// checkpoint are those that the model begins with under the seed of its run.
///
/// # Errors
/// When the checkpoint, or what its adapters stand beside, cannot be read whole.
pub(crate) fn hand_to(
    (plan, seed): (&ModelPlan, u64),
    (folder, expected): (&Path, &Expected<'_>),
    sink: &mut dyn Sink,
) -> Result<(), ModelError> {
    let layout = Layout::new(plan);
    if layout.adapters.is_none() {
        return checkpoint::take_weights(folder, &layout, expected, sink);
    }
    let trained = checkpoint::load_weights(folder, &layout, expected)?;
    // In f32 nothing of the model is rounded.
    let weights = First::of(plan, seed).weights::<f32>(&layout, 1)?;
    for parameter in &layout.base.parameters {
        let mut values = weights.parameter(parameter);
        merge_into(values.to_mut(), parameter, &layout, &trained);
        sink.take(parameter, 0, &values);
    }
    for (index, biases) in trained.biases.iter().enumerate() {
        sink.take_biases(index, biases);
    }
    Ok(())
}

/// What hands on the numbers of checkpoints of a run with this seed; see [`hand_to`].
pub(crate) fn under(
    seed: u64,
) -> impl Fn(&ModelPlan, (&Path, &Expected<'_>), &mut dyn Sink) -> Result<(), ModelError> {
    move |plan, checkpoint, sink| hand_to((plan, seed), checkpoint, sink)
}

/// Adds to the numbers of a parameter what the adapters beside parts of it add to products with them.
fn merge_into(values: &mut [f32], parameter: &Parameter, layout: &Layout, trained: &Numbers) {
    let of_parameter = parameter.offset..parameter.offset + values.len();
    for places in &layout.adapter_places {
        if !of_parameter.contains(&places.beside.offset) {
            continue;
        }
        let numbers = |block: Block| &trained.values[block.offset - trained.start..][..block.len()];
        let [down, up] = [places.down, places.up].map(numbers);
        let at = places.beside.offset - parameter.offset;
        let beside = &mut values[at..][..places.beside.len()];
        merge(beside, places.beside.columns, (down, up), places.factor);
    }
}

/// W `[out, in]` += s · B `[out, rank]` · A `[rank, in]`, each number summed in f64 and rounded once.
fn merge(beside: &mut [f32], columns: usize, (down, up): (&[f32], &[f32]), factor: f64) {
    let rank = down.len() / columns;
    let mut sums = vec![0.0_f64; columns];
    for (row, up) in beside.chunks_mut(columns).zip(up.chunks(rank)) {
        sums.fill(0.0);
        for (down, up) in down.chunks(columns).zip(up) {
            for (sum, down) in sums.iter_mut().zip(down) {
                *sum += f64::from(*up) * f64::from(*down);
            }
        }
        for (value, sum) in row.iter_mut().zip(&sums) {
            *value = (f64::from(*value) + factor * sum) as f32;
        }
    }
}
