//! What differs between a lock and what a spec reads.

use std::collections::BTreeSet;
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

impl Lock {
    /// The lock as far as it is about what was found: one run of a sweep reads one of the inputs that a key has in the lock
    /// of all of them.
    pub fn read_in(&self, found: &[FoundInput]) -> Self {
        let is_found = |input: &&Input| {
            found.iter().any(|one| (&one.key, &one.sha256) == (&input.key, &input.sha256))
        };
        let keys: BTreeSet<&str> =
            self.inputs.iter().filter(is_found).map(|input| input.key.as_str()).collect();
        let stays = |input: &&Input| is_found(input) || !keys.contains(input.key.as_str());
        Self { inputs: self.inputs.iter().filter(stays).cloned().collect(), ..self.clone() }
    }
}

/// What differs between a lock and what was found, by key and file. The files of an input are only read where its hash is
/// another one.
///
/// # Errors
/// When a file cannot be read again.
pub fn differences(lock: &Lock, found: &[FoundInput]) -> Result<Vec<Difference>, Failure> {
    let keys: BTreeSet<&str> = lock.inputs.iter().map(|input| input.key.as_str()).collect();
    let keys = keys.into_iter().chain(found.iter().map(|input| input.key.as_str()));
    let mut differences = Vec::new();
    for key in keys.collect::<BTreeSet<_>>() {
        let locked: Vec<&Input> = lock.inputs.iter().filter(|input| input.key == key).collect();
        let there: Vec<&FoundInput> = found.iter().filter(|input| input.key == key).collect();
        let gone = locked.iter().filter(|one| there.iter().all(|other| other.sha256 != one.sha256));
        let new = there.iter().filter(|one| locked.iter().all(|other| other.sha256 != one.sha256));
        match (gone.collect::<Vec<_>>().as_slice(), new.collect::<Vec<_>>().as_slice()) {
            // One in the place of another: which of its files it is can be told.
            ([locked], [found]) => differences.extend(in_place_of(locked, found)?),
            (gone, new) => {
                differences.extend(gone.iter().map(|one| Difference {
                    key: key.to_owned(),
                    path: place(one.path.as_deref(), one.files.keys()),
                    locked: Some(one.sha256.clone()),
                    found: None,
                }));
                differences.extend(new.iter().map(|one| Difference {
                    key: key.to_owned(),
                    path: place(one.path.as_deref(), one.names()),
                    locked: None,
                    found: Some(one.sha256.clone()),
                }));
            }
        }
    }
    Ok(differences)
}

/// How an input differs from the locked one: in some of its files, or as a whole.
fn in_place_of(locked: &Input, found: &FoundInput) -> Result<Vec<Difference>, Failure> {
    let of_files = of_files(locked, found)?;
    if !of_files.is_empty() {
        return Ok(of_files);
    }
    Ok(vec![Difference {
        key: found.key.clone(),
        path: place(found.path.as_deref(), found.names()),
        locked: Some(locked.sha256.clone()),
        found: Some(found.sha256.clone()),
    }])
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
