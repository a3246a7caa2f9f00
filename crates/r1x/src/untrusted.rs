//! Files of strangers that only commands read, each read by itself: for the program that hands mutated ones to r1x.
//!
//! Must not read them otherwise than the commands do.

use std::path::Path;

use clap::ValueEnum;

use crate::command::import;
use crate::failure::{Failure, Told};
use crate::lock::Lock;

/// Systems whose rollouts are read, by the words of the command line.
pub const SYSTEMS: [&str; 3] = ["trl", "verl", "verifiers"];

/// Reads the text of a lock.
///
/// # Errors
/// In words, when it is none.
pub fn lock(text: &str) -> Result<(), String> {
    let lock = Lock::parse(text).map_err(|error| error.told(Path::new("lock")))?;
    // What was read is what is written again, or a lock would change by being looked at.
    match Lock::parse(&lock.text("spec")) {
        Ok(again) if again == lock => Ok(()),
        other => panic!("a lock is read otherwise once it was written again: {other:?}"),
    }
}

/// Reads the rollouts that a system has written.
///
/// # Errors
/// In words, when the file has none.
pub fn rollouts(path: &Path, system: &str) -> Result<(), String> {
    let read = import::read(&import::Ask {
        files: vec![path.to_owned()],
        from: import::Whose::from_str(system, false)?,
        name: None,
        rewards: Vec::new(),
        weights: Vec::new(),
        answer: None,
        tokenizer: None,
        json: false,
    });
    read.map_err(|Failure { code, told }| match told {
        Told::Here { message, .. } => message,
        Told::Already => format!("exit code {code}"),
    })
}
