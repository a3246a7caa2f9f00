//! Every Rust file of the repository, read once per test.

use std::fs;
use std::path::Path;

use super::lexer::code_only;
use super::root;

/// One Rust file.
pub struct Source {
    /// Path from the top of the repository, with `/`.
    pub path: String,
    /// As written.
    pub text: String,
    /// Without comments and contents of literals.
    pub code: String,
}

impl Source {
    /// The crate it belongs to: `r1x-core`, `bench`, `xtask`, `plugins`, `tests`.
    pub fn home(&self) -> &str {
        let path = self.path.strip_prefix("crates/").unwrap_or(&self.path);
        path.split('/').next().unwrap_or(path)
    }

    /// Whether it only runs in tests, benches or the build.
    pub fn is_beside(&self) -> bool {
        let folder = ["/tests/", "/benches/", "/examples/", "/testing/"]
            .iter()
            .any(|part| self.path.contains(part));
        let file = self.path.rsplit('/').next().unwrap_or_default();
        folder
            || file == "build.rs"
            || file == "testing.rs"
            || file.ends_with("tests.rs")
            || self.home() == "tests"
    }

    /// The code that is not marked `#[cfg(test)]`, by the convention that such a module ends its file.
    pub fn shipped(&self) -> &str {
        let mut from = 0;
        while let Some(at) = self.code[from..].find("#[cfg(test)]") {
            let start = from + at;
            let item = self.code[start..].trim_start_matches("#[cfg(test)]").trim_start();
            let is_module = item.lines().take(3).any(|line| {
                line.split_whitespace().any(|word| word == "mod") && line.trim_end().ends_with('{')
            });
            if is_module {
                return &self.code[..start];
            }
            from = start + 1;
        }
        &self.code
    }
}

/// All Rust files below the folders that hold ours, sorted by path.
pub fn all() -> Vec<Source> {
    let mut sources = Vec::new();
    for folder in ["bench", "crates", "fuzz", "plugins", "tests", "xtask"] {
        collect(&root().join(folder), folder, &mut sources);
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 50, "only {} files found: is this the repository?", sources.len());
    sources
}

fn collect(folder: &Path, name: &str, sources: &mut Vec<Source>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{name}: {error}"));
    for entry in entries {
        let entry = entry.unwrap_or_else(|error| panic!("{name}: {error}"));
        let file = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{name}/{file}");
        if entry.path().is_dir() {
            if file != "target" {
                collect(&entry.path(), &path, sources);
            }
        } else if file.ends_with(".rs") {
            let text =
                fs::read_to_string(entry.path()).unwrap_or_else(|error| panic!("{path}: {error}"));
            let code = code_only(&text);
            sources.push(Source { path, text, code });
        }
    }
}

/// Lines (from 1) on which a word occurs; a word is not part of a longer identifier.
pub fn lines_with(code: &str, word: &str) -> Vec<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let whole = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back().is_some_and(part);
            let after = line[at + word.len()..].chars().next().is_some_and(part);
            !before && (!after || !word.ends_with(part))
        })
    };
    code.lines().enumerate().filter(|(_, line)| whole(line)).map(|(at, _)| at + 1).collect()
}

#[test]
fn words_are_found_whole() {
    let code = "unsafe {\nunsafe_code\nmy_unsafe\nprintln!(x)\neprintln!(y)\nstd::env::var_os(a)";
    assert_eq!(lines_with(code, "unsafe"), [1]);
    assert_eq!(lines_with(code, "println!"), [4]);
    assert_eq!(lines_with(code, "env::var_os"), [6]);
}

#[test]
fn test_modules_are_not_shipped() {
    let of = |text: &str| {
        let source = Source { path: String::new(), text: String::new(), code: code_only(text) };
        source.shipped().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of("fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}"), "fn a() {}");
    assert_eq!(of("#[cfg(test)]\nmod tests;\nfn a() {}"), "#[cfg(test)] mod tests; fn a() {}");
    assert_eq!(of("fn a() {}\n#[cfg(test)]\npub(crate) mod t {\n}"), "fn a() {}");
}
