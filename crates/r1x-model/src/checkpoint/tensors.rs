//! The safetensors files of a checkpoint: every number of a model that is trained, by the names of its layout.
//!
//! What is read was perhaps written by somebody else: a tensor is taken if its name, shape and type are those of the
//! layout, and its numbers are finite.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors, View};

use super::MOST_FROZEN;
use crate::error::ModelError;
use crate::layout::{Layout, Parameter};
use crate::update::first_not_finite;

/// Most bytes of the names and places of tensors before their numbers.
const HEADER_BYTES: u64 = 64 << 20;

/// A tensor to be written.
pub(super) struct Tensor<'a> {
    shape: Vec<usize>,
    values: &'a [f32],
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().into()
    }
    fn data_len(&self) -> usize {
        self.values.len() * 4
    }
}

/// Tensors to be written, with their names.
pub(super) type Named<'a> = Vec<(String, Tensor<'a>)>;

/// The numbers of a model on the host: those of a region of its layout, most often of what is trained, in layout order,
/// and selection biases by layer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Numbers {
    pub(crate) values: Vec<f32>,
    pub(crate) biases: Vec<Vec<f32>>,
}

impl Numbers {
    pub(crate) fn lend(&self) -> Lent<'_> {
        Lent { values: &self.values, biases: &self.biases }
    }
}

/// [`Numbers`] of somebody else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lent<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) biases: &'a [Vec<f32>],
}

/// Numbers of what is trained as tensors, whose names begin with a prefix.
pub(super) fn parameters<'a>(layout: &Layout, values: &'a [f32], prefix: &str) -> Named<'a> {
    let tensor = |(p, values): (&Parameter, &'a [f32])| {
        (format!("{prefix}{}", p.name), Tensor { shape: p.shape.clone(), values })
    };
    let trained = layout.trained();
    let places = trained.parameters.iter().map(|p| (p, &values[trained.place(p)]));
    places.map(tensor).collect()
}

/// Weights with their selection biases as tensors, whose names begin with a prefix.
pub(super) fn weights<'a>(layout: &Layout, weights: Lent<'a>, prefix: &str) -> Named<'a> {
    let mut named = parameters(layout, weights.values, prefix);
    for ((name, experts), values) in layout.biases.iter().zip(weights.biases) {
        named.push((format!("{prefix}{name}"), Tensor { shape: vec![*experts], values }));
    }
    named
}

/// The bytes of a safetensors file.
pub(super) fn serialize(named: Named<'_>) -> Result<Vec<u8>, ModelError> {
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(named, Some(metadata)).map_err(|error| ModelError::Checkpoint {
        path: "(in memory)".to_owned(),
        reason: error.to_string(),
    })
}

/// Most bytes of a file that holds every number of a model as often as moments and frozen copies may.
pub(super) fn most_bytes(layout: &Layout) -> u64 {
    let biases: usize = layout.biases.iter().map(|(_, experts)| *experts).sum();
    ((layout.trained().len() + biases) as u64)
        .saturating_mul(4 * (2 + MOST_FROZEN as u64))
        .saturating_add(HEADER_BYTES)
}

/// A safetensors file that is being read.
pub(super) struct Source<'a> {
    tensors: SafeTensors<'a>,
    path: String,
}

impl<'a> Source<'a> {
    /// The tensors in the bytes of the file at a path.
    pub(super) fn new(bytes: &'a [u8], path: &Path) -> Result<Self, ModelError> {
        let path = path.display().to_string();
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| ModelError::Checkpoint {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self { tensors, path })
    }

    /// Reads one tensor.
    fn fill(&self, name: &str, shape: &[usize], values: &mut [f32]) -> Result<(), ModelError> {
        let error = |reason: String| ModelError::Checkpoint { path: self.path.clone(), reason };
        let tensor =
            self.tensors.tensor(name).map_err(|_| error(format!("has no tensor `{name}`")))?;
        if tensor.shape() != shape || tensor.dtype() != Dtype::F32 {
            return Err(error(format!(
                "`{name}` is {:?} {:?}, the model wants F32 {shape:?}",
                tensor.dtype(),
                tensor.shape()
            )));
        }
        for (value, bytes) in values.iter_mut().zip(tensor.data().chunks_exact(4)) {
            *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Ok(())
    }

    /// Reads every trained parameter into its place; names begin with a prefix.
    pub(super) fn fill_parameters(
        &self,
        layout: &Layout,
        prefix: &str,
        values: &mut [f32],
    ) -> Result<(), ModelError> {
        let trained = layout.trained();
        for p in &trained.parameters {
            let place = trained.place(p);
            self.fill(&format!("{prefix}{}", p.name), &p.shape, &mut values[place])?;
        }
        Ok(())
    }

    /// The names of all tensors.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.names().into_iter()
    }

    /// Reads every trained parameter and every selection bias of the layout; names begin with a prefix.
    pub(super) fn numbers(&self, layout: &Layout, prefix: &str) -> Result<Numbers, ModelError> {
        let mut values = vec![0.0; layout.trained().len()];
        self.fill_parameters(layout, prefix, &mut values)?;
        let bias = |(name, experts): &(String, usize)| {
            let mut bias = vec![0.0; *experts];
            self.fill(&format!("{prefix}{name}"), &[*experts], &mut bias)?;
            Ok(bias)
        };
        let biases = layout.biases.iter().map(bias).collect::<Result<_, ModelError>>()?;
        Ok(Numbers { values, biases })
    }
}

/// An error that names the first tensor with a number that is not finite.
pub(super) fn finite(
    layout: &Layout,
    values: &[f32],
    biases: &[Vec<f32>],
    path: &Path,
) -> Result<(), ModelError> {
    match first_not_finite((layout, layout.trained()), values, biases) {
        None => Ok(()),
        Some((name, value)) => Err(ModelError::NotFinite {
            path: path.display().to_string(),
            name: name.to_owned(),
            value,
        }),
    }
}
