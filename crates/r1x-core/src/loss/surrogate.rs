//! The policy-gradient surrogate with a KL penalty, and its aggregation over an update.
//!
//! Per token: what `clip` makes of the ratio ρ (`ratio` says of what) and the token's advantage, plus β·KL, less the
//! entropy bonus.
//!
//! Sources: Shao et al. 2024, "DeepSeekMath", arXiv 2402.03300, section 4.1 (the group-relative form); Yu et al. 2025,
//! "DAPO", arXiv 2503.14476 (the token mean); Liu et al. 2025, "Understanding R1-Zero-Like Training: A Critical
//! Perspective", arXiv 2503.20783 (the fixed length).

use super::clip::{self, ClipTerm, Token};
use super::{
    Loss, LossOutput, LossTotals, Said, UpdateCounts, penalty, ratio, stale, trained_tokens,
};
use crate::kl::K3_LIMIT;
use crate::plan::{Aggregation, SurrogatePlan};
use crate::rollout::TrainingSequence;

/// The loss of one policy update.
///
/// What each aggregation divides by is fixed when the loss is built from the whole update, so it does not
/// matter how the update is split into micro-batches. Sequences in which no token is trained (empty or fully
/// masked) always add 0, and count as follows:
/// - `SequenceMean`: not at all; the mean is over sequences with at least one trained token.
/// - `TokenMean`: not at all; they have no token to count.
/// - `FixedLength`: its denominator is a number of the plan and sees no sequence, so that a sequence that is
///   masked, dropped or short makes nobody else's share larger (Dr. GRPO: Liu et al. 2025, arXiv 2503.20783).
///
/// An update without any trained token has loss 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Surrogate {
    plan: SurrogatePlan,
    /// One over the denominator that all sequences share; 0 when nothing is trained.
    scale: f64,
}

impl Surrogate {
    /// The loss of one update.
    pub fn new(plan: &SurrogatePlan, counts: &UpdateCounts) -> Self {
        let denominator = match plan.aggregation {
            Aggregation::SequenceMean => counts.sequences as f64,
            Aggregation::TokenMean => counts.tokens as f64,
            Aggregation::FixedLength => counts.planned_tokens,
        };
        let scale = if denominator > 0.0 { 1.0 / denominator } else { 0.0 };
        Self { plan: plan.clone(), scale }
    }

    /// Weight of each trained token of a sequence in the loss.
    fn weight(&self, sequence: &TrainingSequence) -> f64 {
        match self.plan.aggregation {
            Aggregation::SequenceMean => self.scale / trained_tokens(sequence).max(1) as f64,
            Aggregation::TokenMean | Aggregation::FixedLength => self.scale,
        }
    }

    /// What each of the trained tokens says without a penalty.
    fn terms(
        &self,
        sequence: &TrainingSequence,
        logprobs: &[f32],
        trained: &[usize],
    ) -> Vec<ClipTerm> {
        let log_ratios = ratio::log_ratios(self.plan.ratio, sequence, logprobs, trained);
        let term = |(&token, log_ratio)| {
            let advantage = sequence.advantages[token];
            let logprob = f64::from(logprobs[token]);
            let sampled = f64::from(sequence.sampled_logprobs[token]);
            clip::term(&self.plan.clip, &Token { advantage, log_ratio, logprob, sampled })
        };
        let mut terms: Vec<ClipTerm> = trained.iter().zip(log_ratios).map(term).collect();
        stale::mask(self.plan.max_divergence, sequence, logprobs, trained, &mut terms);
        terms
    }
}

/// What is reported beside the loss: how far the update is from the reference, and from the policy that sampled.
const FIGURES: [&str; 4] = ["kl", "kl.far", "clip_fraction", "ratio.mean"];

