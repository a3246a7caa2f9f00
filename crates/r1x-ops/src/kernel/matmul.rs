//! The matrix product C = A·B (or C += A·B) for any strides of A, B in rows or packed panels, rows of C.
//!
//! Each element of C is one chain of fused multiply-adds over k in ascending order, whatever the number of
//! rows or the tile it falls in, so results do not depend on the batch. Weights are packed once per update,
//! for x·Wᵀ and for dy·W; dyᵀ·x packs blocks of both factors. Must not know what is multiplied.

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

/// Columns of a panel.
pub const PANEL: usize = 32;

/// The right factor: rows of `PANEL` contiguous columns. Element (p, j) is
/// `data[j / PANEL * panel_stride + p * row_stride + j % PANEL]`.
#[derive(Clone, Copy, Debug)]
pub struct Right<'a, R> {
    /// The elements.
    pub data: &'a [R],
    /// Distance between rows inside a panel.
    pub row_stride: usize,
    /// Distance between panels.
    pub panel_stride: usize,
}

impl<'a, R> Right<'a, R> {
    /// An ordinary matrix with contiguous rows, `row_stride` apart.
    pub fn rows(data: &'a [R], row_stride: usize) -> Self {
        Self { data, row_stride, panel_stride: PANEL }
    }

    /// A matrix of `k` rows as [`pack`] leaves it: panel after panel, so that a tile reads it front to back.
    pub fn panels(data: &'a [R], k: usize) -> Self {
        Self { data, row_stride: PANEL, panel_stride: k * PANEL }
    }

    /// Index of element (p, j).
    #[inline(always)]
    fn at(&self, p: usize, j: usize) -> usize {
        j / PANEL * self.panel_stride + p * self.row_stride + j % PANEL
    }
}

/// Elements that [`pack`] writes for a `k` × `n` matrix.
pub fn packed_len(k: usize, n: usize) -> usize {
    n.next_multiple_of(PANEL) * k
}

/// Packs a `k` × `n` matrix into panels, zeros beyond its last column.
pub fn pack<R: Real>(b: Strided<'_, R>, k: usize, n: usize, panels: &mut [R]) {
    for (panel, start) in panels.chunks_mut((k * PANEL).max(1)).zip((0..n).step_by(PANEL)) {
        let width = (n - start).min(PANEL);
        if width < PANEL {
            panel.fill(R::ZERO);
        }
        if b.column_stride == 1 {
            for (p, row) in panel.chunks_mut(PANEL).enumerate() {
                let from = p * b.row_stride + start;
                row[..width].copy_from_slice(&b.data[from..from + width]);
            }
            continue;
        }
        // Sixteen rows at a time, so that both sides of the transposition stay in cache.
        for first in (0..k).step_by(16) {
            for j in 0..width {
                let column = (start + j) * b.column_stride;
                for p in first..(first + 16).min(k) {
                    panel[p * PANEL + j] = b.data[column + p * b.row_stride];
                }
            }
        }
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
    /// Right factor.
    pub b: Right<'a, R>,
    /// Result, rows contiguous.
    pub c: &'a mut [R],
    /// Distance between rows of C.
    pub c_stride: usize,
    /// Start the sums from what C holds instead of from 0.
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
            assert!(self.b.at(self.k - 1, self.n - 1) < self.b.data.len(), "B is too short");
            assert!(self.b.panel_stride >= PANEL, "panels of B overlap");
        }
        R::product(self);
    }
}

/// y[m × out] (+)= x[m × inp] · b[inp × out], with contiguous rows of x and y.
pub fn matmul<R: Real>(
    x: &[R],
    b: Right<'_, R>,
    y: &mut [R],
    m: usize,
    inp: usize,
    out: usize,
    accumulate: bool,
) {
    let a = Strided::rows(x, inp);
    Product { m, n: out, k: inp, a, b, c: y, c_stride: out, accumulate }.compute();
}

/// Rows of x and dy whose packed copies stay in the second-level cache.
const GRADIENT_ROWS: usize = 256;

