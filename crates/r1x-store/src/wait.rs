//! Waiting for others who hold a lock of the store: a run waits for as long as it takes and says so, everybody else
//! gives up in time.
//!
//! SQLite waits by itself, but not everywhere and never for long.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{StoreError, primary_code};

/// How long SQLite waits in one attempt of an endless wait. Short, so that nobody who has waited for long starts over behind others.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(1);

/// The pause between attempts that SQLite refuses at once.
const PAUSE: Duration = Duration::from_millis(20);

/// From here on a person may wonder why nothing happens.
const WORTH_SAYING: Duration = Duration::from_secs(5);

/// How long somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until the lock is free: what was computed must not be lost to somebody else's transaction.
    Endless,
    /// This long.
    Until(Duration),
}

impl Patience {
    /// Of those who can be asked again: readers, and whoever only brings a store up to date.
    pub const SHORT: Self = Self::Until(Duration::from_secs(30));

    /// How long SQLite is left to wait by itself.
    pub fn attempt(self) -> Duration {
        match self {
            Self::Endless => ATTEMPT,
            Self::Until(limit) => limit,
        }
    }
}

/// One wait, from the first refusal to the last.
pub(crate) struct Waiting {
    path: PathBuf,
    patience: Patience,
    since: Instant,
    /// When it is worth another word.
    say_after: Duration,
}

impl Waiting {
    /// Nothing was refused yet.
    pub fn new(path: &Path, patience: Patience) -> Self {
        Self { path: path.to_owned(), patience, since: Instant::now(), say_after: WORTH_SAYING }
    }

    /// Whether an attempt that ended like this is to be made again; pauses before it says yes.
    pub fn again(&mut self, error: &sqlx::Error) -> bool {
        if !is_busy(error) {
            return false;
        }
        let waited = self.since.elapsed();
        if let Patience::Until(limit) = self.patience
            && waited >= limit
        {
            return false;
        }
        if waited >= self.say_after {
            tracing::warn!(
                "{}: another program holds the lock; waiting for it ({} s so far)",
                self.path.display(),
                waited.as_secs()
            );
            self.say_after *= 3;
        }
        thread::sleep(PAUSE);
        true
    }

    /// The lock was had: whoever was told of the wait is told of its end.
    pub fn over(&self) {
        if self.say_after > WORTH_SAYING {
            let waited_s = self.since.elapsed().as_secs();
            tracing::warn!(
                "{}: the lock is free after {waited_s} s; going on",
                self.path.display()
            );
        }
    }

    /// The error of an attempt that is not made again.
    pub fn failed(&self, error: sqlx::Error) -> StoreError {
        if is_busy(&error) {
            let waited_s = self.since.elapsed().as_secs();
            return StoreError::Locked { path: self.path.clone(), waited_s };
        }
        StoreError::from_sqlx(&self.path, error)
    }
}

/// Does something until nobody is in the way.
pub(crate) async fn patiently<T>(
    path: &Path,
    patience: Patience,
    mut attempt: impl AsyncFnMut() -> Result<T, sqlx::Error>,
) -> Result<T, StoreError> {
    let mut waiting = Waiting::new(path, patience);
    loop {
        match attempt().await {
            Ok(value) => {
                waiting.over();
                return Ok(value);
            }
            Err(error) if waiting.again(&error) => {}
            Err(error) => return Err(waiting.failed(error)),
        }
    }
}

/// Whether somebody else was in the way: busy, locked, or too many at once for the protocol of the log.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(5 | 6 | 15))
}
