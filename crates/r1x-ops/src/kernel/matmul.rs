//! The matrix product C = A·B (or C += A·B) for row-contiguous B and C and any strides of A.
//!
//! Each element of C is one chain of fused multiply-adds over k in ascending order, whatever the number of
//! rows or the tile it falls in, so results do not depend on the batch. With both a matrix and its transpose
//! at hand this one form covers forward (x·Wᵀ), input gradient (dy·W) and weight gradient (dyᵀ·x) without
//! packing. Must not know what is multiplied.

use crate::real::Real;

/// A matrix read through strides: element (i, p) is `data[i * row_stride + p * column_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Strided<'a, R> {
    /// The elements.
    pub data: &'a [R],
    /// Distance between rows.
    pub row_stride: usize,
    /// Distance between columns.
    pub column_stride: usize,
}

impl<'a, R> Strided<'a, R> {
    /// Rows of `columns` elements, `row_stride` apart.
    pub fn rows(data: &'a [R], row_stride: usize) -> Self {
        Self { data, row_stride, column_stride: 1 }
    }

    /// The transpose of such a matrix.
    pub fn transposed(data: &'a [R], row_stride: usize) -> Self {
        Self { data, row_stride: 1, column_stride: row_stride }
    }
}

/// One product: `c[m × n] (+)= a[m × k] · b[k × n]`.
#[derive(Debug)]
pub struct Product<'a, R> {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Left factor, any strides.
    pub a: Strided<'a, R>,
    /// Right factor, rows contiguous.
    pub b: &'a [R],
    /// Distance between rows of B.
    pub b_stride: usize,
    /// Result, rows contiguous.
    pub c: &'a mut [R],
    /// Distance between rows of C.
    pub c_stride: usize,
    /// Add to C instead of overwriting it.
    pub accumulate: bool,
}

impl<R: Real> Product<'_, R> {
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
            let last = (self.m - 1) * self.a.row_stride + (self.k - 1) * self.a.column_stride;
            assert!(last < self.a.data.len(), "A is too short");
            assert!((self.k - 1) * self.b_stride + self.n <= self.b.len(), "B is too short");
        }
        R::product(self);
    }
}

/// y[m × out] (+)= x[m × inp] · wt[inp × out], with contiguous rows everywhere.
pub fn matmul<R: Real>(
    x: &[R],
    wt: &[R],
    y: &mut [R],
    m: usize,
    inp: usize,
    out: usize,
    accumulate: bool,
) {
    let a = Strided::rows(x, inp);
    Product { m, n: out, k: inp, a, b: wt, b_stride: out, c: y, c_stride: out, accumulate }
        .compute();
}

/// dw[out × inp] += dy[m × out]ᵀ · x[m × inp], with contiguous rows everywhere.
pub fn matmul_weight_gradient<R: Real>(
    dy: &[R],
    x: &[R],
    dw: &mut [R],
    m: usize,
    inp: usize,
    out: usize,
) {
    let a = Strided::transposed(dy, out);
    Product {
        m: out,
        n: inp,
        k: m,
        a,
        b: x,
        b_stride: inp,
        c: dw,
        c_stride: inp,
        accumulate: true,
    }
    .compute();
}

/// The product in plain Rust: the reference for the SIMD forms, and the form for `f64`.
pub fn product_portable<R: Real>(product: Product<'_, R>) {
    let Product { m, n, k, a, b, b_stride, c, c_stride, accumulate } = product;
    const WIDTH: usize = 8;
    for i in 0..m {
        let row = &mut c[i * c_stride..i * c_stride + n];
        for (block, out) in row.chunks_mut(WIDTH).enumerate() {
            let mut sums = [R::ZERO; WIDTH];
            let width = out.len();
            for p in 0..k {
                let scale = a.data[i * a.row_stride + p * a.column_stride];
                let start = p * b_stride + block * WIDTH;
                for (sum, value) in sums[..width].iter_mut().zip(&b[start..start + width]) {
                    *sum += scale * *value;
                }
            }
            for (out, sum) in out.iter_mut().zip(&sums) {
                *out = if accumulate { *out + *sum } else { *sum };
            }
        }
    }
}

