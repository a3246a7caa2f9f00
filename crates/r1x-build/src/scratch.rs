//! A folder for one build: copies of the sources, what a tool is given beside them, and the tool running there.
//!
//! A tool may write to what it is given, so it is given copies and nothing else.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::environment::Environment;
use crate::error::BuildError;
use crate::files;
use crate::source::Source;
use crate::tool::{self, Messages, Ran};

/// All sources together; they travel in every component.
const MAX_SOURCE_BYTES: u64 = 64 << 20;

/// A folder that is removed with the value.
pub(crate) struct Stage {
    folder: PathBuf,
    environment: Environment,
}

impl Stage {
    /// An empty folder in the cache.
    pub(crate) fn new(environment: &Environment, kind: &str) -> Result<Self, BuildError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", std::process::id());
        let folder = absolute(&environment.cache_path(kind, &name)?)?;
        let stage = Self { folder, environment: environment.clone() };
        // A process of the same id may have left one behind when it was killed.
        let _ = std::fs::remove_dir_all(&stage.folder);
        std::fs::create_dir_all(&stage.folder)
            .map_err(|error| BuildError::io(&stage.folder, error))?;
        Ok(stage)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file, and the folders it lies in.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), BuildError> {
        let path = self.path(name);
        let folder = path.parent().unwrap_or(&self.folder);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, bytes))
            .map_err(|error| BuildError::io(&path, error))
    }

    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, BuildError> {
        let path = self.path(name);
        r1x_files::read(&path, r1x_files::AMPLE).map_err(|error| BuildError::io(&path, error))
    }

    /// Copies a plugin's sources into a folder here; a plugin without a manifest is its entry alone.
    pub(crate) fn copy(&self, source: &Source, entry: &str, into: &str) -> Result<(), BuildError> {
        let sources = match &source.manifest_path {
            None => vec![PathBuf::from(entry)],
            Some(_) => files::sources(&source.folder)?,
        };
        let mut total = 0;
        for file in sources {
            let (from, to) = (source.folder.join(&file), self.path(into).join(&file));
            let folder = to.parent().unwrap_or(&to);
            std::fs::create_dir_all(folder).map_err(|error| BuildError::io(folder, error))?;
            r1x_files::check(&from).map_err(|error| BuildError::io(&from, error))?;
            total += std::fs::copy(&from, &to).map_err(|error| BuildError::io(&from, error))?;
            if total > MAX_SOURCE_BYTES {
                return Err(BuildError::NotAPlugin {
                    path: source.folder.clone(),
                    reason: format!(
                        "holds more than {} MiB; a component carries all of it",
                        MAX_SOURCE_BYTES >> 20
                    ),
                });
            }
        }
        Ok(())
    }

    /// Runs a tool in a folder here, for no longer than `usual` or what the environment says.
    pub(crate) fn run(
        &self,
        folder: &str,
        command: &mut Command,
        usual: Duration,
    ) -> Result<Ran, BuildError> {
        command.current_dir(self.path(folder));
        let deadline = tool::deadline(&self.environment, usual);
        let ran =
            tool::run(command, self.environment.supervisor.as_ref(), deadline, Messages::Kept);
        let ran = ran.map_err(|error| not_started(command.get_program(), error.to_string()))?;
        if ran.not_started() {
            return Err(not_started(command.get_program(), ran.stderr));
        }
        Ok(ran)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What is left behind is a few files in a cache.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A tool is started from another folder, where a relative path would mean something else.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, BuildError> {
    std::path::absolute(path).map_err(|error| BuildError::io(path, error))
}

fn not_started(program: &OsStr, output: String) -> BuildError {
    BuildError::Failed {
        what: format!("cannot run {}", program.to_string_lossy()),
        output,
        hint: "can it be started by hand?".to_owned(),
    }
}
