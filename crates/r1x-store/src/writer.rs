//! The one writer: a thread that owns the writing connection and does jobs one after the other.
//!
//! Jobs come through a bounded channel and each is answered, so a slow disk slows the caller down instead of filling
//! memory. A job is one transaction: all of it is written or nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe, Connection, Executor};
use tokio::runtime::{Builder, Runtime};

use crate::error::StoreError;
use crate::guard::Guard;
use crate::open::Upgraded;
use crate::open::{self, Copied, Copying};
use crate::rescue;
use crate::wait::{self, Patience};

/// Jobs that may wait; more callers than this block.
const QUEUE: usize = 8;

/// The log is copied into the store between steps once about this much was written, bytes. (Its length on
/// disk does not tell: SQLite starts it over without shortening it.)
const CHECKPOINT_BYTES: usize = 8 << 20;

/// A log of so many pages (of 4 KiB) is started over even if others have to wait a moment for that: with many writers
/// there may never be a time at which nobody is in the way.
const LONG_LOG_PAGES: i64 = 16 << 10;

/// What a transaction adds to the log besides its values: pages of tables and indices, about.
const TRANSACTION_BYTES: usize = 32 << 10;

/// Rows per statement: large enough that parsing and hand-over cost nothing per row, small enough to stay
/// far below SQLite's 32 766 parameters.
const CHUNK_ROWS: usize = 256;

type Job = Box<dyn FnOnce(&mut Writer) + Send>;

/// One value to store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Cell {
    /// About what it takes in the file.
    fn bytes(&self) -> usize {
        match self {
            Cell::Null => 1,
            Cell::Int(_) | Cell::Real(_) => 9,
            Cell::Text(text) => text.len() + 1,
            Cell::Blob(bytes) => bytes.len() + 1,
        }
    }
}

macro_rules! cell_from {
    ($($from:ty => |$value:ident| $cell:expr),* $(,)?) => {$(
        impl From<$from> for Cell {
            fn from($value: $from) -> Self {
                $cell
            }
        }
    )*};
}

cell_from! {
    i64 => |value| Cell::Int(value),
    u32 => |value| Cell::Int(i64::from(value)),
    usize => |value| Cell::Int(value as i64),
    // SQLite has signed integers only; the bits are kept.
    u64 => |value| Cell::Int(value.cast_signed()),
    bool => |value| Cell::Int(i64::from(value)),
    f64 => |value| Cell::Real(value),
    &str => |value| Cell::Text(value.to_owned()),
    &String => |value| Cell::Text(value.clone()),
    String => |value| Cell::Text(value),
    Vec<u8> => |value| Cell::Blob(value),
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Cell::Null, Into::into)
    }
}

/// Rows for one table, kept flat: `columns` cells each.
#[derive(Debug)]
pub(crate) struct Rows {
    /// `INSERT INTO table (a, b)`: what stands before `VALUES`.
    head: &'static str,
    columns: usize,
    cells: Vec<Cell>,
}

impl Rows {
    /// No rows yet; the columns are counted in `head`.
    pub fn new(head: &'static str) -> Self {
        let columns = head.bytes().filter(|&byte| byte == b',').count() + 1;
        Self { head, columns, cells: Vec::new() }
    }

    /// Adds a row with one cell per column of the head.
    pub fn push<const N: usize>(&mut self, row: [Cell; N]) {
        debug_assert_eq!(N, self.columns, "{}", self.head);
        self.cells.extend(row);
    }

    pub fn len(&self) -> usize {
        self.cells.len() / self.columns
    }
}

/// Ids of rows that never change once committed, so that they are looked up once.
#[derive(Default)]
pub(crate) struct Known {
    /// Metric ids by name.
    pub metrics: HashMap<String, i64>,
    /// Prompt ids by hash.
    pub prompts: HashMap<[u8; 32], i64>,
}

/// The writing connection inside its thread.
pub(crate) struct Writer {
    path: PathBuf,
    runtime: Runtime,
    conn: SqliteConnection,
    inserts: HashMap<(&'static str, usize), Arc<str>>,
    known: Known,
    /// Written since the last checkpoint, about, bytes.
    written: usize,
    patience: Patience,
    guard: Guard,
    /// What has become of the store, once it is no longer where it was.
    displaced: Option<rescue::Displaced>,
}

/// A transaction under way.
pub(crate) struct Tx<'a> {
    path: &'a Path,
    conn: &'a mut SqliteConnection,
    inserts: &'a mut HashMap<(&'static str, usize), Arc<str>>,
    /// What earlier transactions committed.
    pub known: &'a Known,
    /// What this one adds; forgotten when it fails.
    pub fresh: Known,
    written: usize,
}

