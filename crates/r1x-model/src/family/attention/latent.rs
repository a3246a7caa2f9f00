//! The projections of latent attention (MLA, DeepSeek-V2, section 2.1), in absorbed form.
//!
//! The cache is never expanded: queries are taken into the latent space (q·W_UK), scores and sums happen there, and
//! what the heads attended to leaves it afterwards (o·W_UVᵀ). Trainer and sampler both use this form, so they do the
//! same arithmetic. A context row is the normed latent of a position, then the rotary key that all heads share.

use r1x_ops::Operand;
use r1x_ops::kernel::Write;
use r1x_ops::kernel::norm::{rms_norm, rms_norm_backward};
use r1x_ops::kernel::rope::{Rotation, Vectors, rotate_rows};
use r1x_ops::operand::round_all;

use super::AttentionPass;
use crate::family::linear::{self, Gradient, Strided, reserve};
use crate::layout::{LatentHead, LatentQuery, Mla, Vector};

/// What the forward pass of latent attention leaves for its backward pass beside what every attention does.
#[derive(Clone, Debug, Default)]
pub(super) struct Stash<E: Operand> {
    /// What the first product gives, `[rows, first]`: queries or their latent, the latent of the context, the rotary
    /// key.
    projected: Vec<E::Real>,
    /// The normed latent of the queries, `[rows, rank]`; empty where queries have none.
    query_normed: Vec<E>,
    /// Queries of the heads before they enter the latent space, `[rows, heads · (nope + rope)]`.
    head_queries: Vec<E>,
    /// What the heads attended to after it left the latent space, `[rows, heads · value]`.
    head_values: Vec<E>,
}

impl Mla {
    /// The width of a head's query before it enters the latent space.
    fn query_width(&self) -> usize {
        self.nope + self.rope
    }

    /// The width of the queries of all heads before they enter the latent space.
    pub(super) fn head_queries(&self) -> usize {
        self.heads * self.query_width()
    }

    /// The width of a key, and so of a context row and of a query in the latent space.
    fn key_width(&self) -> usize {
        self.latent + self.rope
    }

    /// The first element of the latent of the context in a row of the first product.
    fn context_start(&self) -> usize {
        self.down.rows() - self.key_width()
    }

    /// Where the rotary parts of queries lie before they enter the latent space, in rows so far apart.
    fn rotary_in_head_queries(&self, stride: usize) -> Vectors {
        Vectors { start: self.nope, stride, step: self.query_width() }
    }

    /// Where the rotary parts of queries lie in the latent space.
    fn rotary_in_query(&self) -> Vectors {
        let key = self.key_width();
        Vectors { start: self.latent, stride: self.heads * key, step: key }
    }

    /// Where the rotary key lies in rows of the first product.
    fn rotary_in_projected(&self) -> Vectors {
        let start = self.context_start() + self.latent;
        Vectors { start, stride: self.down.rows(), step: 0 }
    }

    /// Where the rotary key lies in context rows.
    fn rotary_in_context(&self) -> Vectors {
        Vectors { start: self.latent, stride: self.key_width(), step: 0 }
    }
}

/// Buffers of [`project_forward`], which hold nothing outside of it.
pub(super) struct ProjectForward<'a, R> {
    /// Queries from their latent before they are rounded, `[rows, heads · (nope + rope)]`.
    pub head_queries: &'a mut Vec<R>,
    /// The queries of one head in the latent space before they are rounded, `[rows, latent]`.
    pub absorbed: &'a mut Vec<R>,
}

