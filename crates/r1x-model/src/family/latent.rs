//! The projections of latent attention (MLA, DeepSeek-V2, section 2.1), in absorbed form.
//!
//! The cache is never expanded: queries are taken into the latent space (q·W_UK), scores and sums happen there,
//! and values leave it afterwards (o·W_UVᵀ). Trainer and sampler both use this form, so they do the same
//! arithmetic. Must not know caches or sequences.

use r1x_ops::Operand;
use r1x_ops::kernel::norm::{rms_norm, rms_norm_backward};
use r1x_ops::kernel::rope::{Vectors, rotate_rows};
use r1x_ops::operand::round_all;

use super::Scratch;
use super::attention::{Block, Stash};
use super::linear::{self, Gradient, Strided, reserve};
use crate::layout::{Attention, LatentHead, LatentQuery, Matrix, Vector};

/// What latent attention leaves for its backward pass beside what every attention does.
#[derive(Clone, Debug, Default)]
pub struct LatentStash<E: Operand> {
    /// What the first product gave: queries or their latent, the context's latent, the shared rotary key.
    projected: Vec<E::Real>,
    /// The normed query latent.
    query_normed: Vec<E>,
    /// Queries before they enter the latent space.
    queries: Vec<E>,
    /// Outputs of all heads after they left it.
    pub(super) output: Vec<E>,
}

/// The widths and parameters that every step needs.
struct Shape<'a> {
    q: LatentQuery,
    down: Matrix,
    kv_norm: Vector,
    expansions: &'a [LatentHead],
    o: Matrix,
    heads: usize,
    latent: usize,
    nope: usize,
    rope: usize,
    value: usize,
}

impl Shape<'_> {
    /// Width of a query before it enters the latent space.
    fn query(&self) -> usize {
        self.nope + self.rope
    }

    /// Width of a key.
    fn key(&self) -> usize {
        self.latent + self.rope
    }

    /// Where in a row of the first product the latent starts.
    fn start(&self) -> usize {
        self.down.rows() - self.key()
    }
}

fn shape<'a, E: Operand>(block: &Block<'a, E>) -> Shape<'a> {
    let Attention::Mla {
        q,
        down,
        kv_norm,
        ref expansions,
        o,
        heads,
        latent,
        nope,
        rope,
        value,
        ..
    } = *block.attention
    else {
        unreachable!("called for latent attention only");
    };
    Shape { q, down, kv_norm, expansions, o, heads, latent, nope, rope, value }
}

/// Queries and context rows from normed rows.
pub(super) fn project<E: Operand>(
    block: &Block<'_, E>,
    normed: &[E],
    stash: &mut Stash<E>,
    scratch: &mut Scratch<E>,
) {
    let (shape, rows, weights) = (shape(block), block.rows.len(), block.weights);
    let (all, start, key) = (shape.down.rows(), shape.start(), shape.key());
    let projected = reserve(&mut stash.latent.projected, rows * all);
    let normed = Strided { data: normed, stride: shape.down.columns() };
    linear::forward(weights, shape.down, normed, (projected, all), rows, false);
    let (width, positions) = (shape.heads * shape.query(), block.rows.positions);
    let queries = reserve(&mut stash.latent.queries, rows * width);
    let turned = Vectors { start: shape.latent, stride: shape.heads * key, step: key };
    match shape.q {
        LatentQuery::Direct(_) => {
            for (queries, row) in queries.chunks_mut(width).zip(projected.chunks(all)) {
                round_all(&row[..width], queries);
            }
            let from = Vectors { start: shape.nope, stride: all, step: shape.query() };
            let (heads, query) = (shape.heads, &mut stash.query);
            rotate_rows::<E>(block.rope, positions, heads, projected, from, query, turned, false);
        }
        LatentQuery::LowRank { norm, up, .. } => {
            let clean = reserve(&mut stash.latent.query_normed, rows * norm.len);
            let gain = weights.vector(norm);
            rms_norm((projected, all), gain, block.eps, (clean, norm.len), rows);
            let expanded = reserve(&mut scratch.outputs, rows * width);
            let clean = Strided { data: &*clean, stride: norm.len };
            linear::forward(weights, up, clean, (expanded, width), rows, false);
            round_all(expanded, queries);
            let from = Vectors { start: shape.nope, stride: width, step: shape.query() };
            let (heads, query) = (shape.heads, &mut stash.query);
            rotate_rows::<E>(block.rope, positions, heads, expanded, from, query, turned, false);
        }
    }
    enter_queries(block, &shape, stash, scratch);
    let gain = weights.vector(shape.kv_norm);
    let (projected, context) = (&stash.latent.projected, &mut stash.context);
    rms_norm((&projected[start..], all), gain, block.eps, (context, key), rows);
    let from = Vectors { start: start + shape.latent, stride: all, step: 0 };
    let to = Vectors { start: shape.latent, stride: key, step: 0 };
    rotate_rows::<E>(block.rope, positions, 1, projected, from, context, to, false);
}

