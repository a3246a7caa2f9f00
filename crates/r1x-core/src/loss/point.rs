//! Losses over one number that a model says of a whole sequence, with the derivative by it.

use super::logistic::{sigmoid, surprise};

/// A loss over one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PointOutput {
    /// The loss.
    pub loss: f64,
    /// Its derivative by the number.
    pub derivative: f64,
}

/// The cross-entropy of a label under the chance σ(said), in nats: −y·log σ(s) − (1 − y)·log(1 − σ(s)). `label` is from 0
/// to 1.
pub fn logistic(said: f64, label: f64) -> PointOutput {
    PointOutput {
        loss: label * surprise(said) + (1.0 - label) * surprise(-said),
        derivative: sigmoid(said) - label,
    }
}

/// The square of how far the number is off, (s − t)².
pub fn squared(said: f64, target: f64) -> PointOutput {
    let off = said - target;
    PointOutput { loss: off * off, derivative: 2.0 * off }
}

#[cfg(test)]
mod tests {
    use super::super::testing::assert_derivative;
    use super::*;

    /// σ(2) is 0.880797: −ln of it is 0.126928, and −ln of the rest 2.126928.
    #[test]
    fn values_by_hand() {
        let close = |found: PointOutput, loss: f64, derivative: f64| {
            assert!((found.loss - loss).abs() < 1e-12, "{found:?}");
            assert!((found.derivative - derivative).abs() < 1e-12, "{found:?}");
        };
        close(logistic(2.0, 1.0), 0.126_928_011_042_972, -0.119_202_922_022_118);
        close(logistic(2.0, 0.0), 2.126_928_011_042_972, 0.880_797_077_977_882);
        close(logistic(2.0, 0.25), 1.626_928_011_042_972, 0.630_797_077_977_882);
        close(squared(1.5, 2.0), 0.25, -1.0);
    }

    #[test]
    fn derivatives_agree_with_central_differences() {
        for said in [-4.0, -0.3, 0.0, 1.2, 9.0] {
            for other in [0.0, 0.4, 1.0] {
                let derivative = logistic(said, other).derivative;
                assert_derivative(|s| logistic(s, other).loss, said, derivative);
                assert_derivative(
                    |s| squared(s, other).loss,
                    said,
                    squared(said, other).derivative,
                );
            }
        }
    }

    #[test]
    fn a_label_that_is_met_costs_nothing_however_sure_the_model_is() {
        assert_eq!(logistic(1e6, 1.0), PointOutput { loss: 0.0, derivative: 0.0 });
        assert_eq!(logistic(-1e6, 1.0), PointOutput { loss: 1e6, derivative: -1.0 });
    }
}
