//! Projections around the attention kernel: what grouped-query and latent attention have in common.
//!
//! Queries and context rows leave their projections as operands, so that the sampler, which keeps context rows in
//! a cache, and the trainer compute the same scores. Must not know caches or sequences.

use r1x_ops::Operand;
use r1x_ops::kernel::attention::{
    Heads, Segment, attention, attention_backward, block_len, write_row,
};
use r1x_ops::kernel::rope::{Rope, Vectors, rotate_rows};
use r1x_ops::operand::round_all;

use super::latent::{self, LatentStash};
use super::linear::{self, Gradient, Strided, reserve};
use super::{Rows, Scratch};
use crate::layout::Attention;
use crate::weights::Weights;

/// What the forward pass leaves for the backward pass.
#[derive(Clone, Debug, Default)]
pub struct Stash<E: Operand> {
    pub(super) query: Vec<E>,
    pub(super) context: Vec<E>,
    pub(super) attended: Vec<E>,
    pub(super) latent: LatentStash<E>,
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
pub struct Block<'a, E: Operand> {
    /// Parameters.
    pub attention: &'a Attention,
    /// Values.
    pub weights: &'a Weights<E>,
    /// Rotary table.
    pub rope: &'a Rope<E::Real>,
    /// Epsilon of the norms.
    pub eps: f64,
    /// Rows of the pass.
    pub rows: Rows<'a>,
}