/// dw[out × inp] += dy[m × out]ᵀ · x[m × inp]; rows of dy are `dy_stride` apart, the others contiguous.
///
/// Both factors are read across their rows, so blocks of them are packed first. A sum goes on from block to
/// block, so blocks do not show in the result.
pub fn matmul_weight_gradient<R: Real>(
    (dy, dy_stride): (&[R], usize),
    x: &[R],
    dw: &mut [R],
    m: usize,
    inp: usize,
    out: usize,
    scratch: &mut Vec<R>,
) {
    let rows = m.min(GRADIENT_ROWS);
    let (left, right) = (packed_len(rows, out), packed_len(rows, inp));
    if scratch.len() < left + right {
        scratch.resize(left + right, R::ZERO);
    }
    for start in (0..m).step_by(GRADIENT_ROWS) {
        let k = (m - start).min(GRADIENT_ROWS);
        let (left, right) = scratch.split_at_mut(left);
        pack(Strided::rows(&dy[start * dy_stride..], dy_stride), k, out, left);
        pack(Strided::rows(&x[start * inp..], inp), k, inp, &mut right[..packed_len(k, inp)]);
        for (first, panel) in (0..out).step_by(PANEL).zip(left.chunks(k * PANEL)) {
            Product {
                m: (out - first).min(PANEL),
                n: inp,
                k,
                a: Strided::transposed(panel, PANEL),
                b: Right::panels(right, k),
                c: &mut dw[first * inp..],
                c_stride: inp,
                accumulate: true,
            }
            .compute();
        }
    }
}

