//! Direct preference optimisation: the numbers are log-ratios of the policy and its reference over two completions.

use super::PairOutput;
use crate::loss::logistic::{sigmoid, surprise};
use crate::plan::{PreferenceKind, PreferencePlan};

/// The loss of a plan. Each number is log π(completion) − log π_ref(completion), in nats: the sum over the tokens of the
/// completion, or their mean where [`PreferenceKind::is_mean`] says so.
///
/// With h the number of the better member less that of the worse one:
///
/// * `sigmoid`: −(1 − ε) log σ(βh) − ε log σ(−βh). Without smoothing (ε = 0) Direct Preference Optimization (arXiv
///   2305.18290, equation 7); with it the conservative form, in which the labels of a share ε of the pairs are wrong (A
///   note on DPO with noisy preferences & relationship to IPO, Mitchell 2023).
/// * `ipo`: (h − 1/(2β))², which does not push a difference further once it is there (A General Theoretical Paradigm to
///   Understand Learning from Human Preferences, arXiv 2310.12036, equation 17).
/// * `hinge`: max(0, 1 − βh) (SLiC-HF, arXiv 2305.10425, with the reference of Statistical Rejection Sampling Improves
///   Preference Optimization, arXiv 2309.06657).
pub fn preference(plan: &PreferencePlan, better: f64, worse: f64) -> PairOutput {
    let (h, beta) = (better - worse, plan.beta);
    let (loss, derivative) = match plan.kind {
        PreferenceKind::Sigmoid { label_smoothing: wrong } => {
            let x = beta * h;
            let loss = (1.0 - wrong) * surprise(x) + wrong * surprise(-x);
            (loss, beta * (wrong * sigmoid(x) - (1.0 - wrong) * sigmoid(-x)))
        }
        PreferenceKind::Ipo => {
            let off = h - 1.0 / (2.0 * beta);
            (off * off, 2.0 * off)
        }
        PreferenceKind::Hinge => {
            let short = 1.0 - beta * h;
            if short > 0.0 { (short, -beta) } else { (0.0, 0.0) }
        }
    };
    PairOutput::of_difference(loss, derivative)
}

#[cfg(test)]
mod tests {
    use super::super::testing::assert_derivatives;
    use super::*;

    fn plan(kind: PreferenceKind, beta: f64) -> PreferencePlan {
        PreferencePlan { kind, beta }
    }

    /// βh is 0.1 · 20 = 2: −log σ(2) = 0.126928, and −log σ(−2) = 2.126928.
    #[test]
    fn values_by_hand() {
        let found =
            preference(&plan(PreferenceKind::Sigmoid { label_smoothing: 0.0 }, 0.1), 15.0, -5.0);
        assert!((found.loss - 0.126_928_011_042_972).abs() < 1e-12);
        assert!((found.by_better + 0.1 * 0.119_202_922_022_118).abs() < 1e-12);
        assert_eq!(found.by_worse, -found.by_better);
        let smooth =
            preference(&plan(PreferenceKind::Sigmoid { label_smoothing: 0.25 }, 0.1), 15.0, -5.0);
        assert!((smooth.loss - 0.626_928_011_042_972).abs() < 1e-12);
        // 0.1 · (0.25 · 0.880797 − 0.75 · 0.119203): a lead this large is more than a quarter of wrong labels allows.
        assert!((smooth.by_better - 0.013_079_707_797_788).abs() < 1e-12);
        let ipo = preference(&plan(PreferenceKind::Ipo, 0.1), 3.0, -1.0);
        assert_eq!((ipo.loss, ipo.by_better), (1.0, -2.0));
        let hinge = |better| preference(&plan(PreferenceKind::Hinge, 0.5), better, 0.0);
        assert_eq!((hinge(1.0).loss, hinge(1.0).by_better), (0.5, -0.5));
        assert_eq!(hinge(2.5), PairOutput::of_difference(0.0, 0.0));
    }

    #[test]
    fn a_policy_that_is_its_reference_has_the_loss_of_a_coin() {
        let found =
            preference(&plan(PreferenceKind::Sigmoid { label_smoothing: 0.0 }, 0.1), 0.0, 0.0);
        assert!((found.loss - 2f64.ln()).abs() < 1e-15);
        assert_eq!(found.by_better, -0.05);
    }

    #[test]
    fn derivatives_agree_with_central_differences() {
        let kinds = [
            PreferenceKind::Sigmoid { label_smoothing: 0.0 },
            PreferenceKind::Sigmoid { label_smoothing: 0.1 },
            PreferenceKind::Ipo,
            PreferenceKind::Hinge,
        ];
        for kind in kinds {
            for beta in [0.05, 0.3] {
                for point in [(0.0, 0.0), (4.0, -3.0), (-6.0, 2.5), (9.0, 8.0)] {
                    let plan = plan(kind, beta);
                    assert_derivatives(|better, worse| preference(&plan, better, worse), point);
                }
            }
        }
    }
}
