//! The matrix product C = A·B (or C += A·B): rows of operands times packed panels, sums in reals.
//!
//! Each element of C is one chain of fused multiply-adds over k in a fixed order, whatever the number of rows or the
//! tile it falls in, so results do not depend on the batch. The order is ascending; of a pair of `bf16` the odd
//! element comes first, as the processor's instruction does it. Weights are packed once per update, for x·Wᵀ and for
//! dy·W; dyᵀ·x packs blocks of both factors.

mod pack;
#[cfg(target_arch = "x86_64")]
mod x86;

use half::bf16;

use super::Write;
use crate::operand::Operand;
pub use pack::{pack_columns, pack_columns_from, pack_rows, packed_len, unpack_column};

/// Columns of a panel.
pub const PANEL: usize = 32;

/// The left factor. Element (i, p) is
/// `data[i * row_stride + p / PACK * step_stride + p % PACK]`, where PACK is the operand's.
#[derive(Clone, Copy, Debug)]
pub struct Left<'a, E> {
    /// The elements.
    pub data: &'a [E],
    /// Distance between rows.
    pub row_stride: usize,
    /// Distance between steps of PACK elements along k.
    pub step_stride: usize,
}

impl<'a, E: Operand> Left<'a, E> {
    /// Rows of contiguous elements, `row_stride` apart.
    pub fn rows(data: &'a [E], row_stride: usize) -> Self {
        Self { data, row_stride, step_stride: E::PACK }
    }

    /// The transpose of one packed panel: its columns are the rows of this factor.
    pub fn panel_columns(data: &'a [E]) -> Self {
        Self { data, row_stride: E::PACK, step_stride: PANEL * E::PACK }
    }
}

/// The right factor in panels of `PANEL` columns, which are whole: zeros fill the last one. Rows may come in
/// segments that lie apart. With s = p / segment and q = p % segment, element (p, j) is
/// `data[j / PANEL * panel_stride + s * segment_stride + q / PACK * PANEL * PACK + j % PANEL * PACK + q % PACK]`.
#[derive(Clone, Copy, Debug)]
pub struct Right<'a, E> {
    /// The elements.
    pub data: &'a [E],
    /// Distance between panels.
    pub panel_stride: usize,
    /// Rows of a segment, a multiple of PACK.
    pub segment: usize,
    /// Distance between segments.
    pub segment_stride: usize,
}

impl<'a, E: Operand> Right<'a, E> {
    /// A matrix of `k` rows as packing leaves it: panel after panel, so that a tile reads it front to back.
    pub fn panels(data: &'a [E], k: usize) -> Self {
        Self::spaced(data, packed_len::<E>(k, PANEL))
    }

    /// A packed matrix in one segment whose panels may be further apart than they are long.
    pub fn spaced(data: &'a [E], panel_stride: usize) -> Self {
        Self { data, panel_stride, segment: usize::MAX / E::PACK * E::PACK, segment_stride: 0 }
    }

    /// The columns from one on, which begins a panel.
    pub fn columns_from(self, column: usize) -> Self {
        assert!(column.is_multiple_of(PANEL), "a part of B cuts a panel");
        Self { data: &self.data[column / PANEL * self.panel_stride..], ..self }
    }

    /// The rows from one on, which cuts no pair, of a factor in one segment.
    pub fn rows_from(self, row: usize) -> Self {
        assert!(row.is_multiple_of(E::PACK) && self.segment_stride == 0, "a part of B cuts a pair");
        Self { data: &self.data[row * PANEL..], ..self }
    }

    /// Index of element (p, j).
    #[inline(always)]
    fn at(&self, p: usize, j: usize) -> usize {
        let (s, q) = (p / self.segment, p % self.segment);
        j / PANEL * self.panel_stride
            + s * self.segment_stride
            + q / E::PACK * PANEL * E::PACK
            + j % PANEL * E::PACK
            + q % E::PACK
    }
}

/// One product: `c[m × n] (+)= a[m × k] · b[k × n]`.
#[derive(Debug)]
pub struct Product<'a, E: Operand> {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Left factor.
    pub a: Left<'a, E>,
    /// Right factor.
    pub b: Right<'a, E>,
    /// Result, rows contiguous.
    pub c: &'a mut [E::Real],
    /// Distance between rows of C.
    pub c_stride: usize,
    /// What becomes of what C holds.
    pub write: Write,
}

impl<E: Operand> Product<'_, E> {
    /// Computes it.
    ///
    /// # Panics
    /// When a matrix does not fit its slice.
    pub fn compute(self) {
        if self.m == 0 || self.n == 0 {
            return;
        }
        assert!(self.n <= self.c_stride || self.m == 1, "rows of C overlap");
        assert!((self.m - 1) * self.c_stride + self.n <= self.c.len(), "C is too short");
        if self.k > 0 {
            let steps = self.k.div_ceil(E::PACK);
            let tail = (self.k - 1) % E::PACK;
            let last = (self.m - 1) * self.a.row_stride + (steps - 1) * self.a.step_stride + tail;
            assert!(last < self.a.data.len(), "A is too short");
            assert!(self.b.segment.is_multiple_of(E::PACK), "a segment of B cuts a pair");
            let whole = self.b.at(self.k - 1, (self.n - 1) / PANEL * PANEL) / E::PACK * E::PACK;
            assert!(whole + PANEL * E::PACK <= self.b.data.len(), "B is too short");
        }
        E::product(self);
    }
}

