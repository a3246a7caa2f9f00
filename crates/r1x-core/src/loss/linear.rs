//! The loss whose derivative is known before the pass: it is linear in what the model says.

use super::{Loss, LossOutput, LossTotals, Said};
use crate::rollout::TrainingSequence;

/// −Σ advantage · said over the unmasked targets, without a denominator: an advantage is how much a target should say
/// more of, and less its sign the derivative by what is said.
///
/// A linear loss carries the gradient of a loss that sees more than a sequence, such as one over pairs: whoever computed that loss
/// knows its value, and the value here is only what the gradient is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Linear;

impl Loss for Linear {
    fn evaluate(&self, sequence: &TrainingSequence, said: Said<'_>) -> LossOutput {
        let said = said.targets;
        assert_eq!(said.len(), sequence.mask.len(), "one number per target");
        let mut totals = LossTotals::default();
        let mut gradient = vec![0.0; said.len()];
        for (token, &said) in said.iter().enumerate() {
            if !sequence.mask[token] {
                continue;
            }
            let advantage = sequence.advantages.get(token).copied().unwrap_or_default();
            totals.tokens += 1;
            totals.loss -= advantage * f64::from(said);
            gradient[token] = -advantage as f32;
        }
        LossOutput { gradient, totals, ..LossOutput::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_gradient, sequence};
    use super::*;

    #[test]
    fn matches_values_computed_by_hand() {
        let mut one = sequence(&[true, false, true], &[], 0.0);
        one.advantages = vec![0.5, 9.0, -2.0];
        let found = Linear.evaluate(&one, Said::of(&[-1.0, 3.0, 0.25]));
        assert_eq!(found.gradient, vec![-0.5, 0.0, 2.0]);
        assert_eq!((found.totals.loss, found.totals.tokens), (1.0, 2));
        assert_gradient(&Linear, &one, &[-1.0, 3.0, 0.25]);
    }

    #[test]
    fn a_sequence_that_nobody_credited_has_no_gradient() {
        let mut one = sequence(&[true, true], &[], 0.0);
        one.advantages.clear();
        assert_eq!(Linear.evaluate(&one, Said::of(&[1.0, 2.0])).gradient, vec![0.0, 0.0]);
    }
}
