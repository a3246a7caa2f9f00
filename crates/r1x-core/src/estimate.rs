//! Estimates for reports: pass@k, a mean with its standard error over items, and how far chances may be believed.

use crate::loss::sigmoid;

/// The unbiased estimate of the chance that at least one of `k` draws is correct, from `correct` of
/// `samples` draws: 1 − C(samples − correct, k) / C(samples, k) (Chen et al. 2021, section 2.1).
///
/// Computed as a product of factors in [0, 1], so nothing overflows. `None` when the estimate does not
/// exist: k is 0 or above `samples`, or `correct` is above `samples`.
pub fn pass_at_k(samples: usize, correct: usize, k: usize) -> Option<f64> {
    if k == 0 || k > samples || correct > samples {
        return None;
    }
    let wrong = samples - correct;
    if wrong < k {
        return Some(1.0);
    }
    let all_wrong: f64 =
        (0..k).map(|draw| (wrong - draw) as f64 / (samples - draw) as f64).product();
    Some(1.0 - all_wrong)
}

/// A mean over items and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard error of that mean: unbiased deviation over items / √items; 0 with fewer than two items.
    pub stderr: f64,
    /// Items.
    pub items: usize,
}

/// Mean and standard error of one number per item; `None` without items.
pub fn estimate(values: &[f64]) -> Option<Estimate> {
    if values.is_empty() {
        return None;
    }
    let items = values.len();
    let mean = values.iter().sum::<f64>() / items as f64;
    Some(Estimate { mean, stderr: deviation(values) / (items as f64).sqrt(), items })
}

/// Unbiased standard deviation; 0 for fewer than two values.
pub fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// Bins that chances are sorted into.
const BINS: usize = 10;

/// The expected calibration error of a model that chooses between two (On Calibration of Modern Neural Networks, arXiv
/// 1706.04599, equation 5): how far its chances σ(|lead|) are from the shares in which it was right, as a mean over ten
/// equally wide bins from 1/2 to 1, weighted by what is in them. A lead is the number of the right choice less that of the
/// other one, so that a lead above 0 is a hit; 0 is perfect. `None` without leads.
///
/// Chances begin at 1/2: every pair is told with the right choice first, and sorted by σ(lead) it would be a hit in each
/// bin.
pub fn calibration_error(leads: &[f64]) -> Option<f64> {
    let mut bins = [(0_usize, 0.0, 0.0); BINS];
    for lead in leads {
        let chance = sigmoid(lead.abs());
        let bin = ((chance - 0.5) * 2.0 * BINS as f64) as usize;
        let (count, chances, hits) = &mut bins[bin.min(BINS - 1)];
        *count += 1;
        *chances += chance;
        *hits += f64::from(u8::from(*lead > 0.0));
    }
    let off: f64 = bins.iter().map(|(_, chances, hits)| (chances - hits).abs()).sum();
    (!leads.is_empty()).then(|| off / leads.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-12, "{got} is not {want}");
    }

    /// 4 draws, 1 correct: pass@2 = 1 − C(3,2)/C(4,2) = 1 − 3/6. 10 draws, 3 correct: pass@5 = 1 − 21/252.
    #[test]
    fn pass_at_k_matches_values_computed_by_hand() {
        close(pass_at_k(4, 1, 1).unwrap(), 0.25);
        close(pass_at_k(4, 1, 2).unwrap(), 0.5);
        close(pass_at_k(4, 1, 4).unwrap(), 1.0);
        close(pass_at_k(10, 3, 5).unwrap(), 1.0 - 21.0 / 252.0);
        close(pass_at_k(8, 0, 8).unwrap(), 0.0);
        close(pass_at_k(8, 8, 1).unwrap(), 1.0);
    }

    #[test]
    fn pass_at_k_is_the_share_of_subsets_with_a_correct_draw() {
        for samples in 1..9_usize {
            for correct in 0..=samples {
                for k in 1..=samples {
                    let subsets = (0_u32..1 << samples).filter(|s| s.count_ones() as usize == k);
                    let (mut all, mut hits) = (0.0, 0.0);
                    for subset in subsets {
                        all += 1.0;
                        hits += f64::from(u8::from(subset & ((1 << correct) - 1) != 0));
                    }
                    close(pass_at_k(samples, correct, k).unwrap(), hits / all);
                }
            }
        }
    }

    #[test]
    fn pass_at_k_grows_with_k_and_survives_large_counts() {
        let mut last = 0.0;
        for k in (1..=100_000).step_by(9_999) {
            let value = pass_at_k(100_000, 37, k).unwrap();
            assert!(value >= last && value <= 1.0);
            last = value;
        }
        assert!(last > 0.999);
    }

    #[test]
    fn estimates_that_do_not_exist_are_none() {
        assert_eq!(pass_at_k(4, 1, 5), None);
        assert_eq!(pass_at_k(4, 1, 0), None);
        assert_eq!(pass_at_k(4, 5, 1), None);
        assert_eq!(estimate(&[]), None);
    }

    /// 0, 0, 1, 1: deviation √(1/3), standard error √(1/12).
    #[test]
    fn standard_error_matches_values_computed_by_hand() {
        let four = estimate(&[0.0, 0.0, 1.0, 1.0]).unwrap();
        close(four.mean, 0.5);
        close(four.stderr, (1.0_f64 / 12.0).sqrt());
        assert_eq!(four.items, 4);
        let one = estimate(&[0.7]).unwrap();
        assert_eq!((one.mean, one.stderr), (0.7, 0.0));
    }

    /// σ(1) is 0.731059 and σ(3) is 0.952574: four leads of size 1, of which three are hits, and one of size 3 that is none.
    #[test]
    fn calibration_compares_chances_with_hits() {
        let leads = [1.0, 1.0, -1.0, 1.0, -3.0];
        let expected =
            (4.0 * (0.731_058_578_630_005_f64 - 0.75).abs() + 0.952_574_126_822_433) / 5.0;
        assert!((calibration_error(&leads).unwrap() - expected).abs() < 1e-12);
        // Right as often as it says: a coin for leads of nothing, of which none counts as a hit.
        assert_eq!(calibration_error(&[0.0, 0.0]), Some(0.5));
        assert_eq!(calibration_error(&[1e9, 1e9]), Some(0.0));
        assert_eq!(calibration_error(&[-1e9]), Some(1.0));
        assert_eq!(calibration_error(&[]), None);
    }
}
