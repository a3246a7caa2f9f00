//! Python: the author writes one function, `python/r1x_shim.py` is the plugin around it, and componentize-py
//! puts it and an interpreter with its packages into a component, the **base**.
//!
//! The author's files are a layer over the base: the base itself reads and checks them, in the host's sandbox, and
//! every instance loads them from beside its code. So an edit builds no interpreter and no package again. Where the
//! manifest freezes the top level, or there is no host at hand, the author's files are part of the base. Nothing of
//! the author's, and nothing of a package, runs in this process or beside it.

mod base;
mod imports;

use std::path::{Path, PathBuf};
use std::process::Command;

use super::entry::{Entry, Form};
use crate::archive::Archive;
use crate::contract;
use crate::environment::{Environment, Prepared, SandboxError};
use crate::error::BuildError;
use crate::files;
use crate::manifest::TopLevel;
use crate::package::{self, Packages};
use crate::scratch::{Stage, absolute};
use crate::source::Source;
use crate::tool;

/// The packager's version. The shim relies on the names that this one generates.
pub const VERSION: &str = "0.25.1";
/// The version of Python that it brings.
pub(crate) const INTERPRETER: &str = "3.14";
/// The variable that names the packager.
pub const VARIABLE: &str = "R1X_COMPONENTIZE_PY";

const PROGRAM: &str = "componentize-py";
/// Where the command of [`not_found`] installs it, inside the cache folder.
const VENV: &str = "python";
const FORM: Form = Form { extensions: &["py"], file: "reward.py", function: Some("reward") };
/// The note that tells the shim what to load.
const NOTE: &str = "r1x_build.json";
/// What the base makes of the author's files.
const LAYER: &str = "r1x_layer";
/// Where the author's files are seen from inside.
const AUTHOR: &str = "2";
/// What goes into every base beside the standard library.
const SHIM: [(&str, &str); 4] = [
    ("r1x_shim.py", include_str!("python/r1x_shim.py")),
    ("r1x_author.py", include_str!("python/r1x_author.py")),
    ("r1x_base.py", include_str!("python/r1x_base.py")),
    ("_ctypes.py", include_str!("python/_ctypes.py")),
];
/// What a base offers beside being a reward.
const LAYERED: (&str, &str) = ("wit/layer.wit", include_str!("python/layer.wit"));

/// What decides a component besides the sources. The tool itself is not asked, so that what was built once runs
/// where it is not installed.
pub(crate) fn fingerprint(_environment: &Environment) -> Result<String, BuildError> {
    let shim = SHIM.map(|(_, text)| text).join("\0");
    let embedded = files::sha256(format!("{shim}\0{}\0{}", contract::WIT, LAYERED.1).as_bytes());
    Ok(format!("{PROGRAM} {VERSION} {embedded}"))
}

/// Builds the component of a Python plugin.
pub(crate) fn compile(source: &Source, environment: &Environment) -> Result<Vec<u8>, BuildError> {
    let entry = Entry::of(source, &FORM)?;
    let packages = package::provide(source, environment)?;
    let stage = Stage::new(environment, "python-build")?;
    stage.copy(source, &entry.file, "author")?;
    stage.write(&format!("author/{NOTE}"), note(source, &entry).to_string().as_bytes())?;
    let author = stage.path("author");
    if environment.sandbox.is_none() || source.manifest.build.top_level == TopLevel::Frozen {
        let modules = imports::of(&author, packages.as_ref())?;
        let base = base::build(environment, packages.as_ref(), &modules, Some(&author))
            .map_err(|error| error.about(&entry.file))?;
        return Ok(add(base, &data(&author, Kept::Data)?));
    }
    layered(&entry, packages.as_ref(), environment, &author)
}

/// The base with the author's files over it.
fn layered(
    entry: &Entry,
    packages: Option<&Packages>,
    environment: &Environment,
    author: &Path,
) -> Result<Vec<u8>, BuildError> {
    let mut modules = imports::of(author, packages)?;
    let sources = data(author, Kept::All)?;
    let mut base = base::kept(environment, packages, &modules)?;
    let mut prepared = prepare(entry, environment, &add(base.clone(), &sources))?;
    // What an instance would load again and again becomes part of the base.
    let late: Vec<String> =
        prepared.late.iter().filter(|name| imports::is_packaged(name, packages)).cloned().collect();
    if !late.is_empty() {
        modules.extend(late);
        base = base::kept(environment, packages, &modules)?;
        prepared = prepare(entry, environment, &add(base.clone(), &sources))?;
    }
    let mut files = data(author, Kept::Data)?;
    files.push(&format!("{AUTHOR}/{LAYER}"), &prepared.layer);
    Ok(add(base, &files))
}

fn prepare(
    entry: &Entry,
    environment: &Environment,
    component: &[u8],
) -> Result<Prepared, BuildError> {
    let what = format!("{} cannot become a plugin", entry.file);
    let Some(sandbox) = &environment.sandbox else {
        let output = "there is no host at hand to read it".to_owned();
        return Err(BuildError::Failed { what, output, hint: "this is a bug of r1x".to_owned() });
    };
    let deadline = tool::deadline(environment, tool::BUILD);
    sandbox.prepare(component, deadline).map_err(|error| match error {
        SandboxError::Refused(output) => super::refusal(&entry.file, output),
        SandboxError::TimedOut(output) => super::endless(&entry.file, output),
        SandboxError::Broke(output) => {
            let hint = "the top level runs when the plugin is built, in the sandbox that scores";
            BuildError::Failed { what, output, hint: hint.to_owned() }
        }
    })
}

/// Which of the author's files are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// All of them.
    All,
    /// What code may read; code itself is compiled.
    Data,
}

/// The author's files as the component carries them.
fn data(author: &Path, kept: Kept) -> Result<Archive, BuildError> {
    let mut archive = Archive::default();
    for file in files::all(author)? {
        let code = file.extension().is_some_and(|extension| extension == "py");
        if kept == Kept::All || !(code || file == Path::new(NOTE)) {
            let path = author.join(&file);
            let bytes = r1x_files::read(&path, r1x_files::AMPLE)
                .map_err(|error| BuildError::io(&path, error))?;
            archive.push(&format!("{AUTHOR}/{}", files::slashed(&file)), &bytes);
        }
    }
    Ok(archive)
}

fn add(mut component: Vec<u8>, files: &Archive) -> Vec<u8> {
    files.append_to(&mut component);
    component
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
    let own = own_program(environment, PROGRAM)?;
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

/// The Python of the environment that the command of [`not_found`] makes.
pub(crate) fn own_python(environment: &Environment) -> Result<PathBuf, BuildError> {
    own_program(environment, "python")
}

fn own_program(environment: &Environment, name: &str) -> Result<PathBuf, BuildError> {
    let bin = if cfg!(windows) { "Scripts" } else { "bin" };
    absolute(&environment.cache_folder.join(VENV).join(bin).join(name))
}

pub(crate) fn not_found(environment: &Environment, missing: String) -> BuildError {
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
