//! Tiles of the product for x86-64: AVX-512 with and without `bf16` instructions, and AVX2.
//!
//! Per element of C all of them run the same chain of fused multiply-adds, so they agree bit for bit (the `bf16`
//! instruction flushes denormal values, which is the one exception).

use std::arch::x86_64::*;

use half::bf16;

use super::{PANEL, Product};
use crate::kernel::Write;
use crate::operand::Operand;

/// Everything a tile needs, as raw parts: `a` and `c` point at the tile's first row and column.
struct Tile<E: Operand> {
    k: usize,
    a: *const E,
    a_row: usize,
    a_step: usize,
    b: *const E,
    b_panel: usize,
    /// Steps of a segment of B, and the distance between segments.
    b_segment: (usize, usize),
    c: *mut E::Real,
    c_row: usize,
    /// Columns of C from the tile's first on; a tile writes no further.
    columns: usize,
    write: Write,
}

impl<E: Operand> Tile<E> {
    /// The tile at row `i`, column `j` of a product.
    #[inline(always)]
    fn at(product: &mut Product<'_, E>, i: usize, j: usize) -> Self {
        let (a, b) = if product.k == 0 { (0, 0) } else { (i, product.b.at(0, j)) };
        Self {
            k: product.k,
            a: product.a.data[a * product.a.row_stride..].as_ptr(),
            a_row: product.a.row_stride,
            a_step: product.a.step_stride,
            b: product.b.data[b..].as_ptr(),
            b_panel: product.b.panel_stride,
            b_segment: (product.b.segment / E::PACK, product.b.segment_stride),
            c: product.c[i * product.c_stride + j..].as_mut_ptr(),
            c_row: product.c_stride,
            columns: product.n - j,
            write: product.write,
        }
    }
}

/// Vector instructions of one level. The functions are inlined into tiles that enable the level's features.
trait Lanes {
    type Element: Operand<Real = f32>;
    /// A vector of sums.
    type Sums: Copy;
    /// One step of the left factor, the same in every lane.
    type A: Copy;
    /// One step of the right factor, a column in each lane.
    type B: Copy;
    const COUNT: usize;

    unsafe fn zero() -> Self::Sums;
    /// Reads the first `columns` sums, all where there are more.
    unsafe fn load(at: *const f32, columns: usize) -> Self::Sums;
    unsafe fn store(at: *mut f32, columns: usize, sums: Self::Sums);
    unsafe fn plus(one: Self::Sums, other: Self::Sums) -> Self::Sums;
    unsafe fn left(at: *const Self::Element) -> Self::A;
    /// A step of which only the first element exists.
    unsafe fn left_last(at: *const Self::Element) -> Self::A;
    unsafe fn right(at: *const Self::Element) -> Self::B;
    unsafe fn add(sums: Self::Sums, a: Self::A, b: Self::B) -> Self::Sums;
}

