//! The values of a model's parameters, with the matrices packed for the products they occur in.
//!
//! Weights that learn are masters, which the optimizer changes, beside packed forms of the type that products take, or
//! reals where the layout says so. Packing costs one pass per optimizer update and saves it in every product. Weights
//! that are frozen have the packed forms that are multiplied with and whatever else is read, and nothing twice. Where a
//! model has adapters, they are what learns: the model itself is frozen, and all copies share its memory.

mod frozen;

use std::borrow::Cow;
use std::sync::Arc;

use r1x_core::Rng;
use r1x_core::parameters::Initial;
use r1x_ops::Operand;
use r1x_ops::kernel::matmul::{Right, pack_columns, pack_rows, packed_len};
use r1x_ops::operand::Source;
use r1x_ops::parallel;

use self::frozen::Kept;
pub use self::frozen::{Freezing, Passes};
use crate::checkpoint::{Numbers, Values};
use crate::layout::{Block, Exact, Factor, Layout, Parameter, Region, Vector};

/// Parameter values.
#[derive(Clone, Debug)]
pub struct Weights<E: Operand> {
    model: Arc<Model<E>>,
    adapters: Option<Adapters<E>>,
    biases: Vec<Vec<E::Real>>,
}

/// The model itself.
#[derive(Clone, Debug)]
struct Model<E: Operand> {
    beside: Beside<E>,
    panels: Panels<E>,
    exact: Panels<E::Real>,
}

/// What there is beside packed forms.
#[derive(Clone, Debug)]
enum Beside<E: Operand> {
    /// Every number, in layout order.
    Masters(Vec<E::Real>),
    /// What the packed forms of frozen weights lack.
    Kept(Kept<E>),
}

/// Adapters: masters, in the order of their region, and packed forms.
#[derive(Clone, Debug)]
struct Adapters<E: Operand> {
    /// Where the region begins.
    start: usize,
    values: Vec<E::Real>,
    panels: Panels<E>,
}

impl<E: Operand> Adapters<E> {
    fn zeros(layout: &Layout, region: &Region) -> Self {
        Self {
            start: region.range.start,
            values: vec![E::Real::default(); region.len()],
            panels: Panels::both(&layout.adapter_factors),
        }
    }
}

/// Packed forms of factors, one after the other.
#[derive(Clone, Debug)]
struct Panels<E> {
    /// For x·Wᵀ.
    forward: Vec<E>,
    /// For dy·W; in weights that are frozen for a forward pass, of the factors that are absorbed only.
    backward: Vec<E>,
}

impl<E: Operand> Panels<E> {
    /// Room for the forms of a forward pass.
    fn forward(factors: &[Factor]) -> Self {
        let len = factors.last().map_or(0, Factor::forward_end);
        Self { forward: vec![E::default(); len], backward: Vec::new() }
    }

    /// Room for the forms of both passes.
    fn both(factors: &[Factor]) -> Self {
        let len = factors.last().map_or(0, Factor::backward_end);
        Self { backward: vec![E::default(); len], ..Self::forward(factors) }
    }

    /// Packs factors of values that begin at an offset, on some threads.
    fn pack<S: Source<E> + Sync>(
        &mut self,
        factors: &[Factor],
        (values, start): (&[S], usize),
        threads: usize,
    ) {
        let (mut forward, mut backward) = (&mut self.forward[..], &mut self.backward[..]);
        let (mut jobs, mut done) = (Vec::with_capacity(factors.len()), (0, 0));
        for factor in factors {
            let ends = (factor.forward_end(), factor.backward_end());
            let (to_forward, rest) = forward.split_at_mut(ends.0 - done.0);
            let (to_backward, behind) = backward.split_at_mut(ends.1 - done.1);
            (forward, backward, done) = (rest, behind, ends);
            jobs.push((factor.block, to_forward, to_backward));
        }
        parallel::map(jobs, threads, |(block, forward, backward)| {
            let Block { offset, rows, columns } = block;
            let values = &values[offset - start..][..rows * columns];
            pack_columns(values, columns, columns, rows, forward);
            pack_rows(values, columns, rows, columns, backward);
        });
    }

