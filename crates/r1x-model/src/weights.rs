//! The values of a model's parameters, with transposed copies of the matrices.
//!
//! The matrix kernels want whichever factor is on the right row by row; keeping both layouts costs one pass
//! per optimizer update and saves packing in every product. Must not know what the parameters mean.

use r1x_core::Rng;
use r1x_ops::Real;
use r1x_ops::kernel::transpose;

use crate::layout::{Init, Layout, Matrix, Vector};

/// Parameter values; `values` and `transposed` share offsets.
#[derive(Clone, Debug)]
pub struct Weights<R> {
    values: Vec<R>,
    transposed: Vec<R>,
    biases: Vec<Vec<R>>,
}

impl<R: Real> Weights<R> {
    /// All zero; to be filled by [`Weights::edit`].
    pub fn zeros(layout: &Layout) -> Self {
        Self {
            values: vec![R::ZERO; layout.len],
            transposed: vec![R::ZERO; layout.len],
            biases: layout.biases.iter().map(|(_, experts)| vec![R::ZERO; *experts]).collect(),
        }
    }

    /// Fresh weights from the run's seed: each parameter has a stream named after it.
    pub fn random(layout: &Layout, rng: &Rng) -> Self {
        let mut weights = Self::zeros(layout);
        weights.edit(layout, |values, _| {
            for parameter in &layout.parameters {
                let slice = &mut values[parameter.offset..parameter.offset + parameter.len()];
                match parameter.init {
                    Init::Ones => slice.fill(R::ONE),
                    Init::Normal(std) => {
                        let mut draws = rng.stream("init").named(&parameter.name).at(&[]);
                        for value in slice {
                            *value = R::from_f64(std * draws.normal());
                        }
                    }
                }
            }
        });
        weights
    }

    /// Changes values and selection biases, then brings the transposed copies up to date.
    pub fn edit<T>(
        &mut self,
        layout: &Layout,
        change: impl FnOnce(&mut [R], &mut [Vec<R>]) -> T,
    ) -> T {
        let result = change(&mut self.values, &mut self.biases);
        for parameter in &layout.parameters {
            if let [rows, columns] = parameter.shape[..] {
                let range = parameter.offset..parameter.offset + parameter.len();
                transpose(&self.values[range.clone()], &mut self.transposed[range], rows, columns);
            }
        }
        result
    }

    /// Everything, in layout order.
    pub fn values(&self) -> &[R] {
        &self.values
    }

    /// Selection biases of every layer with experts.
    pub fn biases(&self) -> &[Vec<R>] {
        &self.biases
    }

    /// A matrix as stored, `[out, in]`.
    pub fn matrix(&self, matrix: Matrix) -> &[R] {
        &self.values[matrix.offset..matrix.offset + matrix.rows * matrix.columns]
    }

    /// Its transpose, `[in, out]`.
    pub fn transposed(&self, matrix: Matrix) -> &[R] {
        &self.transposed[matrix.offset..matrix.offset + matrix.rows * matrix.columns]
    }

    /// A vector.
    pub fn vector(&self, vector: Vector) -> &[R] {
        &self.values[vector.offset..vector.offset + vector.len]
    }
}
