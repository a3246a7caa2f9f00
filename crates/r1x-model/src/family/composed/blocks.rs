//! Blocks of keys and values as tensors: the storage of one layer after the other, on the device of the model.
//!
//! Memory is allocated ahead and written in place, so a token costs its own keys and values and not those before it.
//! Heads come first, then blocks: what is selected by block is then what products over heads and sequences read,
//! without another copy.

use candle_core::{DType, Device, Tensor};
use r1x_ops::kernel::attention::BLOCK;

use crate::blocks::{BlockChanges, BlockCopy};
use crate::error::ModelError;
use crate::family::CacheWrite;
use crate::layout::{Attention, Gqa, Layout, Mla};

/// A row that is not there: what selects it gets 0, and what it writes goes nowhere.
const NOWHERE: u32 = u32::MAX;

/// What a position keeps in one tensor of a layer.
#[derive(Clone, Copy, Debug)]
struct Shape {
    heads: usize,
    width: usize,
}

/// Keys and values of a layer, in this order.
fn shapes(attention: &Attention) -> [Shape; 2] {
    match *attention {
        Attention::Gqa(Gqa { kv_heads: heads, width, .. }) => [Shape { heads, width }; 2],
        Attention::Mla(Mla { heads, nope, rope, value, .. }) => {
            [Shape { heads, width: nope + rope }, Shape { heads, width: value }]
        }
    }
}

/// The blocks of every layer.
#[derive(Debug)]
pub struct TensorBlocks {
    shapes: Vec<[Shape; 2]>,
    /// Keys and values of every layer, `[heads, blocks, BLOCK · width]` each; none before there is a block.
    layers: Vec<[Tensor; 2]>,
    blocks: usize,
    dtype: DType,
    device: Device,
}

/// Where the rows of a pass go, in the form of tensors; one for every layer.
#[derive(Debug)]
pub(super) struct Writes {
    /// The row that each slot gets, block by block, `[blocks · depth]`; depth is the most rows that one block gets.
    rows: Tensor,
    /// The place in its block that each of them is written to, `[1, blocks, depth, 1]`.
    slots: Tensor,
    depth: usize,
}

impl TensorBlocks {
    /// No block yet.
    pub fn new(layout: &Layout, dtype: DType, device: &Device) -> Self {
        Self {
            shapes: layout.layers.iter().map(|layer| shapes(&layer.attention)).collect(),
            layers: Vec::new(),
            blocks: 0,
            dtype,
            device: device.clone(),
        }
    }

    /// Bytes that one position of one sequence takes in `f32`.
    pub fn bytes_per_position(layout: &Layout) -> usize {
        let shapes = layout.layers.iter().flat_map(|layer| shapes(&layer.attention));
        shapes.map(|Shape { heads, width }| 4 * heads * width).sum()
    }

    /// Does what a pool asks for.
    ///
    /// # Errors
    /// When the device fails or its memory does not suffice.
    pub fn change(&mut self, changes: &BlockChanges) -> Result<(), ModelError> {
        let BlockChanges { blocks, clear, copies } = changes;
        if *blocks > self.blocks {
            // Twice as much at least, so that growing costs a constant share of filling.
            self.grow((2 * self.blocks).max(*blocks))?;
        }
        if !clear.is_empty() {
            let to = Tensor::new(&clear[..], &self.device)?;
            for layer in self.layers.iter().flatten() {
                let (heads, _, len) = layer.dims3()?;
                let zeros = Tensor::zeros((heads, clear.len(), len), self.dtype, &self.device)?;
                put(layer, &to, &zeros)?;
            }
        }
        if !copies.is_empty() {
            let numbers = |which: fn(&BlockCopy) -> u32| {
                Tensor::new(copies.iter().map(which).collect::<Vec<_>>(), &self.device)
            };
            let (from, to) = (numbers(|copy| copy.from)?, numbers(|copy| copy.to)?);
            for layer in self.layers.iter().flatten() {
                put(layer, &to, &layer.index_select(&from, 1)?)?;
            }
        }
        Ok(())
    }

