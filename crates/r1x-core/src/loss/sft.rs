//! Supervised fine-tuning: the negative log-likelihood, a mean over all unmasked tokens of the update.

use super::{Loss, LossOutput, LossTotals, Said, UpdateCounts};
use crate::rollout::TrainingSequence;

/// −log π of every unmasked token, divided by the number of unmasked tokens in the whole update.
///
/// Empty and fully masked sequences add nothing and are not in the denominator; an update made of nothing
/// else has loss 0. Nothing was sampled, so there are no figures beside the loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Sft {
    scale: f64,
}

impl Sft {
    /// The loss of one update.
    pub fn new(counts: &UpdateCounts) -> Self {
        Self { scale: if counts.tokens == 0 { 0.0 } else { 1.0 / counts.tokens as f64 } }
    }
}

impl Loss for Sft {
    fn evaluate(&self, sequence: &TrainingSequence, said: Said<'_>) -> LossOutput {
        let logprobs = said.targets;
        assert_eq!(logprobs.len(), sequence.mask.len(), "one log-prob per target");
        let mut totals = LossTotals::default();
        let mut gradient = vec![0.0; logprobs.len()];
        for (token, &logprob) in logprobs.iter().enumerate() {
            if !sequence.mask[token] {
                continue;
            }
            totals.tokens += 1;
            totals.loss -= f64::from(logprob) * self.scale;
            gradient[token] = -self.scale as f32;
        }
        LossOutput { gradient, totals, ..LossOutput::default() }
    }

    /// A module of multi-token prediction learns by the likelihood of what it predicts (DeepSeek-V3 Technical Report,
    /// arXiv 2412.19437, equation 24). Targets that it has no row for are not in its sum, but in its denominator.
    fn further_tokens(&self) -> Option<&dyn Loss> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_gradient, sequence};
    use super::*;

    /// Log-probs −1, −2, (masked −8), −3 and −0.5: four tokens, mean 1.625.
    #[test]
    fn matches_values_computed_by_hand() {
        let sequences =
            [sequence(&[true, true, false], &[], 0.0), sequence(&[true, true], &[], 0.0)];
        let loss = Sft::new(&UpdateCounts::of(&sequences, 0.0));
        let first = loss.evaluate(&sequences[0], Said::of(&[-1.0, -2.0, -8.0]));
        let second = loss.evaluate(&sequences[1], Said::of(&[-3.0, -0.5]));
        assert_eq!(first.gradient, vec![-0.25, -0.25, 0.0]);
        assert_eq!(second.gradient, vec![-0.25, -0.25]);
        assert_eq!(first.totals.loss + second.totals.loss, 1.625);
        assert_eq!(first.totals.tokens + second.totals.tokens, 4);
    }

    #[test]
    fn gradient_agrees_with_central_differences() {
        let sequences = [sequence(&[true, false, true, true], &[], 0.0)];
        assert_gradient(
            &Sft::new(&UpdateCounts::of(&sequences, 0.0)),
            &sequences[0],
            &[-0.1, -4.0, -2.5, -0.9],
        );
    }

    #[test]
    fn nothing_to_train_on_is_zero_and_not_nan() {
        let sequences = [sequence(&[false], &[], 0.0), sequence(&[], &[], 0.0)];
        let loss = Sft::new(&UpdateCounts::of(&sequences, 0.0));
        assert_eq!(loss.evaluate(&sequences[0], Said::of(&[-1.0])).totals, LossTotals::default());
        assert_eq!(loss.evaluate(&sequences[1], Said::of(&[])), LossOutput::default());
    }
}
