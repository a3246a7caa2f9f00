//! Decoding on a device: the scheduler's passes as tensors, in one batch.
//!
//! Logits visit the host once a step, where tokens are drawn by the code and streams that the CPU draws with. What a
//! sample says does not depend on its batch beyond the rounding of the device's products.

use candle_core::Tensor;
use r1x_core::Completion;

use crate::blocks::{BlockChanges, PAGE_POSITIONS};
use crate::error::ModelError;
use crate::family::Rows;
use crate::family::composed::{Composed, TensorBlocks};
use crate::generate::queue::{Queue, gather};
use crate::generate::{Batch, Engine, Limits, Session};

/// Most samples decoded together.
const BATCH_SAMPLES: usize = 512;
/// Most bytes that the keys and values of a batch may take.
const CACHE_BYTES: usize = 4 << 30;
/// Prompt rows computed together.
const PREFILL_ROWS: usize = 4096;

/// A model on a device, with its keys and values.
struct Tensors<'a> {
    model: &'a Composed,
    blocks: TensorBlocks,
    /// The residual stream of the last pass, `[rows, hidden]`; nothing before the first.
    residual: Option<Tensor>,
}

impl Engine for Tensors<'_> {
    type Error = ModelError;

    fn change(&mut self, changes: &BlockChanges) -> Result<(), ModelError> {
        self.blocks.change(changes)
    }

    fn compute(&mut self, tokens: &[u32], rows: Rows<'_>) -> Result<(), ModelError> {
        self.residual = Some(self.model.decode(tokens, rows, &self.blocks)?);
        Ok(())
    }

    fn logits(
        &mut self,
        rows: &[usize],
        each: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), ModelError> {
        let (Some(residual), false) = (&self.residual, rows.is_empty()) else { return Ok(()) };
        let index: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
        let wanted = residual.index_select(&Tensor::new(index, residual.device())?, 0)?;
        let logits = self.model.logits(&wanted)?.flatten_all()?.to_vec1::<f32>()?;
        let vocabulary = logits.len() / rows.len();
        let tokens = self.model.tokens();
        logits.chunks(vocabulary).enumerate().for_each(|(index, row)| each(index, &row[..tokens]));
        Ok(())
    }
}

/// Samples completions for every request; see [`r1x_core::Sampler::generate_each`].
///
/// # Errors
/// When a request cannot be answered ([`Session::check`]), the device fails or its memory does not suffice.
pub(super) fn generate(
    model: &Composed,
    session: &Session<'_>,
    each: &mut dyn FnMut(usize, Vec<Completion>),
) -> Result<(), ModelError> {
    session.check(model.context_length())?;
    let limits = Limits { samples: batch_samples(model, session), prompt_rows: PREFILL_ROWS };
    within(limits, model, session, each)
}

/// Samples completions in batches of given sizes.
pub(super) fn within(
    limits: Limits,
    model: &Composed,
    session: &Session<'_>,
    each: &mut dyn FnMut(usize, Vec<Completion>),
) -> Result<(), ModelError> {
    let queue = Queue::new(session.requests, limits.samples);
    let engine = Tensors { model, blocks: model.blocks(), residual: None };
    let mut ended = gather(session.requests, each);
    Batch::new(*session, limits, engine, &mut ended).run(&queue)
}

/// How many samples may be decoded together, if each fills the pages that it may come to use and shares none.
fn batch_samples(model: &Composed, session: &Session<'_>) -> usize {
    let longest = session.requests.iter().map(|request| request.prompt.len()).max().unwrap_or(0);
    let positions = longest + session.sampling.max_tokens;
    // A page may be begun at the end of the prompt, and another one at the end.
    let bytes = (positions + 2 * PAGE_POSITIONS) * TensorBlocks::bytes_per_position(model.layout());
    (CACHE_BYTES / bytes.max(1)).clamp(1, BATCH_SAMPLES)
}
