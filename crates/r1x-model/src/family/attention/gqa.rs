//! The projections of grouped-query attention (Ainslie et al., 2023).
//!
//! Queries, keys and values of a row come from one product; queries and keys are rotated on their way to the kernel.
//! A context row is the keys of a position, then its values.

use r1x_ops::Operand;
use r1x_ops::kernel::Write;
use r1x_ops::kernel::rope::{Rotation, Vectors, rotate_rows};
use r1x_ops::operand::round_all;

use super::AttentionPass;
use crate::family::linear::{self, Gradient, Strided, reserve};
use crate::layout::Gqa;

impl Gqa {
    /// Where the heads lie in rows of queries.
    fn queries(&self) -> Vectors {
        Vectors { start: 0, stride: self.heads * self.width, step: self.width }
    }

    /// Where the key heads lie in context rows.
    fn keys(&self) -> Vectors {
        Vectors { start: 0, stride: 2 * self.kv_heads * self.width, step: self.width }
    }

    /// Where heads lie in the rows of the product, from the head of this number on: queries, keys, values.
    fn projected(&self, first: usize) -> Vectors {
        Vectors { start: first * self.width, stride: self.qkv.rows(), step: self.width }
    }
}

/// Writes queries `[rows, heads · width]` and context rows `[rows, 2 · kv_heads · width]` for normed rows
/// `[rows, hidden]`. `projected` holds what the product gives, `[rows, queries + keys + values]`, during the call.
pub(super) fn project_forward<E: Operand>(
    pass: &AttentionPass<'_, E>,
    gqa: &Gqa,
    normed: &[E],
    (query, context): (&mut [E], &mut [E]),
    projected: &mut Vec<E::Real>,
) {
    let Gqa { qkv, heads, kv_heads, width, .. } = *gqa;
    let (rows, all) = (pass.rows.len(), qkv.rows());
    let projected = reserve(projected, rows * all);
    let normed = Strided { data: normed, stride: qkv.columns() };
    linear::forward(pass.weights, qkv, normed, (projected, all), rows, Write::Overwrite);
    let (rope, positions, forward) = (pass.rope, pass.rows.positions, Rotation::Forward);
    let (from, to) = (gqa.projected(0), gqa.queries());
    rotate_rows::<E>(rope, positions, heads, projected, from, query, to, forward);
    let (from, to) = (gqa.projected(heads), gqa.keys());
    rotate_rows::<E>(rope, positions, kv_heads, projected, from, context, to, forward);
    for (row, context) in projected.chunks(all).zip(context.chunks_mut(2 * kv_heads * width)) {
        let values = &row[(heads + kv_heads) * width..];
        round_all(values, &mut context[kv_heads * width..]);
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
    linear::weight_gradient(o, attended, dy, gradient, rows);
}

/// Writes the gradient of the normed rows, `[rows, hidden]`, for the gradients of queries and context rows, and adds the
/// gradients of W_Q, W_K and W_V. `d_projected` holds the gradient of what the product gave,
/// `[rows, queries + keys + values]`, during the call.
pub(super) fn project_backward<E: Operand>(
    pass: &AttentionPass<'_, E>,
    gqa: &Gqa,
    normed: &[E],
    (d_query, d_context): (&[E::Real], &[E::Real]),
    d_normed: &mut [E::Real],
    gradient: &mut Gradient<'_, E>,
    d_projected: &mut Vec<E>,
) {
    let Gqa { qkv, heads, kv_heads, width, .. } = *gqa;
    let (rows, all) = (pass.rows.len(), qkv.rows());
    let d_projected = reserve(d_projected, rows * all);
    let (rope, positions, inverse) = (pass.rope, pass.rows.positions, Rotation::Inverse);
    let (from, to) = (gqa.queries(), gqa.projected(0));
    rotate_rows::<E>(rope, positions, heads, d_query, from, d_projected, to, inverse);
    let (from, to) = (gqa.keys(), gqa.projected(heads));
    rotate_rows::<E>(rope, positions, kv_heads, d_context, from, d_projected, to, inverse);
    for (row, context) in d_projected.chunks_mut(all).zip(d_context.chunks(2 * kv_heads * width)) {
        let values = &context[kv_heads * width..];
        round_all(values, &mut row[(heads + kv_heads) * width..]);
    }
    let dy = Strided { data: &*d_projected, stride: all };
    let dx = (d_normed, qkv.columns());
    linear::backward(pass.weights, qkv, dy, dx, rows, Write::Overwrite);
    let normed = Strided { data: normed, stride: qkv.columns() };
    linear::weight_gradient(qkv, normed, dy, gradient, rows);
}
