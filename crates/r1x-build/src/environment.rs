//! What a build may know of the machine: variables, a folder to keep things in, and a sandbox to run a component in.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::error::BuildError;
use crate::tool::Supervisor;

/// A host that runs a component in the sandbox in which it will score, so that what is built is also tried.
pub trait Sandbox: Send + Sync {
    /// Lets a component read the author's files that it carries.
    ///
    /// # Errors
    /// When it refuses them, does not end in time, or breaks.
    fn prepare(&self, component: &[u8], deadline: Duration) -> Result<Prepared, SandboxError>;
}

/// What a component made of its author's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// What it needs of them, in a form of its own.
    pub layer: Vec<u8>,
    /// Modules that had to be loaded for them.
    pub late: Vec<String>,
}

/// Why a component made nothing of its author's files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SandboxError {
    /// The component refuses the files, in its own words.
    #[error("{0}")]
    Refused(String),
    /// The component did not end in its time.
    #[error("{0}")]
    TimedOut(String),
    /// The component broke, or is not one that prepares files.
    #[error("{0}")]
    Broke(String),
}

/// A sandbox that is shared.
#[derive(Clone)]
pub struct SandboxHandle(Arc<dyn Sandbox>);

impl std::ops::Deref for SandboxHandle {
    type Target = dyn Sandbox;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for SandboxHandle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SandboxHandle")
    }
}

/// What a build may know of the machine.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Environment variables. Tools inherit the process's own; these decide which tools are used.
    pub variables: BTreeMap<String, OsString>,
    /// A folder for components and intermediate files. It is made when needed.
    pub cache_folder: PathBuf,
    /// Where components can be asked something while a plugin is built.
    pub sandbox: Option<SandboxHandle>,
    /// What stands between this process and the tools it starts, so that they end when it does.
    pub supervisor: Option<Supervisor>,
}

impl Environment {
    /// An environment without a sandbox.
    pub fn new(variables: BTreeMap<String, OsString>, cache_folder: PathBuf) -> Self {
        Self { variables, cache_folder, sandbox: None, supervisor: None }
    }

    /// The environment with a supervisor of tools.
    #[must_use]
    pub fn supervised(self, supervisor: Supervisor) -> Self {
        Self { supervisor: Some(supervisor), ..self }
    }

    /// The environment with a sandbox.
    #[must_use]
    pub fn with_sandbox(self, sandbox: Arc<dyn Sandbox>) -> Self {
        Self { sandbox: Some(SandboxHandle(sandbox)), ..self }
    }

    /// A variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(name).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// A file in a folder of [`Environment::cache_folder`], with the folder made.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn cache_path(&self, folder: &str, file: &str) -> Result<PathBuf, BuildError> {
        let folder = self.cache_folder.join(folder);
        std::fs::create_dir_all(&folder).map_err(|error| BuildError::io(&folder, error))?;
        Ok(folder.join(file))
    }
}
