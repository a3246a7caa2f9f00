//! Opening a store: is it one, is its schema ours, and with which settings do we talk to it.
//!
//! A file is looked at read-only before anything is changed, so that a wrong path costs nobody a file.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor};

use crate::error::{StoreError, primary_code};
use crate::guard::beside;
use crate::wait::{ATTEMPT, Patience, Waiting, patiently};

/// The migrations of the workspace; each raises `user_version` to its own number.
static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// `r1x1` as a number: SQLite keeps it in the header of the file.
const APPLICATION_ID: i64 = 1_915_852_849;

/// Earlier versions can lose committed writes when two connections write and checkpoint at one instant.
const MIN_SQLITE: [u32; 3] = [3, 51, 3];

/// The newest schema this build knows.
pub fn known_schema() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// What the header of a file says.
struct Header {
    application_id: i64,
    schema: i64,
    empty: bool,
}

/// What bringing a store up to date did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgraded {
    /// The schema that it had.
    pub from: i64,
    /// The schema that it has now.
    pub to: i64,
    /// A copy of the store as it was.
    pub backup: PathBuf,
}

/// The one writing connection, and what had to be done to the store for it.
pub(crate) struct Opened {
    pub conn: SqliteConnection,
    pub upgraded: Option<Upgraded>,
}

/// Opens the one writing connection, making or migrating the store as needed.
pub(crate) async fn open_writer(path: &Path, patience: Patience) -> Result<Opened, StoreError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_folder(folder).map_err(|error| from_io(path, &error))?;
    }
    refuse_irregular(path)?;
    probe_write(path)?;
    if fs::metadata(path).is_ok_and(|meta| meta.len() > 0) {
        let (probe, header) = look(path, patience).await?;
        let closed = probe.close().await.map_err(|error| StoreError::from_sqlx(path, error));
        check_header(path, &header, Purpose::Write)?;
        closed?;
    }
    let options = base_options(path, patience)?
        .create_if_missing(true)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .synchronous(SqliteSynchronous::Normal)
        .pragma("wal_autocheckpoint", "0")
        .pragma("journal_size_limit", (128 << 20).to_string());
    let mut conn = connect(path, &options, patience).await?;
    check_sqlite(&mut conn, path).await?;
    // Another program may have had the path since it was looked at.
    let header = read_header(path, &mut conn, patience).await?;
    check_header(path, &header, Purpose::Write)?;
    // The log comes first: whoever is stopped inside a migration leaves nothing in the store's own file, and
    // nothing that has to be undone before it can be read.
    use_wal(path, &mut conn, patience).await?;
    let is_old = header.application_id == APPLICATION_ID && header.schema < known_schema();
    let backup = if is_old { back_up(path, &mut conn, header.schema).await? } else { None };
    migrate(path, &mut conn, patience).await?;
    let upgraded =
        backup.map(|backup| Upgraded { from: header.schema, to: known_schema(), backup });
    Ok(Opened { conn, upgraded })
}

/// Copies a store of an earlier schema, as it is at one moment, to a file beside it, and returns the file's path. A
/// copy of an earlier try is replaced: nothing was upgraded after it. `None` when another program has brought the store
/// up to date in the meantime, and has made a copy before that.
async fn back_up(
    path: &Path,
    conn: &mut SqliteConnection,
    schema: i64,
) -> Result<Option<PathBuf>, StoreError> {
    let backup = beside(path, &format!(".schema-{schema}"));
    // Nobody else writes to this name, in this process or in another one.
    let (process, thread) = (std::process::id(), std::thread::current().id());
    let partial = beside(path, &format!(".schema-{schema}.partial-{process}-{thread:?}"));
    let failed = |detail: String| StoreError::Backup { path: path.to_owned(), detail };
    let told = |error: std::io::Error| failed(format!("{}: {error}", partial.display()));
    let copied = sqlx::query("VACUUM INTO ?").bind(partial.display().to_string());
    let result = match copied.execute(&mut *conn).await {
        Ok(_) => keep(&partial, &backup, schema).map_err(told),
        Err(error) => Err(failed(error.to_string())),
    };
    if !matches!(result, Ok(true)) {
        // Half a copy helps nobody and takes space; the first error is what counts.
        let _ = fs::remove_file(&partial);
    }
    result.map(|kept| kept.then_some(backup))
}