    fn forward_of(&self, factor: Factor) -> Right<'_, E> {
        let Block { rows, columns, .. } = factor.block;
        let len = packed_len::<E>(columns, rows);
        Right::panels(&self.forward[factor.forward_panels..][..len], columns)
    }

    /// The form for dy·W that begins at an element.
    fn backward_at(&self, start: usize, factor: Factor) -> Right<'_, E> {
        let Block { rows, columns, .. } = factor.block;
        let len = packed_len::<E>(rows, columns);
        Right::panels(&self.backward[start..][..len], rows)
    }
}

impl<E: Operand> Weights<E> {
    /// All zero, of a model that learns itself; to be filled by [`Weights::edit`].
    #[cfg(test)]
    pub fn zeros(layout: &Layout) -> Self {
        let values = vec![E::Real::default(); layout.base.len()];
        let biases = layout.biases.iter();
        let biases = biases.map(|(_, experts)| vec![E::Real::default(); *experts]).collect();
        Self::masters(layout, values, biases, 1)
    }

    /// A model that learns itself, with these numbers.
    fn masters(
        layout: &Layout,
        values: Vec<E::Real>,
        biases: Vec<Vec<E::Real>>,
        threads: usize,
    ) -> Self {
        let mut model = Model {
            beside: Beside::Masters(Vec::new()),
            panels: Panels::both(&layout.factors),
            exact: Panels::both(&layout.exact),
        };
        model.panels.pack(&layout.factors, (&values, 0), threads);
        model.exact.pack(&layout.exact, (&values, 0), threads);
        model.beside = Beside::Masters(values);
        Self { model: Arc::new(model), adapters: None, biases }
    }

    /// Fresh weights from the run's seed: each parameter has a stream named after it.
    pub fn random(layout: &Layout, rng: &Rng) -> Self {
        let biases = layout.biases.iter();
        let biases = biases.map(|(_, experts)| vec![E::Real::default(); *experts]).collect();
        if layout.adapters.is_none() {
            let mut values = vec![E::Real::default(); layout.base.len()];
            draw::<E>(&layout.base, &mut values, rng);
            return Self::masters(layout, values, biases, 1);
        }
        let mut freezing = Freezing::new(layout);
        for parameter in &layout.base.parameters {
            let mut values = vec![E::Real::default(); parameter.len()];
            draw_one::<E>(parameter, &mut values, rng);
            freezing.take(parameter, 0, &values);
        }
        let mut weights = freezing.done(Passes::Both);
        weights.draw_adapters(layout, rng);
        weights
    }

    /// The weights with adapters that are zeros, where the layout has any.
    pub(crate) fn with_zero_adapters(mut self, layout: &Layout) -> Self {
        self.adapters = layout.adapters.as_ref().map(|region| Adapters::zeros(layout, region));
        self
    }

    /// Gives a model its adapters, where it has any, with their first values from the run's seed.
    pub fn draw_adapters(&mut self, layout: &Layout, rng: &Rng) {
        if let Some(region) = &layout.adapters {
            self.adapters = Some(Adapters::zeros(layout, region));
            self.edit(layout, 1, |values, _| draw::<E>(region, values, rng));
        }
    }

    /// Changes the trained values and the selection biases, then brings the packed copies up to date on some threads.
    ///
    /// # Panics
    /// When the weights are frozen.
    pub fn edit<T>(
        &mut self,
        layout: &Layout,
        threads: usize,
        change: impl FnOnce(&mut [E::Real], &mut [Vec<E::Real>]) -> T,
    ) -> T {
        if let Some(Adapters { start, values, panels }) = &mut self.adapters {
            let result = change(values, &mut self.biases);
            panels.pack(&layout.adapter_factors, (values, *start), threads);
            return result;
        }
        // A model that learns has no copies, so that none is made here.
        let Model { beside, panels, exact } = Arc::make_mut(&mut self.model);
        let Beside::Masters(values) = beside else {
            unreachable!("frozen weights are not changed")
        };
        let result = change(values, &mut self.biases);
        panels.pack(&layout.factors, (values, 0), threads);
        exact.pack(&layout.exact, (values, 0), threads);
        result
    }

