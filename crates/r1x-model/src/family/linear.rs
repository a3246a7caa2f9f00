//! Linear layers on packed weights, forward and backward.
//!
//! Where a matrix has adapters (LoRA), what they add is computed beside its product and never merged into it: the matrix
//! stays as it is in every precision, and only the adapters have a gradient.

use r1x_ops::kernel::Write;
use r1x_ops::kernel::bias::{add_bias, bias_gradient};
use r1x_ops::kernel::matmul::{Left, Product, Right, matmul_weight_gradient};
use r1x_ops::operand::round_all;
use r1x_ops::{Operand, Real};

use crate::layout::{Adapter, Block, Exact, Factor, Matrix};
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
    product(shape, x, weights.forward(matrix.factor), (&mut *y, y_stride), write);
    if let Some(adapter) = &matrix.adapter {
        adapter_forward(weights, adapter, x, (&mut *y, y_stride), rows);
    }
    if let Some(bias) = matrix.bias {
        add_bias(&mut y[bias.output..], y_stride, weights.vector(bias.vector), rows);
    }
}

/// y += s · (x · Aᵀ) · Bᵀ for the B of every projection.
fn adapter_forward<E: Operand>(
    weights: &Weights<E>,
    adapter: &Adapter,
    x: Strided<'_, E>,
    (y, y_stride): (&mut [E::Real], usize),
    rows: usize,
) {
    let inner = adapter_inner(weights, adapter, x, rows);
    let stride = adapter.down.block.rows;
    for up in adapter.ups.iter().flatten() {
        let Block { rows: out, columns: rank, .. } = up.factor.block;
        let inner = Strided { data: &inner[up.input.min(inner.len())..], stride };
        let y = (&mut y[up.output.min(rows * y_stride)..], y_stride);
        product([rows, out, rank], inner, weights.adapter_forward(up.factor), y, Write::Add);
    }
}

/// s · x · Aᵀ as operands, `[rows, ranks]`.
fn adapter_inner<E: Operand>(
    weights: &Weights<E>,
    adapter: &Adapter,
    x: Strided<'_, E>,
    rows: usize,
) -> Vec<E> {
    let Block { rows: ranks, columns, .. } = adapter.down.block;
    let mut inner = vec![E::Real::ZERO; rows * ranks];
    let to = (&mut inner[..], ranks);
    product([rows, ranks, columns], x, weights.adapter_forward(adapter.down), to, Write::Overwrite);
    scaled(&mut inner, adapter.factor)
}

/// The gradient of s · x · Aᵀ, times s, as operands, `[rows, ranks]`: what every projection's B makes of dy.
fn adapter_inner_gradient<E: Operand>(
    weights: &Weights<E>,
    adapter: &Adapter,
    dy: Strided<'_, E>,
    rows: usize,
) -> Vec<E> {
    let ranks = adapter.down.block.rows;
    let mut inner = vec![E::Real::ZERO; rows * ranks];
    for up in adapter.ups.iter().flatten() {
        let Block { rows: out, columns: rank, .. } = up.factor.block;
        let dy = Strided { data: &dy.data[up.output.min(dy.data.len())..], stride: dy.stride };
        let to = (&mut inner[up.input.min(rows * ranks)..], ranks);
        product([rows, rank, out], dy, weights.adapter_backward(up.factor), to, Write::Overwrite);
    }
    scaled(&mut inner, adapter.factor)
}

