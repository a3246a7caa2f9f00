//! What the probability ratio is taken of: a token, or its sequence.
//!
//! With dₜ = log π − log π_sampled of the n trained tokens of a sequence, a token's ratio is exp(dₜ). The probabilities of
//! the sequence have the ratio exp(Σ dₜ), which grows and falls with its length, so GSPO takes exp(Σ dₜ / n). The
//! gradient of either is shared by all n tokens. GSPO-token has the value of GSPO, and for a gradient that of each token's
//! own log-prob, which differs where advantages differ from token to token.
//!
//! Sources: Zheng et al. 2025, "Group Sequence Policy Optimization", arXiv 2507.18071, sections 4.1 and 4.3; Ahmadian et
//! al. 2024, "Back to Basics", arXiv 2402.14740, section 3.2, for the sequence as one action.

use super::clip::{ClipTerm, Variable};
use crate::plan::RatioLevel;
use crate::rollout::TrainingSequence;

/// The logarithm of the ratio that holds for each of the trained tokens.
pub(super) fn log_ratios(
    level: RatioLevel,
    sequence: &TrainingSequence,
    logprobs: &[f32],
    trained: &[usize],
) -> Vec<f64> {
    let difference =
        |&token: &usize| f64::from(logprobs[token]) - f64::from(sequence.sampled_logprobs[token]);
    let mut differences: Vec<f64> = trained.iter().map(difference).collect();
    match level {
        RatioLevel::Token => {}
        RatioLevel::Sequence | RatioLevel::SequenceToken => {
            let mean = differences.iter().sum::<f64>() / differences.len() as f64;
            differences.fill(mean);
        }
        RatioLevel::SequenceProduct => {
            let sum = differences.iter().sum();
            differences.fill(sum);
        }
    }
    differences
}

