//! The last norm and the head: logits, log-probs, and their backward pass. A head that says values is in `value.rs`.
//!
//! A vocabulary may have 150 000 tokens, so `[rows, vocabulary]` never exists for a whole batch. Log-probs need whole
//! rows, which are computed a few at a time and leave two numbers each; with those the backward pass goes through the
//! vocabulary in blocks, so that the gradient of the head is written once and not once for every few rows.

use r1x_ops::kernel::Write;
use r1x_ops::kernel::add_scaled;
use r1x_ops::kernel::matmul::{Left, PANEL, Product};
use r1x_ops::kernel::norm::rms_norm;
use r1x_ops::kernel::softmax::{
    RowGradient, Spread, TokenLogprob, largest_tokens, row_backward_part, token_logprob_and_spread,
};
use r1x_ops::{Operand, Real};

use super::decoder::{Decoder, Workspace};
use super::linear::{self, Gradient, Strided, reserve};
use super::packed::Packed;
use super::said::{Answers, Asked, Upstream};
use crate::layout::{Head, Vector};
use crate::weights::Weights;

/// Rows whose logits are held whole at a time. Even, so that no pair of rows is cut.
const ROWS: usize = 64;

/// How much of the gradient of the logits is held at a time.
#[derive(Clone, Copy, Debug)]
struct Pieces {
    /// Rows that go through the vocabulary together, a multiple of [`ROWS`].
    rows: usize,
    /// Logits of a block of it.
    logits: usize,
}

/// Logits that stay in a cache which cores share.
const PIECES: Pieces = Pieces { rows: 1024, logits: 1 << 20 };

/// Memory of one thread for the head, reused from pass to pass.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers<E: Operand> {
    /// The rows of the residual stream that the head is computed for, `[rows, hidden]`.
    pub(super) input: Vec<E::Real>,
    /// The gradient of `input`.
    pub(super) d_input: Vec<E::Real>,
    /// `input` after the last norm where the head says values, `[rows, hidden]`; not rounded.
    pub(super) exact: Vec<E::Real>,
    /// `input` after the last norm, `[rows, hidden]`.
    normed: Vec<E>,
    /// The logits of some rows, `[rows, vocabulary]`, or of a block of the vocabulary; then their gradient.
    logits: Vec<E::Real>,
    /// The gradient of the logits as operands.
    d_logits: Vec<E>,
    /// What each predicting row is normalised with.
    spreads: Vec<Spread<E::Real>>,
}

impl<E: Operand> Decoder<E> {
    /// What the model says of each target at its predicting row, from the residual stream in the workspace: the log-prob
    /// of the target at this temperature, or the value of the row, which knows no temperature.
    pub fn say(
        &self,
        weights: &Weights<E>,
        predicting: &[usize],
        targets: &[u32],
        temperature: f64,
        work: &mut Workspace<E>,
    ) -> Vec<E::Real> {
        self.answers(weights, predicting, Asked::of(targets), temperature, work).targets
    }

    /// [`Decoder::say`] with the entropy of every predicting row, and the log-probs of further tokens there. A value head
    /// says neither.
    pub(crate) fn answers(
        &self,
        weights: &Weights<E>,
        predicting: &[usize],
        asked: Asked<'_>,
        temperature: f64,
        work: &mut Workspace<E>,
    ) -> Answers<E::Real> {
        match self.layout.head {
            Head::Vocabulary(_) => {
                let norm = self.layout.final_norm;
                self.answers_after(norm, weights, (predicting, asked), temperature, work)
            }
            Head::Value(row) => {
                let targets = self.values(weights, row, predicting, work);
                Answers { targets, ..Answers::default() }
            }
        }
    }