/// Into the latent space: q_nope[head] · W_UK[head].
fn enter_queries<E: Operand>(
    block: &Block<'_, E>,
    shape: &Shape<'_>,
    stash: &mut Stash<E>,
    scratch: &mut Scratch<E>,
) {
    let (rows, key, latent) = (block.rows.len(), shape.key(), shape.latent);
    let width = shape.heads * shape.query();
    let absorbed = reserve(&mut scratch.inputs, rows * latent);
    for (head, LatentHead { key: matrix, .. }) in shape.expansions.iter().enumerate() {
        let from = &stash.latent.queries[head * shape.query()..];
        let dy = Strided { data: from, stride: width };
        linear::backward(block.weights, *matrix, dy, (absorbed, latent), rows, false);
        let queries = stash.query[head * key..].chunks_mut(shape.heads * key);
        for (query, absorbed) in queries.zip(absorbed.chunks(latent)) {
            round_all(absorbed, &mut query[..latent]);
        }
    }
}

/// Out of the latent space: attended[head] · W_UV[head]ᵀ.
pub(super) fn leave<E: Operand>(
    block: &Block<'_, E>,
    stash: &mut Stash<E>,
    scratch: &mut Scratch<E>,
) {
    let (shape, rows) = (shape(block), block.rows.len());
    let width = shape.heads * shape.value;
    let values = reserve(&mut scratch.inputs, rows * width);
    for (head, LatentHead { value: matrix, .. }) in shape.expansions.iter().enumerate() {
        let from = &stash.attended[head * shape.latent..];
        let x = Strided { data: from, stride: shape.heads * shape.latent };
        let to = (&mut values[head * shape.value..], width);
        linear::forward(block.weights, *matrix, x, to, rows, false);
    }
    round_all(values, reserve(&mut stash.latent.output, rows * width));
}

/// d_attended (in `scratch.outputs`) for upstream `dx`, and the gradients of W_O and W_UV.
pub(super) fn enter<E: Operand>(
    block: &Block<'_, E>,
    dx: &[E],
    gradient: &mut Gradient<'_, E>,
    stash: &Stash<E>,
    scratch: &mut Scratch<E>,
) {
    let (shape, rows) = (shape(block), block.rows.len());
    let (width, attended_width) = (shape.heads * shape.value, shape.heads * shape.latent);
    let dy = Strided { data: dx, stride: shape.o.rows() };
    let d_output = reserve(&mut scratch.inputs, rows * width);
    linear::backward(block.weights, shape.o, dy, (d_output, width), rows, false);
    let x = Strided { data: &stash.latent.output[..], stride: width };
    linear::weight_gradient(shape.o, x, dy, gradient, rows);
    let d_output = E::rounded(d_output, &mut scratch.inputs_rounded);
    let d_attended = reserve(&mut scratch.outputs, rows * attended_width);
    for (head, LatentHead { value: matrix, .. }) in shape.expansions.iter().enumerate() {
        let dy = Strided { data: &d_output[head * shape.value..], stride: width };
        let to = (&mut d_attended[head * shape.latent..], attended_width);
        linear::backward(block.weights, *matrix, dy, to, rows, false);
        let x = Strided { data: &stash.attended[head * shape.latent..], stride: attended_width };
        linear::weight_gradient(*matrix, x, dy, gradient, rows);
    }
}

