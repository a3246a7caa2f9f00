//! The projections of grouped-query attention (GQA: Training Generalized Multi-Query Transformer Models from Multi-Head
//! Checkpoints, arXiv 2305.13245).
//!
//! Queries, keys and values of a row come from one product. Where a model says so, queries and keys are normed (Qwen3 a
//! head at a time, OLMoE all heads together) and all three are bounded (OLMoE); then queries and keys turn on their way
//! to the kernel. A context row is the keys of a position, then its values.

use r1x_ops::kernel::Write;
use r1x_ops::kernel::norm::{rms_norm, rms_norm_backward};
use r1x_ops::kernel::rope::{Rotation, Vectors, rotate_rows};
use r1x_ops::operand::round_all;
use r1x_ops::{Operand, Real};

use super::AttentionPass;
use crate::family::linear::{self, Gradient, Strided, reserve};
use crate::layout::{Gqa, Vector};

/// What the forward pass of models with norms or bounds leaves for the backward pass; empty in other models.
#[derive(Clone, Debug, Default)]
pub(super) struct Stash<R> {
    /// Queries before their norm `[rows, heads · width]`, then keys before theirs `[rows, kv_heads · width]`.
    given: Vec<R>,
    /// Queries, keys and values before they are bounded, `[rows, queries + keys + values]`.
    unbounded: Vec<R>,
}

impl Gqa {
    /// The width of the queries of a row.
    fn query_width(&self) -> usize {
        self.heads * self.width
    }

    /// The width of the keys of a row, and of its values.
    fn key_width(&self) -> usize {
        self.kv_heads * self.width
    }

    /// Where the heads lie in rows of queries.
    fn queries(&self) -> Vectors {
        Vectors { start: 0, stride: self.query_width(), step: self.width }
    }

    /// Where the key heads lie in context rows.
    fn keys(&self) -> Vectors {
        Vectors { start: 0, stride: 2 * self.key_width(), step: self.width }
    }

    /// Where heads lie in the rows of the product, from the head of this number on: queries, keys, values.
    fn projected(&self, first: usize) -> Vectors {
        Vectors { start: first * self.width, stride: self.qkv.rows(), step: self.width }
    }

    /// Whether queries and keys go to the kernel as the product gives them, but for turning.
    fn is_plain(&self) -> bool {
        self.norms.is_none() && self.clip.is_none()
    }

    /// Queries and keys in the rows of the product, each with the gain of its norm, its first element and its width.
    fn normed(&self) -> impl Iterator<Item = (Vector, usize, usize)> {
        let (queries, keys) = (self.query_width(), self.key_width());
        self.norms
            .into_iter()
            .flat_map(move |norms| [(norms.query, 0, queries), (norms.key, queries, keys)])
    }
}

/// Writes queries `[rows, heads · width]` and context rows `[rows, 2 · kv_heads · width]` for normed rows
/// `[rows, hidden]`. `projected` holds what the product gives, `[rows, queries + keys + values]`, during the call.
pub(super) fn project_forward<E: Operand>(
    pass: &AttentionPass<'_, E>,
    gqa: &Gqa,
    normed: &[E],
    (query, context): (&mut [E], &mut [E]),
    stash: &mut Stash<E::Real>,
    projected: &mut Vec<E::Real>,
) {
    let Gqa { qkv, heads, kv_heads, width, .. } = *gqa;
    let (rows, all) = (pass.rows.len(), qkv.rows());
    let projected = reserve(projected, rows * all);
    let normed = Strided { data: normed, stride: qkv.columns() };
    linear::forward(pass.weights, qkv, normed, (projected, all), rows, Write::Overwrite);
    if !gqa.is_plain() {
        norm_and_bound(pass, gqa, projected, stash);
    }
    let (rope, positions, forward) = (pass.rope, pass.rows.positions, Rotation::Forward);
    let (from, to) = (gqa.projected(0), gqa.queries());
    rotate_rows::<E>(rope, positions, [heads, width], projected, from, query, to, forward);
    let (from, to) = (gqa.projected(heads), gqa.keys());
    rotate_rows::<E>(rope, positions, [kv_heads, width], projected, from, context, to, forward);
    for (row, context) in projected.chunks(all).zip(context.chunks_mut(2 * kv_heads * width)) {
        let values = &row[(heads + kv_heads) * width..];
        round_all(values, &mut context[kv_heads * width..]);
    }
}

