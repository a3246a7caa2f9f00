//! The runs of another store, taken in.
//!
//! A run is known by its identity, so one that is here already is left alone, whatever it is called. All is taken in or
//! nothing. The other store is only read; one of an earlier schema is copied first, and the copy brought up to date.

use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Executor};
use uuid::Uuid;

use crate::about::plain_name;
use crate::digest;
use crate::error::StoreError;
use crate::open;
use crate::process_liveness::Process;
use crate::record::import::{Taken, import};
use crate::run_resume::mark_crashed;
use crate::sitting::now_ms;
use crate::store::Store;
use crate::text::{MaybeText, Text};
use crate::wait::Patience;
use crate::writer::{self, Tx, WriterHandle};

/// A run that was taken in.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ImportedRun {
    /// Name of the run here.
    pub run: String,
    /// Name of the run in the other store.
    pub name_there: String,
    /// Identity of the run.
    pub uid: String,
    /// sha256 over the facts of the run, computed again from the rows here; none where the run has none.
    pub digest: Option<String>,
}

/// A run that was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SkippedRun {
    /// Name of the run in the other store.
    pub run: String,
    /// Why.
    pub reason: &'static str,
}

/// What became of the runs of another store.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Merged {
    /// Runs that are here now.
    pub imported: Vec<ImportedRun>,
    /// Runs that were left alone.
    pub skipped: Vec<SkippedRun>,
}

/// A run of the other store.
struct Candidate {
    there: i64,
    uid: String,
    name: String,
    is_at_work: bool,
}

impl Store {
    /// Takes in every run of the store at `other` that this one lacks, all or none of them.
    ///
    /// # Errors
    /// When the other store cannot be read or is of a later schema, or a digest does not fit the facts that were taken in;
    /// then this one is as it was.
    pub fn merge(&self, other: &Path) -> Result<Merged, StoreError> {
        let same = |path: &Path| std::fs::canonicalize(path).ok();
        if same(other).is_some() && same(other) == same(self.path()) {
            return Err(refused(other, "it is this store", "name another file"));
        }
        let source = Source::of(other, self.path())?;
        let (attach, path) = (attach(&source.path)?, other.to_owned());
        self.writer()?.call(move |writer| {
            let attached =
                writer.outside(async |conn| conn.execute(AssertSqlSafe(attach)).await.map(|_| ()));
            attached
                .map_err(|error| refused(&path, &error.to_string(), "check that it can be read"))?;
            let merged = writer.lasting_transaction(async |tx| take_in(tx, &path).await);
            let detached =
                writer.outside(async |conn| conn.execute("DETACH other").await.map(|_| ()));
            writer.settle();
            // A connection that cannot let go of the other store is of no use for anything else.
            merged.and_then(|merged| detached.map(|()| merged))
        })
    }
}

fn refused(path: &Path, detail: &str, hint: &str) -> StoreError {
    StoreError::Import { path: path.to_owned(), detail: detail.to_owned(), hint: hint.to_owned() }
}

fn verify_hint(path: &Path) -> String {
    format!("`r1x store verify --store {}` says what is wrong with it", path.display())
}

/// The other store in the schema of this build: itself, or a copy of it in a folder that goes away.
struct Source {
    path: PathBuf,
    folder: Option<PathBuf>,
}

impl Source {
    fn of(other: &Path, here: &Path) -> Result<Self, StoreError> {
        let runtime = writer::runtime(other)?;
        let (conn, schema) = runtime.block_on(open::open_any_reader(other))?;
        if schema == open::known_schema() {
            drop(conn);
            return Ok(Self { path: other.to_owned(), folder: None });
        }
        let beside = here.parent().filter(|folder| !folder.as_os_str().is_empty());
        let name = format!(".r1x-merge-{}", Uuid::now_v7().simple());
        let folder = beside.unwrap_or(Path::new(".")).join(name);
        open::make_folder(&folder).map_err(|error| open::from_io(&folder, &error))?;
        let copied = Self { path: folder.join("copy.sqlite"), folder: Some(folder) };
        let target = std::path::absolute(&copied.path).map_err(|e| open::from_io(other, &e))?;
        let mut conn = conn;
        runtime
            .block_on(async {
                conn.execute("PRAGMA query_only = OFF").await?;
                let copy = sqlx::query("VACUUM INTO ?").bind(target.to_string_lossy().into_owned());
                copy.execute(&mut conn).await
            })
            .map_err(|error| StoreError::from_sqlx(&copied.path, error))?;
        drop(WriterHandle::open(&copied.path, Patience::SHORT)?);
        Ok(copied)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder
            && let Err(error) = std::fs::remove_dir_all(folder)
        {
            tracing::warn!("{}: {error}", folder.display());
        }
    }
}