    fn grow(&mut self, blocks: usize) -> Result<(), ModelError> {
        let larger = |Shape { heads, width }: Shape| {
            Tensor::zeros((heads, blocks, BLOCK * width), self.dtype, &self.device)
        };
        if self.layers.is_empty() {
            let layers = self.shapes.iter().map(|[k, v]| Ok([larger(*k)?, larger(*v)?]));
            self.layers = layers.collect::<Result<_, ModelError>>()?;
        } else {
            // Layer by layer, so that little memory is there twice.
            let shapes = self.shapes.iter().flatten();
            for (layer, shape) in self.layers.iter_mut().flatten().zip(shapes) {
                let grown = larger(*shape)?;
                grown.slice_set(layer, 1, 0)?;
                *layer = grown;
            }
        }
        self.blocks = blocks;
        Ok(())
    }

    /// The keys of the first layer.
    #[cfg(test)]
    pub fn first_layer(&self) -> &Tensor {
        &self.layers[0][0]
    }

    /// The writes of a pass as tensors.
    ///
    /// Candle writes along one dimension, a row after the other; blocks are next to each other here, and all of them
    /// are written at once. A step of decoding has one row for a block at most.
    ///
    /// # Errors
    /// When the device fails.
    pub(super) fn writes(&self, writes: &[CacheWrite]) -> Result<Writes, ModelError> {
        let mut counts = vec![0; self.blocks];
        writes.iter().for_each(|write| counts[write.block as usize] += 1);
        let depth = counts.iter().copied().max().unwrap_or(0);
        let mut rows = vec![NOWHERE; self.blocks * depth];
        let mut slots = rows.clone();
        for CacheWrite { row, block, slot } in writes {
            let block = *block as usize;
            counts[block] -= 1;
            let place = block * depth + counts[block];
            (rows[place], slots[place]) = (*row, *slot);
        }
        let slots = Tensor::from_vec(slots, (1, self.blocks, depth, 1), &self.device)?;
        Ok(Writes { rows: Tensor::new(rows, &self.device)?, slots, depth })
    }

    /// Writes the rows of a pass, keys and values `[rows, heads, width]`, to a layer.
    ///
    /// # Errors
    /// When the device fails.
    pub(super) fn write(
        &self,
        layer: usize,
        values: [&Tensor; 2],
        writes: &Writes,
    ) -> Result<(), ModelError> {
        for (store, values) in self.layers[layer].iter().zip(values) {
            let (_, heads, width) = values.dims3()?;
            let shape = (heads, self.blocks, writes.depth, width);
            let source = values.transpose(0, 1)?.contiguous()?.index_select(&writes.rows, 1)?;
            let slots = writes.slots.broadcast_as(shape)?.contiguous()?;
            // The storage is contiguous, so this is the storage itself under another shape.
            let store = store.reshape((heads, self.blocks, BLOCK, width))?;
            store.scatter_set(&slots, &source.reshape(shape)?, 2)?;
        }
        Ok(())
    }

    /// Keys and values of some blocks of a layer, in this order and each a part of `sequences` parts, as
    /// `[heads, sequences, positions, width]`.
    ///
    /// # Errors
    /// When the device fails.
    pub(super) fn read(
        &self,
        layer: usize,
        blocks: &Tensor,
        sequences: usize,
    ) -> Result<[Tensor; 2], ModelError> {
        let positions = blocks.dim(0)? / sequences * BLOCK;
        let [keys, values] = &self.layers[layer];
        let [key, value] = self.shapes[layer];
        let part = |store: &Tensor, Shape { heads, width }: Shape| {
            store.index_select(blocks, 1)?.reshape((heads, sequences, positions, width))
        };
        Ok([part(keys, key)?, part(values, value)?])
    }

    /// The numbers of blocks of several sequences as a tensor, `[sequences · blocks]`. What a shorter sequence lacks
    /// reads as 0.
    ///
    /// # Errors
    /// When the device fails.
    pub(super) fn numbers(&self, tables: &[&[u32]]) -> Result<Tensor, ModelError> {
        let longest = tables.iter().map(|table| table.len()).max().unwrap_or(0);
        let padded = tables.iter().flat_map(|table| {
            let missing = longest - table.len();
            table.iter().copied().chain(std::iter::repeat_n(NOWHERE, missing))
        });
        Ok(Tensor::new(padded.collect::<Vec<_>>(), &self.device)?)
    }
}

/// Overwrites blocks of a storage `[heads, blocks, len]` with `[heads, count, len]`; `to` names them, `[count]`.
fn put(store: &Tensor, to: &Tensor, source: &Tensor) -> Result<(), ModelError> {
    let to = to.reshape((1, (), 1))?.broadcast_as(source.shape())?.contiguous()?;
    Ok(store.scatter_set(&to, source, 1)?)
}
