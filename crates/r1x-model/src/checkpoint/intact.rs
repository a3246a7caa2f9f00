//! Whether the files of a checkpoint are those that were written, whatever model they are of.
//!
//! Who reads a checkpoint for a model compares more: names, shapes, and whether numbers are finite.

use std::io::Read;
use std::path::Path;

use r1x_core::digest::Hasher;

use super::folder::{checked, failed};
use super::state::State;
use super::{CRITIC, Expected, MODEL, OPTIMIZER};
use crate::error::ModelError;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Reads every file of a checkpoint, those of a critic inside as well, and compares their hashes with those of the state,
/// and the state with what is expected.
///
/// # Errors
/// When a file is missing or was changed, or the state is not what is expected.
pub fn intact(folder: &Path, expected: &Expected<'_>) -> Result<(), ModelError> {
    let (state, _) = State::read(folder, expected)?;
    for (name, sha256) in [(MODEL, &state.model_sha256), (OPTIMIZER, &state.optimizer_sha256)] {
        checked((folder, name), &hash_of(&folder.join(name))?, sha256)?;
    }
    match &state.critic_state_sha256 {
        Some(sha256) => {
            let expected = Expected { state_sha256: Some(sha256), ..Expected::ANYTHING };
            intact(&folder.join(CRITIC), &expected)
        }
        None => Ok(()),
    }
}

/// sha256 of a file, hex, which is read in pieces.
fn hash_of(path: &Path) -> Result<String, ModelError> {
    let mut file = r1x_files::open(path).map_err(|error| failed(path, error))?;
    let mut hasher = Hasher::default();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece).map_err(|error| failed(path, error))? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&piece[..read]),
        }
    }
}
