//! Decoding: keys and values of sequences that grow by one token at a time, in step.
//!
//! Prompts are of different lengths but all end in the same column, with empty columns before the shorter
//! ones; so the next column is the same for every sequence, and a step is one product per layer. No gradient
//! is kept: use a model without one ([`Composed::frozen`]). Must not know sampling.

use candle_core::{D, Tensor};
use candle_nn::ops::softmax;

use super::attention::{Projected, Segment};
use super::{Composed, Pass};
use crate::error::ModelError;
use crate::family::packed::Packed;
use crate::layout::{Attention, Gqa, Layout, Mla};

/// What a group of sequences has said so far, layer by layer.
#[derive(Clone, Debug)]
pub struct Cache {
    /// Keys `[sequences, kv_heads, columns, key]` and values `[sequences, kv_heads, columns, value]`.
    layers: Vec<(Tensor, Tensor)>,
    /// Empty columns before each sequence.
    empty: Vec<usize>,
    columns: usize,
}

/// Prompts that were computed, one row of everything per prompt.
#[derive(Clone, Debug)]
pub struct Prefilled {
    /// The residual stream at the last token of every prompt, `[prompts, hidden]`.
    pub residual: Tensor,
    /// Keys and values, to be decoded from.
    pub cache: Cache,
}

impl Cache {
    /// The cache of these sequences, in this order; one may be named more than once.
    ///
    /// # Errors
    /// When the device fails.
    pub fn select(&self, sequences: &[usize]) -> Result<Self, ModelError> {
        let index: Vec<u32> = sequences.iter().map(|sequence| *sequence as u32).collect();
        let chosen =
            |tensor: &Tensor| tensor.index_select(&Tensor::new(&index[..], tensor.device())?, 0);
        let layers = self.layers.iter().map(|(keys, values)| Ok((chosen(keys)?, chosen(values)?)));
        Ok(Self {
            layers: layers.collect::<Result<_, ModelError>>()?,
            empty: sequences.iter().map(|sequence| self.empty[*sequence]).collect(),
            columns: self.columns,
        })
    }

    /// Caches of the same number of columns as one, in this order.
    ///
    /// # Errors
    /// When there is none, or the device fails.
    pub fn join(caches: Vec<Self>) -> Result<Self, ModelError> {
        let Some(first) = caches.first() else {
            return Err(candle_core::Error::msg("there is no sequence to decode").into());
        };
        let layers = (0..first.layers.len()).map(|layer| {
            let keys: Vec<&Tensor> = caches.iter().map(|cache| &cache.layers[layer].0).collect();
            let values: Vec<&Tensor> = caches.iter().map(|cache| &cache.layers[layer].1).collect();
            Ok((Tensor::cat(&keys, 0)?, Tensor::cat(&values, 0)?))
        });
        Ok(Self {
            layers: layers.collect::<Result<_, ModelError>>()?,
            empty: caches.iter().flat_map(|cache| cache.empty.iter().copied()).collect(),
            columns: first.columns,
        })
    }

    /// Bytes that one token of one sequence takes in `f32`.
    pub fn bytes_per_token(layout: &Layout) -> usize {
        let width = |attention: &Attention| match *attention {
            Attention::Gqa(Gqa { kv_heads, width, .. }) => 2 * kv_heads * width,
            Attention::Mla(Mla { heads, nope, rope, value, .. }) => heads * (nope + rope + value),
        };
        layout.layers.iter().map(|layer| 4 * width(&layer.attention)).sum()
    }

    /// 0 for columns that hold a token, −∞ for empty ones: `[sequences, 1, 1, columns]`; nothing when every
    /// column does.
    fn mask(&self, like: &Tensor) -> Result<Option<Tensor>, ModelError> {
        if self.empty.iter().all(|empty| *empty == 0) {
            return Ok(None);
        }
        let row = |empty: &usize| {
            let empty = *empty;
            (0..self.columns).map(move |c| if c < empty { f32::NEG_INFINITY } else { 0.0 })
        };
        let mask: Vec<f32> = self.empty.iter().flat_map(row).collect();
        let mask = Tensor::from_vec(mask, (self.empty.len(), 1, 1, self.columns), like.device())?;
        Ok(Some(mask.to_dtype(like.dtype())?))
    }
}