    /// The `width` most likely tokens at some rows of the residual stream in the workspace, and their log-probs at this
    /// temperature, `[rows, width]` each; the most likely first. `width` is at most the number of tokens.
    pub(crate) fn most_likely(
        &self,
        weights: &Weights<E>,
        predicting: &[usize],
        width: usize,
        temperature: f64,
        work: &mut Workspace<E>,
    ) -> (Vec<u32>, Vec<E::Real>) {
        let (mut tokens, mut logprobs) = (Vec::new(), Vec::new());
        for rows in predicting.chunks(ROWS) {
            let logits = self.logits(weights, rows, work);
            for row in logits.chunks(self.layout.vocabulary) {
                let row = &row[..self.tokens];
                let spread = token_logprob_and_spread(row, 0, temperature).1;
                let likely = largest_tokens(row, width);
                let said = likely.iter().map(|one| spread.logprob(row[*one as usize], temperature));
                logprobs.extend(said);
                tokens.extend(likely);
            }
        }
        (tokens, logprobs)
    }

    /// Log-prob and entropy of each target at its predicting row, from the residual stream in the workspace.
    pub fn logprobs(
        &self,
        weights: &Weights<E>,
        predicting: &[usize],
        targets: &[u32],
        temperature: f64,
        work: &mut Workspace<E>,
    ) -> Vec<TokenLogprob<E::Real>> {
        let norm = self.layout.final_norm;
        self.logprobs_after(norm, weights, (predicting, targets), temperature, work)
    }

    /// [`Decoder::logprobs`] with another norm before the head than the last one of the model.
    pub(super) fn logprobs_after(
        &self,
        norm: Vector,
        weights: &Weights<E>,
        (predicting, targets): (&[usize], &[u32]),
        temperature: f64,
        work: &mut Workspace<E>,
    ) -> Vec<TokenLogprob<E::Real>> {
        let asked = (predicting, Asked::of(targets));
        let Answers { targets, entropies, .. } =
            self.answers_after(norm, weights, asked, temperature, work);
        let pairs = targets.into_iter().zip(entropies);
        pairs.map(|(logprob, entropy)| TokenLogprob { logprob, entropy }).collect()
    }