/// Gives a whole copy its name, and says whether it was one of this schema.
fn keep(partial: &Path, backup: &Path, schema: i64) -> std::io::Result<bool> {
    let mut file = fs::File::open(partial)?;
    // SQLite keeps `user_version` in the bytes from 60 on (the format of its files, section 1.3).
    let mut header = [0; 64];
    file.read_exact(&mut header)?;
    let [.., a, b, c, d] = header;
    if i64::from(u32::from_be_bytes([a, b, c, d])) != schema {
        return Ok(false);
    }
    file.sync_all()?;
    fs::rename(partial, backup)?;
    sync_entry(backup)?;
    Ok(true)
}

/// Opens a connection that cannot change the store. The writer may be at work.
pub(crate) async fn open_reader(path: &Path) -> Result<SqliteConnection, StoreError> {
    refuse_missing(path)?;
    let (mut conn, header) = look(path, Patience::SHORT).await?;
    check_header(path, &header, Purpose::Read)?;
    check_sqlite(&mut conn, path).await?;
    Ok(conn)
}

/// Opens a connection that cannot change the store, of whatever schema up to the newest one that is known, and says its
/// schema.
pub(crate) async fn open_any_reader(path: &Path) -> Result<(SqliteConnection, i64), StoreError> {
    refuse_missing(path)?;
    let (conn, header) = look(path, Patience::SHORT).await?;
    match check_header(path, &header, Purpose::Read) {
        Err(StoreError::TooOld { .. }) | Ok(()) => Ok((conn, header.schema)),
        Err(error) => Err(error),
    }
}

/// Refuses what is not there, and what is no file.
fn refuse_missing(path: &Path) -> Result<(), StoreError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(StoreError::Missing { path: path.to_owned() })
        }
        Err(error) => Err(from_io(path, &error)),
        Ok(_) => refuse_irregular(path),
    }
}

/// Opens the file read-only and reads its header.
async fn look(path: &Path, patience: Patience) -> Result<(SqliteConnection, Header), StoreError> {
    let options = base_options(path, patience)?.read_only(true).pragma("query_only", "ON");
    let error = match open_and_read(path, &options, patience).await {
        Ok(opened) => return Ok(opened),
        Err(error) => error,
    };
    if !is_refused(&error) {
        return Err(error);
    }
    if beside(path, "-journal").exists() {
        // A program was stopped in the middle of a change, which SQLite undoes as soon as somebody who may write
        // opens the file. That is so for the databases of other programs too: it is how they open them.
        undo(path, patience).await?;
        return open_and_read(path, &options, patience).await;
    }
    // WAL needs a file next to the store even for reading. In a folder that cannot be written, and with no writer
    // about (no log), the file does not change and can be read as it is.
    if wal_path(path).exists() {
        return Err(error);
    }
    open_and_read(path, &options.immutable(true), patience).await
}

async fn open_and_read(
    path: &Path,
    options: &SqliteConnectOptions,
    patience: Patience,
) -> Result<(SqliteConnection, Header), StoreError> {
    let mut conn = connect(path, options, patience).await?;
    let header = read_header(path, &mut conn, patience).await?;
    Ok((conn, header))
}

/// Undoes the change in whose middle a program was stopped.
async fn undo(path: &Path, patience: Patience) -> Result<(), StoreError> {
    let told = |error: StoreError| match error {
        StoreError::ReadOnly { path, detail } => StoreError::ReadOnly {
            path,
            detail: format!(
                "a program was stopped in the middle of a change, and undoing that is refused ({detail})"
            ),
        },
        other => other,
    };
    let options = base_options(path, patience)?;
    let (conn, _) = open_and_read(path, &options, patience).await.map_err(told)?;
    conn.close().await.map_err(|error| StoreError::from_sqlx(path, error))
}

fn is_refused(error: &StoreError) -> bool {
    matches!(error, StoreError::Io { .. } | StoreError::ReadOnly { .. })
}

/// The write-ahead log next to a store.
pub(crate) fn wal_path(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// Refuses what is no file with a beginning and an end: opening a pipe waits for somebody who may never come.
fn refuse_irregular(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-journal", "-wal", "-shm"] {
        let file = beside(path, suffix);
        let Ok(meta) = fs::metadata(&file) else { continue };
        if meta.is_file() {
            continue;
        }
        let kind = if meta.is_dir() { "a folder" } else { "a pipe, a socket or a device" };
        let detail = match suffix {
            "" => format!("it is {kind}"),
            _ => format!("{} is {kind}", file.display()),
        };
        return Err(StoreError::NotAStore { path: path.to_owned(), detail });
    }
    Ok(())
}

/// Makes a folder and those above it, so that a power cut leaves them there.
pub(crate) fn make_folder(folder: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> = folder
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .collect();
    fs::create_dir_all(folder)?;
    missing.iter().try_for_each(|made| sync_entry(made))
}

