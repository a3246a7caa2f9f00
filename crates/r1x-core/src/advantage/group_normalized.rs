//! GRPO's advantage: (r − mean) / (std + eps) inside the group (DeepSeekMath, section 4.1.2).
//!
//! The standard deviation is the unbiased one (divided by n − 1).

use super::{mean, root_of_squares};

/// Advantages of at least two totals, not all equal.
pub(super) fn advantages(totals: &[f64], eps: f64) -> Vec<f64> {
    let mean = mean(totals);
    let differences = totals.iter().map(|total| total - mean);
    let deviation = root_of_squares(differences, totals.len() as f64 - 1.0);
    totals.iter().map(|total| (total - mean) / (deviation + eps)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Totals 0, 0, 1, 3: mean 1, squares 1 + 1 + 0 + 4 = 6, unbiased deviation √2.
    #[test]
    fn matches_values_computed_by_hand() {
        let root = std::f64::consts::SQRT_2;
        let expected = [-1.0 / root, -1.0 / root, 0.0, 2.0 / root];
        for (got, want) in advantages(&[0.0, 0.0, 1.0, 3.0], 0.0).iter().zip(expected) {
            assert!((got - want).abs() < 1e-15, "{got} is not {want}");
        }
        let with_eps = advantages(&[0.0, 0.0, 1.0, 3.0], 0.5)[3];
        assert!((with_eps - 2.0 / (root + 0.5)).abs() < 1e-15);
    }

    /// Squares of 1e-170 are 0 and those of 1e170 infinite, and neither is a reason for NaN or for no advantage.
    #[test]
    fn differences_whose_squares_vanish_or_overflow_are_differences() {
        let half = std::f64::consts::FRAC_1_SQRT_2;
        for size in [1e-170, 1e-300, 1e170, 1e300] {
            let found = advantages(&[0.0, size], 0.0);
            assert!(
                (found[0] + half).abs() < 1e-12 && (found[1] - half).abs() < 1e-12,
                "{found:?}"
            );
        }
        assert!(advantages(&[0.0, 1e-170], 1e-4)[1] < 1e-160, "an eps still hides them");
    }

    #[test]
    fn does_not_depend_on_the_scale_of_rewards_when_eps_is_small() {
        let small = advantages(&[0.0, 1.0, 1.0], 1e-12);
        let large = advantages(&[0.0, 100.0, 100.0], 1e-12);
        for (one, other) in small.iter().zip(&large) {
            assert!((one - other).abs() < 1e-9);
        }
    }
}