/// ROWS rows × VECTORS vectors of columns of C in registers.
///
/// # Safety
/// The processor must have the instructions of `L`; the `Tile` must describe memory inside live slices: ROWS
/// rows of A and C, whole panels of B, and the columns of C that it says there are.
#[inline(always)]
unsafe fn tile<L: Lanes, const ROWS: usize, const VECTORS: usize>(tile: Tile<L::Element>) {
    let pack = L::Element::PACK;
    let per_panel = PANEL / L::COUNT;
    let row = |i: usize, v: usize| tile.c.wrapping_add(i * tile.c_row + v * L::COUNT);
    let columns = |v: usize| tile.columns.saturating_sub(v * L::COUNT);
    // SAFETY: the caller promises the instructions, and that reads and writes stay inside the slices; loads
    // and stores of C leave out the columns that are not there.
    unsafe {
        let mut sums = [[L::zero(); VECTORS]; ROWS];
        if tile.write == Write::Continue {
            for (i, sums) in sums.iter_mut().enumerate() {
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = L::load(row(i, v), columns(v));
                }
            }
        }
        let steps = tile.k.div_ceil(pack);
        let mut a = tile.a;
        let right = |b: *const L::Element, v: usize| {
            let panel = v / per_panel * tile.b_panel;
            L::right(b.add(panel + v % per_panel * L::COUNT * pack))
        };
        let (segment, stride) = tile.b_segment;
        let (mut first, mut start) = (0, tile.b);
        while first < steps {
            let end = steps.min(first.saturating_add(segment));
            let mut b = start;
            for step in first..end {
                let mut factors = [right(b, 0); VECTORS];
                for (v, factor) in factors.iter_mut().enumerate().skip(1) {
                    *factor = right(b, v);
                }
                let whole = pack == 1 || step * pack + 1 < tile.k;
                for (i, sums) in sums.iter_mut().enumerate() {
                    let at = a.wrapping_add(i * tile.a_row);
                    let scale = if whole { L::left(at) } else { L::left_last(at) };
                    for (sum, factor) in sums.iter_mut().zip(factors) {
                        *sum = L::add(*sum, scale, factor);
                    }
                }
                a = a.wrapping_add(tile.a_step);
                b = b.wrapping_add(PANEL * pack);
            }
            (first, start) = (end, start.wrapping_add(stride));
        }
        for (i, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let (to, columns) = (row(i, v), columns(v));
                let result = match tile.write {
                    Write::Add => L::plus(L::load(to, columns), *sum),
                    Write::Overwrite | Write::Continue => *sum,
                };
                L::store(to, columns, result);
            }
        }
    }
}

/// The first `columns` of sixteen lanes.
#[inline(always)]
fn mask16(columns: usize) -> __mmask16 {
    if columns >= 16 { u16::MAX } else { (1 << columns) - 1 }
}

/// `f32` on AVX-512.
struct F32Avx512;

/// `bf16` with the instruction for pairs.
struct Bf16Native;

/// `bf16` widened to `f32` on AVX-512.
struct Bf16Avx512;

/// `f32` on AVX2.
struct F32Avx2;

/// `bf16` widened to `f32` on AVX2.
struct Bf16Avx2;

