//! The penalty towards a reference as a part of the loss: an estimate of the divergence for each trained token.
//!
//! An estimate that is multiplied by the ratio ρ of the loss, of a token or of its sequence, has the gradient of both
//! factors: of Σ π_sampled·ρ·k3 it is then that of Σ π·k3 = KL(π‖ref), whichever policy sampled.
//!
//! Source: DeepSeek-AI 2025, "DeepSeek-V3.2", arXiv 2512.02556, section 3.1.

use super::clip::{ClipTerm, Variable, bounded_ratio};
use super::ratio;
use crate::kl::{KlTerm, kl};
use crate::plan::SurrogatePlan;
use crate::rollout::TrainingSequence;

/// The penalty of each of the trained tokens before it is multiplied by β, with the derivative of all of them by the
/// token's log-prob; empty where no reference was asked.
pub(super) fn terms(
    plan: &SurrogatePlan,
    sequence: &TrainingSequence,
    logprobs: &[f32],
    trained: &[usize],
) -> Vec<KlTerm> {
    if sequence.reference_logprobs.is_empty() {
        return Vec::new();
    }
    let estimate = |&token: &usize| {
        let reference = f64::from(sequence.reference_logprobs[token]);
        kl(plan.kl.estimator, f64::from(logprobs[token]), reference)
    };
    let estimates: Vec<KlTerm> = trained.iter().map(estimate).collect();
    if !plan.kl.estimator.is_weighted() {
        return estimates;
    }
    let log_ratios = ratio::log_ratios(plan.ratio, sequence, logprobs, trained);
    let of_ratio = |(estimate, log_ratio): (&KlTerm, &f64)| {
        let (ratio, slope) = bounded_ratio(*log_ratio);
        let (value, derivative) = (ratio * estimate.value, slope * estimate.value);
        ClipTerm { value, derivative, variable: Variable::LogRatio, ratio, clipped: false }
    };
    let weighted: Vec<ClipTerm> = estimates.iter().zip(&log_ratios).map(of_ratio).collect();
    let of_ratios = ratio::derivatives(plan.ratio, &weighted);
    let both = |((estimate, weighted), of_ratio): ((KlTerm, &ClipTerm), f64)| KlTerm {
        value: weighted.value,
        derivative: weighted.ratio * estimate.derivative + of_ratio,
    };
    estimates.into_iter().zip(&weighted).zip(of_ratios).map(both).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_gradient, sequence};
    use super::super::{Surrogate, UpdateCounts};
    use super::*;
    use crate::plan::{Aggregation, KlEstimator, KlPlan, RatioLevel};
    use crate::testing;

    const LEVELS: [RatioLevel; 4] = [
        RatioLevel::Token,
        RatioLevel::Sequence,
        RatioLevel::SequenceToken,
        RatioLevel::SequenceProduct,
    ];

    fn plan(ratio: RatioLevel, estimator: KlEstimator) -> SurrogatePlan {
        let kl = KlPlan { coef: 0.3, estimator, ..testing::kl() };
        SurrogatePlan { ratio, kl, ..testing::surrogate() }
    }

    /// Two tokens: log π −1 and −2, sampled with −1.5 and −1.9, reference −0.8 and −2.5, so d = 0.2 and −0.5.
    #[test]
    fn the_ratio_multiplies_value_and_gradient() {
        let mut one = sequence(&[true, true], &[-1.5, -1.9], 0.0);
        one.reference_logprobs = vec![-0.8, -2.5];
        let of = |level, estimator| terms(&plan(level, estimator), &one, &[-1.0, -2.0], &[0, 1]);
        let k3 = [0.2_f64.exp() - 1.2, (-0.5_f64).exp() - 0.5];
        let slope = [1.0 - 0.2_f64.exp(), 1.0 - (-0.5_f64).exp()];
        let (first, second) = (0.5_f64.exp(), (-0.1_f64).exp());
        // The mean of 0.5 and −0.1.
        let whole = 0.2_f64.exp();
        let shared = whole * (k3[0] + k3[1]) / 2.0;
        // Their sum.
        let product = 0.4_f64.exp();
        let all = product * (k3[0] + k3[1]);
        for (level, values, derivatives) in [
            (
                RatioLevel::Token,
                [first * k3[0], second * k3[1]],
                [first * (k3[0] + slope[0]), second * (k3[1] + slope[1])],
            ),
            (
                RatioLevel::Sequence,
                [whole * k3[0], whole * k3[1]],
                [shared + whole * slope[0], shared + whole * slope[1]],
            ),
            (
                RatioLevel::SequenceToken,
                [whole * k3[0], whole * k3[1]],
                [whole * (k3[0] + slope[0]), whole * (k3[1] + slope[1])],
            ),
            (
                RatioLevel::SequenceProduct,
                [product * k3[0], product * k3[1]],
                [all + product * slope[0], all + product * slope[1]],
            ),
        ] {
            let found = of(level, KlEstimator::K3Unbiased);
            for (token, found) in found.iter().enumerate() {
                assert!((found.value - values[token]).abs() < 1e-6, "{level:?}: {found:?}");
                let difference = (found.derivative - derivatives[token]).abs();
                assert!(difference < 1e-6, "{level:?}: {found:?}");
            }
            // What is not weighted does not know of the ratio.
            for (token, found) in of(level, KlEstimator::K3Plus).iter().enumerate() {
                assert!((found.value - k3[token]).abs() < 1e-6);
                assert!((found.derivative + [0.2, -0.5][token]).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn gradients_of_the_weighted_penalty_agree_with_central_differences() {
        for ratio in [RatioLevel::Token, RatioLevel::Sequence, RatioLevel::SequenceProduct] {
            for aggregation in
                [Aggregation::SequenceMean, Aggregation::TokenMean, Aggregation::FixedLength]
            {
                let mut one = sequence(&[true, false, true, true], &[-1.0, -2.0, -0.5, -3.0], 1.3);
                one.reference_logprobs = vec![-0.6, -9.0, -1.5, -2.2];
                let plan = SurrogatePlan { aggregation, ..plan(ratio, KlEstimator::K3Unbiased) };
                let loss = Surrogate::new(&plan, &UpdateCounts::of([&one], 8.0));
                assert_gradient(&loss, &one, &[-0.9, -2.0, -0.7, -2.8]);
            }
        }
    }

    /// Softmax of three logits; by hand, KL(π‖ref) has the derivative Σ π·log(π/ref)·(δ − π) by each of them.
    fn softmax(logits: [f64; 3]) -> [f64; 3] {
        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
        logits.map(|logit| logit.exp() / sum)
    }

    fn divergence(logits: [f64; 3], reference: [f64; 3]) -> f64 {
        softmax(logits).iter().zip(reference).map(|(p, r)| p * (p / r).ln()).sum()
    }

    /// The expected gradient by each logit, over all tokens that the sampling policy may draw.
    fn expected(estimator: KlEstimator, logits: [f64; 3], sampled: [f64; 3]) -> [f64; 3] {
        let (policy, reference) = (softmax(logits), softmax([0.2, 0.9, -0.5]));
        let mut sum = [0.0; 3];
        for token in 0..3 {
            let mut one = sequence(&[true], &[sampled[token].ln() as f32], 0.0);
            one.reference_logprobs = vec![reference[token].ln() as f32];
            let plan = plan(RatioLevel::Token, estimator);
            let found = terms(&plan, &one, &[policy[token].ln() as f32], &[0])[0];
            for (logit, sum) in sum.iter_mut().enumerate() {
                let by_logit = f64::from(u8::from(logit == token)) - policy[logit];
                *sum += sampled[token] * found.derivative * by_logit;
            }
        }
        sum
    }

    /// On the policy itself k2, k3+ and the weighted k3 pull as the divergence does, and off it only the weighted one; k1
    /// pulls nowhere, and k3 elsewhere.
    #[test]
    fn the_expected_gradient_is_that_of_the_divergence() {
        let logits = [0.5, -0.3, 1.1];
        let (policy, other) = (softmax(logits), softmax([0.1, 0.4, 0.2]));
        let exact: Vec<f64> = (0..3)
            .map(|logit| {
                let at = |shift: f64| {
                    let mut moved = logits;
                    moved[logit] += shift;
                    divergence(moved, softmax([0.2, 0.9, -0.5]))
                };
                (at(1e-5) - at(-1e-5)) / 2e-5
            })
            .collect();
        assert!(exact.iter().any(|entry| entry.abs() > 0.1), "{exact:?}");
        for (estimator, on_policy, off_policy) in [
            (KlEstimator::K1, false, false),
            (KlEstimator::K2, true, false),
            (KlEstimator::K3, false, false),
            (KlEstimator::K3Plus, true, false),
            (KlEstimator::K3Unbiased, true, true),
        ] {
            for (sampled, is_exact) in [(policy, on_policy), (other, off_policy)] {
                let found = expected(estimator, logits, sampled);
                let apart = found.iter().zip(&exact).map(|(one, other)| (one - other).abs());
                let apart = apart.fold(0.0, f64::max);
                assert_eq!(apart < 1e-6, is_exact, "{estimator:?}: {found:?} {exact:?}");
                assert!(is_exact || apart > 1e-2, "{estimator:?}: {apart}");
            }
        }
        let nowhere = expected(KlEstimator::K1, logits, policy);
        assert!(nowhere.iter().all(|entry| entry.abs() < 1e-6), "{nowhere:?}");
    }

    /// Beyond 20 nats the ratio is a constant, as it is in the loss.
    #[test]
    fn a_ratio_beyond_its_bound_has_no_gradient() {
        let mut one = sequence(&[true], &[-40.0], 0.0);
        one.reference_logprobs = vec![-1.5];
        let found = terms(&plan(LEVELS[0], KlEstimator::K3Unbiased), &one, &[-1.0], &[0])[0];
        let (value, slope) = ((-0.5_f64).exp() - 0.5, 1.0 - (-0.5_f64).exp());
        let ratio = 20.0_f64.exp();
        assert!((found.value / ratio - value).abs() < 1e-6);
        assert!((found.derivative / ratio - slope).abs() < 1e-6);
    }
}
