//! The folder of a checkpoint: it appears whole or not at all, and its files are read up to a limit.
//!
//! Files are written under a temporary name, synced, and renamed.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::sha256;
use crate::error::ModelError;

/// The folder with something behind its name.
fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// What a folder is called while it is being written.
pub const PARTIAL: &str = ".partial";
/// What a folder is called for the moment in which another one takes its name.
pub const REPLACED: &str = ".replaced";

/// Writes a folder of these files, each with its name, in the place of one that may be there.
///
/// # Errors
/// When a file or folder cannot be written. What was there before is still there then, under its name or with
/// [`REPLACED`] behind it.
pub(super) fn write(folder: &Path, files: &[(&str, Vec<u8>)]) -> Result<(), ModelError> {
    let partial = beside(folder, PARTIAL);
    let result = write_partial(&partial, files).and_then(|()| replace(&partial, folder));
    if result.is_err() {
        // A torn checkpoint must not take space or be mistaken for one; the first error is what counts.
        let _ = fs::remove_dir_all(&partial);
    }
    result.map_err(|source| ModelError::Io { path: folder.display().to_string(), source })
}

fn write_partial(partial: &Path, files: &[(&str, Vec<u8>)]) -> std::io::Result<()> {
    remove(partial)?;
    fs::create_dir_all(partial)?;
    for (name, bytes) in files {
        let mut file = fs::File::create(partial.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    sync_folder(partial)
}

/// Gives the new folder its name. An old one of the name stays whole until then, under another name for a moment;
/// [`take_back`] gives it its name again where a program was stopped in that moment.
fn replace(partial: &Path, folder: &Path) -> std::io::Result<()> {
    let replaced = beside(folder, REPLACED);
    if folder.exists() {
        remove(&replaced)?;
        fs::rename(folder, &replaced)?;
    }
    if let Err(error) = fs::rename(partial, folder) {
        // The old one is what there is, then; the first error is what counts.
        let _ = fs::rename(&replaced, folder);
        return Err(error);
    }
    // The names of the folder, of the stage's folder and of the run's may all be new.
    folder.ancestors().skip(1).take(3).filter(|above| above.exists()).try_for_each(sync_folder)?;
    remove(&replaced)
}

/// Gives folders their names back that were about to be replaced when a program was stopped, wherever nothing has the
/// name: in a folder of stages, each with its checkpoints.
///
/// # Errors
/// When a folder cannot be renamed.
pub fn take_back(run: &Path) -> std::io::Result<()> {
    let folders = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    for replaced in folders(run).iter().flat_map(|stage| folders(stage)) {
        let Some(name) = replaced.to_str().and_then(|path| path.strip_suffix(REPLACED)) else {
            continue;
        };
        if !Path::new(name).exists() {
            fs::rename(&replaced, name)?;
        }
    }
    Ok(())
}

fn remove(folder: &Path) -> std::io::Result<()> {
    if folder.exists() { fs::remove_dir_all(folder) } else { Ok(()) }
}

/// Makes the names in a folder outlast a power cut, where folders can be opened.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

/// The bytes of one file of a checkpoint, of at most so many.
pub(super) fn read(folder: &Path, name: &str, limit_bytes: u64) -> Result<Vec<u8>, ModelError> {
    let path = folder.join(name);
    let shown = path.display().to_string();
    let error = |source| ModelError::Io { path: shown.clone(), source };
    let (mut bytes, file) = (Vec::new(), r1x_files::open(&path).map_err(error)?);
    file.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() as u64 > limit_bytes {
        let reason = format!("has more than the {limit_bytes} bytes that this model could fill");
        return Err(ModelError::Checkpoint { path: shown, reason });
    }
    Ok(bytes)
}

/// The error that a file of a checkpoint is not as it was written.
pub(super) fn torn(folder: &Path, name: &str, reason: impl Into<String>) -> ModelError {
    ModelError::Checkpoint { path: folder.join(name).display().to_string(), reason: reason.into() }
}

/// An error unless the bytes have the hash that the state gives.
pub(super) fn check_hash(
    folder: &Path,
    name: &str,
    bytes: &[u8],
    expected: &str,
) -> Result<(), ModelError> {
    if sha256(bytes) == expected {
        return Ok(());
    }
    let reason = "its bytes do not have the recorded sha256: it was changed or torn";
    Err(torn(folder, name, reason))
}