impl Loss for Surrogate {
    fn evaluate(&self, sequence: &TrainingSequence, said: Said<'_>) -> LossOutput {
        let (length, logprobs) = (sequence.mask.len(), said.targets);
        assert_eq!(logprobs.len(), length, "one log-prob per target");
        assert_eq!(sequence.sampled_logprobs.len(), length, "one sampled log-prob per target");
        assert_eq!(sequence.advantages.len(), length, "one advantage per target");
        let heard = if self.reads_entropies() { length } else { said.entropies.len() };
        assert_eq!(said.entropies.len(), heard, "one entropy per target");
        let SurrogatePlan { ratio: level, kl: penalised, .. } = &self.plan;
        let weight = self.weight(sequence);
        let trained: Vec<usize> = (0..length).filter(|&token| sequence.mask[token]).collect();
        let terms = self.terms(sequence, logprobs, &trained);
        let derivatives = ratio::derivatives(*level, &terms);
        let mut penalties = penalty::terms(&self.plan, sequence, logprobs, &trained).into_iter();
        let mut totals = LossTotals::default();
        let [mut kl_sum, mut kl_far, mut clipped, mut ratio] = [0.0; 4];
        let mut gradient = vec![0.0; length];
        let mut entropies = vec![0.0; if self.reads_entropies() { length } else { 0 }];
        for ((&token, policy), mut derivative) in trained.iter().zip(&terms).zip(derivatives) {
            let mut value = policy.value;
            if let Some(penalty) = penalties.next() {
                value += penalised.coef * penalty.value;
                derivative += penalised.coef * penalty.derivative;
                kl_sum += penalty.value;
                let [reference, logprob] =
                    [sequence.reference_logprobs[token], logprobs[token]].map(f64::from);
                kl_far += f64::from(u8::from(reference - logprob > K3_LIMIT));
            }
            if let Some(entropy) = entropies.get_mut(token) {
                value -= self.plan.entropy_coef * f64::from(said.entropies[token]);
                *entropy = (-weight * self.plan.entropy_coef) as f32;
            }
            totals.loss += weight * value;
            totals.tokens += 1;
            clipped += f64::from(u8::from(policy.clipped));
            ratio += policy.ratio;
            gradient[token] = (weight * derivative) as f32;
        }
        // Without a penalty there is no divergence to report.
        let all = [kl_sum, kl_far, clipped, ratio];
        totals.figures = all[FIGURES.len() - self.figures().len()..].to_vec();
        LossOutput { gradient, entropies, totals, ..LossOutput::default() }
    }

    fn reads_entropies(&self) -> bool {
        self.plan.entropy_coef > 0.0
    }

    fn figures(&self) -> &'static [&'static str] {
        if self.plan.kl.is_in_loss() { &FIGURES } else { &FIGURES[2..] }
    }
}

#[cfg(test)]
mod tests {
    use super::super::logprob_difference;
    use super::super::testing::{assert_gradient, sequence};
    use super::*;
    use crate::plan::{ClipPlan, KlEstimator, KlPlan, RatioBounds, RatioLevel};

    fn clip(low: f64, high: f64, max_ratio: Option<f64>) -> ClipPlan {
        ClipPlan::Pessimistic(RatioBounds { low, high, max_ratio })
    }

    fn penalty(coef: f64, estimator: KlEstimator) -> KlPlan {
        KlPlan { coef, estimator, ..crate::testing::kl() }
    }

    /// The loss of an update of these sequences.
    fn built(
        clip: &ClipPlan,
        kl: &KlPlan,
        aggregation: Aggregation,
        fixed_length: f64,
        sequences: &[TrainingSequence],
    ) -> Surrogate {
        let (ratio, clip, kl) = (RatioLevel::Token, clip.clone(), kl.clone());
        let plan = SurrogatePlan { ratio, clip, kl, aggregation, ..crate::testing::surrogate() };
        Surrogate::new(&plan, &UpdateCounts::of(sequences, fixed_length))
    }

    /// Whether nothing was added to any sum.
    fn is_nothing(totals: &LossTotals) -> bool {
        let LossTotals { loss, tokens, logprob_diff_max, figures } = totals;
        (*loss, *tokens, *logprob_diff_max) == (0.0, 0, 0.0)
            && figures.iter().all(|sum| *sum == 0.0)
    }

    const AGGREGATIONS: [Aggregation; 3] =
        [Aggregation::SequenceMean, Aggregation::TokenMean, Aggregation::FixedLength];

