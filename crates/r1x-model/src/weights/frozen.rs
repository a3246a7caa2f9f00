//! Weights that nobody changes: packed for the forward pass, and beside that only what it reads otherwise.
//!
//! Beside packed forms a forward pass reads vectors, and the embedding, whose rows are looked up. A head that is the
//! embedding holds those rows already, packed; where rounding them changed nothing, which is so in f32 and for files of bf16, they are read from there. So a
//! frozen model takes the size of its operands, and what it computes is what weights that learn compute, bit for bit.
//!
//! Numbers come some rows at a time, in any order, so that what they are read from needs little memory.

use std::ops::Range;
use std::sync::Arc;

use r1x_ops::Operand;
use r1x_ops::kernel::matmul::{pack_columns_from, pack_rows, packed_len, unpack_column};

use super::{Beside, Model, Panels, Weights};
use crate::checkpoint::Sink;
use crate::layout::{Block, Factor, Layout, Parameter};

/// What packed forms lack.
#[derive(Clone, Debug)]
pub(super) struct Kept<E: Operand> {
    /// Parameters that are multiplied by nothing, by their offsets, ascending; neighbours together.
    vectors: Vec<(usize, Vec<E::Real>)>,
    embedding: Embedding<E>,
    /// Where the embedding begins in the layout.
    embedding_offset: usize,
    /// Every matrix with its range of the layout, ascending.
    packed: Vec<Packed>,
    /// Of every factor that has a form for dy·W: where it begins in weights that learn, ascending, and here.
    backward: Vec<(usize, usize)>,
}

/// Where the rows of the embedding are.
#[derive(Clone, Debug)]
enum Embedding<E: Operand> {
    /// In the packed head.
    Head,
    /// Here, as operands, because none lost anything by rounding.
    Operands(Vec<E>),
    /// Here, as they are.
    Reals(Vec<E::Real>),
}

/// A matrix and the range of the layout that it covers.
#[derive(Clone, Debug)]
struct Packed {
    range: Range<usize>,
    factor: Factor,
    /// Whether its packed form is of reals in every precision.
    exact: bool,
}

impl Packed {
    fn new(factor: &Factor, exact: bool) -> Self {
        let Block { offset, .. } = factor.block;
        Self { range: offset..offset + factor.block.len(), factor: *factor, exact }
    }

    /// Which row of the matrix begins at an offset.
    fn row(&self, offset: usize) -> usize {
        (offset - self.range.start) / self.factor.columns()
    }

    /// Its part of the packed forms.
    fn part(&self) -> Range<usize> {
        self.factor.forward_panels..self.factor.forward_end()
    }
}

impl<E: Operand> Kept<E> {
    fn new(layout: &Layout) -> Self {
        let inexact = layout.factors.iter().map(|factor| Packed::new(factor, false));
        let exact = layout.exact.iter().map(|factor| Packed::new(factor, true));
        let mut packed: Vec<Packed> = inexact.chain(exact).collect();
        packed.sort_by_key(|one| one.range.start);
        let embedding = match layout.head.is_tied(layout.embedding) {
            true => Embedding::Head,
            false => Embedding::Operands(vec![E::default(); layout.embedding.len()]),
        };
        let embedding_offset = layout.embedding.offset;
        let (vectors, backward) = (Vec::new(), Vec::new());
        let mut kept = Self { vectors, embedding, embedding_offset, packed, backward };
        for parameter in &layout.base.parameters {
            if !kept.is_embedding(parameter) && kept.packed(parameter.offset).is_none() {
                kept.make_room(parameter);
            }
        }
        kept
    }

    /// Room for a vector, behind one that ends where it begins: biases of joined matrices are read as one.
    fn make_room(&mut self, parameter: &Parameter) {
        let before = self.vectors.last_mut();
        match before.filter(|(start, values)| start + values.len() == parameter.offset) {
            Some((_, values)) => {
                values.resize(values.len() + parameter.len(), E::Real::default());
            }
            None => {
                let zeros = vec![E::Real::default(); parameter.len()];
                self.vectors.push((parameter.offset, zeros));
            }
        }
    }

    /// The matrix that covers an offset.
    fn packed(&self, offset: usize) -> Option<&Packed> {
        let behind = self.packed.partition_point(|one| one.range.start <= offset);
        self.packed[..behind].last().filter(|one| one.range.contains(&offset))
    }

