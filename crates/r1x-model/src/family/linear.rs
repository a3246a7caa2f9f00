//! Linear layers on packed weights, forward and backward.

use r1x_ops::Operand;
use r1x_ops::kernel::Write;
use r1x_ops::kernel::bias::{add_bias, bias_gradient};
use r1x_ops::kernel::matmul::{Left, Product, Right, matmul_weight_gradient};

use crate::layout::{Block, Exact, Matrix};
use crate::weights::Weights;

/// Rows of operands, `stride` apart.
#[derive(Clone, Copy, Debug)]
pub struct Strided<'a, E> {
    /// The first row begins with the first element.
    pub data: &'a [E],
    /// Distance between rows.
    pub stride: usize,
}

/// y[rows × out] = x[rows × in] · Wᵀ + bias, or added to y; rows of y are `y_stride` apart.
pub fn forward<E: Operand>(
    weights: &Weights<E>,
    matrix: Matrix,
    x: Strided<'_, E>,
    (y, y_stride): (&mut [E::Real], usize),
    rows: usize,
    write: Write,
) {
    let shape = [rows, matrix.rows(), matrix.columns()];
    product(shape, x, weights.forward(matrix), (&mut *y, y_stride), write);
    if let Some(bias) = matrix.bias {
        add_bias(&mut y[bias.output..], y_stride, weights.vector(bias.vector), rows);
    }
}

/// [`forward`] on a matrix whose products round no factor.
pub fn exact_forward<E: Operand>(
    weights: &Weights<E>,
    matrix: Exact,
    x: Strided<'_, E::Real>,
    y: (&mut [E::Real], usize),
    rows: usize,
    write: Write,
) {
    let shape = [rows, matrix.rows(), matrix.columns()];
    product(shape, x, weights.exact_forward(matrix), y, write);
}

fn product<E: Operand>(
    [m, n, k]: [usize; 3],
    x: Strided<'_, E>,
    b: Right<'_, E>,
    (c, c_stride): (&mut [E::Real], usize),
    write: Write,
) {
    let a = Left::rows(x.data, x.stride);
    Product { m, n, k, a, b, c, c_stride, write }.compute();
}

/// dx[rows × in] = dy[rows × out] · W, or added to dx; rows of dx are `dx_stride` apart.
pub fn backward<E: Operand>(
    weights: &Weights<E>,
    matrix: Matrix,
    dy: Strided<'_, E>,
    (dx, dx_stride): (&mut [E::Real], usize),
    rows: usize,
    write: Write,
) {
    let shape = [rows, matrix.columns(), matrix.rows()];
    product(shape, dy, weights.backward(matrix), (dx, dx_stride), write);
}

/// [`backward`] through a matrix whose products round no factor.
pub fn exact_backward<E: Operand>(
    weights: &Weights<E>,
    matrix: Exact,
    dy: Strided<'_, E::Real>,
    dx: (&mut [E::Real], usize),
    rows: usize,
    write: Write,
) {
    let shape = [rows, matrix.columns(), matrix.rows()];
    product(shape, dy, weights.exact_backward(matrix), dx, write);
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
    /// The places of this gradient for products that round no factor, with memory of their own.
    pub fn exact<'a>(&'a mut self, panels: &'a mut Vec<E::Real>) -> Gradient<'a, E::Real> {
        Gradient { front: &mut *self.front, part: &mut *self.part, start: self.start, panels }
    }

    /// The gradient of a parameter.
    pub fn at(&mut self, offset: usize, len: usize) -> &mut [E::Real] {
        if offset < self.front.len() {
            &mut self.front[offset..offset + len]
        } else {
            &mut self.part[offset - self.start..][..len]
        }
    }
}

/// dW += dyᵀ · x, and d bias += the sum of the rows of dy.
pub fn weight_gradient<E: Operand>(
    matrix: Matrix,
    x: Strided<'_, E>,
    dy: Strided<'_, E>,
    gradient: &mut Gradient<'_, E>,
    rows: usize,
) {
    let Block { offset, rows: out, columns: inp } = matrix.block;
    if let Some(bias) = matrix.bias {
        let d_bias = gradient.at(bias.vector.offset, bias.vector.len);
        bias_gradient(&dy.data[bias.output..], dy.stride, d_bias, rows);
    }
    let mut panels = std::mem::take(gradient.panels);
    let dw = gradient.at(offset, out * inp);
    let (dy, x) = ((dy.data, dy.stride), (x.data, x.stride));
    matmul_weight_gradient(dy, x, dw, rows, inp, out, &mut panels);
    *gradient.panels = panels;
}

/// dW += dyᵀ · x for as many rows of W, from `first` on, as dy has columns; rows of dy are contiguous.
pub fn rows_gradient<E: Operand>(
    block: Block,
    first: usize,
    x: Strided<'_, E>,
    (dy, width): (&[E], usize),
    gradient: &mut Gradient<'_, E>,
    rows: usize,
) {
    let Block { offset, columns, .. } = block;
    let mut panels = std::mem::take(gradient.panels);
    let dw = gradient.at(offset + first * columns, width * columns);
    matmul_weight_gradient((dy, width), (x.data, x.stride), dw, rows, columns, width, &mut panels);
    *gradient.panels = panels;
}

/// Makes a buffer at least `len` long; its contents are whatever was there.
pub fn reserve<T: Copy + Default>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
    &mut buffer[..len]
}
