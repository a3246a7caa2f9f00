//! What a crate may have run and read while it is compiled: no program of its own, and no file and no variable of the
//! machine.
//!
//! Build scripts and procedural macros are programs, run by the compiler with all that its user may do. Those that
//! the SDK stands on are trusted by name; everything else is code for the sandbox, and cargo tells what it is before
//! anything is run, and the compiler what it has read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::environment::Environment;
use crate::error::BuildError;

/// Names further packages, with commas between them, that may run a program while they are compiled.
const VARIABLE: &str = "R1X_RUST_BUILD_SCRIPTS";
/// Where the packages below come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// The packages of the SDK, and of what it stands on, that run a program while they are compiled.
pub(super) const TRUSTED: [&str; 12] = [
    "anyhow",
    "prettyplease",
    "proc-macro2",
    "quote",
    "serde",
    "serde_core",
    "serde_derive",
    "serde_json",
    "wit-bindgen",
    "wit-bindgen-rust",
    "wit-bindgen-rust-macro",
    "zmij",
];
/// The kinds of a target that is a program for this machine.
const PROGRAMS: [&str; 2] = ["custom-build", "proc-macro"];

/// What cargo says of a crate and all it depends on.
#[derive(Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    source: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
}

impl Package {
    fn runs_a_program(&self) -> bool {
        let mut kinds = self.targets.iter().flat_map(|target| &target.kind);
        kinds.any(|kind| PROGRAMS.contains(&kind.as_str()))
    }

    fn is_trusted(&self, more: &[&str]) -> bool {
        let name = self.name.as_str();
        more.contains(&name)
            || (self.source.as_deref() == Some(REGISTRY) && TRUSTED.contains(&name))
    }
}

impl Metadata {
    /// Reads what `cargo metadata` prints.
    pub(super) fn read(text: &str) -> Result<Self, BuildError> {
        serde_json::from_str(text).map_err(|error| BuildError::Failed {
            what: "what cargo says of the crate cannot be read".to_owned(),
            output: error.to_string(),
            hint: "another version of cargo may write it as r1x expects".to_owned(),
        })
    }

    /// The packages that are compiled, and run a program for it.
    fn programs(&self) -> impl Iterator<Item = &Package> {
        let used: BTreeSet<&str> = self.resolve.nodes.iter().map(|node| node.id.as_str()).collect();
        self.packages
            .iter()
            .filter(move |package| used.contains(package.id.as_str()) && package.runs_a_program())
    }

    /// Refuses a crate that would have a program run which the SDK does not need, or take in another folder.
    pub(super) fn check(&self, folder: &Path, environment: &Environment) -> Result<(), BuildError> {
        let named = environment.variable(VARIABLE).and_then(|value| value.to_str());
        let more: Vec<&str> = named.unwrap_or_default().split(',').map(str::trim).collect();
        if let Some(package) = self.programs().find(|package| !package.is_trusted(&more)) {
            let Package { name, source, .. } = package;
            let from = source.as_deref().unwrap_or("a folder");
            return Err(BuildError::Failed {
                what: format!("the package `{name}` would run a program while the plugin is built"),
                output: format!(
                    "its build script or procedural macro runs with all you may do; it comes from {from}"
                ),
                hint: format!(
                    "take it out; or, if you trust it as you trust a program you start, add its name to {VARIABLE}"
                ),
            });
        }
        let roots = self.roots(folder);
        for package in self.packages.iter().filter(|package| package.source.is_none()) {
            if !roots.iter().any(|root| package.manifest_path.starts_with(root)) {
                return Err(BuildError::NotAPlugin {
                    path: package.manifest_path.clone(),
                    reason: "is a package outside of the plugin's folder and its workspace"
                        .to_owned(),
                });
            }
            unstable(&package.manifest_path)?;
        }
        unstable(&self.workspace_root.join("Cargo.toml"))
    }

    /// Where the compiler is started for packages in folders, so where relative paths begin.
    pub(super) fn root(&self) -> &Path {
        &self.workspace_root
    }

    /// The folders whose sources are the plugin's: its own, and that of the workspace it is a member of.
    pub(super) fn roots(&self, folder: &Path) -> Vec<PathBuf> {
        let above = folder.starts_with(&self.workspace_root);
        std::iter::once(folder.to_owned())
            .chain(above.then(|| self.workspace_root.clone()))
            .collect()
    }
}

