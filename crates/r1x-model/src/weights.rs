//! The values of a model's parameters, with the matrices packed for the products they occur in.
//!
//! Weights that learn are masters, which the optimizer changes, beside packed forms of the type that products take, or
//! reals where the layout says so. Packing costs one pass per optimizer update and saves it in every product. Weights
//! that are frozen have the packed forms that a forward pass multiplies with and whatever else it reads, and nothing twice.

mod frozen;

use std::borrow::Cow;

use r1x_core::Rng;
use r1x_core::parameters::Initial;
use r1x_ops::Operand;
use r1x_ops::kernel::matmul::{Right, pack_columns, pack_rows, packed_len};
use r1x_ops::operand::Source;
use r1x_ops::parallel;

pub use self::frozen::Freezing;
use self::frozen::Kept;
use crate::checkpoint::{Numbers, Values};
use crate::layout::{Block, Exact, Layout, Matrix, Parameter, Vector};

/// Parameter values.
#[derive(Clone, Debug)]
pub struct Weights<E: Operand> {
    beside: Beside<E>,
    panels: Panels<E>,
    exact: Panels<E::Real>,
    biases: Vec<Vec<E::Real>>,
}

/// What there is beside packed forms.
#[derive(Clone, Debug)]
enum Beside<E: Operand> {
    /// Every number, in layout order.
    Masters(Vec<E::Real>),
    /// What the packed forms of frozen weights lack.
    Kept(Kept<E>),
}

/// Packed forms of matrices, one after the other.
#[derive(Clone, Debug)]
struct Panels<E> {
    /// For x·Wᵀ.
    forward: Vec<E>,
    /// For dy·W; in frozen weights of the matrices that are absorbed only.
    backward: Vec<E>,
}

impl<E: Operand> Panels<E> {
    /// Room for the forms of a forward pass.
    fn forward(matrices: &[Matrix]) -> Self {
        let len = matrices.last().map_or(0, Matrix::forward_end);
        Self { forward: vec![E::default(); len], backward: Vec::new() }
    }

    /// Room for the forms of both passes.
    fn both(matrices: &[Matrix]) -> Self {
        let len = matrices.last().map_or(0, Matrix::backward_end);
        Self { backward: vec![E::default(); len], ..Self::forward(matrices) }
    }

    /// Packs matrices on some threads.
    fn pack<S: Source<E> + Sync>(&mut self, matrices: &[Matrix], values: &[S], threads: usize) {
        let (mut forward, mut backward) = (&mut self.forward[..], &mut self.backward[..]);
        let (mut jobs, mut done) = (Vec::with_capacity(matrices.len()), (0, 0));
        for matrix in matrices {
            let ends = (matrix.forward_end(), matrix.backward_end());
            let (to_forward, rest) = forward.split_at_mut(ends.0 - done.0);
            let (to_backward, behind) = backward.split_at_mut(ends.1 - done.1);
            (forward, backward, done) = (rest, behind, ends);
            jobs.push((matrix.block, to_forward, to_backward));
        }
        parallel::map(jobs, threads, |(block, forward, backward)| {
            let Block { offset, rows, columns } = block;
            let values = &values[offset..offset + rows * columns];
            pack_columns(values, columns, columns, rows, forward);
            pack_rows(values, columns, rows, columns, backward);
        });
    }

    fn forward_of(&self, matrix: Matrix) -> Right<'_, E> {
        let Block { rows, columns, .. } = matrix.block;
        let len = packed_len::<E>(columns, rows);
        Right::panels(&self.forward[matrix.forward_panels..][..len], columns)
    }

    /// The form for dy·W that begins at an element.
    fn backward_at(&self, start: usize, matrix: Matrix) -> Right<'_, E> {
        let Block { rows, columns, .. } = matrix.block;
        let len = packed_len::<E>(rows, columns);
        Right::panels(&self.backward[start..][..len], rows)
    }
}

