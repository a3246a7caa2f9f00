//! `plugins.lock`: which sources, which component, which compiler. JSON, sorted, one entry per plugin.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use r1x_build::files::digest;
pub use r1x_build::files::sha256;
use serde::{Deserialize, Serialize};

use super::Plugin;
use crate::failure::Failure;

/// Files and folders every component depends on besides its own crate.
const SHARED: &[&str] =
    &["crates/r1x-reward/wit", "plugins/Cargo.toml", "plugins/Cargo.lock", "plugins/sdk-rust"];

/// The whole lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Entries by the plugin's name.
    pub plugins: BTreeMap<String, Entry>,
}

/// One plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Path of the component, from the top of the repository.
    pub component: String,
    /// sha256 over the names and bytes of all sources, hex.
    pub source_sha256: String,
    /// sha256 of the component, hex.
    pub wasm_sha256: String,
    /// First line of the compiler's version.
    pub compiler: String,
}

impl Lock {
    /// Reads a lock file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        serde_json::from_str(&text).map_err(|error| {
            Failure::new(
                format!("{} is not a lock: {error}", path.display()),
                "restore it from version control, or run `cargo xtask plugins`",
            )
        })
    }

    /// The text of a lock file.
    pub fn to_text(&self) -> Result<String, Failure> {
        let text = serde_json::to_string_pretty(self).map_err(|error| {
            Failure::new(format!("the lock cannot be written: {error}"), "this is a bug")
        })?;
        Ok(text + "\n")
    }

    /// What is wrong with the entry of one plugin, in sentences.
    pub fn compare(&self, root: &Path, plugin: &Plugin) -> Result<Vec<String>, Failure> {
        let name = plugin.name;
        let Some(entry) = self.plugins.get(name) else {
            return Ok(vec![format!("{name}: not in the lock")]);
        };
        let mut findings = Vec::new();
        if entry.component != plugin.component {
            findings.push(format!("{name}: the lock names {}", entry.component));
        }
        if source_sha256(root, plugin)? != entry.source_sha256 {
            findings.push(format!("{name}: its sources changed since it was built"));
        }
        match fs::read(root.join(plugin.component)) {
            Err(error) => findings.push(format!("{name}: {}: {error}", plugin.component)),
            Ok(bytes) if sha256(&bytes) != entry.wasm_sha256 => {
                findings.push(format!("{name}: {} is another build", plugin.component));
            }
            Ok(_) => {}
        }
        Ok(findings)
    }

    /// Entries that belong to no plugin.
    pub fn strangers(&self, plugins: &[Plugin]) -> Vec<String> {
        let known = |name: &str| plugins.iter().any(|plugin| plugin.name == name);
        let strangers = self.plugins.keys().filter(|name| !known(name));
        strangers.map(|name| format!("{name}: in the lock, but no such plugin")).collect()
    }
}

/// Hex sha256 over everything a plugin is built from: each file's path, length and bytes, sorted by path.
pub fn source_sha256(root: &Path, plugin: &Plugin) -> Result<String, Failure> {
    let own = format!("plugins/{}", plugin.name);
    let mut files = Vec::new();
    for start in SHARED.iter().copied().chain([own.as_str()]) {
        collect(&root.join(start), &mut files)?;
    }
    let relative = |file: &PathBuf| {
        let relative = file.strip_prefix(root).unwrap_or(file);
        let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
        parts.join("/")
    };
    // As texts: paths sort by their parts.
    let mut named: Vec<String> = files.iter().map(relative).collect();
    named.sort();
    let named: Vec<PathBuf> = named.into_iter().map(PathBuf::from).collect();
    digest(root, &named).map_err(|error| Failure::new(error.to_string(), error.hint()))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(|error| unreadable(path, &error))? {
        let entry = entry.map_err(|error| unreadable(path, &error))?;
        collect(&entry.path(), files)?;
    }
    Ok(())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        format!("cannot read {}: {error}", path.display()),
        "restore it from version control, or run `cargo xtask plugins`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLUGIN: Plugin = Plugin { name: "toy", component: "plugins/toy.wasm" };

    /// A repository with one plugin, in a folder of its own that goes away with the value.
    struct Repository(PathBuf);

    impl Repository {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
            for folder in ["crates/r1x-reward/wit", "plugins/sdk-rust", "plugins/toy/src"] {
                fs::create_dir_all(root.join(folder)).unwrap();
            }
            for file in ["plugins/Cargo.toml", "plugins/Cargo.lock", "plugins/toy/src/lib.rs"] {
                fs::write(root.join(file), file).unwrap();
            }
            fs::write(root.join(PLUGIN.component), b"component").unwrap();
            Self(root)
        }

        fn lock(&self) -> Lock {
            let entry = Entry {
                component: PLUGIN.component.to_owned(),
                source_sha256: source_sha256(&self.0, &PLUGIN).unwrap(),
                wasm_sha256: sha256(b"component"),
                compiler: "rustc".to_owned(),
            };
            Lock { plugins: BTreeMap::from([("toy".to_owned(), entry)]) }
        }
    }

    impl Drop for Repository {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_fresh_lock_has_no_findings_and_survives_its_text() {
        let repository = Repository::new("fresh");
        let lock = repository.lock();
        assert!(lock.compare(&repository.0, &PLUGIN).unwrap().is_empty());
        let path = repository.0.join("plugins.lock");
        fs::write(&path, lock.to_text().unwrap()).unwrap();
        assert_eq!(Lock::read(&path).unwrap(), lock);
    }

    #[test]
    fn every_change_is_found() {
        let repository = Repository::new("changes");
        let lock = repository.lock();
        let findings = || lock.compare(&repository.0, &PLUGIN).unwrap().join("\n");

        fs::write(repository.0.join(PLUGIN.component), b"forged").unwrap();
        assert!(findings().contains("another build"));
        fs::remove_file(repository.0.join(PLUGIN.component)).unwrap();
        assert!(findings().contains("plugins/toy.wasm"));
        fs::write(repository.0.join("crates/r1x-reward/wit/reward.wit"), "package").unwrap();
        assert!(findings().contains("sources changed"));
        assert_eq!(Lock::default().compare(&repository.0, &PLUGIN).unwrap().len(), 1);
        assert_eq!(lock.strangers(&[]).len(), 1);
    }
}
