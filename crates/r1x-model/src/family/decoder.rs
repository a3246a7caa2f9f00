//! The decoder: embedding, layers, last norm and head; forward for both trainer and sampler, backward.
//!
//! Everything works on rows; which sequence a row belongs to is said by its contexts.

use r1x_core::plan::{AttentionPlan, ModelPlan, RopePairs};
use r1x_core::rope;
use r1x_ops::kernel::attention::{Segment, block_len};
use r1x_ops::kernel::norm::{rms_norm, rms_norm_backward};
use r1x_ops::kernel::rope::{Frequencies, Pairing, Rope};
use r1x_ops::kernel::{Write, add_scaled};
use r1x_ops::{Operand, Real};

use super::Rows;
use super::attention::{self, AttentionPass};
use super::feed_forward::{self, BackwardScratch, Balance, Normed};
use super::linear::{Gradient, reserve};
use super::mtp;
use super::packed::Packed;
use super::said::Upstream;
use crate::layout::{FeedForward, Layer, Layout, Vector};
use crate::weights::Weights;

/// A model's structure, without its weights.
#[derive(Clone, Debug)]
pub struct Decoder<E: Operand> {
    /// Where parameters lie.
    pub layout: Layout,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Rows of the vocabulary that are tokens: all, unless somebody knows better. Those behind them are never drawn, and
    /// have no part in a softmax.
    pub tokens: usize,
    /// Longest sequence.
    pub context_length: usize,
    /// Whether the backward pass computes activations again instead of keeping them. Its results are the same.
    pub recompute: bool,
    pub(super) eps: f64,
    rope: Rope<E::Real>,
}

/// What one layer leaves for its backward pass.
#[derive(Clone, Debug, Default)]
pub(super) struct LayerStash<E: Operand> {
    normed: Vec<E>,
    pub(super) attention: attention::Stash<E>,
    middle: Vec<E::Real>,
    middle_exact: Vec<E::Real>,
    middle_normed: Vec<E>,
    feed_forward: feed_forward::Stash<E>,
}

/// Buffers of one thread, reused from pass to pass.
#[derive(Clone, Debug, Default)]
pub struct Workspace<E: Operand> {
    pub(super) layers: Vec<LayerStash<E>>,
    /// Input of every layer.
    pub(super) inputs: Vec<Vec<E::Real>>,
    /// The residual stream `[rows, hidden]`.
    pub(super) x: Vec<E::Real>,
    /// What modules of multi-token prediction make of it.
    pub(super) mtp: mtp::Passes<E>,
    /// Keys and values of the layer that is being computed, in a pass over whole sequences.
    pub(super) blocks: Vec<E>,
    pub(super) loads: Vec<Vec<u64>>,
    /// The gradient of the residual stream `[rows, hidden]`, at the place that the backward pass has reached.
    pub(super) dx: Vec<E::Real>,
    /// `dx` as operands, for the half of a layer that the backward pass goes through.
    pub(super) dx_rounded: Vec<E>,
    /// The gradient of the normed rows of the head, then of each half of a layer, `[rows, hidden]`.
    pub(super) d_normed: Vec<E::Real>,
    pub(super) head: super::head::Buffers<E>,
    /// Memory of the products of weight gradients.
    panels: Vec<E>,
    /// Gradients of vectors that are not trained.
    ignored: Vec<E::Real>,
    /// Gradients of the layout's first part, of the layer that is being computed, and of the last part.
    gradients: [Vec<E::Real>; 3],
    pub(super) scratch: attention::Scratch<E>,
    back: BackwardScratch<E>,
}

impl<E: Operand> LayerStash<E> {
    /// How often each expert was chosen in the layer's last pass; `None` where it has none.
    pub(super) fn loads(&self, layer: &Layer, packed: &Packed) -> Option<Vec<u64>> {
        let FeedForward::Moe { plan, .. } = &layer.feed_forward else { return None };
        let mut chosen = vec![0; plan.routed_experts];
        self.feed_forward.add_loads(&packed.shares, &mut chosen);
        Some(chosen)
    }
}

/// The beginning of a buffer, all 0.
pub(super) fn cleared<R: Real>(buffer: &mut Vec<R>, len: usize) -> &mut [R] {
    let part = reserve(buffer, len);
    part.fill(R::ZERO);
    part
}

