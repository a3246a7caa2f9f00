//! What can be wrong with weight files: what, where, and how to mend it.

use std::io;
use std::path::{Path, PathBuf};

/// Weights cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A path leads to no weights, or to several that do not belong together.
    #[error("{}: {reason}", path.display())]
    NoWeights {
        /// What was given.
        path: PathBuf,
        /// What is there instead.
        reason: String,
        /// How to mend it.
        hint: String,
    },
    /// A file contradicts itself or its format.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        reason: String,
    },
    /// A file is of a kind that is not read.
    #[error("{}: {reason}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        reason: String,
        /// How to mend it.
        hint: String,
    },
    /// One tensor cannot be read or written as asked.
    #[error("{}: `{name}` {reason}", path.display())]
    Tensor {
        /// The file or folder.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong, as the rest of the sentence.
        reason: String,
        /// How to mend it.
        hint: String,
    },
}

impl WeightsError {
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Self + Copy + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn malformed(path: &Path, reason: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), reason: reason.into() }
    }

    pub(crate) fn unsupported(
        path: &Path,
        reason: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Unsupported { path: path.to_owned(), reason: reason.into(), hint: hint.into() }
    }

    pub(crate) fn tensor(
        path: &Path,
        name: &str,
        reason: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let (path, name) = (path.to_owned(), name.to_owned());
        Self::Tensor { path, name, reason: reason.into(), hint: hint.into() }
    }

    /// The file or folder it is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. }
            | Self::NoWeights { path, .. }
            | Self::Malformed { path, .. }
            | Self::Unsupported { path, .. }
            | Self::Tensor { path, .. } => path,
        }
    }

    /// How to mend it.
    pub fn hint(&self) -> String {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free some disk space, or write to another disk".to_owned()
                }
                io::ErrorKind::UnexpectedEof => {
                    "the file became shorter while it was read: let its download end, then try again"
                        .to_owned()
                }
                io::ErrorKind::NotFound => {
                    "name what is on this machine: r1x downloads no model".to_owned()
                }
                _ => "check the path and its permissions".to_owned(),
            },
            Self::Malformed { .. } => {
                "the file was cut short or changed: download or write it again, and compare its size and sha256 with the publisher's".to_owned()
            }
            Self::NoWeights { hint, .. }
            | Self::Unsupported { hint, .. }
            | Self::Tensor { hint, .. } => hint.clone(),
        }
    }
}

/// What a parser says, which may quote all of a long text.
pub(crate) fn shortened(error: &serde_json::Error) -> String {
    const SHOWN: usize = 200;
    let said = error.to_string();
    if said.chars().count() <= SHOWN {
        return said;
    }
    let begin: String = said.chars().take(SHOWN).collect();
    format!("{begin}... (line {}, column {})", error.line(), error.column())
}

/// The first of some names, for a message that may have thousands.
pub(crate) fn some_of<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    const SHOWN: usize = 8;
    let count = names.len();
    let shown: Vec<String> = names.take(SHOWN).map(|name| format!("`{name}`")).collect();
    let rest = if count > SHOWN { format!(" and {} more", count - SHOWN) } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}