/// The product in plain Rust: the reference for the SIMD forms, and the form for `f64`.
pub fn product_portable<R: Real>(product: Product<'_, R>) {
    let Product { m, n, k, a, b, c, c_stride, accumulate } = product;
    const WIDTH: usize = 8;
    for i in 0..m {
        let row = &mut c[i * c_stride..i * c_stride + n];
        for (block, out) in row.chunks_mut(WIDTH).enumerate() {
            let mut sums = [R::ZERO; WIDTH];
            let width = out.len();
            if accumulate {
                sums[..width].copy_from_slice(out);
            }
            for p in 0..k {
                let scale = a.data[i * a.row_stride + p * a.column_stride];
                let start = b.at(p, block * WIDTH);
                for (sum, value) in sums[..width].iter_mut().zip(&b.data[start..start + width]) {
                    *sum += scale * *value;
                }
            }
            out.copy_from_slice(&sums[..width]);
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

    use super::{PANEL, Product};
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
                b: product.b.data[if product.k == 0 { 0 } else { product.b.at(0, j) }..].as_ptr(),
                b_stride: product.b.row_stride,
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
        if tile.accumulate {
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: row i of the tile lies inside C (checked in `compute`); masked lanes are not read.
                unsafe {
                    let row = tile.c.add(i * tile.c_stride);
                    sum[0] = _mm512_maskz_loadu_ps(low, row);
                    sum[1] = _mm512_maskz_loadu_ps(high, row.wrapping_add(16));
                }
            }
        }
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
                _mm512_mask_storeu_ps(row, low, sum[0]);
                _mm512_mask_storeu_ps(row.wrapping_add(16), high, sum[1]);
            }
        }
    }

    /// Rows of A that stay in the second-level cache while every panel of B passes.
    fn block_rows(k: usize) -> usize {
        if k <= 512 { 240 } else { 120 }
    }

    /// See [`super::product_f32`].
    pub(super) fn product_avx512(mut product: Product<'_, f32>) {
        let block = block_rows(product.k);
        for first in (0..product.m).step_by(block) {
            let last = (first + block).min(product.m);
            for j in (0..product.n).step_by(PANEL) {
                let columns = (product.n - j).min(PANEL);
                let bits = if columns == PANEL { u32::MAX } else { (1u32 << columns) - 1 };
                let mut i = first;
                while i < last {
                    let rows = (last - i).min(12);
                    let tile = Tile::at(&mut product, i, j);
                    // SAFETY: `level` said AVX-512; `compute` checked that all rows and columns are in
                    // bounds, and the masks leave out columns past n.
                    unsafe { rows_avx512(rows, tile, bits as u16, (bits >> 16) as u16) };
                    i += rows;
                }
            }
        }
    }

    /// A tile of 1 to 12 rows.
    ///
    /// # Safety
    /// Those of [`tile_avx512`].
    unsafe fn rows_avx512(rows: usize, tile: Tile, low: __mmask16, high: __mmask16) {
        // SAFETY: the caller's promise, passed on.
        unsafe {
            match rows {
                1 => tile_avx512::<1>(tile, low, high),
                2 => tile_avx512::<2>(tile, low, high),
                3 => tile_avx512::<3>(tile, low, high),
                4 => tile_avx512::<4>(tile, low, high),
                5 => tile_avx512::<5>(tile, low, high),
                6 => tile_avx512::<6>(tile, low, high),
                7 => tile_avx512::<7>(tile, low, high),
                8 => tile_avx512::<8>(tile, low, high),
                9 => tile_avx512::<9>(tile, low, high),
                10 => tile_avx512::<10>(tile, low, high),
                11 => tile_avx512::<11>(tile, low, high),
                _ => tile_avx512::<12>(tile, low, high),
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
        if tile.accumulate {
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: row i of the tile lies inside C (checked in `compute`); masked lanes are not read.
                unsafe {
                    let row = tile.c.add(i * tile.c_stride);
                    sum[0] = _mm256_maskload_ps(row, low);
                    sum[1] = _mm256_maskload_ps(row.wrapping_add(8), high);
                }
            }
        }
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
                _mm256_maskstore_ps(row, low, sum[0]);
                _mm256_maskstore_ps(row.wrapping_add(8), high, sum[1]);
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
        use super::super::{Right, Strided, pack, packed_len, product_portable};
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
            (transposed, accumulate, packed): (bool, bool, bool),
        ) -> Vec<f32> {
            let a = values(m * k, 1);
            let b = values(k * (n + 3), 2);
            let mut c = values(m * (n + 5), 3);
            let a = if transposed { Strided::transposed(&a, m) } else { Strided::rows(&a, k) };
            let mut panels = vec![0.0; packed_len(k, n)];
            pack(Strided::rows(&b, n + 3), k, n, &mut panels);
            let b = if packed { Right::panels(&panels, k) } else { Right::rows(&b, n + 3) };
            kernel(Product { m, n, k, a, b, c: &mut c, c_stride: n + 5, accumulate });
            c
        }

        #[test]
        fn simd_products_equal_the_portable_one_at_every_tail() {
            for m in [1, 2, 5, 6, 7, 8, 11, 12, 13, 247] {
                for n in [1, 7, 8, 9, 16, 17, 31, 32, 33, 65] {
                    for how in [(false, false, true), (true, true, false), (true, true, true)] {
                        let shape = (m, n, 19);
                        let expected = run(product_portable, shape, how);
                        let mut found = Vec::new();
                        if crate::simd::level() >= Level::Avx2 {
                            found.push(run(product_avx2, shape, how));
                        }
                        if crate::simd::level() >= Level::Avx512 {
                            found.push(run(product_avx512, shape, how));
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
        matmul(&x, Right::rows(&wt, out), &mut all, 40, inp, out, false);
        for (start, rows) in [(0, 1), (3, 2), (5, 7), (11, 13), (39, 1)] {
            let mut some = vec![0.0; rows * out];
            matmul(&x[start * inp..], Right::rows(&wt, out), &mut some, rows, inp, out, false);
            assert_eq!(some, all[start * out..(start + rows) * out]);
        }
    }

    #[test]
    fn a_packed_matrix_is_the_matrix_and_its_transpose_packs_alike() {
        let (k, n) = (37, 45);
        let b: Vec<f64> = (0..k * n).map(|i| i as f64).collect();
        let mut turned = vec![0.0; k * n];
        crate::kernel::transpose(&b, &mut turned, k, n);
        let mut panels = vec![-1.0; packed_len(k, n)];
        pack(Strided::rows(&b, n), k, n, &mut panels);
        let mut others = vec![-1.0; packed_len(k, n)];
        pack(Strided::transposed(&turned, k), k, n, &mut others);
        assert_eq!(panels, others);
        let view = Right::panels(&panels, k);
        for p in 0..k {
            for j in 0..n {
                assert_eq!(view.data[view.at(p, j)], b[p * n + j]);
            }
        }
    }

    #[test]
    fn a_weight_gradient_is_the_plain_sum_over_rows() {
        let (m, inp, out, stride) = (600, 35, 41, 44);
        let dy: Vec<f64> = (0..m * stride).map(|i| ((i * 31) % 17) as f64 - 8.0).collect();
        let x: Vec<f64> = (0..m * inp).map(|i| ((i * 13) % 11) as f64 - 5.0).collect();
        let mut dw = vec![1.0; out * inp];
        matmul_weight_gradient((&dy, stride), &x, &mut dw, m, inp, out, &mut Vec::new());
        for o in 0..out {
            for i in 0..inp {
                let sum: f64 = (0..m).map(|row| dy[row * stride + o] * x[row * inp + i]).sum();
                assert_eq!(dw[o * inp + i], 1.0 + sum);
            }
        }
    }
}
