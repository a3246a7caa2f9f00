//! r − mean inside the group, divided by the standard deviation of all totals of the step plus eps (Liu et al. 2025,
//! "Part I: Tricks or Traps? A Deep Dive into RL for LLM Reasoning", arXiv 2508.08221).

use super::{Spread, mean};

/// Advantages of at least one total, in a step whose totals are not all equal.
pub(super) fn advantages(totals: &[f64], step: &Spread, eps: f64) -> Vec<f64> {
    let mean = mean(totals);
    totals.iter().map(|total| (total - mean) / (step.deviation + eps)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The step 0, 0, 1, 3 has the unbiased deviation √2; the group 0, 3 has the mean 1.5.
    #[test]
    fn matches_values_computed_by_hand() {
        let step = Spread::of([0.0, 0.0, 1.0, 3.0].into_iter());
        let root = std::f64::consts::SQRT_2;
        for (got, want) in advantages(&[0.0, 3.0], &step, 0.5).iter().zip([-1.5, 1.5]) {
            assert!((got - want / (root + 0.5)).abs() < 1e-15, "{got}");
        }
    }
}
