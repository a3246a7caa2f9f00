//! Blocks in host memory, as the kernels read them.
//!
//! A block has one number in every layer.

use r1x_ops::Operand;

use super::{BlockChanges, BlockCopy};

/// The blocks of every layer, one after the other.
#[derive(Debug)]
pub struct HostBlocks<E> {
    layers: Vec<Vec<E>>,
    /// Elements of a block, by layer.
    lens: Vec<usize>,
}

impl<E: Operand> HostBlocks<E> {
    /// No block yet, for layers whose blocks have `lens` elements, a length for each layer.
    pub fn new(lens: impl Iterator<Item = usize>) -> Self {
        let lens: Vec<usize> = lens.collect();
        Self { layers: vec![Vec::new(); lens.len()], lens }
    }

    /// The blocks of every layer.
    pub fn layers(&mut self) -> &mut [Vec<E>] {
        &mut self.layers
    }

    /// Copies blocks of another storage to these, one for each of them, until either list ends.
    pub fn copy_from(&mut self, other: &Self, from: &[u32], to: &[u32]) {
        for ((layer, other), len) in self.layers.iter_mut().zip(&other.layers).zip(&self.lens) {
            for (from, to) in from.iter().zip(to) {
                let from = &other[*from as usize * len..][..*len];
                layer[*to as usize * len..][..*len].copy_from_slice(from);
            }
        }
    }

    /// Does what a pool asks for.
    pub fn change(&mut self, changes: &BlockChanges) {
        for (layer, len) in self.layers.iter_mut().zip(&self.lens) {
            if layer.len() < changes.blocks * len {
                layer.resize(changes.blocks * len, E::default());
            }
            for block in &changes.clear {
                layer[*block as usize * len..][..*len].fill(E::default());
            }
            for BlockCopy { from, to } in &changes.copies {
                let from = *from as usize * len;
                layer.copy_within(from..from + len, *to as usize * len);
            }
        }
    }
}
