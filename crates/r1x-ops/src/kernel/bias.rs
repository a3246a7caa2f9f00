//! A bias of a linear layer: one number for each output, added to every row.

use crate::operand::Operand;
use crate::real::Real;
use crate::simd::vectorized;

vectorized! {
    /// Adds a bias to the beginning of every row of y; rows are `y_stride` apart.
    pub fn add_bias<R: Real>(y: &mut [R], y_stride: usize, bias: &[R], rows: usize) {
        for row in 0..rows {
            let row = &mut y[row * y_stride..][..bias.len()];
            for (y, bias) in row.iter_mut().zip(bias) {
                *y += *bias;
            }
        }
    }
}

vectorized! {
    /// Adds to the gradient of a bias, for upstream dy whose rows are `dy_stride` apart. Rows are added up one after the
    /// other.
    pub fn bias_gradient<E: Operand>(
        dy: &[E],
        dy_stride: usize,
        d_bias: &mut [E::Real],
        rows: usize,
    ) {
        for row in 0..rows {
            let row = &dy[row * dy_stride..][..d_bias.len()];
            for (d_bias, dy) in d_bias.iter_mut().zip(row) {
                *d_bias += dy.widen();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    #[test]
    fn a_bias_reaches_every_row_and_its_gradient_is_the_sum_of_rows() {
        let mut y = [1.0f32, 2.0, 9.0, 3.0, 4.0, 9.0];
        add_bias(&mut y, 3, &[0.5, -1.0], 2);
        assert_eq!(y, [1.5, 1.0, 9.0, 3.5, 3.0, 9.0]);
        let mut gradient = [1.0f32, 0.0];
        let dy = [1.0, 2.0, 9.0, 3.0, -4.0, 9.0].map(bf16::from_f32);
        bias_gradient(&dy, 3, &mut gradient, 2);
        assert_eq!(gradient, [5.0, -2.0]);
    }
}