/// Writes queries in the latent space, `[rows, heads · (latent + rope)]`, and context rows `[rows, latent + rope]` for
/// normed rows `[rows, hidden]`.
pub(super) fn project_forward<E: Operand>(
    pass: &AttentionPass<'_, E>,
    mla: &Mla,
    normed: &[E],
    (query, context): (&mut [E], &mut [E]),
    stash: &mut Stash<E>,
    buffers: ProjectForward<'_, E::Real>,
) {
    let (rows, all, width) = (pass.rows.len(), mla.down.rows(), mla.head_queries());
    let projected = reserve(&mut stash.projected, rows * all);
    let normed = Strided { data: normed, stride: mla.down.columns() };
    linear::forward(pass.weights, mla.down, normed, (projected, all), rows, Write::Overwrite);
    let head_queries = reserve(&mut stash.head_queries, rows * width);
    // The rotary parts go to the kernel as they are rotated; only the others enter the latent space.
    match mla.q {
        LatentQuery::Direct(_) => {
            for (queries, row) in head_queries.chunks_mut(width).zip(projected.chunks(all)) {
                round_all(&row[..width], queries);
            }
            rotate_queries(pass, mla, (projected, all), query);
        }
        LatentQuery::LowRank { norm, up, .. } => {
            let clean = reserve(&mut stash.query_normed, rows * norm.len);
            let gain = pass.weights.vector(norm);
            rms_norm((projected, all), gain, mla.norm_eps, (clean, norm.len), rows);
            let expanded = reserve(buffers.head_queries, rows * width);
            let clean = Strided { data: &*clean, stride: norm.len };
            linear::forward(pass.weights, up, clean, (expanded, width), rows, Write::Overwrite);
            round_all(expanded, head_queries);
            rotate_queries(pass, mla, (expanded, width), query);
        }
    }
    absorb_forward(pass, mla, head_queries, query, buffers.absorbed);
    let gain = pass.weights.vector(mla.kv_norm);
    let latent = (&projected[mla.context_start()..], all);
    rms_norm(latent, gain, mla.norm_eps, (context, mla.key_width()), rows);
    let (from, to) = (mla.rotary_in_projected(), mla.rotary_in_context());
    let positions = pass.rows.positions;
    rotate_rows::<E>(
        pass.rope,
        positions,
        [1, mla.rope],
        projected,
        from,
        context,
        to,
        Rotation::Forward,
    );
}

/// Rotates the rotary parts of the queries of all heads, in rows so far apart, into the queries of the kernel.
fn rotate_queries<E: Operand>(
    pass: &AttentionPass<'_, E>,
    mla: &Mla,
    (head_queries, stride): (&[E::Real], usize),
    query: &mut [E],
) {
    let (from, to) = (mla.rotary_in_head_queries(stride), mla.rotary_in_query());
    let (rope, positions, heads) = (pass.rope, pass.rows.positions, mla.heads);
    rotate_rows::<E>(
        rope,
        positions,
        [heads, mla.rope],
        head_queries,
        from,
        query,
        to,
        Rotation::Forward,
    );
}

/// Into the latent space: writes q[head] · W_UK[head] into the queries of the kernel. `absorbed` holds the product of
/// one head, `[rows, latent]`, during the call.
fn absorb_forward<E: Operand>(
    pass: &AttentionPass<'_, E>,
    mla: &Mla,
    head_queries: &[E],
    query: &mut [E],
    absorbed: &mut Vec<E::Real>,
) {
    let (rows, key, latent) = (pass.rows.len(), mla.key_width(), mla.latent);
    let absorbed = reserve(absorbed, rows * latent);
    for (head, LatentHead { key: matrix, .. }) in mla.expansions.iter().enumerate() {
        let from = &head_queries[head * mla.query_width()..];
        // W_UK leads out of the latent space for keys, so queries enter it the other way round.
        let dy = Strided { data: from, stride: mla.head_queries() };
        let to = (&mut *absorbed, latent);
        linear::backward(pass.weights, *matrix, dy, to, rows, Write::Overwrite);
        let queries = query[head * key..].chunks_mut(mla.heads * key);
        for (query, absorbed) in queries.zip(absorbed.chunks(latent)) {
            round_all(absorbed, &mut query[..latent]);
        }
    }
}

/// Out of the latent space, attended[head] · W_UV[head]ᵀ, and back to the residual stream: adds to x `[rows, hidden]`
/// the projection of what the heads attended to, `[rows, heads · latent]`. `head_values` holds what left the latent
/// space, `[rows, heads · value]`, before it is rounded for W_O, during the call.
pub(super) fn output_forward<E: Operand>(
    pass: &AttentionPass<'_, E>,
    mla: &Mla,
    attended: &[E],
    x: &mut [E::Real],
    stash: &mut Stash<E>,
    head_values: &mut Vec<E::Real>,
) {
    let (rows, width) = (pass.rows.len(), mla.o.columns());
    let head_values = reserve(head_values, rows * width);
    for (head, LatentHead { value: matrix, .. }) in mla.expansions.iter().enumerate() {
        let from = &attended[head * mla.latent..];
        let from = Strided { data: from, stride: mla.heads * mla.latent };
        let to = (&mut head_values[head * mla.value..], width);
        linear::forward(pass.weights, *matrix, from, to, rows, Write::Overwrite);
    }
    let rounded = reserve(&mut stash.head_values, rows * width);
    round_all(head_values, rounded);
    let output = Strided { data: &*rounded, stride: width };
    linear::forward(pass.weights, mla.o, output, (x, mla.o.rows()), rows, Write::Add);
}

