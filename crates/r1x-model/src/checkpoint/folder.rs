//! The folder of a checkpoint: it appears whole or not at all, and its files are read up to a limit.

use std::io::{self, Read, Write};
use std::path::Path;

use r1x_core::digest::Hasher;
use r1x_files::folder;
pub use r1x_files::folder::{PARTIAL, REPLACED, remove, take_back};

use crate::error::ModelError;

/// A file that was written.
pub(super) struct Written {
    pub(super) sha256: String,
    pub(super) bytes: u64,
}

/// Writes a folder in the place of one that may be there; `fill` is given an empty folder for its files.
///
/// # Errors
/// When a file or folder cannot be written. What was there before is still there then, under its name or with
/// [`REPLACED`] behind it.
pub(super) fn write<T>(
    folder: &Path,
    fill: impl FnOnce(&Path) -> Result<T, ModelError>,
) -> Result<T, ModelError> {
    folder::write(folder, fill, |error| failed(folder, error))
}

/// The error that a folder cannot be written.
pub(super) fn failed(folder: &Path, source: io::Error) -> ModelError {
    ModelError::Io { path: folder.display().to_string(), source }
}

/// Writes and syncs one file of a folder, whose bytes `fill` writes.
pub(super) fn file(
    folder: &Path,
    name: &str,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<Written> {
    let file = std::fs::File::create(folder.join(name))?;
    let mut hashed = Hashed { to: &file, hasher: Hasher::default(), bytes: 0 };
    fill(&mut hashed)?;
    let Hashed { hasher, bytes, .. } = hashed;
    file.sync_all()?;
    Ok(Written { sha256: hasher.finish(), bytes })
}

/// sha256 of what `fill` writes.
pub(super) fn hash(fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<String> {
    let mut hashed = Hashed { to: io::sink(), hasher: Hasher::default(), bytes: 0 };
    fill(&mut hashed)?;
    Ok(hashed.hasher.finish())
}

/// What is written is hashed on its way.
struct Hashed<W> {
    to: W,
    hasher: Hasher,
    bytes: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The bytes of one file of a checkpoint, of at most so many.
pub(super) fn read(folder: &Path, name: &str, limit_bytes: u64) -> Result<Vec<u8>, ModelError> {
    let path = folder.join(name);
    let shown = path.display().to_string();
    let error = |source| ModelError::Io { path: shown.clone(), source };
    let (mut bytes, file) = (Vec::new(), r1x_files::open(&path).map_err(error)?);
    file.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(error)?;
    check_length((folder, name), bytes.len() as u64, limit_bytes)?;
    Ok(bytes)
}

/// An error when a file of a checkpoint is longer than it may be.
pub(super) fn check_length(
    (folder, name): (&Path, &str),
    length: u64,
    limit_bytes: u64,
) -> Result<(), ModelError> {
    let reason = || format!("has more than the {limit_bytes} bytes that this model could fill");
    if length > limit_bytes { Err(torn(folder, name, reason())) } else { Ok(()) }
}

/// The error that a file of a checkpoint is not as it was written.
pub(super) fn torn(folder: &Path, name: &str, reason: impl Into<String>) -> ModelError {
    ModelError::Checkpoint { path: folder.join(name).display().to_string(), reason: reason.into() }
}

/// An error unless the hash that was found is the one that the state gives.
pub(super) fn checked(
    (folder, name): (&Path, &str),
    found: &str,
    expected: &str,
) -> Result<(), ModelError> {
    if found == expected {
        return Ok(());
    }
    let reason = "its bytes do not have the recorded sha256: it was changed or torn";
    Err(torn(folder, name, reason))
}
