//! The values of a model's parameters, with the matrices packed for the products they occur in.
//!
//! Values are the masters that the optimizer changes; packed forms are of the type that products take, or reals
//! where the layout says so. Packing costs one pass per optimizer update and saves it in every product.

use std::sync::Arc;

use r1x_core::Rng;
use r1x_core::parameters::Initial;
use r1x_ops::Operand;
use r1x_ops::kernel::matmul::{Right, pack_columns, pack_rows, packed_len};
use r1x_ops::operand::Source;
use r1x_ops::parallel;

use crate::checkpoint::Numbers;
use crate::layout::{Block, Exact, Factor, Layout, Parameter, Region, Vector};

/// Parameter values.
///
/// Where a model has adapters, they are what is trained, and the model itself is never changed: copies share its memory.
#[derive(Clone, Debug)]
pub struct Weights<E: Operand> {
    /// The values of the model itself where it has adapters; empty where it is what is trained.
    fixed: Arc<Values<E>>,
    /// The values that the optimizer changes.
    trained: Values<E>,
    biases: Vec<Vec<E::Real>>,
}

/// The values of a region of the layout, with the packed forms of its factors.
#[derive(Clone, Debug, Default)]
struct Values<E: Operand> {
    /// Where the region begins.
    start: usize,
    /// Masters, in layout order.
    values: Vec<E::Real>,
    /// Where its packed forms begin.
    first_panel: usize,
    panels: Vec<E>,
    /// Packed forms of exact factors.
    exact: Vec<E::Real>,
}

impl<E: Operand> Values<E> {
    /// Zeros for the model itself.
    fn of_base(layout: &Layout) -> Self {
        let zero = E::Real::default();
        Self {
            start: layout.base.range.start,
            values: vec![zero; layout.base.len()],
            first_panel: 0,
            panels: vec![E::default(); layout.panels()],
            exact: vec![zero; layout.exact_panels],
        }
    }

    /// Zeros for adapters.
    fn of_adapters(layout: &Layout, adapters: &Region) -> Self {
        Self {
            start: adapters.range.start,
            values: vec![E::Real::default(); adapters.len()],
            first_panel: layout.panels(),
            panels: vec![E::default(); layout.adapter_panels()],
            exact: Vec::new(),
        }
    }

    /// Brings the packed forms of these factors up to date.
    fn pack(&mut self, factors: &[Factor], exact: &[Factor], threads: usize) {
        pack(factors, (&self.values, self.start), (&mut self.panels, self.first_panel), threads);
        pack(exact, (&self.values, self.start), (&mut self.exact, 0), threads);
    }

    fn range(&self, offset: usize, len: usize) -> &[E::Real] {
        &self.values[offset - self.start..][..len]
    }
}

impl<E: Operand> Weights<E> {
    /// All zero; to be filled by [`Weights::edit`]. Where there are adapters, the model itself is what `base` makes of
    /// zeros in layout order.
    fn new<T>(
        layout: &Layout,
        base: impl FnOnce(&mut [E::Real]) -> T,
        threads: usize,
    ) -> (Self, T) {
        let zero = E::Real::default();
        let mut model = Values::of_base(layout);
        let made = base(&mut model.values);
        model.pack(&layout.factors, &layout.exact, threads);
        let (fixed, trained) = match &layout.adapters {
            None => (Values::default(), model),
            Some(adapters) => (model, Values::of_adapters(layout, adapters)),
        };
        let biases = layout.biases.iter().map(|(_, experts)| vec![zero; *experts]).collect();
        (Self { fixed: Arc::new(fixed), trained, biases }, made)
    }

    /// All zero; to be filled by [`Weights::edit`].
    #[cfg(test)]
    pub fn zeros(layout: &Layout) -> Self {
        Self::new(layout, |_| (), 1).0
    }

    /// Fresh weights from the run's seed: each parameter has a stream named after it.
    pub fn random(layout: &Layout, rng: &Rng) -> Self {
        let draw = |values: &mut [E::Real]| draw_region::<E>(&layout.base, values, rng);
        let (mut weights, ()) = Self::new(layout, draw, 1);
        weights.draw_adapters(layout, rng);
        weights
    }

    /// Gives adapters, where there are any, their first values from the run's seed.
    pub fn draw_adapters(&mut self, layout: &Layout, rng: &Rng) {
        if let Some(adapters) = &layout.adapters {
            self.edit(layout, 1, |values, _| draw_region::<E>(adapters, values, rng));
        }
    }

    /// Changes the trained values and the selection biases, then brings the packed copies up to date on some threads.
    pub fn edit<T>(
        &mut self,
        layout: &Layout,
        threads: usize,
        change: impl FnOnce(&mut [E::Real], &mut [Vec<E::Real>]) -> T,
    ) -> T {
        let result = change(&mut self.trained.values, &mut self.biases);
        match layout.adapters {
            None => self.trained.pack(&layout.factors, &layout.exact, threads),
            Some(_) => self.trained.pack(&layout.adapter_factors, &[], threads),
        }
        result
    }

    /// What is trained, in the order of [`Layout::trained`].
    pub fn trained(&self) -> &[E::Real] {
        &self.trained.values
    }

    /// The values of a parameter.
    pub fn parameter(&self, parameter: &Parameter) -> &[E::Real] {
        self.range(parameter.offset, parameter.len())
    }

    /// Selection biases of every layer with experts.
    pub fn biases(&self) -> &[Vec<E::Real>] {
        &self.biases
    }

