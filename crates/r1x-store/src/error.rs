//! What can go wrong with a store, said to the person who has to mend it.

use std::path::{Path, PathBuf};

use r1x_core::{Boundary, PortError};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no file to read.
    #[error("there is no store at {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is a file, and nothing in it: a store that nobody has written to yet.
    #[error("there is no store at {} yet: it is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{} is not an r1x store: {detail}", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        detail: String,
    },
    /// A newer r1x has changed the schema.
    #[error("{}: store written by a newer r1x (schema {found}, this one knows {known})", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema of this build.
        known: i64,
    },
    /// The file predates this build and was opened for reading only.
    #[error("{}: store has schema {found}, this r1x reads schema {known}", path.display())]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The schema of this build.
        known: i64,
    },
    /// A store of an earlier schema could not be copied before it is brought up to date.
    #[error("{}: the store is of an earlier r1x, and cannot be copied before it is brought up to date: {detail}", path.display())]
    Backup {
        /// The file.
        path: PathBuf,
        /// What failed.
        detail: String,
    },
    /// The schema could not be brought up to date.
    #[error("{}: cannot bring the store to schema {known}: {detail}", path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// The newest schema of this build.
        known: i64,
        /// What failed.
        detail: String,
    },
    /// SQLite found the file malformed.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// Another process is in the way. SQLite does not say whether it writes, or reads where everybody has to be away.
    #[error("{} is locked by another program that writes to it or reads it (waited {waited_s} s)", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// How long this process waited, seconds.
        waited_s: u64,
    },
    /// The file was taken away from under a run.
    #[error("the store {} {what} while it was being written{}", path.display(), kept(saved.as_deref()))]
    Displaced {
        /// Where it was.
        path: PathBuf,
        /// What has become of it, as the rest of the sentence.
        what: String,
        /// A copy with everything recorded, when one could be made.
        saved: Option<PathBuf>,
    },
    /// The file or its folder cannot be written.
    #[error("cannot write the store {}: {detail}", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What was refused.
        detail: String,
    },
    /// The disk is full.
    #[error("no space left for the store {}", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The disk failed.
    #[error("cannot use the store {}: {detail}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// This build is linked to a SQLite that can lose committed steps.
    #[error("this r1x is linked to SQLite {found}; the store needs 3.51.3 or newer")]
    OldSqlite {
        /// The linked version.
        found: String,
    },
    /// The newest run was asked for, and there is none.
    #[error("there is no run in {} yet", path.display())]
    NoRun {
        /// The file.
        path: PathBuf,
    },
    /// No run answers to the reference.
    #[error("there is no run `{reference}` in {}", path.display())]
    UnknownRun {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        reference: String,
        /// Names that come close, best first.
        close: Vec<String>,
    },
    /// Several runs begin like that.
    #[error("`{reference}` fits {} runs", names.len())]
    AmbiguousRun {
        /// What was asked for.
        reference: String,
        /// The names it fits.
        names: Vec<String>,
    },
    /// No sweep answers to the reference, or several do.
    #[error("{}", no_sweep(path, reference, names))]
    UnknownSweep {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        reference: String,
        /// The sweeps that begin like that, or else all of them, newest first.
        names: Vec<String>,
    },
    /// The run exists, the part of it does not.
    #[error("run {run} has no {what}")]
    NotInRun {
        /// The run.
        run: String,
        /// What was asked for.
        what: String,
        /// What there is instead.
        instead: String,
    },
    /// A run that is being written cannot be resumed.
    #[error("run {run} is being written by process {pid}")]
    StillRunning {
        /// The run.
        run: String,
        /// The process.
        pid: i64,
    },
    /// Something needs the store for itself, and runs are being written.
    #[error("{} is in use: {}", path.display(), at_work(runs))]
    AtWork {
        /// The file.
        path: PathBuf,
        /// Names of the runs.
        runs: Vec<String>,
    },
    /// A run that others stand on cannot be removed.
    #[error("run {run} cannot be removed alone: {}", by.join(", "))]
    StoodOn {
        /// The run.
        run: String,
        /// Each of the others, and how it comes from the run.
        by: Vec<String>,
    },
    /// A name or a tag that cannot be one.
    #[error("`{word}` cannot be {what}: {detail}")]
    Word {
        /// What was given.
        word: String,
        /// What it was given for.
        what: &'static str,
        /// What is against it.
        detail: String,
    },
    /// A file that was to be made is there.
    #[error("{} is there already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The runs of another store cannot be taken in.
    #[error("the runs of {} cannot be imported: {detail}", path.display())]
    Import {
        /// The other store.
        path: PathBuf,
        /// Why.
        detail: String,
        /// How to mend it.
        hint: String,
    },
    /// A caller recorded facts that do not fit together; a bug outside of the store.
    #[error("cannot record facts of run {run}: {detail}")]
    Facts {
        /// The run.
        run: String,
        /// What does not fit.
        detail: String,
    },
    /// A query of a user is wrong.
    #[error("the query fails: {detail}")]
    Query {
        /// What SQLite said.
        detail: String,
        /// How to mend it.
        hint: String,
    },
    /// A query of a user would change something.
    #[error("`r1x sql` only reads: {detail}")]
    Writes {
        /// What was refused.
        detail: String,
    },
    /// A query of a user took too long.
    #[error("the query was stopped after {limit_ms} ms")]
    Timeout {
        /// Its time limit, milliseconds.
        limit_ms: u64,
    },
    /// Somebody stopped a query.
    #[error("the query was stopped")]
    Stopped,
    /// Anything else SQLite refuses; a bug of the store.
    #[error("the store {} failed: {detail}", path.display())]
    Internal {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
}

