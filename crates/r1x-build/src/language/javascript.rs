//! JavaScript: the author writes one function, the files beside this one are the plugin around it, and
//! componentize-js puts them and an engine into a component.
//!
//! Nothing of the author's runs in Node: its sources are parsed there, and run in the packager's own sandbox, on
//! copies.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::entry::{Entry, Form};
use crate::contract;
use crate::environment::Environment;
use crate::error::BuildError;
use crate::files;
use crate::scratch::{Stage, absolute};
use crate::source::Source;
use crate::tool::{self, ask};

/// The packager's version. The shim relies on the names that this one generates.
pub const VERSION: &str = "0.23.0";
/// The variable that names the packager's folder.
pub const VARIABLE: &str = "R1X_COMPONENTIZE_JS";
/// The variable that names Node.
pub const NODE_VARIABLE: &str = "R1X_NODE";

const PACKAGE: &str = "@bytecodealliance/componentize-js";
/// Where the command of the hint installs it, inside the cache folder.
const OWN: &str = "js";
const FORM: Form = Form { extensions: &["js", "mjs"], file: "reward.js", function: Some("reward") };
const BUILD: &str = include_str!("javascript/build.mjs");
/// What goes into the component beside the author's files.
const SHIM: [(&str, &str); 2] = [
    ("r1x_shim.js", include_str!("javascript/r1x_shim.js")),
    ("r1x_world.js", include_str!("javascript/r1x_world.js")),
];
const COMPONENT: &str = "component.wasm";

/// Node, and the packager's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    node: OsString,
    package: PathBuf,
}

/// What decides the component besides the sources. The tools themselves are not asked, so that what was built
/// once runs where they are not installed.
pub(crate) fn fingerprint(_environment: &Environment) -> Result<String, BuildError> {
    let shim = SHIM.map(|(_, text)| text).join("\0");
    let embedded = files::sha256(format!("{BUILD}\0{shim}\0{}", contract::WIT).as_bytes());
    Ok(format!("{PACKAGE} {VERSION} {embedded}"))
}

/// Builds the component of a plugin in JavaScript.
pub(crate) fn compile(source: &Source, environment: &Environment) -> Result<Vec<u8>, BuildError> {
    let entry = Entry::of(source, &FORM)?;
    let tools = find(environment)?;
    let stage = Stage::new(environment, "js-build")?;
    stage.copy(source, &entry.file, "author")?;
    for (name, text) in SHIM {
        stage.write(name, text.as_bytes())?;
    }
    stage.write("build.mjs", BUILD.as_bytes())?;
    stage.write(contract::WIT_FILE, contract::WIT.as_bytes())?;
    stage.write("r1x_note.json", note(source, &entry).to_string().as_bytes())?;
    // Modules need to be told so in a folder without a package; and the packager's own files stay in the stage.
    stage.write("package.json", b"{\"type\": \"module\"}\n")?;
    stage.write("tmp/none", b"")?;
    let mut command = Command::new(&tools.node);
    command
        .arg("build.mjs")
        .arg(&tools.package)
        .env("TMPDIR", stage.path("tmp"))
        .env_remove("NODE_OPTIONS")
        .env_remove("NODE_PATH");
    let ran = stage.run(".", &mut command, tool::BUILD)?;
    if ran.succeeded() {
        stage.read(COMPONENT)
    } else {
        Err(super::refused(&entry.file, &format!("{PACKAGE} {VERSION}"), &ran))
    }
}

/// What the script has to know of the manifest.
fn note(source: &Source, entry: &Entry) -> serde_json::Value {
    let about = &source.manifest.plugin;
    serde_json::json!({
        "path": entry.file,
        "function": entry.function,
        "world": contract::WORLD,
        "name": about.name,
        "version": about.version,
        "description": about.description,
    })
}

/// Node, by its variable or on the path; the packager in the folder that its variable names, or in the cache
/// folder.
///
/// # Errors
/// When either is missing, or the packager has another version.
pub fn find(environment: &Environment) -> Result<Tools, BuildError> {
    let node = environment.variable(NODE_VARIABLE).unwrap_or(OsStr::new("node")).to_owned();
    ask(Command::new(&node).arg("--version")).map_err(|error| {
        let missing = format!(
            "a reward in JavaScript needs Node; `{}` does not start: {error}",
            node.to_string_lossy()
        );
        not_found(environment, missing)
    })?;
    let named = environment.variable(VARIABLE).map(Path::new);
    let own = environment.cache_folder.join(OWN);
    let folder = absolute(named.unwrap_or(&own))?;
    let wrong = |what: String| match named {
        Some(_) => format!("{VARIABLE} names {}, {what}", folder.display()),
        None => format!("a reward in JavaScript needs {PACKAGE}: {}, {what}", folder.display()),
    };
    let inside = folder.join("node_modules").join(PACKAGE);
    for package in [folder.clone(), inside] {
        match version(&package) {
            Some(version) if version == VERSION => return Ok(Tools { node, package }),
            Some(other) => {
                let what = wrong(format!("which has version {other}; r1x needs {VERSION}"));
                return Err(not_found(environment, what));
            }
            None => {}
        }
    }
    Err(not_found(environment, wrong("where it is not installed".to_owned())))
}

/// The version of the packager in a folder that holds it.
fn version(package: &Path) -> Option<String> {
    let text = std::fs::read_to_string(package.join("package.json")).ok()?;
    let facts: serde_json::Value = serde_json::from_str(&text).ok()?;
    (facts["name"] == PACKAGE).then(|| facts["version"].as_str().unwrap_or("?").to_owned())
}

fn not_found(environment: &Environment, missing: String) -> BuildError {
    let folder = environment.cache_folder.join(OWN);
    BuildError::NoToolchain {
        missing,
        hint: format!(
            "with Node 20 or newer (or {NODE_VARIABLE} set to one), this installs it for r1x alone, 400 MB: \
             npm install --prefix {} {PACKAGE}@{VERSION} (or set {VARIABLE} to a folder where it is installed)",
            folder.display()
        ),
    }
}
