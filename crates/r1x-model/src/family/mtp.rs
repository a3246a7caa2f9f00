//! Multi-token prediction: modules in a chain behind the layers, forward and backward.
//!
//! The module of depth k continues what the head before it reads: at position i it puts the embedding of the token k
//! places on beside the normed row that is handed over, projects the two to the residual stream of one layer, and predicts
//! the token k + 1 places on through the embedding and the head of the model (DeepSeek-V3 Technical Report, arXiv
//! 2412.19437, section 2.2). What is handed over is the row after the norm before the head, of the model and of every
//! module alike, and the embedding stands first, as in the released weights. Positions are those of the rows: attention
//! knows distances only.

use r1x_core::TrainingSequence;
use r1x_ops::kernel::norm::{rms_norm, rms_norm_backward};
use r1x_ops::kernel::softmax::TokenLogprob;
use r1x_ops::kernel::{Write, add_scaled};
use r1x_ops::{Operand, Real};

use super::decoder::{Decoder, LayerStash, Workspace, cleared};
use super::feed_forward::Balance;
use super::linear::{self, Gradient, Strided, reserve};
use super::packed::Packed;
use crate::layout::{MtpModule, Vector};
use crate::weights::Weights;

/// The rows of a module, and where each of them comes from.
#[derive(Clone, Debug, Default)]
pub struct Ahead {
    /// The tokens whose embeddings enter, in sequences of their own; each row predicts the token behind its own.
    pub packed: Packed,
    /// The row, in the pass before, of what is handed over to each row.
    pub origins: Vec<usize>,
}

impl Ahead {
    /// The rows of the module of this depth, from 1 on, over sequences whose rows in the pass before are `before`. A
    /// sequence that is too short for the module has none.
    pub fn new<'a>(
        sequences: impl IntoIterator<Item = (&'a [u32], usize)>,
        depth: usize,
        before: &Packed,
    ) -> Self {
        let later = |(tokens, prompt): (&'a [u32], usize)| {
            let depth = depth.min(tokens.len() - 1);
            (&tokens[depth..], prompt.saturating_sub(depth).max(1))
        };
        let packed = Packed::new(sequences.into_iter().map(later));
        let rows = packed.sequences.iter().enumerate();
        let origins = rows.flat_map(|(sequence, [_, own])| {
            (0..own.len()).map(move |position| before.row(sequence, position))
        });
        Self { origins: origins.collect(), packed }
    }

    /// A sequence as the module of this depth predicts it: the first targets belong to the prompt, as many as the module
    /// has no row for. `None` where that is none of them.
    pub fn predicted(sequence: &TrainingSequence, depth: usize) -> Option<TrainingSequence> {
        let first = (depth + 1).saturating_sub(sequence.prompt_len);
        let targets = sequence.tokens.len() - sequence.prompt_len;
        (first > 0).then(|| sequence.from_target(first.min(targets)))
    }
}

/// What the modules leave for the backward pass.
#[derive(Clone, Debug, Default)]
pub struct Passes<E: Operand> {
    modules: Vec<Pass<E>>,
    /// How many of them were computed after the last pass of the layers.
    computed: usize,
}

impl<E: Operand> Passes<E> {
    /// The layers begin anew, and no module was computed yet.
    pub fn forget(&mut self) {
        self.computed = 0;
    }
}

/// The pass of one module.
#[derive(Clone, Debug, Default)]
struct Pass<E: Operand> {
    ahead: Ahead,
    /// What is handed over, before and after its norm, `[rows, hidden]`.
    handed: Vec<E::Real>,
    handed_normed: Vec<E::Real>,
    /// The embeddings of the tokens `[rows, hidden]`.
    embedded: Vec<E::Real>,
    /// The normed embedding and the normed row that is handed over, side by side, `[rows, 2 · hidden]`.
    joined: Vec<E>,
    /// The gradient of `joined`, of one of its halves before the norm, and of `handed`.
    d_joined: Vec<E::Real>,
    d_half: Vec<E::Real>,
    d_handed: Vec<E::Real>,
    /// The gradient of every log-prob of the module.
    token_gradients: Vec<E::Real>,
    /// The layer and the head.
    work: Workspace<E>,
}

/// Some rows of a matrix of this width, one after the other.
fn gather<'a, R: Real>(
    from: &[R],
    rows: impl ExactSizeIterator<Item = usize>,
    width: usize,
    to: &'a mut Vec<R>,
) -> &'a [R] {
    let to = reserve(to, rows.len() * width);
    for (to, row) in to.chunks_mut(width).zip(rows) {
        to.copy_from_slice(&from[row * width..(row + 1) * width]);
    }
    to
}