    /// A maximum passes over NaN; a number that says whether sampler and trainer agree must not.
    #[test]
    fn log_probs_that_are_not_finite_show_in_the_totals_wherever_they_stand() {
        let loss = |sampled: &[f32], logprobs: &[f32]| {
            let one = sequence(&vec![true; logprobs.len()], sampled, 0.0);
            let sequences = std::slice::from_ref(&one);
            let (clip, penalty) = (clip(0.2, 0.2, None), penalty(0.0, KlEstimator::K3));
            let loss = built(&clip, &penalty, Aggregation::TokenMean, 8.0, sequences);
            let difference = logprob_difference(&one, logprobs);
            LossTotals {
                logprob_diff_max: difference,
                ..loss.evaluate(&one, Said::of(logprobs)).totals
            }
        };
        let nan = loss(&[-1.0; 3], &[-1.0, f32::NAN, -1.5]);
        assert!(nan.logprob_diff_max.is_nan() && nan.loss.is_nan(), "{nan:?}");
        assert!(loss(&[f32::NAN; 2], &[f32::NAN; 2]).logprob_diff_max.is_nan());
        let fine = loss(&[-1.0; 2], &[-1.0, -1.25]);
        let names = &FIGURES[2..];
        assert_eq!((fine.logprob_diff_max, fine.not_finite(names)), (0.25, None));
        for (first, second) in [(&fine, &nan), (&nan, &fine)] {
            let mut sum = first.clone();
            sum.add(second);
            assert!(sum.logprob_diff_max.is_nan() && sum.not_finite(names).is_some());
        }
        // Without an advantage the clipped loss of an infinite log-prob is finite; its distance is not.
        let lost = loss(&[-1.0], &[f32::NEG_INFINITY]).not_finite(names);
        assert_eq!(lost.map(|(sum, _)| sum), Some("largest difference of log-probs"));
        let sum = LossTotals { figures: vec![0.0, f64::NAN], ..LossTotals::default() };
        assert_eq!(sum.not_finite(names).map(|(sum, _)| sum), Some("ratio.mean"));
    }

    #[test]
    fn on_policy_the_ratio_is_exactly_one_and_the_gradient_is_the_policy_gradient() {
        let mut one = sequence(&[true; 3], &[-0.1, -7.3, -1e-7], 1.5);
        one.reference_logprobs.clear();
        let loss = built(
            &clip(0.0, 0.0, Some(1.0)),
            &penalty(0.0, KlEstimator::K3),
            Aggregation::TokenMean,
            8.0,
            std::slice::from_ref(&one),
        );
        let output = loss.evaluate(&one, Said::of(&[-0.1, -7.3, -1e-7]));
        assert_eq!(output.gradient, vec![-0.5; 3]);
        assert_eq!(loss.figures(), ["clip_fraction", "ratio.mean"]);
        assert_eq!(output.totals.figures, [0.0, 3.0]);
        assert_eq!(logprob_difference(&one, &[-0.1, -7.3, -1e-7]), 0.0);
    }

    /// Two sequences on-policy with A = 1 and A = −2, of two and four tokens, one of those masked:
    /// losses per token −1, −1 and 2, 2, 2.
    #[test]
    fn aggregations_match_values_computed_by_hand() {
        let sequences = [
            sequence(&[true, true], &[-1.0; 2], 1.0),
            sequence(&[true, true, false, true], &[-1.0; 4], -2.0),
        ];
        let expected = [
            (Aggregation::SequenceMean, 0.5, -0.25, 1.0 / 3.0),
            (Aggregation::TokenMean, 0.8, -0.2, 0.4),
            (Aggregation::FixedLength, 0.2, -0.05, 0.1),
        ];
        for (aggregation, value, first, second) in expected {
            let loss = built(
                &clip(0.2, 0.2, None),
                &penalty(0.0, KlEstimator::K3),
                aggregation,
                20.0,
                &sequences,
            );
            let one = loss.evaluate(&sequences[0], Said::of(&[-1.0; 2]));
            let other = loss.evaluate(&sequences[1], Said::of(&[-1.0; 4]));
            assert!((one.totals.loss + other.totals.loss - value).abs() < 1e-12);
            assert_eq!(one.gradient, vec![first as f32; 2]);
            assert_eq!(other.gradient, [second as f32, second as f32, 0.0, second as f32]);
        }
    }

    /// One token, d = −0.5 from the reference, β = 0.1: k2 adds 0.1 · 0.125 and 0.1 · 0.5.
    #[test]
    fn the_penalty_is_added_with_its_factor() {
        let mut one = sequence(&[true], &[-1.0], 2.0);
        one.reference_logprobs = vec![-1.5];
        let loss = built(
            &clip(0.2, 0.2, None),
            &penalty(0.1, KlEstimator::K2),
            Aggregation::TokenMean,
            4.0,
            std::slice::from_ref(&one),
        );
        let output = loss.evaluate(&one, Said::of(&[-1.0]));
        assert!((output.totals.loss - (-2.0 + 0.0125)).abs() < 1e-12);
        assert_eq!(loss.figures(), FIGURES);
        assert_eq!(output.totals.figures, [0.125, 0.0, 0.0, 1.0]);
        assert!((f64::from(output.gradient[0]) - (-2.0 + 0.05)).abs() < 1e-6);
    }

