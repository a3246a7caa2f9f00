//! The backward pass, as products over tiles of queries. Probabilities are computed again from queries and keys.
//!
//! With P the probabilities of a tile and dO the gradient of its outputs: dV = Pᵀ·dO, dP = dO·Vᵀ, dS = P∘(dP −
//! rowsum(P∘dP))·scale, dQ = dS·K, dK = dSᵀ·Q.

use super::{Heads, Scratch, exponentials, reserve};
use crate::kernel::matmul::{Left, PANEL, Product, Right, pack_columns, pack_rows, packed_len};
use crate::kernel::{Write, add_assign, dot};
use crate::operand::Operand;
use crate::real::Real;
use crate::simd::vectorized;

/// Queries of a tile.
const TILE: usize = 64;

/// Neighbouring rows of a pass that attend to the same sequence.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// The row of the pass at each position of the sequence.
    pub rows: &'a [u32],
    /// The first position whose row is a query; its row and those after it lie side by side.
    pub first: usize,
}

/// dq[rows × heads·key_width] (overwritten) and drows[rows × row_width] (added to) for upstream
/// dout[rows × heads·value_width]; `rows` are the context rows of the pass.
pub fn attention_backward<E: Operand>(
    shape: &Heads,
    segments: &[Segment<'_>],
    (q, dq): (&[E], &mut [E::Real]),
    (rows, drows): (&[E], &mut [E::Real]),
    dout: &[E],
    scratch: &mut Scratch<E>,
) {
    for segment in segments.iter().filter(|segment| segment.first < segment.rows.len()) {
        for kv_head in 0..shape.kv_heads {
            let head = Head { shape, segment, kv_head };
            head.gather(rows, scratch);
            for start in (segment.first..segment.rows.len()).step_by(TILE) {
                let end = (start + TILE).min(segment.rows.len());
                for member in 0..shape.group() {
                    head.tile((start, end), member, q, dq, dout, scratch);
                }
            }
            head.scatter(drows, scratch);
        }
    }
}

/// One key head of one segment.
struct Head<'a> {
    shape: &'a Heads,
    segment: &'a Segment<'a>,
    kv_head: usize,
}

/// The parts of `Scratch::panels`.
struct Panels {
    /// Keys as `[key width × positions]`, keys as `[positions × key width]`, values as
    /// `[value width × positions]`; then those of a tile: probabilities or their gradient, queries or outputs.
    ends: [usize; 5],
}

