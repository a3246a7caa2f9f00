//! Projections around the attention kernel: grouped-query, and latent in absorbed form.
//!
//! Latent attention never expands the cache: queries are taken into the latent space (q·W_UK), scores and
//! sums happen there, and values leave it afterwards (o·W_UV). Trainer and sampler both use this form, so
//! they do the same arithmetic. Must not know caches or sequences.

use r1x_ops::Real;
use r1x_ops::kernel::attention::{Heads, attention, attention_backward};
use r1x_ops::kernel::matmul::{Product, Right, Strided};
use r1x_ops::kernel::norm::{rms_norm, rms_norm_backward};
use r1x_ops::kernel::rope::Rope;

use super::linear::{self, Gradient, reserve};
use super::{Arena, Rows};
use crate::layout::{Attention, LatentQuery, Matrix, Vector};
use crate::weights::Weights;

/// What the forward pass leaves for the backward pass, and scratch of both.
#[derive(Clone, Debug, Default)]
pub struct Stash<R> {
    query_latent: Vec<R>,
    query_normed: Vec<R>,
    projected: Vec<R>,
    query: Vec<R>,
    down: Vec<R>,
    context: Vec<R>,
    attended: Vec<R>,
    output: Vec<R>,
    scores: Vec<R>,
    d_output: Vec<R>,
    d_attended: Vec<R>,
    d_query: Vec<R>,
    d_projected: Vec<R>,
    d_context: Vec<R>,
    d_down: Vec<R>,
}

/// The kernel's view of an attention.
pub fn heads(attention: &Attention) -> Heads {
    match *attention {
        Attention::Gqa { heads, kv_heads, width, .. } => Heads {
            heads,
            kv_heads,
            key_width: width,
            value_width: width,
            row_width: 2 * kv_heads * width,
            value_offset: kv_heads * width,
            scale: 1.0 / (width as f64).sqrt(),
        },
        Attention::Mla { heads, latent, nope, rope, .. } => Heads {
            heads,
            kv_heads: 1,
            key_width: latent + rope,
            value_width: latent,
            row_width: latent + rope,
            value_offset: 0,
            scale: 1.0 / ((nope + rope) as f64).sqrt(),
        },
    }
}

/// One attention with everything it needs.
#[derive(Debug)]
pub struct Block<'a, R> {
    /// Parameters.
    pub attention: &'a Attention,
    /// Values.
    pub weights: &'a Weights<R>,
    /// Rotary table.
    pub rope: &'a Rope<R>,
    /// Epsilon of the norms.
    pub eps: f64,
    /// Rows of the pass.
    pub rows: Rows<'a>,
}

