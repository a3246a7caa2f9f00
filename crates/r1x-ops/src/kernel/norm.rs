//! RMSNorm (Zhang & Sennrich, 2019): y = x / sqrt(mean(x²) + eps) · gain, row by row.

use super::{Write, add_scaled, dot};
use crate::operand::Operand;
use crate::real::Real;
use crate::simd::vectorized;

/// y[rows × width] from x of the same shape; rows of x are `x_stride` apart, rows of y `y_stride`.
pub fn rms_norm<E: Operand>(
    (x, x_stride): (&[E::Real], usize),
    gain: &[E::Real],
    eps: f64,
    (y, y_stride): (&mut [E], usize),
    rows: usize,
) {
    forward(x, x_stride, gain, eps, y, y_stride, rows);
}

vectorized! {
    fn forward<E: Operand>(
        x: &[E::Real],
        x_stride: usize,
        gain: &[E::Real],
        eps: f64,
        y: &mut [E],
        y_stride: usize,
        rows: usize,
    ) {
        let width = gain.len();
        for row in 0..rows {
            let x = &x[row * x_stride..row * x_stride + width];
            forward_row(x, gain, eps, &mut y[row * y_stride..row * y_stride + width]);
        }
    }
}

#[inline(always)]
fn inverse_rms<R: Real>(x: &[R], eps: f64) -> R {
    let mean = dot(x, x) / R::from_f64(x.len() as f64);
    R::ONE / (mean + R::from_f64(eps)).sqrt()
}

#[inline(always)]
fn forward_row<E: Operand>(x: &[E::Real], gain: &[E::Real], eps: f64, y: &mut [E]) {
    let scale = inverse_rms(x, eps);
    for ((y, x), gain) in y.iter_mut().zip(x).zip(gain) {
        *y = E::round(*x * scale * *gain);
    }
}

/// Writes dx and adds to dgain for upstream dy.
///
/// With s = 1/rms and n the width: dx = s·(gain·dy) − x · s³/n · Σ gain·dy·x.
pub fn rms_norm_backward<R: Real>(
    (x, x_stride): (&[R], usize),
    gain: &[R],
    eps: f64,
    (dy, dy_stride): (&[R], usize),
    (dx, dx_stride): (&mut [R], usize),
    dgain: &mut [R],
    rows: usize,
    write: Write,
) {
    backward(x, x_stride, gain, eps, dy, dy_stride, dx, dx_stride, dgain, rows, write);
}

vectorized! {
    fn backward<R: Real>(
        x: &[R],
        x_stride: usize,
        gain: &[R],
        eps: f64,
        dy: &[R],
        dy_stride: usize,
        dx: &mut [R],
        dx_stride: usize,
        dgain: &mut [R],
        rows: usize,
        write: Write,
    ) {
        let width = gain.len();
        let mut scaled = vec![R::ZERO; width];
        for row in 0..rows {
            let x = &x[row * x_stride..row * x_stride + width];
            let dy = &dy[row * dy_stride..row * dy_stride + width];
            let dx = &mut dx[row * dx_stride..row * dx_stride + width];
            if write == Write::Overwrite {
                dx.fill(R::ZERO);
            }
            backward_row(x, gain, eps, dy, dx, dgain, &mut scaled);
        }
    }
}

#[inline(always)]
fn backward_row<R: Real>(
    x: &[R],
    gain: &[R],
    eps: f64,
    dy: &[R],
    dx: &mut [R],
    dgain: &mut [R],
    scaled: &mut [R],
) {
    let scale = inverse_rms(x, eps);
    for (((scaled, gain), dy), (x, dgain)) in
        scaled.iter_mut().zip(gain).zip(dy).zip(x.iter().zip(dgain))
    {
        *scaled = *gain * *dy;
        *dgain += *dy * *x * scale;
    }
    let shared = dot(scaled, x) * scale * scale * scale / R::from_f64(x.len() as f64);
    add_scaled(dx, scale, scaled);
    add_scaled(dx, -shared, x);
}