    /// Two sequences on-policy without an advantage, with factor 0.5: of the first the tokens of entropies 0.8 and 1.2 are
    /// trained, of the second the one of entropy 2. The bonus is taken off, each token with its weight.
    #[test]
    fn the_entropy_bonus_is_taken_off_with_its_factor() {
        let sequences =
            [sequence(&[true, false, true], &[-1.0; 3], 0.0), sequence(&[true], &[-1.0], 0.0)];
        let entropies: [&[f32]; 2] = [&[0.8, 9.0, 1.2], &[2.0]];
        for (aggregation, value, of_first, of_second) in [
            (Aggregation::SequenceMean, -0.5 * (1.0 + 2.0) / 2.0, -0.125, -0.25),
            (Aggregation::TokenMean, -0.5 * 4.0 / 3.0, -0.5 / 3.0, -0.5 / 3.0),
            (Aggregation::FixedLength, -0.5 * 4.0 / 20.0, -0.025, -0.025),
        ] {
            let plan =
                SurrogatePlan { aggregation, entropy_coef: 0.5, ..crate::testing::surrogate() };
            let loss = Surrogate::new(&plan, &UpdateCounts::of(&sequences, 20.0));
            let of = |index: usize| {
                let targets = &[-1.0_f32; 3][..entropies[index].len()];
                let said = Said { entropies: entropies[index], ..Said::of(targets) };
                loss.evaluate(&sequences[index], said)
            };
            let (first, second) = (of(0), of(1));
            let total = first.totals.loss + second.totals.loss;
            assert!((total - value).abs() < 1e-7, "{aggregation:?}: {total}");
            assert_eq!(first.entropies, [of_first, 0.0, of_first].map(|x: f64| x as f32));
            assert_eq!(second.entropies, [of_second as f32]);
            assert_eq!((first.gradient, second.gradient), (vec![0.0; 3], vec![0.0]));
        }
    }

    /// Sequences with masks, both signs of advantage, and log-probs inside and outside the bounds.
    fn update() -> (Vec<TrainingSequence>, Vec<Vec<f32>>) {
        let mut sequences = vec![
            sequence(&[true, true, false, true], &[-1.0, -2.0, -0.5, -3.0], 1.3),
            sequence(&[true, true], &[-0.4, -1.1], -0.7),
            sequence(&[false, false], &[-0.4, -1.1], 2.0),
            sequence(&[], &[], 1.0),
            sequence(&[true; 3], &[-2.0, -0.2, -1.0], 0.0),
        ];
        let logprobs = vec![
            vec![-0.7, -2.1, -9.0, -3.6],
            vec![-0.9, -1.05],
            vec![-0.3, -0.2],
            vec![],
            vec![-1.4, -0.3, -1.9],
        ];
        for one in &mut sequences {
            one.reference_logprobs = one.sampled_logprobs.iter().map(|x| x - 0.3).collect();
        }
        (sequences, logprobs)
    }

    #[test]
    fn whole_gradients_agree_with_central_differences() {
        let (sequences, logprobs) = update();
        for aggregation in AGGREGATIONS {
            for estimator in [KlEstimator::K1, KlEstimator::K2, KlEstimator::K3] {
                let loss = built(
                    &clip(0.2, 0.25, Some(1.5)),
                    &penalty(0.2, estimator),
                    aggregation,
                    30.0,
                    &sequences,
                );
                for (one, logprobs) in sequences.iter().zip(&logprobs) {
                    assert_gradient(&loss, one, logprobs);
                }
            }
        }
    }

    #[test]
    fn masked_tokens_have_no_gradient_and_untrained_sequences_no_share() {
        let (sequences, mut logprobs) = update();
        logprobs[0][2] = f32::NAN;
        for aggregation in AGGREGATIONS {
            let loss = built(
                &clip(0.2, 0.2, None),
                &penalty(0.5, KlEstimator::K3),
                aggregation,
                30.0,
                &sequences,
            );
            assert_eq!(
                loss.evaluate(&sequences[0], Said::of(&logprobs[0])).gradient[2].to_bits(),
                0
            );
            let masked = loss.evaluate(&sequences[2], Said::of(&logprobs[2]));
            assert_eq!(masked.gradient, vec![0.0; 2]);
            assert!(is_nothing(&masked.totals));
            let empty = loss.evaluate(&sequences[3], Said::of(&[]));
            assert!(is_nothing(&empty.totals) && empty.gradient.is_empty());
        }
    }