/// Norms queries and keys and bounds all three in the rows of the product, `[rows, queries + keys + values]`.
fn norm_and_bound<E: Operand>(
    pass: &AttentionPass<'_, E>,
    gqa: &Gqa,
    projected: &mut [E::Real],
    stash: &mut Stash<E::Real>,
) {
    let (rows, all) = (pass.rows.len(), gqa.qkv.rows());
    let given = reserve(&mut stash.given, rows * (gqa.query_width() + gqa.key_width()));
    for (gain, start, width) in gqa.normed() {
        let given = &mut given[rows * start..rows * (start + width)];
        for (row, given) in projected.chunks_mut(all).zip(given.chunks_mut(width)) {
            let row = &mut row[start..start + width];
            given.copy_from_slice(row);
            let (heads, gain) = (width / gain.len, pass.weights.vector(gain));
            let width = gain.len();
            rms_norm::<E::Real>((given, width), gain, pass.eps, (row, width), heads);
        }
    }
    if let Some(bound) = gqa.clip {
        reserve(&mut stash.unbounded, projected.len()).copy_from_slice(projected);
        let bound = E::Real::from_f64(bound);
        for value in projected {
            *value = if *value > bound { bound } else { *value };
            *value = if *value < -bound { -bound } else { *value };
        }
    }
}

/// Adds to x `[rows, hidden]` the projection of what the heads attended to, `[rows, heads · width]`.
pub(super) fn output_forward<E: Operand>(
    pass: &AttentionPass<'_, E>,
    gqa: &Gqa,
    attended: &[E],
    x: &mut [E::Real],
) {
    let attended = Strided { data: attended, stride: gqa.o.columns() };
    let x = (x, gqa.o.rows());
    linear::forward(pass.weights, gqa.o, attended, x, pass.rows.len(), Write::Add);
}

/// Writes the gradient of what the heads attended to, `[rows, heads · width]`, for the upstream gradient dx
/// `[rows, hidden]`, and adds the gradient of W_O.
pub(super) fn output_backward<E: Operand>(
    pass: &AttentionPass<'_, E>,
    gqa: &Gqa,
    attended: &[E],
    dx: &[E],
    d_attended: &mut [E::Real],
    gradient: &mut Gradient<'_, E>,
) {
    let (o, rows) = (gqa.o, pass.rows.len());
    let dy = Strided { data: dx, stride: o.rows() };
    linear::backward(pass.weights, o, dy, (d_attended, o.columns()), rows, Write::Overwrite);
    let attended = Strided { data: attended, stride: o.columns() };
    linear::weight_gradient(pass.weights, o, attended, dy, gradient, rows);
}

/// Buffers of [`project_backward`], which hold nothing outside of it.
pub(super) struct ProjectBackward<'a, E: Operand> {
    /// The gradient of what the product gave, as operands, `[rows, queries + keys + values]`.
    pub d_projected: &'a mut Vec<E>,
    /// The gradient of queries, keys and values before they turn, `[rows, queries + keys + values]`; in models with
    /// norms or bounds only.
    pub d_turned: &'a mut Vec<E::Real>,
    /// The gradient of the queries or the keys of a row before their norm; in models with norms only.
    pub d_given: &'a mut Vec<E::Real>,
}

