//! Model families: how layers are computed, forward and backward, on the kernels of r1x-ops.
//!
//! One decoder covers Llama, Qwen and DeepSeek shapes: attention is grouped-query or latent, the feed-forward
//! dense or a mixture of experts. Rows of different sequences are packed without padding. Must not know
//! tokens' meaning, losses or rewards.

pub mod attention;
pub mod composed;
pub mod decoder;
pub mod feed_forward;
pub mod linear;

use r1x_ops::kernel::attention::Context;

/// The rows of one forward pass, which may belong to many sequences.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Position of each row in its sequence.
    pub positions: &'a [usize],
    /// Context rows each row attends to, in the layer's arena.
    pub contexts: &'a [Context],
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

/// Where the context rows of a layer live.
#[derive(Debug)]
pub enum Arena<'a, R> {
    /// In the pass itself: row t of the arena is row t of the pass (training).
    Pass,
    /// In a cache; row t of the pass is written to row `write[t]` of it (decoding).
    Cache {
        /// Context rows of this layer.
        rows: &'a mut [R],
        /// Destination of each row.
        write: &'a [usize],
    },
}
