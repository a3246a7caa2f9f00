//! Attention out of candle ops: grouped-query, and latent with keys and values expanded.
//!
//! Projections are here, and the attention of sequences that are whole; what a decoded token attends to is in
//! `decode`. Every sequence attends on its own, so nothing is padded.

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::softmax;
use r1x_ops::op::rope;

use super::Composed;
use crate::error::ModelError;
use crate::layout::{Attention, Block, Gqa, LatentQuery, Mla, Vector};

/// The rows of one sequence, or of a part of one, and what they may see of the sequence.
#[derive(Debug)]
pub(super) struct Segment {
    start: usize,
    length: usize,
    masks: Masks,
}

/// For each window that a layer of the model has: 0 where a row attends to a column, −∞ elsewhere.
#[derive(Debug)]
pub(super) struct Masks(BTreeMap<usize, Tensor>);

impl Masks {
    /// The masks of some windows. A mask has a row for each of `lens`, the positions up to a row's own, and so many
    /// columns.
    pub(super) fn new(
        windows: &[usize],
        lens: &[usize],
        columns: usize,
        (dtype, device): (DType, &Device),
    ) -> Result<Self, ModelError> {
        let mask = |window: &usize| {
            let seen = |len: usize, column| (len.saturating_sub(*window)..len).contains(&column);
            let number = |is_seen| if is_seen { 0.0 } else { f32::NEG_INFINITY };
            let rows = lens
                .iter()
                .flat_map(|len| (0..columns).map(move |column| number(seen(*len, column))));
            let numbers: Vec<f32> = rows.collect();
            let mask = Tensor::from_vec(numbers, (lens.len(), columns), device)?.to_dtype(dtype)?;
            Ok((*window, mask))
        };
        Ok(Self(windows.iter().map(mask).collect::<Result<_, ModelError>>()?))
    }

    /// The mask of a window, `[rows, columns]`.
    pub(super) fn of(&self, window: usize) -> Result<&Tensor, ModelError> {
        let missing = || candle_core::Error::msg(format!("no mask for a window of {window}"));
        Ok(self.0.get(&window).ok_or_else(missing)?)
    }
}

impl Segment {
    /// The rows from `start` on, `length` of them, which have `before` positions before them.
    pub(super) fn new(
        (start, length): (usize, usize),
        before: usize,
        windows: &[usize],
        place: (DType, &Device),
    ) -> Result<Self, ModelError> {
        let lens: Vec<usize> = (before + 1..=before + length).collect();
        let masks = Masks::new(windows, &lens, before + length, place)?;
        Ok(Self { start, length, masks })
    }

    /// What its rows see through a window, 0, and what they do not, −∞: `[length, columns]`.
    pub(super) fn mask(&self, window: usize) -> Result<&Tensor, ModelError> {
        self.masks.of(window)
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
    /// Factor on the scores.
    pub(super) scale: f64,
    /// Positions that a row sees at most, its own included.
    pub(super) window: usize,
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
        attend((&queries?, self.scale), (&keys?, &values?), segment.mask(self.window)?)
    }
}

/// Softmax attention of queries `[heads, length, key]` to keys `[kv_heads, columns, key]` and values `[kv_heads, columns,
/// value]` under a mask `[length, columns]`: `[length, heads, value]`. Scores are multiplied by `scale`.
pub(super) fn attend(
    (queries, scale): (&Tensor, f64),
    (keys, values): (&Tensor, &Tensor),
    mask: &Tensor,
) -> Result<Tensor, ModelError> {
    let (heads, length, _) = queries.dims3()?;
    let (kv_heads, columns, _) = keys.dims3()?;
    // The queries of neighbouring heads go through their common keys in one product.
    let shared = (kv_heads, heads / kv_heads * length, ());
    let scores = queries.reshape(shared)?.matmul(&keys.t()?.contiguous()?)?;
    let scores = (scores.reshape((heads, length, columns))? * scale)?;
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
            Attention::Gqa(ref gqa) => self.grouped_queries(gqa, normed, positions),
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
                norm_eps,
                score_factor,
                ..
            }) => {
                let queries = self.latent_queries(q, normed, norm_eps)?.reshape((
                    rows,
                    heads,
                    nope + rope,
                ))?;
                let turned = turn(&queries.narrow(D::Minus1, nope, rope)?)?;
                let queries =
                    Tensor::cat(&[queries.narrow(D::Minus1, 0, nope)?, turned], D::Minus1)?;
                let down = weights.linear(kv_down, normed)?;
                let shared = turn(&down.narrow(1, latent, rope)?.unsqueeze(1)?)?;
                let shared = shared.broadcast_as((rows, heads, rope))?;
                let clean = weights.norm(kv_norm, &down.narrow(1, 0, latent)?, norm_eps)?;
                let up = weights.linear(kv_up, &clean)?.reshape((rows, heads, nope + value))?;
                let keys = Tensor::cat(&[up.narrow(D::Minus1, 0, nope)?, shared], D::Minus1)?;
                let scale = score_factor / ((nope + rope) as f64).sqrt();
                let values = up.narrow(D::Minus1, nope, value)?;
                Ok(Projected { queries, keys, values, scale, window: usize::MAX })
            }
        }
    }

    fn grouped_queries(
        &self,
        gqa: &Gqa,
        normed: &Tensor,
        positions: &[usize],
    ) -> Result<Projected, ModelError> {
        let (rows, width) = (normed.dim(0)?, gqa.width);
        let norms = gqa.norms.map(|norms| (norms.query, norms.key));
        let split = |matrix: Block, gain: Option<Vector>| -> Result<Tensor, ModelError> {
            let mut x = self.parameters.linear(matrix, normed)?;
            if let Some(gain) = gain {
                let parts = x.reshape((rows, matrix.rows / gain.len, gain.len))?;
                x = self.parameters.norm(gain, &parts, self.eps)?;
            }
            if let Some(bound) = gqa.clip {
                x = x.clamp(-bound, bound)?;
            }
            Ok(x.reshape((rows, matrix.rows / width, width))?)
        };
        let turn = |x: Tensor| -> Result<Tensor, ModelError> {
            let turned = rope(&x.narrow(D::Minus1, 0, gqa.rotary)?, positions, &self.rotary)?;
            let still = x.narrow(D::Minus1, gqa.rotary, width - gqa.rotary)?;
            Ok(if gqa.rotary == width { turned } else { Tensor::cat(&[turned, still], D::Minus1)? })
        };
        Ok(Projected {
            queries: turn(split(gqa.q, norms.map(|(query, _)| query))?)?,
            keys: turn(split(gqa.k, norms.map(|(_, key)| key))?)?,
            values: split(gqa.v, None)?,
            scale: 1.0 / (width as f64).sqrt(),
            window: gqa.window,
        })
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

    fn latent_queries(
        &self,
        query: LatentQuery,
        normed: &Tensor,
        norm_eps: f64,
    ) -> Result<Tensor, ModelError> {
        let weights = &self.parameters;
        match query {
            LatentQuery::Direct(q) => weights.linear(q, normed),
            LatentQuery::LowRank { down, norm, up } => {
                let low = weights.norm(norm, &weights.linear(down, normed)?, norm_eps)?;
                weights.linear(up, &low)
            }
        }
    }
}
