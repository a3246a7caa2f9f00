//! Kernels: one file each, forward beside backward, plain functions over slices.
//!
//! Matrices are row-major; shapes are in the docs of each function.

pub mod adamw;
pub mod attention;
pub mod bias;
pub mod matmul;
pub mod norm;
pub mod rope;
pub mod router;
pub mod softmax;
pub mod swiglu;

use crate::real::Real;

/// What happens to the numbers that stand where a result goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// The result takes their place.
    Overwrite,
    /// The result is added to them, as one number: a sum is rounded at its own size, and not at that of what it is added
    /// to.
    Add,
    /// The sums of the result go on from them, as if they had been one sum: a sum over parts is that over the whole, bit
    /// for bit.
    Continue,
}

/// Interleaved partial sums of a sum of products.
pub(crate) const LANES: usize = 16;

/// Σ aᵢ·bᵢ in sixteen interleaved partial sums, then a fixed tree: the same order on every machine.
#[inline(always)]
pub fn dot<R: Real>(a: &[R], b: &[R]) -> R {
    total(partial_sums(a, b))
}

/// The sixteen partial sums of [`dot`].
#[inline(always)]
pub(crate) fn partial_sums<R: Real>(a: &[R], b: &[R]) -> [R; LANES] {
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    let mut lanes = [R::ZERO; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        // A whole new array each time is what the compiler keeps in one register.
        lanes = std::array::from_fn(|lane| lanes[lane] + x[lane] * y[lane]);
    }
    for (lane, (x, y)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane += *x * *y;
    }
    lanes
}

/// Σ aᵢ in the order of [`dot`].
#[inline(always)]
pub(crate) fn sum<R: Real>(a: &[R]) -> R {
    let mut lanes = [R::ZERO; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for chunk in chunks {
        lanes = std::array::from_fn(|lane| lanes[lane] + chunk[lane]);
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += *value;
    }
    total(lanes)
}

/// The fixed tree of [`dot`].
#[inline(always)]
pub(crate) fn total<R: Real>(mut lanes: [R; LANES]) -> R {
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
pub fn transpose<T: Copy>(input: &[T], output: &mut [T], rows: usize, columns: usize) {
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
