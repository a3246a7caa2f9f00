//! A copy of a store as it is at one moment, while a run may be writing to it.

use std::fs;
use std::path::{Path, PathBuf};

use r1x_files::whole::{Existing, is_taken, place};
use sqlx::Executor;

use super::verify::{Depth, Verified};
use crate::error::StoreError;
use crate::guard::beside;
use crate::open::{from_io, make_folder};
use crate::read::Inner;
use crate::store::{Mode, Store};

/// A copy that was made.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Backup {
    /// Where it is.
    pub path: PathBuf,
    /// Its length, bytes.
    pub bytes: u64,
    /// What of it was compared.
    pub verified: Verified,
}

impl Store {
    /// Copies the store, as it is at one moment, to a file that is not there yet, and compares the copy with what was
    /// written. A copy in which something is wrong is kept, because the store has the same.
    ///
    /// # Errors
    /// When there is a file already, or the copy cannot be written; then there is none.
    pub fn backup(&self, to: &Path) -> Result<Backup, StoreError> {
        let told = |error: std::io::Error| from_io(to, &error);
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.map_or(Ok(()), make_folder).map_err(told)?;
        if is_taken(to) {
            return Err(StoreError::Exists { path: to.to_owned() });
        }
        let partial = beside(to, &format!(".partial-{}", std::process::id()));
        let made = self.copy_into(&partial).and_then(|()| {
            let verified = Store::open(&partial, Mode::Read)?.verify(Depth::Quick)?;
            // Refused where somebody has taken the name meanwhile, so that no two copies have one name.
            place(&partial, to, Existing::Kept).map_err(|error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => StoreError::Exists { path: to.to_owned() },
                _ => told(error),
            })?;
            let bytes = fs::metadata(to).map_err(told)?.len();
            Ok(Backup { path: to.to_owned(), bytes, verified })
        });
        // Half a copy helps nobody, nor does the journal of one; a whole copy has its own name by now.
        for left in [partial.clone(), beside(&partial, "-journal")] {
            let _ = fs::remove_file(left);
        }
        made
    }

    /// Copies the store into a file that is not there, and makes it last.
    pub(super) fn copy_into(&self, file: &Path) -> Result<(), StoreError> {
        let told = |error: std::io::Error| from_io(file, &error);
        let target = std::path::absolute(file).map_err(told)?;
        let reader = self.reader()?;
        let mut inner = reader.lock();
        let Inner { runtime, conn } = &mut *inner;
        let copied = runtime.block_on(async {
            // The connection stays one that cannot write to the store: the copy is another file.
            conn.execute("PRAGMA query_only = OFF").await?;
            let copied = sqlx::query("VACUUM INTO ?")
                .bind(target.to_string_lossy().into_owned())
                .execute(&mut *conn)
                .await;
            conn.execute("PRAGMA query_only = ON").await?;
            copied
        });
        copied.map_err(|error| StoreError::from_sqlx(file, error))?;
        fs::File::open(file).and_then(|copy| copy.sync_all()).map_err(told)
    }
}