/// Buffers of [`output_backward`], which hold nothing outside of it.
pub(super) struct OutputBackward<'a, E: Operand> {
    /// The gradient of what left the latent space, `[rows, heads · value]`.
    pub d_head_values: &'a mut Vec<E::Real>,
    /// `d_head_values` as operands.
    pub rounded: &'a mut Vec<E>,
}

/// Writes the gradient of what the heads attended to, `[rows, heads · latent]`, for the upstream gradient dx
/// `[rows, hidden]`, and adds the gradients of W_O and W_UV.
pub(super) fn output_backward<E: Operand>(
    pass: &AttentionPass<'_, E>,
    mla: &Mla,
    (attended, stash): (&[E], &Stash<E>),
    dx: &[E],
    d_attended: &mut [E::Real],
    gradient: &mut Gradient<'_, E>,
    buffers: OutputBackward<'_, E>,
) {
    let (rows, width, attended_width) = (pass.rows.len(), mla.o.columns(), mla.heads * mla.latent);
    let dy = Strided { data: dx, stride: mla.o.rows() };
    let d_head_values = reserve(buffers.d_head_values, rows * width);
    let to = (&mut *d_head_values, width);
    linear::backward(pass.weights, mla.o, dy, to, rows, Write::Overwrite);
    let head_values = Strided { data: &stash.head_values[..], stride: width };
    linear::weight_gradient(pass.weights, mla.o, head_values, dy, gradient, rows);
    let d_head_values = E::rounded(d_head_values, buffers.rounded);
    for (head, LatentHead { value: matrix, .. }) in mla.expansions.iter().enumerate() {
        let dy = Strided { data: &d_head_values[head * mla.value..], stride: width };
        let to = (&mut d_attended[head * mla.latent..], attended_width);
        linear::backward(pass.weights, *matrix, dy, to, rows, Write::Overwrite);
        let attended = Strided { data: &attended[head * mla.latent..], stride: attended_width };
        linear::weight_gradient(pass.weights, *matrix, attended, dy, gradient, rows);
    }
}

/// Back out of the latent space: writes the gradient of the queries of all heads, `[rows, heads · (nope + rope)]`, for
/// the gradient of the queries that the kernel read, and adds the gradient of W_UK. `rounded` holds `d_query` as
/// operands during the call.
pub(super) fn absorb_backward<E: Operand>(
    pass: &AttentionPass<'_, E>,
    mla: &Mla,
    d_query: &[E::Real],
    d_head_queries: &mut [E::Real],
    gradient: &mut Gradient<'_, E>,
    stash: &Stash<E>,
    rounded: &mut Vec<E>,
) {
    let (rows, key, query) = (pass.rows.len(), mla.key_width(), mla.query_width());
    let (width, wide) = (mla.head_queries(), mla.heads * key);
    let operands = E::rounded(d_query, rounded);
    for (head, LatentHead { key: matrix, .. }) in mla.expansions.iter().enumerate() {
        // The forward product went through W_UK backwards, so its gradient goes forwards.
        let d_absorbed = Strided { data: &operands[head * key..], stride: wide };
        let to = (&mut d_head_queries[head * query..], width);
        linear::forward(pass.weights, *matrix, d_absorbed, to, rows, Write::Overwrite);
        let head_query = Strided { data: &stash.head_queries[head * query..], stride: width };
        linear::weight_gradient(pass.weights, *matrix, d_absorbed, head_query, gradient, rows);
    }
    let (from, to) = (mla.rotary_in_query(), mla.rotary_in_head_queries(width));
    let (rope, positions, inverse) = (pass.rope, pass.rows.positions, Rotation::Inverse);
    rotate_rows::<E::Real>(
        rope,
        positions,
        [mla.heads, mla.rope],
        d_query,
        from,
        d_head_queries,
        to,
        inverse,
    );
}

