//! Decoding on the kernels of the CPU: every thread has a batch of its own, and takes new sequences from one queue.
//!
//! A kernel computes a row in one order of operations, so what a sample says depends neither on who shares its batch
//! nor on which thread it falls to.

use std::convert::Infallible;

use r1x_core::Completion;
use r1x_ops::{Operand, parallel};

use super::pass::Pass;
use super::queue::{Ended, Queue, gather};
use super::{Batch, Engine, Limits, Session};
use crate::blocks::host::HostBlocks;
use crate::blocks::{BlockChanges, BlockPool, BlockTable};
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
    /// Prompts that all threads have computed, by request.
    prompts: &'a [Prompt<E>],
}

/// A prompt that has gone through the layers.
struct Prompt<E> {
    blocks: HostBlocks<E>,
    /// The numbers of its blocks, in order of position.
    table: BlockTable,
    /// Logits of its last row.
    logits: Vec<f32>,
}

impl<E: Operand<Real = f32>> Prompt<E> {
    /// Computes a prompt on some threads.
    fn compute(
        (decoder, weights): (&Decoder<E>, &Weights<E>),
        tokens: &[u32],
        threads: usize,
    ) -> Self {
        let (mut pool, mut table) = (BlockPool::default(), BlockTable::default());
        pool.extend(&mut table, tokens.len());
        let mut blocks = HostBlocks::new(decoder.block_lens());
        let Ok(()) = pool.settle(|changes| {
            blocks.change(changes);
            Ok::<_, Infallible>(())
        });
        let mut works = vec![Workspace::default(); threads];
        let (mut pass, mut position) = (Pass::default(), 0);
        for part in tokens.chunks(PREFILL_ROWS * threads) {
            pass.clear();
            let list = pass.list(&table);
            for token in part {
                pass.push(*token, position, list);
                position += 1;
            }
            decoder.decode(weights, &pass.tokens, pass.rows(), blocks.layers(), &mut works);
        }
        let last = pass.tokens.len() - 1;
        let logits = decoder.logits(weights, &[last], &mut works[0])[..decoder.tokens].to_vec();
        Self { blocks, table, logits }
    }
}

impl<E: Operand<Real = f32>> Engine for Kernels<'_, E> {
    type Error = Infallible;

    fn change(&mut self, changes: &BlockChanges) -> Result<(), Infallible> {
        self.blocks.change(changes);
        Ok(())
    }

    fn compute(&mut self, tokens: &[u32], rows: Rows<'_>) -> Result<(), Infallible> {
        let works = std::slice::from_mut(&mut self.work);
        self.decoder.decode(self.weights, tokens, rows, self.blocks.layers(), works);
        Ok(())
    }

    fn recall(&mut self, request: usize, blocks: &[u32]) -> Option<&[f32]> {
        let prompt = self.prompts.get(request)?;
        self.blocks.copy_from(&prompt.blocks, prompt.table.blocks(), blocks);
        Some(&prompt.logits)
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
    // Where threads are more than prompts, each prompt is computed by all of them, and no thread computes it again.
    let prompts: Vec<Prompt<E>> = match session.requests.len() < threads {
        true => {
            let prompts = session.requests.iter().map(|request| &request.prompt[..]);
            prompts.map(|tokens| Prompt::compute((decoder, weights), tokens, threads)).collect()
        }
        false => Vec::new(),
    };
    let work = |ended: &mut dyn FnMut(Ended)| {
        let blocks = HostBlocks::new(decoder.block_lens());
        let (work, prompts) = (Workspace::default(), &prompts[..]);
        let engine = Kernels { decoder, weights, blocks, work, prompts };
        let Ok(()) = Batch::new(*session, limits, engine, ended).run(&queue);
    };
    parallel::emit(threads, work, gather(session.requests, each));
    Ok(())
}
