//! One thread's share of scoring and learning: a micro-batch through the model, the loss, and back.

use std::sync::Arc;

use r1x_core::loss::{Loss, LossTotals};
use r1x_core::rollout::Candidates;
use r1x_core::{TrainingBatch, TrainingSequence};
use r1x_ops::Operand;

use crate::family::decoder::{Decoder, Workspace};
use crate::family::packed::Packed;
use crate::family::said::Derivatives;
use crate::mtp::Mtp;
use crate::weights::Weights;

/// What one thread owns.
#[derive(Clone, Debug, Default)]
pub(super) struct Worker<E: Operand> {
    pub(super) work: Workspace<E>,
    pub(super) totals: LossTotals,
    /// What the model said of targets, by sequence.
    pub(super) said: Vec<Vec<f32>>,
    /// The most likely tokens at targets, by sequence.
    pub(super) candidates: Vec<Candidates>,
    pub(super) loads: Vec<Vec<u64>>,
    /// The mean of the losses of multi-token prediction; `None` where it was not computed.
    pub(super) mtp_loss: Option<f64>,
}

/// The rows of some sequences. Neighbours with one prompt share its rows where they may.
pub(crate) fn pack(sequences: &[Arc<TrainingSequence>], share_prompts: bool) -> Packed {
    let texts = sequences.iter().map(|s| (&s.tokens[..], s.prompt_len));
    let packed = if share_prompts { Packed::shared(texts) } else { Packed::new(texts) };
    packed.asking(sequences)
}

impl<E: Operand<Real = f32>> Worker<E> {
    /// What the model says of targets, by sequence, from rows that went through the layers.
    pub(super) fn score(
        &mut self,
        decoder: &Decoder<E>,
        weights: &Weights<E>,
        packed: &Packed,
        sequences: &[Arc<TrainingSequence>],
        temperature: f32,
    ) {
        let temperature = f64::from(temperature);
        let (rows, targets) = (&packed.predicting, &packed.targets);
        let flat = decoder.say(weights, rows, targets, temperature, &mut self.work);
        let mut flat = flat.into_iter();
        self.said = sequences
            .iter()
            .map(|s| flat.by_ref().take(s.tokens.len() - s.prompt_len).collect())
            .collect();
    }

    /// The most likely tokens at the targets of each sequence, from rows that went through the layers.
    pub(super) fn most_likely(
        &mut self,
        (decoder, weights): (&Decoder<E>, &Weights<E>),
        packed: &Packed,
        sequences: &[Arc<TrainingSequence>],
        (width, temperature): (usize, f32),
    ) {
        let (rows, temperature) = (&packed.predicting, f64::from(temperature));
        let (tokens, logprobs) =
            decoder.most_likely(weights, rows, width, temperature, &mut self.work);
        self.candidates = Candidates::by_sequence((width, &tokens, &logprobs), sequences);
    }

    /// Forward, loss and backward over some sequences; each part of the gradient is handed to `deliver`. Parts
    /// without a gradient are not.
    pub(super) fn learn(
        &mut self,
        decoder: &Decoder<E>,
        weights: &Weights<E>,
        sequences: &[Arc<TrainingSequence>],
        batch: &TrainingBatch,
        (loss, mtp): (&dyn Loss, &Mtp),
        deliver: impl FnMut(usize, &[f32]),
    ) {
        let packed = pack(sequences, batch.share_prompts);
        let temperature = f64::from(batch.temperature);
        decoder.forward(weights, &packed, &mut self.work);
        let (rows, asked) = (&packed.predicting, packed.asked());
        let answers = decoder.answers(weights, rows, asked, temperature, &mut self.work);
        self.totals = LossTotals::default();
        let mut derivatives = Derivatives::default();
        for (sequence, said) in answers.by_sequence(sequences, loss) {
            let output = loss.evaluate(sequence, said);
            self.totals.add(&output.totals);
            derivatives.add(output);
        }
        let mut silent = derivatives.are_silent();
        self.mtp_loss = mtp.loss(loss).map(|further| {
            let (mean, is_silent) =
                self.look_ahead(decoder, weights, &packed, (sequences, batch), (further, mtp));
            silent &= is_silent;
            mean
        });
        self.totals.loss += mtp.weight * self.mtp_loss.unwrap_or(0.0);
        self.loads = decoder.loads(&self.work).to_vec();
        // Tokens without a signal still count in the balance loss, so that it does not depend on the split.
        if packed.tokens.is_empty() || silent && !decoder.layout.has_balance_loss() {
            return;
        }
        let (share, work) = (1.0 / batch.sequences.len() as f64, &mut self.work);
        self.totals.loss +=
            decoder.backward(weights, &packed, &derivatives, temperature, share, deliver, work);
    }

    /// The modules of multi-token prediction over the sequences of the last pass: the mean of their losses, and whether
    /// none of them has a gradient.
    fn look_ahead(
        &mut self,
        decoder: &Decoder<E>,
        weights: &Weights<E>,
        packed: &Packed,
        (sequences, batch): (&[Arc<TrainingSequence>], &TrainingBatch),
        (loss, mtp): (&dyn Loss, &Mtp),
    ) -> (f64, bool) {
        let tokens = sequences.iter().map(|one| (&one.tokens[..], one.prompt_len));
        let (temperature, work) = (f64::from(batch.temperature), &mut self.work);
        let said = decoder.mtp_forward(weights, tokens, packed, temperature, work);
        let (mut sum, mut silent) = (0.0, true);
        for (module, said) in said.iter().enumerate() {
            let said: Vec<f32> = said.iter().map(|said| said.logprob).collect();
            let credit = mtp.credit(loss, sequences, module, &said);
            sum += credit.loss;
            silent &= credit.gradients.iter().all(|g| *g == 0.0);
            decoder.mtp_credit(module, credit.gradients.into_iter(), &mut self.work);
        }
        (mtp.mean(sum), silent)
    }
}