impl<E: Operand> Block<'_, E> {
    /// x[rows × hidden] += attention(normed[rows × hidden]). Keys and values of the rows are written to `cache`
    /// first.
    pub fn forward(
        &self,
        normed: &[E],
        x: &mut [E::Real],
        cache: &mut [E],
        stash: &mut Stash<E>,
        scratch: &mut Scratch<E>,
    ) {
        let rows = self.rows.len();
        let shape = heads(self.attention);
        reserve(&mut stash.context, rows * shape.row_width);
        reserve(&mut stash.query, rows * shape.heads * shape.key_width);
        match self.attention {
            Attention::Gqa { .. } => self.project(normed, stash, scratch),
            Attention::Mla { .. } => latent::project(self, normed, stash, scratch),
        }
        let len = block_len::<E>(&shape);
        for write in self.rows.writes {
            let row = &stash.context[write.row as usize * shape.row_width..][..shape.row_width];
            let block = &mut cache[write.block as usize * len..][..len];
            write_row(&shape, row, block, write.slot as usize);
        }
        let attended = reserve(&mut stash.attended, rows * shape.heads * shape.value_width);
        let query = &stash.query[..rows * shape.heads * shape.key_width];
        let Rows { contexts, tables, .. } = self.rows;
        attention(&shape, contexts, tables, query, cache, attended, &mut scratch.attention);
        match *self.attention {
            Attention::Gqa { o, .. } => {
                let attended = Strided { data: &stash.attended, stride: o.columns() };
                linear::forward(self.weights, o, attended, (x, o.rows()), rows, true);
            }
            Attention::Mla { o, .. } => {
                latent::leave(self, stash, scratch);
                let output = Strided { data: &stash.latent.output, stride: o.columns() };
                linear::forward(self.weights, o, output, (x, o.rows()), rows, true);
            }
        }
    }

    fn project(&self, normed: &[E], stash: &mut Stash<E>, scratch: &mut Scratch<E>) {
        let Attention::Gqa { qkv, heads, kv_heads, width, .. } = *self.attention else {
            return;
        };
        let (rows, all) = (self.rows.len(), qkv.rows());
        let projected = reserve(&mut scratch.outputs, rows * all);
        let normed = Strided { data: normed, stride: qkv.columns() };
        linear::forward(self.weights, qkv, normed, (projected, all), rows, false);
        let from = |start| Vectors { start, stride: all, step: width };
        let positions = self.rows.positions;
        let to = Vectors { start: 0, stride: heads * width, step: width };
        let query = &mut stash.query;
        rotate_rows::<E>(self.rope, positions, heads, projected, from(0), query, to, false);
        let row_width = 2 * kv_heads * width;
        let to = Vectors { start: 0, stride: row_width, step: width };
        let keys = from(heads * width);
        let context = &mut stash.context;
        rotate_rows::<E>(self.rope, positions, kv_heads, projected, keys, context, to, false);
        for (row, context) in projected.chunks(all).zip(context.chunks_mut(row_width)) {
            let values = &row[(heads + kv_heads) * width..];
            round_all(values, &mut context[kv_heads * width..]);
        }
    }

    /// Adds to the gradient and overwrites `d_normed`, for upstream `dx` on the residual stream.
    pub fn backward(
        &self,
        normed: &[E],
        dx: &[E::Real],
        d_normed: &mut [E::Real],
        segments: &[Segment<'_>],
        gradient: &mut Gradient<'_, E>,
        stash: &mut Stash<E>,
        scratch: &mut Scratch<E>,
    ) {
        let rows = self.rows.len();
        let shape = heads(self.attention);
        let attended_width = shape.heads * shape.value_width;
        let mut upstream = std::mem::take(&mut scratch.upstream);
        let upstream_rows = E::rounded(dx, &mut upstream);
        match *self.attention {
            Attention::Gqa { o, .. } => {
                let dy = Strided { data: upstream_rows, stride: o.rows() };
                let d_attended = reserve(&mut scratch.outputs, rows * attended_width);
                linear::backward(self.weights, o, dy, (d_attended, attended_width), rows, false);
                let x = Strided { data: &stash.attended[..], stride: o.columns() };
                linear::weight_gradient(o, x, dy, gradient, rows);
            }
            Attention::Mla { .. } => latent::enter(self, upstream_rows, gradient, stash, scratch),
        }
        scratch.upstream = upstream;
        let Scratch { attention, outputs, outputs_rounded, inputs, context, .. } = scratch;
        let d_attended = E::rounded(&outputs[..rows * attended_width], outputs_rounded);
        let d_query = reserve(inputs, rows * shape.heads * shape.key_width);
        let d_context = reserve(context, rows * shape.row_width);
        d_context.fill(E::Real::default());
        let (query, context) = (&stash.query[..d_query.len()], &stash.context[..d_context.len()]);
        let (q, c) = ((query, d_query), (context, d_context));
        attention_backward(&shape, segments, q, c, d_attended, attention);
        match self.attention {
            Attention::Gqa { .. } => self.unproject(normed, d_normed, gradient, scratch),
            Attention::Mla { .. } => {
                latent::unproject(self, normed, d_normed, gradient, stash, scratch);
            }
        }
    }

    fn unproject(
        &self,
        normed: &[E],
        d_normed: &mut [E::Real],
        gradient: &mut Gradient<'_, E>,
        scratch: &mut Scratch<E>,
    ) {
        let Attention::Gqa { qkv, heads, kv_heads, width, .. } = *self.attention else {
            return;
        };
        let (rows, all) = (self.rows.len(), qkv.rows());
        let Scratch { inputs: d_query, context: d_context, inputs_rounded, .. } = scratch;
        let d_projected = reserve(inputs_rounded, rows * all);
        let to = |start| Vectors { start, stride: all, step: width };
        let (positions, rope) = (self.rows.positions, self.rope);
        let from = Vectors { start: 0, stride: heads * width, step: width };
        rotate_rows::<E>(rope, positions, heads, d_query, from, d_projected, to(0), true);
        let row_width = 2 * kv_heads * width;
        let from = Vectors { start: 0, stride: row_width, step: width };
        let keys = to(heads * width);
        rotate_rows::<E>(rope, positions, kv_heads, d_context, from, d_projected, keys, true);
        for (row, context) in d_projected.chunks_mut(all).zip(d_context.chunks(row_width)) {
            let values = &context[kv_heads * width..];
            round_all(values, &mut row[(heads + kv_heads) * width..]);
        }
        let dy = Strided { data: &*d_projected, stride: all };
        linear::backward(self.weights, qkv, dy, (d_normed, qkv.columns()), rows, false);
        let x = Strided { data: normed, stride: qkv.columns() };
        linear::weight_gradient(qkv, x, dy, gradient, rows);
    }
}
