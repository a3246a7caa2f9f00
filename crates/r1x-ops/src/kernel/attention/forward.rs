//! The forward pass: scores, softmax and weighted sums, for runs of rows that begin with the same block.
//!
//! Rows of one sequence share all their blocks, samples of one prompt those of the prompt: such blocks are read once
//! for all of them.

use super::block::{self, BLOCK};
use super::{Context, Heads, Scratch, exponentials, reserve};
use crate::kernel::Write;
use crate::kernel::matmul::{Left, Product};
use crate::operand::{Operand, round_all};
use crate::real::Real;
use crate::simd::vectorized;

/// Scores held at a time, unless a single row needs more. Three megabytes with their roundings: more rows read a
/// long cache together than would fit the second-level cache, and that is the better bargain.
const SCORES: usize = 1 << 19;
/// Rows of a run at most.
const ROWS: usize = 64;

/// out[rows × heads·value_width] from q[rows × heads·key_width] and the blocks in `cache` that `tables` lists.
pub fn attention<E: Operand>(
    shape: &Heads,
    contexts: &[Context],
    tables: &[u32],
    q: &[E],
    cache: &[E],
    out: &mut [E],
    scratch: &mut Scratch<E>,
) {
    let (q_row, out_row) = (shape.heads * shape.key_width, shape.heads * shape.value_width);
    let mut first = 0;
    while first < contexts.len() {
        let run = Run::of(shape, &contexts[first..], tables);
        let rows = run.contexts.len();
        let q = &q[first * q_row..(first + rows) * q_row];
        let out = &mut out[first * out_row..(first + rows) * out_row];
        for kv_head in 0..shape.kv_heads {
            run.head(shape, kv_head, q, cache, out, scratch);
        }
        first += rows;
    }
}

/// Rows whose first `shared` blocks are the same.
struct Run<'a> {
    contexts: &'a [Context],
    tables: &'a [u32],
    shared: usize,
    /// Blocks of the row that has most.
    blocks: usize,
}

impl<'a> Run<'a> {
    /// The longest run at the beginning of `contexts` that keeps to the memory of scores.
    fn of(shape: &Heads, contexts: &'a [Context], tables: &'a [u32]) -> Self {
        let head = contexts[0];
        let (mut blocks, mut rows, mut shared) = (head.blocks(), 1, head.blocks());
        while let Some(next) = contexts.get(rows).filter(|_| rows < ROWS) {
            let widest = blocks.max(next.blocks());
            if (rows + 1) * shape.group() * widest * BLOCK > SCORES {
                break;
            }
            let common = if next.table == head.table {
                // One sequence: blocks past a row's end are masked, so the longest decides.
                if shared < blocks { shared } else { widest }
            } else {
                let both = tables[head.table..][..shared.min(next.blocks())].iter();
                both.zip(&tables[next.table..]).take_while(|(a, b)| a == b).count()
            };
            if common == 0 {
                break;
            }
            (shared, blocks, rows) = (common, widest, rows + 1);
        }
        Self { contexts: &contexts[..rows], tables, shared, blocks }
    }

    /// One key head with all its query heads.
    fn head<E: Operand>(
        &self,
        shape: &Heads,
        kv_head: usize,
        q: &[E],
        cache: &[E],
        out: &mut [E],
        scratch: &mut Scratch<E>,
    ) {
        let (group, rows, width) = (shape.group(), self.contexts.len(), self.blocks * BLOCK);
        let Scratch { scores, sums, inverses, probabilities, .. } = scratch;
        let scores = reserve(scores, rows * group * width);
        self.scores(shape, kv_head, q, cache, scores);
        let inverses = reserve(inverses, rows * group);
        let scale = E::Real::from_f64(shape.scale);
        for (row, context) in self.contexts.iter().enumerate() {
            let used = context.blocks() * BLOCK;
            for head in row * group..(row + 1) * group {
                let scores = &mut scores[head * width..][..used.max(self.shared * BLOCK)];
                inverses[head] = exponentials(scores, shape.seen(context.len), scale);
            }
        }
        let probabilities = reserve(probabilities, rows * group * width);
        round_all(scores, probabilities);
        let sums = reserve(sums, rows * group * shape.value_width);
        self.sums(shape, kv_head, probabilities, cache, sums);
        for row in 0..rows {
            let start = (row * shape.heads + kv_head * group) * shape.value_width;
            let out = &mut out[start..start + group * shape.value_width];
            let sums = &sums[row * group * shape.value_width..][..group * shape.value_width];
            scaled(sums, &inverses[row * group..][..group], shape.value_width, out);
        }
    }

