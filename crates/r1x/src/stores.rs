//! Opening the store that a command is about.

use std::path::{Path, PathBuf};

use r1x_store::{Mode, Store, StoreError, Upgraded};

use crate::failure::Failure;

/// Where a store is unless something else is said.
const STORE: &str = "runs/r1x.sqlite";

/// Opens the store for writing, making it and its folder if need be.
///
/// # Errors
/// When it cannot be opened.
pub fn store(place: Option<&Path>) -> Result<Store, Failure> {
    writing(&place.map_or_else(|| PathBuf::from(STORE), Path::to_path_buf))
}

/// The store that a new run would be recorded in, for reading, where it is there already and needs no change for that.
pub fn known(place: Option<&Path>) -> Option<Store> {
    let path = place.unwrap_or(Path::new(STORE));
    path.is_file().then(|| Store::open(path, Mode::Read).ok()).flatten()
}

/// Opens a store that is there already for writing.
///
/// # Errors
/// When it is not there or cannot be opened.
pub fn existing(place: Option<&Path>) -> Result<Store, Failure> {
    let path = told(place);
    if !path.exists() {
        // The error of a reader, who makes none.
        return Ok(Store::open(&path, Mode::Read)?);
    }
    writing(&path)
}

fn writing(path: &Path) -> Result<Store, Failure> {
    let store = Store::open(path, Mode::Write)?;
    store.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
    store.upgraded().into_iter().for_each(|upgraded| tell_upgraded(path, upgraded));
    Ok(store)
}

fn tell_upgraded(path: &Path, Upgraded { from, to, backup }: &Upgraded) {
    eprintln!(
        "{}: brought from schema {from} to {to}; {} is a copy of it as it was",
        path.display(),
        backup.display()
    );
}

/// How a store was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// `--store` names it.
    Argument,
    /// R1X_STORE names it.
    Environment,
    /// It is the one of this folder.
    Here,
    /// It is the one of the nearest folder above that has one.
    Above,
}

impl Choice {
    /// The word for it in `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Argument => "argument",
            Self::Environment => "environment",
            Self::Here => "folder",
            Self::Above => "folder above",
        }
    }

    /// It as a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Argument => "this store was named by `--store`",
            Self::Environment => "this store was named by R1X_STORE",
            Self::Here => "this is the store of this folder",
            Self::Above => "this is the store of the nearest folder above that has one",
        }
    }
}

/// A store that was found, which may not be there yet.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// How it was chosen.
    pub choice: Choice,
}

/// The store that is asked for; without a word about it, the one of this folder or of the nearest folder above.
pub fn found(place: Option<&Path>) -> Found {
    if let Some(path) = place {
        // The command line reads both into one place, and an argument wins.
        let is_set = std::env::var_os("R1X_STORE").is_some_and(|set| set == path.as_os_str());
        let choice = if is_set { Choice::Environment } else { Choice::Argument };
        return Found { path: path.to_path_buf(), choice };
    }
    let here = PathBuf::from(STORE);
    let above = || {
        let folder = std::env::current_dir().ok()?;
        folder.ancestors().skip(1).map(|folder| folder.join(STORE)).find(|path| path.is_file())
    };
    if here.exists() {
        return Found { path: here, choice: Choice::Here };
    }
    match above() {
        Some(path) => Found { path, choice: Choice::Above },
        None => Found { path: here, choice: Choice::Here },
    }
}

/// The path of the store that is asked for. A person is told of one that lies elsewhere.
fn told(place: Option<&Path>) -> PathBuf {
    let Found { path, choice } = found(place);
    if choice == Choice::Above {
        eprintln!("store {}", path.display());
    }
    path
}

/// Opens the store for reading.
///
/// # Errors
/// When it is not there or cannot be read.
pub fn reading(place: Option<&Path>) -> Result<Store, Failure> {
    let path = told(place);
    let old = match Store::open(&path, Mode::Read) {
        Err(old @ StoreError::TooOld { .. }) => old,
        opened => return Ok(opened?),
    };
    // A store of an earlier r1x is brought up to date where it may be written.
    match Store::upgrade(&path) {
        Ok(upgraded) => upgraded.iter().for_each(|upgraded| tell_upgraded(&path, upgraded)),
        Err(error @ StoreError::Backup { .. }) => return Err(error.into()),
        Err(_) => return Err(old.into()),
    }
    Ok(Store::open(&path, Mode::Read)?)
}