impl Writer {
    fn open(path: PathBuf, patience: Patience) -> Result<(Self, Option<Upgraded>), StoreError> {
        let runtime = runtime(&path)?;
        let open::Opened { conn, upgraded } =
            runtime.block_on(open::open_writer(&path, patience))?;
        let guard = Guard::new(&path).map_err(|error| open::from_io(&path, &error))?;
        let writer = Self {
            path,
            runtime,
            conn,
            inserts: HashMap::new(),
            known: Known::default(),
            written: 0,
            patience,
            guard,
            displaced: None,
        };
        Ok((writer, upgraded))
    }

    /// Runs `body` inside `BEGIN IMMEDIATE`: the write lock is taken first, so that waiting for another
    /// writer happens here and never in the middle.
    pub fn transaction<T>(
        &mut self,
        body: impl AsyncFnOnce(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(displaced) = &self.displaced {
            return Err(displaced.error(&self.path));
        }
        let result = self.transact(body);
        // Looked at afterwards: what was just written is in the copy then, if one has to be made.
        if let Some(error) = self.loss() {
            return Err(error);
        }
        let (value, fresh) = result?;
        self.known.metrics.extend(fresh.metrics);
        self.known.prompts.extend(fresh.prompts);
        Ok(value)
    }

    /// What has become of the store, once it is no longer where it was; what can be saved of it is copied then.
    fn loss(&mut self) -> Option<StoreError> {
        if self.displaced.is_none() {
            let what = self.guard.loss()?;
            let rescued = rescue::rescue(&self.path, &mut self.conn, what);
            self.displaced = Some(self.runtime.block_on(rescued));
        }
        self.displaced.as_ref().map(|displaced| displaced.error(&self.path))
    }

    fn transact<T>(
        &mut self,
        body: impl AsyncFnOnce(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<(T, Known), StoreError> {
        let Self { path, runtime, conn, inserts, known, written, patience, .. } = self;
        runtime.block_on(async {
            let fail = |error| StoreError::from_sqlx(path, error);
            wait::begin(conn, path, *patience).await?;
            let mut tx = Tx {
                path,
                conn: &mut *conn,
                inserts,
                known,
                fresh: Known::default(),
                written: TRANSACTION_BYTES,
            };
            let result = body(&mut tx).await;
            *written += tx.written;
            let fresh = tx.fresh;
            let result = match result {
                Ok(value) => conn.execute("COMMIT").await.map(|_| (value, fresh)).map_err(fail),
                Err(error) => Err(error),
            };
            if result.is_err() {
                // SQLite has already rolled back after some errors (a full disk); saying it again fails
                // without effect.
                let _ = conn.execute("ROLLBACK").await;
            }
            result
        })
    }

    /// A transaction that is on the disk when this returns, and with it everything committed before: a power cut
    /// takes none of it. Others may still be on their way there.
    pub fn lasting_transaction<T>(
        &mut self,
        body: impl AsyncFnOnce(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // SQLite may find out first that its file is gone.
        let set = self.set_synchronous("PRAGMA synchronous = FULL");
        set.map_err(|error| self.loss().unwrap_or(error))?;
        let result = self.transaction(body);
        let set = self.set_synchronous("PRAGMA synchronous = NORMAL");
        result.and_then(|value| set.map(|()| value))
    }

    fn set_synchronous(&mut self, statement: &'static str) -> Result<(), StoreError> {
        let Self { path, runtime, conn, .. } = self;
        let set = runtime.block_on(conn.execute(statement));
        set.map(|_| ()).map_err(|error| StoreError::from_sqlx(path, error))
    }

    /// Does something with the connection outside of a transaction.
    pub fn outside<T>(
        &mut self,
        body: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let Self { path, runtime, conn, .. } = self;
        runtime.block_on(body(conn)).map_err(|error| StoreError::from_sqlx(path, error))
    }

    /// Copies the log into the store's file, and says whether all of it is there, on the disk: what is only in the
    /// log depends on the log. Somebody who reads, or copies just now, may be in the way.
    pub fn settle(&mut self) -> bool {
        self.written = 0;
        self.checkpoint(Copying::Opportune).is_some_and(|copied| copied.whole)
    }

    /// Runs one statement without parameters outside of a transaction.
    #[cfg(test)]
    pub fn execute(&mut self, statement: &'static str) -> Result<(), StoreError> {
        let Self { path, runtime, conn, .. } = self;
        runtime
            .block_on(conn.execute(statement))
            .map(|_| ())
            .map_err(|error| StoreError::from_sqlx(path, error))
    }

    fn maintain(&mut self) {
        if self.written <= CHECKPOINT_BYTES {
            return;
        }
        self.written = 0;
        let copied = self.checkpoint(Copying::Opportune);
        if copied.is_some_and(|copied| copied.log_pages > LONG_LOG_PAGES) {
            self.checkpoint(Copying::Insistent);
        }
    }

    /// A checkpoint that cannot be made now is made later; nothing is lost by that. A store that is gone is left to
    /// whoever has its name now.
    fn checkpoint(&mut self, how: Copying) -> Option<Copied> {
        if self.displaced.is_some() {
            return None;
        }
        let Self { runtime, conn, .. } = self;
        let copied = runtime.block_on(open::checkpoint(conn, how));
        copied.inspect_err(|error| tracing::debug!("no checkpoint of the store now: {error}")).ok()
    }

    fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            job(&mut self);
            // The caller has its answer by now: this is time between steps, not of a step.
            self.maintain();
        }
        self.checkpoint(Copying::Opportune);
        let Self { runtime, conn, displaced, .. } = self;
        if displaced.is_some() {
            // Closing would copy the log into whatever is there now.
            std::mem::forget(conn);
            return;
        }
        if let Err(error) = runtime.block_on(conn.close()) {
            tracing::debug!("closing the store: {error}");
        }
    }
}

impl Tx<'_> {
    /// Something that cannot be, were the store as this crate keeps it.
    pub fn internal(&self, detail: String) -> StoreError {
        StoreError::Internal { path: self.path.to_owned(), detail }
    }

    /// The store's file.
    pub fn path(&self) -> &Path {
        self.path
    }

    /// The connection that is inside of the transaction.
    pub fn connection(&mut self) -> &mut SqliteConnection {
        self.conn
    }

    /// Runs one statement and returns how many rows it changed.
    pub async fn execute<const N: usize>(
        &mut self,
        statement: &'static str,
        cells: [Cell; N],
    ) -> Result<u64, StoreError> {
        let arguments = arguments(cells)?;
        let done = sqlx::query_with(statement, arguments).execute(&mut *self.conn).await;
        done.map(|done| done.rows_affected())
            .map_err(|error| StoreError::from_sqlx(self.path, error))
    }

    /// Runs one insert and returns the id of the new row.
    pub async fn insert<const N: usize>(
        &mut self,
        statement: &'static str,
        cells: [Cell; N],
    ) -> Result<i64, StoreError> {
        let arguments = arguments(cells)?;
        let done = sqlx::query_with(statement, arguments).execute(&mut *self.conn).await;
        done.map(|done| done.last_insert_rowid())
            .map_err(|error| StoreError::from_sqlx(self.path, error))
    }

    /// Reads at most one row of typed columns.
    pub async fn fetch<const N: usize, T>(
        &mut self,
        statement: &'static str,
        cells: [Cell; N],
    ) -> Result<Option<T>, StoreError>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> + Send + Unpin,
    {
        let arguments = arguments(cells)?;
        sqlx::query_as_with(statement, arguments)
            .fetch_optional(&mut *self.conn)
            .await
            .map_err(|error| StoreError::from_sqlx(self.path, error))
    }

    /// Reads all rows of typed columns.
    pub async fn fetch_all<const N: usize, T>(
        &mut self,
        statement: &'static str,
        cells: [Cell; N],
    ) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> + Send + Unpin,
    {
        let arguments = arguments(cells)?;
        sqlx::query_as_with(statement, arguments)
            .fetch_all(&mut *self.conn)
            .await
            .map_err(|error| StoreError::from_sqlx(self.path, error))
    }

    /// Inserts rows, many per statement. Statement lengths are powers of two, so few are ever prepared.
    pub async fn insert_rows(&mut self, rows: Rows) -> Result<(), StoreError> {
        self.written += rows.cells.iter().map(Cell::bytes).sum::<usize>();
        let mut left = rows.len();
        let mut cells = rows.cells.into_iter();
        while left > 0 {
            let take = if left >= CHUNK_ROWS { CHUNK_ROWS } else { 1 << left.ilog2() };
            left -= take;
            let sql = self
                .inserts
                .entry((rows.head, take))
                .or_insert_with(|| insert_sql(rows.head, rows.columns, take).into())
                .clone();
            let arguments = arguments(cells.by_ref().take(take * rows.columns))?;
            sqlx::query_with(AssertSqlSafe(sql), arguments)
                .execute(&mut *self.conn)
                .await
                .map_err(|error| StoreError::from_sqlx(self.path, error))?;
        }
        Ok(())
    }
}

fn insert_sql(head: &str, columns: usize, rows: usize) -> String {
    let row = format!("({}?)", "?, ".repeat(columns - 1));
    let mut sql = String::with_capacity(head.len() + 8 + rows * (row.len() + 2));
    sql.push_str(head);
    sql.push_str(" VALUES ");
    for index in 0..rows {
        if index > 0 {
            sql.push_str(", ");
        }
        sql.push_str(&row);
    }
    sql
}

fn arguments(cells: impl IntoIterator<Item = Cell>) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    for cell in cells {
        let added = match cell {
            Cell::Null => arguments.add(None::<i64>),
            Cell::Int(value) => arguments.add(value),
            Cell::Real(value) => arguments.add(value),
            Cell::Text(value) => arguments.add(value),
            Cell::Blob(value) => arguments.add(value),
        };
        added.map_err(|error| StoreError::Internal {
            path: PathBuf::new(),
            detail: format!("a value cannot be bound: {error}"),
        })?;
    }
    Ok(arguments)
}