/// Writes the gradient of the normed rows, `[rows, hidden]`, for the gradients of queries and context rows, and adds the
/// gradients of W_Q, W_K, W_V and of the norms.
pub(super) fn project_backward<E: Operand>(
    pass: &AttentionPass<'_, E>,
    gqa: &Gqa,
    normed: &[E],
    upstream: (&[E::Real], &[E::Real]),
    d_normed: &mut [E::Real],
    gradient: &mut Gradient<'_, E>,
    stash: &Stash<E::Real>,
    buffers: ProjectBackward<'_, E>,
) {
    let (qkv, rows) = (gqa.qkv, pass.rows.len());
    let ProjectBackward { d_projected, d_turned, d_given } = buffers;
    let d_projected = reserve(d_projected, rows * qkv.rows());
    if gqa.is_plain() {
        turn_back(pass, gqa, upstream, d_projected);
    } else {
        let d_turned = reserve(d_turned, d_projected.len());
        turn_back(pass, gqa, upstream, d_turned);
        unbound_and_unnorm(pass, gqa, d_turned, gradient, stash, d_given);
        round_all(d_turned, d_projected);
    }
    let dy = Strided { data: &*d_projected, stride: qkv.rows() };
    let dx = (d_normed, qkv.columns());
    linear::backward(pass.weights, qkv, dy, dx, rows, Write::Overwrite);
    let normed = Strided { data: normed, stride: qkv.columns() };
    linear::weight_gradient(pass.weights, qkv, normed, dy, gradient, rows);
}

/// Writes the gradient of queries, keys and values before they turn, `[rows, queries + keys + values]`, for the gradients
/// of queries and context rows.
fn turn_back<E: Operand, T: Operand<Real = E::Real>>(
    pass: &AttentionPass<'_, E>,
    gqa: &Gqa,
    (d_query, d_context): (&[E::Real], &[E::Real]),
    d_turned: &mut [T],
) {
    let Gqa { qkv, heads, kv_heads, width, .. } = *gqa;
    let (rope, positions, inverse) = (pass.rope, pass.rows.positions, Rotation::Inverse);
    let (from, to) = (gqa.queries(), gqa.projected(0));
    rotate_rows::<T>(rope, positions, [heads, width], d_query, from, d_turned, to, inverse);
    let (from, to) = (gqa.keys(), gqa.projected(heads));
    rotate_rows::<T>(rope, positions, [kv_heads, width], d_context, from, d_turned, to, inverse);
    let contexts = d_context.chunks(2 * kv_heads * width);
    for (row, context) in d_turned.chunks_mut(qkv.rows()).zip(contexts) {
        let values = &context[kv_heads * width..];
        round_all(values, &mut row[(heads + kv_heads) * width..]);
    }
}

/// Takes the gradient of queries, keys and values `[rows, queries + keys + values]` back through the bound and the norms,
/// in place, and adds the gradients of the norms.
fn unbound_and_unnorm<E: Operand>(
    pass: &AttentionPass<'_, E>,
    gqa: &Gqa,
    d_turned: &mut [E::Real],
    gradient: &mut Gradient<'_, E>,
    stash: &Stash<E::Real>,
    d_given: &mut Vec<E::Real>,
) {
    let (rows, all) = (pass.rows.len(), gqa.qkv.rows());
    if let Some(bound) = gqa.clip {
        // What was bounded no longer depends on what it was.
        let bound = E::Real::from_f64(bound);
        for (d_turned, value) in d_turned.iter_mut().zip(&stash.unbounded) {
            if *value > bound || *value < -bound {
                *d_turned = E::Real::ZERO;
            }
        }
    }
    for (norm, start, width) in gqa.normed() {
        let given = &stash.given[rows * start..rows * (start + width)];
        let d_given = reserve(d_given, width);
        let (gain, heads) = (pass.weights.vector(norm), width / norm.len);
        for (row, given) in d_turned.chunks_mut(all).zip(given.chunks(width)) {
            let (row, len) = (&mut row[start..start + width], norm.len);
            let d_gain = gradient.at(norm.offset, len);
            let (x, dy, dx) = ((given, len), (&*row, len), (&mut *d_given, len));
            rms_norm_backward(x, gain, pass.eps, dy, dx, d_gain, heads, Write::Overwrite);
            row.copy_from_slice(d_given);
        }
    }
}