fn scaled<E: Operand>(values: &mut [E::Real], factor: f64) -> Vec<E> {
    let factor = E::Real::from_f64(factor);
    for value in &mut *values {
        *value = *value * factor;
    }
    let mut operands = vec![E::default(); values.len()];
    round_all(values, &mut operands);
    operands
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

/// dx[rows × in] = dy[rows × out] · (W + s · B · A), or added to dx; rows of dx are `dx_stride` apart.
pub fn backward<E: Operand>(
    weights: &Weights<E>,
    matrix: Matrix,
    dy: Strided<'_, E>,
    (dx, dx_stride): (&mut [E::Real], usize),
    rows: usize,
    write: Write,
) {
    let shape = [rows, matrix.columns(), matrix.rows()];
    product(shape, dy, weights.backward(matrix.factor), (&mut *dx, dx_stride), write);
    if let Some(adapter) = &matrix.adapter {
        let inner = adapter_inner_gradient(weights, adapter, dy, rows);
        let ranks = adapter.down.block.rows;
        let (shape, inner) = ([rows, shape[1], ranks], Strided { data: &inner, stride: ranks });
        product(shape, inner, weights.adapter_backward(adapter.down), (dx, dx_stride), Write::Add);
    }
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
    /// Where the parameters begin that have a gradient at all.
    pub trained: usize,
    /// Where the gradients of other vectors go, which nobody reads.
    pub ignored: &'a mut Vec<E::Real>,
    /// Memory of the products.
    pub panels: &'a mut Vec<E>,
}

impl<E: Operand> Gradient<'_, E> {
    /// The places of this gradient for products that round no factor, with memory of their own.
    pub fn exact<'a>(&'a mut self, panels: &'a mut Vec<E::Real>) -> Gradient<'a, E::Real> {
        Gradient {
            front: &mut *self.front,
            part: &mut *self.part,
            start: self.start,
            trained: self.trained,
            ignored: &mut *self.ignored,
            panels,
        }
    }

    /// Whether a parameter has a gradient.
    pub fn has(&self, offset: usize) -> bool {
        offset >= self.trained
    }

    /// The gradient of a parameter; of one that has none, a place for numbers that nobody reads.
    pub fn at(&mut self, offset: usize, len: usize) -> &mut [E::Real] {
        if !self.has(offset) {
            reserve(self.ignored, len)
        } else if offset < self.front.len() {
            &mut self.front[offset..offset + len]
        } else {
            &mut self.part[offset - self.start..][..len]
        }
    }
}

/// dW += dyᵀ · x, and d bias += the sum of the rows of dy; where adapters are trained in place of W, the gradients of
/// theirs.
pub fn weight_gradient<E: Operand>(
    weights: &Weights<E>,
    matrix: Matrix,
    x: Strided<'_, E>,
    dy: Strided<'_, E>,
    gradient: &mut Gradient<'_, E>,
    rows: usize,
) {
    if gradient.has(matrix.block().offset) {
        if let Some(bias) = matrix.bias {
            let d_bias = gradient.at(bias.vector.offset, bias.vector.len);
            bias_gradient(&dy.data[bias.output..], dy.stride, d_bias, rows);
        }
        factor_gradient(matrix.factor, x, dy, gradient, rows);
    }
    if let Some(adapter) = &matrix.adapter {
        adapter_gradient(weights, adapter, x, dy, gradient, rows);
    }
}

/// [`weight_gradient`] of a matrix whose products round no factor.
pub fn exact_weight_gradient<E: Operand>(
    matrix: Exact,
    x: Strided<'_, E>,
    dy: Strided<'_, E>,
    gradient: &mut Gradient<'_, E>,
    rows: usize,
) {
    if gradient.has(matrix.0.block.offset) {
        factor_gradient(matrix.0, x, dy, gradient, rows);
    }
}

/// dB += s · dyᵀ · (x · Aᵀ) and dA += s · (dy · B)ᵀ · x.
fn adapter_gradient<E: Operand>(
    weights: &Weights<E>,
    adapter: &Adapter,
    x: Strided<'_, E>,
    dy: Strided<'_, E>,
    gradient: &mut Gradient<'_, E>,
    rows: usize,
) {
    let stride = adapter.down.block.rows;
    let inner = adapter_inner(weights, adapter, x, rows);
    for up in adapter.ups.iter().flatten() {
        let inner = Strided { data: &inner[up.input.min(inner.len())..], stride };
        let dy = Strided { data: &dy.data[up.output.min(dy.data.len())..], stride: dy.stride };
        factor_gradient(up.factor, inner, dy, gradient, rows);
    }
    let d_inner = adapter_inner_gradient(weights, adapter, dy, rows);
    factor_gradient(adapter.down, x, Strided { data: &d_inner, stride }, gradient, rows);
}

/// dW += dyᵀ · x of one factor.
fn factor_gradient<E: Operand>(
    factor: Factor,
    x: Strided<'_, E>,
    dy: Strided<'_, E>,
    gradient: &mut Gradient<'_, E>,
    rows: usize,
) {
    let Block { offset, rows: out, columns: inp } = factor.block;
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
