//! Dr.GRPO's advantage: r − mean inside the group, no division (Liu et al. 2025, section 3.2).

use super::mean;

/// Advantages of at least one total.
pub(super) fn advantages(totals: &[f64]) -> Vec<f64> {
    let mean = mean(totals);
    totals.iter().map(|total| total - mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_values_computed_by_hand() {
        assert_eq!(advantages(&[0.0, 0.0, 1.0, 3.0]), vec![-1.0, -1.0, 0.0, 2.0]);
    }
}
