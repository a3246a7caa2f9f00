//! The attention of a layer: projections around the attention kernel, forward and backward.
//!
//! Both kinds take one way: normed rows are projected to queries and to context rows, the kernel attends, and the
//! output projection leads back to the residual stream. The projections stand in `gqa` (grouped-query attention) and
//! `latent` (MLA); what they share is here. Queries and context rows leave their projections as operands, so that
//! the sampler, which keeps context rows in a cache, and the trainer compute the same scores.

mod gqa;
mod latent;

use r1x_ops::Operand;
use r1x_ops::kernel::attention::{
    Heads, Scratch as KernelScratch, Segment, attention, attention_backward, block_len, write_row,
};
use r1x_ops::kernel::rope::Rope;

use super::linear::{Gradient, reserve};
use super::{CacheWrite, Rows};
use crate::layout::{Attention, Gqa, Mla};
use crate::weights::Weights;

/// What the forward pass leaves for the backward pass.
#[derive(Clone, Debug, Default)]
pub struct Stash<E: Operand> {
    /// Queries as the kernel reads them, `[rows, heads · key_width]`.
    query: Vec<E>,
    /// What a position adds to the cache, as the kernel reads it, `[rows, row_width]`.
    context: Vec<E>,
    /// What the heads attended to, as the kernel writes it, `[rows, heads · value_width]`.
    attended: Vec<E>,
    /// What grouped queries with norms or bounds need beside queries, context rows and what was attended to.
    grouped: gqa::Stash<E::Real>,
    /// What latent attention needs beside queries, context rows and what was attended to; empty in other models.
    latent: latent::Stash<E>,
}

/// Memory of one thread for the attention of every layer in turn, reused from pass to pass.
///
/// A step of a pass borrows its buffers under names of their own. Steps that never need their buffers at one time borrow
/// one vector, so that a thread holds little and finds it in its caches. What a step leaves for the next one is handed
/// on as a slice; everything else is read by nobody but the step that wrote it.
///
/// | vector | forward | backward, one after the other |
/// | --- | --- | --- |
/// | `reals[0]` | `projected` or `head_queries` | `d_attended`; `d_head_queries` or `d_turned` |
/// | `reals[1]` | `absorbed`; `head_values` | `d_head_values`; `d_query`; `d_latent_normed` |
/// | `operands[0]` | | `d_attended` rounded; `d_projected` of latent attention |
/// | `operands[1]` | | `d_head_values`, `d_query` and `d_head_queries` rounded; `d_projected` of grouped queries |
#[derive(Clone, Debug, Default)]
pub struct Scratch<E: Operand> {
    /// Memory of the kernel.
    kernel: KernelScratch<E>,
    /// Sums as wide as all heads of a row.
    reals: [Vec<E::Real>; 2],
    /// Operands as wide as all heads of a row.
    operands: [Vec<E>; 2],
    /// The gradient of the context rows, `[rows, row_width]`, from the kernel to the end of the backward pass.
    d_context: Vec<E::Real>,
    /// The gradient of what a norm was given, inside the backward pass of the norm: of one latent `[rows, latent]`, or of
    /// the queries or keys of a row.
    d_given: Vec<E::Real>,
}

/// The kernel's view of an attention.
pub fn heads(attention: &Attention) -> Heads {
    match *attention {
        Attention::Gqa(Gqa { heads, kv_heads, width, window, .. }) => Heads {
            heads,
            kv_heads,
            key_width: width,
            value_width: width,
            row_width: 2 * kv_heads * width,
            value_offset: kv_heads * width,
            scale: 1.0 / (width as f64).sqrt(),
            window,
        },
        Attention::Mla(Mla { heads, latent, nope, rope, score_factor, .. }) => Heads {
            heads,
            kv_heads: 1,
            key_width: latent + rope,
            value_width: latent,
            row_width: latent + rope,
            value_offset: 0,
            scale: score_factor / ((nope + rope) as f64).sqrt(),
            window: usize::MAX,
        },
    }
}

/// Rows on their way through the attention of a layer, with what every step needs to know.
#[derive(Debug)]
pub struct AttentionPass<'a, E: Operand> {
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

