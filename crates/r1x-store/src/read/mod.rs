//! Reading: one connection that cannot write, used from the calling thread.
//!
//! `summary` lists runs and `card` shows one on a page. The other files answer about parts of a run: `recorded` how far
//! it is recorded, `reusable` which stages of it another run need not run again, `checkpoint`, `evaluation` and `metric`
//! about what they are called after, `rollout` about steps and what is in them. `diagnosis` asks what a look for trouble
//! asks. `facts` has everything of one fact, and `difference` compares it with the same fact of another run. `pair` sets
//! metrics and evaluations of two runs side by side, `export` hands out everything that a run has written, page by page, and `problem` how well it did on each
//! problem.

pub mod card;
pub mod checkpoint;
pub mod descent;
pub mod diagnosis;
pub mod difference;
pub mod evaluation;
pub mod export;
mod facts;
pub mod metric;
pub mod pair;
pub mod problem;
pub mod recorded;
pub mod reusable;
pub mod rollout;
pub mod summary;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{FromRow, query::QueryAs};
use tokio::runtime::Runtime;

use crate::error::StoreError;
use crate::open;

/// The reading connection.
pub(crate) struct Reader {
    pub path: PathBuf,
    inner: Mutex<Inner>,
}

pub(crate) struct Inner {
    pub runtime: Runtime,
    pub conn: SqliteConnection,
}

type ReadQuery<T> = QueryAs<'static, sqlx::Sqlite, T, sqlx::sqlite::SqliteArguments>;

impl Reader {
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let runtime = crate::writer::runtime(path)?;
        let conn = runtime.block_on(open::open_reader(path))?;
        Ok(Self { path: path.to_owned(), inner: Mutex::new(Inner { runtime, conn }) })
    }

    /// The connection. A panic while it was held cannot have harmed it: it only reads.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All rows of a query.
    pub fn all<T>(&self, query: ReadQuery<T>) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let mut inner = self.lock();
        let Inner { runtime, conn } = &mut *inner;
        runtime
            .block_on(query.fetch_all(conn))
            .map_err(|error| StoreError::from_sqlx(&self.path, error))
    }

    /// The first row of a query.
    pub fn first<T>(&self, query: ReadQuery<T>) -> Result<Option<T>, StoreError>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let mut inner = self.lock();
        let Inner { runtime, conn } = &mut *inner;
        runtime
            .block_on(query.fetch_optional(conn))
            .map_err(|error| StoreError::from_sqlx(&self.path, error))
    }
}
