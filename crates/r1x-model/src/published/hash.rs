//! The hash of a published model: over its configuration and the files of its weights, whatever else lies beside them.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use r1x_core::digest::Hasher;
use r1x_weights::{Format, WeightFiles};

use super::CONFIG;
use crate::error::ModelError;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// The files of a published model that its hash is taken of, in the order of names. A GGUF file says everything itself.
///
/// # Errors
/// When its weights cannot be opened.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let files = WeightFiles::open(path)?;
    let folder = files.path().parent().unwrap_or(path).to_owned();
    let mut names: BTreeSet<String> = files.file_names().collect();
    if files.format() != Format::Gguf {
        names.insert(CONFIG.to_owned());
    }
    // An index decides where a tensor is that two files have.
    names.extend(files.path().file_name().map(|name| name.to_string_lossy().into_owned()));
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// sha256 over a line for each file, its name and its sha256, in the order of names.
pub(super) fn sha256(path: &Path) -> Result<String, ModelError> {
    let mut whole = Hasher::default();
    for file in files(path)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let line = format!("{} {name}\n", of_file(&file)?);
        whole.update(line.as_bytes());
    }
    Ok(whole.finish())
}

/// sha256 of the bytes of a file.
pub(super) fn of_file(path: &Path) -> Result<String, ModelError> {
    let error = |source| ModelError::Io { path: path.display().to_string(), source };
    let mut file = r1x_files::open(path).map_err(error)?;
    let (mut hasher, mut piece) = (Hasher::default(), vec![0; PIECE_BYTES]);
    loop {
        match file.read(&mut piece).map_err(error)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&piece[..count]),
        }
    }
}