/// The caller's end of the writer. When the last one is dropped the log is emptied and the file closed.
pub(crate) struct WriterHandle {
    path: PathBuf,
    jobs: Option<mpsc::SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    upgraded: Option<Upgraded>,
}

impl WriterHandle {
    /// Opens the store for writing in a thread of its own.
    pub fn open(path: &Path, patience: Patience) -> Result<Self, StoreError> {
        let (jobs, inbox) = mpsc::sync_channel::<Job>(QUEUE);
        let (ready, opened) = mpsc::sync_channel::<Result<Option<Upgraded>, StoreError>>(1);
        let file = path.to_owned();
        let thread = thread::Builder::new()
            .name("r1x-store".into())
            .spawn(move || match Writer::open(file, patience) {
                Ok((writer, upgraded)) => {
                    if ready.send(Ok(upgraded)).is_ok() {
                        writer.run(&inbox);
                    }
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            })
            .map_err(|error| StoreError::Io { path: path.to_owned(), detail: error.to_string() })?;
        let (jobs, thread) = (Some(jobs), Some(thread));
        let mut handle = Self { path: path.to_owned(), jobs, thread, upgraded: None };
        handle.upgraded = opened.recv().unwrap_or_else(|_| Err(handle.gone()))?;
        Ok(handle)
    }

    /// What opening it did to a store of an earlier schema.
    pub fn upgraded(&self) -> Option<&Upgraded> {
        self.upgraded.as_ref()
    }

    /// Does a job in the writer's thread and waits for its result.
    pub fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.submit(job)?.wait()
    }