/// Buffers of [`project_backward`], which hold nothing outside of it.
pub(super) struct ProjectBackward<'a, E: Operand> {
    /// The gradient of the queries of all heads as operands, `[rows, heads · (nope + rope)]`.
    pub rounded: &'a mut Vec<E>,
    /// The gradient of the normed latent of the queries, `[rows, rank]`.
    pub d_latent_normed: &'a mut Vec<E::Real>,
    /// The gradient of a latent before its norm: of the latent of the queries `[rows, rank]`, then of the latent of the
    /// context `[rows, latent]`.
    pub d_latent: &'a mut Vec<E::Real>,
    /// The gradient of what the first product gave, as operands, `[rows, first]`.
    pub d_projected: &'a mut Vec<E>,
}

/// Writes the gradient of the normed rows, `[rows, hidden]`, for the gradients of the queries of all heads and of the
/// context rows, and adds the gradients of the projections down, of the norms and of the queries' projection up.
pub(super) fn project_backward<E: Operand>(
    pass: &AttentionPass<'_, E>,
    mla: &Mla,
    normed: &[E],
    (d_head_queries, d_context): (&[E::Real], &[E::Real]),
    d_normed: &mut [E::Real],
    gradient: &mut Gradient<'_, E>,
    stash: &Stash<E>,
    buffers: ProjectBackward<'_, E>,
) {
    let (rows, weights, width) = (pass.rows.len(), pass.weights, mla.head_queries());
    let (all, start, key) = (mla.down.rows(), mla.context_start(), mla.key_width());
    let ProjectBackward { rounded, d_latent_normed, d_latent, d_projected } = buffers;
    let d_projected = reserve(d_projected, rows * all);
    match mla.q {
        LatentQuery::Direct(_) => {
            for (row, queries) in d_projected.chunks_mut(all).zip(d_head_queries.chunks(width)) {
                round_all(queries, &mut row[..width]);
            }
        }
        LatentQuery::LowRank { norm, up, .. } => {
            let rank = norm.len;
            let dy = Strided { data: E::rounded(d_head_queries, rounded), stride: width };
            let d_latent_normed = reserve(d_latent_normed, rows * rank);
            let to = (&mut *d_latent_normed, rank);
            linear::backward(weights, up, dy, to, rows, Write::Overwrite);
            let clean = Strided { data: &stash.query_normed[..], stride: rank };
            linear::weight_gradient(pass.weights, up, clean, dy, gradient, rows);
            let d_latent = reserve(d_latent, rows * rank);
            let (x, dy) = ((&stash.projected[..], all), (&*d_latent_normed, rank));
            norm_backward((pass, mla), norm, x, dy, d_latent, gradient);
            for (row, d_latent) in d_projected.chunks_mut(all).zip(d_latent.chunks(rank)) {
                round_all(d_latent, &mut row[..rank]);
            }
        }
    }
    let d_latent = reserve(d_latent, rows * mla.latent);
    let x = (&stash.projected[start..], all);
    norm_backward((pass, mla), mla.kv_norm, x, (d_context, key), d_latent, gradient);
    for (row, d_latent) in d_projected.chunks_mut(all).zip(d_latent.chunks(mla.latent)) {
        round_all(d_latent, &mut row[start..start + mla.latent]);
    }
    let (from, to) = (mla.rotary_in_context(), mla.rotary_in_projected());
    let positions = pass.rows.positions;
    rotate_rows::<E>(
        pass.rope,
        positions,
        [1, mla.rope],
        d_context,
        from,
        d_projected,
        to,
        Rotation::Inverse,
    );
    let (dy, columns) = (Strided { data: &*d_projected, stride: all }, mla.down.columns());
    linear::backward(weights, mla.down, dy, (d_normed, columns), rows, Write::Overwrite);
    let normed = Strided { data: normed, stride: columns };
    linear::weight_gradient(pass.weights, mla.down, normed, dy, gradient, rows);
}

/// Writes the gradient of a norm's input, rows contiguous, and adds the gradient of the norm's gain.
fn norm_backward<E: Operand>(
    (pass, mla): (&AttentionPass<'_, E>, &Mla),
    norm: Vector,
    x: (&[E::Real], usize),
    dy: (&[E::Real], usize),
    dx: &mut [E::Real],
    gradient: &mut Gradient<'_, E>,
) {
    let gain = pass.weights.vector(norm);
    let d_gain = gradient.at(norm.offset, norm.len);
    let (dx, rows) = ((dx, norm.len), pass.rows.len());
    rms_norm_backward(x, gain, mla.norm_eps, dy, dx, d_gain, rows, Write::Overwrite);
}
