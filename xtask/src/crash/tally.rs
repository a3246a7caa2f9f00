//! What came of all kills, or of all power cuts.

use std::time::Duration;

use crate::failure::Failure;

/// What came of all of them.
#[derive(Debug, Default)]
pub struct Tally {
    /// Kills, or power cuts.
    pub kills: u64,
    /// Of them: while the store was being made.
    pub in_migrations: u64,
    /// Of them: while a checkpoint was being written.
    pub in_checkpoints: u64,
    /// Logs that lost their end after a kill.
    pub logs_cut: u64,
    /// Checkpoints that became those of another run after a kill.
    pub exchanged: u64,
    /// Checkpoints that said another step after a kill.
    pub edited: u64,
    /// Runs that ended.
    pub ended: u64,
    /// Of them: those that had to begin anew because nothing was there to go on from.
    pub anew: u64,
    /// Runs that ended with another digest.
    pub mismatches: u64,
    /// Stores that cannot be opened.
    pub unopened: u64,
    /// Stores that were compared with what was written.
    pub verified: u64,
    /// Of them: those that were not what was written.
    pub flawed: u64,
    /// Runs that do not go on.
    pub stuck: u64,
    /// What went wrong, in words.
    pub wrong: Vec<String>,
}

impl Tally {
    /// Prints all of it.
    ///
    /// # Errors
    /// When anything went wrong.
    pub fn report(&self, what: &str, seed: u64, took: Duration) -> Result<(), Failure> {
        println!("{} {what} with seed {seed} in {} s", self.kills, took.as_secs());
        let rows = [
            ("while the store was being made", self.in_migrations),
            ("while a checkpoint was written", self.in_checkpoints),
            ("then the log was cut", self.logs_cut),
            ("then a checkpoint was foreign", self.exchanged),
            ("then a checkpoint was edited", self.edited),
        ];
        for (name, count) in rows.iter().filter(|(_, count)| *count > 0) {
            println!("  {name:<31} {count}");
        }
        let Self { ended, anew, verified, .. } = self;
        println!("{ended} runs ended, {anew} of which began anew for want of a checkpoint");
        let flaws = [
            ("other digests", self.mismatches),
            ("stores that cannot be opened", self.unopened),
            ("stores with a flaw", self.flawed),
            ("runs that do not go on", self.stuck),
        ];
        for (name, count) in flaws {
            println!("  {name:<31} {count}");
        }
        println!("{verified} stores were compared with what was written");
        if flaws.iter().all(|(_, count)| *count == 0) {
            return Ok(());
        }
        let hint = format!("--seed {seed} makes the same plan again");
        Err(Failure::new(self.wrong.join("\n  "), hint))
    }
}