impl<E: Operand> Decoder<E> {
    /// The norm behind the layers that lie before a module, and before the head that reads them.
    fn norm_before(&self, module: usize) -> Vector {
        match module.checked_sub(1) {
            None => self.layout.final_norm,
            Some(before) => self.layout.mtp[before].norm,
        }
    }

    /// The pass of every module over the sequences whose pass through the layers is in the workspace, and the log-probs
    /// that each gives to its targets: those of [`Ahead::predicted`], sequence after sequence. The first module that no
    /// sequence is long enough for ends the list.
    pub fn mtp_forward<'a>(
        &self,
        weights: &Weights<E>,
        sequences: impl Iterator<Item = (&'a [u32], usize)> + Clone,
        packed: &Packed,
        temperature: f64,
        work: &mut Workspace<E>,
    ) -> Vec<Vec<TokenLogprob<E::Real>>> {
        let mut passes = std::mem::take(&mut work.mtp);
        passes.modules.resize_with(self.layout.mtp.len(), Pass::default);
        let mut said = Vec::with_capacity(passes.modules.len());
        for (index, module) in self.layout.mtp.iter().enumerate() {
            let (before, pass) = passes.modules.split_at_mut(index);
            let (pass, before) = (&mut pass[0], before.last());
            let (x, rows) =
                before.map_or((&work.x, packed), |one| (&one.work.x, &one.ahead.packed));
            pass.ahead = Ahead::new(sequences.clone(), index + 1, rows);
            if pass.ahead.packed.tokens.is_empty() {
                break;
            }
            self.module_forward(module, (x, self.norm_before(index)), weights, pass);
            work.loads.extend(pass.work.layers[0].loads(&module.layer, &pass.ahead.packed));
            let Packed { predicting, targets, .. } = &pass.ahead.packed;
            let (rows, norm) = ((&predicting[..], &targets[..]), module.norm);
            said.push(self.logprobs_after(norm, weights, rows, temperature, &mut pass.work));
        }
        passes.computed = said.len();
        work.mtp = passes;
        said
    }

    /// The residual stream `x` behind the layers before goes through their norm into the module.
    fn module_forward(
        &self,
        module: &MtpModule,
        (x, norm): (&[E::Real], Vector),
        weights: &Weights<E>,
        pass: &mut Pass<E>,
    ) {
        let (hidden, eps) = (self.hidden, self.eps);
        let Pass { ahead, handed, handed_normed, embedded, joined, work, .. } = pass;
        let rows = ahead.packed.tokens.len();
        let embedded = reserve(embedded, rows * hidden);
        weights.embed(&self.layout, &ahead.packed.tokens, embedded);
        let handed = gather(x, ahead.origins.iter().copied(), hidden, handed);
        let normed = reserve(handed_normed, rows * hidden);
        rms_norm((handed, hidden), weights.vector(norm), eps, (&mut *normed, hidden), rows);
        let joined = reserve(joined, rows * 2 * hidden);
        let [left, right] = [module.embedding_norm, module.hidden_norm];
        rms_norm((embedded, hidden), weights.vector(left), eps, (&mut *joined, 2 * hidden), rows);
        let half = (&mut joined[hidden..], 2 * hidden);
        rms_norm((normed, hidden), weights.vector(right), eps, half, rows);
        let from = Strided { data: &*joined, stride: 2 * hidden };
        work.layers.resize_with(1, LayerStash::default);
        work.inputs.resize_with(1, Vec::new);
        let Workspace { x, inputs, layers, blocks, scratch, .. } = work;
        let x = reserve(x, rows * hidden);
        linear::forward(weights, module.projection, from, (x, hidden), rows, Write::Overwrite);
        reserve(&mut inputs[0], x.len()).copy_from_slice(x);
        let (packed, memory) = (&ahead.packed, (blocks, scratch));
        self.whole_layer_forward(&module.layer, weights, packed, x, &mut layers[0], memory);
    }

    /// Says the gradients of the log-probs that a module of the last [`Decoder::mtp_forward`] gave, in their order.
    pub fn mtp_credit(
        &self,
        module: usize,
        gradients: impl Iterator<Item = E::Real>,
        work: &mut Workspace<E>,
    ) {
        let to = &mut work.mtp.modules[module].token_gradients;
        to.clear();
        to.extend(gradients);
    }

