//! Decoding on the kernels of the CPU: every thread has a batch of its own, and takes new sequences from one queue.
//!
//! A kernel computes a row in one order of operations, so what a sample says depends neither on who shares its batch
//! nor on which thread it falls to.

use std::convert::Infallible;

use r1x_core::Completion;
use r1x_ops::{Operand, parallel};

use super::queue::{Ended, Queue, gather};
use super::{Batch, Engine, Limits, Session};
use crate::blocks::BlockChanges;
use crate::blocks::host::HostBlocks;
use crate::error::ModelError;
use crate::family::Rows;
use crate::family::decoder::{Decoder, Workspace};
use crate::weights::Weights;

/// Sequences decoded together by one thread: enough rows to feed the matrix kernels, few enough to stay in cache.
const BATCH_SAMPLES: usize = 128;
/// Prompt rows computed together.
const PREFILL_ROWS: usize = 512;
/// Rows of logits held at a time.
const HEAD_ROWS: usize = 64;

/// A decoder with the memory of one thread.
struct Kernels<'a, E: Operand> {
    decoder: &'a Decoder<E>,
    weights: &'a Weights<E>,
    blocks: HostBlocks<E>,
    work: Workspace<E>,
}

impl<E: Operand<Real = f32>> Engine for Kernels<'_, E> {
    type Error = Infallible;

    fn change(&mut self, changes: &BlockChanges) -> Result<(), Infallible> {
        self.blocks.change(changes);
        Ok(())
    }

    fn compute(&mut self, tokens: &[u32], rows: Rows<'_>) -> Result<(), Infallible> {
        self.decoder.decode(self.weights, tokens, rows, self.blocks.layers(), &mut self.work);
        Ok(())
    }

    fn logits(
        &mut self,
        rows: &[usize],
        each: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), Infallible> {
        let vocabulary = self.decoder.layout.vocabulary;
        for (part, rows) in rows.chunks(HEAD_ROWS).enumerate() {
            let logits = self.decoder.logits(self.weights, rows, &mut self.work);
            for (index, row) in logits.chunks(vocabulary).enumerate() {
                each(part * HEAD_ROWS + index, &row[..self.decoder.tokens]);
            }
        }
        Ok(())
    }
}

/// Samples completions for every request; see [`r1x_core::Sampler::generate_each`].
///
/// # Errors
/// When a request cannot be answered; see [`Session::check`].
pub fn generate<E: Operand<Real = f32>>(
    (decoder, weights): (&Decoder<E>, &Weights<E>),
    session: &Session<'_>,
    threads: usize,
    each: &mut dyn FnMut(usize, Vec<Completion>),
) -> Result<(), ModelError> {
    session.check(decoder.context_length)?;
    let threads = threads.max(1);
    let total: usize = session.requests.iter().map(|request| request.samples).sum();
    let share = total.div_ceil(threads).clamp(1, BATCH_SAMPLES);
    let limits = Limits { samples: share, prompt_rows: PREFILL_ROWS };
    let queue = Queue::new(session.requests, share);
    let work = |ended: &mut dyn FnMut(Ended)| {
        let blocks = HostBlocks::new(decoder.block_lens());
        let engine = Kernels { decoder, weights, blocks, work: Workspace::default() };
        let Ok(()) = Batch::new(*session, limits, engine, ended).run(&queue);
    };
    parallel::emit(threads, work, gather(session.requests, each));
    Ok(())
}
