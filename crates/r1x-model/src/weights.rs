//! The values of a model's parameters, with the matrices packed for the products they occur in.
//!
//! Packing costs one pass per optimizer update and saves it in every product. Must not know what the
//! parameters mean, except that latent attention reads parts of a transpose.

use r1x_core::Rng;
use r1x_ops::Real;
use r1x_ops::kernel::matmul::{Right, Strided, pack, packed_len};
use r1x_ops::kernel::transpose;

use crate::layout::{Attention, Init, Layout, Matrix, Vector};

/// Parameter values; `values` and `transposed` share offsets.
#[derive(Clone, Debug)]
pub struct Weights<R> {
    values: Vec<R>,
    panels: Vec<R>,
    transposed: Vec<R>,
    biases: Vec<Vec<R>>,
}

impl<R: Real> Weights<R> {
    /// All zero; to be filled by [`Weights::edit`].
    pub fn zeros(layout: &Layout) -> Self {
        Self {
            values: vec![R::ZERO; layout.len],
            panels: vec![R::ZERO; layout.panels],
            transposed: vec![
                R::ZERO;
                if latents(layout).next().is_some() { layout.len } else { 0 }
            ],
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

    /// Changes values and selection biases, then brings the packed copies up to date.
    pub fn edit<T>(
        &mut self,
        layout: &Layout,
        change: impl FnOnce(&mut [R], &mut [Vec<R>]) -> T,
    ) -> T {
        let result = change(&mut self.values, &mut self.biases);
        for matrix in &layout.matrices {
            let Matrix { offset, rows, columns, forward_panels, backward_panels } = *matrix;
            let values = &self.values[offset..offset + rows * columns];
            let forward = &mut self.panels[forward_panels..][..packed_len(columns, rows)];
            pack(Strided::transposed(values, columns), columns, rows, forward);
            let backward = &mut self.panels[backward_panels..][..packed_len(rows, columns)];
            pack(Strided::rows(values, columns), rows, columns, backward);
        }
        for Matrix { offset, rows, columns, .. } in latents(layout) {
            let range = offset..offset + rows * columns;
            transpose(&self.values[range.clone()], &mut self.transposed[range], rows, columns);
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

    /// Right factor of x·Wᵀ.
    pub fn forward(&self, matrix: Matrix) -> Right<'_, R> {
        let len = packed_len(matrix.columns, matrix.rows);
        Right::panels(&self.panels[matrix.forward_panels..][..len], matrix.columns)
    }

    /// Right factor of dy·W.
    pub fn backward(&self, matrix: Matrix) -> Right<'_, R> {
        let len = packed_len(matrix.rows, matrix.columns);
        Right::panels(&self.panels[matrix.backward_panels..][..len], matrix.rows)
    }

    /// The transpose of latent attention's expansion, `[in, out]`.
    pub fn transposed(&self, matrix: Matrix) -> &[R] {
        &self.transposed[matrix.offset..matrix.offset + matrix.rows * matrix.columns]
    }

    /// A vector.
    pub fn vector(&self, vector: Vector) -> &[R] {
        &self.values[vector.offset..vector.offset + vector.len]
    }
}

/// The matrices of latent attention of which heads use parts.
fn latents(layout: &Layout) -> impl Iterator<Item = Matrix> {
    layout.layers.iter().filter_map(|layer| match layer.attention {
        Attention::Mla { kv_up, .. } => Some(kv_up),
        Attention::Gqa { .. } => None,
    })
}
