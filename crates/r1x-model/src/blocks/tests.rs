//! The pool of blocks by value, and at random against sequences that share nothing.

use std::convert::Infallible;

use r1x_core::Rng;
use r1x_ops::kernel::attention::BLOCK;

use super::host::HostBlocks;
use super::{BlockChanges, BlockCopy, BlockPool, BlockTable, PAGE, pages};

/// Takes the changes of a pool.
fn changes(pool: &mut BlockPool) -> BlockChanges {
    let mut taken = BlockChanges::default();
    let Ok(()) = pool.settle(|changes| {
        taken = changes.clone();
        Ok::<_, Infallible>(())
    });
    taken
}

#[test]
fn forks_share_whole_blocks_and_copy_the_begun_one() {
    let mut pool = BlockPool::default();
    let mut prompt = BlockTable::default();
    pool.extend(&mut prompt, 2 * BLOCK);
    assert_eq!(prompt.blocks(), [0, 1, 2, 3], "a page at least");
    assert_eq!(changes(&mut pool), BlockChanges { blocks: 4, ..BlockChanges::default() });
    let first = pool.fork(&prompt, BLOCK + 5);
    let second = pool.fork(&prompt, BLOCK + 5);
    assert_eq!(first.blocks(), [0, 4, 5, 6, 7]);
    assert_eq!(second.blocks(), [0, 8, 9, 10, 11]);
    let copies = vec![BlockCopy { from: 1, to: 4 }, BlockCopy { from: 1, to: 8 }];
    assert_eq!(changes(&mut pool), BlockChanges { blocks: 12, clear: Vec::new(), copies });
    // A prompt that ends with its block leaves nothing to copy.
    let third = pool.fork(&prompt, 2 * BLOCK);
    assert_eq!(third.blocks(), [0, 1]);
    assert_eq!(pool.uses, [4, 1, 1]);
    pool.release(prompt);
    pool.release(third);
    pool.release(second);
    assert_eq!(pool.uses, [1, 1, 0], "the first still uses the page of the prompt");
    assert_eq!(changes(&mut pool), BlockChanges { blocks: 12, ..BlockChanges::default() });
    // The page of the second is cleared when it is handed out again; the pool grows after that.
    let mut again = BlockTable::default();
    pool.extend(&mut again, PAGE * BLOCK + 1);
    assert_eq!(again.blocks(), [8, 9, 10, 11, 12, 13, 14, 15]);
    let clear = vec![8, 9, 10, 11];
    assert_eq!(changes(&mut pool), BlockChanges { blocks: 16, clear, copies: Vec::new() });
}

#[test]
fn what_a_copy_reads_has_no_new_user_before_it_was_read() {
    let mut pool = BlockPool::default();
    let mut prompt = BlockTable::default();
    pool.extend(&mut prompt, 3);
    changes(&mut pool);
    let fork = pool.fork(&prompt, 3);
    pool.release(prompt);
    let mut other = BlockTable::default();
    pool.extend(&mut other, 1);
    assert_eq!((fork.blocks()[0], other.blocks()[0]), (4, 8));
    assert!(changes(&mut pool).clear.is_empty());
    pool.extend(&mut other, PAGE * BLOCK + 1);
    assert_eq!(other.blocks()[PAGE], 0);
}

#[test]
fn storage_clears_and_copies_in_every_layer() {
    let mut storage = HostBlocks::<f32>::new([2, 3].into_iter());
    storage.change(&BlockChanges { blocks: 3, ..BlockChanges::default() });
    for layer in storage.layers() {
        layer.iter_mut().enumerate().for_each(|(index, value)| *value = index as f32);
    }
    let copies = vec![BlockCopy { from: 1, to: 3 }];
    storage.change(&BlockChanges { blocks: 4, clear: vec![0], copies });
    assert_eq!(storage.layers()[0], [0.0, 0.0, 2.0, 3.0, 4.0, 5.0, 2.0, 3.0]);
    assert_eq!(storage.layers()[1][..6], [0.0, 0.0, 0.0, 3.0, 4.0, 5.0]);
    assert_eq!(storage.layers()[1][6..], [6.0, 7.0, 8.0, 3.0, 4.0, 5.0]);
}

