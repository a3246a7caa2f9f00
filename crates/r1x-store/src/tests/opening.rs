//! Programs that were stopped while they made or changed a store, and programs that make one at the same time: who
//! comes afterwards finds a store, or makes it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use super::errors::change;
use super::fixtures::*;
use super::sittings::{TO_SCHEMA_3, WITHOUT_SCHEMA_8, words};
use crate::{Mode, RunStatus, Store, StoreError, known_schema};

/// The migrations, as the store has them.
static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// The files of a store.
const FILES: [&str; 3] = ["", "-journal", "-wal"];

/// Where a program is stopped.
#[derive(Clone, Copy, Debug)]
enum Stop {
    /// After this migration, before the transaction ends.
    After(i64),
    /// Before the transaction ends, with everything in it.
    BeforeCommit,
}

/// A copy of the files of a store as a program leaves them that is killed inside of its migrations. `mode` is the
/// journal's; so little memory is allowed that pages reach the files at once.
fn killed_in_migrations(store: &Path, mode: &str, stop: Stop) -> Place {
    let left = Place::new();
    crate::writer::runtime(store).unwrap().block_on(async {
        let options = SqliteConnectOptions::new().filename(store).create_if_missing(true);
        let mut conn = options.connect().await.unwrap();
        let set = format!("PRAGMA cache_size = 1; PRAGMA journal_mode = {mode}");
        conn.execute(AssertSqlSafe(set)).await.unwrap();
        migrate_halfway(&mut conn, stop).await;
        for file in FILES {
            let from = crate::guard::beside(store, file);
            if from.exists() {
                std::fs::copy(from, crate::guard::beside(&left.path(), file)).unwrap();
            }
        }
        conn.execute("ROLLBACK").await.unwrap();
        conn.close().await.unwrap();
    });
    left
}

/// Leaves the connection inside of the transaction.
async fn migrate_halfway(conn: &mut SqliteConnection, stop: Stop) {
    conn.execute("BEGIN IMMEDIATE").await.unwrap();
    let schema: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *conn).await.unwrap();
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > schema) {
        conn.execute(AssertSqlSafe(migration.sql.as_str().to_owned())).await.unwrap();
        if matches!(stop, Stop::After(version) if version == migration.version) {
            return;
        }
    }
}

fn has(place: &Place, file: &str) -> bool {
    let path = crate::guard::beside(&place.path(), file);
    std::fs::metadata(path).is_ok_and(|meta| meta.len() > 0)
}

#[test]
fn a_store_whose_maker_was_killed_is_made_by_the_next() {
    for mode in ["DELETE", "WAL"] {
        for stop in [Stop::After(1), Stop::After(3), Stop::BeforeCommit] {
            let maker = Place::new();
            let left = killed_in_migrations(&maker.path(), mode, stop);
            let journal = if mode == "DELETE" { "-journal" } else { "-wal" };
            assert!(has(&left, "") && has(&left, journal), "{mode} {stop:?}: nothing was written");
            let error = Store::open(&left.path(), Mode::Read).err().unwrap();
            assert!(matches!(error, StoreError::Empty { .. }), "{mode} {stop:?}: {error:?}");
            // Whoever comes first: a reader has, this time.
            let again = killed_in_migrations(&maker.path(), mode, stop);
            for left in [left, again] {
                let mut run = run_of_steps(&left.write(), 2);
                run.finish(RunStatus::Done, 0, None, None).unwrap();
                drop(run);
                assert_whole(&left.path());
                assert_eq!(number(&left.read(), "PRAGMA user_version"), known_schema());
            }
        }
    }
}

#[test]
fn a_store_in_whose_upgrade_somebody_was_killed_is_upgraded_by_the_next() {
    let old = Place::new();
    let mut run = run_of_steps(&old.write(), 3);
    run.finish(RunStatus::Done, 0, None, None).unwrap();
    drop(run);
    WITHOUT_SCHEMA_8.into_iter().chain(TO_SCHEMA_3).chain(["PRAGMA user_version = 3"]).for_each(
        |statement| {
            change(&old, statement);
        },
    );
    for mode in ["DELETE", "WAL"] {
        for stop in (4..=known_schema()).map(Stop::After).chain([Stop::BeforeCommit]) {
            let left = killed_in_migrations(&old.path(), mode, stop);
            let error = Store::open(&left.path(), Mode::Read).err().unwrap();
            let what = format!("{mode} {stop:?}: {error:?}");
            assert!(matches!(error, StoreError::TooOld { found: 3, .. }), "{what}");
            let left = killed_in_migrations(&old.path(), mode, stop);
            let upgraded = Store::upgrade(&left.path()).unwrap().unwrap();
            assert_eq!((upgraded.from, upgraded.to), (3, known_schema()), "{what}");
            assert_whole(&left.path());
            let error = Store::open(&upgraded.backup, Mode::Read).err().unwrap();
            assert!(matches!(error, StoreError::TooOld { found: 3, .. }), "the copy is as it was");
            Store::upgrade(&upgraded.backup).unwrap();
            assert_whole(&upgraded.backup);
            let store = left.read();
            assert_eq!(store.run("latest").unwrap().steps, 3);
            assert_eq!(number(&store, "PRAGMA user_version"), known_schema());
        }
    }
}