    /// A block as stored, `[out, in]`.
    pub fn block(&self, block: Block) -> &[E::Real] {
        self.range(block.offset, block.len())
    }

    /// Right factor of x·Wᵀ.
    pub fn forward(&self, factor: Factor) -> Right<'_, E> {
        forward(self.panels(factor), factor)
    }

    /// Right factor of dy·W.
    pub fn backward(&self, factor: Factor) -> Right<'_, E> {
        backward(self.panels(factor), factor)
    }

    /// Right factor of x·Wᵀ, not rounded.
    pub fn exact_forward(&self, matrix: Exact) -> Right<'_, E::Real> {
        forward((self.exact(), 0), matrix.0)
    }

    /// Right factor of dy·W, not rounded.
    pub fn exact_backward(&self, matrix: Exact) -> Right<'_, E::Real> {
        backward((self.exact(), 0), matrix.0)
    }

    /// A vector.
    pub fn vector(&self, vector: Vector) -> &[E::Real] {
        self.range(vector.offset, vector.len)
    }

    fn range(&self, offset: usize, len: usize) -> &[E::Real] {
        let region = if offset < self.trained.start { &*self.fixed } else { &self.trained };
        region.range(offset, len)
    }

    /// The packed forms among which those of a factor are, and where they begin.
    fn panels(&self, factor: Factor) -> (&[E], usize) {
        let is_fixed = factor.forward_panels < self.trained.first_panel;
        let region = if is_fixed { &*self.fixed } else { &self.trained };
        (&region.panels, region.first_panel)
    }

    /// The packed forms of exact factors, which belong to the model itself.
    fn exact(&self) -> &[E::Real] {
        if self.trained.start > 0 { &self.fixed.exact } else { &self.trained.exact }
    }
}

/// Draws the first values of a region; each parameter has a stream named after it.
fn draw_region<E: Operand>(region: &Region, values: &mut [E::Real], rng: &Rng) {
    use r1x_ops::Real;
    for parameter in &region.parameters {
        let slice = &mut values[region.place(parameter)];
        let stream = || rng.stream("init").named(&parameter.name).at(&[]);
        match parameter.initial {
            Initial::Zeros => slice.fill(E::Real::ZERO),
            Initial::Ones => slice.fill(E::Real::ONE),
            Initial::Normal { std } => {
                let mut draws = stream();
                for value in slice {
                    *value = E::Real::from_f64(std * draws.normal());
                }
            }
            Initial::Uniform { bound } => {
                let mut draws = stream();
                for value in slice {
                    *value = E::Real::from_f64(bound * (2.0 * draws.uniform() - 1.0));
                }
            }
        }
    }
}

impl<E: Operand<Real = f32>> Weights<E> {
    /// A model's own numbers as the kernels of the CPU read them; its adapters, where it has any, are zeros.
    pub(crate) fn of_model(layout: &Layout, numbers: &Numbers) -> Self {
        let fill = |values: &mut [f32]| values.copy_from_slice(&numbers.values);
        let (mut weights, ()) = Self::new(layout, fill, 1);
        weights.biases.clone_from(&numbers.biases);
        weights
    }

    /// What is trained, and the selection biases.
    pub(crate) fn numbers(&self) -> Numbers {
        Numbers { values: self.trained().to_vec(), biases: self.biases.clone() }
    }

    /// The weights with other trained numbers and selection biases.
    pub(crate) fn with(&self, layout: &Layout, numbers: &Numbers) -> Self {
        let mut weights = self.clone();
        weights.set(layout, numbers);
        weights
    }

    /// Replaces the trained numbers and the selection biases.
    pub(crate) fn set(&mut self, layout: &Layout, numbers: &Numbers) {
        self.edit(layout, 1, |values, biases| {
            values.copy_from_slice(&numbers.values);
            biases.clone_from_slice(&numbers.biases);
        });
    }
}

/// Packs factors of values that begin at an offset. Their packed forms lie one after the other in `panels`, which begin
/// at an offset as well. Several threads share the work.
fn pack<S: Source<E> + Sync, E: Operand>(
    factors: &[Factor],
    (values, start): (&[S], usize),
    (panels, first): (&mut [E], usize),
    threads: usize,
) {
    let (mut rest, mut end) = (panels, first);
    let mut jobs = Vec::with_capacity(factors.len());
    for factor in factors {
        let (panels, behind) = rest.split_at_mut(factor.panels_end() - end);
        (rest, end) = (behind, factor.panels_end());
        jobs.push((*factor, panels));
    }
    parallel::map(jobs, threads, |(factor, panels)| {
        let Block { offset, rows, columns } = factor.block;
        let values = &values[offset - start..][..rows * columns];
        let (forward, backward) =
            panels.split_at_mut(factor.backward_panels - factor.forward_panels);
        pack_columns(values, columns, columns, rows, forward);
        pack_rows(values, columns, rows, columns, backward);
    });
}

fn forward<E: Operand>((panels, first): (&[E], usize), factor: Factor) -> Right<'_, E> {
    let Block { rows, columns, .. } = factor.block;
    let len = packed_len::<E>(columns, rows);
    Right::panels(&panels[factor.forward_panels - first..][..len], columns)
}

fn backward<E: Operand>((panels, first): (&[E], usize), factor: Factor) -> Right<'_, E> {
    let Block { rows, columns, .. } = factor.block;
    let len = packed_len::<E>(rows, columns);
    Right::panels(&panels[factor.backward_panels - first..][..len], rows)
}