/// Gradients of the projections, from those of queries (`scratch.inputs`) and context rows (`scratch.context`).
pub(super) fn unproject<E: Operand>(
    block: &Block<'_, E>,
    normed: &[E],
    d_normed: &mut [E::Real],
    gradient: &mut Gradient<'_, E>,
    stash: &Stash<E>,
    scratch: &mut Scratch<E>,
) {
    let (shape, rows, weights) = (shape(block), block.rows.len(), block.weights);
    let (all, start, key) = (shape.down.rows(), shape.start(), shape.key());
    unproject_queries(block, &shape, gradient, stash, scratch);
    let width = shape.heads * shape.query();
    let mut d_projected = std::mem::take(&mut scratch.outputs_rounded);
    let d_rows = reserve(&mut d_projected, rows * all);
    match shape.q {
        LatentQuery::Direct(_) => {
            let d_queries = &scratch.outputs[..rows * width];
            for (row, queries) in d_rows.chunks_mut(all).zip(d_queries.chunks(width)) {
                round_all(queries, &mut row[..width]);
            }
        }
        LatentQuery::LowRank { norm, up, .. } => {
            let Scratch { outputs, inputs_rounded, inputs, low, .. } = &mut *scratch;
            let d_queries = E::rounded(&outputs[..rows * width], inputs_rounded);
            let dy = Strided { data: d_queries, stride: width };
            let d_clean = reserve(inputs, rows * norm.len);
            linear::backward(weights, up, dy, (d_clean, norm.len), rows, false);
            let clean = Strided { data: &stash.latent.query_normed[..], stride: norm.len };
            linear::weight_gradient(up, clean, dy, gradient, rows);
            let d_low = reserve(low, rows * norm.len);
            let x = (&stash.latent.projected[..], all);
            norm_backward(block, norm, x, (d_clean, norm.len), (d_low, norm.len), gradient);
            for (row, d_low) in d_rows.chunks_mut(all).zip(d_low.chunks(norm.len)) {
                round_all(d_low, &mut row[..norm.len]);
            }
        }
    }
    let Scratch { context: d_context, low, .. } = scratch;
    let d_latent = reserve(low, rows * shape.latent);
    let x = (&stash.latent.projected[start..], all);
    norm_backward(block, shape.kv_norm, x, (d_context, key), (d_latent, shape.latent), gradient);
    for (row, d_latent) in d_rows.chunks_mut(all).zip(d_latent.chunks(shape.latent)) {
        round_all(d_latent, &mut row[start..start + shape.latent]);
    }
    let from = Vectors { start: shape.latent, stride: key, step: 0 };
    let to = Vectors { start: start + shape.latent, stride: all, step: 0 };
    rotate_rows::<E>(block.rope, block.rows.positions, 1, d_context, from, d_rows, to, true);
    let dy = Strided { data: &*d_rows, stride: all };
    let columns = shape.down.columns();
    linear::backward(weights, shape.down, dy, (d_normed, columns), rows, false);
    linear::weight_gradient(
        shape.down,
        Strided { data: normed, stride: columns },
        dy,
        gradient,
        rows,
    );
    scratch.outputs_rounded = d_projected;
}

/// Gradients of queries before they entered the latent space (in `scratch.outputs`), and of W_UK.
fn unproject_queries<E: Operand>(
    block: &Block<'_, E>,
    shape: &Shape<'_>,
    gradient: &mut Gradient<'_, E>,
    stash: &Stash<E>,
    scratch: &mut Scratch<E>,
) {
    let (rows, key, query) = (block.rows.len(), shape.key(), shape.query());
    let (width, wide) = (shape.heads * query, shape.heads * key);
    let Scratch { inputs, inputs_rounded, outputs, .. } = scratch;
    let d_query = E::rounded(&inputs[..rows * wide], inputs_rounded);
    let d_queries = reserve(outputs, rows * width);
    for (head, LatentHead { key: matrix, .. }) in shape.expansions.iter().enumerate() {
        let dx = Strided { data: &d_query[head * key..], stride: wide };
        let to = (&mut d_queries[head * query..], width);
        linear::forward(block.weights, *matrix, dx, to, rows, false);
        let dy = Strided { data: &stash.latent.queries[head * query..], stride: width };
        linear::weight_gradient(*matrix, dx, dy, gradient, rows);
    }
    let from = Vectors { start: shape.latent, stride: wide, step: key };
    let to = Vectors { start: shape.nope, stride: width, step: query };
    let (rope, positions) = (block.rope, block.rows.positions);
    rotate_rows::<E::Real>(rope, positions, shape.heads, inputs, from, d_queries, to, true);
}

/// Overwrites dx and adds the gain's gradient.
fn norm_backward<E: Operand>(
    block: &Block<'_, E>,
    norm: Vector,
    x: (&[E::Real], usize),
    dy: (&[E::Real], usize),
    dx: (&mut [E::Real], usize),
    gradient: &mut Gradient<'_, E>,
) {
    let gain = block.weights.vector(norm);
    let d_gain = gradient.at(norm.offset, norm.len);
    rms_norm_backward(x, gain, block.eps, dy, dx, d_gain, block.rows.len(), true);
}