/// The functions on sums that levels of the same width share.
macro_rules! sums_avx512 {
    () => {
        type Sums = __m512;
        const COUNT: usize = 16;
        #[inline(always)]
        unsafe fn zero() -> __m512 {
            // SAFETY: the caller promises AVX-512F.
            unsafe { _mm512_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(at: *const f32, columns: usize) -> __m512 {
            // SAFETY: the caller promises AVX-512F and `columns` readable floats; others are masked.
            unsafe { _mm512_maskz_loadu_ps(mask16(columns), at) }
        }
        #[inline(always)]
        unsafe fn store(at: *mut f32, columns: usize, sums: __m512) {
            // SAFETY: the caller promises AVX-512F and `columns` writable floats; others are masked.
            unsafe { _mm512_mask_storeu_ps(at, mask16(columns), sums) }
        }
        #[inline(always)]
        unsafe fn plus(one: __m512, other: __m512) -> __m512 {
            // SAFETY: the caller promises AVX-512F.
            unsafe { _mm512_add_ps(one, other) }
        }
    };
}

macro_rules! sums_avx2 {
    () => {
        type Sums = __m256;
        const COUNT: usize = 8;
        #[inline(always)]
        unsafe fn zero() -> __m256 {
            // SAFETY: the caller promises AVX2.
            unsafe { _mm256_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(at: *const f32, columns: usize) -> __m256 {
            // SAFETY: the caller promises AVX2 and `columns` readable floats; others are masked.
            unsafe { _mm256_maskload_ps(at, mask8(columns)) }
        }
        #[inline(always)]
        unsafe fn store(at: *mut f32, columns: usize, sums: __m256) {
            // SAFETY: the caller promises AVX2 and `columns` writable floats; others are masked.
            unsafe { _mm256_maskstore_ps(at, mask8(columns), sums) }
        }
        #[inline(always)]
        unsafe fn plus(one: __m256, other: __m256) -> __m256 {
            // SAFETY: the caller promises AVX2.
            unsafe { _mm256_add_ps(one, other) }
        }
    };
}

/// The first `columns` of eight lanes.
///
/// # Safety
/// AVX2 must be present.
#[inline(always)]
unsafe fn mask8(columns: usize) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let count = _mm256_set1_epi32(columns.min(8) as i32);
        _mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
    }
}

impl Lanes for F32Avx512 {
    type Element = f32;
    type A = __m512;
    type B = __m512;
    sums_avx512!();
    #[inline(always)]
    unsafe fn left(at: *const f32) -> __m512 {
        // SAFETY: the caller promises AVX-512F and a readable element.
        unsafe { _mm512_set1_ps(*at) }
    }
    #[inline(always)]
    unsafe fn left_last(at: *const f32) -> __m512 {
        // SAFETY: the caller's promise, passed on; a step has one element.
        unsafe { Self::left(at) }
    }
    #[inline(always)]
    unsafe fn right(at: *const f32) -> __m512 {
        // SAFETY: the caller promises AVX-512F and a whole vector.
        unsafe { _mm512_loadu_ps(at) }
    }
    #[inline(always)]
    unsafe fn add(sums: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller promises AVX-512F.
        unsafe { _mm512_fmadd_ps(a, b, sums) }
    }
}

impl Lanes for Bf16Native {
    type Element = bf16;
    type A = __m512i;
    type B = __m512i;
    sums_avx512!();
    #[inline(always)]
    unsafe fn left(at: *const bf16) -> __m512i {
        // SAFETY: the caller promises AVX-512F and two readable elements; the read need not be aligned.
        unsafe { _mm512_set1_epi32(at.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn left_last(at: *const bf16) -> __m512i {
        // SAFETY: the caller promises AVX-512F and one readable element.
        unsafe { _mm512_set1_epi32(i32::from((*at).to_bits())) }
    }
    #[inline(always)]
    unsafe fn right(at: *const bf16) -> __m512i {
        // SAFETY: the caller promises AVX-512F and a whole vector.
        unsafe { _mm512_loadu_si512(at.cast()) }
    }
    #[inline(always)]
    unsafe fn add(sums: __m512, a: __m512i, b: __m512i) -> __m512 {
        // SAFETY: the caller promises AVX-512 BF16; the types differ in name only.
        unsafe {
            _mm512_dpbf16_ps(
                sums,
                std::mem::transmute::<__m512i, __m512bh>(a),
                std::mem::transmute::<__m512i, __m512bh>(b),
            )
        }
    }
}

/// The bits of the upper half of every 32-bit lane: the odd element of a pair, widened in place.
const ODD: i32 = -0x1_0000;

impl Lanes for Bf16Avx512 {
    type Element = bf16;
    type A = (__m512, __m512);
    type B = (__m512, __m512);
    sums_avx512!();
    #[inline(always)]
    unsafe fn left(at: *const bf16) -> Self::A {
        // SAFETY: the caller promises AVX-512F and two readable elements.
        unsafe { (_mm512_set1_ps((*at).widen()), _mm512_set1_ps((*at.add(1)).widen())) }
    }
    #[inline(always)]
    unsafe fn left_last(at: *const bf16) -> Self::A {
        // SAFETY: the caller promises AVX-512F and one readable element.
        unsafe { (_mm512_set1_ps((*at).widen()), _mm512_setzero_ps()) }
    }
    #[inline(always)]
    unsafe fn right(at: *const bf16) -> Self::B {
        // SAFETY: the caller promises AVX-512F and a whole vector.
        unsafe {
            let pairs = _mm512_loadu_si512(at.cast());
            let odd = _mm512_and_si512(pairs, _mm512_set1_epi32(ODD));
            (_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)), _mm512_castsi512_ps(odd))
        }
    }
    #[inline(always)]
    unsafe fn add(sums: __m512, a: Self::A, b: Self::B) -> __m512 {
        // SAFETY: the caller promises AVX-512F.
        unsafe { _mm512_fmadd_ps(a.0, b.0, _mm512_fmadd_ps(a.1, b.1, sums)) }
    }
}

impl Lanes for F32Avx2 {
    type Element = f32;
    type A = __m256;
    type B = __m256;
    sums_avx2!();
    #[inline(always)]
    unsafe fn left(at: *const f32) -> __m256 {
        // SAFETY: the caller promises AVX2 and a readable element.
        unsafe { _mm256_set1_ps(*at) }
    }
    #[inline(always)]
    unsafe fn left_last(at: *const f32) -> __m256 {
        // SAFETY: the caller's promise, passed on; a step has one element.
        unsafe { Self::left(at) }
    }
    #[inline(always)]
    unsafe fn right(at: *const f32) -> __m256 {
        // SAFETY: the caller promises AVX2 and a whole vector.
        unsafe { _mm256_loadu_ps(at) }
    }
    #[inline(always)]
    unsafe fn add(sums: __m256, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller promises FMA.
        unsafe { _mm256_fmadd_ps(a, b, sums) }
    }
}

impl Lanes for Bf16Avx2 {
    type Element = bf16;
    type A = (__m256, __m256);
    type B = (__m256, __m256);
    sums_avx2!();
    #[inline(always)]
    unsafe fn left(at: *const bf16) -> Self::A {
        // SAFETY: the caller promises AVX2 and two readable elements.
        unsafe { (_mm256_set1_ps((*at).widen()), _mm256_set1_ps((*at.add(1)).widen())) }
    }
    #[inline(always)]
    unsafe fn left_last(at: *const bf16) -> Self::A {
        // SAFETY: the caller promises AVX2 and one readable element.
        unsafe { (_mm256_set1_ps((*at).widen()), _mm256_setzero_ps()) }
    }
    #[inline(always)]
    unsafe fn right(at: *const bf16) -> Self::B {
        // SAFETY: the caller promises AVX2 and a whole vector.
        unsafe {
            let pairs = _mm256_loadu_si256(at.cast());
            let odd = _mm256_and_si256(pairs, _mm256_set1_epi32(ODD));
            (_mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)), _mm256_castsi256_ps(odd))
        }
    }
    #[inline(always)]
    unsafe fn add(sums: __m256, a: Self::A, b: Self::B) -> __m256 {
        // SAFETY: the caller promises FMA.
        unsafe { _mm256_fmadd_ps(a.0, b.0, _mm256_fmadd_ps(a.1, b.1, sums)) }
    }
}

/// Rows of A that stay in the second-level cache while every panel of B passes.
fn block_rows<E: Operand>(k: usize) -> usize {
    if k * size_of::<E>() <= 2048 { 240 } else { 120 }
}

/// Defines a product out of tiles of one level: of AVX-512, whose 24 vectors of sums are 12 rows by one panel,
/// 6 by two. Few rows take several panels, because one row's chain of sums would wait for the
/// previous addition.
macro_rules! product_avx512 {
    ($(#[$meta:meta])* $name:ident, $element:ty, $lanes:ident, $features:literal) => {
        $(#[$meta])*
        pub(super) fn $name(mut product: Product<'_, $element>) {
            /// # Safety
            /// The conditions of [`tile`].
            #[target_feature(enable = $features)]
            unsafe fn rows(rows: usize, panels: usize, t: Tile<$element>) {
                // SAFETY: the caller's promise, passed on.
                unsafe {
                    match (rows, panels) {
                        (1, 4) => tile::<$lanes, 1, 8>(t),
                        (2, 4) => tile::<$lanes, 2, 8>(t),
                        (1, 2) => tile::<$lanes, 1, 4>(t),
                        (2, 2) => tile::<$lanes, 2, 4>(t),
                        (3, 2) => tile::<$lanes, 3, 4>(t),
                        (4, 2) => tile::<$lanes, 4, 4>(t),
                        (5, 2) => tile::<$lanes, 5, 4>(t),
                        (6, 2) => tile::<$lanes, 6, 4>(t),
                        (1, _) => tile::<$lanes, 1, 2>(t),
                        (2, _) => tile::<$lanes, 2, 2>(t),
                        (3, _) => tile::<$lanes, 3, 2>(t),
                        (4, _) => tile::<$lanes, 4, 2>(t),
                        (5, _) => tile::<$lanes, 5, 2>(t),
                        (6, _) => tile::<$lanes, 6, 2>(t),
                        (7, _) => tile::<$lanes, 7, 2>(t),
                        (8, _) => tile::<$lanes, 8, 2>(t),
                        (9, _) => tile::<$lanes, 9, 2>(t),
                        (10, _) => tile::<$lanes, 10, 2>(t),
                        (11, _) => tile::<$lanes, 11, 2>(t),
                        _ => tile::<$lanes, 12, 2>(t),
                    }
                }
            }

            let block = block_rows::<$element>(product.k);
            for first in (0..product.m).step_by(block) {
                let count = (product.m - first).min(block);
                let widest = if count <= 2 { 4 } else if count <= 6 { 2 } else { 1 };
                let tiles = count.div_ceil(12);
                let mut j = 0;
                while j < product.n {
                    let mut panels = widest;
                    while panels > 1 && (panels - 1) * PANEL >= product.n - j {
                        panels /= 2;
                    }
                    for t in 0..tiles {
                        // Tiles of nearly equal height.
                        let (i, end) = (count * t / tiles, count * (t + 1) / tiles);
                        let at = Tile::at(&mut product, first + i, j);
                        // SAFETY: `level` said the features are there; `compute` checked that all rows,
                        // panels and columns are in bounds.
                        unsafe { rows(end - i, panels, at) };
                    }
                    j += panels * PANEL;
                }
            }
        }
    };
}

product_avx512!(
    /// See [`super::product_f32`].
    product_f32_avx512, f32, F32Avx512, "avx512f"
);
product_avx512!(
    /// See [`super::product_bf16`].
    product_bf16_native, bf16, Bf16Native, "avx512f,avx512bf16"
);
product_avx512!(
    /// See [`super::product_bf16`].
    product_bf16_avx512, bf16, Bf16Avx512, "avx512f"
);

/// Defines a product out of tiles of AVX2: 6 rows by half a panel.
macro_rules! product_avx2 {
    ($(#[$meta:meta])* $name:ident, $element:ty, $lanes:ident) => {
        $(#[$meta])*
        pub(super) fn $name(mut product: Product<'_, $element>) {
            /// # Safety
            /// The conditions of [`tile`].
            #[target_feature(enable = "avx2,fma")]
            unsafe fn rows(rows: usize, t: Tile<$element>) {
                // SAFETY: the caller's promise, passed on.
                unsafe {
                    match rows {
                        1 => tile::<$lanes, 1, 2>(t),
                        2 => tile::<$lanes, 2, 2>(t),
                        3 => tile::<$lanes, 3, 2>(t),
                        4 => tile::<$lanes, 4, 2>(t),
                        5 => tile::<$lanes, 5, 2>(t),
                        _ => tile::<$lanes, 6, 2>(t),
                    }
                }
            }

            for j in (0..product.n).step_by(PANEL / 2) {
                for i in (0..product.m).step_by(6) {
                    let at = Tile::at(&mut product, i, j);
                    // SAFETY: `level` said the features are there; `compute` checked that all rows, panels
                    // and columns are in bounds.
                    unsafe { rows((product.m - i).min(6), at) };
                }
            }
        }
    };
}

product_avx2!(
    /// See [`super::product_f32`].
    product_f32_avx2, f32, F32Avx2
);
product_avx2!(
    /// See [`super::product_bf16`].
    product_bf16_avx2, bf16, Bf16Avx2
);