    /// Which of the vectors holds an offset, and where in it the offset is.
    fn place(&self, offset: usize) -> (usize, usize) {
        let behind = self.vectors.partition_point(|(start, _)| *start <= offset);
        (behind - 1, offset - self.vectors[behind - 1].0)
    }

    /// Numbers of a vector.
    pub(super) fn vector(&self, offset: usize, len: usize) -> &[E::Real] {
        let (index, from) = self.place(offset);
        &self.vectors[index].1[from..from + len]
    }

    /// Where the form for dy·W of a factor begins.
    pub(super) fn backward(&self, factor: Factor) -> usize {
        let found = self.backward.binary_search_by_key(&factor.backward_panels, |(one, _)| *one);
        found.map_or(usize::MAX, |index| self.backward[index].1)
    }

    /// Copies a row of the embedding.
    pub(super) fn embed(&self, layout: &Layout, forward: &[E], token: usize, to: &mut [E::Real]) {
        let columns = to.len();
        let row = token * columns..(token + 1) * columns;
        match &self.embedding {
            Embedding::Head => unpack_column(head(layout, forward), token, to),
            Embedding::Operands(rows) => widen(&rows[row], to),
            Embedding::Reals(rows) => to.copy_from_slice(&rows[row]),
        }
    }

    /// Takes rows of the embedding, which are packed already where it is the head.
    fn take_embedding(&mut self, layout: &Layout, forward: &[E], first: usize, values: &[E::Real]) {
        let columns = layout.embedding.columns;
        let place = first * columns..first * columns + values.len();
        let is_rounded = values.iter().any(|value| E::round(*value).widen() != *value);
        if is_rounded {
            self.embedding.keep_reals(layout, forward);
        }
        match &mut self.embedding {
            Embedding::Head => {}
            Embedding::Operands(rows) => {
                for (row, value) in rows[place].iter_mut().zip(values) {
                    *row = E::round(*value);
                }
            }
            Embedding::Reals(rows) => rows[place].copy_from_slice(values),
        }
    }

    /// Every number of a parameter. Those of matrices are as products take them.
    pub(super) fn unpacked(
        &self,
        (forward, exact): (&[E], &[E::Real]),
        parameter: &Parameter,
    ) -> Vec<E::Real> {
        let mut values = vec![E::Real::default(); parameter.len()];
        match &self.embedding {
            Embedding::Operands(rows) if self.is_embedding(parameter) => {
                widen(rows, &mut values);
                return values;
            }
            Embedding::Reals(rows) if self.is_embedding(parameter) => return rows.clone(),
            _ => {}
        }
        if self.packed(parameter.offset).is_none() {
            values.copy_from_slice(self.vector(parameter.offset, parameter.len()));
            return values;
        }
        let columns = parameter.columns();
        for (row, to) in values.chunks_mut(columns).enumerate() {
            // The rows of one parameter may be those of several matrices.
            let offset = parameter.offset + row * columns;
            match self.packed(offset) {
                Some(packed) if packed.exact => {
                    unpack_column(&exact[packed.part()], packed.row(offset), to);
                }
                Some(packed) => unpack_column(&forward[packed.part()], packed.row(offset), to),
                None => {}
            }
        }
        values
    }

    fn is_embedding(&self, parameter: &Parameter) -> bool {
        parameter.offset == self.embedding_offset
    }
}

impl<E: Operand> Embedding<E> {
    /// Keeps the rows as they are from now on; those taken so far lost nothing by rounding.
    fn keep_reals(&mut self, layout: &Layout, forward: &[E]) {
        let Block { rows, columns, .. } = layout.embedding;
        let mut reals = vec![E::Real::default(); rows * columns];
        match self {
            Self::Reals(_) => return,
            Self::Operands(operands) => widen(operands, &mut reals),
            Self::Head => {
                for (token, row) in reals.chunks_mut(columns).enumerate() {
                    unpack_column(head(layout, forward), token, row);
                }
            }
        }
        *self = Self::Reals(reals);
    }
}

/// The packed head.
fn head<'a, E: Operand>(layout: &Layout, forward: &'a [E]) -> &'a [E] {
    let matrix = layout.head.matrix();
    let len = packed_len::<E>(matrix.columns(), matrix.rows());
    &forward[matrix.factor.forward_panels..][..len]
}

fn widen<E: Operand>(operands: &[E], to: &mut [E::Real]) {
    for (to, operand) in to.iter_mut().zip(operands) {
        *to = operand.widen();
    }
}

