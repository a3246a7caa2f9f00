//! Distillation: how far the student's distribution at each target is from the teacher's, a mean over the targets of the
//! update.
//!
//! The teacher names its most likely tokens and their log-probs. All other tokens together are one more outcome, whose
//! probability is what is left over on either side, so that what is minimised is the divergence of two distributions: it is
//! never negative, and at most the divergence over the whole vocabulary. Where the teacher names every token, nothing is
//! left over.

use super::divergence::{self, DivergenceTerm};
use super::{Loss, LossOutput, LossTotals, Said, UpdateCounts};
use crate::plan::{DistillationPlan, DivergencePlan, OtherTokens};
use crate::rollout::TrainingSequence;

/// The least probability of what is left over; below it a sum of rounded probabilities says nothing.
const LEAST: f64 = 1e-9;
/// How many times as likely the other tokens may be to the teacher as to the student before the divergence goes on as a
/// straight line: its slope grows with the ratio, and 32 bits could not hold the difference of slopes any more.
const LARGEST_RATIO: f64 = 1e3;

/// The loss of one update.
#[derive(Clone, Debug, PartialEq)]
pub struct Distillation {
    plan: DistillationPlan,
    scale: f64,
}

/// What is reported beside the loss: how unlikely the targets are to the student.
const FIGURES: [&str; 1] = ["nll"];

impl Distillation {
    /// The loss of one update.
    pub fn new(plan: &DistillationPlan, counts: &UpdateCounts) -> Self {
        let scale = if counts.tokens == 0 { 0.0 } else { 1.0 / counts.tokens as f64 };
        Self { plan: plan.clone(), scale }
    }

    /// The divergence at one target, and its derivative by the log-prob of each token that the teacher names.
    fn at_target(&self, student: &[f32], teacher: &[f32]) -> (f64, Vec<f64>) {
        let divergence = &self.plan.divergence;
        let rest = match self.plan.other_tokens {
            OtherTokens::None => DivergenceTerm { value: 0.0, slope: 0.0 },
            OtherTokens::OneOutcome => left_over(divergence, student, teacher),
        };
        let mut value = rest.value;
        let derivative = |(student, teacher): (&f32, &f32)| {
            let (student, teacher) = (f64::from(*student), f64::from(*teacher));
            let term = divergence::term(divergence, student, teacher);
            value += term.value;
            // What a token gains, the others lose.
            student.exp() * (term.slope - rest.slope)
        };
        let derivatives = student.iter().zip(teacher).map(derivative).collect();
        (value, derivatives)
    }
}

/// What all tokens that the teacher does not name add together.
fn left_over(divergence: &DivergencePlan, student: &[f32], teacher: &[f32]) -> DivergenceTerm {
    let left =
        |logprobs: &[f32]| 1.0 - logprobs.iter().map(|one| f64::from(*one).exp()).sum::<f64>();
    let (student, teacher) = (left(student), left(teacher).max(LEAST));
    let bounded = student.max(LEAST).max(teacher / LARGEST_RATIO);
    let term = divergence::term(divergence, bounded.ln(), teacher.ln());
    DivergenceTerm { value: term.value + term.slope * (student - bounded), ..term }
}

impl Loss for Distillation {
    fn evaluate(&self, sequence: &TrainingSequence, said: Said<'_>) -> LossOutput {
        let (teacher, length) = (&sequence.candidates, sequence.mask.len());
        let width = teacher.width;
        assert_eq!(said.targets.len(), length, "one log-prob per target");
        assert_eq!(said.candidates.len(), length * width, "one log-prob per candidate");
        let mut totals = LossTotals { figures: vec![0.0], ..LossTotals::default() };
        let mut candidates = vec![0.0; length * width];
        for token in (0..length).filter(|token| sequence.mask[*token]) {
            let range = token * width..(token + 1) * width;
            let (student, teacher) =
                (&said.candidates[range.clone()], &teacher.logprobs[range.clone()]);
            let (value, derivatives) = self.at_target(student, teacher);
            totals.loss += self.scale * value;
            totals.tokens += 1;
            totals.figures[0] -= f64::from(said.targets[token]);
            for (to, derivative) in candidates[range].iter_mut().zip(derivatives) {
                *to = (self.scale * derivative) as f32;
            }
        }
        let gradient = vec![0.0; length];
        LossOutput { gradient, candidates, totals, ..LossOutput::default() }
    }