impl<E: Operand> AttentionPass<'_, E> {
    /// Writes queries and context rows of normed rows, `[rows, hidden]`, into the stash.
    pub fn project(&self, normed: &[E], stash: &mut Stash<E>, scratch: &mut Scratch<E>) {
        let (rows, shape) = (self.rows.len(), heads(self.attention));
        let Stash { query, context, grouped, latent, .. } = stash;
        let query = reserve(query, rows * shape.heads * shape.key_width);
        let context = reserve(context, rows * shape.row_width);
        let Scratch { reals: [first, second], .. } = scratch;
        match self.attention {
            Attention::Gqa(gqa) => {
                let to = (&mut *query, &mut *context);
                gqa::project_forward(self, gqa, normed, to, grouped, first);
            }
            Attention::Mla(mla) => {
                let buffers = latent::ProjectForward { head_queries: first, absorbed: second };
                latent::project_forward(self, mla, normed, (query, context), latent, buffers);
            }
        }
    }

    /// Writes the context rows of the stash, whose first is the row of number `first` in `writes`, to their places in the
    /// cache.
    pub fn write(&self, writes: &[CacheWrite], first: usize, stash: &Stash<E>, cache: &mut [E]) {
        let shape = heads(self.attention);
        let (len, rows) = (block_len::<E>(&shape), first..first + self.rows.len());
        for write in writes.iter().filter(|write| rows.contains(&(write.row as usize))) {
            let row = (write.row as usize - first) * shape.row_width;
            let block = &mut cache[write.block as usize * len..][..len];
            write_row(&shape, &stash.context[row..][..shape.row_width], block, write.slot as usize);
        }
    }

    /// x[rows × hidden] += what the rows attend to in the cache, through the output projection. Follows
    /// [`AttentionPass::project`], and the writing of all rows that these see.
    pub fn attend(
        &self,
        x: &mut [E::Real],
        cache: &[E],
        stash: &mut Stash<E>,
        scratch: &mut Scratch<E>,
    ) {
        let (rows, shape) = (self.rows.len(), heads(self.attention));
        let query = &stash.query[..rows * shape.heads * shape.key_width];
        let attended = reserve(&mut stash.attended, rows * shape.heads * shape.value_width);
        let Rows { contexts, tables, .. } = self.rows;
        let Scratch { kernel, reals: [_, second], .. } = scratch;
        attention(&shape, contexts, tables, query, cache, attended, kernel);
        match self.attention {
            Attention::Gqa(gqa) => gqa::output_forward(self, gqa, attended, x),
            Attention::Mla(mla) => {
                latent::output_forward(self, mla, attended, x, &mut stash.latent, second);
            }
        }
    }

    /// Adds to the gradient and overwrites `d_normed`, for the upstream gradient `dx` of the residual stream as
    /// operands. Must follow the forward pass of the rows with their stash.
    pub fn backward(
        &self,
        normed: &[E],
        dx: &[E],
        d_normed: &mut [E::Real],
        segments: &[Segment<'_>],
        gradient: &mut Gradient<'_, E>,
        stash: &Stash<E>,
        scratch: &mut Scratch<E>,
    ) {
        let (rows, shape) = (self.rows.len(), heads(self.attention));
        let Scratch { kernel, reals: [first, second], operands, d_context, d_given } = scratch;
        let [first_operands, second_operands] = operands;
        let attended = &stash.attended[..rows * shape.heads * shape.value_width];
        let d_attended = reserve(first, attended.len());
        match self.attention {
            Attention::Gqa(gqa) => {
                gqa::output_backward(self, gqa, attended, dx, d_attended, gradient);
            }
            Attention::Mla(mla) => {
                let buffers =
                    latent::OutputBackward { d_head_values: second, rounded: second_operands };
                let left = (attended, &stash.latent);
                latent::output_backward(self, mla, left, dx, d_attended, gradient, buffers);
            }
        }
        let d_attended = E::rounded(d_attended, first_operands);
        let d_query = reserve(second, rows * shape.heads * shape.key_width);
        let d_context = reserve(d_context, rows * shape.row_width);
        // The kernel adds to the gradient of a context row, because many queries attend to it.
        d_context.fill(E::Real::default());
        let (query, context) = (&stash.query[..d_query.len()], &stash.context[..d_context.len()]);
        let (q, c) = ((query, &mut *d_query), (context, &mut *d_context));
        attention_backward(&shape, segments, q, c, d_attended, kernel);
        match self.attention {
            Attention::Gqa(gqa) => {
                let upstream = (&*d_query, &*d_context);
                let buffers =
                    gqa::ProjectBackward { d_projected: second_operands, d_turned: first, d_given };
                let stash = &stash.grouped;
                gqa::project_backward(
                    self, gqa, normed, upstream, d_normed, gradient, stash, buffers,
                );
            }
            Attention::Mla(mla) => {
                let stash = &stash.latent;
                let d_head_queries = reserve(first, rows * mla.head_queries());
                let (from, to) = (&*d_query, &mut *d_head_queries);
                latent::absorb_backward(self, mla, from, to, gradient, stash, second_operands);
                let buffers = latent::ProjectBackward {
                    rounded: second_operands,
                    d_latent_normed: second,
                    d_latent: d_given,
                    d_projected: first_operands,
                };
                let upstream = (&*d_head_queries, &*d_context);
                latent::project_backward(
                    self, mla, normed, upstream, d_normed, gradient, stash, buffers,
                );
            }
        }
    }
}
