//! What happens to a run and when, drawn from a seed: one seed gives one plan.
//!
//! Instants are the plan's, what a program is doing then is the machine's.

use std::time::Duration;

/// A small generator of numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// Numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

/// When a program is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// So long after its start.
    After(Duration),
    /// So long after the files of the store appear, or change for the first time: inside of migrations.
    InMigrations(Duration),
    /// So long after the n-th checkpoint begins to be written.
    InCheckpoint {
        /// Which one, from 0.
        nth: u64,
        /// How long after.
        after: Duration,
    },
}

/// What becomes of the files before the program is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aftermath {
    /// Nothing.
    Nothing,
    /// The log loses so many hundredths of what is not on the disk for certain, as with the power.
    LogCut(u64),
    /// The newest checkpoint becomes that of another run.
    Foreign,
    /// The newest checkpoint's cursor is edited.
    Edited,
}

/// One kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blow {
    /// When.
    pub kill: Kill,
    /// And then.
    pub aftermath: Aftermath,
}

impl Blow {
    /// The next one, for runs that take about so long.
    pub fn draw(draws: &mut Draws, whole: Duration) -> Self {
        let micros = |draws: &mut Draws, most: u64| Duration::from_micros(draws.below(most));
        let kill = match draws.below(10) {
            0..=4 => Kill::After(micros(draws, whole.as_micros() as u64)),
            5..=6 => Kill::InMigrations(micros(draws, 40_000)),
            _ => Kill::InCheckpoint { nth: draws.below(4), after: micros(draws, 12_000) },
        };
        let aftermath = match draws.below(10) {
            0..=4 => Aftermath::Nothing,
            5..=7 => Aftermath::LogCut(if draws.below(2) == 0 { 10 } else { 1 + draws.below(100) }),
            8 => Aftermath::Foreign,
            _ => Aftermath::Edited,
        };
        Self { kill, aftermath }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_plan_with_everything_in_it() {
        let plan = |seed| {
            let mut draws = Draws::new(seed);
            (0..200).map(|_| Blow::draw(&mut draws, Duration::from_secs(2))).collect::<Vec<_>>()
        };
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
        let has = |what: fn(&Blow) -> bool| assert!(plan(1).iter().any(what));
        has(|blow| matches!(blow.kill, Kill::After(_)));
        has(|blow| matches!(blow.kill, Kill::InMigrations(_)));
        has(|blow| matches!(blow.kill, Kill::InCheckpoint { .. }));
        has(|blow| matches!(blow.aftermath, Aftermath::LogCut(10)));
        has(|blow| blow.aftermath == Aftermath::Foreign);
        has(|blow| blow.aftermath == Aftermath::Edited);
    }
}