/// y[m × out] (+)= x[m × inp] · b[inp × out], with contiguous rows of x and y.
pub fn matmul<E: Operand>(
    x: &[E],
    b: Right<'_, E>,
    y: &mut [E::Real],
    m: usize,
    inp: usize,
    out: usize,
    write: Write,
) {
    let a = Left::rows(x, inp);
    Product { m, n: out, k: inp, a, b, c: y, c_stride: out, write }.compute();
}

/// Rows of x and dy whose packed copies stay in the second-level cache. Even, so that blocks do not cut pairs.
const GRADIENT_ROWS: usize = 256;

/// dw[out × inp] += dy[m × out]ᵀ · x[m × inp]; rows of dy are `dy_stride` apart, the others contiguous.
///
/// Both factors are read across their rows, so blocks of them are packed first. A sum goes on from block to
/// block, so blocks do not show in the result.
pub fn matmul_weight_gradient<E: Operand>(
    (dy, dy_stride): (&[E], usize),
    (x, x_stride): (&[E], usize),
    dw: &mut [E::Real],
    m: usize,
    inp: usize,
    out: usize,
    scratch: &mut Vec<E>,
) {
    let rows = m.min(GRADIENT_ROWS);
    let (left, right) = (packed_len::<E>(rows, out), packed_len::<E>(rows, inp));
    if scratch.len() < left + right {
        scratch.resize(left + right, E::default());
    }
    for start in (0..m).step_by(GRADIENT_ROWS) {
        let k = (m - start).min(GRADIENT_ROWS);
        let (left, right) = scratch.split_at_mut(left);
        pack_rows(&dy[start * dy_stride..], dy_stride, k, out, left);
        pack_rows(&x[start * x_stride..], x_stride, k, inp, right);
        let panel_len = packed_len::<E>(k, PANEL);
        for (first, panel) in (0..out).step_by(PANEL).zip(left.chunks(panel_len)) {
            Product {
                m: (out - first).min(PANEL),
                n: inp,
                k,
                a: Left::panel_columns(panel),
                b: Right::panels(right, k),
                c: &mut dw[first * inp..],
                c_stride: inp,
                write: Write::Continue,
            }
            .compute();
        }
    }
}

/// The product in plain Rust: the reference for the SIMD forms, and the form for `f64`.
pub fn product_portable<E: Operand>(product: Product<'_, E>) {
    let Product { m, n, k, a, b, c, c_stride, write } = product;
    const WIDTH: usize = 8;
    for i in 0..m {
        let row = &mut c[i * c_stride..i * c_stride + n];
        for (block, out) in row.chunks_mut(WIDTH).enumerate() {
            let mut sums = [E::Real::default(); WIDTH];
            if write == Write::Continue {
                sums[..out.len()].copy_from_slice(out);
            }
            for step in 0..k.div_ceil(E::PACK) {
                for p in (step * E::PACK..k.min((step + 1) * E::PACK)).rev() {
                    let at = i * a.row_stride + step * a.step_stride + p % E::PACK;
                    let scale = a.data[at].widen();
                    let start = b.at(p, block * WIDTH);
                    for (lane, sum) in sums.iter_mut().enumerate() {
                        *sum += scale * b.data[start + lane * E::PACK].widen();
                    }
                }
            }
            match write {
                Write::Add => out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum),
                Write::Overwrite | Write::Continue => out.copy_from_slice(&sums[..out.len()]),
            }
        }
    }
}

/// The product for `f32` with the widest instructions of this machine.
pub fn product_f32(product: Product<'_, f32>) {
    #[cfg(target_arch = "x86_64")]
    match crate::simd::level() {
        crate::simd::Level::Avx512Bf16 | crate::simd::Level::Avx512 => {
            return x86::product_f32_avx512(product);
        }
        crate::simd::Level::Avx2 => return x86::product_f32_avx2(product),
        crate::simd::Level::Portable => {}
    }
    product_portable(product);
}

/// The product for `bf16` with the widest instructions of this machine.
pub fn product_bf16(product: Product<'_, bf16>) {
    #[cfg(target_arch = "x86_64")]
    match crate::simd::level() {
        crate::simd::Level::Avx512Bf16 => return x86::product_bf16_native(product),
        crate::simd::Level::Avx512 => return x86::product_bf16_avx512(product),
        crate::simd::Level::Avx2 => return x86::product_bf16_avx2(product),
        crate::simd::Level::Portable => {}
    }
    product_portable(product);
}

#[cfg(test)]
mod tests;