    /// The gradient of Σ token_gradients · logprob of every module that was computed, plus the balance loss of their
    /// layers, which is returned. `work.dx` is added to: it holds the gradient of the residual stream behind the layers.
    pub(super) fn mtp_backward(
        &self,
        weights: &Weights<E>,
        temperature: f64,
        balance_weight: f64,
        gradient: &mut Gradient<'_, E>,
        work: &mut Workspace<E>,
    ) -> f64 {
        let mut passes = std::mem::take(&mut work.mtp);
        let computed = &mut passes.modules[..passes.computed];
        for pass in &mut *computed {
            cleared(&mut pass.work.dx, pass.ahead.origins.len() * self.hidden);
        }
        let mut loss = 0.0;
        for index in (0..computed.len()).rev() {
            let (before, pass) = computed.split_at_mut(index);
            let dx = before.last_mut().map_or(&mut work.dx, |one| &mut one.work.dx);
            let (pass, to) = (&mut pass[0], (self.norm_before(index), &mut dx[..]));
            let weight = (temperature, balance_weight);
            loss += self.module_backward(index, to, weights, weight, gradient, pass);
        }
        work.mtp = passes;
        loss
    }

    /// Through head, layer and projection of a module to its tokens' embeddings, and to the residual stream that was handed
    /// over, whose gradient `dx` is added to.
    fn module_backward(
        &self,
        index: usize,
        (norm, dx): (Vector, &mut [E::Real]),
        weights: &Weights<E>,
        (temperature, balance_weight): (f64, f64),
        gradient: &mut Gradient<'_, E>,
        pass: &mut Pass<E>,
    ) -> f64 {
        let (module, hidden) = (&self.layout.mtp[index], self.hidden);
        let Pass { ahead, token_gradients, work, .. } = pass;
        let rows = ahead.origins.len();
        reserve(&mut work.d_normed, rows * hidden);
        let packed = &ahead.packed;
        self.head_backward(
            module.norm,
            weights,
            packed,
            (&*token_gradients).into(),
            temperature,
            gradient,
            work,
        );
        let balance = Balance { sequences: &packed.sequences, weight: balance_weight };
        let (segments, layer) = (packed.segments(), (&module.layer, 0));
        let loss = self.layer_backward(layer, weights, packed, &segments, balance, gradient, work);
        self.projection_backward(module, weights, gradient, pass);
        self.halves_backward(module, (norm, dx), weights, gradient, pass);
        loss
    }

    /// From the two halves that were projected to embeddings, and through two norms to what was handed over.
    fn halves_backward(
        &self,
        module: &MtpModule,
        (norm, dx): (Vector, &mut [E::Real]),
        weights: &Weights<E>,
        gradient: &mut Gradient<'_, E>,
        pass: &mut Pass<E>,
    ) {
        let (hidden, eps, wide) = (self.hidden, self.eps, 2 * self.hidden);
        let Pass { ahead, handed, handed_normed, embedded, d_joined, d_half, d_handed, .. } = pass;
        let (rows, joined) = (ahead.origins.len(), &d_joined[..ahead.origins.len() * wide]);
        let [d_half, d_handed] = [d_half, d_handed].map(|buffer| reserve(buffer, rows * hidden));
        let mut backward =
            |gain: Vector, x: &[E::Real], dy: (&[E::Real], usize), dx: &mut [E::Real]| {
                let (gains, d_gain) = (weights.vector(gain), gradient.at(gain.offset, gain.len));
                let write = Write::Overwrite;
                rms_norm_backward((x, hidden), gains, eps, dy, (dx, hidden), d_gain, rows, write);
            };
        backward(module.hidden_norm, handed_normed, (&joined[hidden..], wide), d_half);
        backward(norm, handed, (&*d_half, hidden), d_handed);
        backward(module.embedding_norm, embedded, (joined, wide), d_half);
        for (from, row) in d_handed.chunks(hidden).zip(&ahead.origins) {
            add_scaled(&mut dx[row * hidden..(row + 1) * hidden], E::Real::ONE, from);
        }
        let offset = self.layout.embedding.offset;
        for (from, token) in d_half.chunks(hidden).zip(&ahead.packed.tokens) {
            let to = gradient.at(offset + *token as usize * hidden, hidden);
            add_scaled(to, E::Real::ONE, from);
        }
    }

    /// Through the projection of a module: the gradient of what enters it, side by side.
    fn projection_backward(
        &self,
        module: &MtpModule,
        weights: &Weights<E>,
        gradient: &mut Gradient<'_, E>,
        pass: &mut Pass<E>,
    ) {
        let (hidden, rows) = (self.hidden, pass.ahead.origins.len());
        let Pass { joined, d_joined, work, .. } = pass;
        let Workspace { dx, dx_rounded, .. } = work;
        let dy = E::rounded(&dx[..rows * hidden], dx_rounded);
        let dy = Strided { data: dy, stride: hidden };
        let to = (reserve(d_joined, rows * 2 * hidden), 2 * hidden);
        linear::backward(weights, module.projection, dy, to, rows, Write::Overwrite);
        let x = Strided { data: &joined[..rows * 2 * hidden], stride: 2 * hidden };
        linear::weight_gradient(weights, module.projection, x, dy, gradient, rows);
    }
}
