//! Which blocks of keys and values a sequence uses: tables, reference counts, forks, and what is free.
//!
//! The pool decides and its storage obeys: the pool only counts, and says which blocks must be cleared or copied before
//! the next pass. What a block holds and on which device is a matter of the storage, host memory for the kernels and
//! tensors for the composed form of a family; so every device has one and the same way of sharing.

pub mod host;

#[cfg(test)]
mod tests;

use r1x_ops::kernel::attention::BLOCK;

/// Blocks of a page. A page is what sequences are given: a few blocks that are neighbours in memory, so that products
/// can read across them.
const PAGE: usize = 4;

/// Positions of a page, which is what a sequence takes and gives back.
pub const PAGE_POSITIONS: usize = PAGE * BLOCK;

/// The blocks of one sequence in order of position. It is given back with [`BlockPool::release`], once, and so cannot be
/// copied.
#[derive(Debug, Default)]
pub struct BlockTable {
    blocks: Vec<u32>,
}

impl BlockTable {
    /// The numbers of the blocks.
    pub fn blocks(&self) -> &[u32] {
        &self.blocks
    }
}

/// A block whose contents another one takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockCopy {
    /// The block that is read.
    pub from: u32,
    /// The block that is written.
    pub to: u32,
}

/// What a storage does before the next pass: it grows, then clears, then copies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockChanges {
    /// How many blocks there must be at least. Those that are new are 0.
    pub blocks: usize,
    /// Blocks that had another user, and are 0 afterwards: what is not written yet is multiplied by 0, so it must be
    /// finite.
    pub clear: Vec<u32>,
    /// Blocks to copy. None of them is read and written.
    pub copies: Vec<BlockCopy>,
}

/// The pool.
#[derive(Debug, Default)]
pub struct BlockPool {
    /// How many sequences use each page.
    uses: Vec<u32>,
    free: Vec<u32>,
    /// Pages that became free since the storage was last changed. A copy that is still to be made may read them, so
    /// they have no new user before it is.
    released: Vec<u32>,
    changes: BlockChanges,
}

impl BlockPool {
    /// Makes a table long enough for the first `positions` positions of its sequence.
    pub fn extend(&mut self, table: &mut BlockTable, positions: usize) {
        while table.blocks.len() * BLOCK < positions {
            let first = self.page() * PAGE as u32;
            table.blocks.extend(first..first + PAGE as u32);
        }
    }

    /// A page for one user.
    fn page(&mut self) -> u32 {
        if let Some(page) = self.free.pop() {
            self.uses[page as usize] = 1;
            let first = page * PAGE as u32;
            self.changes.clear.extend(first..first + PAGE as u32);
            return page;
        }
        let page = self.uses.len() as u32;
        self.uses.push(1);
        self.changes.blocks = self.uses.len() * PAGE;
        page
    }

    /// The table of another sequence that starts with the first `positions` positions of one that was computed. Blocks
    /// that those positions fill are shared; the one they only begin is copied, because both will write to it.
    pub fn fork(&mut self, table: &BlockTable, positions: usize) -> BlockTable {
        let (shared, begun) = table.blocks.split_at(positions / BLOCK);
        for page in pages(shared) {
            self.uses[page] += 1;
        }
        let mut forked = BlockTable { blocks: shared.to_vec() };
        self.extend(&mut forked, positions);
        if let (Some(from), Some(to)) = (begun.first(), forked.blocks.get(shared.len())) {
            self.changes.copies.push(BlockCopy { from: *from, to: *to });
        }
        forked
    }

    /// Ends a sequence's use of its blocks. Pages without users are free.
    pub fn release(&mut self, table: BlockTable) {
        for page in pages(&table.blocks) {
            self.uses[page] -= 1;
            if self.uses[page] == 0 {
                self.released.push(page as u32);
            }
        }
    }

    /// Hands what has changed since the last call to the storage. Must come before every pass, and before a fork is
    /// forked itself.
    ///
    /// # Errors
    /// When the storage has one.
    pub fn settle<X>(
        &mut self,
        apply: impl FnOnce(&BlockChanges) -> Result<(), X>,
    ) -> Result<(), X> {
        apply(&self.changes)?;
        self.changes.clear.clear();
        self.changes.copies.clear();
        self.free.append(&mut self.released);
        Ok(())
    }

    /// Whether every table was given back.
    #[cfg(test)]
    pub fn is_unused(&self) -> bool {
        self.uses.iter().all(|uses| *uses == 0)
    }
}

/// The pages of a table, each once.
fn pages(blocks: &[u32]) -> impl Iterator<Item = usize> {
    let page = |block: &u32| *block as usize / PAGE;
    blocks.chunk_by(move |a, b| page(a) == page(b)).map(move |run| page(&run[0]))
}
