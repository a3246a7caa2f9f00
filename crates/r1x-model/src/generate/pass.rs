//! The rows of one pass, collected before an engine computes them.

use r1x_ops::kernel::attention::{BLOCK, Context};

use crate::blocks::BlockTable;
use crate::family::{CacheWrite, Rows};

/// Rows, reused from pass to pass.
#[derive(Debug, Default)]
pub struct Pass {
    /// What each row reads.
    pub tokens: Vec<u32>,
    /// Rows whose logits are wanted.
    pub wanted: Vec<usize>,
    positions: Vec<usize>,
    contexts: Vec<Context>,
    tables: Vec<u32>,
    writes: Vec<CacheWrite>,
}

impl Pass {
    /// Forgets every row and every table.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.positions.clear();
        self.contexts.clear();
        self.tables.clear();
        self.writes.clear();
        self.wanted.clear();
    }

    /// Lists the blocks of a sequence for rows that follow, and says where the list has them.
    pub fn list(&mut self, table: &BlockTable) -> usize {
        let start = self.tables.len();
        self.tables.extend(table.blocks());
        start
    }

    /// Adds a row at a position of the sequence whose blocks start at `table` in the list.
    pub fn push(&mut self, token: u32, position: usize, table: usize) {
        let row = self.tokens.len() as u32;
        let (block, slot) = (self.tables[table + position / BLOCK], (position % BLOCK) as u32);
        self.writes.push(CacheWrite { row, block, slot });
        self.tokens.push(token);
        self.positions.push(position);
        self.contexts.push(Context { table, len: position + 1 });
    }

    /// Wants the logits of the last row.
    pub fn want(&mut self) {
        self.wanted.push(self.tokens.len() - 1);
    }

    /// The rows as a model sees them.
    pub fn rows(&self) -> Rows<'_> {
        Rows {
            positions: &self.positions,
            contexts: &self.contexts,
            tables: &self.tables,
            writes: &self.writes,
        }
    }
}
