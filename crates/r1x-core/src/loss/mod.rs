//! Losses: each returns its value and its derivative with respect to every token's log-prob.
//!
//! A policy loss depends on the network only through the log-probs of the sampled tokens, so a slice
//! function with a closed-form derivative is the whole loss; the model back-propagates
//! Σ stop_grad(gradient) · logprob. Must not know tensors or models.

use crate::rollout::TrainingSequence;

/// A loss over one sequence at a time; everything that normalises over the batch (token counts, number of
/// sequences) is fixed when the loss is built for an update, so micro-batches add up exactly.
pub trait Loss: Sync {
    /// Loss and gradient of one sequence. `logprobs` and the gradient have one entry per completion token.
    fn evaluate(&self, sequence: &TrainingSequence, logprobs: &[f32]) -> LossOutput;
}

/// What a loss says about one sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossOutput {
    /// d loss / d logprob per completion token; exactly 0 where masked.
    pub gradient: Vec<f32>,
    /// The sequence's share of the sums.
    pub totals: LossTotals,
}

/// Sums over sequences; `loss` is already normalised, so a plain sum over the batch is the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossTotals {
    /// Share of the loss.
    pub loss: f64,
    /// Unmasked tokens.
    pub tokens: u64,
    /// Σ KL estimate over unmasked tokens.
    pub kl: f64,
    /// Tokens whose ratio is outside the clip range on the side that stops the gradient.
    pub clipped: u64,
    /// Σ ratio over unmasked tokens.
    pub ratio: f64,
    /// Largest |logprob − sampled logprob| over unmasked tokens.
    pub logprob_diff_max: f64,
    /// Σ logprob over unmasked tokens.
    pub logprob: f64,
}

impl LossTotals {
    /// Adds another share.
    pub fn add(&mut self, other: &LossTotals) {
        self.loss += other.loss;
        self.tokens += other.tokens;
        self.kl += other.kl;
        self.clipped += other.clipped;
        self.ratio += other.ratio;
        self.logprob_diff_max = self.logprob_diff_max.max(other.logprob_diff_max);
        self.logprob += other.logprob;
    }
}