    /// Hands a job to the writer's thread; jobs are done in the order in which they were handed over.
    pub fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Pending<T>, StoreError> {
        let (answer, result) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |writer| {
            // A caller that no longer listens has been told of an error already.
            let _ = answer.send(job(writer));
        });
        let jobs = self.jobs.as_ref().ok_or_else(|| self.gone())?;
        jobs.send(job).map_err(|_| self.gone())?;
        Ok(Pending { result, path: self.path.clone() })
    }

    fn gone(&self) -> StoreError {
        gone(&self.path)
    }
}

fn gone(path: &Path) -> StoreError {
    StoreError::Internal { path: path.to_owned(), detail: "its thread has stopped".into() }
}

/// A job under way in the writer's thread.
pub(crate) struct Pending<T> {
    result: mpsc::Receiver<Result<T, StoreError>>,
    path: PathBuf,
}

impl<T> Pending<T> {
    /// Waits for its result.
    pub fn wait(self) -> Result<T, StoreError> {
        self.result.recv().unwrap_or_else(|_| Err(gone(&self.path)))
    }
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has been printed; there is nobody to hand it to.
            let _ = thread.join();
        }
    }
}

/// A runtime on the calling thread only.
pub(crate) fn runtime(path: &Path) -> Result<Runtime, StoreError> {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| StoreError::Io { path: path.to_owned(), detail: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserts_name_every_cell() {
        assert_eq!(
            insert_sql("INSERT INTO t (a, b)", 2, 2),
            "INSERT INTO t (a, b) VALUES (?, ?), (?, ?)"
        );
        assert_eq!(Rows::new("INSERT INTO t (a, b, c)").columns, 3);
    }
}
