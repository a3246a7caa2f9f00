//! Keys and values of the sequences being decoded: a pool of blocks, shared by reference count.
//!
//! A block has the same number in every layer. Samples of one prompt share the blocks that it fills; the one it
//! only begins is copied when they part. Must not know what a block holds.

use r1x_ops::Operand;
use r1x_ops::kernel::attention::BLOCK;

/// The pool.
#[derive(Debug)]
pub struct Cache<E> {
    layers: Vec<Vec<E>>,
    /// Elements of a block, by layer.
    lens: Vec<usize>,
    /// How many sequences use each block.
    uses: Vec<u32>,
    free: Vec<u32>,
}

impl<E: Operand> Cache<E> {
    /// An empty pool for layers with blocks of these lengths.
    pub fn new(lens: impl Iterator<Item = usize>) -> Self {
        let lens: Vec<usize> = lens.collect();
        Self { layers: vec![Vec::new(); lens.len()], lens, uses: Vec::new(), free: Vec::new() }
    }

    /// The blocks of every layer, one after the other.
    pub fn layers(&mut self) -> &mut [Vec<E>] {
        &mut self.layers
    }

    /// Empty blocks for one user: positions that are not written yet are 0, because they are multiplied by 0.
    pub fn allocate(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.block(true)).collect()
    }

    fn block(&mut self, cleared: bool) -> u32 {
        if let Some(block) = self.free.pop() {
            self.uses[block as usize] = 1;
            if cleared {
                for (layer, len) in self.layers.iter_mut().zip(&self.lens) {
                    layer[block as usize * len..][..*len].fill(E::default());
                }
            }
            return block;
        }
        let block = self.uses.len();
        self.uses.push(1);
        for (layer, len) in self.layers.iter_mut().zip(&self.lens) {
            layer.resize((block + 1) * len, E::default());
        }
        block as u32
    }

    /// The blocks of another user that starts with the first `len` positions of a sequence.
    pub fn fork(&mut self, table: &[u32], len: usize) -> Vec<u32> {
        let (shared, begun) = table.split_at(len / BLOCK);
        for block in shared {
            self.uses[*block as usize] += 1;
        }
        let mut forked = shared.to_vec();
        if let (Some(from), true) = (begun.first(), !len.is_multiple_of(BLOCK)) {
            let to = self.block(false);
            for (layer, len) in self.layers.iter_mut().zip(&self.lens) {
                let from = *from as usize * len;
                layer.copy_within(from..from + len, to as usize * len);
            }
            forked.push(to);
        }
        forked
    }

    /// One user less for some blocks; without users they are free.
    pub fn release(&mut self, table: &[u32]) {
        for block in table {
            let uses = &mut self.uses[*block as usize];
            *uses -= 1;
            if *uses == 0 {
                self.free.push(*block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forks_share_whole_blocks_and_copy_the_begun_one() {
        let mut cache = Cache::<f32>::new([2, 3].into_iter());
        let prompt = cache.allocate(2);
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
        }
        // A prompt that ends with its block leaves nothing to copy.
        assert_eq!(cache.fork(&prompt, 2 * BLOCK), prompt);
        cache.release(&prompt);
        cache.release(&prompt);
        cache.release(&second);
        // The shared block is still used by the first; the prompt's second one and the copy are free, and clean
        // when they are handed out again.
        let mut again = cache.allocate(2);
        again.sort_unstable();
        let mut expected = vec![prompt[1], second[1]];
        expected.sort_unstable();
        assert_eq!(again, expected);
        for (layer, len) in [2, 3].into_iter().enumerate() {
            let block = &cache.layers[layer][again[0] as usize * len..][..len];
            assert!(block.iter().all(|value| *value == 0.0));
        }
    }
}
