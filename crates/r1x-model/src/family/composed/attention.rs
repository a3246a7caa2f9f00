//! Attention out of candle ops: grouped-query, and latent with keys and values expanded.
//!
//! Every sequence attends on its own, so nothing is padded. Must not know caches.

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::softmax;
use r1x_ops::op::rope;

use super::Composed;
use crate::error::ModelError;
use crate::layout::{Attention, LatentQuery};

/// The rows of one sequence and what they may see of each other.
#[derive(Debug)]
pub(super) struct Segment {
    start: usize,
    length: usize,
    /// 0 where row attends to column, −∞ after it, `[length, length]`.
    mask: Tensor,
}

impl Segment {
    pub(super) fn new(
        start: usize,
        length: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let hidden = |row, column| if column > row { f32::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f32> = (0..length)
            .flat_map(|row| (0..length).map(move |column| hidden(row, column)))
            .collect();
        let mask = Tensor::from_vec(mask, (length, length), device)?.to_dtype(dtype)?;
        Ok(Self { start, length, mask })
    }
}

/// One layer's queries `[rows, heads, key]`, keys `[rows, heads, key]` and values `[rows, heads, value]`.
struct Projected {
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
}

impl Composed {
    /// Output of an attention, `[rows, hidden]`, for normed input of the same shape.
    pub(super) fn attend(
        &self,
        attention: &Attention,
        normed: &Tensor,
        positions: &[usize],
        segments: &[Segment],
    ) -> Result<Tensor, ModelError> {
        let (Attention::Gqa { o, .. } | Attention::Mla { o, .. }) = attention;
        let projected = self.project(attention, normed, positions)?;
        let attended = segments.iter().map(|segment| softmax_attention(&projected, segment));
        let attended = Tensor::cat(&attended.collect::<Result<Vec<_>, _>>()?, 0)?;
        self.parameters.linear(*o, &attended.flatten_from(1)?)
    }

    fn project(
        &self,
        attention: &Attention,
        normed: &Tensor,
        positions: &[usize],
    ) -> Result<Projected, ModelError> {
        let (rows, weights) = (normed.dim(0)?, &self.parameters);
        let turn = |x: &Tensor| rope(x, positions, &self.rotary);
        match *attention {
            Attention::Gqa { q, k, v, heads, kv_heads, width, .. } => {
                let split = |matrix, heads: usize| -> Result<Tensor, ModelError> {
                    Ok(weights.linear(matrix, normed)?.reshape((rows, heads, width))?)
                };
                // Query head h reads key/value head h / (heads / kv_heads): each serves its neighbours.
                let share = |x: Tensor| {
                    let repeated = (rows, kv_heads, heads / kv_heads, width);
                    x.unsqueeze(2)?.broadcast_as(repeated)?.reshape((rows, heads, width))
                };
                Ok(Projected {
                    queries: turn(&split(q, heads)?)?,
                    keys: share(turn(&split(k, kv_heads)?)?)?,
                    values: share(split(v, kv_heads)?)?,
                })
            }
            Attention::Mla {
                q, kv_down, kv_norm, kv_up, heads, latent, nope, rope, value, ..
            } => {
                let queries =
                    self.latent_queries(q, normed)?.reshape((rows, heads, nope + rope))?;
                let turned = turn(&queries.narrow(D::Minus1, nope, rope)?)?;
                let queries =
                    Tensor::cat(&[queries.narrow(D::Minus1, 0, nope)?, turned], D::Minus1)?;
                let down = weights.linear(kv_down, normed)?;
                let shared = turn(&down.narrow(1, latent, rope)?.unsqueeze(1)?)?;
                let shared = shared.broadcast_as((rows, heads, rope))?;
                let clean = weights.norm(kv_norm, &down.narrow(1, 0, latent)?, self.eps)?;
                let up = weights.linear(kv_up, &clean)?.reshape((rows, heads, nope + value))?;
                let keys = Tensor::cat(&[up.narrow(D::Minus1, 0, nope)?, shared], D::Minus1)?;
                Ok(Projected { queries, keys, values: up.narrow(D::Minus1, nope, value)? })
            }
        }
    }

    fn latent_queries(&self, query: LatentQuery, normed: &Tensor) -> Result<Tensor, ModelError> {
        let weights = &self.parameters;
        match query {
            LatentQuery::Direct(q) => weights.linear(q, normed),
            LatentQuery::LowRank { down, norm, up } => {
                let low = weights.norm(norm, &weights.linear(down, normed)?, self.eps)?;
                weights.linear(up, &low)
            }
        }
    }
}

/// Softmax attention of one sequence: `[length, heads, value]`.
fn softmax_attention(projected: &Projected, segment: &Segment) -> Result<Tensor, ModelError> {
    let by_head =
        |x: &Tensor| x.narrow(0, segment.start, segment.length)?.transpose(0, 1)?.contiguous();
    let queries = by_head(&projected.queries)?;
    let keys = by_head(&projected.keys)?;
    let scale = 1.0 / (keys.dim(D::Minus1)? as f64).sqrt();
    let scores = (queries.matmul(&keys.t()?.contiguous()?)? * scale)?;
    let probabilities = softmax(&scores.broadcast_add(&segment.mask)?, D::Minus1)?;
    let attended = probabilities.matmul(&by_head(&projected.values)?)?;
    Ok(attended.transpose(0, 1)?.contiguous()?)
}
