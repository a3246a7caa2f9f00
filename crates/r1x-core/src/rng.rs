//! Named, position-addressed, counter-based random streams.
//!
//! A draw is a pure function of (seed, stream name, position, counter), so it does not depend on batch size, order
//! or threads, and nothing has to be saved to resume. The generator is Philox4x32-10 (Salmon et al., "Parallel
//! random numbers: as easy as 1, 2, 3", SC'11).

/// The root of all chance in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rng {
    seed: u64,
}

/// A named stream: a key derived from the seed and the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: u64,
}

/// Draws at one position of a stream.
#[derive(Clone, Debug)]
pub struct Position {
    key: u64,
    high: u64,
    counter: u64,
    block: [u32; 4],
    used: usize,
}

impl Rng {
    /// Streams of this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The stream called `name`. Different names give unrelated draws.
    pub fn stream(&self, name: &str) -> Stream {
        let mut key = mix(self.seed ^ 0x7231_785f_7365_6564);
        for byte in name.bytes() {
            key = mix(key ^ u64::from(byte));
        }
        Stream { key }
    }
}

impl Stream {
    /// A sub-stream, for example one per stage.
    pub fn named(&self, name: &str) -> Stream {
        let mut key = mix(self.key);
        for byte in name.bytes() {
            key = mix(key ^ u64::from(byte));
        }
        Stream { key }
    }

    /// Draws addressed by coordinates such as `[step, group, sample, position]`.
    pub fn at(&self, coordinates: &[u64]) -> Position {
        let mut high = mix(coordinates.len() as u64);
        for &coordinate in coordinates {
            high = mix(high ^ coordinate);
        }
        Position { key: self.key, high, counter: 0, block: [0; 4], used: 4 }
    }
}

impl Position {
    /// The next 32 uniform bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            let counter = [
                self.counter as u32,
                (self.counter >> 32) as u32,
                self.high as u32,
                (self.high >> 32) as u32,
            ];
            self.block = philox4x32(counter, [self.key as u32, (self.key >> 32) as u32]);
            self.counter += 1;
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// The next 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        let low = u64::from(self.next_u32());
        low | (u64::from(self.next_u32()) << 32)
    }

    /// Uniform in [0, 1) with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `0..bound` without modulo bias (Lemire's multiplication with rejection).
    ///
    /// # Panics
    /// When `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "below(0) has no value to return");
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// Standard normal (Box–Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Shuffles a slice in place (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

/// The finaliser of SplitMix64: a bijection that spreads every bit.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let first = u64::from(counter[0]) * 0xD251_1F53;
        let second = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of Random123's `kat_vectors` for philox4x32-10.
    #[test]
    fn philox_matches_the_published_vectors() {
        assert_eq!(
            philox4x32([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox4x32([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn positions_are_independent_of_the_order_of_drawing() {
        let stream = Rng::new(7).stream("sampling");
        let first = stream.at(&[1, 2]).next_u64();
        let _ = stream.at(&[9, 9]).next_u64();
        assert_eq!(first, stream.at(&[1, 2]).next_u64());
        assert_ne!(first, stream.at(&[2, 1]).next_u64());
        assert_ne!(first, Rng::new(7).stream("problems").at(&[1, 2]).next_u64());
        assert_ne!(first, Rng::new(8).stream("sampling").at(&[1, 2]).next_u64());
    }

    #[test]
    fn draws_have_the_moments_of_their_distribution() {
        let mut draws = Rng::new(3).stream("test").at(&[]);
        let count = 20_000;
        let (mut uniform, mut normal, mut square) = (0.0, 0.0, 0.0);
        for _ in 0..count {
            uniform += draws.uniform();
            let z = draws.normal();
            normal += z;
            square += z * z;
        }
        let n = f64::from(count);
        assert!((uniform / n - 0.5).abs() < 0.01);
        assert!((normal / n).abs() < 0.03);
        assert!((square / n - 1.0).abs() < 0.05);
    }

    #[test]
    fn below_covers_its_range_evenly_and_shuffle_permutes() {
        let mut draws = Rng::new(3).stream("test").at(&[1]);
        let mut counts = [0u32; 7];
        for _ in 0..7_000 {
            counts[draws.below(7) as usize] += 1;
        }
        assert!(counts.iter().all(|&c| (850..1150).contains(&c)), "{counts:?}");
        let mut items: Vec<u32> = (0..50).collect();
        draws.shuffle(&mut items);
        let mut sorted = items.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        assert_ne!(items, sorted);
    }
}
