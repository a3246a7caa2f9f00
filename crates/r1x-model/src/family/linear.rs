//! Linear layers on packed weights, forward and backward.
//!
//! Must not know what the rows are.

use r1x_ops::Operand;
use r1x_ops::kernel::matmul::{Left, Product, matmul_weight_gradient};

use crate::layout::{Block, Matrix};
use crate::weights::Weights;

/// Rows of operands, `stride` apart.
#[derive(Clone, Copy, Debug)]
pub struct Strided<'a, E> {
    /// The first row begins with the first element.
    pub data: &'a [E],
    /// Distance between rows.
    pub stride: usize,
}

/// y[rows × out] (+)= x[rows × in] · Wᵀ; rows of y are `y_stride` apart.
pub fn forward<E: Operand>(
    weights: &Weights<E>,
    matrix: Matrix,
    x: Strided<'_, E>,
    (y, y_stride): (&mut [E::Real], usize),
    rows: usize,
    accumulate: bool,
) {
    Product {
        m: rows,
        n: matrix.rows(),
        k: matrix.columns(),
        a: Left::rows(x.data, x.stride),
        b: weights.forward(matrix),
        c: y,
        c_stride: y_stride,
        accumulate,
    }
    .compute();
}

/// dx[rows × in] (+)= dy[rows × out] · W; rows of dx are `dx_stride` apart.
pub fn backward<E: Operand>(
    weights: &Weights<E>,
    matrix: Matrix,
    dy: Strided<'_, E>,
    (dx, dx_stride): (&mut [E::Real], usize),
    rows: usize,
    accumulate: bool,
) {
    Product {
        m: rows,
        n: matrix.columns(),
        k: matrix.rows(),
        a: Left::rows(dy.data, dy.stride),
        b: weights.backward(matrix),
        c: dx,
        c_stride: dx_stride,
        accumulate,
    }
    .compute();
}

/// Where gradients go: some of the layout's parts.
#[derive(Debug)]
pub struct Gradient<'a, E: Operand> {
    /// The parameters that the layout starts with, or nothing.
    pub front: &'a mut [E::Real],
    /// Another part.
    pub part: &'a mut [E::Real],
    /// Where that part starts in the layout.
    pub start: usize,
    /// Memory of the products.
    pub panels: &'a mut Vec<E>,
}

impl<E: Operand> Gradient<'_, E> {
    /// The gradient of a parameter.
    pub fn at(&mut self, offset: usize, len: usize) -> &mut [E::Real] {
        if offset < self.front.len() {
            &mut self.front[offset..offset + len]
        } else {
            &mut self.part[offset - self.start..][..len]
        }
    }
}

/// dW += dyᵀ · x.
pub fn weight_gradient<E: Operand>(
    block: impl Into<Block>,
    x: Strided<'_, E>,
    dy: Strided<'_, E>,
    gradient: &mut Gradient<'_, E>,
    rows: usize,
) {
    let Block { offset, rows: out, columns: inp } = block.into();
    let mut panels = std::mem::take(gradient.panels);
    let dw = gradient.at(offset, out * inp);
    let (dy, x) = ((dy.data, dy.stride), (x.data, x.stride));
    matmul_weight_gradient(dy, x, dw, rows, inp, out, &mut panels);
    *gradient.panels = panels;
}

/// Makes a buffer at least `len` long; its contents are whatever was there.
pub fn reserve<T: Copy + Default>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
    &mut buffer[..len]
}
