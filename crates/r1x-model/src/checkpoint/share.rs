//! A checkpoint that a run has in common with an earlier one.

use std::fs::File;
use std::io;
use std::path::Path;

use r1x_core::port::SavedCheckpoint;

use super::folder::{self, checked, failed, torn};
use super::state::{FORMAT, State};
use super::{Expected, Home, MODEL, OPTIMIZER, STATE};
use crate::error::ModelError;

/// Puts the checkpoint of an earlier run, a folder, under a name at home, with all bytes compared: what holds numbers is one
/// file with two names where the file system can do so, and a copy elsewhere. The state is written anew, because it says whose
/// checkpoint it is.
///
/// # Errors
/// When files are missing or changed, are not what is expected, or cannot be written.
pub fn share(
    from: &Path,
    expected: &Expected<'_>,
    home: &Home,
    name: &str,
) -> Result<SavedCheckpoint, ModelError> {
    let (state, _) = State::read(from, expected)?;
    if state.format != FORMAT || state.critic_state_sha256.is_some() || state.is_critic {
        let reason = "it is no checkpoint of the end of a stage that this r1x has written";
        return Err(torn(from, STATE, reason));
    }
    for (file, sha256) in [(MODEL, &state.model_sha256), (OPTIMIZER, &state.optimizer_sha256)] {
        let path = from.join(file);
        let found = hashed(&path).map_err(|source| failed(&path, source))?;
        checked((from, file), &found, sha256)?;
    }
    let folder = home.folder.join(name);
    folder::write(&folder, |partial| {
        let bytes = [MODEL, OPTIMIZER].iter().map(|file| link(from, partial, file));
        let bytes = bytes.sum::<io::Result<u64>>().map_err(|error| failed(&folder, error))?;
        let sha256 = state.model_sha256.clone();
        let written = State { run: home.run.clone(), ..state }.write(partial);
        let written = written.map_err(|error| failed(&folder, error))?;
        let (path, bytes) = (name.to_owned(), bytes + written.bytes);
        Ok(SavedCheckpoint { path, sha256, state_sha256: written.sha256, bytes })
    })
}

fn hashed(path: &Path) -> io::Result<String> {
    let mut file = r1x_files::open(path)?;
    folder::hash(|to| io::copy(&mut file, to).map(|_| ()))
}

/// Gives a file a second name in another folder, or copies it; returns its length, bytes.
fn link(from: &Path, to: &Path, file: &str) -> io::Result<u64> {
    let (from, to) = (from.join(file), to.join(file));
    if std::fs::hard_link(&from, &to).is_err() {
        std::fs::copy(&from, &to)?;
    }
    let file = File::open(&to)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}
