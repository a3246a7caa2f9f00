//! What nothing needs any more, given back to the disk: rows that no run refers to, and pages that hold nothing.
//!
//! A file that becomes shorter, and a row that goes, would surprise whoever has the store open: a run looks whether its
//! file was cut short, and remembers the numbers of rows that are shared. So both are done while nobody else has it
//! open, which SQLite answers for: it locks the file.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqliteLockingMode};
use sqlx::{Connection, Executor};

use crate::error::StoreError;
use crate::open;
use crate::run_resume::at_work;
use crate::store::{Mode, Store};
use crate::wait::Patience;
use crate::writer;

/// How long others are waited for who have the store open.
const PATIENCE: Patience = Patience::Until(Duration::from_secs(2));

/// How the file is made shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shrinking {
    /// The whole file is written anew, in order.
    Whole,
    /// Pages that hold nothing are given back.
    Freed,
}

/// What became of the file of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Shrunk {
    /// Length of the file before, bytes.
    pub before_bytes: u64,
    /// Length of the file now, bytes.
    pub after_bytes: u64,
    /// Rows that no run referred to, such as problems and components of runs that were removed.
    pub rows: u64,
}

/// Rows that several runs share, each with the rows that refer to it. The order matters: the key of a reward refers to a
/// component.
const UNNEEDED: [&str; 7] = [
    "DELETE FROM reward_key WHERE key_id NOT IN (
         SELECT key_id FROM reward_total UNION SELECT key_id FROM eval_reward)",
    "DELETE FROM plugin WHERE plugin_id NOT IN (
         SELECT plugin_id FROM run_input WHERE plugin_id IS NOT NULL UNION SELECT plugin_id FROM rescore
          UNION SELECT plugin_id FROM reward_key WHERE plugin_id IS NOT NULL)",
    "DELETE FROM dataset WHERE dataset_id NOT IN (
         SELECT dataset_id FROM run_input WHERE dataset_id IS NOT NULL)",
    "DELETE FROM prompt WHERE prompt_id NOT IN (
         SELECT prompt_id FROM rollout UNION SELECT prompt_id FROM rollout_group
          UNION SELECT prompt_id FROM eval_sample)",
    "DELETE FROM metric_key WHERE key_id NOT IN (SELECT key_id FROM metric)",
    "DELETE FROM spec WHERE spec_id NOT IN (SELECT spec_id FROM run)",
    "DELETE FROM environment WHERE env_id NOT IN (SELECT env_id FROM run)",
];

impl Store {
    /// Makes the file of the store at `path` shorter. Nobody else may have it open, this process included.
    ///
    /// # Errors
    /// When a run is at work, or another program has the store open; then it is as it was.
    pub fn shrink(path: &Path, how: Shrinking) -> Result<Shrunk, StoreError> {
        // Opening it brings the store up to date, and marks runs whose program has died.
        let store = Store::open(path, Mode::Write)?;
        let busy =
            store.writer()?.call(|writer| writer.transaction(async |tx| at_work(tx).await))?;
        drop(store);
        if !busy.is_empty() {
            return Err(StoreError::AtWork { path: path.to_owned(), runs: busy });
        }
        let runtime = writer::runtime(path)?;
        runtime.block_on(async {
            let options =
                open::base_options(path, PATIENCE)?.locking_mode(SqliteLockingMode::Exclusive);
            let mut conn = open::connect(path, &options, PATIENCE).await?;
            let shrunk = alone(path, &mut conn, how).await;
            let closed = conn.close().await.map_err(|error| StoreError::from_sqlx(path, error));
            shrunk.and_then(|shrunk| closed.map(|()| shrunk))
        })
    }
}

/// Removes what nothing needs and makes the file shorter, with the file locked.
async fn alone(
    path: &Path,
    conn: &mut SqliteConnection,
    how: Shrinking,
) -> Result<Shrunk, StoreError> {
    let fail = |error| StoreError::from_sqlx(path, error);
    let length = || std::fs::metadata(path).map(|meta| meta.len());
    let told = |error: std::io::Error| open::from_io(path, &error);
    // Leaving the log takes the lock, which is kept from here on, and copies what is in the log into the file.
    crate::wait::patiently(path, PATIENCE, async || {
        sqlx::query("PRAGMA journal_mode = DELETE").execute(&mut *conn).await
    })
    .await?;
    let before_bytes = length().map_err(told)?;
    let mut rows = 0;
    let mut whole = conn.begin_with("BEGIN EXCLUSIVE").await.map_err(fail)?;
    for statement in UNNEEDED {
        let done = sqlx::query(statement).execute(&mut *whole).await.map_err(fail)?;
        rows += done.rows_affected();
    }
    whole.commit().await.map_err(fail)?;
    match how {
        Shrinking::Whole => conn.execute("VACUUM").await.map(|_| ()).map_err(fail)?,
        Shrinking::Freed => {
            // One row for each page.
            let freed = sqlx::query("PRAGMA incremental_vacuum").fetch_all(&mut *conn).await;
            freed.map_err(fail)?;
        }
    }
    let after_bytes = length().map_err(told)?;
    conn.execute("PRAGMA journal_mode = WAL").await.map_err(fail)?;
    Ok(Shrunk { before_bytes, after_bytes, rows })
}
