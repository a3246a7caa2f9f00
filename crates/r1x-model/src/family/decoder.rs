//! The decoder: embedding, layers, last norm and head; forward for both trainer and sampler, backward.
//!
//! Everything works on rows; which sequence a row belongs to is said by its contexts. Must not know losses:
//! the backward pass starts from one number per predicted token.

use r1x_core::plan::{AttentionPlan, ModelPlan};
use r1x_ops::Real;
use r1x_ops::kernel::add_scaled;
use r1x_ops::kernel::attention::Context;
use r1x_ops::kernel::norm::{rms_norm, rms_norm_backward};
use r1x_ops::kernel::rope::{Pairing, Rope};
use r1x_ops::kernel::softmax::{TokenLogprob, token_logprob, token_logprob_backward};

use super::attention::{self, Block};
use super::feed_forward::{self, Balance};
use super::linear::{self, Gradient, reserve};
use super::{Arena, Rows};
use crate::layout::{Layer, Layout};
use crate::weights::Weights;

/// Rows of logits held at a time: `[rows, vocabulary]` never exists for a whole batch.
const HEAD_ROWS: usize = 64;

/// A model's structure, without its weights.
#[derive(Clone, Debug)]
pub struct Decoder<R> {
    /// Where parameters lie.
    pub layout: Layout,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Longest sequence.
    pub context_length: usize,
    eps: f64,
    rope: Rope<R>,
}

#[derive(Clone, Debug, Default)]
struct LayerStash<R> {
    input: Vec<R>,
    normed: Vec<R>,
    attention: attention::Stash<R>,
    middle: Vec<R>,
    middle_normed: Vec<R>,
    feed_forward: feed_forward::Stash<R>,
}

/// Buffers of one thread, reused from pass to pass.
#[derive(Clone, Debug, Default)]
pub struct Workspace<R> {
    layers: Vec<LayerStash<R>>,
    /// The residual stream `[rows, hidden]`.
    pub x: Vec<R>,
    dx: Vec<R>,
    d_normed: Vec<R>,
    head_input: Vec<R>,
    head_normed: Vec<R>,
    d_head: Vec<R>,
    logits: Vec<R>,
    gradient: Vec<R>,
}

/// Sequences packed row after row, as one forward pass wants them.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    /// Token of each row.
    pub tokens: Vec<u32>,
    /// Position of each row in its sequence.
    pub positions: Vec<usize>,
    /// Context of each row.
    pub contexts: Vec<Context>,
    /// First row of every sequence, and the number of rows.
    pub boundaries: Vec<usize>,
    /// Rows whose next token is predicted, in order.
    pub predicting: Vec<usize>,
    /// The tokens they predict.
    pub targets: Vec<u32>,
}

impl Packed {
    /// Packs sequences of (tokens, prompt length): completion tokens are the targets.
    pub fn new<'a>(sequences: impl IntoIterator<Item = (&'a [u32], usize)>) -> Self {
        let mut packed = Self::default();
        packed.boundaries.push(0);
        for (tokens, prompt) in sequences {
            let start = packed.tokens.len();
            // The last token predicts nothing, so it needs no row.
            let rows = tokens.len().saturating_sub(1);
            packed.tokens.extend(&tokens[..rows]);
            packed.positions.extend(0..rows);
            packed
                .contexts
                .extend((0..rows).map(|row| Context { prefix: (0, 0), suffix: (start, row + 1) }));
            packed.predicting.extend((prompt - 1..rows).map(|row| start + row));
            packed.targets.extend(&tokens[prompt..]);
            packed.boundaries.push(packed.tokens.len());
        }
        packed
    }

    /// The rows as a pass sees them.
    pub fn rows(&self) -> Rows<'_> {
        Rows { positions: &self.positions, contexts: &self.contexts }
    }
}

impl<R: Real> Decoder<R> {
    /// The structure of a planned model.
    pub fn new(plan: &ModelPlan, vocabulary: usize) -> Self {
        let (width, pairing) = match plan.attention {
            AttentionPlan::Gqa { head_dim, .. } => (head_dim, Pairing::Halves),
            AttentionPlan::Mla { qk_rope_head_dim, .. } => (qk_rope_head_dim, Pairing::Interleaved),
        };
        Self {
            layout: Layout::new(plan, vocabulary),
            hidden: plan.hidden_size,
            context_length: plan.context_length,
            eps: plan.norm_eps,
            rope: Rope::new(width, plan.context_length, plan.rope_theta, pairing),
        }
    }

