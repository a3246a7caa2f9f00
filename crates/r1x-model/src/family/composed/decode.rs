//! Decoding: rows of sequences that grow, over blocks of keys and values.
//!
//! A pass is either a token of each sequence, whose attention is one product over all of them, or parts of prompts,
//! each of which attends on its own. Where a kernel attends to blocks by their tables, it takes the place of `Step`.
//! No gradient is kept: use a model without one ([`Composed::frozen`]).

use std::ops::Range;

use candle_core::{D, Tensor};
use candle_nn::ops::softmax;
use r1x_ops::kernel::attention::{BLOCK, Context};

use super::Composed;
use super::attention::{Masks, Projected, Segment, attend};
use super::blocks::TensorBlocks;
use crate::error::ModelError;
use crate::family::Rows;

/// One token of every sequence.
struct Step {
    /// The blocks of every sequence, [`TensorBlocks::numbers`].
    blocks: Tensor,
    masks: Masks,
}

/// Neighbouring rows of one sequence.
struct Part {
    segment: Segment,
    /// The blocks that it reaches into; nothing when the part is the beginning of its sequence, and so sees only itself.
    blocks: Option<Tensor>,
}

/// What the rows of a pass see.
enum Seen {
    Step(Step),
    Parts(Vec<Part>),
}

/// The rows of each sequence in a pass.
fn sequences(rows: &Rows<'_>) -> Vec<Range<usize>> {
    let mut start = 0;
    let follows = |a: &Context, b: &Context| b.table == a.table && b.len == a.len + 1;
    let runs = rows.contexts.chunk_by(follows).map(|run| {
        let range = start..start + run.len();
        start = range.end;
        range
    });
    runs.collect()
}

/// The blocks that a row sees something of.
fn table<'a>(rows: &Rows<'a>, row: usize) -> &'a [u32] {
    let context = rows.contexts[row];
    &rows.tables[context.table..][..context.len.div_ceil(BLOCK)]
}

impl Composed {
    /// One pass of decoding: tokens through embedding and layers, their keys and values into `blocks`. The residual
    /// stream `[rows, hidden]`.
    ///
    /// # Errors
    /// When there are no rows, a position is outside the context, a token is outside the vocabulary, or the device
    /// fails.
    pub fn decode(
        &self,
        tokens: &[u32],
        rows: Rows<'_>,
        blocks: &TensorBlocks,
    ) -> Result<Tensor, ModelError> {
        let (Some(last), true) = (rows.positions.iter().max(), tokens.len() == rows.len()) else {
            let message = format!("{} tokens for {} rows", tokens.len(), rows.len());
            return Err(candle_core::Error::msg(message).into());
        };
        if *last >= self.context_length {
            return Err(ModelError::TooLong { length: last + 1, limit: self.context_length });
        }
        let (seen, writes) = (self.seen(&rows, blocks)?, blocks.writes(rows.writes)?);
        let pass = self.run(tokens, rows.positions, |layer, projected| {
            blocks.write(layer, [&projected.keys, &projected.values], &writes)?;
            match &seen {
                Seen::Step(step) => step.attend(layer, projected, blocks),
                Seen::Parts(parts) => {
                    let attended = parts.iter().map(|part| part.attend(layer, projected, blocks));
                    Ok(Tensor::cat(&attended.collect::<Result<Vec<_>, ModelError>>()?, 0)?)
                }
            }
        })?;
        Ok(pass.residual)
    }

    fn seen(&self, rows: &Rows<'_>, blocks: &TensorBlocks) -> Result<Seen, ModelError> {
        let sequences = sequences(rows);
        if sequences.len() == rows.len() {
            let tables: Vec<&[u32]> = (0..rows.len()).map(|row| table(rows, row)).collect();
            let masks = self.step_masks(rows)?;
            return Ok(Seen::Step(Step { blocks: blocks.numbers(&tables)?, masks }));
        }
        let part = |range: Range<usize>| {
            let (first, table) = (rows.positions[range.start], table(rows, range.end - 1));
            let place = (range.start, range.len());
            Ok(Part {
                segment: Segment::new(place, first, &self.windows, (self.dtype, &self.device))?,
                blocks: (first > 0).then(|| blocks.numbers(&[table])).transpose()?,
            })
        };
        let parts = sequences.into_iter().map(part);
        Ok(Seen::Parts(parts.collect::<Result<_, ModelError>>()?))
    }

    fn step_masks(&self, rows: &Rows<'_>) -> Result<Masks, ModelError> {
        let lens: Vec<usize> = rows.contexts.iter().map(|context| context.len).collect();
        let columns = lens.iter().max().map_or(0, |longest| longest.next_multiple_of(BLOCK));
        Masks::new(&self.windows, &lens, columns, (self.dtype, &self.device))
    }
}

impl Step {
    /// Softmax attention of one row per sequence, `[sequences, heads, value]`.
    fn attend(
        &self,
        layer: usize,
        projected: &Projected,
        blocks: &TensorBlocks,
    ) -> Result<Tensor, ModelError> {
        let (sequences, heads, key) = projected.queries.dims3()?;
        let [keys, values] = blocks.read(layer, &self.blocks, sequences)?;
        let kv_heads = keys.dim(0)?;
        let queries = projected.queries.reshape((sequences, kv_heads, heads / kv_heads, key))?;
        let queries = queries.transpose(0, 1)?.contiguous()?;
        let scores = (queries.matmul(&keys.transpose(2, 3)?)? * projected.scale)?;
        let mask = self.masks.of(projected.window)?;
        let scores = scores.broadcast_add(&mask.reshape((1, sequences, 1, mask.dim(1)?))?)?;
        let attended = softmax(&scores, D::Minus1)?.matmul(&values)?;
        Ok(attended.transpose(0, 1)?.contiguous()?.reshape((sequences, heads, ()))?)
    }
}

impl Part {
    /// Softmax attention of the part's rows, `[rows, heads, value]`.
    fn attend(
        &self,
        layer: usize,
        projected: &Projected,
        blocks: &TensorBlocks,
    ) -> Result<Tensor, ModelError> {
        let Some(numbers) = &self.blocks else { return projected.attend_one(&self.segment) };
        let queries = self.segment.by_head(&projected.queries)?;
        let mask = self.segment.mask(projected.window)?;
        let columns = mask.dim(1)?;
        let [keys, values] = blocks.read(layer, numbers, 1)?;
        let part = |x: Tensor| x.squeeze(1)?.narrow(1, 0, columns)?.contiguous();
        attend((&queries, projected.scale), (&part(keys)?, &part(values)?), mask)
    }
}