/// A sequence, what it has said, and its blocks.
#[derive(Default)]
struct User {
    said: Vec<f32>,
    table: BlockTable,
}

/// Sequences over one pool whose storage keeps a number per position.
struct Crowd {
    pool: BlockPool,
    storage: HostBlocks<f32>,
    users: Vec<User>,
}

impl Crowd {
    fn settle(&mut self) {
        let storage = &mut self.storage;
        let Ok(()) = self.pool.settle(|changes| {
            storage.change(changes);
            Ok::<_, Infallible>(())
        });
    }

    /// One more number of every sequence, as a pass would write it.
    fn say(&mut self, value: &mut f32) {
        for User { said, table } in &mut self.users {
            self.pool.extend(table, said.len() + 1);
        }
        self.settle();
        for User { said, table } in &mut self.users {
            *value += 1.0;
            let block = table.blocks()[said.len() / BLOCK] as usize;
            self.storage.layers()[0][block * BLOCK + said.len() % BLOCK] = *value;
            said.push(*value);
        }
    }

    /// Everybody finds what it said and nothing behind it; pages are counted; nobody else has a block to which
    /// somebody will write.
    fn check(&mut self) {
        self.settle();
        let mut uses = vec![0; self.pool.uses.len()];
        let mut users = vec![0; self.pool.uses.len() * PAGE];
        for User { table, .. } in &self.users {
            pages(table.blocks()).for_each(|page| uses[page] += 1);
            table.blocks().iter().for_each(|block| users[*block as usize] += 1);
        }
        assert_eq!(self.pool.uses, uses);
        let free = uses.iter().filter(|uses| **uses == 0).count();
        assert_eq!(self.pool.free.len(), free, "a page is free once, if nobody uses it");
        for User { said, table } in &self.users {
            for block in &table.blocks()[said.len() / BLOCK..] {
                assert_eq!(users[*block as usize], 1, "two writers of block {block}");
            }
            let layer = &self.storage.layers()[0];
            let at = |block: &u32| &layer[*block as usize * BLOCK..][..BLOCK];
            let found: Vec<f32> = table.blocks().iter().flat_map(at).copied().collect();
            assert_eq!(found[..said.len()], *said);
            assert!(found[said.len()..].iter().all(|value| *value == 0.0));
        }
    }
}

#[test]
fn sequences_at_random_never_meet_and_leave_everything_free() {
    let mut draws = Rng::new(5).stream("blocks").at(&[]);
    let storage = HostBlocks::new(std::iter::once(BLOCK));
    let mut crowd = Crowd { pool: BlockPool::default(), storage, users: Vec::new() };
    let (mut value, mut forks) = (0.0, 0);
    for _ in 0..600 {
        let chosen = draws.below(crowd.users.len().max(1) as u64) as usize;
        match draws.below(6) {
            0 => crowd.users.push(User::default()),
            1 | 2 if !crowd.users.is_empty() && crowd.users.len() < 40 => {
                // Several forks of one sequence, which may end before they are copied.
                for _ in 0..=draws.below(3) {
                    let User { said, table } = &crowd.users[chosen];
                    let said = said.clone();
                    let table = crowd.pool.fork(table, said.len());
                    crowd.users.push(User { said, table });
                    forks += 1;
                }
                if draws.below(2) == 0 {
                    crowd.pool.release(crowd.users.swap_remove(chosen).table);
                }
            }
            3 if !crowd.users.is_empty() => {
                crowd.pool.release(crowd.users.swap_remove(chosen).table);
            }
            _ => (0..=draws.below(2 * BLOCK as u64)).for_each(|_| crowd.say(&mut value)),
        }
        crowd.check();
    }
    assert!(forks > 50 && crowd.pool.uses.len() > 10, "{forks} forks");
    for User { table, .. } in crowd.users.drain(..) {
        crowd.pool.release(table);
    }
    crowd.check();
    assert_eq!(crowd.pool.free.len(), crowd.pool.uses.len(), "everything is free at the end");
}
