//! What can go wrong between a plugin's folder and its component, and how to mend it.

use std::path::{Path, PathBuf};

/// What is wrong in which place of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {message}", path.display())]
pub struct ManifestError {
    /// The manifest.
    pub path: PathBuf,
    /// Line, counted from 1.
    pub line: usize,
    /// Column, counted from 1 in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: String,
}

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// This is not the source of a plugin.
    #[error("{}: {reason}", path.display())]
    NotAPlugin {
        /// What was given.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// No builder for the language.
    #[error("language `{0}` is not supported by this build")]
    UnsupportedLanguage(&'static str),
    /// A compiler or packager is missing.
    #[error("{missing}")]
    NoToolchain {
        /// What is missing.
        missing: String,
        /// How to get it.
        hint: String,
    },
    /// The compiler or packager refused the sources.
    #[error("{what}{}", indented(output))]
    Failed {
        /// What failed.
        what: String,
        /// What the tool said.
        output: String,
        /// How to mend it.
        hint: String,
    },
}

impl BuildError {
    /// A file that cannot be read or written.
    pub fn io(path: &Path, error: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), error }
    }

    /// How to mend it.
    pub fn hint(&self) -> String {
        match self {
            BuildError::Manifest(error) => error.hint.clone(),
            BuildError::Io { .. } => "check the path and its permissions".to_owned(),
            BuildError::NotAPlugin { .. } => {
                "give a folder with a plugin.toml, a reward.py, .js or .c, or a .wasm component; \
                 `r1x plugin new NAME` makes a folder"
                    .to_owned()
            }
            BuildError::UnsupportedLanguage(_) => format!(
                "this build makes components from: {}; or build one yourself and say \
                 `prebuilt = \"file.wasm\"` under [build]",
                crate::language::supported().join(", ")
            ),
            BuildError::NoToolchain { hint, .. } | BuildError::Failed { hint, .. } => hint.clone(),
        }
    }
}

/// A tool's output below the sentence that announces it.
fn indented(output: &str) -> String {
    output.trim_end().lines().map(|line| format!("\n  | {line}")).collect()
}
