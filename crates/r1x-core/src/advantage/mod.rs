//! Advantages: how the totals of one group, in a step of several, become one number per rollout; one file per estimator.

mod batch_normalized;
mod batch_scaled;
mod decoupled;
mod gae;
mod group_centered;
mod group_normalized;
mod leave_one_out;

pub use decoupled::{Decoupled, decoupled, whitening};
pub use gae::{Estimated, explained_variance, gae, whitened};

use crate::plan::{AdvantageKind, AdvantagePlan};

/// What credit assignment says about one group.
#[derive(Clone, Debug, PartialEq)]
pub struct Credit {
    /// One advantage per rollout, in order; exactly 0 for rollouts without a total.
    pub advantages: Vec<f64>,
    /// True when fewer than two different totals exist, so that every advantage is exactly 0.
    pub zero_signal: bool,
}

/// What the totals of a whole step are like, for estimators that compare with more than a group.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// Their mean.
    mean: f64,
    /// Their unbiased standard deviation.
    deviation: f64,
    /// Whether there are two different ones.
    differs: bool,
}

impl Spread {
    /// Of the totals that there are; what is not finite takes no part.
    pub fn of(totals: impl Iterator<Item = f64>) -> Self {
        let totals: Vec<f64> = totals.filter(|total| total.is_finite()).collect();
        if all_equal(&totals) {
            return Self::default();
        }
        let mean = mean(&totals);
        let differences = totals.iter().map(|total| total - mean);
        let deviation = root_of_squares(differences, totals.len() as f64 - 1.0);
        Self { mean, deviation, differs: true }
    }
}

/// Whether fewer than two different numbers are there, exactly.
fn all_equal(values: &[f64]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}

/// Assigns credit inside one group of a step. `totals` has one entry per rollout, in reward units; `step` is of all groups.
///
/// Rollouts without a total (`None`, or a value that is not finite) take no part in means and deviations and
/// get 0. A group whose totals are all equal has no signal: this is decided by exact equality, because a
/// mean of equal numbers need not equal them in floating point and dividing that noise by a tiny deviation
/// would turn it into an advantage of order one. A group with a single total has nothing to be compared
/// with and counts as one without signal. An estimator that compares with the whole step finds a signal wherever the step
/// has one. What a critic is compared with is not in totals alone, so under [`AdvantageKind::Gae`] every advantage is 0 here,
/// each judged group has a signal, and [`gae`] assigns the credit of tokens.
pub fn advantages(plan: &AdvantagePlan, totals: &[Option<f64>], step: &Spread) -> Credit {
    let scored: Vec<f64> =
        totals.iter().flatten().copied().filter(|total| total.is_finite()).collect();
    let zero_signal = match plan.kind {
        AdvantageKind::Gae => scored.is_empty(),
        AdvantageKind::BatchNormalized => !step.differs || scored.is_empty(),
        _ => all_equal(&scored),
    };
    if zero_signal {
        return Credit { advantages: vec![0.0; totals.len()], zero_signal };
    }
    let credited = match plan.kind {
        AdvantageKind::GroupNormalized => group_normalized::advantages(&scored, plan.eps),
        AdvantageKind::GroupCentered => group_centered::advantages(&scored),
        AdvantageKind::LeaveOneOut => leave_one_out::advantages(&scored),
        AdvantageKind::BatchScaled => batch_scaled::advantages(&scored, step, plan.eps),
        AdvantageKind::BatchNormalized => batch_normalized::advantages(&scored, step, plan.eps),
        AdvantageKind::Gae => vec![0.0; scored.len()],
    };
    let mut credited = credited.into_iter();
    let advantages = totals
        .iter()
        .map(|total| match total {
            Some(total) if total.is_finite() => credited.next().unwrap_or(0.0),
            _ => 0.0,
        })
        .collect();
    Credit { advantages, zero_signal }
}

