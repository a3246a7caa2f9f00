//! One linear projection, forward and backward, between weights, rows and a flat gradient.
//!
//! Must not know what is projected.

use r1x_ops::Real;
use r1x_ops::kernel::matmul::{matmul, matmul_weight_gradient};

use crate::layout::Matrix;
use crate::weights::Weights;

/// y[rows × out] (+)= x[rows × in] · Wᵀ.
pub fn forward<R: Real>(
    weights: &Weights<R>,
    matrix: Matrix,
    x: &[R],
    y: &mut [R],
    rows: usize,
    accumulate: bool,
) {
    let wt = weights.transposed(matrix);
    matmul(x, wt, y, rows, matrix.columns, matrix.rows, accumulate);
}

/// dx[rows × in] (+)= dy[rows × out] · W, and dW += dyᵀ · x.
pub fn backward<R: Real>(
    weights: &Weights<R>,
    matrix: Matrix,
    x: &[R],
    dy: &[R],
    (dx, accumulate): (&mut [R], bool),
    gradient: &mut [R],
    rows: usize,
) {
    let Matrix { offset, rows: out, columns: inp } = matrix;
    matmul(dy, weights.matrix(matrix), dx, rows, out, inp, accumulate);
    let dw = &mut gradient[offset..offset + out * inp];
    matmul_weight_gradient(dy, x, dw, rows, inp, out);
}

/// Makes a buffer at least `len` long; its contents are whatever was there.
pub fn reserve<R: Real>(buffer: &mut Vec<R>, len: usize) -> &mut [R] {
    if buffer.len() < len {
        buffer.resize(len, R::ZERO);
    }
    &mut buffer[..len]
}
