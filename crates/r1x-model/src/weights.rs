//! The values of a model's parameters, with the matrices packed for the products they occur in.
//!
//! Values are the masters that the optimizer changes; packed forms are of the type that products take, or reals
//! where the layout says so. Packing costs one pass per optimizer update and saves it in every product.

use r1x_core::Rng;
use r1x_core::parameters::Initial;
use r1x_ops::Operand;
use r1x_ops::kernel::matmul::{Right, pack_columns, pack_rows, packed_len};
use r1x_ops::operand::Source;
use r1x_ops::parallel;

use crate::checkpoint::Numbers;
use crate::layout::{Block, Exact, Layout, Matrix, Vector};

/// Parameter values.
#[derive(Clone, Debug)]
pub struct Weights<E: Operand> {
    values: Vec<E::Real>,
    panels: Vec<E>,
    exact: Vec<E::Real>,
    biases: Vec<Vec<E::Real>>,
}

impl<E: Operand> Weights<E> {
    /// All zero; to be filled by [`Weights::edit`].
    pub fn zeros(layout: &Layout) -> Self {
        let zero = E::Real::default();
        Self {
            values: vec![zero; layout.len],
            panels: vec![E::default(); layout.panels],
            exact: vec![zero; layout.exact_panels],
            biases: layout.biases.iter().map(|(_, experts)| vec![zero; *experts]).collect(),
        }
    }

    /// Fresh weights from the run's seed: each parameter has a stream named after it.
    pub fn random(layout: &Layout, rng: &Rng) -> Self {
        use r1x_ops::Real;
        let mut weights = Self::zeros(layout);
        weights.edit(layout, 1, |values, _| {
            for parameter in &layout.parameters {
                let slice = &mut values[parameter.offset..parameter.offset + parameter.len()];
                match parameter.initial {
                    Initial::Zeros => slice.fill(E::Real::ZERO),
                    Initial::Ones => slice.fill(E::Real::ONE),
                    Initial::Normal { std } => {
                        let mut draws = rng.stream("init").named(&parameter.name).at(&[]);
                        for value in slice {
                            *value = E::Real::from_f64(std * draws.normal());
                        }
                    }
                }
            }
        });
        weights
    }

    /// Changes values and selection biases, then brings the packed copies up to date on some threads.
    pub fn edit<T>(
        &mut self,
        layout: &Layout,
        threads: usize,
        change: impl FnOnce(&mut [E::Real], &mut [Vec<E::Real>]) -> T,
    ) -> T {
        let result = change(&mut self.values, &mut self.biases);
        pack(&layout.matrices, &self.values, &mut self.panels, threads);
        pack(&layout.exact, &self.values, &mut self.exact, threads);
        result
    }

    /// Everything, in layout order.
    pub fn values(&self) -> &[E::Real] {
        &self.values
    }

    /// Selection biases of every layer with experts.
    pub fn biases(&self) -> &[Vec<E::Real>] {
        &self.biases
    }

    /// A block as stored, `[out, in]`.
    pub fn block(&self, block: Block) -> &[E::Real] {
        &self.values[block.offset..block.offset + block.len()]
    }

    /// Right factor of x·Wᵀ.
    pub fn forward(&self, matrix: Matrix) -> Right<'_, E> {
        forward(&self.panels, matrix)
    }

    /// Right factor of dy·W.
    pub fn backward(&self, matrix: Matrix) -> Right<'_, E> {
        backward(&self.panels, matrix)
    }

    /// Right factor of x·Wᵀ, not rounded.
    pub fn exact_forward(&self, matrix: Exact) -> Right<'_, E::Real> {
        forward(&self.exact, matrix.0)
    }

    /// Right factor of dy·W, not rounded.
    pub fn exact_backward(&self, matrix: Exact) -> Right<'_, E::Real> {
        backward(&self.exact, matrix.0)
    }

    /// A vector.
    pub fn vector(&self, vector: Vector) -> &[E::Real] {
        &self.values[vector.offset..vector.offset + vector.len]
    }
}

impl<E: Operand<Real = f32>> Weights<E> {
    /// Numbers as the kernels of the CPU read them.
    pub(crate) fn packed(layout: &Layout, numbers: &Numbers) -> Self {
        let mut weights = Self::zeros(layout);
        weights.edit(layout, 1, |values, biases| {
            values.copy_from_slice(&numbers.values);
            biases.clone_from_slice(&numbers.biases);
        });
        weights
    }
}

/// Packs matrices, which lie one after the other in `panels`, on some threads.
fn pack<S: Source<E> + Sync, E: Operand>(
    matrices: &[Matrix],
    values: &[S],
    panels: &mut [E],
    threads: usize,
) {
    let (mut rest, mut end) = (panels, 0);
    let mut jobs = Vec::with_capacity(matrices.len());
    for matrix in matrices {
        let (panels, behind) = rest.split_at_mut(matrix.panels_end() - end);
        (rest, end) = (behind, matrix.panels_end());
        jobs.push((*matrix, panels));
    }
    parallel::map(jobs, threads, |(matrix, panels)| {
        let Block { offset, rows, columns } = matrix.block;
        let values = &values[offset..offset + rows * columns];
        let (forward, backward) =
            panels.split_at_mut(matrix.backward_panels - matrix.forward_panels);
        pack_columns(values, columns, columns, rows, forward);
        pack_rows(values, columns, rows, columns, backward);
    });
}

fn forward<E: Operand>(panels: &[E], matrix: Matrix) -> Right<'_, E> {
    let Block { rows, columns, .. } = matrix.block;
    let len = packed_len::<E>(columns, rows);
    Right::panels(&panels[matrix.forward_panels..][..len], columns)
}

fn backward<E: Operand>(panels: &[E], matrix: Matrix) -> Right<'_, E> {
    let Block { rows, columns, .. } = matrix.block;
    let len = packed_len::<E>(rows, columns);
    Right::panels(&panels[matrix.backward_panels..][..len], rows)
}