/// A copy is made first, and without it nothing is changed.
#[test]
fn a_store_that_cannot_be_copied_is_left_as_it_is() {
    let old = Place::new();
    drop(run_of_steps(&old.write(), 3));
    WITHOUT_SCHEMA_8.into_iter().for_each(|statement| change(&old, statement));
    change(&old, "DELETE FROM _sqlx_migrations WHERE version > 6");
    change(&old, "PRAGMA user_version = 6");
    // The name that the copy would have is taken by a folder with something in it.
    let taken = crate::guard::beside(&old.path(), ".schema-6");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("mine"), "mine").unwrap();
    let error = Store::open(&old.path(), Mode::Write).err().unwrap();
    assert!(matches!(error, StoreError::Backup { .. }), "{error:?}");
    let error = Store::open(&old.path(), Mode::Read).err().unwrap();
    assert!(matches!(error, StoreError::TooOld { found: 6, .. }), "{error:?}");
    assert_eq!(std::fs::read_dir(old.folder.path()).unwrap().filter(is_partial).count(), 0);
    std::fs::remove_dir_all(&taken).unwrap();
    let store = Store::open(&old.path(), Mode::Write).unwrap();
    let upgraded = store.upgraded().unwrap();
    assert_eq!((upgraded.from, &upgraded.backup), (6, &taken));
    assert!(Store::open(&old.path(), Mode::Write).unwrap().upgraded().is_none(), "only once");
}

fn is_partial(entry: &std::io::Result<std::fs::DirEntry>) -> bool {
    entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().contains(".partial"))
}

/// A new kind of stage, status or checkpoint must not be a new schema; what cannot grow is still checked.
#[test]
fn no_table_lists_the_words_that_it_may_hold() {
    let place = Place::new();
    drop(place.write());
    let listed = words(
        &place.read(),
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%IN (''%' ORDER BY name",
    );
    assert_eq!(listed, [r#"["metric"]"#], "numbers that are not finite are these three");
    let open =
        "INSERT INTO stage (run_id, idx, name, kind, status, attempt, start_step, started_ms)
                VALUES (1, 7, 'chosen', 'reject', 'paused', 1, 0, 0)";
    let run = run_of_steps(&place.write(), 1);
    drop(run);
    change(&place, open);
    let checked = "SELECT count(*) FROM sqlite_schema WHERE sql LIKE '%IN (0, 1)%' OR sql LIKE '%json_valid%'";
    assert_eq!(number(&place.read(), checked), 13, "tables with flags or JSON");
}

/// The database of somebody else is recovered as its own program would do it, and left alone otherwise.
#[test]
fn a_database_of_another_program_is_refused_in_the_middle_of_a_change_too() {
    let (other, left) = (Place::new(), Place::new());
    crate::writer::runtime(&other.path()).unwrap().block_on(async {
        let url = format!("sqlite://{}?mode=rwc", other.path().display());
        let mut conn = SqliteConnectOptions::from_str(&url).unwrap().connect().await.unwrap();
        conn.execute("CREATE TABLE t (x); INSERT INTO t VALUES (1)").await.unwrap();
        conn.execute("PRAGMA cache_size = 1; BEGIN IMMEDIATE").await.unwrap();
        for _ in 0..40 {
            conn.execute("INSERT INTO t VALUES (randomblob(4000))").await.unwrap();
        }
        for file in FILES.iter().take(2) {
            let copy = crate::guard::beside(&left.path(), file);
            std::fs::copy(crate::guard::beside(&other.path(), file), copy).unwrap();
        }
        conn.execute("ROLLBACK").await.unwrap();
        conn.close().await.unwrap();
    });
    let before = std::fs::read(other.path()).unwrap();
    for mode in [Mode::Read, Mode::Write] {
        let error = Store::open(&left.path(), mode).err().unwrap();
        assert!(error.to_string().contains("another program"), "{error:?}");
        assert_eq!(std::fs::read(left.path()).unwrap(), before, "as its last transaction left it");
    }
}

#[test]
fn programs_that_make_a_store_at_the_same_time_find_it_made_once() {
    for _ in 0..20 {
        let place = Place::new();
        let path = place.path();
        std::thread::scope(|scope| {
            let openers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| Store::open(&path, Mode::Write))).collect();
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| (0..50).map(|_| Store::open(&path, Mode::Read).err()).collect())
                })
                .collect();
            for opener in openers {
                opener.join().unwrap().unwrap();
            }
            for reader in readers {
                let errors: Vec<Option<StoreError>> = reader.join().unwrap();
                for error in errors.into_iter().flatten() {
                    let early =
                        matches!(error, StoreError::Missing { .. } | StoreError::Empty { .. });
                    assert!(early, "{error:?}");
                }
            }
        });
        assert_eq!(number(&place.read(), "PRAGMA user_version"), known_schema());
        assert_eq!(number(&place.read(), "SELECT auto_vacuum FROM pragma_auto_vacuum"), 2);
    }
}

#[test]
#[cfg(unix)]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let pipe = |path: PathBuf| {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let place = Place::new();
    pipe(place.path());
    for mode in [Mode::Read, Mode::Write] {
        let error = Store::open(&place.path(), mode).err().unwrap();
        assert!(error.to_string().contains("it is a pipe, a socket or a device"), "{error}");
    }
    for suffix in ["-wal", "-journal", "-shm"] {
        let place = Place::new();
        drop(run_of_steps(&place.write(), 1));
        pipe(crate::guard::beside(&place.path(), suffix));
        for mode in [Mode::Read, Mode::Write] {
            let error = Store::open(&place.path(), mode).err().unwrap();
            assert!(error.to_string().contains(&format!("r1x.db{suffix} is a pipe")), "{error}");
        }
    }
}
