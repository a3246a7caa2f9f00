//! What can be saved of a store that is no longer where it was: all of it, as long as it is open.
//!
//! The file of an open connection is there until it is closed, whatever its name has come to mean.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnection;

use crate::error::StoreError;
use crate::guard::beside;
use crate::open::{make_folder, sync_entry};

/// Copies that may lie beside each other.
const MOST_COPIES: u32 = 1000;

/// A store that was taken away from under its writer.
#[derive(Clone, Debug)]
pub(crate) struct Displaced {
    what: String,
    saved: Option<PathBuf>,
}

impl Displaced {
    /// What everybody is told who still writes to it.
    pub fn error(&self, path: &Path) -> StoreError {
        StoreError::Displaced {
            path: path.to_owned(),
            what: self.what.clone(),
            saved: self.saved.clone(),
        }
    }
}

/// Copies what the connection sees into a new file beside the place where the store was.
pub(crate) async fn rescue(path: &Path, conn: &mut SqliteConnection, what: String) -> Displaced {
    let saved = match copy(path, conn).await {
        Ok(saved) => Some(saved),
        Err(error) => {
            tracing::warn!("{}: no copy could be made: {error}", path.display());
            None
        }
    };
    Displaced { what, saved }
}

async fn copy(path: &Path, conn: &mut SqliteConnection) -> Result<PathBuf, StoreError> {
    let told = |error: std::io::Error| crate::open::from_io(path, &error);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_folder(folder).map_err(told)?;
    }
    let copy = free_name(path).map_err(told)?;
    let target = std::path::absolute(&copy).map_err(told)?;
    let copied = sqlx::query("VACUUM INTO ?")
        .bind(target.to_string_lossy().into_owned())
        .execute(&mut *conn)
        .await
        .map_err(|error| StoreError::from_sqlx(path, error));
    let lasting = || std::fs::File::open(&copy)?.sync_all().and_then(|()| sync_entry(&copy));
    match copied.and_then(|_| lasting().map_err(told)) {
        Ok(()) => Ok(copy),
        Err(error) => {
            let _ = std::fs::remove_file(&copy);
            Err(error)
        }
    }
}

/// A new empty file whose name says what it is.
fn free_name(path: &Path) -> std::io::Result<PathBuf> {
    let mut number = 1;
    loop {
        let copy = beside(path, &format!(".saved-{number}"));
        match OpenOptions::new().write(true).create_new(true).open(&copy) {
            Ok(_) => return Ok(copy),
            Err(error)
                if error.kind() == std::io::ErrorKind::AlreadyExists && number < MOST_COPIES =>
            {
                number += 1;
            }
            Err(error) => return Err(error),
        }
    }
}