    /// Whether nothing but a forward pass can be computed with them.
    pub fn is_frozen(&self) -> bool {
        self.adapters.is_none() && matches!(self.model.beside, Beside::Kept(_))
    }

    /// A frozen copy. Where there are adapters, it has its own, and shares the model itself.
    pub fn frozen(&self, layout: &Layout) -> Self {
        match &self.model.beside {
            Beside::Masters(values) => Self::frozen_of(layout, values, &self.biases),
            Beside::Kept(_) => self.clone(),
        }
    }

    /// Weights of these numbers, frozen for a forward pass.
    fn frozen_of(layout: &Layout, values: &[E::Real], biases: &[Vec<E::Real>]) -> Self {
        let mut freezing = Freezing::new(layout);
        for parameter in &layout.base.parameters {
            freezing.take(parameter, 0, &values[parameter.range()]);
        }
        for (index, biases) in biases.iter().enumerate() {
            freezing.take_biases(index, biases);
        }
        freezing.done(Passes::Forward)
    }

    /// Whether the two are one model, in one memory, apart from adapters.
    #[cfg(test)]
    pub fn shares_model(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.model, &other.model)
    }

    /// What is trained, in the order of [`Layout::trained`]; nothing where the weights are frozen.
    pub fn trained(&self) -> &[E::Real] {
        match (&self.adapters, &self.model.beside) {
            (Some(adapters), _) => &adapters.values,
            (None, Beside::Masters(values)) => values,
            (None, Beside::Kept(_)) => &[],
        }
    }

    /// The values of a parameter. Those of frozen matrices are as products take them.
    pub fn parameter(&self, parameter: &Parameter) -> Cow<'_, [E::Real]> {
        let adapters = self.adapters.as_ref().filter(|one| parameter.offset >= one.start);
        if let Some(Adapters { start, values, .. }) = adapters {
            return Cow::Borrowed(&values[parameter.offset - start..][..parameter.len()]);
        }
        match &self.model.beside {
            Beside::Masters(values) => Cow::Borrowed(&values[parameter.range()]),
            Beside::Kept(kept) => {
                let packed = (&self.model.panels.forward[..], &self.model.exact.forward[..]);
                Cow::Owned(kept.unpacked(packed, parameter))
            }
        }
    }

    /// Selection biases of every layer with experts.
    pub fn biases(&self) -> &[Vec<E::Real>] {
        &self.biases
    }

    /// Copies rows of the embedding, one for each token.
    pub fn embed(&self, layout: &Layout, tokens: &[u32], to: &mut [E::Real]) {
        let Block { offset, columns, .. } = layout.embedding;
        for (to, token) in to.chunks_mut(columns).zip(tokens) {
            let token = *token as usize;
            match &self.model.beside {
                Beside::Masters(values) => {
                    to.copy_from_slice(&values[offset + token * columns..][..columns]);
                }
                Beside::Kept(kept) => kept.embed(layout, &self.model.panels.forward, token, to),
            }
        }
    }

    /// Right factor of x·Wᵀ.
    pub fn forward(&self, factor: Factor) -> Right<'_, E> {
        self.model.panels.forward_of(factor)
    }

    /// Right factor of dy·W; of weights that are frozen for a forward pass, where the factor is absorbed.
    pub fn backward(&self, factor: Factor) -> Right<'_, E> {
        let start = match &self.model.beside {
            Beside::Masters(_) => factor.backward_panels,
            Beside::Kept(kept) => kept.backward(factor),
        };
        self.model.panels.backward_at(start, factor)
    }

    /// Right factor of x·Aᵀ for a factor of an adapter.
    ///
    /// # Panics
    /// When the weights have no adapters.
    pub fn adapter_forward(&self, factor: Factor) -> Right<'_, E> {
        self.adapter_panels().forward_of(factor)
    }

    /// Right factor of dy·A for a factor of an adapter.
    ///
    /// # Panics
    /// When the weights have no adapters.
    pub fn adapter_backward(&self, factor: Factor) -> Right<'_, E> {
        self.adapter_panels().backward_at(factor.backward_panels, factor)
    }

    fn adapter_panels(&self) -> &Panels<E> {
        let Some(adapters) = &self.adapters else {
            unreachable!("weights of a layout with adapters have them")
        };
        &adapters.panels
    }

    /// Right factor of x·Wᵀ, not rounded.
    pub fn exact_forward(&self, matrix: Exact) -> Right<'_, E::Real> {
        self.model.exact.forward_of(matrix.0)
    }

    /// Right factor of dy·W, not rounded; not of weights that are frozen for a forward pass.
    pub fn exact_backward(&self, matrix: Exact) -> Right<'_, E::Real> {
        self.model.exact.backward_at(matrix.0.backward_panels, matrix.0)
    }

    /// A vector.
    pub fn vector(&self, vector: Vector) -> &[E::Real] {
        match &self.model.beside {
            Beside::Masters(values) => &values[vector.offset..vector.offset + vector.len],
            Beside::Kept(kept) => kept.vector(vector.offset, vector.len),
        }
    }
}

