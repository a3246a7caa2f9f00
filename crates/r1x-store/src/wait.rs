//! Waiting for others who hold a lock of the store: a run waits for as long as it takes and says so, everybody else
//! gives up in time.
//!
//! SQLite waits by itself, but not everywhere and never for long.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Executor, SqliteConnection};

use crate::error::{StoreError, primary_code};

/// How long SQLite waits in one attempt of an endless wait. Short, so that nobody who has waited for long starts over behind others.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(1);

/// The pause between attempts that SQLite refuses at once, by how long the wait takes already. Whoever has just come looks
/// seldom and whoever has waited looks often, so that the lock goes to those who wait; who waits for seconds waits for
/// something that takes long, and looks seldom again.
const PAUSES: [(Duration, Duration); 2] = [
    (Duration::from_millis(20), Duration::from_millis(4)),
    (Duration::from_secs(2), Duration::from_millis(1)),
];

/// The pause of a long wait.
const LONG_PAUSE: Duration = Duration::from_millis(20);

/// The pause after so long a wait.
fn pause(waited: Duration) -> Duration {
    PAUSES.iter().find(|(until, _)| waited < *until).map_or(LONG_PAUSE, |(_, pause)| *pause)
}

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
        thread::sleep(pause(waited));
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

/// Begins a transaction that writes, once nobody else has one. SQLite's own wait sleeps for up to a tenth of a second
/// between two looks, and the lock goes to whoever happens to look when it is free: with many writers, somebody waits for
/// more than a second.
pub(crate) async fn begin(
    conn: &mut SqliteConnection,
    path: &Path,
    patience: Patience,
) -> Result<(), StoreError> {
    let fail = |error| StoreError::from_sqlx(path, error);
    conn.execute("PRAGMA busy_timeout = 0").await.map_err(fail)?;
    let begun = patiently(path, patience, async || conn.execute("BEGIN IMMEDIATE").await).await;
    let attempt_ms = patience.attempt().as_millis();
    let set = format!("PRAGMA busy_timeout = {attempt_ms}");
    conn.execute(AssertSqlSafe(set)).await.map_err(fail)?;
    begun.map(|_| ())
}

/// Whether somebody else was in the way: busy, locked, or too many at once for the protocol of the log.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(5 | 6 | 15))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_waited_looks_more_often_than_who_has_just_come() {
        let of_ms = |waited| pause(Duration::from_millis(waited));
        assert!(of_ms(0) > of_ms(50) && of_ms(50) == of_ms(1900));
        assert!(of_ms(2000) > of_ms(0), "a wait of seconds costs nobody a core");
    }
}
