//! Losses: each returns its value and its derivative with respect to every token's log-prob.
//!
//! A policy loss depends on the network only through the log-probs of the sampled tokens, so a slice function with a
//! closed-form derivative is the whole loss; the model back-propagates Σ stop_grad(gradient) · logprob. A loss may ask for
//! two things more, whose gradients are handed back in the same way: the entropy at each target, and the log-probs of
//! further tokens there ([`Candidates`](crate::rollout::Candidates)). Under a value head a model says values in place of
//! log-probs ([`crate::plan::HeadPlan`]), and all else is as it is. Losses over pairs of
//! sequences are in [`pair`], those over one number of a whole sequence in [`point`].

pub mod clip;
pub mod distillation;
pub mod divergence;
mod linear;
mod logistic;
pub mod pair;
mod penalty;
pub mod point;
mod ratio;
pub mod sft;
mod stale;
pub mod surrogate;
pub mod value;

pub use distillation::Distillation;
pub use linear::Linear;
pub use logistic::sigmoid;
pub use sft::Sft;
pub use surrogate::Surrogate;
pub use value::Value;

use crate::plan::LossPlan;
use crate::rollout::TrainingSequence;

/// A loss over one sequence at a time; everything that normalises over the batch (token counts, number of
/// sequences) is fixed when the loss is built for an update, so micro-batches add up exactly.
pub trait Loss: Sync {
    /// Loss and gradient of one sequence. From a model with a value head come values, of which only a loss that is made for
    /// them may be asked.
    fn evaluate(&self, sequence: &TrainingSequence, said: Said<'_>) -> LossOutput;

    /// Whether the loss reads [`Said::entropies`], which a model need not compute otherwise.
    fn reads_entropies(&self) -> bool {
        false
    }

    /// What modules of multi-token prediction learn by: a loss over the log-probs that a module gives to the targets of a
    /// sequence, with the denominators of this one. `None` where they learn nothing, and then they are not computed.
    fn further_tokens(&self) -> Option<&dyn Loss> {
        None
    }

    /// The figures that the loss reports beside its value, in the order of [`LossTotals::figures`]. Each is a mean over
    /// the trained tokens of an update, and is recorded under its name.
    fn figures(&self) -> &'static [&'static str] {
        &[]
    }

    /// What messages call the number that a model says of a target.
    fn target_word(&self) -> &'static str {
        "log-prob"
    }
}

/// The loss that a plan names, for one update. The table of losses: a new one is a file beside this one, a kind in
/// [`LossPlan`], and a row here.
pub fn build(plan: &LossPlan, counts: &UpdateCounts) -> Box<dyn Loss> {
    match plan {
        LossPlan::Likelihood => Box::new(Sft::new(counts)),
        LossPlan::Surrogate(plan) => Box::new(Surrogate::new(plan, counts)),
        LossPlan::Distillation(plan) => Box::new(Distillation::new(plan, counts)),
        LossPlan::Value(plan) => Box::new(Value::new(plan, counts)),
    }
}

/// What an update consists of, counted before it is split into micro-batches.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UpdateCounts {
    /// Sequences with a target that the loss falls on.
    pub sequences: usize,
    /// Targets that the loss falls on.
    pub tokens: usize,
    /// Targets if no rollout were dropped or short: a number of the plan, and 0 where no plan has one.
    pub planned_tokens: f64,
}

impl UpdateCounts {
    /// Counts all sequences of an update, not those of a micro-batch.
    pub fn of<S: AsRef<TrainingSequence>>(
        sequences: impl IntoIterator<Item = S>,
        planned_tokens: f64,
    ) -> Self {
        let counts = sequences.into_iter().map(|sequence| trained_tokens(sequence.as_ref()));
        let counts = counts.filter(|count| *count > 0);
        let none = Self { planned_tokens, ..Self::default() };
        counts.fold(none, |sum, tokens| Self {
            sequences: sum.sequences + 1,
            tokens: sum.tokens + tokens,
            ..sum
        })
    }
}

/// What a model says of the targets of one sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Said<'a> {
    /// One number per target: its log-prob in nats, or the value of everything before it under a value head.
    pub targets: &'a [f32],
    /// The entropy of the distribution that each target is drawn from, in nats; empty unless the loss reads entropies.
    pub entropies: &'a [f32],
    /// The log-probs of the candidates of the sequence, in nats, `[targets, width]`; empty where it has none.
    pub candidates: &'a [f32],
}

impl<'a> Said<'a> {
    /// The numbers of the targets and nothing else.
    pub fn of(targets: &'a [f32]) -> Self {
        Self { targets, ..Self::default() }
    }
}

/// What a loss says about one sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossOutput {
    /// d loss / d logprob per target; exactly 0 where masked.
    pub gradient: Vec<f32>,
    /// d loss / d entropy per target, or nothing where the loss reads no entropies.
    pub entropies: Vec<f32>,
    /// d loss / d logprob of each candidate, `[targets, width]`, or nothing where the loss reads none.
    pub candidates: Vec<f32>,
    /// The sequence's share of the sums.
    pub totals: LossTotals,
}