/// A manifest may set the compiler's flags, and with them the programs it starts, by what cargo calls unstable.
fn unstable(manifest: &Path) -> Result<(), BuildError> {
    let text =
        std::fs::read_to_string(manifest).map_err(|error| BuildError::io(manifest, error))?;
    let table: toml::Table = toml::from_str(&text).unwrap_or_default();
    if table.contains_key("cargo-features") {
        let reason = "asks for unstable features of cargo (cargo-features)".to_owned();
        return Err(BuildError::NotAPlugin { path: manifest.to_owned(), reason });
    }
    Ok(())
}

/// What the compiler has read for a crate.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    files: BTreeSet<PathBuf>,
    /// Variables that were set.
    variables: BTreeSet<String>,
}

impl Read {
    /// Adds what a file of dependencies lists: rules of `make`, and comments about variables.
    fn add(&mut self, text: &str) {
        for line in text.lines() {
            if let Some(variable) = line.strip_prefix("# env-dep:") {
                let set = variable.split_once('=').map(|(name, _)| name.to_owned());
                self.variables.extend(set);
                continue;
            }
            let Some((_, files)) = line.split_once(": ") else { continue };
            // A blank in a path has a backslash before it.
            let files = files.replace("\\ ", "\0");
            self.files.extend(
                files
                    .split(' ')
                    .filter(|file| !file.is_empty())
                    .map(|file| PathBuf::from(file.replace('\0', " "))),
            );
        }
    }
}

/// Refuses a crate whose compiler has read a file outside of these folders, or a variable that cargo did not set.
/// `messages` is what cargo printed, and relative paths begin in `start`.
pub(super) fn check_read(
    messages: &str,
    start: &Path,
    allowed: &[PathBuf],
) -> Result<(), BuildError> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    let messages: Vec<serde_json::Value> = messages.collect();
    let mut read = Read::default();
    for list in messages.iter().flat_map(|message| lists(&message["filenames"])) {
        // What cannot be read is not there: not every artefact has one.
        read.add(&std::fs::read_to_string(list).unwrap_or_default());
    }
    // Without links and steps upwards: names alone would not tell where a file lies.
    let allowed: Vec<PathBuf> =
        allowed.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
    for file in &read.files {
        let found = start.join(file).canonicalize();
        let inside = |found: &PathBuf| allowed.iter().any(|folder| found.starts_with(folder));
        if !found.as_ref().is_ok_and(inside) {
            return Err(refused(format!(
                "it reads {}, which is none of its files",
                file.display()
            )));
        }
    }
    let scripts: BTreeSet<&str> = messages
        .iter()
        .filter_map(|message| message["env"].as_array())
        .flatten()
        .filter_map(|pair| pair[0].as_str())
        .collect();
    let own = |name: &str| name.starts_with("CARGO") || name == "OUT_DIR" || scripts.contains(name);
    match read.variables.iter().find(|name| !own(name)) {
        Some(name) => Err(refused(format!("it reads the variable {name} of this machine"))),
        None => Ok(()),
    }
}

fn refused(output: String) -> BuildError {
    BuildError::Failed {
        what: "the crate takes in what is not its own".to_owned(),
        output,
        hint: "what a plugin needs lies in its folder, and travels in its component".to_owned(),
    }
}

