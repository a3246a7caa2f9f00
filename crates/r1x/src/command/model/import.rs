//! `r1x model import`: a GGUF file, or another published folder, as a published folder in safetensors.

use std::path::Path;

use r1x_core::PortError;
use r1x_model::Published;
use r1x_model::published::{SaveDtype, save};

use super::tell;
use crate::failure::Failure;

/// Writes the folder.
///
/// # Errors
/// When the model cannot be read, or the folder is there or cannot be written.
pub fn import(from: &Path, to: &Path, dtype: Option<SaveDtype>) -> Result<i32, Failure> {
    let published = Published::open(from).map_err(PortError::from)?;
    let saved = save::import(&published, to, dtype).map_err(PortError::from)?;
    tell(to, &saved);
    Ok(0)
}
