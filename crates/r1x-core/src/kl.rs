//! Schulman's estimators of KL(π‖ref) from one sampled token: value and derivative in closed form.
//!
//! With d = log ref − log π: k1 = −d, k2 = d²/2, k3 = exp(d) − 1 − d.
//!
//! All three estimate the divergence; as terms of a loss they differ, because only the gradient of k2 is,
//! in expectation on-policy, the gradient of KL(π‖ref). Two further ones have the values of k3 and that gradient: `K3Plus`
//! takes the derivative of k2 in place of its own (so its derivative is that of no function), and `K3Unbiased` is
//! multiplied by the ratio of the policy to the one that sampled, which has a gradient as well, so that it holds off-policy
//! too. The ratio is the loss's, so what is here of the latter is k3; `crate::loss` multiplies.
//!
//! Sources: Schulman 2020, "Approximating KL Divergence"; DeepSeek-AI 2025, "DeepSeek-V3.2", arXiv 2512.02556, section 3.1
//! (the ratio); the "+" of the estimators of verl (the derivative of k2).

use crate::plan::KlEstimator;

/// Where the exponential of k3 stops: d above this many nats is continued by the tangent, of slope exp(10) − 1,
/// about 22 000.
///
/// A token of probability π under the policy is drawn once in 1/π times, and with d above 10 the reference gives it
/// more than 22 000 times that probability: as rare as once in the tokens of a step. Such a draw says little about
/// the divergence, and without a bound it outweighs all others (4.9·10⁸ at 20 nats). A hard clamp would have
/// derivative 0 and so stop pulling exactly where the policy has drifted furthest; the tangent keeps the pull.
pub const K3_LIMIT: f64 = 10.0;

/// An estimate for one token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KlTerm {
    /// The estimate, nats.
    pub value: f64,
    /// Its derivative with respect to the policy's log-prob.
    pub derivative: f64,
}

/// Estimates the divergence at one token from its log-probs under the policy and under the reference.
/// Finite for all finite log-probs; infinite or NaN log-probs show in the value.
pub fn kl(estimator: KlEstimator, logprob: f64, reference: f64) -> KlTerm {
    let d = reference - logprob;
    // d falls by one when the log-prob grows by one, so derivatives by d change sign.
    match estimator {
        KlEstimator::K1 => KlTerm { value: -d, derivative: 1.0 },
        KlEstimator::K2 => KlTerm { value: 0.5 * d * d, derivative: -d },
        KlEstimator::K3 | KlEstimator::K3Unbiased => k3(d),
        KlEstimator::K3Plus => KlTerm { derivative: -d, ..k3(d) },
    }
}

/// exp(d) − 1 − d, and its tangent beyond the bound.
fn k3(d: f64) -> KlTerm {
    let inside = d.min(K3_LIMIT);
    let slope = inside.exp_m1();
    KlTerm { value: (slope - inside) + slope * (d - inside), derivative: -slope }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::assert_derivative;

    /// The estimators whose derivative is the derivative of their value.
    const ESTIMATORS: [KlEstimator; 3] = [KlEstimator::K1, KlEstimator::K2, KlEstimator::K3];
    const ALL: [KlEstimator; 5] = [
        KlEstimator::K1,
        KlEstimator::K2,
        KlEstimator::K3,
        KlEstimator::K3Plus,
        KlEstimator::K3Unbiased,
    ];

    /// log π = −1, log ref = −1.5, so d = −0.5; exp(−0.5) = 0.6065306597126334.
    #[test]
    fn matches_values_computed_by_hand() {
        let term = |estimator| kl(estimator, -1.0, -1.5);
        assert_eq!(term(KlEstimator::K1), KlTerm { value: 0.5, derivative: 1.0 });
        assert_eq!(term(KlEstimator::K2), KlTerm { value: 0.125, derivative: 0.5 });
        let k3 = term(KlEstimator::K3);
        assert!((k3.value - 0.106_530_659_712_633_4).abs() < 1e-15);
        assert!((k3.derivative - 0.393_469_340_287_366_6).abs() < 1e-15);
        assert_eq!(term(KlEstimator::K3Plus), KlTerm { derivative: 0.5, ..k3 });
        assert_eq!(term(KlEstimator::K3Unbiased), k3);
    }

    #[test]
    fn derivatives_agree_with_central_differences() {
        for estimator in ESTIMATORS {
            for logprob in [-25.0, -9.0, -2.0, -0.7, -1e-3] {
                for reference in [-30.0, -4.0, -0.7, -0.01] {
                    assert_derivative(
                        |x| kl(estimator, x, reference).value,
                        logprob,
                        kl(estimator, logprob, reference).derivative,
                    );
                }
            }
        }
    }

    #[test]
    fn equal_policies_have_no_divergence() {
        for estimator in ALL {
            assert_eq!(kl(estimator, -0.3, -0.3).value, 0.0);
        }
    }

    /// Near d = 0, exp(d) − 1 − d cancels catastrophically unless it is built from expm1.
    #[test]
    fn k3_is_exact_for_tiny_differences() {
        let d: f64 = 1e-7;
        let value = kl(KlEstimator::K3, 0.0, d).value;
        assert!((value - 0.5 * d * d).abs() < 1e-6 * 0.5 * d * d, "{value}");
    }

    #[test]
    fn far_policies_stay_finite_and_keep_being_pulled() {
        for estimator in ALL {
            for (logprob, reference) in [(-1e5, 0.0), (0.0, -1e5), (-3e38, 0.0)] {
                let term = kl(estimator, logprob, reference);
                assert!(term.value.is_finite() && term.derivative.is_finite(), "{term:?}");
            }
        }
    }

    /// Exact up to the bound and a straight line behind it; on the other side the slope is never above 1.
    #[test]
    fn the_slope_of_k3_is_bounded_and_never_stops_pulling() {
        let steepest = 10.0_f64.exp_m1();
        for (d, slope) in
            [(9.9, 9.9_f64.exp_m1()), (10.0, steepest), (20.0, steepest), (1e5, steepest)]
        {
            let term = kl(KlEstimator::K3, -d, 0.0);
            assert!((term.derivative + slope).abs() < 1e-9 * slope, "{d}: {term:?}");
            let value =
                if d <= 10.0 { slope - d } else { (steepest - 10.0) + steepest * (d - 10.0) };
            assert!((term.value - value).abs() < 1e-9 * value, "{d}: {term:?}");
        }
        for d in [-10.0, -20.0, -1e5] {
            let term = kl(KlEstimator::K3, -d, 0.0);
            assert!(term.derivative > 0.99 && term.derivative <= 1.0, "{d}: {term:?}");
            assert!((term.value - (-1.0 - d)).abs() < 1e-4, "{d}: {term:?}");
        }
        assert!(kl(KlEstimator::K3, f64::NAN, 0.0).value.is_nan());
    }
}
