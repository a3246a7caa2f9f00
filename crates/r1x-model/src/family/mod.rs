//! Model families: how layers are computed, forward and backward, on the kernels of r1x-ops.
//!
//! One decoder covers Llama, Qwen and DeepSeek shapes: attention is grouped-query or latent, the feed-forward dense
//! or a mixture of experts. Rows of different sequences are packed without padding.

pub mod attention;
pub mod composed;
pub mod decoder;
pub mod feed_forward;
mod head;
pub mod linear;
pub mod mtp;
pub mod packed;
pub mod said;
mod together;
mod value;

use std::ops::Range;

use r1x_ops::kernel::attention::Context;

/// Where one row's keys and values go: a slot of a block of the layer's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheWrite {
    /// The row of the pass.
    pub row: u32,
    /// The block.
    pub block: u32,
    /// The position inside the block.
    pub slot: u32,
}

/// The rows of one forward pass, which may belong to many sequences.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Position of each row in its sequence.
    pub positions: &'a [usize],
    /// What each row sees.
    pub contexts: &'a [Context],
    /// The blocks that contexts refer to.
    pub tables: &'a [u32],
    /// Where keys and values go before attention.
    pub writes: &'a [CacheWrite],
}

impl Rows<'_> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }
}

impl<'a> Rows<'a> {
    /// Some of the rows, whose keys and values somebody else writes.
    pub fn part(&self, rows: Range<usize>) -> Rows<'a> {
        let (positions, contexts) = (&self.positions[rows.clone()], &self.contexts[rows]);
        Rows { positions, contexts, tables: self.tables, writes: &[] }
    }
}