/// Frozen weights whose numbers are still being read.
#[derive(Debug)]
pub struct Freezing<'a, E: Operand> {
    layout: &'a Layout,
    kept: Kept<E>,
    panels: Panels<E>,
    exact: Panels<E::Real>,
    biases: Vec<Vec<E::Real>>,
}

impl<'a, E: Operand> Freezing<'a, E> {
    /// All zero.
    pub fn new(layout: &'a Layout) -> Self {
        let zeros = |(_, experts): &(String, usize)| vec![E::Real::default(); *experts];
        Self {
            layout,
            kept: Kept::new(layout),
            panels: Panels::forward(&layout.factors),
            exact: Panels::forward(&layout.exact),
            biases: layout.biases.iter().map(zeros).collect(),
        }
    }

    /// Takes whole rows of a parameter, or numbers of a vector, from the one of number `first` on. Each is taken once.
    pub fn take(&mut self, parameter: &Parameter, first: usize, values: &[E::Real]) {
        let mut offset = parameter.offset + first * parameter.columns();
        let mut rest = values;
        while let Some(packed) = self.kept.packed(offset).filter(|_| !rest.is_empty()) {
            let (values, behind) = rest.split_at((packed.range.end - offset).min(rest.len()));
            let (row, columns) = (packed.row(offset), packed.factor.columns());
            match packed.exact {
                true => {
                    let to = &mut self.exact.forward[packed.part()];
                    pack_columns_from(values, columns, row, to);
                }
                false => {
                    let to = &mut self.panels.forward[packed.part()];
                    pack_columns_from(values, columns, row, to);
                }
            }
            (rest, offset) = (behind, offset + values.len());
        }
        if self.kept.is_embedding(parameter) {
            self.kept.take_embedding(self.layout, &self.panels.forward, first, values);
        } else if !rest.is_empty() {
            let (index, from) = self.kept.place(offset);
            self.kept.vectors[index].1[from..from + rest.len()].copy_from_slice(rest);
        }
    }

    /// Takes the selection biases of a layer with experts.
    pub fn take_biases(&mut self, index: usize, values: &[E::Real]) {
        self.biases[index].copy_from_slice(values);
    }

    /// The weights, without adapters.
    pub fn done(self, passes: Passes) -> Weights<E> {
        let Self { layout, mut kept, mut panels, mut exact, biases } = self;
        let mut factors: Vec<Factor> = match passes {
            Passes::Forward => layout.absorbed().collect(),
            Passes::Both => layout.factors.clone(),
        };
        factors.sort_unstable_by_key(|factor| factor.backward_panels);
        for factor in factors {
            let start = panels.pack_again(factor);
            kept.backward.push((factor.backward_panels, start));
        }
        if passes == Passes::Both {
            for factor in &layout.exact {
                exact.pack_again(*factor);
            }
        }
        let model = Model { beside: Beside::Kept(kept), panels, exact };
        Weights { model: Arc::new(model), adapters: None, biases }
    }
}

/// What frozen weights are multiplied for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    /// A forward pass.
    Forward,
    /// A backward pass too, through which the gradients of adapters go.
    Both,
}

impl<E: Operand> Panels<E> {
    /// Adds the form of a factor for dy·W, made of the one for x·Wᵀ, and says where it begins.
    fn pack_again(&mut self, factor: Factor) -> usize {
        let Block { rows, columns, .. } = factor.block;
        let mut values = vec![E::Real::default(); rows * columns];
        for (row, to) in values.chunks_mut(columns).enumerate() {
            unpack_column(&self.forward[factor.forward_panels..factor.forward_end()], row, to);
        }
        let start = self.backward.len();
        // As long as in weights that learn, so that exact factors are where they are there.
        let len = factor.backward_end() - factor.backward_panels;
        self.backward.resize(start + len, E::default());
        let to = &mut self.backward[start..start + packed_len::<E>(rows, columns)];
        pack_rows(&values, columns, rows, columns, to);
        start
    }
}

impl<E: Operand<Real = f32>> Sink for Freezing<'_, E> {
    fn take(&mut self, parameter: &Parameter, first: usize, values: &[f32]) {
        Freezing::take(self, parameter, first, values);
    }

    fn take_biases(&mut self, index: usize, values: &[f32]) {
        Freezing::take_biases(self, index, values);
    }
}