    fn figures(&self) -> &'static [&'static str] {
        &FIGURES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::Candidates;

    const KINDS: [DivergencePlan; 3] = [
        DivergencePlan::ForwardKl,
        DivergencePlan::ReverseKl,
        DivergencePlan::JensenShannon { beta: 0.3 },
    ];

    /// The log-probs of a row of logits.
    fn log_softmax(logits: &[f64]) -> Vec<f64> {
        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
        logits.iter().map(|logit| logit - sum.ln()).collect()
    }

    fn narrow(values: &[f64]) -> Vec<f32> {
        values.iter().map(|value| *value as f32).collect()
    }

    /// A sequence of two targets, of which the second is masked, whose teacher names the first tokens.
    fn sequence(teacher: &[f64], width: usize) -> TrainingSequence {
        let mut one = TrainingSequence::new(&[1], &[0, 1]);
        one.mask[1] = false;
        let tokens = (0..2).flat_map(|_| 0..width as u32).collect();
        let logprobs = [&narrow(&teacher[..width])[..], &vec![-1.0; width]].concat();
        one.candidates = Candidates { width, tokens, logprobs };
        one
    }

    fn output(
        (divergence, other_tokens): (DivergencePlan, OtherTokens),
        student: &[f64],
        one: &TrainingSequence,
    ) -> LossOutput {
        let plan = DistillationPlan { divergence, other_tokens };
        let loss = Distillation::new(&plan, &UpdateCounts::of([one], 0.0));
        let width = one.candidates.width;
        let candidates = [&narrow(&student[..width])[..], &vec![-2.0; width]].concat();
        let targets = [student[0] as f32, -3.0];
        loss.evaluate(one, Said { targets: &targets, entropies: &[], candidates: &candidates })
    }

    /// The derivative by each logit of the student that the derivatives by log-probs amount to.
    fn by_logits(output: &LossOutput, student: &[f64], width: usize) -> Vec<f64> {
        let weights: Vec<f64> = output.candidates[..width].iter().map(|w| f64::from(*w)).collect();
        let total: f64 = weights.iter().sum();
        let own = |index: usize| weights.get(index).copied().unwrap_or(0.0);
        (0..student.len()).map(|index| own(index) - student[index].exp() * total).collect()
    }

    #[test]
    fn the_gradient_by_the_logits_of_the_student_is_that_of_the_loss() {
        let logits = [0.3, -1.2, 2.0, 0.0, -0.7, 1.1];
        let teacher = log_softmax(&[1.0, 0.2, 1.5, -0.3, -1.0, 0.4]);
        for divergence in KINDS {
            for (width, others) in [(6, OtherTokens::None), (4, OtherTokens::OneOutcome)] {
                let one = sequence(&teacher, width);
                let kind = (divergence.clone(), others);
                let student = log_softmax(&logits);
                let found = by_logits(&output(kind.clone(), &student, &one), &student, width);
                for (at, found) in found.iter().enumerate() {
                    let value = |by: f64| {
                        let mut logits = logits;
                        logits[at] += by;
                        output(kind.clone(), &log_softmax(&logits), &one).totals.loss
                    };
                    let difference = (value(1e-3) - value(-1e-3)) / 2e-3;
                    assert!(
                        (difference - found).abs() < 1e-4,
                        "{kind:?} {at}: {difference} {found}"
                    );
                }
            }
        }
    }

    /// Over every token the gradient of the forward divergence is p − q, and what is masked has none.
    #[test]
    fn forward_divergence_over_all_tokens_moves_by_the_difference_of_probabilities() {
        let (student, teacher) = (log_softmax(&[0.5, 0.0, -1.0]), log_softmax(&[0.0, 0.3, 0.1]));
        let one = sequence(&teacher, 3);
        let found = output((DivergencePlan::ForwardKl, OtherTokens::None), &student, &one);
        for (index, found_at) in by_logits(&found, &student, 3).iter().enumerate() {
            let expected = student[index].exp() - teacher[index].exp();
            assert!((found_at - expected).abs() < 1e-6);
        }
        assert!(found.candidates[3..].iter().all(|derivative| derivative.to_bits() == 0));
        assert_eq!((found.totals.tokens, found.gradient), (1, vec![0.0; 2]));
        assert!((found.totals.figures[0] + student[0]).abs() < 1e-6);
    }

    /// Lumping outcomes together never raises a divergence, and keeps it at 0 for equals.
    #[test]
    fn tokens_that_are_not_named_are_one_outcome() {
        let (student, teacher) =
            (log_softmax(&[0.5, 0.0, -1.0, 2.0]), log_softmax(&[0.0, 0.3, 0.1, 1.0]));
        for divergence in KINDS {
            let whole = (divergence.clone(), OtherTokens::None);
            let whole = output(whole, &student, &sequence(&teacher, 4)).totals.loss;
            let mut last = -1e-9;
            for width in 1..=3 {
                let kind = (divergence.clone(), OtherTokens::OneOutcome);
                let lumped = output(kind.clone(), &student, &sequence(&teacher, width)).totals.loss;
                assert!(lumped >= last && lumped <= whole + 1e-7, "{kind:?}, {width}: {lumped}");
                let equal = output(kind, &teacher, &sequence(&teacher, width)).totals.loss;
                assert!(equal.abs() < 1e-6, "{equal}");
                last = lumped;
            }
        }
    }

    /// A student or a teacher that is sure of what is named leaves rounding to the other tokens.
    #[test]
    fn certainty_on_either_side_stays_finite() {
        for divergence in KINDS {
            for (student, teacher) in [
                ([0.0, -40.0], [-0.1, -40.0]),
                ([-0.1, -40.0], [0.0, -40.0]),
                ([0.0, -40.0], [0.0, -40.0]),
            ] {
                let kind = (divergence.clone(), OtherTokens::OneOutcome);
                let found = output(kind, &student, &sequence(&teacher, 2));
                let finite = found.candidates.iter().all(|derivative| derivative.is_finite());
                assert!(found.totals.loss.is_finite() && finite, "{divergence:?} {found:?}");
                assert!(found.candidates[0].abs() <= 1.1e3, "{divergence:?} {found:?}");
            }
        }
    }
}