impl<E: Operand> Weights<E> {
    /// All zero; to be filled by [`Weights::edit`].
    pub fn zeros(layout: &Layout) -> Self {
        let zero = E::Real::default();
        Self {
            beside: Beside::Masters(vec![zero; layout.len]),
            panels: Panels::both(&layout.matrices),
            exact: Panels::both(&layout.exact),
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
    ///
    /// # Panics
    /// When the weights are frozen.
    pub fn edit<T>(
        &mut self,
        layout: &Layout,
        threads: usize,
        change: impl FnOnce(&mut [E::Real], &mut [Vec<E::Real>]) -> T,
    ) -> T {
        let Beside::Masters(values) = &mut self.beside else {
            unreachable!("frozen weights are not changed")
        };
        let result = change(values, &mut self.biases);
        self.panels.pack(&layout.matrices, values, threads);
        self.exact.pack(&layout.exact, values, threads);
        result
    }

    /// Whether nothing but a forward pass can be computed with them.
    pub fn is_frozen(&self) -> bool {
        matches!(self.beside, Beside::Kept(_))
    }

    /// A frozen copy.
    pub fn frozen(&self, layout: &Layout) -> Self {
        let Beside::Masters(values) = &self.beside else { return self.clone() };
        let mut freezing = Freezing::new(layout);
        for parameter in &layout.parameters {
            freezing.take(parameter, 0, &values[parameter.range()]);
        }
        for (index, biases) in self.biases.iter().enumerate() {
            freezing.take_biases(index, biases);
        }
        freezing.done()
    }

    /// Everything, in layout order; nothing where the weights are frozen.
    pub fn values(&self) -> &[E::Real] {
        match &self.beside {
            Beside::Masters(values) => values,
            Beside::Kept(_) => &[],
        }
    }

    /// Selection biases of every layer with experts.
    pub fn biases(&self) -> &[Vec<E::Real>] {
        &self.biases
    }

    /// A block as stored, `[out, in]`; not of frozen weights.
    pub fn block(&self, block: Block) -> &[E::Real] {
        &self.values()[block.offset..block.offset + block.len()]
    }

    /// Copies rows of the embedding, one for each token.
    pub fn embed(&self, layout: &Layout, tokens: &[u32], to: &mut [E::Real]) {
        let Block { offset, columns, .. } = layout.embedding;
        for (to, token) in to.chunks_mut(columns).zip(tokens) {
            let token = *token as usize;
            match &self.beside {
                Beside::Masters(values) => {
                    to.copy_from_slice(&values[offset + token * columns..][..columns]);
                }
                Beside::Kept(kept) => kept.embed(layout, &self.panels.forward, token, to),
            }
        }
    }

    /// Right factor of x·Wᵀ.
    pub fn forward(&self, matrix: Matrix) -> Right<'_, E> {
        self.panels.forward_of(matrix)
    }

    /// Right factor of dy·W; of frozen weights where the matrix is absorbed.
    pub fn backward(&self, matrix: Matrix) -> Right<'_, E> {
        let start = match &self.beside {
            Beside::Masters(_) => matrix.backward_panels,
            Beside::Kept(kept) => kept.absorbed(matrix),
        };
        self.panels.backward_at(start, matrix)
    }

    /// Right factor of x·Wᵀ, not rounded.
    pub fn exact_forward(&self, matrix: Exact) -> Right<'_, E::Real> {
        self.exact.forward_of(matrix.0)
    }

    /// Right factor of dy·W, not rounded; not of frozen weights.
    pub fn exact_backward(&self, matrix: Exact) -> Right<'_, E::Real> {
        self.exact.backward_at(matrix.0.backward_panels, matrix.0)
    }

    /// A vector.
    pub fn vector(&self, vector: Vector) -> &[E::Real] {
        match &self.beside {
            Beside::Masters(values) => &values[vector.offset..vector.offset + vector.len],
            Beside::Kept(kept) => kept.vector(vector.offset, vector.len),
        }
    }
}

impl<E: Operand<Real = f32>> Weights<E> {
    /// Numbers as weights that learn.
    pub(crate) fn learning(layout: &Layout, numbers: Numbers, threads: usize) -> Self {
        let Numbers { values, biases } = numbers;
        let mut weights = Self {
            beside: Beside::Masters(values),
            panels: Panels::both(&layout.matrices),
            exact: Panels::both(&layout.exact),
            biases,
        };
        weights.edit(layout, threads, |_, _| {});
        weights
    }
}

impl<E: Operand<Real = f32>> Values for Weights<E> {
    fn of(&self, parameter: &Parameter) -> Cow<'_, [f32]> {
        match &self.beside {
            Beside::Masters(values) => Cow::Borrowed(&values[parameter.range()]),
            Beside::Kept(kept) => {
                let packed = (&self.panels.forward[..], &self.exact.forward[..]);
                Cow::Owned(kept.unpacked(packed, parameter))
            }
        }
    }

    fn biases(&self) -> &[Vec<f32>] {
        &self.biases
    }
}