/// The largest |logprob − sampled logprob| over the trained targets of a sequence, in nats: whether trainer and sampler
/// agree. NaN when one of them is; 0 where nothing was sampled. It is no matter of the loss, so whoever watches an
/// update asks for it, whichever loss it is.
pub fn logprob_difference(sequence: &TrainingSequence, logprobs: &[f32]) -> f64 {
    let pairs = logprobs.iter().zip(&sequence.sampled_logprobs).zip(&sequence.mask);
    let trained = pairs.filter(|(_, trained)| **trained);
    trained.fold(0.0, |most, ((logprob, sampled), _)| {
        larger(most, (f64::from(*logprob) - f64::from(*sampled)).abs())
    })
}

/// Targets of a sequence that the loss falls on.
pub fn trained_tokens(sequence: &TrainingSequence) -> usize {
    sequence.mask.iter().filter(|&&trained| trained).count()
}

/// Sums over sequences; `loss` is already normalised, so a plain sum over the batch is the loss.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossTotals {
    /// Share of the loss.
    pub loss: f64,
    /// Unmasked targets.
    pub tokens: u64,
    /// What [`logprob_difference`] is at most; whoever watches an update fills it in, and a loss leaves it at 0.
    pub logprob_diff_max: f64,
    /// Sums over unmasked targets of the figures that [`Loss::figures`] names; empty before the first sequence.
    pub figures: Vec<f64>,
}

impl LossTotals {
    /// Adds another share, of the loss that this one is of.
    pub fn add(&mut self, other: &LossTotals) {
        self.loss += other.loss;
        self.tokens += other.tokens;
        self.logprob_diff_max = larger(self.logprob_diff_max, other.logprob_diff_max);
        if self.figures.is_empty() {
            self.figures.clone_from(&other.figures);
        } else {
            self.figures.iter_mut().zip(&other.figures).for_each(|(sum, more)| *sum += more);
        }
    }

    /// The first of the sums that is not finite, by its name; `figures` are those of the loss.
    pub fn not_finite(&self, figures: &'static [&'static str]) -> Option<(&'static str, f64)> {
        let sums =
            [("loss", self.loss), ("largest difference of log-probs", self.logprob_diff_max)];
        let figures = figures.iter().copied().zip(self.figures.iter().copied());
        sums.into_iter().chain(figures).find(|(_, value)| !value.is_finite())
    }
}

/// The larger number; NaN when either is, where `f64::max` would pass over it.
fn larger(one: f64, other: f64) -> f64 {
    if one.is_nan() || one > other { one } else { other }
}

/// Checks of closed-form derivatives, shared by the tests of everything with a derivative.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Compares a derivative with the central difference of `function` at `x`.
    ///
    /// # Panics
    /// When they differ by more than 1e-6 of their size.
    pub(crate) fn assert_derivative(function: impl Fn(f64) -> f64, x: f64, derivative: f64) {
        let step = 1e-5;
        let difference = (function(x + step) - function(x - step)) / (2.0 * step);
        let size = 1.0_f64.max(difference.abs()).max(derivative.abs());
        assert!(
            (difference - derivative).abs() <= 1e-6 * size,
            "derivative {derivative} at {x}, central difference {difference}"
        );
    }

    /// Compares every entry of a loss's gradient with the central difference of its total over f32 log-probs.
    ///
    /// # Panics
    /// When an entry differs by more than 2e-3 of the larger of both and 0.1.
    pub(crate) fn assert_gradient(loss: &dyn Loss, sequence: &TrainingSequence, logprobs: &[f32]) {
        let gradient = loss.evaluate(sequence, Said::of(logprobs)).gradient;
        assert_eq!(gradient.len(), logprobs.len());
        let value = |token: usize, shift: f32| {
            let mut moved = logprobs.to_vec();
            moved[token] += shift;
            (f64::from(moved[token]), loss.evaluate(sequence, Said::of(&moved)).totals.loss)
        };
        for (token, &entry) in gradient.iter().enumerate() {
            // The step is as large as f32 needs; dividing by the step actually taken removes its rounding.
            let (above, high) = value(token, 1e-3);
            let (below, low) = value(token, -1e-3);
            let difference = (high - low) / (above - below);
            let size = 0.1_f64.max(difference.abs());
            assert!(
                (difference - f64::from(entry)).abs() <= 2e-3 * size,
                "token {token}: gradient {entry}, central difference {difference}"
            );
        }
    }

    /// A sequence with a prompt of two tokens and one completion token per log-prob.
    pub(crate) fn sequence(mask: &[bool], sampled: &[f32], advantage: f64) -> TrainingSequence {
        TrainingSequence {
            tokens: vec![1; 2 + mask.len()],
            prompt_len: 2,
            mask: mask.to_vec(),
            advantages: vec![advantage; mask.len()],
            sampled_logprobs: sampled.to_vec(),
            ..TrainingSequence::default()
        }
    }
}