/// Draws the first values of a region.
fn draw<E: Operand>(region: &Region, values: &mut [E::Real], rng: &Rng) {
    for parameter in &region.parameters {
        draw_one::<E>(parameter, &mut values[region.place(parameter)], rng);
    }
}

/// Draws the first values of a parameter, from a stream with its name.
pub(crate) fn draw_one<E: Operand>(parameter: &Parameter, values: &mut [E::Real], rng: &Rng) {
    use r1x_ops::Real;
    let stream = || rng.stream("init").named(&parameter.name).at(&[]);
    match parameter.initial {
        Initial::Zeros => values.fill(E::Real::ZERO),
        Initial::Ones => values.fill(E::Real::ONE),
        Initial::Normal { std } => {
            let mut draws = stream();
            for value in values {
                *value = E::Real::from_f64(std * draws.normal());
            }
        }
        Initial::Uniform { bound } => {
            let mut draws = stream();
            for value in values {
                *value = E::Real::from_f64(bound * (2.0 * draws.uniform() - 1.0));
            }
        }
    }
}

impl<E: Operand<Real = f32>> Weights<E> {
    /// A model that learns itself, with these numbers.
    pub(crate) fn learning(layout: &Layout, numbers: Numbers, threads: usize) -> Self {
        Self::masters(layout, numbers.values, numbers.biases, threads)
    }

    /// What is trained, and the selection biases.
    pub(crate) fn numbers(&self, layout: &Layout) -> Numbers {
        let start = layout.trained().range.start;
        Numbers { start, values: self.trained().to_vec(), biases: self.biases.clone() }
    }

    /// A frozen copy with other trained numbers and selection biases.
    pub(crate) fn frozen_with(&self, layout: &Layout, numbers: &Numbers) -> Self {
        match &self.adapters {
            Some(_) => self.with(layout, numbers),
            None => Self::frozen_of(layout, &numbers.values, &numbers.biases),
        }
    }

    /// The weights with other trained numbers and selection biases.
    pub(crate) fn with(&self, layout: &Layout, numbers: &Numbers) -> Self {
        let mut weights = self.clone();
        weights.set(layout, numbers, 1);
        weights
    }

    /// Replaces the trained numbers and the selection biases.
    pub(crate) fn set(&mut self, layout: &Layout, numbers: &Numbers, threads: usize) {
        self.edit(layout, threads, |values, biases| {
            values.copy_from_slice(&numbers.values);
            biases.clone_from_slice(&numbers.biases);
        });
    }
}

impl<E: Operand<Real = f32>> Values for Weights<E> {
    fn of(&self, parameter: &Parameter) -> Cow<'_, [f32]> {
        self.parameter(parameter)
    }

    fn biases(&self) -> &[Vec<f32>] {
        &self.biases
    }
}