/// The derivatives of the sum of all terms with respect to the log-prob of each trained token.
pub(super) fn derivatives(level: RatioLevel, terms: &[ClipTerm]) -> Vec<f64> {
    let own = |term: &ClipTerm| term.derivative;
    match level {
        RatioLevel::Token | RatioLevel::SequenceToken => terms.iter().map(own).collect(),
        RatioLevel::Sequence | RatioLevel::SequenceProduct => {
            let of_ratio = |term: &&ClipTerm| term.variable == Variable::LogRatio;
            let sum: f64 = terms.iter().filter(of_ratio).map(own).sum();
            // How much the logarithm of the ratio moves with that of one token.
            let slope = match level {
                RatioLevel::SequenceProduct => 1.0,
                _ => 1.0 / terms.len() as f64,
            };
            let shared = sum * slope;
            let all = terms.iter();
            all.map(|term| if of_ratio(&term) { shared } else { shared + term.derivative })
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::sequence;
    use super::super::{Loss, LossOutput, Said, Surrogate, UpdateCounts};
    use super::*;
    use crate::plan::{Aggregation, ClipPlan, RatioBounds, SurrogatePlan, WeightBounds};
    use crate::testing;

    const SAMPLED: [&[f32]; 3] = [&[-1.0, -2.0, -0.5, -3.0], &[-0.4, -1.1], &[-2.0, -0.2, -1.0]];
    const LOGPROBS: [&[f32]; 3] = [&[-0.7, -2.1, -9.0, -3.1], &[-0.6, -1.05], &[-1.9, -0.4, -1.2]];
    const MASKS: [&[bool]; 3] = [&[true, true, false, true], &[true; 2], &[true; 3]];
    const ADVANTAGES: [f64; 3] = [1.3, -0.7, -2.0];

    fn bounds(low: f64, high: f64) -> ClipPlan {
        ClipPlan::Pessimistic(RatioBounds { low, high, max_ratio: None })
    }

    fn update() -> Vec<TrainingSequence> {
        let of = |i: usize| sequence(MASKS[i], SAMPLED[i], ADVANTAGES[i]);
        (0..3).map(of).collect()
    }

    fn evaluated(
        ratio: RatioLevel,
        clip: ClipPlan,
        aggregation: Aggregation,
        sequences: &[TrainingSequence],
    ) -> Vec<LossOutput> {
        let plan = SurrogatePlan { ratio, clip, aggregation, ..testing::surrogate() };
        let loss = Surrogate::new(&plan, &UpdateCounts::of(sequences, 40.0));
        sequences.iter().zip(LOGPROBS).map(|(one, x)| loss.evaluate(one, Said::of(x))).collect()
    }

    /// The objective of papers, negated: the mean over sequences of min(s·A, clip(s)·A). GSPO's s has the mean of the
    /// log-ratios, and that of R1's paper their sum.
    fn written_out(level: RatioLevel, logprobs: &[Vec<f64>], low: f64, high: f64) -> f64 {
        let of = |i: usize| {
            let trained: Vec<usize> = (0..MASKS[i].len()).filter(|&t| MASKS[i][t]).collect();
            let sum: f64 = trained.iter().map(|&t| logprobs[i][t] - f64::from(SAMPLED[i][t])).sum();
            let s = match level {
                RatioLevel::SequenceProduct => sum.exp(),
                _ => (sum / trained.len() as f64).exp(),
            };
            -(s * ADVANTAGES[i]).min(s.clamp(1.0 - low, 1.0 + high) * ADVANTAGES[i])
        };
        (0..3).map(of).sum::<f64>() / 3.0
    }

    /// Bounds of the paper, within which no sequence is left here, and wide ones, within which all are.
    #[test]
    fn the_ratio_of_a_sequence_is_that_of_the_paper_and_so_is_its_gradient() {
        let exact: Vec<Vec<f64>> =
            LOGPROBS.iter().map(|x| x.iter().map(|&x| f64::from(x)).collect()).collect();
        let levels = [RatioLevel::Sequence, RatioLevel::SequenceProduct];
        let all_bounds = [(3e-4, 4e-4), (0.2, 0.2), (0.04, 0.9)];
        for (level, (low, high)) in levels.iter().flat_map(|l| all_bounds.map(|b| (*l, b))) {
            let found = evaluated(level, bounds(low, high), Aggregation::SequenceMean, &update());
            let total: f64 = found.iter().map(|output| output.totals.loss).sum();
            let expected = written_out(level, &exact, low, high);
            assert!((total - expected).abs() < 1e-12, "{level:?} {low} {high}");
            let mut moved = exact.clone();
            for (i, output) in found.iter().enumerate() {
                for (t, &entry) in output.gradient.iter().enumerate() {
                    let mut at = |shift: f64| {
                        moved[i][t] = exact[i][t] + shift;
                        let value = written_out(level, &moved, low, high);
                        moved[i][t] = exact[i][t];
                        value
                    };
                    let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
                    let distance = (difference - f64::from(entry)).abs();
                    assert!(distance < 1e-7, "{level:?}, {i} {t}: {entry}");
                }
            }
        }
    }

    /// d = 0.3, −0.1 and −0.1 over three tokens: s = exp(1/30). The bound 0.02 clips it, where A is positive.
    #[test]
    fn a_clipped_sequence_has_no_gradient_and_counts_all_its_tokens() {
        let (level, mean) = (RatioLevel::Sequence, Aggregation::TokenMean);
        let found = evaluated(level, bounds(0.02, 0.02), mean, &update());
        assert_eq!(found[0].gradient, [0.0; 4]);
        assert!((found[0].totals.loss + 3.0 / 8.0 * 1.02 * 1.3).abs() < 1e-12);
        assert_eq!(found[0].totals.figures[0], 3.0);
        assert!((found[0].totals.figures[1] - 3.0 * (0.1_f64 / 3.0).exp()).abs() < 1e-6);
    }

    /// GSPO and GSPO-token are one where a sequence has one advantage, as the paper says.
    #[test]
    fn of_one_advantage_the_gradients_of_both_forms_are_equal() {
        for aggregation in [Aggregation::SequenceMean, Aggregation::TokenMean] {
            let of = |level| evaluated(level, bounds(0.2, 0.2), aggregation, &update());
            let (whole, tokens) = (of(RatioLevel::Sequence), of(RatioLevel::SequenceToken));
            for (one, other) in whole.iter().zip(&tokens) {
                assert!((one.totals.loss - other.totals.loss).abs() < 1e-12);
                for (one, other) in one.gradient.iter().zip(&other.gradient) {
                    assert!((one - other).abs() < 1e-7, "{one} {other}");
                }
            }
        }
    }

    /// Advantages 1, 2 and 6 with s = exp(0.1 / 3): GSPO gives every token the mean, GSPO-token each its own. With the
    /// product s is exp(0.1), which every token moves as a whole.
    #[test]
    fn of_several_advantages_the_sequence_shares_and_the_token_form_does_not() {
        let mut one = sequence(MASKS[0], SAMPLED[0], 0.0);
        one.advantages = vec![1.0, 2.0, 9.0, 6.0];
        let (mean, product) = ((0.1_f64 / 3.0).exp(), 0.1_f64.exp());
        for (level, s, expected) in [
            (RatioLevel::Sequence, mean, [3.0, 3.0, 0.0, 3.0]),
            (RatioLevel::SequenceToken, mean, [1.0, 2.0, 0.0, 6.0]),
            (RatioLevel::SequenceProduct, product, [9.0, 9.0, 0.0, 9.0]),
        ] {
            let all = std::slice::from_ref(&one);
            let found = evaluated(level, bounds(0.2, 0.2), Aggregation::TokenMean, all).remove(0);
            assert!((found.totals.loss + s * 9.0 / 3.0).abs() < 1e-6, "{level:?}");
            for (entry, expected) in found.gradient.iter().zip(expected) {
                let expected = -s * expected / 3.0;
                assert!((f64::from(*entry) - expected).abs() < 1e-6, "{level:?}: {entry}");
            }
        }
    }

    /// A weight has no gradient, so that nothing of it is shared.
    #[test]
    fn a_weight_of_the_whole_sequence_leaves_each_token_its_own_gradient() {
        let mut one = sequence(MASKS[0], SAMPLED[0], 0.0);
        one.advantages = vec![1.0, 2.0, 9.0, 6.0];
        let weight = ClipPlan::Weight(WeightBounds { low: None, high: 4.0 });
        let (level, all) = (RatioLevel::Sequence, std::slice::from_ref(&one));
        let found = evaluated(level, weight, Aggregation::TokenMean, all).remove(0);
        let s = (0.1_f64 / 3.0).exp();
        for (entry, advantage) in found.gradient.iter().zip([1.0, 2.0, 0.0, 6.0]) {
            assert!((f64::from(*entry) + s * advantage / 3.0).abs() < 1e-6, "{entry}");
        }
    }
}
