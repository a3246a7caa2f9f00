//! Causal softmax attention over keys and values in blocks of positions, as products over those blocks.
//!
//! A block holds 32 neighbouring positions of a sequence, keys and values packed as the right factors that scores
//! and weighted sums need. Which blocks a row sees is said by its table, so sequences may share blocks, and a cache,
//! a pass over whole sequences and a group that shares its prompt are one thing. A score is one chain over the key's
//! width, a weighted sum one chain over ascending positions: neither depends on which rows are computed together.
//! Grouped-query attention has a key and a value per head; latent attention (MLA) in its absorbed form is the same
//! kernel with one head whose value is the beginning of its key.

mod backward;
mod block;
mod forward;

pub use backward::{Segment, attention_backward};
pub use block::{BLOCK, block_len, write_row};
pub use forward::attention;

use std::ops::Range;

use crate::operand::Operand;
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
    /// Elements of a context row: what one position adds to the context.
    pub row_width: usize,
    /// Where the first value starts in a context row (keys start at 0).
    pub value_offset: usize,
    /// Factor on the scores.
    pub scale: f64,
    /// Positions that a row sees at most, its own included; `usize::MAX` where it sees everything before it.
    pub window: usize,
}

impl Heads {
    /// Query heads that share a key head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// The positions that a row sees when there are `len` up to its own.
    fn seen(&self, len: usize) -> Range<usize> {
        len.saturating_sub(self.window)..len
    }

    /// The key of a head in a context row.
    fn key<'a, T>(&self, row: &'a [T], kv_head: usize) -> &'a [T] {
        &row[kv_head * self.key_width..][..self.key_width]
    }

    /// The value of a head in a context row.
    fn value<'a, T>(&self, row: &'a [T], kv_head: usize) -> &'a [T] {
        &row[self.value_offset + kv_head * self.value_width..][..self.value_width]
    }
}

/// What one row sees: the first `len` positions of the blocks from `table` on in the pass's list of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Where its blocks start in the list.
    pub table: usize,
    /// Positions, its own included.
    pub len: usize,
}

impl Context {
    /// Blocks it reaches into.
    fn blocks(&self) -> usize {
        self.len.div_ceil(BLOCK)
    }
}

/// Memory of both passes, reused from call to call.
#[derive(Clone, Debug, Default)]
pub struct Scratch<E: Operand> {
    scores: Vec<E::Real>,
    d_scores: Vec<E::Real>,
    sums: Vec<E::Real>,
    inverses: Vec<E::Real>,
    probabilities: Vec<E>,
    keys: Vec<E>,
    values: Vec<E>,
    panels: Vec<E>,
    d_keys: Vec<E::Real>,
    d_values: Vec<E::Real>,
}

/// The beginning of a buffer, made long enough.
fn reserve<T: Copy + Default>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
    &mut buffer[..len]
}

vectorized! {
    /// Turns the scores of the positions that a row sees into exp(scale·(score − largest)), the rest into 0; returns one
    /// over their sum. Sums are in sixteen interleaved parts, so that zeros behind the end change nothing.
    fn exponentials<R: Real>(scores: &mut [R], positions: Range<usize>, scale: R) -> R {
        const LANES: usize = super::LANES;
        let (seen, unseen) = scores.split_at_mut(positions.end);
        unseen.fill(R::ZERO);
        let (unseen, seen) = seen.split_at_mut(positions.start);
        unseen.fill(R::ZERO);
        let mut maxima = [R::from_f64(f64::NEG_INFINITY); LANES];
        let (chunks, rest) = seen.as_chunks::<LANES>();
        for chunk in chunks {
            maxima = std::array::from_fn(|l| if chunk[l] > maxima[l] { chunk[l] } else { maxima[l] });
        }
        let mut largest = maxima[0];
        for value in maxima[1..].iter().chain(rest) {
            largest = if *value > largest { *value } else { largest };
        }
        // Two loops, because the sum has an order and the exponentials need none.
        for score in seen.iter_mut() {
            *score = ((*score - largest) * scale).exp();
        }
        let mut sums = [R::ZERO; LANES];
        let (chunks, rest) = seen.as_chunks::<LANES>();
        for chunk in chunks {
            sums = std::array::from_fn(|l| sums[l] + chunk[l]);
        }
        for (sum, e) in sums.iter_mut().zip(rest) {
            *sum += *e;
        }
        R::ONE / super::total(sums)
    }
}

#[cfg(test)]
mod tests;
