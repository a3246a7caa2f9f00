//! What is asked of a model at the targets of packed sequences, what it answers, and the gradient that comes back.
//!
//! Most losses ask for the log-prob of each target and nothing else. The entropy there and further tokens are parts that
//! may be missing, so that whoever asks for one number a target pays for one.

use std::ops::Range;
use std::sync::Arc;

use r1x_core::TrainingSequence;
use r1x_core::loss::{Loss, LossOutput, Said};
use r1x_ops::Real;

/// What is asked at the predicting rows of some targets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The targets.
    pub targets: &'a [u32],
    /// Further tokens at each target.
    pub width: usize,
    /// The further tokens, `[targets, width]`.
    pub further: &'a [u32],
}

impl<'a> Asked<'a> {
    /// The targets and nothing else.
    pub fn of(targets: &'a [u32]) -> Self {
        Self { targets, ..Self::default() }
    }

    /// The further tokens at a target.
    pub fn candidates(&self, target: usize) -> &'a [u32] {
        &self.further[target * self.width..(target + 1) * self.width]
    }
}

/// What a model answers.
#[derive(Clone, Debug, Default)]
pub struct Answers<R> {
    /// One number per target: its log-prob, or a value.
    pub targets: Vec<R>,
    /// The entropy at each target, nats; empty under a value head.
    pub entropies: Vec<R>,
    /// The log-probs of further tokens, `[targets, width]`.
    pub candidates: Vec<R>,
}

impl Answers<f32> {
    /// What was said of each of some sequences, as a loss wants to hear it.
    pub fn by_sequence<'a>(
        &'a self,
        sequences: &'a [Arc<TrainingSequence>],
        loss: &dyn Loss,
    ) -> impl Iterator<Item = (&'a Arc<TrainingSequence>, Said<'a>)> {
        let entropies = if loss.reads_entropies() { &self.entropies[..] } else { &[] };
        let mut end = 0;
        sequences.iter().map(move |sequence| {
            let first = end;
            end += sequence.tokens.len() - sequence.prompt_len;
            let width = sequence.candidates.width;
            let said = Said {
                targets: &self.targets[first..end],
                entropies: entropies.get(first..end).unwrap_or_default(),
                candidates: &self.candidates[first * width..end * width],
            };
            (sequence, said)
        })
    }
}

/// The derivative of a loss by what a model has answered.
#[derive(Clone, Copy, Debug)]
pub struct Upstream<'a, R> {
    /// By the number of each target.
    pub targets: &'a [R],
    /// By the entropy at each target, or nothing.
    pub entropies: &'a [R],
    /// By the log-probs of further tokens, `[targets, width]`, or nothing.
    pub candidates: &'a [R],
}

impl<'a, R> From<&'a [R]> for Upstream<'a, R> {
    fn from(targets: &'a [R]) -> Self {
        Self { targets, entropies: &[], candidates: &[] }
    }
}

impl<'a, R> From<&'a Vec<R>> for Upstream<'a, R> {
    fn from(targets: &'a Vec<R>) -> Self {
        (&targets[..]).into()
    }
}

impl<'a, R: Real> Upstream<'a, R> {
    /// The derivatives by further tokens at a target.
    pub fn candidates(&self, target: usize) -> &'a [R] {
        // As many at each target, so the width is a quotient.
        let width = self.candidates.len() / self.targets.len().max(1);
        &self.candidates[target * width..(target + 1) * width]
    }

    /// The derivative by the entropy at a target.
    pub fn entropy(&self, target: usize) -> R {
        self.entropies.get(target).copied().unwrap_or(R::ZERO)
    }

    /// Whether every derivative at some targets is 0.
    pub fn is_silent(&self, targets: Range<usize>) -> bool {
        let silent = |part: &[R]| part.iter().all(|one| *one == R::ZERO);
        let width = self.candidates.len() / self.targets.len().max(1);
        silent(&self.targets[targets.clone()])
            && silent(self.entropies.get(targets.clone()).unwrap_or_default())
            && silent(&self.candidates[targets.start * width..targets.end * width])
    }
}

/// The derivatives of some sequences, one sequence after the other.
#[derive(Clone, Debug, Default)]
pub struct Derivatives {
    targets: Vec<f32>,
    entropies: Vec<f32>,
    candidates: Vec<f32>,
}

impl Derivatives {
    /// Adds the derivatives of a sequence.
    pub fn add(&mut self, output: LossOutput) {
        self.targets.extend(output.gradient);
        self.entropies.extend(output.entropies);
        self.candidates.extend(output.candidates);
    }

    /// Whether every derivative is 0.
    pub fn are_silent(&self) -> bool {
        Upstream::from(self).is_silent(0..self.targets.len())
    }
}

impl<'a> From<&'a Derivatives> for Upstream<'a, f32> {
    fn from(all: &'a Derivatives) -> Self {
        let Derivatives { targets, entropies, candidates } = all;
        Self { targets, entropies, candidates }
    }
}
