//! Rewards compared one by one before they are summed (GDPO, Liu et al. 2026, section 3), and the division of a
//! step's advantages by their deviation that belongs to it.

use super::{Credit, Spread, advantages, root_of_squares};
use crate::plan::AdvantagePlan;

/// What comparing the rewards of a group one by one says.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoupled {
    /// The weighted sums, and whether any reward with a weight has a signal.
    pub credit: Credit,
    /// What the estimator makes of each value, `[reward][rollout]`; `None` where there is no value.
    pub normalized: Vec<Vec<Option<f64>>>,
}

/// Assigns credit inside one group of `rollouts`. `counted` is `[reward][rollout]`, with one weight per reward, and one
/// spread of its values over the whole step.
///
/// A reward whose values are all equal adds exactly 0, and so does one without a weight; a value that is
/// missing is left out of its reward's mean and deviation, and adds nothing.
pub fn decoupled(
    plan: &AdvantagePlan,
    weights: &[f64],
    counted: &[Vec<Option<f64>>],
    steps: &[Spread],
    rollouts: usize,
) -> Decoupled {
    let mut sums = vec![0.0; rollouts];
    let mut zero_signal = true;
    let mut normalized = Vec::with_capacity(counted.len());
    for ((&weight, values), step) in weights.iter().zip(counted).zip(steps) {
        let credit = advantages(plan, values, step);
        let of_reward: Vec<Option<f64>> =
            values.iter().zip(&credit.advantages).map(|(value, z)| value.map(|_| *z)).collect();
        if weight != 0.0 && !credit.zero_signal {
            zero_signal = false;
            for (sum, z) in sums.iter_mut().zip(&of_reward) {
                *sum += weight * z.unwrap_or(0.0);
            }
        }
        normalized.push(of_reward);
    }
    Decoupled { credit: Credit { advantages: sums, zero_signal }, normalized }
}

/// What the advantages of a step are divided by to have deviation 1: their unbiased deviation plus `eps`; 1 when
/// they are all 0 or there are fewer than two.
///
/// The advantages of a step sum to 0 under every estimator, so their mean is 0 but for rounding.
/// It is not subtracted: groups without signal stay at exactly 0.
pub fn whitening(advantages: impl Iterator<Item = f64> + Clone, eps: f64) -> f64 {
    let count = advantages.clone().count();
    if count < 2 {
        return 1.0;
    }
    let deviation = root_of_squares(advantages, count as f64 - 1.0);
    if deviation == 0.0 { 1.0 } else { deviation + eps }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::AdvantageKind;
    use crate::testing;

    fn plan(kind: AdvantageKind) -> AdvantagePlan {
        AdvantagePlan { eps: 0.0, ..testing::advantage(kind) }
    }

    /// Of a group that is a step of its own.
    fn decoupled(
        plan: &AdvantagePlan,
        weights: &[f64],
        counted: &[Vec<Option<f64>>],
        rollouts: usize,
    ) -> Decoupled {
        let steps = counted.iter().map(|of_reward| Spread::of(of_reward.iter().flatten().copied()));
        super::decoupled(plan, weights, counted, &steps.collect::<Vec<_>>(), rollouts)
    }

    fn values<const N: usize>(values: [f64; N]) -> Vec<Option<f64>> {
        values.into_iter().map(Some).collect()
    }

    fn assert_close(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() < 1e-12, "{got} is not {want}");
        }
    }

    /// The example of GDPO: (0, 1) and (0, 2) give GRPO the same advantages, and GDPO different ones. With two
    /// rollouts each reward that differs is ±1/√2.
    #[test]
    fn rewards_that_differ_add_up_and_do_not_collapse() {
        let half = std::f64::consts::FRAC_1_SQRT_2;
        let gdpo = plan(AdvantageKind::GroupNormalized);
        let one = decoupled(&gdpo, &[1.0, 1.0], &[values([0.0, 1.0]), values([0.0, 0.0])], 2);
        let two = decoupled(&gdpo, &[1.0, 1.0], &[values([0.0, 1.0]), values([0.0, 1.0])], 2);
        assert_close(&one.credit.advantages, &[-half, half]);
        assert_close(&two.credit.advantages, &[-2.0 * half, 2.0 * half]);
        let summed = |totals: &[f64]| {
            let totals: Vec<_> = totals.iter().copied().map(Some).collect();
            advantages(&gdpo, &totals, &Spread::default()).advantages
        };
        assert_close(&summed(&[0.0, 1.0]), &summed(&[0.0, 2.0]));
    }

    /// Values 0, 0, 1, 3 have mean 1 and deviation √2; 5, _, 5, 8 have mean 6 and deviation √3.
    #[test]
    fn weights_and_missing_values_match_a_table_by_hand() {
        let second = vec![Some(5.0), None, Some(5.0), Some(8.0)];
        let counted = [values([0.0, 0.0, 1.0, 3.0]), second, values([9.0, 8.0, 7.0, 6.0])];
        let found =
            decoupled(&plan(AdvantageKind::GroupNormalized), &[2.0, -1.0, 0.0], &counted, 4);
        let (a, b) = (std::f64::consts::SQRT_2, 3.0_f64.sqrt());
        let expected = [-2.0 / a + 1.0 / b, -2.0 / a, 1.0 / b, 4.0 / a - 2.0 / b];
        assert_close(&found.credit.advantages, &expected);
        assert_eq!(found.normalized[1][1], None);
        assert_close(&[found.normalized[1][3].unwrap()], &[2.0 / b]);
        assert!(found.normalized[2][0].unwrap() > 1.0, "recorded, though it has no weight");
        let centered =
            decoupled(&plan(AdvantageKind::GroupCentered), &[2.0, -1.0, 0.0], &counted, 4);
        assert_close(&centered.credit.advantages, &[-1.0, -2.0, 1.0, 2.0]);
    }

    #[test]
    fn equal_totals_of_different_rewards_are_a_signal_and_equal_rewards_are_none() {
        let gdpo = plan(AdvantageKind::GroupNormalized);
        let crossed = [values([1.0, 0.0, 0.0]), values([0.0, 1.0, 0.0])];
        assert!(!decoupled(&gdpo, &[1.0, 1.0], &crossed, 3).credit.zero_signal);
        let equal = decoupled(&gdpo, &[1.0, 1.0], &[values([0.1; 3]), vec![None; 3]], 3);
        assert!(equal.credit.zero_signal);
        assert_eq!(equal.credit.advantages, [0.0; 3]);
        let weightless = decoupled(&gdpo, &[0.0], &[values([0.0, 1.0])], 2);
        assert!(weightless.credit.zero_signal);
        assert_eq!(weightless.credit.advantages, [0.0; 2]);
    }

    /// Squares 1 + 1 + 4 + 4 = 10 over 5 − 1.
    #[test]
    fn a_step_is_divided_by_its_deviation() {
        let step = [1.0, -1.0, 2.0, -2.0, 0.0];
        let divisor = whitening(step.into_iter(), 0.25);
        assert!((divisor - (2.5_f64.sqrt() + 0.25)).abs() < 1e-15);
        assert_eq!(whitening([0.0; 4].into_iter(), 0.25), 1.0);
        assert_eq!(whitening([3.0].into_iter(), 0.25), 1.0);
        let huge = whitening([1e200, -1e200].into_iter(), 0.0);
        assert!((huge / 1e200 - 2.0_f64.sqrt()).abs() < 1e-12, "{huge}");
    }
}
