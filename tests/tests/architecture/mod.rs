//! Fitness tests: what ARCHITECTURE.md promises about the shape of the code, checked on every build.
//!
//! Each test prints every violation at once.

mod dependencies;
mod lexer;
mod modules;
mod printing;
mod promises;
mod sources;
mod style;
mod text;

use std::path::PathBuf;

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Fails with all violations, one a line.
#[track_caller]
fn assert_none(violations: &[String], rule: &str) {
    assert!(
        violations.is_empty(),
        "{rule}\n{} violations:\n  {}",
        violations.len(),
        violations.join("\n  ")
    );
}
