//! REINFORCE++'s advantage: (r − mean) / (std + eps) over all rollouts of a step, whatever group they are in (Hu et al.
//! 2025, "REINFORCE++: Stabilizing Critic-Free Policy Optimization with Global Advantage Normalization", arXiv 2501.03262).

use super::Spread;

/// Advantages of totals of one group, in a step whose totals are not all equal.
pub(super) fn advantages(totals: &[f64], step: &Spread, eps: f64) -> Vec<f64> {
    totals.iter().map(|total| (total - step.mean) / (step.deviation + eps)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The step 0, 0, 1, 3 has mean 1 and unbiased deviation √2; the group 0, 3 is a half of it.
    #[test]
    fn matches_values_computed_by_hand() {
        let step = Spread::of([0.0, 0.0, 1.0, 3.0].into_iter());
        let root = std::f64::consts::SQRT_2;
        for (got, want) in advantages(&[0.0, 3.0], &step, 0.5).iter().zip([-1.0, 2.0]) {
            assert!((got - want / (root + 0.5)).abs() < 1e-15, "{got}");
        }
    }
}
