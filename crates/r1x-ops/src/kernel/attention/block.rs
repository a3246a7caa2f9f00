//! Blocks of positions: per key head a panel of keys, `[key width × 32 positions]`, and panels of values,
//! `[32 positions × value width]`.

use super::Heads;
use crate::kernel::matmul::{PANEL, Right, packed_len};
use crate::operand::Operand;

/// Positions of a block.
pub const BLOCK: usize = PANEL;

/// Elements of a block.
pub fn block_len<E: Operand>(shape: &Heads) -> usize {
    shape.kv_heads * head_len::<E>(shape)
}

fn head_len<E: Operand>(shape: &Heads) -> usize {
    packed_len::<E>(shape.key_width, BLOCK) + packed_len::<E>(BLOCK, shape.value_width)
}

/// Keys of a head from a block on, as `[key width × positions]`; blocks that follow in memory continue it.
pub(super) fn keys<'a, E: Operand>(
    shape: &Heads,
    cache: &'a [E],
    block: usize,
    kv_head: usize,
) -> Right<'a, E> {
    let len = block_len::<E>(shape);
    Right::spaced(&cache[block * len + kv_head * head_len::<E>(shape)..], len)
}

/// Values of a head from a block on, as `[positions × value width]`; blocks that follow in memory continue it.
pub(super) fn values<'a, E: Operand>(
    shape: &Heads,
    cache: &'a [E],
    block: usize,
    kv_head: usize,
) -> Right<'a, E> {
    let start = block * block_len::<E>(shape)
        + kv_head * head_len::<E>(shape)
        + packed_len::<E>(shape.key_width, BLOCK);
    Right {
        data: &cache[start..],
        panel_stride: packed_len::<E>(BLOCK, PANEL),
        segment: BLOCK,
        segment_stride: block_len::<E>(shape),
    }
}

/// Writes the context row of one position into slot `slot` of a block.
pub fn write_row<E: Operand>(shape: &Heads, row: &[E], block: &mut [E], slot: usize) {
    let step = PANEL * E::PACK;
    for (kv_head, part) in block.chunks_exact_mut(head_len::<E>(shape)).enumerate() {
        let (keys, values) = part.split_at_mut(packed_len::<E>(shape.key_width, BLOCK));
        let key = shape.key(row, kv_head);
        for (pairs, out) in key.chunks(E::PACK).zip(keys.chunks_exact_mut(step)) {
            out[slot * E::PACK..][..pairs.len()].copy_from_slice(pairs);
        }
        let value = shape.value(row, kv_head);
        for (part, panel) in value.chunks(PANEL).zip(values.chunks_exact_mut(BLOCK * PANEL)) {
            let line = &mut panel[slot / E::PACK * step..][..step];
            for (element, out) in part.iter().zip(line.chunks_exact_mut(E::PACK)) {
                out[slot % E::PACK] = *element;
            }
        }
    }
}
