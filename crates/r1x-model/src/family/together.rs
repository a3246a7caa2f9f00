//! A pass of the decoder in which several threads compute some of the rows each.
//!
//! A layer has two steps. In the first every row is projected to its query and its context row, in the second it attends
//! and goes through the feed-forward; between them all context rows are written, because rows see each other. A kernel
//! computes a row in one order of operations whatever stands beside it, so nobody can tell from results how rows were
//! shared out.

use std::ops::Range;

use r1x_ops::{Operand, parallel};

use super::Rows;
use super::attention::heads;
use super::decoder::{Decoder, LayerStash, Workspace};
use crate::layout::Layer;
use crate::weights::Weights;

/// Rows that are worth a thread: with fewer, starting threads would take longer than they save.
const LEAST_ROWS: usize = 32;

/// Some of the rows of a pass, and the thread that computes them.
struct Part<'a, E: Operand> {
    range: Range<usize>,
    x: &'a mut [E::Real],
    stash: &'a mut LayerStash<E>,
    scratch: &'a mut super::attention::Scratch<E>,
}

impl<E: Operand> Decoder<E> {
    /// Tokens through embedding and layers. `each` is called with the number of every layer and must call what it is given with
    /// the cache of the layer. The residual stream is left in the first workspace.
    pub(super) fn together(
        &self,
        weights: &Weights<E>,
        tokens: &[u32],
        rows: Rows<'_>,
        works: &mut [Workspace<E>],
        mut each: impl FnMut(usize, &mut dyn FnMut(&mut [E])),
    ) {
        let Some(first) = works.first_mut() else { return };
        let mut x = std::mem::take(&mut first.x);
        self.embed(weights, tokens, &mut x);
        let mut rest = &mut x[..tokens.len() * self.hidden];
        let mut parts: Vec<Part<'_, E>> = Vec::with_capacity(works.len());
        for (range, work) in self.shares(rows, works.len()).into_iter().zip(works.iter_mut()) {
            work.layers.resize_with(work.layers.len().max(1), LayerStash::default);
            let (x, behind) = std::mem::take(&mut rest).split_at_mut(range.len() * self.hidden);
            rest = behind;
            let Workspace { layers, scratch, .. } = work;
            parts.push(Part { range, x, stash: &mut layers[0], scratch });
        }
        for (index, layer) in self.layout.layers.iter().enumerate() {
            each(index, &mut |cache| self.layer(layer, weights, rows, &mut parts, cache));
        }
        works[0].x = x;
    }

    /// Computes a layer for the rows that all threads share.
    fn layer(
        &self,
        layer: &Layer,
        weights: &Weights<E>,
        rows: Rows<'_>,
        parts: &mut [Part<'_, E>],
        cache: &mut [E],
    ) {
        let threads = parts.len();
        parallel::map(parts.iter_mut().collect(), threads, |part: &mut Part<'_, E>| {
            let (rows, Part { x, stash, scratch, .. }) = (rows.part(part.range.clone()), part);
            self.layer_project(layer, weights, rows, x, stash, scratch);
        });
        for part in &*parts {
            let of_part = rows.part(part.range.clone());
            let attention = self.attention(layer, weights, of_part);
            attention.write(rows.writes, part.range.start, &part.stash.attention, cache);
        }
        let cache = &*cache;
        parallel::map(parts.iter_mut().collect(), threads, |part: &mut Part<'_, E>| {
            let (rows, Part { x, stash, scratch, .. }) = (rows.part(part.range.clone()), part);
            self.layer_attend(layer, weights, rows, x, cache, stash, scratch);
        });
    }

    /// Rows cut into at most so many parts that cost alike: a row costs what its products do, and what it attends to.
    fn shares(&self, rows: Rows<'_>, most: usize) -> Vec<Range<usize>> {
        let count = (rows.len() / LEAST_ROWS).clamp(1, most.max(1));
        let Some(layer) = self.layout.layers.first().filter(|_| count > 1) else {
            return std::iter::once(0..rows.len()).collect();
        };
        let shape = heads(&layer.attention);
        let position = shape.heads * (shape.key_width + shape.value_width);
        let products = self.layout.parts.get(1).map_or(0, ExactSizeIterator::len) / position;
        let cost = |row: usize| (products + rows.contexts[row].len.min(shape.window)) as u64;
        let total: u64 = (0..rows.len()).map(cost).sum();
        let (mut shares, mut start, mut sum) = (Vec::with_capacity(count), 0, 0);
        for row in 0..rows.len() {
            sum += cost(row);
            if sum * count as u64 >= total * (shares.len() + 1) as u64 {
                shares.push(start..row + 1);
                start = row + 1;
            }
        }
        shares
    }
}