    fn answers_after(
        &self,
        norm: Vector,
        weights: &Weights<E>,
        (predicting, asked): (&[usize], Asked<'_>),
        temperature: f64,
        work: &mut Workspace<E>,
    ) -> Answers<E::Real> {
        let mut answers = Answers::default();
        let mut spreads = std::mem::take(&mut work.head.spreads);
        spreads.clear();
        for (chunk, rows) in predicting.chunks(ROWS).enumerate() {
            let logits = self.logits_after(norm, weights, rows, work);
            for (at, row) in logits.chunks(self.layout.vocabulary).enumerate() {
                let (row, at) = (&row[..self.tokens], chunk * ROWS + at);
                let target = asked.targets[at] as usize;
                let (said, spread) = token_logprob_and_spread(row, target, temperature);
                answers.targets.push(said.logprob);
                answers.entropies.push(said.entropy);
                let further = asked.candidates(at).iter();
                let further = further.map(|one| spread.logprob(row[*one as usize], temperature));
                answers.candidates.extend(further);
                spreads.push(spread);
            }
        }
        work.head.spreads = spreads;
        answers
    }

    /// Logits `[rows, vocabulary]` at some rows of the residual stream.
    pub fn logits<'a>(
        &self,
        weights: &Weights<E>,
        rows: &[usize],
        work: &'a mut Workspace<E>,
    ) -> &'a mut [E::Real] {
        self.logits_after(self.layout.final_norm, weights, rows, work)
    }

    fn logits_after<'a>(
        &self,
        norm: Vector,
        weights: &Weights<E>,
        rows: &[usize],
        work: &'a mut Workspace<E>,
    ) -> &'a mut [E::Real] {
        self.normed_rows(norm, weights, rows, work);
        let (count, hidden, vocabulary) = (rows.len(), self.hidden, self.layout.vocabulary);
        let Buffers { normed, logits, .. } = &mut work.head;
        let logits = reserve(logits, count * vocabulary);
        let x = Strided { data: &normed[..], stride: hidden };
        let to = (&mut *logits, vocabulary);
        linear::forward(weights, self.layout.head.matrix(), x, to, count, Write::Overwrite);
        logits
    }

    /// Gathers some rows of the residual stream and norms them.
    fn normed_rows(
        &self,
        norm: Vector,
        weights: &Weights<E>,
        rows: &[usize],
        work: &mut Workspace<E>,
    ) {
        let (hidden, count) = (self.hidden, rows.len());
        let Workspace { x, head: Buffers { input, normed, .. }, .. } = work;
        let input = reserve(input, count * hidden);
        for (to, row) in input.chunks_mut(hidden).zip(rows) {
            to.copy_from_slice(&x[row * hidden..(row + 1) * hidden]);
        }
        let normed = reserve(normed, count * hidden);
        let gain = weights.vector(norm);
        rms_norm((input, hidden), gain, self.eps, (normed, hidden), count);
    }

    /// The gradient of Σ upstream · what was said, up to the residual stream, where it is added to `work.dx`.
    pub(super) fn head_backward(
        &self,
        norm: Vector,
        weights: &Weights<E>,
        packed: &Packed,
        upstream: Upstream<'_, E::Real>,
        temperature: f64,
        gradient: &mut Gradient<'_, E>,
        work: &mut Workspace<E>,
    ) {
        if let Head::Value(row) = self.layout.head {
            return self.values_backward(weights, row, packed, upstream.targets, gradient, work);
        }
        let upstream = (upstream, temperature);
        self.head_in_pieces((weights, norm), packed, upstream, PIECES, gradient, work);
    }

    fn head_in_pieces(
        &self,
        (weights, norm): (&Weights<E>, Vector),
        packed: &Packed,
        upstream: (Upstream<'_, E::Real>, f64),
        pieces: Pieces,
        gradient: &mut Gradient<'_, E>,
        work: &mut Workspace<E>,
    ) {
        // Rows whose gradient is 0 all over (a group without signal) cost nothing. They are left out many at a time,
        // so that pairs of rows stay pairs.
        let count = packed.targets.len();
        let chunks = (0..count).step_by(ROWS).map(|first| first..(first + ROWS).min(count));
        let loud = chunks.filter(|rows| !upstream.0.is_silent(rows.clone()));
        let loud: Vec<usize> = loud.flatten().collect();
        for part in loud.chunks(pieces.rows) {
            let width = (pieces.logits / part.len() / PANEL * PANEL).max(PANEL);
            self.head_part((weights, norm), packed, part, upstream, width, gradient, work);
        }
    }

    /// [`Decoder::head_backward`] for some predictions, whose logits are computed for so many tokens at a time.
    fn head_part(
        &self,
        (weights, norm): (&Weights<E>, Vector),
        packed: &Packed,
        predictions: &[usize],
        (upstream, temperature): (Upstream<'_, E::Real>, f64),
        width: usize,
        gradient: &mut Gradient<'_, E>,
        work: &mut Workspace<E>,
    ) {
        let rows: Vec<usize> = predictions.iter().map(|one| packed.predicting[*one]).collect();
        let (hidden, count, vocabulary) = (self.hidden, rows.len(), self.layout.vocabulary);
        self.normed_rows(norm, weights, &rows, work);
        let d_normed = reserve(&mut work.d_normed, count * hidden);
        for first in (0..vocabulary).step_by(width) {
            let width = width.min(vocabulary - first);
            let Buffers { normed, logits, d_logits, spreads, .. } = &mut work.head;
            let (head, normed) = (self.layout.head.matrix(), &normed[..count * hidden]);
            let logits = reserve(logits, count * width);
            Product {
                m: count,
                n: width,
                k: hidden,
                a: Left::rows(normed, hidden),
                b: weights.forward(head.factor).columns_from(first),
                c: logits,
                c_stride: width,
                write: Write::Overwrite,
            }
            .compute();
            for (row, prediction) in logits.chunks_mut(width).zip(predictions) {
                let (row, padding) = row.split_at_mut(self.tokens.saturating_sub(first).min(width));
                let at = *prediction;
                let of = RowGradient {
                    token: (packed.targets[at], upstream.targets[at]),
                    further: packed.asked().candidates(at),
                    weights: upstream.candidates(at),
                    entropy: upstream.entropy(at),
                };
                row_backward_part(row, first, spreads[at], temperature, &of);
                padding.fill(E::Real::ZERO);
            }
            let d_logits = E::rounded(logits, d_logits);
            Product {
                m: count,
                n: hidden,
                k: width,
                a: Left::rows(d_logits, width),
                b: weights.backward(head.factor).rows_from(first),
                c: d_normed,
                c_stride: hidden,
                // A sum goes on from block to block, so blocks do not show in it.
                write: if first == 0 { Write::Overwrite } else { Write::Continue },
            }
            .compute();
            let (x, dy) = (Strided { data: normed, stride: hidden }, (d_logits, width));
            linear::rows_gradient(head.block(), first, x, dy, gradient, count);
        }
        let Workspace { head: Buffers { input, d_input, .. }, d_normed, dx, .. } = work;
        let d_input = reserve(d_input, count * hidden);
        d_input.fill(E::Real::ZERO);
        let (input, d_normed) = (&input[..count * hidden], &d_normed[..count * hidden]);
        self.norm_backward(weights, norm, input, d_normed, d_input, gradient);
        for (from, row) in d_input.chunks(hidden).zip(&rows) {
            add_scaled(&mut dx[row * hidden..(row + 1) * hidden], E::Real::ONE, from);
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use r1x_core::Rng;
    use r1x_core::plan::{FeedForwardPlan, ModelPlan};

    use super::*;
    use crate::tests::{gqa, plan};

    /// The gradient of the head and of the residual stream.
    fn gradients<E: Operand<Real = f32>>(pieces: Pieces) -> (Vec<f32>, Vec<f32>) {
        let small = plan(gqa(), FeedForwardPlan::swiglu(14), false);
        let plan = ModelPlan { vocabulary_size: 150, context_length: 400, ..small };
        let mut decoder = Decoder::<E>::new(&plan);
        // The last rows of the vocabulary are no tokens.
        decoder.tokens = 141;
        let weights = Weights::<E>::random(&decoder.layout, &Rng::new(4));
        let mut draws = Rng::new(5).stream("head").at(&[]);
        let tokens: Vec<u32> = (0..331).map(|_| draws.below(141) as u32).collect();
        let packed = Packed::new([(&tokens[..], 1)]);
        let mut upstream: Vec<f32> = packed.targets.iter().map(|_| draws.normal() as f32).collect();
        upstream[ROWS..2 * ROWS].fill(0.0);
        upstream[7] = 0.0;
        let mut work = Workspace::default();
        decoder.forward(&weights, &packed, &mut work);
        let (rows, targets) = (&packed.predicting, &packed.targets);
        decoder.logprobs(&weights, rows, targets, 0.7, &mut work);
        work.dx = vec![0.0; tokens.len() * decoder.hidden];
        let last = decoder.layout.parts.last().unwrap().clone();
        let (mut part, mut panels) = (vec![0.0; last.len()], Vec::new());
        let (front, start) = (&mut [][..], last.start);
        let (trained, ignored, panels) = (0, &mut Vec::new(), &mut panels);
        let gradient = &mut Gradient { front, part: &mut part, start, trained, ignored, panels };
        let of = (&weights, decoder.layout.final_norm);
        decoder.head_in_pieces(of, &packed, ((&upstream).into(), 0.7), pieces, gradient, &mut work);
        (part, work.dx)
    }

    fn pieces_do_not_show<E: Operand<Real = f32>>() {
        let whole = gradients::<E>(Pieces { rows: usize::MAX, logits: usize::MAX });
        assert!(whole.0.iter().chain(&whole.1).any(|one| *one != 0.0));
        for (rows, logits) in [(ROWS, 64 * ROWS), (2 * ROWS, 32), (1024, 331 * 96), (1024, 1)] {
            assert!(gradients::<E>(Pieces { rows, logits }) == whole, "{rows} rows, {logits}");
        }
    }

    #[test]
    fn the_gradient_has_the_same_bits_whatever_the_blocks_of_the_vocabulary() {
        pieces_do_not_show::<f32>();
        pieces_do_not_show::<bf16>();
    }
}
