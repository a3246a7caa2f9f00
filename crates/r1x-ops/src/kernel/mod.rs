//! Kernels: one file each, forward beside backward, plain functions over slices.
//!
//! Must not know layers or models. Matrices are row-major; shapes are in the docs of each function.

pub mod adamw;
pub mod attention;
pub mod matmul;
pub mod norm;
pub mod rope;
pub mod router;
pub mod softmax;
pub mod swiglu;

use crate::real::Real;

/// Σ aᵢ·bᵢ in sixteen interleaved partial sums, then a fixed tree: the same order on every machine.
#[inline(always)]
pub fn dot<R: Real>(a: &[R], b: &[R]) -> R {
    const LANES: usize = 16;
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    let mut lanes = [R::ZERO; LANES];
    let mut a_chunks = a.chunks_exact(LANES);
    let mut b_chunks = b.chunks_exact(LANES);
    for (x, y) in (&mut a_chunks).zip(&mut b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    for (lane, (x, y)) in a_chunks.remainder().iter().zip(b_chunks.remainder()).enumerate() {
        lanes[lane] += *x * *y;
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// y += scale · x.
#[inline(always)]
pub fn add_scaled<R: Real>(y: &mut [R], scale: R, x: &[R]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += scale * *x;
    }
}

/// y += x, vectorised.
pub fn add_assign<R: Real>(y: &mut [R], x: &[R]) {
    crate::simd::vectorize(|| add_scaled(y, R::ONE, x));
}

/// Transposes `rows` × `columns` into `columns` × `rows`, in tiles that stay in cache.
pub fn transpose<R: Real>(input: &[R], output: &mut [R], rows: usize, columns: usize) {
    const TILE: usize = 16;
    for row in (0..rows).step_by(TILE) {
        for column in (0..columns).step_by(TILE) {
            for r in row..(row + TILE).min(rows) {
                for c in column..(column + TILE).min(columns) {
                    output[c * rows + r] = input[r * columns + c];
                }
            }
        }
    }
}