/// The product for `f32` with the widest instructions of this machine.
pub fn product_f32(product: Product<'_, f32>) {
    #[cfg(target_arch = "x86_64")]
    match crate::simd::level() {
        crate::simd::Level::Avx512 => return x86::product_avx512(product),
        crate::simd::Level::Avx2 => return x86::product_avx2(product),
        crate::simd::Level::Portable => {}
    }
    product_portable(product);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! AVX-512 and AVX2 tiles. Both run the same chain of fused multiply-adds per element, so they agree.

    use super::Product;
    use std::arch::x86_64::*;

    /// Everything a tile needs, as raw parts: `a` and `c` point at the tile's first row and column.
    #[derive(Clone, Copy)]
    struct Tile {
        k: usize,
        a: *const f32,
        a_row: usize,
        a_column: usize,
        b: *const f32,
        b_stride: usize,
        c: *mut f32,
        c_stride: usize,
        accumulate: bool,
    }

    impl Tile {
        /// The tile at row `i`, column `j` of a product.
        fn at(product: &mut Product<'_, f32>, i: usize, j: usize) -> Self {
            Self {
                k: product.k,
                a: product.a.data[if product.k == 0 { 0 } else { i * product.a.row_stride }..]
                    .as_ptr(),
                a_row: product.a.row_stride,
                a_column: product.a.column_stride,
                b: product.b[if product.k == 0 { 0 } else { j }..].as_ptr(),
                b_stride: product.b_stride,
                c: product.c[i * product.c_stride + j..].as_mut_ptr(),
                c_stride: product.c_stride,
                accumulate: product.accumulate,
            }
        }
    }

    /// Rows × 32 columns in registers: 2·ROWS accumulators of 16 lanes.
    ///
    /// # Safety
    /// AVX-512F must be present; the `Tile` must describe memory inside live slices for ROWS rows and for
    /// the columns whose mask bits are set.
    #[target_feature(enable = "avx512f")]
    unsafe fn tile_avx512<const ROWS: usize>(tile: Tile, low: __mmask16, high: __mmask16) {
        let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
        for p in 0..tile.k {
            // SAFETY: row p of B lies inside its slice (checked in `compute`); masked lanes are not read.
            let (b_low, b_high) = unsafe {
                let row = tile.b.add(p * tile.b_stride);
                (_mm512_maskz_loadu_ps(low, row), _mm512_maskz_loadu_ps(high, row.wrapping_add(16)))
            };
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: element (i, p) of A lies inside its slice (checked in `compute`).
                let scale =
                    _mm512_set1_ps(unsafe { *tile.a.add(i * tile.a_row + p * tile.a_column) });
                sum[0] = _mm512_fmadd_ps(scale, b_low, sum[0]);
                sum[1] = _mm512_fmadd_ps(scale, b_high, sum[1]);
            }
        }
        for (i, sum) in sums.iter().enumerate() {
            // SAFETY: row i of the tile lies inside C (checked in `compute`); masked lanes are untouched.
            unsafe {
                let row = tile.c.add(i * tile.c_stride);
                let (mut first, mut second) = (sum[0], sum[1]);
                if tile.accumulate {
                    first = _mm512_add_ps(_mm512_maskz_loadu_ps(low, row), first);
                    second =
                        _mm512_add_ps(_mm512_maskz_loadu_ps(high, row.wrapping_add(16)), second);
                }
                _mm512_mask_storeu_ps(row, low, first);
                _mm512_mask_storeu_ps(row.wrapping_add(16), high, second);
            }
        }
    }

    /// See [`super::product_f32`].
    pub(super) fn product_avx512(mut product: Product<'_, f32>) {
        for j in (0..product.n).step_by(32) {
            let columns = (product.n - j).min(32);
            let bits = if columns == 32 { u32::MAX } else { (1u32 << columns) - 1 };
            let (low, high) = (bits as u16, (bits >> 16) as u16);
            let mut i = 0;
            while i < product.m {
                let rows = (product.m - i).min(8);
                let tile = Tile::at(&mut product, i, j);
                // SAFETY: `level` said AVX-512; `compute` checked that all rows and columns are in bounds,
                // and the masks leave out columns past n.
                unsafe {
                    match rows {
                        1 => tile_avx512::<1>(tile, low, high),
                        2 => tile_avx512::<2>(tile, low, high),
                        3 => tile_avx512::<3>(tile, low, high),
                        4 => tile_avx512::<4>(tile, low, high),
                        5 => tile_avx512::<5>(tile, low, high),
                        6 => tile_avx512::<6>(tile, low, high),
                        7 => tile_avx512::<7>(tile, low, high),
                        _ => tile_avx512::<8>(tile, low, high),
                    }
                }
                i += rows;
            }
        }
    }

    /// Rows × 16 columns in registers: 2·ROWS accumulators of 8 lanes.
    ///
    /// # Safety
    /// AVX2 and FMA must be present; the `Tile` must describe memory inside live slices for ROWS rows and
    /// for the columns whose mask lanes are negative.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn tile_avx2<const ROWS: usize>(tile: Tile, low: __m256i, high: __m256i) {
        let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
        for p in 0..tile.k {
            // SAFETY: row p of B lies inside its slice (checked in `compute`); masked lanes are not read.
            let (b_low, b_high) = unsafe {
                let row = tile.b.add(p * tile.b_stride);
                (_mm256_maskload_ps(row, low), _mm256_maskload_ps(row.wrapping_add(8), high))
            };
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: element (i, p) of A lies inside its slice (checked in `compute`).
                let scale =
                    _mm256_set1_ps(unsafe { *tile.a.add(i * tile.a_row + p * tile.a_column) });
                sum[0] = _mm256_fmadd_ps(scale, b_low, sum[0]);
                sum[1] = _mm256_fmadd_ps(scale, b_high, sum[1]);
            }
        }
        for (i, sum) in sums.iter().enumerate() {
            // SAFETY: row i of the tile lies inside C (checked in `compute`); masked lanes are untouched.
            unsafe {
                let row = tile.c.add(i * tile.c_stride);
                let (mut first, mut second) = (sum[0], sum[1]);
                if tile.accumulate {
                    first = _mm256_add_ps(_mm256_maskload_ps(row, low), first);
                    second = _mm256_add_ps(_mm256_maskload_ps(row.wrapping_add(8), high), second);
                }
                _mm256_maskstore_ps(row, low, first);
                _mm256_maskstore_ps(row.wrapping_add(8), high, second);
            }
        }
    }

    /// A mask of `lanes` leading lanes.
    #[target_feature(enable = "avx2")]
    fn mask_avx2(lanes: usize) -> __m256i {
        let count = _mm256_set1_epi32(lanes.min(8) as i32);
        _mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
    }

    /// See [`super::product_f32`].
    pub(super) fn product_avx2(mut product: Product<'_, f32>) {
        for j in (0..product.n).step_by(16) {
            let columns = (product.n - j).min(16);
            let mut i = 0;
            while i < product.m {
                let rows = (product.m - i).min(6);
                let tile = Tile::at(&mut product, i, j);
                // SAFETY: `level` said AVX2; `compute` checked that all rows and columns are in bounds, and
                // the masks leave out columns past n.
                unsafe {
                    let (low, high) = (mask_avx2(columns), mask_avx2(columns.saturating_sub(8)));
                    match rows {
                        1 => tile_avx2::<1>(tile, low, high),
                        2 => tile_avx2::<2>(tile, low, high),
                        3 => tile_avx2::<3>(tile, low, high),
                        4 => tile_avx2::<4>(tile, low, high),
                        5 => tile_avx2::<5>(tile, low, high),
                        _ => tile_avx2::<6>(tile, low, high),
                    }
                }
                i += rows;
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::super::{Strided, product_portable};
        use super::*;
        use crate::simd::Level;

        fn values(count: usize, seed: u32) -> Vec<f32> {
            let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
            (0..count)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 8) as f32 / (1 << 24) as f32 - 0.5
                })
                .collect()
        }

        fn run(
            kernel: fn(Product<'_, f32>),
            (m, n, k): (usize, usize, usize),
            transposed: bool,
            accumulate: bool,
        ) -> Vec<f32> {
            let a = values(m * k, 1);
            let b = values(k * (n + 3), 2);
            let mut c = values(m * (n + 5), 3);
            let a = if transposed { Strided::transposed(&a, m) } else { Strided::rows(&a, k) };
            let c_stride = n + 5;
            let (b_stride, slice) = (n + 3, c.as_mut_slice());
            kernel(Product { m, n, k, a, b: &b, b_stride, c: slice, c_stride, accumulate });
            c
        }

        #[test]
        fn simd_products_equal_the_portable_one_at_every_tail() {
            for m in [1, 2, 5, 6, 7, 8, 9, 17] {
                for n in [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 50] {
                    for (transposed, accumulate) in [(false, false), (true, true)] {
                        let shape = (m, n, 19);
                        let expected = run(product_portable, shape, transposed, accumulate);
                        let mut found = Vec::new();
                        if crate::simd::level() >= Level::Avx2 {
                            found.push(run(product_avx2, shape, transposed, accumulate));
                        }
                        if crate::simd::level() >= Level::Avx512 {
                            found.push(run(product_avx512, shape, transposed, accumulate));
                        }
                        for result in &found {
                            for (x, y) in result.iter().zip(&expected) {
                                assert!((x - y).abs() < 1e-5, "{shape:?}: {x} against {y}");
                            }
                            assert_eq!(result, &found[0], "levels differ at {shape:?}");
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_does_not_depend_on_the_rows_beside_it() {
        let (inp, out) = (37, 45);
        let x: Vec<f32> = (0..40 * inp).map(|i| ((i * 7919) % 1000) as f32 / 997.0 - 0.5).collect();
        let wt: Vec<f32> =
            (0..inp * out).map(|i| ((i * 104_729) % 1000) as f32 / 991.0 - 0.5).collect();
        let mut all = vec![0.0; 40 * out];
        matmul(&x, &wt, &mut all, 40, inp, out, false);
        for (start, rows) in [(0, 1), (3, 2), (5, 7), (11, 13), (39, 1)] {
            let mut some = vec![0.0; rows * out];
            matmul(&x[start * inp..], &wt, &mut some, rows, inp, out, false);
            assert_eq!(some, all[start * out..(start + rows) * out]);
        }
    }
}
