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
    let Matrix { rows: out, columns: inp, .. } = matrix;
    matmul(x, weights.forward(matrix), y, rows, inp, out, accumulate);
}

/// Where gradients go: one range for the whole model, in layout order.
#[derive(Debug)]
pub struct Gradient<'a, R> {
    /// The sums so far.
    pub values: &'a mut [R],
    /// Memory of the products.
    pub scratch: &'a mut Vec<R>,
}

/// dx[rows × in] (+)= dy[rows × out] · W, and dW += dyᵀ · x.
pub fn backward<R: Real>(
    weights: &Weights<R>,
    matrix: Matrix,
    x: &[R],
    dy: &[R],
    (dx, accumulate): (&mut [R], bool),
    gradient: &mut Gradient<'_, R>,
    rows: usize,
) {
    matmul(dy, weights.backward(matrix), dx, rows, matrix.rows, matrix.columns, accumulate);
    weight_gradient(matrix, x, (dy, matrix.rows), gradient, rows);
}

/// dW += dyᵀ · x; rows of dy are `dy_stride` apart.
pub fn weight_gradient<R: Real>(
    matrix: Matrix,
    x: &[R],
    (dy, dy_stride): (&[R], usize),
    gradient: &mut Gradient<'_, R>,
    rows: usize,
) {
    let Matrix { offset, rows: out, columns: inp, .. } = matrix;
    let dw = &mut gradient.values[offset..offset + out * inp];
    matmul_weight_gradient((dy, dy_stride), x, dw, rows, inp, out, gradient.scratch);
}

/// Makes a buffer at least `len` long; its contents are whatever was there.
pub fn reserve<R: Real>(buffer: &mut Vec<R>, len: usize) -> &mut [R] {
    if buffer.len() < len {
        buffer.resize(len, R::ZERO);
    }
    &mut buffer[..len]
}
