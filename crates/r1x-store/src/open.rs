//! Opening a store: is it one, is its schema ours, and with which settings do we talk to it.
//!
//! A file is looked at read-only before anything is changed, so that a wrong path costs nobody a file. Must
//! not know runs or any table of the schema.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use std::{fs, thread};

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor};

use crate::error::{StoreError, primary_code};

/// The migrations of the workspace; each raises `user_version` to its own number.
static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// `r1x1` as a number: SQLite keeps it in the header of the file.
const APPLICATION_ID: i64 = 1_915_852_849;

/// Earlier versions can lose committed writes when two connections write and checkpoint at one instant.
const MIN_SQLITE: [u32; 3] = [3, 51, 3];

/// How long a writer waits for another one.
pub(crate) const BUSY_TIMEOUT_S: u64 = 5;

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

/// Opens the one writing connection, making or migrating the store as needed.
pub(crate) async fn open_writer(path: &Path) -> Result<SqliteConnection, StoreError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|error| from_io(path, &error))?;
    }
    probe_write(path)?;
    if fs::metadata(path).is_ok_and(|meta| meta.len() > 0) {
        let mut probe = connect(path, base_options(path)?.read_only(true)).await?;
        let header = read_header(path, &mut probe).await;
        let closed = probe.close().await.map_err(|error| StoreError::from_sqlx(path, error));
        let header = header?;
        closed?;
        check_header(path, &header, false)?;
    }
    let options = base_options(path)?
        .create_if_missing(true)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .synchronous(SqliteSynchronous::Normal)
        .pragma("wal_autocheckpoint", "0")
        .pragma("journal_size_limit", (128 << 20).to_string());
    let mut conn = connect(path, options).await?;
    check_sqlite(&mut conn, path).await?;
    migrate(path, &mut conn).await?;
    use_wal(path, &mut conn).await?;
    Ok(conn)
}

/// Opens a connection that cannot change the store. The writer may be at work.
pub(crate) async fn open_reader(path: &Path) -> Result<SqliteConnection, StoreError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        Err(error) => return Err(from_io(path, &error)),
        Ok(meta) if meta.is_dir() => {
            return Err(StoreError::NotAStore {
                path: path.to_owned(),
                detail: "it is a folder".into(),
            });
        }
        Ok(_) => {}
    }
    let options = base_options(path)?.read_only(true).pragma("query_only", "ON");
    let first = match connect(path, options.clone()).await {
        Ok(mut conn) => read_header(path, &mut conn).await.map(|header| (conn, header)),
        Err(error) => Err(error),
    };
    let (mut conn, header) = match first {
        Ok(opened) => opened,
        // WAL needs a file next to the store even for reading. In a folder that cannot be written, and
        // with no writer about (no log), the file does not change and can be read as it is.
        Err(error) if is_refused(&error) && !wal_path(path).exists() => {
            let mut conn = connect(path, options.immutable(true)).await?;
            let header = read_header(path, &mut conn).await?;
            (conn, header)
        }
        Err(error) => return Err(error),
    };
    check_header(path, &header, true)?;
    check_sqlite(&mut conn, path).await?;
    Ok(conn)
}

fn is_refused(error: &StoreError) -> bool {
    matches!(error, StoreError::Io { .. } | StoreError::ReadOnly { .. })
}

/// The write-ahead log next to a store.
pub(crate) fn wal_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
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
fn base_options(path: &Path) -> Result<SqliteConnectOptions, StoreError> {
    // An absolute path can never be read as a URI or as `:memory:`.
    let absolute = std::path::absolute(path).map_err(|error| from_io(path, &error))?;
    Ok(SqliteConnectOptions::new()
        .filename(absolute)
        .create_if_missing(false)
        .busy_timeout(Duration::from_secs(BUSY_TIMEOUT_S))
        .statement_cache_capacity(256)
        .thread_name(|id| format!("r1x-sqlite-{id}"))
        .disable_statement_logging())
}

async fn connect(
    path: &Path,
    options: SqliteConnectOptions,
) -> Result<SqliteConnection, StoreError> {
    options.connect().await.map_err(|error| StoreError::from_sqlx(path, error))
}

async fn read_header(path: &Path, conn: &mut SqliteConnection) -> Result<Header, StoreError> {
    let fail = |error| StoreError::from_sqlx(path, error);
    let application_id = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *conn).await;
    let schema = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *conn).await;
    let objects: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *conn)
        .await
        .map_err(fail)?;
    Ok(Header {
        application_id: application_id.map_err(fail)?,
        schema: schema.map_err(fail)?,
        empty: objects == 0,
    })
}

fn check_header(path: &Path, header: &Header, reading: bool) -> Result<(), StoreError> {
    let (path, known) = (path.to_owned(), known_schema());
    if header.application_id != APPLICATION_ID {
        let fresh = header.empty && header.application_id == 0;
        return match (fresh, reading) {
            (true, false) => Ok(()),
            (true, true) => Err(StoreError::NotAStore { path, detail: "it is empty".into() }),
            (false, _) => Err(StoreError::NotAStore {
                path,
                detail: "it is the database of another program".into(),
            }),
        };
    }
    if header.schema > known {
        return Err(StoreError::TooNew { path, found: header.schema, known });
    }
    if reading && header.schema < known {
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
async fn migrate(path: &Path, conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let fail = |error| StoreError::from_sqlx(path, error);
    let header = read_header(path, conn).await?;
    check_header(path, &header, false)?;
    if header.application_id == APPLICATION_ID && header.schema == known_schema() {
        return Ok(());
    }
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await.map_err(fail)?;
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

/// Switches to the write-ahead log. SQLite does not wait for other connections here, so we do.
async fn use_wal(path: &Path, conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut attempt = 0;
    loop {
        let mode: Result<String, _> =
            sqlx::query_scalar("PRAGMA journal_mode = WAL").fetch_one(&mut *conn).await;
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                let detail =
                    format!("its file system allows no write-ahead log (journal mode is {mode})");
                return Err(StoreError::Io { path: path.to_owned(), detail });
            }
            Err(error) if primary_code(&error) == Some(5) && attempt < BUSY_TIMEOUT_S * 20 => {
                attempt += 1;
                thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(StoreError::from_sqlx(path, error)),
        }
    }
}

/// Finds out early, and in words, whether the folder can be written: the log and its index are new files in
/// it. The store itself is never opened here: on Unix, closing any handle of a file gives up all locks the
/// process has on it, those of a SQLite connection included.
fn probe_write(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Err(StoreError::NotAStore {
            path: path.to_owned(),
            detail: "it is a folder".into(),
        });
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!("-probe-{}", uuid::Uuid::now_v7().simple()));
    let probe = PathBuf::from(name);
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

/// Copies the log into the file. `PASSIVE` never waits; `TRUNCATE` empties the log and is for the end.
pub(crate) async fn checkpoint(
    conn: &mut SqliteConnection,
    truncate: bool,
) -> Result<(), sqlx::Error> {
    let statement =
        if truncate { "PRAGMA wal_checkpoint(TRUNCATE)" } else { "PRAGMA wal_checkpoint(PASSIVE)" };
    conn.execute(statement).await.map(|_| ())
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