    /// The shared blocks, as spans of neighbours in memory: (first block of the row, its number, how many).
    fn shared(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        spans(&self.tables[self.contexts[0].table..][..self.shared], 0)
    }

    /// The blocks that a row has to itself, as spans.
    fn own(&self) -> impl Iterator<Item = (usize, (usize, usize, usize))> {
        self.contexts.iter().enumerate().flat_map(move |(row, context)| {
            let end = context.blocks().max(self.shared);
            let own = &self.tables[context.table + self.shared..context.table + end];
            spans(own, self.shared).map(move |span| (row, span))
        })
    }

    /// scores[row][query head of the group][position]
    fn scores<E: Operand>(
        &self,
        shape: &Heads,
        kv_head: usize,
        q: &[E],
        cache: &[E],
        scores: &mut [E::Real],
    ) {
        let (group, width, k) = (shape.group(), self.blocks * BLOCK, shape.key_width);
        for (block, id, count) in self.shared() {
            let b = block::keys(shape, cache, id, kv_head);
            for head in 0..group {
                Product {
                    m: self.contexts.len(),
                    n: count * BLOCK,
                    k,
                    a: Left::rows(&q[(kv_head * group + head) * k..], shape.heads * k),
                    b,
                    c: &mut scores[head * width + block * BLOCK..],
                    c_stride: group * width,
                    write: Write::Overwrite,
                }
                .compute();
            }
        }
        for (row, (block, id, count)) in self.own() {
            Product {
                m: group,
                n: count * BLOCK,
                k,
                a: Left::rows(&q[(row * shape.heads + kv_head * group) * k..], k),
                b: block::keys(shape, cache, id, kv_head),
                c: &mut scores[row * group * width + block * BLOCK..],
                c_stride: width,
                write: Write::Overwrite,
            }
            .compute();
        }
    }

    /// sums[row][query head of the group][value width], before they are divided by the sum of exponentials.
    fn sums<E: Operand>(
        &self,
        shape: &Heads,
        kv_head: usize,
        probabilities: &[E],
        cache: &[E],
        sums: &mut [E::Real],
    ) {
        let (group, width, n) = (shape.group(), self.blocks * BLOCK, shape.value_width);
        for (block, id, count) in self.shared() {
            for head in 0..group {
                Product {
                    m: self.contexts.len(),
                    n,
                    k: count * BLOCK,
                    a: Left::rows(&probabilities[head * width + block * BLOCK..], group * width),
                    b: block::values(shape, cache, id, kv_head),
                    c: &mut sums[head * n..],
                    c_stride: group * n,
                    write: if block > 0 { Write::Continue } else { Write::Overwrite },
                }
                .compute();
            }
        }
        for (row, (block, id, count)) in self.own() {
            Product {
                m: group,
                n,
                k: count * BLOCK,
                a: Left::rows(&probabilities[row * group * width + block * BLOCK..], width),
                b: block::values(shape, cache, id, kv_head),
                c: &mut sums[row * group * n..],
                c_stride: n,
                write: if block > 0 { Write::Continue } else { Write::Overwrite },
            }
            .compute();
        }
    }
}

/// Blocks of a table as spans whose numbers follow one another: (place in the table, from `first` on; number of
/// the first; how many).
fn spans(table: &[u32], first: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let id = *table.get(at)?;
        let follows = |(offset, next): &(usize, &u32)| **next == id + *offset as u32;
        let count = table[at..].iter().enumerate().take_while(follows).count();
        at += count;
        Some((first + at - count, id as usize, count))
    })
}

vectorized! {
    /// out = sums · inverse, a row of `width` for each inverse.
    fn scaled<E: Operand>(sums: &[E::Real], inverses: &[E::Real], width: usize, out: &mut [E]) {
        let rows = sums.chunks_exact(width).zip(out.chunks_exact_mut(width));
        for ((sums, out), inverse) in rows.zip(inverses) {
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = E::round(*sum * *inverse);
            }
        }
    }
}
