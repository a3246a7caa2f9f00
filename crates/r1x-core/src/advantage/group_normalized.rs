//! GRPO's advantage: (r − mean) / (std + eps) inside the group (DeepSeekMath, section 4.1.2).
//!
//! The standard deviation is the unbiased one (divided by n − 1). Must not know rollouts or losses.

use super::mean;

/// Advantages of at least two totals, not all equal.
pub(super) fn advantages(totals: &[f64], eps: f64) -> Vec<f64> {
    let mean = mean(totals);
    let squares: f64 = totals.iter().map(|total| (total - mean).powi(2)).sum();
    let deviation = (squares / (totals.len() as f64 - 1.0)).sqrt();
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

    #[test]
    fn does_not_depend_on_the_scale_of_rewards_when_eps_is_small() {
        let small = advantages(&[0.0, 1.0, 1.0], 1e-12);
        let large = advantages(&[0.0, 100.0, 100.0], 1e-12);
        for (one, other) in small.iter().zip(&large) {
            assert!((one - other).abs() < 1e-9);
        }
    }
}