/// How the vectors of a planned model turn.
pub(super) fn rotation(plan: &ModelPlan) -> (Frequencies, Pairing) {
    let width = match &plan.attention {
        AttentionPlan::Gqa(gqa) => gqa.rotary_dim,
        AttentionPlan::Mla(mla) => mla.qk_rope_head_dim,
    };
    let pairing = match plan.rope.pairs {
        RopePairs::Halves => Pairing::Halves,
        RopePairs::Neighbours => Pairing::Interleaved,
    };
    let pairs = rope::frequencies(&plan.rope, width);
    (Frequencies { pairs, factor: rope::rotation_factor(&plan.rope) }, pairing)
}

impl<E: Operand> Decoder<E> {
    /// The structure of a planned model.
    pub fn new(plan: &ModelPlan) -> Self {
        let (frequencies, pairing) = rotation(plan);
        Self {
            layout: Layout::new(plan),
            tokens: plan.vocabulary_size,
            hidden: plan.hidden_size,
            context_length: plan.context_length,
            recompute: plan.recompute_activations,
            eps: plan.norm_eps,
            rope: Rope::new(&frequencies, plan.context_length, pairing),
        }
    }

    /// Elements of a block of keys and values, layer by layer.
    pub fn block_lens(&self) -> impl Iterator<Item = usize> {
        let layers = self.layout.layers.iter();
        layers.map(|layer| block_len::<E>(&attention::heads(&layer.attention)))
    }