    fn block<'a>(
        &'a self,
        layer: &'a Layer,
        weights: &'a Weights<R>,
        rows: Rows<'a>,
    ) -> Block<'a, R> {
        Block { attention: &layer.attention, weights, rope: &self.rope, eps: self.eps, rows }
    }

    /// Runs tokens through embedding and layers; the residual stream is left in the workspace. `caches` has
    /// one arena per layer when decoding, with the row each new row is written to.
    pub fn forward(
        &self,
        weights: &Weights<R>,
        tokens: &[u32],
        rows: Rows<'_>,
        mut caches: Option<(&mut [Vec<R>], &[usize])>,
        work: &mut Workspace<R>,
    ) {
        let (count, hidden) = (rows.len(), self.hidden);
        work.layers.resize_with(self.layout.layers.len(), LayerStash::default);
        let x = reserve(&mut work.x, count * hidden);
        let embedding = weights.matrix(self.layout.embedding);
        for (row, token) in x.chunks_mut(hidden).zip(tokens) {
            row.copy_from_slice(&embedding[*token as usize * hidden..][..hidden]);
        }
        for (index, (layer, stash)) in self.layout.layers.iter().zip(&mut work.layers).enumerate() {
            let arena = match &mut caches {
                None => Arena::Pass,
                Some((caches, write)) => Arena::Cache { rows: &mut caches[index], write },
            };
            self.layer_forward(layer, weights, rows, x, arena, stash);
        }
    }

    fn layer_forward(
        &self,
        layer: &Layer,
        weights: &Weights<R>,
        rows: Rows<'_>,
        x: &mut [R],
        arena: Arena<'_, R>,
        stash: &mut LayerStash<R>,
    ) {
        let (count, hidden, len) = (rows.len(), self.hidden, x.len());
        reserve(&mut stash.input, len).copy_from_slice(x);
        let normed = reserve(&mut stash.normed, len);
        let gain = weights.vector(layer.attention_norm);
        rms_norm((x, hidden), gain, self.eps, (normed, hidden), count);
        self.block(layer, weights, rows).forward(normed, x, arena, &mut stash.attention);
        reserve(&mut stash.middle, len).copy_from_slice(x);
        let normed = reserve(&mut stash.middle_normed, len);
        let gain = weights.vector(layer.feed_forward_norm);
        rms_norm((x, hidden), gain, self.eps, (normed, hidden), count);
        let block = &layer.feed_forward;
        feed_forward::forward(block, weights, normed, x, count, &mut stash.feed_forward);
    }

    /// Log-prob and entropy of each target at its predicting row, from the residual stream in the workspace.
    pub fn logprobs(
        &self,
        weights: &Weights<R>,
        predicting: &[usize],
        targets: &[u32],
        temperature: f64,
        work: &mut Workspace<R>,
    ) -> Vec<TokenLogprob<R>> {
        let mut result = Vec::with_capacity(targets.len());
        for (rows, targets) in predicting.chunks(HEAD_ROWS).zip(targets.chunks(HEAD_ROWS)) {
            let logits = self.logits(weights, rows, work);
            for (row, target) in logits.chunks(self.layout.vocabulary).zip(targets) {
                result.push(token_logprob(row, *target as usize, temperature));
            }
        }
        result
    }

    /// Logits `[rows, vocabulary]` at some rows of the residual stream.
    pub fn logits<'a>(
        &self,
        weights: &Weights<R>,
        rows: &[usize],
        work: &'a mut Workspace<R>,
    ) -> &'a mut [R] {
        let (hidden, count) = (self.hidden, rows.len());
        let input = reserve(&mut work.head_input, count * hidden);
        for (to, row) in input.chunks_mut(hidden).zip(rows) {
            to.copy_from_slice(&work.x[row * hidden..(row + 1) * hidden]);
        }
        let normed = reserve(&mut work.head_normed, count * hidden);
        let gain = weights.vector(self.layout.final_norm);
        rms_norm((input, hidden), gain, self.eps, (normed, hidden), count);
        let logits = reserve(&mut work.logits, count * self.layout.vocabulary);
        linear::forward(weights, self.layout.head, normed, logits, count, false);
        logits
    }

    /// Adds to the gradient of Σ token_gradients · logprob plus the balance loss, which is returned. Must
    /// follow the forward pass of the same rows in the same workspace.
    pub fn backward(
        &self,
        weights: &Weights<R>,
        packed: &Packed,
        token_gradients: &[R],
        temperature: f64,
        balance_weight: f64,
        gradient: &mut [R],
        work: &mut Workspace<R>,
    ) -> f64 {
        let (rows, hidden) = (packed.tokens.len(), self.hidden);
        let mut scratch = std::mem::take(&mut work.gradient);
        let gradient = &mut Gradient { values: gradient, scratch: &mut scratch };
        reserve(&mut work.dx, rows * hidden).fill(R::ZERO);
        reserve(&mut work.d_normed, rows * hidden);
        self.head_backward(weights, packed, token_gradients, temperature, gradient, work);
        let balance = Balance { boundaries: &packed.boundaries, weight: balance_weight };
        let mut loss = 0.0;
        let Workspace { layers, dx, d_normed, .. } = work;
        let (dx, d_normed) = (&mut dx[..rows * hidden], &mut d_normed[..rows * hidden]);
        for (layer, stash) in self.layout.layers.iter().zip(layers).rev() {
            loss += feed_forward::backward(
                &layer.feed_forward,
                weights,
                &stash.middle_normed[..rows * hidden],
                dx,
                d_normed,
                gradient,
                balance,
                &mut stash.feed_forward,
            );
            self.norm_backward(
                weights,
                layer.feed_forward_norm,
                &stash.middle,
                d_normed,
                dx,
                gradient,
            );
            let block = self.block(layer, weights, packed.rows());
            let normed = &stash.normed[..rows * hidden];
            block.backward(normed, dx, d_normed, gradient, &mut stash.attention);
            self.norm_backward(weights, layer.attention_norm, &stash.input, d_normed, dx, gradient);
        }
        let d_embedding = &mut gradient.values[self.layout.embedding.offset..];
        for (row, token) in dx.chunks(hidden).zip(&packed.tokens) {
            let to = &mut d_embedding[*token as usize * hidden..][..hidden];
            add_scaled(to, R::ONE, row);
        }
        work.gradient = scratch;
        loss
    }

    /// dx += norm's backward of dy at x.
    fn norm_backward(
        &self,
        weights: &Weights<R>,
        norm: crate::layout::Vector,
        x: &[R],
        dy: &[R],
        dx: &mut [R],
        gradient: &mut Gradient<'_, R>,
    ) {
        let (hidden, rows) = (self.hidden, dx.len() / self.hidden);
        let gain = weights.vector(norm);
        let d_gain = &mut gradient.values[norm.offset..norm.offset + norm.len];
        let (x, dy, dx) = ((x, hidden), (dy, hidden), (dx, hidden));
        rms_norm_backward(x, gain, self.eps, dy, dx, d_gain, rows, false);
    }

    fn head_backward(
        &self,
        weights: &Weights<R>,
        packed: &Packed,
        token_gradients: &[R],
        temperature: f64,
        gradient: &mut Gradient<'_, R>,
        work: &mut Workspace<R>,
    ) {
        let (hidden, vocabulary) = (self.hidden, self.layout.vocabulary);
        let chunks = packed.predicting.chunks(HEAD_ROWS).zip(packed.targets.chunks(HEAD_ROWS));
        for ((rows, targets), weight) in chunks.zip(token_gradients.chunks(HEAD_ROWS)) {
            // A row whose gradient is 0 everywhere (a group without signal) costs nothing.
            if weight.iter().all(|g| *g == R::ZERO) {
                continue;
            }
            let logits = self.logits(weights, rows, work);
            for ((row, target), weight) in logits.chunks_mut(vocabulary).zip(targets).zip(weight) {
                token_logprob_backward(row, *target as usize, temperature, *weight);
            }
            let count = rows.len();
            reserve(&mut work.d_head, 2 * count * hidden);
            let (d_normed, d_input) = work.d_head.split_at_mut(count * hidden);
            let d_input = &mut d_input[..count * hidden];
            let (normed, d_logits) = (&work.head_normed, &work.logits);
            let into = (&mut *d_normed, false);
            linear::backward(weights, self.layout.head, normed, d_logits, into, gradient, count);
            d_input.fill(R::ZERO);
            let norm = self.layout.final_norm;
            self.norm_backward(weights, norm, &work.head_input, d_normed, d_input, gradient);
            for (from, row) in d_input.chunks(hidden).zip(rows) {
                work.dx[row * hidden..(row + 1) * hidden].copy_from_slice(from);
            }
        }
    }

    /// Expert loads of the last pass: per layer with experts, rows that chose each expert.
    pub fn loads(&self, work: &Workspace<R>) -> Vec<Vec<usize>> {
        let layers = work.layers.iter().map(|stash| stash.feed_forward.loads().collect::<Vec<_>>());
        layers.filter(|loads| !loads.is_empty()).collect()
    }
}