/// Arithmetic mean of at least one number.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// √(Σ value² / count). Where the squares vanish or overflow, they are taken of values that are scaled.
fn root_of_squares(values: impl Iterator<Item = f64> + Clone, count: f64) -> f64 {
    let squares: f64 = values.clone().map(|value| value * value).sum();
    if squares.is_normal() {
        return (squares / count).sqrt();
    }
    let largest = values.clone().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    if largest == 0.0 {
        return 0.0;
    }
    let scaled: f64 = values.map(|value| (value / largest).powi(2)).sum();
    largest * (scaled / count).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// The estimators that compare the rollouts of a group with each other.
    const KINDS: [AdvantageKind; 4] = [
        AdvantageKind::GroupNormalized,
        AdvantageKind::GroupCentered,
        AdvantageKind::LeaveOneOut,
        AdvantageKind::BatchScaled,
    ];

    fn credit(kind: AdvantageKind, totals: &[Option<f64>]) -> Credit {
        let plan = AdvantagePlan { eps: 1e-4, ..testing::advantage(kind) };
        let step = Spread::of(totals.iter().flatten().copied());
        advantages(&plan, totals, &step)
    }

    #[test]
    fn equal_totals_have_no_signal_however_badly_their_mean_rounds() {
        for kind in KINDS {
            let credit = credit(kind, &[Some(0.1); 7]);
            assert!(credit.zero_signal);
            assert_eq!(credit.advantages, vec![0.0; 7]);
        }
    }

    #[test]
    fn tiny_differences_are_signal() {
        for kind in KINDS {
            let credit = credit(kind, &[Some(0.1), Some(0.1 + 1e-12)]);
            assert!(!credit.zero_signal);
            assert!(credit.advantages[0] < 0.0 && credit.advantages[1] > 0.0);
        }
    }

    #[test]
    fn rollouts_without_a_total_get_zero_and_do_not_bias_the_others() {
        let missing = [None, Some(1.0), None, Some(3.0), Some(f64::NAN), Some(5.0)];
        for kind in KINDS {
            let whole = credit(kind, &missing);
            let scored = credit(kind, &[Some(1.0), Some(3.0), Some(5.0)]);
            assert!(!whole.zero_signal);
            assert_eq!(
                [whole.advantages[1], whole.advantages[3], whole.advantages[5]],
                scored.advantages[..]
            );
            for unscored in [0, 2, 4] {
                assert_eq!(whole.advantages[unscored], 0.0);
            }
        }
    }

    #[test]
    fn groups_with_nothing_to_compare_have_no_signal() {
        for kind in KINDS {
            for totals in [&[][..], &[None, None], &[Some(2.0)], &[None, Some(2.0)]] {
                let credit = credit(kind, totals);
                assert!(credit.zero_signal, "{kind:?} {totals:?}");
                assert_eq!(credit.advantages, vec![0.0; totals.len()]);
            }
        }
    }

    #[test]
    fn advantages_sum_to_zero_and_ignore_a_constant_added_to_all_totals() {
        let totals = [0.0, 0.25, 2.0, -1.5, 0.25];
        for kind in KINDS {
            let plain = credit(kind, &totals.map(Some));
            let shifted = credit(kind, &totals.map(|total| Some(total + 8.0)));
            assert!(plain.advantages.iter().sum::<f64>().abs() < 1e-12);
            for (one, other) in plain.advantages.iter().zip(&shifted.advantages) {
                assert!((one - other).abs() < 1e-12);
            }
        }
    }

    /// Groups (1, 1) and (0, _): the step has mean 2/3 and unbiased deviation √(1/3), and the silent group has a signal.
    #[test]
    fn a_comparison_with_the_step_finds_signal_in_groups_without_one() {
        let plan = AdvantagePlan { eps: 0.0, ..testing::advantage(AdvantageKind::BatchNormalized) };
        let step = Spread::of([1.0, 1.0, 0.0, f64::NAN].into_iter());
        let root = 3.0_f64.sqrt();
        let equal = advantages(&plan, &[Some(1.0), Some(1.0)], &step);
        let alone = advantages(&plan, &[Some(0.0), None], &step);
        assert!(!equal.zero_signal && !alone.zero_signal);
        for (found, expected) in
            equal.advantages.iter().chain(&alone.advantages).zip([1.0, 1.0, -2.0, 0.0])
        {
            assert!((found - expected * root / 3.0).abs() < 1e-12, "{found} {expected}");
        }
        let silent = advantages(&plan, &[Some(0.1); 2], &Spread::of([0.1; 7].into_iter()));
        assert!(silent.zero_signal && silent.advantages == [0.0; 2]);
        assert!(advantages(&plan, &[None], &step).zero_signal, "nothing was judged");
        // A group without differences has none from a deviation of others.
        let scaled = AdvantagePlan { kind: AdvantageKind::BatchScaled, ..plan };
        assert!(advantages(&scaled, &[Some(1.0), Some(1.0)], &step).zero_signal);
    }
}
