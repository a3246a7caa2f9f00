//! Ignored tests that say what they need, found in the sources.

use std::path::Path;

use crate::failure::Failure;

/// How the attribute of such a test begins.
const ATTRIBUTE: &str = "#[ignore = \"needs ";

/// A test that needs something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needy {
    /// Its file, from the top of the repository, with `/`.
    pub file: String,
    /// The name of its function.
    pub name: String,
    /// What it needs.
    pub need: String,
}

impl Needy {
    /// Whether it belongs to the workspace of reward plugins.
    pub fn is_of_plugins(&self) -> bool {
        self.file.starts_with("plugins/")
    }

    /// Whether it runs on a card, so that its program must be built with CUDA.
    pub fn needs_a_card(&self) -> bool {
        self.need == "a card"
    }

    /// Its paths among those that test programs list: several where a macro makes several tests of one function.
    pub fn among<'a>(&self, listed: &[&'a str]) -> Vec<&'a str> {
        let module = self.module();
        let named: Vec<&str> =
            listed.iter().copied().filter(|path| last(path) == self.name).collect();
        let inside: Vec<&str> = named
            .iter()
            .copied()
            .filter(|path| path.split("::").any(|part| part == module))
            .collect();
        // A file at the root of its program is no part of a path.
        if inside.is_empty() { named } else { inside }
    }

    /// The module of its file.
    fn module(&self) -> &str {
        let mut parts = self.file.trim_end_matches(".rs").rsplit('/');
        match parts.next().unwrap_or_default() {
            "mod" | "tests" | "main" | "lib" => parts.next().unwrap_or_default(),
            name => name,
        }
    }
}

fn last(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

/// Every such test, by file and line.
pub fn needy(root: &Path) -> Result<Vec<Needy>, Failure> {
    let mut found = Vec::new();
    for folder in ["bench", "crates", "fuzz", "plugins", "tests"] {
        collect(&root.join(folder), folder, &mut found)?;
    }
    Ok(found)
}

fn collect(folder: &Path, name: &str, found: &mut Vec<Needy>) -> Result<(), Failure> {
    let unreadable = |name: &str, error: std::io::Error| {
        Failure::new(format!("cannot read {name}: {error}"), "restore it from version control")
    };
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(name, error))?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(|e| unreadable(name, e))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let file = entry.file_name().to_string_lossy().into_owned();
        let below = format!("{name}/{file}");
        if entry.path().is_dir() {
            if file != "target" {
                collect(&entry.path(), &below, found)?;
            }
        } else if file.ends_with(".rs") {
            let text =
                std::fs::read_to_string(entry.path()).map_err(|error| unreadable(&below, error))?;
            found.extend(of_text(&below, &text));
        }
    }
    Ok(())
}

/// The tests of one file.
fn of_text(file: &str, text: &str) -> Vec<Needy> {
    let mut lines = text.lines().map(str::trim_start);
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let Some(need) = line.strip_prefix(ATTRIBUTE).and_then(|rest| rest.strip_suffix("\"]"))
        else {
            continue;
        };
        let function = lines.by_ref().find_map(|line| line.strip_prefix("fn "));
        let name = function.and_then(|rest| rest.split('(').next()).unwrap_or_default();
        let (name, need) = (name.to_owned(), need.to_owned());
        found.push(Needy { file: file.to_owned(), name, need });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_belong_to_the_next_function() {
        let text = "#[test]\n#[ignore = \"needs a card\"]\nfn one() {}\n#[ignore = \"the child of x\"]\n\
                    fn two() {}\nmod m {\n    #[test]\n    #[ignore = \"needs node\"]\n    #[cfg(unix)]\n    fn three() {}\n}\n";
        let found = of_text("crates/a/src/b.rs", text);
        let found: Vec<_> =
            found.iter().map(|test| (test.name.as_str(), test.need.as_str())).collect();
        assert_eq!(found, [("one", "a card"), ("three", "node")]);
    }

    #[test]
    fn a_test_is_found_among_others_of_its_name() {
        let test = |file: &str, name: &str| Needy {
            file: file.to_owned(),
            name: name.to_owned(),
            need: String::new(),
        };
        let listed =
            ["c::ends", "python::ends", "op::selftest::tests::card", "cli", "a::x::on", "b::x::on"];
        let found = |file: &str, name: &str| test(file, name).among(&listed);
        assert_eq!(found("crates/r1x/tests/languages/c.rs", "ends"), ["c::ends"]);
        assert_eq!(found("crates/o/src/op/selftest.rs", "card"), ["op::selftest::tests::card"]);
        assert_eq!(found("crates/r1x/tests/commands.rs", "cli"), ["cli"]);
        assert_eq!(found("crates/m/src/x/tests.rs", "on"), ["a::x::on", "b::x::on"]);
        assert!(found("crates/m/src/x.rs", "off").is_empty());
    }
}