impl<R: Real> Block<'_, R> {
    /// x[rows × hidden] += attention(normed[rows × hidden]).
    pub fn forward(&self, normed: &[R], x: &mut [R], arena: Arena<'_, R>, stash: &mut Stash<R>) {
        let rows = self.rows.len();
        let shape = heads(self.attention);
        reserve(&mut stash.context, rows * shape.row_width);
        reserve(&mut stash.query, rows * shape.heads * shape.key_width);
        match self.attention {
            Attention::Gqa { .. } => self.project_gqa(normed, stash),
            Attention::Mla { .. } => self.project_mla(normed, stash),
        }
        let attended = reserve(&mut stash.attended, rows * shape.heads * shape.value_width);
        let query = &stash.query[..rows * shape.heads * shape.key_width];
        let contexts = self.rows.contexts;
        match arena {
            Arena::Pass => {
                attention(&shape, contexts, query, &stash.context, attended, &mut stash.scores);
            }
            Arena::Cache { rows: cache, write } => {
                for (row, to) in stash.context.chunks(shape.row_width).zip(write) {
                    cache[to * shape.row_width..(to + 1) * shape.row_width].copy_from_slice(row);
                }
                attention(&shape, contexts, query, cache, attended, &mut stash.scores);
            }
        }
        match *self.attention {
            Attention::Gqa { o, .. } => {
                linear::forward(self.weights, o, &stash.attended, x, rows, true);
            }
            Attention::Mla { o, .. } => {
                self.leave_latent(stash);
                linear::forward(self.weights, o, &stash.output, x, rows, true);
            }
        }
    }

    fn project_gqa(&self, normed: &[R], stash: &mut Stash<R>) {
        let Attention::Gqa { q, k, v, heads, kv_heads, width, .. } = *self.attention else {
            return;
        };
        let rows = self.rows.len();
        linear::forward(self.weights, q, normed, &mut stash.query, rows, false);
        let row_width = 2 * kv_heads * width;
        self.project_to_context(normed, k, &mut stash.context, row_width);
        self.project_to_context(normed, v, &mut stash.context[kv_heads * width..], row_width);
        for (row, position) in self.rows.positions.iter().enumerate() {
            for head in stash.query[row * heads * width..][..heads * width].chunks_mut(width) {
                self.rope.rotate(head, *position, false);
            }
            for head in stash.context[row * row_width..][..kv_heads * width].chunks_mut(width) {
                self.rope.rotate(head, *position, false);
            }
        }
    }

    /// Projects rows into part of the context rows.
    fn project_to_context(
        &self,
        normed: &[R],
        matrix: Matrix,
        context: &mut [R],
        row_width: usize,
    ) {
        Product {
            m: self.rows.len(),
            n: matrix.rows,
            k: matrix.columns,
            a: Strided::rows(normed, matrix.columns),
            b: self.weights.forward(matrix),
            c: context,
            c_stride: row_width,
            accumulate: false,
        }
        .compute();
    }

    fn project_mla(&self, normed: &[R], stash: &mut Stash<R>) {
        let Attention::Mla { q, kv_down, kv_norm, kv_up, heads, latent, nope, rope, value, .. } =
            *self.attention
        else {
            return;
        };
        let (rows, weights) = (self.rows.len(), self.weights);
        let key = latent + rope;
        let projected = reserve(&mut stash.projected, rows * heads * (nope + rope));
        match q {
            LatentQuery::Direct(q) => linear::forward(weights, q, normed, projected, rows, false),
            LatentQuery::LowRank { down, norm, up } => {
                let rank = norm.len;
                let low = reserve(&mut stash.query_latent, rows * rank);
                linear::forward(weights, down, normed, low, rows, false);
                let clean = reserve(&mut stash.query_normed, rows * rank);
                rms_norm((low, rank), weights.vector(norm), self.eps, (clean, rank), rows);
                linear::forward(weights, up, clean, projected, rows, false);
            }
        }
        for head in 0..heads {
            // Into the latent space: q_nope[head] · W_UK[head].
            Product {
                m: rows,
                n: latent,
                k: nope,
                a: Strided::rows(&projected[head * (nope + rope)..], heads * (nope + rope)),
                b: Right::rows(&weights.matrix(kv_up)[head * (nope + value) * latent..], latent),
                c: &mut stash.query[head * key..],
                c_stride: heads * key,
                accumulate: false,
            }
            .compute();
        }
        let down = reserve(&mut stash.down, rows * key);
        linear::forward(weights, kv_down, normed, down, rows, false);
        let gain = weights.vector(kv_norm);
        rms_norm((down, key), gain, self.eps, (&mut stash.context, key), rows);
        for (row, position) in self.rows.positions.iter().enumerate() {
            let shared = &mut stash.context[row * key + latent..(row + 1) * key];
            shared.copy_from_slice(&down[row * key + latent..(row + 1) * key]);
            self.rope.rotate(shared, *position, false);
            for head in 0..heads {
                let from = (row * heads + head) * (nope + rope) + nope;
                let to = (row * heads + head) * key + latent;
                let rotated = &mut stash.query[to..to + rope];
                rotated.copy_from_slice(&projected[from..from + rope]);
                self.rope.rotate(rotated, *position, false);
            }
        }
    }

    /// Out of the latent space: attended[head] · W_UV[head]ᵀ.
    fn leave_latent(&self, stash: &mut Stash<R>) {
        let Attention::Mla { kv_up, heads, latent, nope, value, .. } = *self.attention else {
            return;
        };
        let rows = self.rows.len();
        let output = reserve(&mut stash.output, rows * heads * value);
        for head in 0..heads {
            Product {
                m: rows,
                n: value,
                k: latent,
                a: Strided::rows(&stash.attended[head * latent..], heads * latent),
                b: Right::rows(
                    &self.weights.transposed(kv_up)[head * (nope + value) + nope..],
                    heads * (nope + value),
                ),
                c: &mut output[head * value..],
                c_stride: heads * value,
                accumulate: false,
            }
            .compute();
        }
    }

    /// Adds to the gradient and overwrites `d_normed`, for upstream `dx` on the residual stream.
    pub fn backward(
        &self,
        normed: &[R],
        dx: &[R],
        d_normed: &mut [R],
        gradient: &mut Gradient<'_, R>,
        stash: &mut Stash<R>,
    ) {
        let rows = self.rows.len();
        let shape = heads(self.attention);
        reserve(&mut stash.d_attended, rows * shape.heads * shape.value_width);
        match *self.attention {
            Attention::Gqa { o, .. } => {
                let into = (&mut stash.d_attended[..], false);
                linear::backward(self.weights, o, &stash.attended, dx, into, gradient, rows);
            }
            Attention::Mla { o, .. } => {
                let d_output = reserve(&mut stash.d_output, rows * o.columns);
                let into = (d_output, false);
                linear::backward(self.weights, o, &stash.output, dx, into, gradient, rows);
                self.enter_latent(gradient, stash);
            }
        }
        let d_query = reserve(&mut stash.d_query, rows * shape.heads * shape.key_width);
        let d_context = reserve(&mut stash.d_context, rows * shape.row_width);
        d_context.fill(R::ZERO);
        attention_backward(
            &shape,
            self.rows.contexts,
            (&stash.query, d_query),
            (&stash.context, d_context),
            &stash.d_attended,
            &mut stash.scores,
        );
        match self.attention {
            Attention::Gqa { .. } => self.unproject_gqa(normed, d_normed, gradient, stash),
            Attention::Mla { .. } => self.unproject_mla(normed, d_normed, gradient, stash),
        }
    }

    fn unproject_gqa(
        &self,
        normed: &[R],
        d_normed: &mut [R],
        gradient: &mut Gradient<'_, R>,
        stash: &mut Stash<R>,
    ) {
        let Attention::Gqa { q, k, v, heads, kv_heads, width, .. } = *self.attention else {
            return;
        };
        let (rows, row_width) = (self.rows.len(), 2 * kv_heads * width);
        for (row, position) in self.rows.positions.iter().enumerate() {
            for head in stash.d_query[row * heads * width..][..heads * width].chunks_mut(width) {
                self.rope.rotate(head, *position, true);
            }
            for head in stash.d_context[row * row_width..][..kv_heads * width].chunks_mut(width) {
                self.rope.rotate(head, *position, true);
            }
        }
        let into = (&mut *d_normed, false);
        linear::backward(self.weights, q, normed, &stash.d_query, into, gradient, rows);
        for (matrix, start) in [(k, 0), (v, kv_heads * width)] {
            let d_context = &stash.d_context[start..];
            Product {
                m: rows,
                n: matrix.columns,
                k: matrix.rows,
                a: Strided::rows(d_context, row_width),
                b: self.weights.backward(matrix),
                c: d_normed,
                c_stride: matrix.columns,
                accumulate: true,
            }
            .compute();
            linear::weight_gradient(matrix, normed, (d_context, row_width), gradient, rows);
        }
    }

    /// d_attended[head] = d_output[head] · W_UV[head], and the gradient of W_UV.
    fn enter_latent(&self, gradient: &mut Gradient<'_, R>, stash: &mut Stash<R>) {
        let Attention::Mla { kv_up, heads, latent, nope, value, .. } = *self.attention else {
            return;
        };
        let rows = self.rows.len();
        for head in 0..heads {
            let start = (head * (nope + value) + nope) * latent;
            Product {
                m: rows,
                n: latent,
                k: value,
                a: Strided::rows(&stash.d_output[head * value..], heads * value),
                b: Right::rows(&self.weights.matrix(kv_up)[start..], latent),
                c: &mut stash.d_attended[head * latent..],
                c_stride: heads * latent,
                accumulate: false,
            }
            .compute();
            Product {
                m: value,
                n: latent,
                k: rows,
                a: Strided::transposed(&stash.d_output[head * value..], heads * value),
                b: Right::rows(&stash.attended[head * latent..], heads * latent),
                c: &mut gradient.values[kv_up.offset + start..],
                c_stride: latent,
                accumulate: true,
            }
            .compute();
        }
    }

    /// d_projected from d_query: back out of the latent space and of the rotation; gradient of W_UK.
    fn unproject_queries(&self, gradient: &mut Gradient<'_, R>, stash: &mut Stash<R>) {
        let Attention::Mla { kv_up, heads, latent, nope, rope, value, .. } = *self.attention else {
            return;
        };
        let (rows, key) = (self.rows.len(), latent + rope);
        let d_projected = reserve(&mut stash.d_projected, rows * heads * (nope + rope));
        for head in 0..heads {
            let start = head * (nope + value);
            Product {
                m: rows,
                n: nope,
                k: latent,
                a: Strided::rows(&stash.d_query[head * key..], heads * key),
                b: Right::rows(&self.weights.transposed(kv_up)[start..], heads * (nope + value)),
                c: &mut d_projected[head * (nope + rope)..],
                c_stride: heads * (nope + rope),
                accumulate: false,
            }
            .compute();
            Product {
                m: nope,
                n: latent,
                k: rows,
                a: Strided::transposed(
                    &stash.projected[head * (nope + rope)..],
                    heads * (nope + rope),
                ),
                b: Right::rows(&stash.d_query[head * key..], heads * key),
                c: &mut gradient.values[kv_up.offset + start * latent..],
                c_stride: latent,
                accumulate: true,
            }
            .compute();
        }
        for (row, position) in self.rows.positions.iter().enumerate() {
            for head in 0..heads {
                let from = (row * heads + head) * key + latent;
                let to = (row * heads + head) * (nope + rope) + nope;
                let rotated = &mut d_projected[to..to + rope];
                rotated.copy_from_slice(&stash.d_query[from..from + rope]);
                self.rope.rotate(rotated, *position, true);
            }
        }
    }

    fn unproject_mla(
        &self,
        normed: &[R],
        d_normed: &mut [R],
        gradient: &mut Gradient<'_, R>,
        stash: &mut Stash<R>,
    ) {
        let Attention::Mla { q, kv_down, kv_norm, latent, rope, .. } = *self.attention else {
            return;
        };
        let (rows, weights, key) = (self.rows.len(), self.weights, latent + rope);
        self.unproject_queries(gradient, stash);
        match q {
            LatentQuery::Direct(q) => {
                let into = (&mut *d_normed, false);
                linear::backward(weights, q, normed, &stash.d_projected, into, gradient, rows);
            }
            LatentQuery::LowRank { down, norm, up } => {
                let rank = norm.len;
                let mut d_clean = vec![R::ZERO; rows * rank];
                let mut d_low = vec![R::ZERO; rows * rank];
                let (clean, into) = (&stash.query_normed, (&mut d_clean[..], false));
                linear::backward(weights, up, clean, &stash.d_projected, into, gradient, rows);
                self.norm_backward(
                    norm,
                    (&stash.query_latent, rank),
                    (&d_clean, rank),
                    &mut d_low,
                    gradient,
                );
                let into = (&mut *d_normed, false);
                linear::backward(weights, down, normed, &d_low, into, gradient, rows);
            }
        }
        reserve(&mut stash.d_down, rows * key);
        let (x, dy) = ((&stash.down[..], key), (&stash.d_context[..], key));
        self.norm_backward(kv_norm, x, dy, &mut stash.d_down, gradient);
        for (row, position) in self.rows.positions.iter().enumerate() {
            let range = row * key + latent..(row + 1) * key;
            let shared = &mut stash.d_down[range.clone()];
            shared.copy_from_slice(&stash.d_context[range]);
            self.rope.rotate(shared, *position, true);
        }
        let into = (d_normed, true);
        linear::backward(weights, kv_down, normed, &stash.d_down, into, gradient, rows);
    }

    /// Overwrites dx (rows as far apart as x's) and adds the gain's gradient.
    fn norm_backward(
        &self,
        norm: Vector,
        (x, stride): (&[R], usize),
        dy: (&[R], usize),
        dx: &mut [R],
        gradient: &mut Gradient<'_, R>,
    ) {
        let gain = self.weights.vector(norm);
        let d_gain = &mut gradient.values[norm.offset..norm.offset + norm.len];
        let rows = self.rows.len();
        rms_norm_backward((x, stride), gain, self.eps, dy, (dx, stride), d_gain, rows, true);
    }
}
