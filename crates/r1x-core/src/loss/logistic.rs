//! The logistic function and its logarithm, for losses and for whoever reads a difference as a chance.

/// σ(x) = 1 / (1 + exp(−x)), without an exponential that overflows.
pub fn sigmoid(x: f64) -> f64 {
    let small = (-x.abs()).exp();
    if x < 0.0 { small / (1.0 + small) } else { 1.0 / (1.0 + small) }
}

/// −log σ(x) = log(1 + exp(−x)), exact where σ(x) is 0 or 1 in floating point.
pub fn surprise(x: f64) -> f64 {
    (-x).max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::super::testing::assert_derivative;
    use super::*;

    #[test]
    fn values_by_hand() {
        assert_eq!(sigmoid(0.0), 0.5);
        assert!((sigmoid(1.0) - 0.731_058_578_630_004_9).abs() < 1e-15);
        assert!((sigmoid(1.0) + sigmoid(-1.0) - 1.0).abs() < 1e-15);
        assert!((surprise(0.0) - 2f64.ln()).abs() < 1e-15);
        assert!((surprise(2.0) - 0.126_928_011_042_972_5).abs() < 1e-15);
        assert!((surprise(-2.0) - 2.126_928_011_042_972_5).abs() < 1e-15);
    }

    #[test]
    fn nothing_overflows() {
        assert_eq!((sigmoid(1e9), sigmoid(-1e9)), (1.0, 0.0));
        assert_eq!((surprise(1e9), surprise(-1e9)), (0.0, 1e9));
    }

    #[test]
    fn the_derivative_of_the_surprise_is_minus_the_chance_of_the_other() {
        for x in [-30.0, -3.0, -0.2, 0.0, 0.7, 4.0, 30.0] {
            assert_derivative(surprise, x, -sigmoid(-x));
        }
    }
}