/// The statement that attaches a store to be read. Its path is written as SQLite reads one in a URI.
fn attach(path: &Path) -> Result<String, StoreError> {
    let absolute = std::path::absolute(path).map_err(|error| open::from_io(path, &error))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte);
    let text = absolute.to_string_lossy();
    let write = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    let uri: String = text.bytes().map(write).collect();
    Ok(format!("ATTACH 'file:{uri}?mode=ro' AS other"))
}

async fn take_in(tx: &mut Tx<'_>, path: &Path) -> Result<Merged, StoreError> {
    let mut merged = Merged::default();
    let mut taken = Vec::new();
    for candidate in candidates(tx).await? {
        let Candidate { there, uid, name, is_at_work } = candidate;
        let here: Option<(Text,)> =
            tx.fetch("SELECT name FROM main.run WHERE uid = ?", [(&uid).into()]).await?;
        let reason = match (here, is_at_work) {
            (Some(_), _) => Some("it is here already"),
            (None, true) => Some("a program is at work on it"),
            (None, false) => None,
        };
        if let Some(reason) = reason {
            merged.skipped.push(SkippedRun { run: name, reason });
            continue;
        }
        // Names become folders, and identities become ends of names: neither may be any text of somebody else.
        if Uuid::try_parse(&uid).is_err() {
            let detail = format!("run {name} has no identity");
            return Err(refused(path, &detail, "take its store from where it was made"));
        }
        let known = merged.imported.iter().map(|run| run.run.as_str()).collect::<Vec<_>>();
        let free = free_name(tx, &name, &uid, &known).await?;
        taken.push(Taken { there, name: free.clone() });
        merged.imported.push(ImportedRun { run: free, name_there: name, uid, digest: None });
    }
    if taken.is_empty() {
        return Ok(merged);
    }
    let numbers = import(tx, &taken).await.map_err(|error| match error {
        StoreError::Internal { detail, .. } => refused(path, &detail, &verify_hint(path)),
        other => other,
    })?;
    // Nobody is at work on a run that was said to be running: its program died, here or elsewhere.
    mark_crashed(tx).await?;
    for (run, here) in merged.imported.iter_mut().zip(numbers) {
        run.digest = compared(tx, path, &run.name_there, here).await?;
    }
    Ok(merged)
}

/// The digest of a run that was taken in.
async fn compared(
    tx: &mut Tx<'_>,
    path: &Path,
    name: &str,
    here: i64,
) -> Result<Option<String>, StoreError> {
    let row: Option<(MaybeText,)> =
        tx.fetch("SELECT digest FROM main.run WHERE run_id = ?", [here.into()]).await?;
    let Some(recorded) = row.and_then(|(MaybeText(digest),)| digest) else { return Ok(None) };
    let computed = digest::run(tx, here).await?;
    if computed == recorded {
        return Ok(Some(recorded));
    }
    let detail =
        format!("the facts of run {name} give the digest {computed}, and {recorded} is recorded");
    Err(refused(path, &detail, &verify_hint(path)))
}

/// The runs of the other store, in the order in which they were begun there.
async fn candidates(tx: &mut Tx<'_>) -> Result<Vec<Candidate>, StoreError> {
    type Row = (i64, Text, Text, Text, MaybeText, Option<i64>, Option<i64>, MaybeText, i64);
    let rows: Vec<Row> = tx
        .fetch_all(
            "SELECT run_id, uid, name, status, machine, pid, pid_start, boot_id, heartbeat_ms FROM other.run
              ORDER BY run_id",
            [],
        )
        .await?;
    let candidate = |(
        there,
        Text(uid),
        Text(name),
        Text(status),
        machine,
        pid,
        pid_start,
        boot_id,
        heartbeat_ms,
    ): Row| {
        let process = Process {
            machine: machine.into(),
            pid: pid.unwrap_or(0),
            pid_start,
            boot_id: boot_id.into(),
        };
        let is_at_work = status == "running" && process.is_alive(heartbeat_ms, now_ms());
        Candidate { there, uid, name, is_at_work }
    };
    Ok(rows.into_iter().map(candidate).collect())
}

/// The name of a run here: its own, or with the end of its identity where another run has that.
async fn free_name(
    tx: &mut Tx<'_>,
    name: &str,
    uid: &str,
    known: &[&str],
) -> Result<String, StoreError> {
    let name = plain_name(name);
    let ends = (4..=uid.len()).filter_map(|length| uid.get(uid.len() - length..));
    let longer = ends.map(|end| format!("{name}-{}", end.trim_start_matches('-')));
    for candidate in std::iter::once(name.clone()).chain(longer) {
        let taken: Option<(i64,)> =
            tx.fetch("SELECT run_id FROM main.run WHERE name = ?", [(&candidate).into()]).await?;
        if taken.is_none() && !known.contains(&candidate.as_str()) {
            return Ok(candidate);
        }
    }
    Err(tx.internal(format!("there is no free name for run {name}")))
}
