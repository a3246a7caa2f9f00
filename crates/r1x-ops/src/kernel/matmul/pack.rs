//! Packing matrices into the panels that tiles read front to back.

use std::ops::Range;

use super::PANEL;
use crate::operand::{Operand, Source};
use crate::simd::vectorize;

/// Elements that packing writes for a `k` × `n` matrix.
pub fn packed_len<E: Operand>(k: usize, n: usize) -> usize {
    n.next_multiple_of(PANEL) * k.next_multiple_of(E::PACK)
}

/// Packs a `k` × `n` matrix whose rows are contiguous and `row_stride` apart.
pub fn pack_rows<S: Source<E>, E: Operand>(
    source: &[S],
    row_stride: usize,
    k: usize,
    n: usize,
    panels: &mut [E],
) {
    let panel_len = packed_len::<E>(k, PANEL);
    for (start, panel) in (0..n).step_by(PANEL).zip(panels.chunks_mut(panel_len.max(1))) {
        let width = (n - start).min(PANEL);
        if width < PANEL || !k.is_multiple_of(E::PACK) {
            panel.fill(E::default());
        }
        vectorize(|| panel_rows(&source[start..], row_stride, k, width, panel));
    }
}

#[inline(always)]
fn panel_rows<S: Source<E>, E: Operand>(
    source: &[S],
    row_stride: usize,
    k: usize,
    width: usize,
    panel: &mut [E],
) {
    for (step, out) in panel.chunks_exact_mut(PANEL * E::PACK).enumerate() {
        let first = &source[step * E::PACK * row_stride..];
        if E::PACK == 2 && step * 2 + 1 < k && width == PANEL {
            // Both rows of a pair in one pass over whole arrays: the form that the compiler interleaves well.
            let (even, odd) = (&first[..PANEL], &first[row_stride..row_stride + PANEL]);
            for ((pair, even), odd) in out.chunks_exact_mut(2).zip(even).zip(odd) {
                pair[0] = even.operand();
                pair[1] = odd.operand();
            }
            continue;
        }
        for q in 0..E::PACK.min(k - step * E::PACK) {
            let row = &first[q * row_stride..q * row_stride + width];
            for (slot, value) in out.chunks_exact_mut(E::PACK).zip(row) {
                slot[q] = value.operand();
            }
        }
    }
}

/// Packs a `k` × `n` matrix given as its transpose: `n` contiguous rows of `k` elements, `row_stride` apart.
pub fn pack_columns<S: Source<E>, E: Operand>(
    source: &[S],
    row_stride: usize,
    k: usize,
    n: usize,
    panels: &mut [E],
) {
    let panel_len = packed_len::<E>(k, PANEL);
    for (start, panel) in (0..n).step_by(PANEL).zip(panels.chunks_mut(panel_len.max(1))) {
        let width = (n - start).min(PANEL);
        if width < PANEL || !k.is_multiple_of(E::PACK) {
            panel.fill(E::default());
        }
        panel_columns(&source[start * row_stride..], row_stride, k, 0..width, panel);
    }
}

/// Packs the columns from `first` on of a matrix of `k` rows, given as its transpose, whose other columns are packed
/// before or after. What no column fills must be 0 in `panels` already.
pub fn pack_columns_from<S: Source<E>, E: Operand>(
    source: &[S],
    k: usize,
    first: usize,
    panels: &mut [E],
) {
    if k == 0 {
        return;
    }
    let panel_len = packed_len::<E>(k, PANEL);
    let (mut at, end) = (first, first + source.len() / k);
    while at < end {
        let inside = at % PANEL..(end - at / PANEL * PANEL).min(PANEL);
        let panel = &mut panels[at / PANEL * panel_len..][..panel_len];
        let next = at + inside.len();
        panel_columns(&source[(at - first) * k..], k, k, inside, panel);
        at = next;
    }
}

/// Packs some columns of a panel, given as contiguous rows of `k` elements.
fn panel_columns<S: Source<E>, E: Operand>(
    rows: &[S],
    row_stride: usize,
    k: usize,
    columns: Range<usize>,
    panel: &mut [E],
) {
    let whole = if columns.len() == PANEL { k / BLOCK * BLOCK } else { 0 };
    vectorize(|| {
        for first in (0..whole).step_by(BLOCK) {
            let out = &mut panel[first * PANEL..][..BLOCK * PANEL];
            block_columns(&rows[first..], row_stride, out);
        }
    });
    for (row, j) in columns.enumerate() {
        let column = &rows[row * row_stride..][..k];
        for (p, value) in column.iter().enumerate().skip(whole) {
            panel[p / E::PACK * PANEL * E::PACK + j * E::PACK + p % E::PACK] = value.operand();
        }
    }
}

/// Elements of each column that are packed at a time, so that both sides of the transposition stay in cache.
const BLOCK: usize = 16;

/// Packs the first elements of as many columns as a panel has.
#[inline(always)]
fn block_columns<S: Source<E>, E: Operand>(rows: &[S], row_stride: usize, out: &mut [E]) {
    let mut tile = [[E::default(); BLOCK]; PANEL];
    for (j, column) in tile.iter_mut().enumerate() {
        let row = &rows[j * row_stride..][..BLOCK];
        for (to, value) in column.iter_mut().zip(row) {
            *to = value.operand();
        }
    }
    for (step, out) in out.chunks_exact_mut(PANEL * E::PACK).enumerate() {
        for (to, column) in out.chunks_exact_mut(E::PACK).zip(&tile) {
            for (q, to) in to.iter_mut().enumerate() {
                *to = column[step * E::PACK + q];
            }
        }
    }
}

/// Reads one column of a packed matrix of `to.len()` rows.
pub fn unpack_column<E: Operand>(panels: &[E], column: usize, to: &mut [E::Real]) {
    let panel_len = packed_len::<E>(to.len(), PANEL);
    let panel = &panels[column / PANEL * panel_len..][..panel_len];
    let steps = panel.chunks_exact(PANEL * E::PACK);
    for (to, step) in to.chunks_mut(E::PACK).zip(steps) {
        for (to, value) in to.iter_mut().zip(&step[column % PANEL * E::PACK..]) {
            *to = value.widen();
        }
    }
}
