//! Keys and values of the sequences being decoded: a pool of pages, shared by reference count.
//!
//! A page is a few blocks that are neighbours in memory, so that products can read across them. A block has the
//! same number in every layer. Samples of one prompt share the blocks that it fills; the one it only begins is
//! copied when they part. Must not know what a block holds.

use r1x_ops::Operand;
use r1x_ops::kernel::attention::BLOCK;

/// Blocks of a page.
const PAGE: usize = 4;

/// The pool.
#[derive(Debug)]
pub struct Cache<E> {
    layers: Vec<Vec<E>>,
    /// Elements of a block, by layer.
    lens: Vec<usize>,
    /// How many sequences use each page.
    uses: Vec<u32>,
    free: Vec<u32>,
}

impl<E: Operand> Cache<E> {
    /// An empty pool for layers whose blocks have `lens` elements, a length for each layer.
    pub fn new(lens: impl Iterator<Item = usize>) -> Self {
        let lens: Vec<usize> = lens.collect();
        Self { layers: vec![Vec::new(); lens.len()], lens, uses: Vec::new(), free: Vec::new() }
    }

    /// The blocks of every layer, one after the other.
    pub fn layers(&mut self) -> &mut [Vec<E>] {
        &mut self.layers
    }

    /// At least `count` more blocks for one user. Positions that are not written yet are 0, because they are
    /// multiplied by 0.
    pub fn allocate(&mut self, count: usize, table: &mut Vec<u32>) {
        for _ in 0..count.div_ceil(PAGE) {
            let first = self.page() as usize * PAGE;
            table.extend((first..first + PAGE).map(|block| block as u32));
        }
    }

    fn page(&mut self) -> u32 {
        if let Some(page) = self.free.pop() {
            self.uses[page as usize] = 1;
            for (layer, len) in self.layers.iter_mut().zip(&self.lens) {
                layer[page as usize * PAGE * len..][..PAGE * len].fill(E::default());
            }
            return page;
        }
        let page = self.uses.len();
        self.uses.push(1);
        for (layer, len) in self.layers.iter_mut().zip(&self.lens) {
            layer.resize((page + 1) * PAGE * len, E::default());
        }
        page as u32
    }

    /// The blocks of another user that starts with the first `len` positions of a sequence.
    pub fn fork(&mut self, table: &[u32], len: usize) -> Vec<u32> {
        let (shared, begun) = table.split_at(len / BLOCK);
        for page in pages(shared) {
            self.uses[page] += 1;
        }
        let mut forked = shared.to_vec();
        if let (Some(from), true) = (begun.first(), !len.is_multiple_of(BLOCK)) {
            self.allocate(1, &mut forked);
            let to = forked[shared.len()] as usize;
            for (layer, len) in self.layers.iter_mut().zip(&self.lens) {
                let from = *from as usize * len;
                layer.copy_within(from..from + len, to * len);
            }
        }
        forked
    }

    /// One user less for some blocks; pages without users are free.
    pub fn release(&mut self, table: &[u32]) {
        for page in pages(table) {
            self.uses[page] -= 1;
            if self.uses[page] == 0 {
                self.free.push(page as u32);
            }
        }
    }
}

/// The pages of a table, each once.
fn pages(table: &[u32]) -> impl Iterator<Item = usize> {
    table
        .chunk_by(|a, b| *a as usize / PAGE == *b as usize / PAGE)
        .map(|run| run[0] as usize / PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forks_share_whole_blocks_and_copy_the_begun_one() {
        let mut cache = Cache::<f32>::new([2, 3].into_iter());
        let mut prompt = Vec::new();
        cache.allocate(2, &mut prompt);
        for layer in cache.layers() {
            for (index, value) in layer.iter_mut().enumerate() {
                *value = index as f32;
            }
        }
        let first = cache.fork(&prompt, BLOCK + 5);
        let second = cache.fork(&prompt, BLOCK + 5);
        assert_eq!((first[0], second[0]), (prompt[0], prompt[0]));
        assert!(first[1] != prompt[1] && first[1] != second[1]);
        for (layer, len) in [2, 3].into_iter().enumerate() {
            let block = |b: u32| cache.layers[layer][b as usize * len..][..len].to_vec();
            assert_eq!(block(first[1]), block(prompt[1]));
            assert_eq!(block(first[2]), vec![0.0; len], "the next block is new");
        }
        // A prompt that ends with its block leaves nothing to copy.
        assert_eq!(cache.fork(&prompt, 2 * BLOCK), prompt[..2]);
        cache.release(&prompt);
        cache.release(&prompt[..2]);
        cache.release(&second);
        // The shared page is still used by the first; the second's own is free, and clean when it is handed out
        // again. The pool grows after that.
        let mut again = Vec::new();
        cache.allocate(PAGE + 1, &mut again);
        assert_eq!(again[..PAGE], second[1..]);
        assert_eq!(again[PAGE] as usize, 3 * PAGE);
        for (layer, len) in [2, 3].into_iter().enumerate() {
            let block = &cache.layers[layer][again[0] as usize * len..][..len];
            assert!(block.iter().all(|value| *value == 0.0));
        }
    }
}
