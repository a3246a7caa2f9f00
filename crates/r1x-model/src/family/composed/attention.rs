//! Attention out of candle ops: grouped-query, and latent with keys and values expanded.
//!
//! Projections are here, and the attention of sequences that are whole; what a decoded token attends to is in
//! `decode`. Every sequence attends on its own, so nothing is padded.

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::softmax;
use r1x_ops::op::rope;

use super::Composed;
use crate::error::ModelError;
use crate::layout::{Attention, Gqa, LatentQuery, Mla};

/// The rows of one sequence, or of a part of one, and what they may see of the sequence.
#[derive(Debug)]
pub(super) struct Segment {
    start: usize,
    length: usize,
    /// 0 where row attends to column, −∞ after it, `[length, columns]`.
    mask: Tensor,
}

impl Segment {
    /// The rows from `start` on, `length` of them, which have `before` positions before them.
    pub(super) fn new(
        (start, length): (usize, usize),
        before: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let columns = before + length;
        let hidden = |row, column| if column > before + row { f32::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f32> = (0..length)
            .flat_map(|row| (0..columns).map(move |column| hidden(row, column)))
            .collect();
        let mask = Tensor::from_vec(mask, (length, columns), device)?.to_dtype(dtype)?;
        Ok(Self { start, length, mask })
    }

    /// What its rows see, 0, and what they do not, −∞: `[length, columns]`.
    pub(super) fn mask(&self) -> &Tensor {
        &self.mask
    }

    /// This sequence's part of `[rows, heads, width]`, as `[heads, length, width]`.
    pub(super) fn by_head(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        Ok(x.narrow(0, self.start, self.length)?.transpose(0, 1)?.contiguous()?)
    }
}

/// One layer's queries `[rows, heads, key]`, keys `[rows, kv_heads, key]` and values `[rows, kv_heads, value]`,
/// rotated. Query head h reads key/value head h / (heads / kv_heads): each serves its neighbours.
pub(super) struct Projected {
    pub(super) queries: Tensor,
    pub(super) keys: Tensor,
    pub(super) values: Tensor,
}

impl Projected {
    /// Softmax attention of whole sequences, `[rows, heads, value]`.
    pub(super) fn attend(&self, segments: &[Segment]) -> Result<Tensor, ModelError> {
        let attended = segments.iter().map(|segment| self.attend_one(segment));
        Ok(Tensor::cat(&attended.collect::<Result<Vec<_>, _>>()?, 0)?)
    }

    /// Softmax attention of one sequence that is whole, `[length, heads, value]`.
    pub(super) fn attend_one(&self, segment: &Segment) -> Result<Tensor, ModelError> {
        let [queries, keys, values] =
            [&self.queries, &self.keys, &self.values].map(|x| segment.by_head(x));
        attend(&queries?, (&keys?, &values?), &segment.mask)
    }
}

/// Softmax attention of queries `[heads, length, key]` to keys `[kv_heads, columns, key]` and values `[kv_heads, columns,
/// value]` under a mask `[length, columns]`: `[length, heads, value]`.
pub(super) fn attend(
    queries: &Tensor,
    (keys, values): (&Tensor, &Tensor),
    mask: &Tensor,
) -> Result<Tensor, ModelError> {
    let (heads, length, key) = queries.dims3()?;
    let (kv_heads, columns, _) = keys.dims3()?;
    // The queries of neighbouring heads go through their common keys in one product.
    let shared = (kv_heads, heads / kv_heads * length, ());
    let scores = queries.reshape(shared)?.matmul(&keys.t()?.contiguous()?)?;
    let scores = (scores.reshape((heads, length, columns))? * (1.0 / (key as f64).sqrt()))?;
    let probabilities = softmax(&scores.broadcast_add(mask)?, D::Minus1)?;
    let attended = probabilities.reshape(shared)?.matmul(values)?;
    Ok(attended.reshape((heads, length, ()))?.transpose(0, 1)?.contiguous()?)
}

impl Composed {
    /// Queries, keys and values of rows at these positions, for normed input `[rows, hidden]`.
    pub(super) fn project(
        &self,
        attention: &Attention,
        normed: &Tensor,
        positions: &[usize],
    ) -> Result<Projected, ModelError> {
        let (rows, weights) = (normed.dim(0)?, &self.parameters);
        let turn = |x: &Tensor| rope(x, positions, &self.rotary);
        match *attention {
            Attention::Gqa(Gqa { q, k, v, heads, kv_heads, width, .. }) => {
                let split = |matrix, heads: usize| -> Result<Tensor, ModelError> {
                    Ok(weights.linear(matrix, normed)?.reshape((rows, heads, width))?)
                };
                Ok(Projected {
                    queries: turn(&split(q, heads)?)?,
                    keys: turn(&split(k, kv_heads)?)?,
                    values: split(v, kv_heads)?,
                })
            }
            Attention::Mla(Mla {
                q,
                kv_down,
                kv_norm,
                kv_up,
                heads,
                latent,
                nope,
                rope,
                value,
                ..
            }) => {
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

    /// Back to the residual stream: `[rows, hidden]` from attended values `[rows, heads, value]`.
    pub(super) fn unproject(
        &self,
        attention: &Attention,
        attended: &Tensor,
    ) -> Result<Tensor, ModelError> {
        let (Attention::Gqa(Gqa { o, .. }) | Attention::Mla(Mla { o, .. })) = attention;
        self.parameters.linear(*o, &attended.flatten_from(1)?)
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
