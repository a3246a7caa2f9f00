//! The indices of a sort in an order that a seed decides.

use r1x_core::Stream;

/// Rounds of the network; four make a permutation that looks random to whoever asks it for values (Luby and Rackoff,
/// 1988).
const ROUNDS: u64 = 4;

/// A permutation of `0..size` that takes no memory: a Feistel network over the next power of four, walked until it
/// comes back below `size`.
pub(super) struct Permutation {
    size: u64,
    /// Bits of one half of a value.
    half: u32,
    stream: Stream,
    address: [u64; 2],
}

impl Permutation {
    /// The permutation of `size` indices that belongs to an address of a stream. `size` is at most 2⁶².
    pub(super) fn new(size: u64, stream: Stream, address: [u64; 2]) -> Self {
        let bits = u64::BITS - size.saturating_sub(1).leading_zeros();
        Self { size, half: bits.div_ceil(2).max(1), stream, address }
    }

    /// The index at a place, which is below `size`.
    pub(super) fn at(&self, place: u64) -> u64 {
        // The network permutes a larger range, so a walk that began below `size` returns there, at the latest at its
        // beginning. The range is less than four times as large.
        let mut value = self.network(place);
        while value >= self.size {
            value = self.network(value);
        }
        value
    }

    fn network(&self, value: u64) -> u64 {
        let mask = (1_u64 << self.half) - 1;
        let (mut left, mut right) = (value >> self.half, value & mask);
        let [group, sort] = self.address;
        for round in 0..ROUNDS {
            let drawn = self.stream.at(&[group, sort, round, right]).next_u64() & mask;
            (left, right) = (right, left ^ drawn);
        }
        left << self.half | right
    }
}

#[cfg(test)]
mod tests {
    use r1x_core::Rng;

    use super::*;

    fn order(size: u64, seed: u64) -> Vec<u64> {
        let permutation = Permutation::new(size, Rng::new(seed).stream("test"), [1, 2]);
        (0..size).map(|place| permutation.at(place)).collect()
    }

    #[test]
    fn every_index_comes_once_whatever_the_size() {
        for size in (1..70).chain([255, 256, 257, 1000]) {
            let mut found = order(size, 3);
            found.sort_unstable();
            assert_eq!(found, (0..size).collect::<Vec<_>>(), "{size}");
        }
    }

    #[test]
    fn seeds_have_orders_of_their_own() {
        let (first, second) = (order(1000, 1), order(1000, 2));
        assert_ne!(first, second);
        // Of a random order, one index in a thousand stays in its place on average.
        let unmoved = |order: &[u64]| (0..).zip(order).filter(|(at, index)| at == *index).count();
        assert!(unmoved(&first) < 10 && unmoved(&second) < 10);
        // Neighbours do not stay neighbours.
        let close = first.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) == 1).count();
        assert!(close < 12, "{close}");
    }

    #[test]
    fn the_largest_sizes_are_walked_too() {
        let permutation = Permutation::new((1 << 62) - 1, Rng::new(1).stream("test"), [0, 0]);
        let found: Vec<u64> = (0..100).map(|place| permutation.at(place)).collect();
        assert!(found.iter().all(|index| *index < (1 << 62) - 1));
        assert!(found.iter().any(|index| *index > 1 << 61));
    }
}