impl Head<'_> {
    fn panels<E: Operand>(&self) -> Panels {
        let (len, shape) = (self.segment.rows.len(), self.shape);
        let lens = [
            packed_len::<E>(shape.key_width, len),
            packed_len::<E>(len, shape.key_width),
            packed_len::<E>(shape.value_width, len),
            packed_len::<E>(TILE, len),
            packed_len::<E>(TILE, shape.key_width.max(shape.value_width)),
        ];
        let mut end = 0;
        let mut next = |len| {
            end += len;
            end
        };
        Panels { ends: lens.map(&mut next) }
    }

    /// Packs keys and values of the whole segment and clears their gradients.
    fn gather<E: Operand>(&self, rows: &[E], scratch: &mut Scratch<E>) {
        let (shape, len) = (self.shape, self.segment.rows.len());
        let (dk, dv) = (shape.key_width, shape.value_width);
        let Scratch { keys, values, panels, d_keys, d_values, .. } = scratch;
        let (keys, values) = (reserve(keys, len * dk), reserve(values, len * dv));
        for (position, row) in self.segment.rows.iter().enumerate() {
            let row = &rows[*row as usize * shape.row_width..][..shape.row_width];
            keys[position * dk..][..dk].copy_from_slice(shape.key(row, self.kv_head));
            values[position * dv..][..dv].copy_from_slice(shape.value(row, self.kv_head));
        }
        let Panels { ends } = self.panels::<E>();
        let panels = reserve(panels, ends[4]);
        pack_columns(keys, dk, dk, len, &mut panels[..ends[0]]);
        pack_rows(keys, dk, len, dk, &mut panels[ends[0]..ends[1]]);
        pack_columns(values, dv, dv, len, &mut panels[ends[1]..ends[2]]);
        reserve(d_keys, len * dk).fill(E::Real::ZERO);
        reserve(d_values, len * dv).fill(E::Real::ZERO);
    }

    /// Adds the gradients of keys and values to the context rows they came from.
    fn scatter<E: Operand>(&self, drows: &mut [E::Real], scratch: &Scratch<E>) {
        let shape = self.shape;
        let (dk, dv) = (shape.key_width, shape.value_width);
        for (position, row) in self.segment.rows.iter().enumerate() {
            let row = &mut drows[*row as usize * shape.row_width..][..shape.row_width];
            let key = &mut row[self.kv_head * dk..][..dk];
            add_assign(key, &scratch.d_keys[position * dk..][..dk]);
            let value = &mut row[shape.value_offset + self.kv_head * dv..][..dv];
            add_assign(value, &scratch.d_values[position * dv..][..dv]);
        }
    }

    /// Queries at positions `start..end` of one query head.
    fn tile<E: Operand>(
        &self,
        (start, end): (usize, usize),
        member: usize,
        q: &[E],
        dq: &mut [E::Real],
        dout: &[E],
        scratch: &mut Scratch<E>,
    ) {
        let (shape, m) = (self.shape, end - start);
        let (dk, dv, len) = (shape.key_width, shape.value_width, self.segment.rows.len());
        let head = self.kv_head * shape.group() + member;
        let row = self.segment.rows[start] as usize * shape.heads + head;
        let (q, q_stride) = (&q[row * dk..], shape.heads * dk);
        let (dout, dout_stride) = (&dout[row * dv..], shape.heads * dv);
        let Panels { ends } = self.panels::<E>();
        let Scratch { scores, d_scores, probabilities, panels, d_keys, d_values, .. } = scratch;
        let (fixed, tile) = panels.split_at_mut(ends[2]);
        let (wide, narrow) = tile.split_at_mut(ends[3] - ends[2]);
        let scores = reserve(scores, m * end);
        let d_scores = reserve(d_scores, m * end);
        let keys = Right::panels(&fixed[..ends[0]], dk);
        product(Left::rows(q, q_stride), keys, (m, end, dk), scores, end);
        let values = Right::panels(&fixed[ends[1]..ends[2]], dv);
        product(Left::rows(dout, dout_stride), values, (m, end, dv), d_scores, end);
        let scale = E::Real::from_f64(shape.scale);
        for (index, (p, dp)) in scores.chunks_mut(end).zip(d_scores.chunks_mut(end)).enumerate() {
            let inverse = exponentials(p, shape.seen(start + index + 1), scale);
            score_gradient(p, dp, inverse, scale);
        }
        // dV += Pᵀ·dO.
        pack_rows(&*scores, end, m, end, &mut *wide);
        pack_rows(dout, dout_stride, m, dv, &mut *narrow);
        transposed_product(wide, narrow, (end, dv, m), d_values);
        // dK += dSᵀ·Q.
        pack_rows(&*d_scores, end, m, end, &mut *wide);
        pack_rows(q, q_stride, m, dk, &mut *narrow);
        transposed_product(wide, narrow, (end, dk, m), d_keys);
        // dQ = dS·K.
        let d_scores = E::rounded(d_scores, probabilities);
        let keys = Right::panels(&fixed[ends[0]..ends[1]], len);
        let dq = &mut dq[row * dk..];
        product(Left::rows(d_scores, end), keys, (m, dk, end), dq, q_stride);
    }
}

/// c[m × n] = a[m × k] · b[k × n]
fn product<E: Operand>(
    a: Left<'_, E>,
    b: Right<'_, E>,
    (m, n, k): (usize, usize, usize),
    c: &mut [E::Real],
    c_stride: usize,
) {
    Product { m, n, k, a, b, c, c_stride, write: Write::Overwrite }.compute();
}

/// c[positions × n] += leftᵀ · right, both packed with k rows.
fn transposed_product<E: Operand>(
    left: &[E],
    right: &[E],
    (positions, n, k): (usize, usize, usize),
    c: &mut [E::Real],
) {
    for (first, panel) in (0..positions).step_by(PANEL).zip(left.chunks(packed_len::<E>(k, PANEL)))
    {
        Product {
            m: (positions - first).min(PANEL),
            n,
            k,
            a: Left::panel_columns(panel),
            b: Right::panels(right, k),
            c: &mut c[first * n..],
            c_stride: n,
            write: Write::Continue,
        }
        .compute();
    }
}

vectorized! {
    /// Exponentials become probabilities, their gradients those of the scores.
    fn score_gradient<R: Real>(p: &mut [R], dp: &mut [R], inverse: R, scale: R) {
        for p in p.iter_mut() {
            *p = *p * inverse;
        }
        let mean = dot(p, dp);
        for (p, dp) in p.iter().zip(dp.iter_mut()) {
            *dp = *p * (*dp - mean) * scale;
        }
    }
}
