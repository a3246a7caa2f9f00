//! Causal softmax attention over a context in two pieces: a shared prefix and a suffix of one's own.
//!
//! Training sees one piece (the sequence so far), decoding two (the group's prompt, the sample's tokens);
//! scores are taken key by key in order, so both give the same bits. Grouped-query attention stores a row of
//! keys then values; latent attention (MLA) in its absorbed form is the same kernel with one key head whose
//! value is the head of its key. Must not know projections or caches.

use super::{LANES, add_scaled, dot, partial_sums, total};
use crate::real::Real;
use crate::simd::vectorized;

/// The shape of one attention.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a query and of a key.
    pub key_width: usize,
    /// Width of a value.
    pub value_width: usize,
    /// Elements of a context row.
    pub row_width: usize,
    /// Where the first value starts in a context row (keys start at 0).
    pub value_offset: usize,
    /// Factor on the scores.
    pub scale: f64,
}

impl Heads {
    #[inline(always)]
    fn key_at(&self, head: usize) -> usize {
        head / (self.heads / self.kv_heads) * self.key_width
    }

    #[inline(always)]
    fn value_at(&self, head: usize) -> usize {
        self.value_offset + head / (self.heads / self.kv_heads) * self.value_width
    }
}

/// The context rows one query sees, as (first row, number of rows) in the arena: prefix, then suffix.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Rows shared with others; may be empty.
    pub prefix: (usize, usize),
    /// Own rows, the query's own position last.
    pub suffix: (usize, usize),
}

impl Context {
    /// Number of rows.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.prefix.1 + self.suffix.1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline(always)]
    fn row(&self, index: usize) -> usize {
        if index < self.prefix.1 {
            self.prefix.0 + index
        } else {
            self.suffix.0 + index - self.prefix.1
        }
    }
}

/// out[rows × heads·value_width] from q[rows × heads·key_width] and the arena of context rows.
pub fn attention<R: Real>(
    shape: &Heads,
    contexts: &[Context],
    q: &[R],
    arena: &[R],
    out: &mut [R],
    scores: &mut Vec<R>,
) {
    let longest = contexts.iter().map(Context::len).max().unwrap_or(0);
    scores.resize(longest.max(scores.len()), R::ZERO);
    forward(shape, contexts, q, arena, out, scores);
}

vectorized! {
    fn forward<R: Real>(
        shape: &Heads,
        contexts: &[Context],
        q: &[R],
        arena: &[R],
        out: &mut [R],
        scores: &mut [R],
    ) {
        for (t, context) in contexts.iter().enumerate() {
            for head in 0..shape.heads {
                let q = &q[(t * shape.heads + head) * shape.key_width..][..shape.key_width];
                let scores = &mut scores[..context.len()];
                probabilities(shape, head, context, q, arena, scores);
                let out = &mut out[(t * shape.heads + head) * shape.value_width..][..shape.value_width];
                out.fill(R::ZERO);
                for (index, p) in scores.iter().enumerate() {
                    let start = context.row(index) * shape.row_width + shape.value_at(head);
                    add_scaled(out, *p, &arena[start..start + shape.value_width]);
                }
            }
        }
    }
}

/// Softmax of scale · q·k over the context.
#[inline(always)]
fn probabilities<R: Real>(
    shape: &Heads,
    head: usize,
    context: &Context,
    q: &[R],
    arena: &[R],
    scores: &mut [R],
) {
    let scale = R::from_f64(shape.scale);
    let mut largest = R::from_f64(f64::NEG_INFINITY);
    for (block, scores) in scores.chunks_mut(LANES).enumerate() {
        // Partial sums of several keys first and their totals afterwards: together, the compiler spreads one
        // key's sum over scalars.
        let mut partial = [[R::ZERO; LANES]; LANES];
        for (offset, partial) in partial.iter_mut().take(scores.len()).enumerate() {
            let row = context.row(block * LANES + offset);
            let start = row * shape.row_width + shape.key_at(head);
            *partial = partial_sums(q, &arena[start..start + shape.key_width]);
        }
        for (score, partial) in scores.iter_mut().zip(&partial) {
            *score = total(*partial) * scale;
        }
        for score in scores.iter() {
            largest = if *score > largest { *score } else { largest };
        }
    }
    let mut sum = R::ZERO;
    // Two loops, because the sum has an order and the exponentials need none.
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
    }
    for score in scores.iter() {
        sum += *score;
    }
    let inverse = R::ONE / sum;
    for score in scores.iter_mut() {
        *score = *score * inverse;
    }
}

/// dq (overwritten) and darena (added to) for upstream dout. Probabilities are computed again rather than
/// kept: contexts are short next to the memory they would take.
pub fn attention_backward<R: Real>(
    shape: &Heads,
    contexts: &[Context],
    (q, dq): (&[R], &mut [R]),
    (arena, darena): (&[R], &mut [R]),
    dout: &[R],
    scores: &mut Vec<R>,
) {
    let longest = contexts.iter().map(Context::len).max().unwrap_or(0);
    scores.resize((2 * longest).max(scores.len()), R::ZERO);
    backward(shape, contexts, q, dq, arena, darena, dout, scores);
}

vectorized! {
    fn backward<R: Real>(
        shape: &Heads,
        contexts: &[Context],
        q: &[R],
        dq: &mut [R],
        arena: &[R],
        darena: &mut [R],
        dout: &[R],
        scores: &mut [R],
    ) {
        let scale = R::from_f64(shape.scale);
        for (t, context) in contexts.iter().enumerate() {
            for head in 0..shape.heads {
                let at = (t * shape.heads + head) * shape.key_width;
                let q = &q[at..at + shape.key_width];
                let dq = &mut dq[at..at + shape.key_width];
                let dout = &dout[(t * shape.heads + head) * shape.value_width..][..shape.value_width];
                let (p, dp) = scores.split_at_mut(context.len());
                let dp = &mut dp[..p.len()];
                probabilities(shape, head, context, q, arena, p);
                let mut mean = R::ZERO;
                for (index, (p, dp)) in p.iter().zip(dp.iter_mut()).enumerate() {
                    let start = context.row(index) * shape.row_width + shape.value_at(head);
                    *dp = dot(dout, &arena[start..start + shape.value_width]);
                    mean += *p * *dp;
                    add_scaled(&mut darena[start..start + shape.value_width], *p, dout);
                }
                dq.fill(R::ZERO);
                for (index, (p, dp)) in p.iter().zip(dp.iter()).enumerate() {
                    let start = context.row(index) * shape.row_width + shape.key_at(head);
                    let dscore = *p * (*dp - mean) * scale;
                    add_scaled(dq, dscore, &arena[start..start + shape.key_width]);
                    add_scaled(&mut darena[start..start + shape.key_width], dscore, q);
                }
            }
        }
    }
}
