//! Python: the author writes one function, `python/r1x_shim.py` is the plugin around it, and componentize-py
//! puts both and an interpreter into a component.
//!
//! Nothing of the author's runs in this process or beside it: componentize-py runs the module's top level in
//! a sandbox of its own, on copies of the sources. Must not know what a reward means.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::entry::{Entry, Form};
use crate::build::Environment;
use crate::contract;
use crate::error::BuildError;
use crate::files;
use crate::source::Source;
use crate::stage::{Stage, absolute};
use crate::tool;

/// The packager's version. The shim relies on the names that this one generates.
pub const VERSION: &str = "0.25.1";
/// The variable that names the packager.
pub const VARIABLE: &str = "R1X_COMPONENTIZE_PY";

const SHIM: &str = include_str!("python/r1x_shim.py");
const PROGRAM: &str = "componentize-py";
/// Where the command of [`not_found`] installs it, inside the cache folder.
const VENV: &str = "python";
const FORM: Form = Form { extensions: &["py"], file: "reward.py", function: Some("reward") };
/// The note that tells the shim what to load.
const NOTE: &str = "r1x_build.json";
/// What the packager makes.
const COMPONENT: &str = "component.wasm";
/// What decides the component besides the sources. The tool itself is not asked, so that what was built once
/// runs where it is not installed.
pub(crate) fn fingerprint(_environment: &Environment) -> Result<String, BuildError> {
    let embedded = files::sha256(format!("{SHIM}\0{}", contract::WIT).as_bytes());
    Ok(format!("{PROGRAM} {VERSION} {embedded}"))
}

/// Builds the component of a Python plugin.
pub(crate) fn compile(source: &Source, environment: &Environment) -> Result<Vec<u8>, BuildError> {
    let entry = Entry::of(source, &FORM)?;
    let packager = find(environment)?;
    let stage = Stage::new(environment, "python-build")?;
    stage.copy(source, &entry.file, "author")?;
    stage.write(&format!("author/{NOTE}"), note(source, &entry).to_string().as_bytes())?;
    stage.write("shim/r1x_shim.py", SHIM.as_bytes())?;
    stage.write(contract::WIT_FILE, contract::WIT.as_bytes())?;
    // The folder's own empty environment keeps the packager from adding the user's packages, which no hash
    // would cover. Python looks for this file to believe that it is one.
    stage.write("venv/lib/site-packages/none", b"")?;
    let mut command = Command::new(&packager);
    command
        .args(["-d", "wit", "-w", contract::WORLD, "componentize"])
        .args(["-p", "shim", "-p", "author", "-o", COMPONENT, "r1x_shim"])
        .env("VIRTUAL_ENV", stage.path("venv"))
        .env_remove("PYTHONPATH");
    let ran = stage.run(".", &mut command, tool::BUILD)?;
    if ran.succeeded() {
        stage.read(COMPONENT)
    } else {
        Err(super::refused(&entry.file, &format!("{PROGRAM} {VERSION}"), &ran))
    }
}

/// What the shim has to know of the manifest.
fn note(source: &Source, entry: &Entry) -> serde_json::Value {
    let about = &source.manifest.plugin;
    serde_json::json!({
        "path": entry.file,
        "function": entry.function,
        "name": about.name,
        "version": about.version,
        "description": about.description,
    })
}

/// The packager: the one that the variable names, the one on the path, or the one in the cache folder.
///
/// # Errors
/// When there is none of the right version.
pub fn find(environment: &Environment) -> Result<PathBuf, BuildError> {
    if let Some(named) = environment.variable(VARIABLE) {
        let named = absolute(Path::new(named))?;
        return match version(&named) {
            Ok(version) if version == VERSION => Ok(named),
            Ok(other) => Err(not_found(
                environment,
                format!("{VARIABLE} names {PROGRAM} {other}; r1x needs {VERSION}"),
            )),
            Err(reason) => {
                Err(not_found(environment, format!("{VARIABLE} names no {PROGRAM}: {reason}")))
            }
        };
    }
    let bin = if cfg!(windows) { "Scripts" } else { "bin" };
    let own = absolute(&environment.cache_folder.join(VENV).join(bin).join(PROGRAM))?;
    let mut others = Vec::new();
    for candidate in [PathBuf::from(PROGRAM), own] {
        match version(&candidate) {
            Ok(version) if version == VERSION => return Ok(candidate),
            Ok(other) => others.push(other),
            Err(_) => {}
        }
    }
    let missing = match others.first() {
        None => format!("a reward in Python needs {PROGRAM}, which is not installed"),
        Some(other) => format!("the installed {PROGRAM} is {other}; r1x needs {VERSION}"),
    };
    Err(not_found(environment, missing))
}

fn not_found(environment: &Environment, missing: String) -> BuildError {
    let folder = environment.cache_folder.join(VENV);
    let folder = folder.display();
    BuildError::NoToolchain {
        missing,
        hint: format!(
            "this installs it for r1x alone: python3 -m venv {folder} && {folder}/bin/pip install \
             {PROGRAM}=={VERSION} (or set {VARIABLE} to one you have)"
        ),
    }
}

/// The version a program claims to be.
fn version(program: &Path) -> Result<String, String> {
    let line = tool::ask(Command::new(program).arg("--version"))?;
    match line.strip_prefix(PROGRAM) {
        Some(version) => Ok(version.trim().to_owned()),
        None => Err(format!("`{} --version` does not answer like it", program.display())),
    }
}