/// Makes the name of a file or folder outlast a power cut.
pub(crate) fn sync_entry(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    // Folders cannot be opened everywhere; where they cannot, names are safe by themselves.
    if cfg!(unix) { fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}

/// The kind of network file system a path lies on, when it does; WAL is not safe there.
pub(crate) fn network_filesystem(path: &Path) -> Option<String> {
    const NETWORK: [&str; 12] = [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "fuse.sshfs",
        "9p",
        "lustre",
        "ceph",
        "glusterfs",
        "fuse.glusterfs",
        "afs",
    ];
    let folder = path.parent()?;
    let folder =
        fs::canonicalize(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
            .ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let kind = mount_kind(&mounts, &folder)?;
    NETWORK.contains(&kind.as_str()).then_some(kind)
}

/// The type of the file system with the longest mount point above `folder`; later mounts cover earlier ones.
fn mount_kind(mounts: &str, folder: &Path) -> Option<String> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(_), Some(point), Some(kind)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let point = point.replace("\\040", " ");
        let depth = Path::new(&point).components().count();
        if folder.starts_with(&point) && best.is_none_or(|(most, _)| depth >= most) {
            best = Some((depth, kind));
        }
    }
    best.map(|(_, kind)| kind.to_owned())
}

/// Settings of every connection: foreign keys (on by default in sqlx), a patience, no logging of statements.
pub(crate) fn base_options(
    path: &Path,
    patience: Patience,
) -> Result<SqliteConnectOptions, StoreError> {
    // An absolute path can never be read as a URI or as `:memory:`.
    let absolute = std::path::absolute(path).map_err(|error| from_io(path, &error))?;
    Ok(SqliteConnectOptions::new()
        .filename(absolute)
        .create_if_missing(false)
        .busy_timeout(patience.attempt())
        .statement_cache_capacity(256)
        .thread_name(|id| format!("r1x-sqlite-{id}"))
        .disable_statement_logging())
}

/// Opens a connection, waiting for others as long as patience lasts.
pub(crate) async fn connect(
    path: &Path,
    options: &SqliteConnectOptions,
    patience: Patience,
) -> Result<SqliteConnection, StoreError> {
    patiently(path, patience, async || options.connect().await).await
}

/// Reads the header at one moment: another program that is making the store has done all of it or nothing.
async fn read_header(
    path: &Path,
    conn: &mut SqliteConnection,
    patience: Patience,
) -> Result<Header, StoreError> {
    patiently(path, patience, async || {
        let mut moment = conn.begin().await?;
        let application_id =
            sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *moment).await?;
        let schema = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *moment).await?;
        let objects: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
            .fetch_one(&mut *moment)
            .await?;
        moment.rollback().await?;
        Ok(Header { application_id, schema, empty: objects == 0 })
    })
    .await
}

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Read,
    Write,
}

fn check_header(path: &Path, header: &Header, purpose: Purpose) -> Result<(), StoreError> {
    let (path, known) = (path.to_owned(), known_schema());
    if header.application_id != APPLICATION_ID {
        let fresh = header.empty && header.application_id == 0;
        return match (fresh, purpose) {
            (true, Purpose::Write) => Ok(()),
            (true, Purpose::Read) => Err(StoreError::Empty { path }),
            (false, _) => Err(StoreError::NotAStore {
                path,
                detail: "it is the database of another program".into(),
            }),
        };
    }
    if header.schema > known {
        return Err(StoreError::TooNew { path, found: header.schema, known });
    }
    if purpose == Purpose::Read && header.schema < known {
        return Err(StoreError::TooOld { path, found: header.schema, known });
    }
    Ok(())
}

async fn check_sqlite(conn: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let found: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(conn)
        .await
        .map_err(|error| StoreError::from_sqlx(path, error))?;
    if sqlite_is_safe(&found) { Ok(()) } else { Err(StoreError::OldSqlite { found }) }
}

fn sqlite_is_safe(version: &str) -> bool {
    let mut parts = version.split('.').map(u32::from_str);
    let mut number = [0_u32; 3];
    for slot in &mut number {
        let Some(Ok(part)) = parts.next() else {
            return false;
        };
        *slot = part;
    }
    number >= MIN_SQLITE
}

