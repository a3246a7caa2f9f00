//! Sequences packed row after row without padding, as one pass over whole sequences wants them.
//!
//! Sequences with the same prompt can share its rows: they are computed once, every completion attends to them, and
//! their gradient is the sum over the completions.

use std::ops::Range;
use std::sync::Arc;

use r1x_core::TrainingSequence;
use r1x_ops::kernel::attention::{BLOCK, Context};

use super::said::Asked;
use super::{CacheWrite, Rows};

/// Packed sequences.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    /// Token of each row.
    pub tokens: Vec<u32>,
    /// Position of each row in its sequence.
    pub positions: Vec<usize>,
    /// First row of every segment, and the number of rows. A segment is a sequence, a shared prompt, or what a
    /// sequence has beside a shared prompt.
    pub boundaries: Vec<usize>,
    /// Rows whose next token is predicted, sequence after sequence. The last row of a shared prompt occurs once
    /// for each of its sequences.
    pub predicting: Vec<usize>,
    /// The tokens they predict.
    pub targets: Vec<u32>,
    /// Further tokens that are asked about at each of them.
    pub width: usize,
    /// The further tokens, `[targets, width]`.
    pub further: Vec<u32>,
    /// The rows of each sequence: those shared with others, then its own.
    pub sequences: Vec<[Range<usize>; 2]>,
    /// How many sequences each row belongs to.
    pub shares: Vec<u32>,
    contexts: Vec<Context>,
    tables: Vec<u32>,
    writes: Vec<CacheWrite>,
    blocks: u32,
    /// Rows by position of every segment, one after the other, with the first position of a query.
    histories: Vec<u32>,
    segments: Vec<(Range<usize>, usize)>,
}

/// A sequence of tokens and the length of its prompt.
type Sequence<'a> = (&'a [u32], usize);

impl Packed {
    /// With the candidates of its sequences, which have equally many at each target, as further tokens that are asked about.
    pub fn asking(mut self, sequences: &[Arc<TrainingSequence>]) -> Self {
        self.width = sequences.first().map_or(0, |first| first.candidates.width);
        self.further = sequences.iter().flat_map(|one| &one.candidates.tokens).copied().collect();
        self
    }

