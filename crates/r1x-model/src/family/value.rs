//! The head that says values: w · norm(x) at a row of the residual stream, and its backward pass.
//!
//! The normed row and w are not rounded in any precision, as the factors of routers are not: there is one product a row,
//! so rounding would save nothing, and a value is compared with others that lie close to it.

use r1x_ops::kernel::norm::rms_norm;
use r1x_ops::kernel::{add_scaled, dot};
use r1x_ops::{Operand, Real};

use super::decoder::{Decoder, Workspace};
use super::head::Buffers;
use super::linear::{Gradient, reserve};
use super::packed::Packed;
use crate::layout::Vector;
use crate::weights::Weights;

impl<E: Operand> Decoder<E> {
    /// The value at each of some rows of the residual stream in the workspace.
    pub(super) fn values(
        &self,
        weights: &Weights<E>,
        head: Vector,
        rows: &[usize],
        work: &mut Workspace<E>,
    ) -> Vec<E::Real> {
        self.exact_rows(weights, rows, work);
        let normed = &work.head.exact[..rows.len() * self.hidden];
        let w = weights.vector(head);
        normed.chunks(self.hidden).map(|row| dot(row, w)).collect()
    }

    /// Gathers some rows of the residual stream and norms them without rounding.
    fn exact_rows(&self, weights: &Weights<E>, rows: &[usize], work: &mut Workspace<E>) {
        let (hidden, count) = (self.hidden, rows.len());
        let Workspace { x, head: Buffers { input, exact, .. }, .. } = work;
        let input = reserve(input, count * hidden);
        for (to, row) in input.chunks_mut(hidden).zip(rows) {
            to.copy_from_slice(&x[row * hidden..(row + 1) * hidden]);
        }
        let exact = reserve(exact, count * hidden);
        let gain = weights.vector(self.layout.final_norm);
        rms_norm((input, hidden), gain, self.eps, (exact, hidden), count);
    }

    /// The gradient of Σ upstream · value up to the residual stream, where it is added to `work.dx`. Rows without a
    /// gradient cost nothing: a reward model is asked about one row of a sequence.
    pub(super) fn values_backward(
        &self,
        weights: &Weights<E>,
        head: Vector,
        packed: &Packed,
        upstream: &[E::Real],
        gradient: &mut Gradient<'_, E>,
        work: &mut Workspace<E>,
    ) {
        let (hidden, norm) = (self.hidden, self.layout.final_norm);
        let pairs = packed.predicting.iter().zip(upstream);
        let loud = pairs.filter(|(_, upstream)| **upstream != E::Real::ZERO);
        let (rows, upstream): (Vec<usize>, Vec<E::Real>) = loud.map(|(r, u)| (*r, *u)).unzip();
        let len = rows.len() * hidden;
        self.exact_rows(weights, &rows, work);
        let Workspace { head: Buffers { input, d_input, exact, .. }, d_normed, dx, .. } = work;
        let (d_normed, d_input) = (reserve(d_normed, len), reserve(d_input, len));
        let (w, d_w) = (weights.vector(head), gradient.at(head.offset, head.len));
        d_normed.fill(E::Real::ZERO);
        d_input.fill(E::Real::ZERO);
        let rows_of = exact[..len].chunks(hidden).zip(d_normed.chunks_mut(hidden)).zip(&upstream);
        for ((normed, d_normed), upstream) in rows_of {
            add_scaled(d_w, *upstream, normed);
            add_scaled(d_normed, *upstream, w);
        }
        self.norm_backward(weights, norm, &input[..len], d_normed, d_input, gradient);
        for (from, row) in d_input.chunks(hidden).zip(&rows) {
            add_scaled(&mut dx[row * hidden..(row + 1) * hidden], E::Real::ONE, from);
        }
    }
}