/// Where the compiler lists what it has read for these artefacts.
fn lists(files: &serde_json::Value) -> Vec<PathBuf> {
    let files = files.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut found = Vec::new();
    for file in files.iter().filter_map(serde_json::Value::as_str).map(Path::new) {
        let (Some(folder), Some(stem)) = (file.parent(), file.file_stem()) else { continue };
        let stem = stem.to_string_lossy();
        let name = format!("{}.d", stem.strip_prefix("lib").unwrap_or(&stem));
        found.extend([
            folder.join(&name),
            folder.join("deps").join(&name),
            folder.join(format!("{stem}.d")),
        ]);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(packages: &str, folder: &Path) -> Metadata {
        let text = format!(
            r#"{{"packages":[{packages}],"workspace_root":{folder:?},
                "resolve":{{"nodes":[{{"id":"a"}},{{"id":"b"}}]}}}}"#
        );
        Metadata::read(&text).unwrap()
    }

    fn package(id: &str, name: &str, source: &str, manifest: &Path, kind: &str) -> String {
        format!(
            r#"{{"id":"{id}","name":"{name}","source":{source},"manifest_path":{manifest:?},
                "targets":[{{"kind":["lib"]}},{{"kind":["{kind}"]}}]}}"#
        )
    }

    #[test]
    fn programs_beyond_those_of_the_sdk_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let manifest = folder.join("Cargo.toml");
        std::fs::write(&manifest, "[package]\nname = \"x\"\n").unwrap();
        let registry = format!("\"{REGISTRY}\"");
        let told = |id: &str, name: &str, source: &str, kind: &str, trusted: &str| {
            let variables = [(VARIABLE.to_owned(), trusted.into())].into();
            let environment = Environment::new(variables, folder.clone());
            let metadata = metadata(&package(id, name, source, &manifest, kind), &folder);
            metadata.check(&folder, &environment).err().map(|error| error.to_string())
        };
        assert_eq!(told("a", "serde", &registry, "custom-build", ""), None);
        assert_eq!(told("a", "own", "null", "cdylib", ""), None);
        assert_eq!(told("c", "unused", &registry, "custom-build", ""), None);
        assert_eq!(told("a", "libz-sys", &registry, "custom-build", "x, libz-sys"), None);
        for (name, source, kind) in [
            ("libz-sys", registry.as_str(), "custom-build"),
            ("serde", "null", "custom-build"),
            ("serde_derive", "\"git+https://x\"", "proc-macro"),
            ("r1x-plugin", "null", "proc-macro"),
        ] {
            let told = told("a", name, source, kind, "").unwrap();
            assert!(told.contains(&format!("the package `{name}` would run a program")), "{told}");
        }
    }

    #[test]
    fn packages_lie_in_the_plugin_and_ask_for_nothing_unstable() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        let (plugin, other) = (top.join("plugin"), top.join("other"));
        for folder in [&plugin, &other] {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(folder.join("Cargo.toml"), "[package]\n").unwrap();
        }
        let environment = Environment::new(Default::default(), top.clone());
        let of = |folder: &Path, root: &Path| {
            let package = package("a", "x", "null", &folder.join("Cargo.toml"), "lib");
            let told = metadata(&package, root).check(&plugin, &environment);
            told.err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(of(&plugin, &plugin), "");
        assert!(of(&other, &plugin).contains("outside of the plugin's folder"));
        std::fs::write(top.join("Cargo.toml"), "[workspace]\n").unwrap();
        assert_eq!(of(&other, &top), "", "a workspace that the plugin is a member of");
        let features = "cargo-features = [\"profile-rustflags\"]\n";
        std::fs::write(plugin.join("Cargo.toml"), features).unwrap();
        assert!(of(&plugin, &plugin).contains("unstable features"));
    }

    #[test]
    fn what_was_read_lies_in_the_folders() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().canonicalize().unwrap().join("plugin");
        let deps = folder.join("deps");
        std::fs::create_dir_all(&deps).unwrap();
        std::fs::write(folder.join("own file.rs"), "").unwrap();
        let messages = format!(
            "noise\n{}\n{}",
            r#"{"reason":"build-script-executed","env":[["GENERATED","1"]]}"#,
            serde_json::json!({ "filenames": [folder.join("x.wasm"), deps.join("liby-1.rlib")] }),
        );
        let told = |name: &str, text: &str| {
            std::fs::write(deps.join(name), text).unwrap();
            let told = check_read(&messages, &folder, std::slice::from_ref(&folder));
            std::fs::remove_file(deps.join(name)).unwrap();
            told.err().map(|error| error.to_string()).unwrap_or_default()
        };
        std::fs::write(folder.parent().unwrap().join("r1x-secret"), "").unwrap();
        let own = "x.wasm: own\\ file.rs\n\n# env-dep:CARGO_PKG_NAME=x\n# env-dep:GENERATED=1\n# env-dep:UNSET\n";
        assert_eq!(told("x.d", own), "");
        assert!(
            told("x.d", "x.wasm: own\\ file.rs /etc/hostname\n").contains("reads /etc/hostname")
        );
        assert!(told("y-1.d", "y: ../r1x-secret\n").contains("reads ../r1x-secret"));
        assert!(told("y-1.d", "y: \n# env-dep:HOME=/home/x\n").contains("the variable HOME"));
    }
}