/// Appends one token's keys and values per sequence and attends to all columns: `[sequences, heads, value]`.
fn attend(
    (keys, values): &mut (Tensor, Tensor),
    projected: &Projected,
    mask: Option<&Tensor>,
) -> Result<Tensor, ModelError> {
    // Out of contiguous parts candle makes a contiguous whole, which is what products over batches ask for.
    let column = |x: &Tensor| x.contiguous()?.unsqueeze(2);
    *keys = Tensor::cat(&[&*keys, &column(&projected.keys)?], 2)?;
    *values = Tensor::cat(&[&*values, &column(&projected.values)?], 2)?;
    let (sequences, heads, key) = projected.queries.dims3()?;
    let kv_heads = keys.dim(1)?;
    let queries = projected.queries.reshape((sequences, kv_heads, heads / kv_heads, key))?;
    let mut scores = (queries.matmul(&keys.transpose(2, 3)?)? * (1.0 / (key as f64).sqrt()))?;
    if let Some(mask) = mask {
        scores = scores.broadcast_add(mask)?;
    }
    let attended = softmax(&scores, D::Minus1)?.matmul(values)?;
    Ok(attended.reshape((sequences, heads, ()))?)
}

impl Composed {
    /// Computes prompts of at least one token each; every one ends in the last of `columns` columns.
    ///
    /// # Errors
    /// When a prompt is empty, longer than `columns` or the context, a token is outside the vocabulary, or the
    /// device fails.
    pub fn prefill(&self, prompts: &[&[u32]], columns: usize) -> Result<Prefilled, ModelError> {
        if let Some(prompt) = prompts.iter().find(|prompt| prompt.len() > columns) {
            return Err(ModelError::TooLong { length: prompt.len(), limit: columns });
        }
        let packed = Packed::prompts(prompts);
        let segments = self.segments(&packed)?;
        if segments.len() != prompts.len() {
            return Err(candle_core::Error::msg("a prompt has no token").into());
        }
        let mut layers = Vec::new();
        let pass = self.run(&packed.tokens, &packed.positions, |_, projected| {
            let aligned = |x: &Tensor| self.aligned(x, &segments, columns);
            layers.push((aligned(&projected.keys)?, aligned(&projected.values)?));
            projected.attend(&segments)
        })?;
        let last = segments.iter().map(|segment| segment.last_row(&pass.residual));
        Ok(Prefilled {
            residual: Tensor::cat(&last.collect::<Result<Vec<_>, _>>()?, 0)?,
            cache: Cache {
                layers,
                empty: prompts.iter().map(|prompt| columns - prompt.len()).collect(),
                columns,
            },
        })
    }

    /// Every sequence's part of `[rows, heads, width]`, moved to the last columns: `[sequences, heads,
    /// columns, width]`.
    fn aligned(
        &self,
        x: &Tensor,
        segments: &[Segment],
        columns: usize,
    ) -> Result<Tensor, ModelError> {
        let parts = segments.iter().map(|segment| {
            let part = segment.by_head(x)?;
            let empty = columns - part.dim(1)?;
            Ok(part.pad_with_zeros(1, empty, 0)?)
        });
        Ok(Tensor::stack(&parts.collect::<Result<Vec<_>, ModelError>>()?, 0)?)
    }

    /// One more token for every sequence of a cache: the residual stream `[sequences, hidden]`.
    ///
    /// # Errors
    /// When there is not one token per sequence, one is outside the vocabulary, a sequence is longer than the
    /// context, or the device fails.
    pub fn decode(&self, tokens: &[u32], cache: &mut Cache) -> Result<Tensor, ModelError> {
        let Cache { empty, columns, .. } = &*cache;
        if tokens.len() != empty.len() || tokens.is_empty() {
            let (found, wanted) = (tokens.len(), empty.len());
            let message = format!("{found} tokens for {wanted} sequences");
            return Err(candle_core::Error::msg(message).into());
        }
        let positions: Vec<usize> = empty.iter().map(|empty| columns - empty).collect();
        if let Some(position) = positions.iter().find(|p| **p >= self.context_length) {
            return Err(ModelError::TooLong { length: position + 1, limit: self.context_length });
        }
        cache.columns += 1;
        let mask = cache.mask(self.parameters.at(self.layout.embedding.offset)?)?;
        let layers = &mut cache.layers;
        let pass = self.run(tokens, &positions, |layer, projected| {
            attend(&mut layers[layer], projected, mask.as_ref())
        })?;
        let Pass { residual, .. } = pass;
        Ok(residual)
    }
}
