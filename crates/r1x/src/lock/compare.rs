//! What differs between a lock and what a spec reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::file::{Input, Lock};
use super::find::FoundInput;
use crate::failure::Failure;

/// Hex digits of a hash that are shown.
const SHOWN_DIGITS: usize = 12;

/// An input, or a file of one, that is not as it was locked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The key of the spec that names the input.
    pub key: String,
    /// Where it is or was, seen from the folder of the spec.
    pub path: String,
    /// sha256 in the lock; `None` where the lock does not have it.
    pub locked: Option<String>,
    /// sha256 of what is there; `None` where the spec does not read it.
    pub found: Option<String>,
}

/// The beginning of a hash.
pub fn brief(hash: &str) -> &str {
    hash.get(..SHOWN_DIGITS).unwrap_or(hash)
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, path, locked, found } = self;
        write!(f, "`{key}`: {path} ")?;
        match (locked.as_deref().map(brief), found.as_deref().map(brief)) {
            (Some(locked), Some(found)) => {
                write!(f, "is another one: locked {locked}, found {found}")
            }
            (None, Some(found)) => write!(f, "is not in the lock: found {found}"),
            (Some(locked), None) => write!(f, "is locked ({locked}), and nothing reads it now"),
            (None, None) => Ok(()),
        }
    }
}

/// What differs between a lock and what was found, by key and file. The files of an input are only read where its hash is
/// another one.
///
/// # Errors
/// When a file cannot be read again.
pub fn differences(lock: &Lock, found: &[FoundInput]) -> Result<Vec<Difference>, Failure> {
    let locked: BTreeMap<&str, &Input> =
        lock.inputs.iter().map(|input| (input.key.as_str(), input)).collect();
    let found: BTreeMap<&str, &FoundInput> =
        found.iter().map(|input| (input.key.as_str(), input)).collect();
    let keys: BTreeSet<&str> = locked.keys().chain(found.keys()).copied().collect();
    let mut differences = Vec::new();
    for key in keys {
        let (locked, found) = (locked.get(key), found.get(key));
        let hashes = (locked.map(|one| &one.sha256), found.map(|one| &one.sha256));
        if hashes.0 == hashes.1 {
            continue;
        }
        let of_files = match (locked, found) {
            (Some(locked), Some(found)) => of_files(locked, found)?,
            _ => Vec::new(),
        };
        if of_files.is_empty() {
            let of_lock = || locked.map(|one| place(one.path.as_deref(), one.files.keys()));
            let path = found.map(|one| place(one.path.as_deref(), one.names())).or_else(of_lock);
            differences.push(Difference {
                key: key.to_owned(),
                path: path.unwrap_or_default(),
                locked: hashes.0.cloned(),
                found: hashes.1.cloned(),
            });
        }
        differences.extend(of_files);
    }
    Ok(differences)
}

/// Where an input is, or where its files are.
fn place<'n>(path: Option<&str>, files: impl Iterator<Item = &'n String>) -> String {
    match path {
        Some(path) => path.to_owned(),
        None => files.map(String::as_str).collect::<Vec<_>>().join(", "),
    }
}

/// The files that differ of an input that has several, or had.
fn of_files(locked: &Input, found: &FoundInput) -> Result<Vec<Difference>, Failure> {
    if locked.files.is_empty() || found.parts.is_empty() {
        return Ok(Vec::new());
    }
    let there = found.files()?;
    let names: BTreeSet<&String> = locked.files.keys().chain(there.keys()).collect();
    let hashes = names.into_iter().map(|name| (name, locked.files.get(name), there.get(name)));
    let differing = hashes.filter(|(_, locked, found)| locked != found);
    Ok(differing
        .map(|(name, of_lock, found_hash)| {
            let folder = if found_hash.is_some() { &found.path } else { &locked.path };
            let path = match folder {
                Some(folder) if folder != "." => format!("{folder}/{name}"),
                _ => name.clone(),
            };
            let key = found.key.clone();
            Difference { key, path, locked: of_lock.cloned(), found: found_hash.cloned() }
        })
        .collect())
}