    /// What is asked at the predicting rows.
    pub fn asked(&self) -> Asked<'_> {
        Asked { targets: &self.targets, width: self.width, further: &self.further }
    }

    /// Packs sequences of (tokens, prompt length): completion tokens are the targets.
    pub fn new<'a>(sequences: impl IntoIterator<Item = Sequence<'a>>) -> Self {
        let mut packed = Self::default();
        packed.boundaries.push(0);
        for (tokens, prompt) in sequences {
            // The last token predicts nothing, so it needs no row.
            let rows = tokens.len().saturating_sub(1);
            let start = packed.segment(&tokens[..rows], 0..0, 0, 1);
            packed.predicting.extend((prompt - 1..rows).map(|row| start + row));
            packed.targets.extend(&tokens[prompt..]);
            packed.sequences.push([start..start, start..start + rows]);
        }
        packed
    }

    /// Packs sequences so that neighbours with the same prompt share its rows.
    pub fn shared<'a>(sequences: impl IntoIterator<Item = Sequence<'a>>) -> Self {
        let sequences: Vec<Sequence<'a>> = sequences.into_iter().collect();
        let prompt = |index: usize| &sequences[index].0[..sequences[index].1];
        let mut packed = Self::default();
        packed.boundaries.push(0);
        let mut first = 0;
        while first < sequences.len() {
            let mut end = first + 1;
            while end < sequences.len() && prompt(end) == prompt(first) {
                end += 1;
            }
            packed.group(prompt(first), &sequences[first..end]);
            first = end;
        }
        packed
    }

    fn group(&mut self, prompt: &[u32], sequences: &[Sequence<'_>]) {
        let table = self.tables.len();
        let start = self.segment(prompt, 0..0, 0, sequences.len() as u32);
        let rows = start..start + prompt.len();
        for (tokens, _) in sequences {
            let own = &tokens[prompt.len()..];
            self.targets.extend(own);
            let own = &own[..own.len().saturating_sub(1)];
            let start = self.segment(own, rows.clone(), table, 1);
            if tokens.len() > prompt.len() {
                self.predicting.push(rows.end - 1);
                self.predicting.extend(start..start + own.len());
            }
            self.sequences.push([rows.clone(), start..start + own.len()]);
        }
    }

    /// Adds rows that follow `before`, whose blocks `table` lists; returns the first.
    fn segment(
        &mut self,
        tokens: &[u32],
        before: Range<usize>,
        table_before: usize,
        shares: u32,
    ) -> usize {
        let (start, first, len) = (self.tokens.len(), before.len(), before.len() + tokens.len());
        self.tokens.extend(tokens);
        self.positions.extend(first..len);
        self.shares.extend(std::iter::repeat_n(shares, tokens.len()));
        self.boundaries.push(self.tokens.len());
        let history = self.histories.len();
        self.histories.extend(before.clone().chain(start..start + tokens.len()).map(|r| r as u32));
        self.segments.push((history..history + len, first));
        // Blocks that the rows before fill are shared; the one they begin is copied.
        let (table, whole) = (self.tables.len(), first / BLOCK);
        self.tables.extend_from_within(table_before..table_before + whole);
        let own = (len.div_ceil(BLOCK) - whole) as u32;
        self.tables.extend(self.blocks..self.blocks + own);
        self.blocks += own;
        for position in whole * BLOCK..len {
            let row = self.histories[history + position];
            let block = self.tables[table + position / BLOCK];
            self.writes.push(CacheWrite { row, block, slot: (position % BLOCK) as u32 });
        }
        self.contexts.extend((first..len).map(|position| Context { table, len: position + 1 }));
        start
    }

    /// The row of a position of a sequence.
    pub fn row(&self, sequence: usize, position: usize) -> usize {
        let [shared, own] = &self.sequences[sequence];
        match position.checked_sub(shared.len()) {
            None => shared.start + position,
            Some(position) => own.start + position,
        }
    }

    /// The rows as a pass sees them.
    pub fn rows(&self) -> Rows<'_> {
        Rows {
            positions: &self.positions,
            contexts: &self.contexts,
            tables: &self.tables,
            writes: &self.writes,
        }
    }

    /// Blocks of keys and values that a pass needs.
    pub fn blocks(&self) -> usize {
        self.blocks as usize
    }

    /// Every segment with the rows its queries attend to, as the backward pass sees them.
    pub fn segments(&self) -> Vec<r1x_ops::kernel::attention::Segment<'_>> {
        let segment = |(rows, first): &(Range<usize>, usize)| r1x_ops::kernel::attention::Segment {
            rows: &self.histories[rows.clone()],
            first: *first,
        };
        self.segments.iter().map(segment).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_with_one_prompt_share_its_rows() {
        let sequences: [(&[u32], usize); 3] =
            [(&[1, 2, 3, 4, 5], 2), (&[1, 2, 6], 2), (&[1, 7, 8], 2)];
        let packed = Packed::shared(sequences);
        // The prompt 1 2, then 3 4 of the first; the second needs no row of its own.
        assert_eq!(packed.tokens, [1, 2, 3, 4, 1, 7]);
        assert_eq!(packed.positions, [0, 1, 2, 3, 0, 1]);
        assert_eq!(packed.predicting, [1, 2, 3, 1, 5]);
        assert_eq!(packed.targets, [3, 4, 5, 6, 8]);
        assert_eq!(packed.shares, [2, 2, 1, 1, 1, 1]);
        assert_eq!(packed.sequences, [[0..2, 2..4], [0..2, 4..4], [4..6, 6..6]]);
        let plain = Packed::new(sequences);
        assert_eq!(plain.tokens, [1, 2, 3, 4, 1, 2, 1, 7]);
        assert_eq!(plain.predicting, [1, 2, 3, 5, 7]);
        assert_eq!(plain.targets, packed.targets);
    }
}