fn kept(saved: Option<&Path>) -> String {
    match saved {
        Some(saved) => format!("; everything recorded so far is in {}", saved.display()),
        None => "; what was recorded since it was last whole could not be saved".to_owned(),
    }
}

fn no_sweep(path: &Path, reference: &str, names: &[String]) -> String {
    let fits = names.iter().filter(|name| name.starts_with(reference)).count();
    match (fits, reference) {
        (2.., _) if !reference.is_empty() => format!("`{reference}` fits {fits} sweeps"),
        (_, "latest") => format!("there is no sweep in {}", path.display()),
        _ => format!("there is no sweep `{reference}` in {}", path.display()),
    }
}

/// A copy of a store needs as much room as the store.
fn room_for(path: &Path) -> String {
    let bytes = std::fs::metadata(path).map_or(0, |meta| meta.len());
    format!("the store was left as it is; free {} MiB in its folder", (bytes >> 20) + 1)
}

/// The first of some names, and whether there are more.
fn some_of(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
    let more = if names.len() > shown.len() { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn more_of(names: &[String]) -> String {
    format!("write more of the name: {}", some_of(names))
}

/// Which sweeps there are, or how to make one.
fn sweeps(names: &[String]) -> String {
    match names.is_empty() {
        true => "`r1x run SPEC --seeds 1..3` makes one".to_owned(),
        false => format!("the store has {}", some_of(names)),
    }
}

fn at_work(runs: &[String]) -> String {
    let are = if runs.len() == 1 { "run" } else { "runs" };
    format!("{are} {} at work", runs.join(", "))
}

impl StoreError {
    /// How to mend it.
    pub fn hint(&self) -> String {
        match self {
            StoreError::Missing { .. } | StoreError::Empty { .. } => {
                "`r1x run` makes one; `--store` or R1X_STORE says where it is".into()
            }
            StoreError::Displaced { saved: Some(saved), .. } => format!(
                "go on with `r1x resume --store {}`, or put that file where the store was",
                saved.display()
            ),
            StoreError::Displaced { saved: None, .. } => {
                "restore a copy of the store, then `r1x resume`".into()
            }
            StoreError::NotAStore { .. } => "give `--store` another path".into(),
            StoreError::TooNew { .. } => {
                "use the newer r1x, or another file with `--store`; the store was left as it is"
                    .into()
            }
            StoreError::TooOld { .. } => "`r1x run` brings it up to date".into(),
            StoreError::Backup { path, .. } => room_for(path),
            StoreError::Migration { .. } => {
                "the store was left as it is; copy it aside and report this".into()
            }
            StoreError::Damaged { .. } => {
                "restore a copy, or save what can be read with `sqlite3 FILE .recover`".into()
            }
            StoreError::Locked { .. } => {
                "end the other program (a run, `r1x sql`, `sqlite3`, a notebook), or use another file with `--store`".into()
            }
            StoreError::ReadOnly { .. } => {
                "make the folder writable, or use another one with `--store`".into()
            }
            StoreError::Full { .. } => {
                "free some space; every step recorded before this one is safe".into()
            }
            StoreError::Io { .. } => "check the path and the disk".into(),
            StoreError::OldSqlite { .. } => {
                "build with the bundled SQLite and the committed Cargo.lock".into()
            }
            StoreError::NoRun { .. } => "`r1x run` makes one; `--store` names another store".into(),
            StoreError::UnknownRun { close, .. } if close.is_empty() => {
                "`r1x ls` lists the runs".into()
            }
            StoreError::UnknownRun { close, .. } => {
                format!("did you mean {}? `r1x ls` lists the runs", close.join(" or "))
            }
            StoreError::AmbiguousRun { names, .. } => more_of(names),
            StoreError::UnknownSweep { names, .. } => sweeps(names),
            StoreError::NotInRun { instead, .. } => instead.clone(),
            StoreError::StillRunning { .. } => "wait for it, or stop that process".into(),
            StoreError::AtWork { .. } => "wait for its end, or stop it with Ctrl-C".into(),
            StoreError::StoodOn { .. } => "remove these as well, or say `--force`".into(),
            StoreError::Word { .. } => {
                "use letters, digits, `-`, `_` and `.`, and begin with a letter or a digit".into()
            }
            StoreError::Exists { .. } => "give another name, or move it away first".into(),
            StoreError::Import { hint, .. } => hint.clone(),
            StoreError::Facts { .. } | StoreError::Internal { .. } => {
                "this is a bug in r1x: please report it".into()
            }
            StoreError::Query { hint, .. } => hint.clone(),
            StoreError::Writes { .. } => {
                "start with SELECT, WITH, VALUES or EXPLAIN, one statement at a time".into()
            }
            StoreError::Timeout { .. } => {
                "ask for less, for example one run or one stage, or raise the time limit".into()
            }
            StoreError::Stopped => "ask again to see its answer".into(),
        }
    }

    /// Whose error it is.
    pub fn boundary(&self) -> Boundary {
        match self {
            StoreError::Full { .. }
            | StoreError::Io { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Backup { .. } => Boundary::Device,
            StoreError::Facts { .. } | StoreError::Internal { .. } => Boundary::Internal,
            _ => Boundary::Store,
        }
    }

    /// Reads an error of the driver; `path` is the store's file.
    pub(crate) fn from_sqlx(path: &Path, error: sqlx::Error) -> Self {
        let path = path.to_owned();
        let sqlx::Error::Database(database) = &error else {
            return match &error {
                sqlx::Error::Io(io) => StoreError::Io { path, detail: io.to_string() },
                // A store of ours has the columns and types that are asked for.
                sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::Decode(_) => StoreError::Damaged { path, detail: error.to_string() },
                other => StoreError::Internal { path, detail: other.to_string() },
            };
        };
        let detail = database.message().to_owned();
        match primary_code(&error) {
            Some(5 | 6 | 15) => StoreError::Locked {
                path,
                waited_s: crate::wait::Patience::SHORT.attempt().as_secs(),
            },
            Some(8) => StoreError::ReadOnly { path, detail },
            Some(3 | 23) => StoreError::ReadOnly { path, detail },
            Some(10 | 14) => StoreError::Io { path, detail },
            Some(11) => StoreError::Damaged { path, detail },
            Some(13) => StoreError::Full { path },
            Some(26) => StoreError::NotAStore { path, detail },
            _ => StoreError::Internal { path, detail },
        }
    }
}

/// The primary result code of SQLite (the low byte of the extended one), when the error is SQLite's.
pub(crate) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let sqlx::Error::Database(database) = error else {
        return None;
    };
    let code: i32 = database.code()?.parse().ok()?;
    Some(code & 0xff)
}

impl From<StoreError> for PortError {
    fn from(error: StoreError) -> Self {
        PortError::new(error.boundary(), error.to_string(), error.hint())
    }
}