    pub(super) fn attention<'a>(
        &'a self,
        layer: &'a Layer,
        weights: &'a Weights<E>,
        rows: Rows<'a>,
    ) -> AttentionPass<'a, E> {
        AttentionPass {
            attention: &layer.attention,
            weights,
            rope: &self.rope,
            eps: self.eps,
            rows,
        }
    }

    pub(super) fn embed<'a>(
        &self,
        weights: &Weights<E>,
        tokens: &[u32],
        x: &'a mut Vec<E::Real>,
    ) -> &'a mut [E::Real] {
        let x = reserve(x, tokens.len() * self.hidden);
        weights.embed(&self.layout, tokens, x);
        x
    }

    /// One pass of decoding: tokens through embedding and layers, their keys and values into `caches`, one per
    /// layer. The residual stream is left in the first workspace; nothing is kept for a backward pass. Each workspace
    /// is a thread, which computes some of the rows.
    pub fn decode(
        &self,
        weights: &Weights<E>,
        tokens: &[u32],
        rows: Rows<'_>,
        caches: &mut [Vec<E>],
        works: &mut [Workspace<E>],
    ) {
        self.together(weights, tokens, rows, works, |layer, compute| {
            compute(&mut caches[layer]);
        });
    }

    /// A pass over whole sequences; the residual stream is left in the workspace, with what the backward pass
    /// needs.
    pub fn forward(&self, weights: &Weights<E>, packed: &Packed, work: &mut Workspace<E>) {
        let depth = self.layout.layers.len();
        let kept = if self.recompute { 1 } else { depth };
        work.layers.resize_with(kept.max(work.layers.len()), LayerStash::default);
        work.inputs.resize_with(depth, Vec::new);
        work.loads.clear();
        work.mtp.forget();
        let Workspace { x, layers, inputs, blocks, loads, scratch, .. } = work;
        let x = self.embed(weights, &packed.tokens, x);
        for (index, layer) in self.layout.layers.iter().enumerate() {
            reserve(&mut inputs[index], x.len()).copy_from_slice(x);
            let stash = &mut layers[if self.recompute { 0 } else { index }];
            self.whole_layer_forward(layer, weights, packed, x, stash, (blocks, scratch));
            loads.extend(stash.loads(layer, packed));
        }
    }

    /// Computes a layer in a pass over whole sequences, in place of the residual stream `x`.
    pub(super) fn whole_layer_forward(
        &self,
        layer: &Layer,
        weights: &Weights<E>,
        packed: &Packed,
        x: &mut [E::Real],
        stash: &mut LayerStash<E>,
        (blocks, scratch): (&mut Vec<E>, &mut attention::Scratch<E>),
    ) {
        let cache = self.empty_blocks(layer, packed, blocks);
        self.layer_forward(layer, weights, packed.rows(), x, cache, stash, scratch);
    }

    /// [`Decoder::forward`] where no backward pass follows, so that nothing is kept for one; the residual stream is left
    /// in the first workspace. Each workspace is a thread, which computes some of the rows.
    pub fn read(&self, weights: &Weights<E>, packed: &Packed, works: &mut [Workspace<E>]) {
        let Some(first) = works.first_mut() else { return };
        let mut blocks = std::mem::take(&mut first.blocks);
        self.together(weights, &packed.tokens, packed.rows(), works, |layer, compute| {
            compute(self.empty_blocks(&self.layout.layers[layer], packed, &mut blocks));
        });
        works[0].blocks = blocks;
    }

    /// Empty blocks for a pass: what lies behind the end of a sequence must be finite.
    fn empty_blocks<'a>(
        &self,
        layer: &Layer,
        packed: &Packed,
        blocks: &'a mut Vec<E>,
    ) -> &'a mut [E] {
        let len = packed.blocks() * block_len::<E>(&attention::heads(&layer.attention));
        let blocks = reserve(blocks, len);
        blocks.fill(E::default());
        blocks
    }

    fn layer_forward(
        &self,
        layer: &Layer,
        weights: &Weights<E>,
        rows: Rows<'_>,
        x: &mut [E::Real],
        cache: &mut [E],
        stash: &mut LayerStash<E>,
        scratch: &mut attention::Scratch<E>,
    ) {
        self.layer_project(layer, weights, rows, x, stash, scratch);
        self.attention(layer, weights, rows).write(rows.writes, 0, &stash.attention, cache);
        self.layer_attend(layer, weights, rows, x, cache, stash, scratch);
    }

    /// The beginning of a layer, up to the context rows that are to be written to a cache.
    pub(super) fn layer_project(
        &self,
        layer: &Layer,
        weights: &Weights<E>,
        rows: Rows<'_>,
        x: &[E::Real],
        stash: &mut LayerStash<E>,
        scratch: &mut attention::Scratch<E>,
    ) {
        let hidden = self.hidden;
        let normed = reserve(&mut stash.normed, x.len());
        let gain = weights.vector(layer.attention_norm);
        rms_norm((x, hidden), gain, self.eps, (normed, hidden), rows.len());
        self.attention(layer, weights, rows).project(normed, &mut stash.attention, scratch);
    }

    /// The rest of a layer, with the context rows of all rows in the cache.
    pub(super) fn layer_attend(
        &self,
        layer: &Layer,
        weights: &Weights<E>,
        rows: Rows<'_>,
        x: &mut [E::Real],
        cache: &[E],
        stash: &mut LayerStash<E>,
        scratch: &mut attention::Scratch<E>,
    ) {
        let (count, hidden, len) = (rows.len(), self.hidden, x.len());
        self.attention(layer, weights, rows).attend(x, cache, &mut stash.attention, scratch);
        reserve(&mut stash.middle, len).copy_from_slice(x);
        let exact = reserve(&mut stash.middle_exact, len);
        let gain = weights.vector(layer.feed_forward_norm);
        rms_norm((x, hidden), gain, self.eps, (&mut *exact, hidden), count);
        let exact = &*exact;
        let operands = E::rounded(exact, &mut stash.middle_normed);
        let (block, normed) = (&layer.feed_forward, Normed { exact, operands });
        feed_forward::forward(block, weights, normed, x, count, &mut stash.feed_forward);
    }

    /// The gradient of Σ upstream · what was said, plus the balance loss, which is returned. Where modules of multi-token
    /// prediction were computed too ([`Decoder::mtp_forward`]), what they were given is added. Every part of the layout is
    /// handed to `deliver` once it is complete, the last layer first. Must follow the forward pass of these rows in this
    /// workspace, and [`Decoder::say`] of all their targets at this temperature.
    pub fn backward<'u>(
        &self,
        weights: &Weights<E>,
        packed: &Packed,
        upstream: impl Into<Upstream<'u, E::Real>>,
        temperature: f64,
        balance_weight: f64,
        mut deliver: impl FnMut(usize, &[E::Real]),
        work: &mut Workspace<E>,
    ) -> f64 {
        let (rows, hidden, parts) = (packed.tokens.len(), self.hidden, &self.layout.parts);
        let last = parts.len() - 1;
        let trained = self.layout.trained().range.start;
        let mut panels = std::mem::take(&mut work.panels);
        let mut ignored = std::mem::take(&mut work.ignored);
        let mut buffers = std::mem::take(&mut work.gradients);
        let [front, part, behind] = &mut buffers;
        let front = cleared(front, parts[0].len());
        let behind = cleared(behind, parts[last].len());
        reserve(&mut work.dx, rows * hidden).fill(E::Real::ZERO);
        reserve(&mut work.d_normed, rows * hidden);
        let start = parts[last].start;
        let ends = &mut Gradient {
            front: &mut *front,
            part: behind,
            start,
            trained,
            ignored: &mut ignored,
            panels: &mut panels,
        };
        let mut loss = self.mtp_backward(weights, temperature, balance_weight, ends, work);
        let norm = self.layout.final_norm;
        self.head_backward(norm, weights, packed, upstream.into(), temperature, ends, work);
        deliver(last, behind);
        let balance = Balance { sequences: &packed.sequences, weight: balance_weight };
        let segments = packed.segments();
        for index in (0..self.layout.layers.len()).rev() {
            if self.recompute {
                self.compute_again(index, weights, packed, work);
            }
            let range = &parts[index + 1];
            let part = cleared(part, range.len());
            let (start, front) = (range.start, &mut [][..]);
            let (ignored, panels) = (&mut ignored, &mut panels);
            let gradient = &mut Gradient { front, part, start, trained, ignored, panels };
            let place = (&self.layout.layers[index], index);
            loss += self.layer_backward(place, weights, packed, &segments, balance, gradient, work);
            deliver(index + 1, part);
        }
        // The embedding is in the first part, or not trained.
        if !front.is_empty() {
            for (row, token) in work.dx[..rows * hidden].chunks(hidden).zip(&packed.tokens) {
                let at = self.layout.embedding.offset + *token as usize * hidden;
                add_scaled(&mut front[at..][..hidden], E::Real::ONE, row);
            }
        }
        deliver(0, front);
        (work.panels, work.ignored, work.gradients) = (panels, ignored, buffers);
        loss
    }

    /// A layer's activations once more, from its input.
    fn compute_again(
        &self,
        index: usize,
        weights: &Weights<E>,
        packed: &Packed,
        work: &mut Workspace<E>,
    ) {
        let layer = &self.layout.layers[index];
        let Workspace { x, layers, inputs, blocks, scratch, .. } = work;
        let len = packed.tokens.len() * self.hidden;
        let x = reserve(x, len);
        x.copy_from_slice(&inputs[index][..len]);
        self.whole_layer_forward(layer, weights, packed, x, &mut layers[0], (blocks, scratch));
    }

    /// The backward pass of a layer, given with the number of its input in the workspace: `work.dx` holds the gradient
    /// of the layer's output before, and of its input after.
    pub(super) fn layer_backward(
        &self,
        (layer, index): (&Layer, usize),
        weights: &Weights<E>,
        packed: &Packed,
        segments: &[Segment<'_>],
        balance: Balance<'_>,
        gradient: &mut Gradient<'_, E>,
        work: &mut Workspace<E>,
    ) -> f64 {
        let len = packed.tokens.len() * self.hidden;
        let Workspace { layers, inputs, dx, dx_rounded, d_normed, scratch, back, .. } = work;
        let stash = &mut layers[if self.recompute { 0 } else { index }];
        let (dx, d_normed) = (&mut dx[..len], &mut d_normed[..len]);
        let exact = &stash.middle_exact[..len];
        let operands = E::as_rounded(exact, &stash.middle_normed);
        let loss = feed_forward::backward(
            &layer.feed_forward,
            weights,
            Normed { exact, operands },
            (&*dx, E::rounded(dx, dx_rounded)),
            d_normed,
            gradient,
            balance,
            &stash.feed_forward,
            back,
        );
        let norm = layer.feed_forward_norm;
        self.norm_backward(weights, norm, &stash.middle, d_normed, dx, gradient);
        let attention = self.attention(layer, weights, packed.rows());
        let (normed, upstream) = (&stash.normed[..len], E::rounded(dx, dx_rounded));
        let stash = &stash.attention;
        attention.backward(normed, upstream, d_normed, segments, gradient, stash, scratch);
        self.norm_backward(weights, layer.attention_norm, &inputs[index], d_normed, dx, gradient);
        loss
    }

    /// dx += norm's backward of dy at x.
    pub(super) fn norm_backward(
        &self,
        weights: &Weights<E>,
        norm: Vector,
        x: &[E::Real],
        dy: &[E::Real],
        dx: &mut [E::Real],
        gradient: &mut Gradient<'_, E>,
    ) {
        let (hidden, rows) = (self.hidden, dx.len() / self.hidden);
        let gain = weights.vector(norm);
        let d_gain = gradient.at(norm.offset, norm.len);
        let (x, dy, dx) = ((x, hidden), (dy, hidden), (dx, hidden));
        rms_norm_backward(x, gain, self.eps, dy, dx, d_gain, rows, Write::Add);
    }

    /// Expert loads of the last pass over whole sequences: per layer with experts, how often each expert was
    /// chosen. Those of multi-token prediction come last, where it was computed.
    pub fn loads<'a>(&self, work: &'a Workspace<E>) -> &'a [Vec<u64>] {
        &work.loads
    }
}
