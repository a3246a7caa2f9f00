//! RLOO's advantage: r − mean of the other rollouts (Kool et al. 2019; Ahmadian et al. 2024).

/// Advantages of at least two totals. Equals n / (n − 1) times the centred totals.
pub(super) fn advantages(totals: &[f64]) -> Vec<f64> {
    let sum: f64 = totals.iter().sum();
    let others = totals.len() as f64 - 1.0;
    totals.iter().map(|total| total - (sum - total) / others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Others of 0, 0, 1, 3 have means 4/3, 4/3, 1, 1/3.
    #[test]
    fn matches_values_computed_by_hand() {
        let expected = [-4.0 / 3.0, -4.0 / 3.0, 0.0, 8.0 / 3.0];
        for (got, want) in advantages(&[0.0, 0.0, 1.0, 3.0]).iter().zip(expected) {
            assert!((got - want).abs() < 1e-15, "{got} is not {want}");
        }
    }
}
