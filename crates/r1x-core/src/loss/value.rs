//! What a critic learns by: half the square of how far its value is from the return, with the value held near the one that
//! the estimate of the step was made with.
//!
//! Sources: Schulman et al. 2017, "Proximal Policy Optimization Algorithms", arXiv 1707.06347, equation 9 (the square); the
//! bound of the value is that of OpenAI's baselines, as Engstrom et al. 2020, "Implementation Matters in Deep Policy
//! Gradients", arXiv 2005.12729, section 3, write it down.

use super::point::PointOutput;
use super::{Loss, LossOutput, LossTotals, Said, UpdateCounts};
use crate::plan::ValueLossPlan;
use crate::rollout::TrainingSequence;

/// Figures of the loss.
const FIGURES: &[&str] = &["clipped"];

/// ½·max((V − R)², (V' − R)²) as a mean over the trained tokens of the update, where V' is V moved into the bounds around
/// what the critic has said before. Without bounds it is ½·(V − R)².
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    scale: f64,
    clip: Option<f64>,
}

impl Value {
    /// The loss of one update.
    pub fn new(plan: &ValueLossPlan, counts: &UpdateCounts) -> Self {
        let scale = if counts.tokens == 0 { 0.0 } else { 1.0 / counts.tokens as f64 };
        Self { scale, clip: plan.clip }
    }

    /// The loss and its derivative at one token.
    fn at(&self, value: f64, before: f64, wanted: f64) -> PointOutput {
        let half = |off: f64| 0.5 * off * off;
        let off = value - wanted;
        let held = match self.clip {
            Some(clip) => before + (value - before).clamp(-clip, clip) - wanted,
            None => off,
        };
        // Behind the bound the value that counts does not move with the one that is said.
        match half(held) > half(off) {
            true => PointOutput { loss: half(held), derivative: 0.0 },
            false => PointOutput { loss: half(off), derivative: off },
        }
    }
}

impl Loss for Value {
    fn evaluate(&self, sequence: &TrainingSequence, said: Said<'_>) -> LossOutput {
        let values = said.targets;
        let targets = [sequence.mask.len(), sequence.returns.len(), sequence.values.len()];
        assert_eq!(targets, [values.len(); 3], "one value per target");
        let mut totals = LossTotals { figures: vec![0.0], ..LossTotals::default() };
        let mut gradient = vec![0.0; values.len()];
        for (token, &value) in values.iter().enumerate() {
            if !sequence.mask[token] {
                continue;
            }
            let before = f64::from(sequence.values[token]);
            let PointOutput { loss, derivative } =
                self.at(f64::from(value), before, sequence.returns[token]);
            // Only the bound makes a loss that has no derivative.
            let is_clipped = loss > 0.0 && derivative == 0.0;
            totals.tokens += 1;
            totals.loss += loss * self.scale;
            totals.figures[0] += f64::from(u8::from(is_clipped));
            gradient[token] = (derivative * self.scale) as f32;
        }
        LossOutput { gradient, totals, ..LossOutput::default() }
    }

    fn figures(&self) -> &'static [&'static str] {
        FIGURES
    }

    fn target_word(&self) -> &'static str {
        "value"
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_gradient, sequence};
    use super::*;

    fn with(returns: &[f64], values: &[f32], mask: &[bool]) -> TrainingSequence {
        TrainingSequence {
            returns: returns.to_vec(),
            values: values.to_vec(),
            ..sequence(mask, &[], 0.0)
        }
    }

    /// Three trained tokens with bounds of 0.25: the first has moved from 0 to 0.5 towards a return of 1, so the bound
    /// decides with ½·0.75²; the second has moved away, ½·1.5²; the third has not moved, ½·0.5². The masked one is nothing.
    #[test]
    fn values_by_hand() {
        let one = with(&[1.0, 1.0, 9.0, 0.0], &[0.0, 0.0, 0.0, 0.5], &[true, true, false, true]);
        let counts = UpdateCounts::of([&one].map(AsRef::<TrainingSequence>::as_ref), 0.0);
        let said = Said::of(&[0.5, -0.5, 3.0, 0.5]);
        let clipped = Value::new(&ValueLossPlan { clip: Some(0.25) }, &counts);
        let found = clipped.evaluate(&one, said);
        assert!((found.totals.loss - (0.28125 + 1.125 + 0.125) / 3.0).abs() < 1e-15);
        assert_eq!(found.gradient, [0.0, -0.5, 0.0, 1.0 / 6.0]);
        assert_eq!((found.totals.tokens, &found.totals.figures[..]), (3, &[1.0][..]));
        let free = Value::new(&ValueLossPlan { clip: None }, &counts);
        let found = free.evaluate(&one, said);
        assert!((found.totals.loss - (0.125 + 1.125 + 0.125) / 3.0).abs() < 1e-15);
        assert_eq!(found.totals.figures, [0.0]);
    }

    #[test]
    fn gradient_agrees_with_central_differences() {
        let one = with(&[0.5, -1.0, 0.25], &[0.25, 0.5, 0.0], &[true, true, true]);
        let counts = UpdateCounts { sequences: 1, tokens: 3, planned_tokens: 0.0 };
        for clip in [None, Some(0.2)] {
            let loss = Value::new(&ValueLossPlan { clip }, &counts);
            for said in [[0.3, 0.6, -0.1], [0.9, -0.4, 2.0], [0.4, 0.1, 0.15]] {
                assert_gradient(&loss, &one, &said);
            }
        }
    }
}
