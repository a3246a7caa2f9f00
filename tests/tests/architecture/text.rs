//! ARCHITECTURE.md names what exists, and all of it.

use std::collections::BTreeSet;
use std::fs;

use super::{assert_none, root};

/// The crates, by their folders.
fn crates() -> BTreeSet<String> {
    let entries =
        fs::read_dir(root().join("crates")).unwrap_or_else(|error| panic!("crates: {error}"));
    let names = entries.flatten().filter(|entry| entry.path().join("Cargo.toml").is_file());
    names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// What stands between single backticks outside code blocks.
fn quoted(markdown: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut in_block = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            words.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    words
}

/// Whether a word in backticks looks like a path of this repository.
fn is_path(word: &str) -> bool {
    let endings = [".rs", ".md", ".toml", ".yaml", ".sql", ".wit", ".lock"];
    let plain = word.chars().all(|c| c.is_alphanumeric() || "-_./".contains(c));
    plain && (word.contains('/') || endings.iter().any(|ending| word.ends_with(ending)))
}

/// Folders at the top of the repository that documents name files in.
const TOP: [&str; 9] =
    ["bench", "crates", "docs", "experiments", "fuzz", "migrations", "plugins", "tests", "xtask"];

#[test]
fn documents_name_files_that_exist() {
    let mut violations = Vec::new();
    for document in ["CONTRIBUTING.md", "README.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap_or_default();
        for word in quoted(&text) {
            let inside = word.split_once('/').is_some_and(|(top, _)| TOP.contains(&top));
            if inside && is_path(&word) && !root().join(&word).exists() {
                violations.push(format!("{document}: there is no `{word}`"));
            }
        }
    }
    assert_none(&violations, "paths in documents are those of the repository");
}

#[test]
fn architecture_names_what_exists() {
    let path = root().join("ARCHITECTURE.md");
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("ARCHITECTURE.md: {error}"));
    let crates = crates();
    let mut violations = Vec::new();
    let words = quoted(&text);
    for word in &words {
        if is_path(word) && !root().join(word).exists() {
            violations.push(format!("there is no `{word}`"));
        } else if word.starts_with("r1x-") && !is_path(word) && !crates.contains(word) {
            violations.push(format!("there is no crate `{word}`"));
        }
    }
    for name in &crates {
        if !words.contains(name) {
            violations.push(format!("the crate `{name}` is not on the map"));
        }
    }
    assert_none(&violations, "ARCHITECTURE.md names existing crates and paths, and every crate");
}

#[test]
fn quoted_words_are_those_outside_code_blocks() {
    let text = "a `b` and `c/d.rs`\n```\n`e`\n```\n`f`";
    assert_eq!(quoted(text), ["b", "c/d.rs", "f"]);
    assert!(
        is_path("c/d.rs") && is_path("deny.toml") && !is_path("Policy") && !is_path("a -> b/c")
    );
}