    /// Documented counting of sequences without trained tokens: in no mean, and the fixed length is a constant.
    #[test]
    fn untrained_sequences_count_as_documented() {
        let trained = sequence(&[true, true], &[-1.0; 2], 1.0);
        let untrained = [sequence(&[false; 5], &[-1.0; 5], 1.0), sequence(&[], &[], 1.0)];
        for (aggregation, alone, together) in [
            (Aggregation::SequenceMean, -1.0, -1.0),
            (Aggregation::TokenMean, -1.0, -1.0),
            (Aggregation::FixedLength, -2.0 / 12.0, -2.0 / 12.0),
        ] {
            let total = |sequences: &[TrainingSequence]| {
                built(
                    &clip(0.2, 0.2, None),
                    &penalty(0.0, KlEstimator::K3),
                    aggregation,
                    12.0,
                    sequences,
                )
                .evaluate(&trained, Said::of(&[-1.0; 2]))
                .totals
                .loss
            };
            let all = [trained.clone(), untrained[0].clone(), untrained[1].clone()];
            assert!((total(std::slice::from_ref(&trained)) - alone).abs() < 1e-12);
            assert!((total(&all) - together).abs() < 1e-12);
        }
    }

    #[test]
    fn an_update_without_trained_tokens_is_zero_and_not_nan() {
        let nothing = [sequence(&[false; 2], &[-1.0; 2], 3.0)];
        for aggregation in AGGREGATIONS {
            for sequences in [&nothing[..], &[]] {
                let loss = built(
                    &clip(0.2, 0.2, None),
                    &penalty(0.1, KlEstimator::K1),
                    aggregation,
                    0.0,
                    sequences,
                );
                let output = loss.evaluate(&nothing[0], Said::of(&[-5.0; 2]));
                assert!(is_nothing(&output.totals));
            }
        }
    }

    #[test]
    fn totals_and_gradients_do_not_depend_on_the_split_into_micro_batches() {
        let (sequences, logprobs) = update();
        for aggregation in AGGREGATIONS {
            let loss = built(
                &clip(0.2, 0.25, None),
                &penalty(0.2, KlEstimator::K3),
                aggregation,
                30.0,
                &sequences,
            );
            let whole = |range: std::ops::Range<usize>| {
                let mut totals = LossTotals::default();
                let mut gradients = Vec::new();
                for index in range {
                    let output = loss.evaluate(&sequences[index], Said::of(&logprobs[index]));
                    totals.add(&output.totals);
                    gradients.extend(output.gradient);
                }
                (totals, gradients)
            };
            let (all, gradients) = whole(0..5);
            for split in 1..5 {
                let (mut totals, mut joined) = whole(0..split);
                let (rest, tail) = whole(split..5);
                totals.add(&rest);
                joined.extend(tail);
                assert_eq!(joined, gradients);
                assert!((totals.loss - all.loss).abs() < 1e-12);
                assert_eq!(totals.tokens, all.tokens);
                assert_eq!(totals.figures[2], all.figures[2], "clipped tokens");
            }
        }
    }

    #[test]
    fn the_total_of_an_update_equals_the_formula_written_out() {
        let (sequences, logprobs) = update();
        let loss = built(
            &clip(0.2, 0.25, None),
            &penalty(0.2, KlEstimator::K3),
            Aggregation::TokenMean,
            30.0,
            &sequences,
        );
        let total: f64 =
            (0..5).map(|i| loss.evaluate(&sequences[i], Said::of(&logprobs[i])).totals.loss).sum();
        let mut written_out = 0.0;
        for (one, logprobs) in sequences.iter().zip(&logprobs) {
            for (token, &logprob) in logprobs.iter().enumerate() {
                if one.mask[token] {
                    let x = f64::from(logprob);
                    let rho = (x - f64::from(one.sampled_logprobs[token])).exp();
                    let d = f64::from(one.reference_logprobs[token]) - x;
                    let bounded = rho.clamp(0.8, 1.25);
                    written_out -=
                        (rho * one.advantages[token]).min(bounded * one.advantages[token]);
                    written_out += 0.2 * (d.exp() - 1.0 - d);
                }
            }
        }
        assert!((total - written_out / 8.0).abs() < 1e-9);
    }
}
