//! Sequences that the policy has moved too far away from: with a negative advantage they teach nothing that it would still
//! do, and pushing them down further is what makes training on old rollouts unstable.
//!
//! Source: DeepSeek-AI 2025, "DeepSeek-V3.2", arXiv 2512.02556, section 3.1 (off-policy sequence masking).

use super::clip::ClipTerm;
use crate::rollout::TrainingSequence;

/// Takes value and gradient from the terms with a negative advantage where the mean of log π_sampled − log π over the
/// trained tokens is above the bound. They count in every denominator, and as clipped.
pub(super) fn mask(
    bound: Option<f64>,
    sequence: &TrainingSequence,
    logprobs: &[f32],
    trained: &[usize],
    terms: &mut [ClipTerm],
) {
    let Some(bound) = bound else { return };
    let difference =
        |&token: &usize| f64::from(sequence.sampled_logprobs[token]) - f64::from(logprobs[token]);
    let divergence = trained.iter().map(difference).sum::<f64>() / trained.len() as f64;
    // A mean that is no number is not above a bound, and shows in the values.
    if divergence > bound {
        for (term, &token) in terms.iter_mut().zip(trained) {
            if sequence.advantages[token] < 0.0 {
                *term = ClipTerm { value: 0.0, derivative: 0.0, clipped: true, ..*term };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_gradient, sequence};
    use super::super::{Loss, Said, Surrogate, UpdateCounts};
    use crate::plan::{Aggregation, RatioLevel, SurrogatePlan};
    use crate::testing;

    /// Three trained tokens that have fallen by 0.5, 0.1 and 0.3 nats: a mean of 0.3. The masked one has fallen by 9.
    #[test]
    fn a_sequence_beyond_the_bound_is_masked_where_its_advantage_is_negative() {
        let mask = [true, true, false, true];
        let logprobs = [-1.5, -2.1, -9.5, -3.3];
        for (advantage, bound, masked) in [
            (-2.0, Some(0.29), true),
            (-2.0, Some(0.31), false),
            (-2.0, None, false),
            (2.0, Some(0.29), false),
            (0.0, Some(0.29), false),
        ] {
            for ratio in [RatioLevel::Token, RatioLevel::Sequence] {
                let one = sequence(&mask, &[-1.0, -2.0, -0.5, -3.0], advantage);
                let plan = SurrogatePlan { ratio, max_divergence: bound, ..testing::surrogate() };
                let loss = Surrogate::new(&plan, &UpdateCounts::of([&one], 8.0));
                let free = SurrogatePlan { max_divergence: None, ..plan };
                let free = Surrogate::new(&free, &UpdateCounts::of([&one], 8.0));
                let [found, expected] =
                    [&loss, &free].map(|loss| loss.evaluate(&one, Said::of(&logprobs)));
                match masked {
                    true => {
                        assert_eq!((found.gradient, found.totals.loss), (vec![0.0; 4], 0.0));
                        assert_eq!(found.totals.figures[0], 3.0, "clipped");
                        assert_eq!(found.totals.tokens, 3);
                    }
                    false => assert_eq!(found, expected, "{advantage} {bound:?}"),
                }
                assert_gradient(&loss, &one, &logprobs);
            }
        }
    }

    /// The penalty pulls a masked sequence all the same, and it counts in the mean of the others.
    #[test]
    fn a_masked_sequence_is_penalised_and_counted() {
        let mut stale = sequence(&[true, true], &[-1.0, -1.0], -1.0);
        stale.reference_logprobs = vec![-2.0, -2.0];
        let fresh = sequence(&[true, true], &[-1.0, -1.0], 1.0);
        let mut plan = SurrogatePlan {
            max_divergence: Some(0.5),
            aggregation: Aggregation::SequenceMean,
            ..testing::surrogate()
        };
        plan.kl.coef = 0.1;
        let loss = Surrogate::new(&plan, &UpdateCounts::of([&stale, &fresh], 8.0));
        // d = 0 where the policy says what the reference says, and 1 nat below both samples.
        assert_eq!(loss.evaluate(&stale, Said::of(&[-2.0, -2.0])).totals.loss, 0.0);
        let apart = loss.evaluate(&stale, Said::of(&[-3.0, -3.0])).totals.loss;
        assert!((apart - 0.5 * 0.1 * (1.0_f64.exp() - 2.0)).abs() < 1e-9, "{apart}");
        assert!((loss.evaluate(&fresh, Said::of(&[-1.0, -1.0])).totals.loss + 0.5).abs() < 1e-12);
    }
}