/// Applies missing migrations, all in one transaction that holds the write lock: two programs that make a
/// store at the same time do it one after the other, and a failure leaves the file as it was.
async fn migrate(
    path: &Path,
    conn: &mut SqliteConnection,
    patience: Patience,
) -> Result<(), StoreError> {
    let fail = |error| StoreError::from_sqlx(path, error);
    let mut waiting = Waiting::new(path, patience);
    let mut transaction = loop {
        match conn.begin_with("BEGIN IMMEDIATE").await {
            Ok(transaction) => break transaction,
            Err(error) if waiting.again(&error) => {}
            Err(error) => return Err(waiting.failed(error)),
        }
    };
    waiting.over();
    // Only now nobody else can change it.
    let header = read_header(path, &mut transaction, patience).await?;
    check_header(path, &header, Purpose::Write)?;
    if header.application_id == APPLICATION_ID && header.schema == known_schema() {
        return Ok(());
    }
    MIGRATIONS.run(&mut *transaction).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(inner)
        | sqlx::migrate::MigrateError::ExecuteMigration(inner, _)
            if primary_code(&inner).is_some_and(|code| code != 1) =>
        {
            fail(inner)
        }
        other => StoreError::Migration {
            path: path.to_owned(),
            known: known_schema(),
            detail: other.to_string(),
        },
    })?;
    transaction.commit().await.map_err(fail)
}

/// Switches to the write-ahead log, which SQLite does only while nobody else has the file open.
async fn use_wal(
    path: &Path,
    conn: &mut SqliteConnection,
    patience: Patience,
) -> Result<(), StoreError> {
    let mode: String = patiently(path, patience, async || {
        sqlx::query_scalar("PRAGMA journal_mode = WAL").fetch_one(&mut *conn).await
    })
    .await?;
    if mode == "wal" {
        return Ok(());
    }
    let detail = format!("its file system allows no write-ahead log (journal mode is {mode})");
    Err(StoreError::Io { path: path.to_owned(), detail })
}

/// Finds out early, and in words, whether the folder can be written: the log and its index are new files in
/// it. The store itself is never opened here: on Unix, closing any handle of a file gives up all locks the
/// process has on it, those of a SQLite connection included.
fn probe_write(path: &Path) -> Result<(), StoreError> {
    let probe = beside(path, &format!("-probe-{}", uuid::Uuid::now_v7().simple()));
    fs::write(&probe, b"").map_err(|error| from_io(path, &error))?;
    fs::remove_file(&probe).map_err(|error| from_io(path, &error))
}

pub(crate) fn from_io(path: &Path, error: &std::io::Error) -> StoreError {
    use std::io::ErrorKind;
    let path = path.to_owned();
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly { path, detail: error.to_string() }
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full { path },
        _ => StoreError::Io { path, detail: error.to_string() },
    }
}

/// How much it matters that the log is copied into the file now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copying {
    /// Nobody is waited for, so that nobody waits: as much is copied as is possible.
    Opportune,
    /// Readers are waited for a moment.
    Insistent,
}

impl Copying {
    /// The statement that says how long readers are waited for.
    fn patience(self) -> &'static str {
        match self {
            Copying::Opportune => "PRAGMA busy_timeout = 0",
            Copying::Insistent => "PRAGMA busy_timeout = 100",
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Length of the log, pages.
    pub log_pages: i64,
    /// Whether the file holds all of it.
    pub whole: bool,
}

/// Copies the log into the file and empties it, as far as others let it. It is emptied because a file that has what the
/// log has does not fit a log that has lost its end.
pub(crate) async fn checkpoint(
    conn: &mut SqliteConnection,
    how: Copying,
) -> Result<Copied, sqlx::Error> {
    conn.execute(how.patience()).await?;
    let copied: Result<(i64, i64, i64), sqlx::Error> =
        sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *conn).await;
    let attempt_ms = ATTEMPT.as_millis();
    conn.execute(sqlx::AssertSqlSafe(format!("PRAGMA busy_timeout = {attempt_ms}"))).await?;
    let (_, log_pages, copied) = copied?;
    Ok(Copied { log_pages, whole: log_pages >= 0 && copied == log_pages })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(sqlite_is_safe("3.51.3"));
        assert!(sqlite_is_safe("3.100.0"));
        assert!(!sqlite_is_safe("3.51.2"));
        assert!(!sqlite_is_safe("3.9.9"));
        assert!(!sqlite_is_safe("new"));
    }

    #[test]
    fn the_longest_mount_point_decides() {
        let mounts =
            "/dev/a / ext4 rw 0 0\nsrv:/h /home nfs4 rw 0 0\nx /home/my\\040own 9p rw 0 0\n";
        let kind = |path: &str| mount_kind(mounts, Path::new(path)).unwrap();
        assert_eq!(kind("/var/x"), "ext4");
        assert_eq!(kind("/home/ann/x"), "nfs4");
        assert_eq!(kind("/home/my own/x"), "9p");
        assert_eq!(kind("/homes"), "ext4");
    }
}
