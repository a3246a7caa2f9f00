//! Bases: the interpreter, the standard library and packages in one component, built once for all rewards that
//! use the same.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{LAYERED, PROGRAM, SHIM, VERSION, find, fingerprint};
use crate::archive::Archive;
use crate::contract;
use crate::environment::Environment;
use crate::error::BuildError;
use crate::files;
use crate::package::Packages;
use crate::scratch::Stage;
use crate::tool;

/// Where bases are kept, below the cache folder.
const KEPT: &str = "bases";
/// What the shim has to know.
const NOTE: &str = "shim/r1x_base.json";
/// Where the shim puts what it wants beside the code: the library's modules, and what it compiled of packages.
const LEFT: &str = "shim/left";
const COMPONENT: &str = "component.wasm";

/// Why there is no base.
pub(super) enum BaseError {
    /// The packager ended badly: how.
    Packager(tool::Ran),
    /// Anything else.
    Other(BuildError),
}

impl BaseError {
    /// The error as the author of a file is told it.
    pub(super) fn about(self, file: &str) -> BuildError {
        match self {
            BaseError::Packager(ran) => {
                super::super::refused(file, &format!("{PROGRAM} {VERSION}"), &ran)
            }
            BaseError::Other(error) => error,
        }
    }
}

impl BaseError {
    /// The error where no author had a part in it.
    fn about_packages(self) -> BuildError {
        let ran = match self {
            BaseError::Packager(ran) => ran,
            BaseError::Other(error) => return error,
        };
        let said =
            || (ran.output().trim().to_owned(), format!("this is what {PROGRAM} {VERSION} said"));
        let (output, hint) = ran.timed_out().unwrap_or_else(said);
        let what = "the interpreter with its packages cannot be built".to_owned();
        BuildError::Failed { what, output, hint }
    }
}

impl From<BuildError> for BaseError {
    fn from(error: BuildError) -> Self {
        Self::Other(error)
    }
}

/// The base with these packages, of which these modules are loaded: built, or found as it was built before.
pub(super) fn kept(
    environment: &Environment,
    packages: Option<&Packages>,
    modules: &BTreeSet<String>,
) -> Result<Vec<u8>, BuildError> {
    let identity = packages.map_or("", |packages| packages.identity.as_str());
    let names: Vec<&str> = modules.iter().map(String::as_str).collect();
    let decides = format!("{}\n{identity}\n{}", fingerprint(environment)?, names.join("\n"));
    let name = format!("python-{}.wasm", files::sha256(decides.as_bytes()));
    let path = environment.cache_path(KEPT, &name)?;
    let note = path.with_extension("sha256");
    if let (Ok(noted), Ok(bytes)) =
        (r1x_files::read_text(&note, r1x_files::AMPLE), r1x_files::read(&path, r1x_files::AMPLE))
        && files::sha256(&bytes) == noted.trim()
    {
        files::used(&[&path]);
        return Ok(bytes);
    }
    let component =
        build(environment, packages, modules, None).map_err(BaseError::about_packages)?;
    // The note comes second: a component without its note is one that is not there.
    files::write_whole(&path, &component)?;
    files::write_whole(&note, format!("{}\n", files::sha256(&component)).as_bytes())?;
    Ok(component)
}

/// Runs the packager. With an author's folder, its files are loaded and frozen with the rest.
pub(super) fn build(
    environment: &Environment,
    packages: Option<&Packages>,
    modules: &BTreeSet<String>,
    author: Option<&Path>,
) -> Result<Vec<u8>, BaseError> {
    let packager = find(environment)?;
    let stage = Stage::new(environment, "base-build")?;
    for (name, text) in SHIM {
        stage.write(&format!("shim/{name}"), text.as_bytes())?;
    }
    let note = serde_json::json!({ "modules": modules, "frozen": author.is_some() });
    stage.write(NOTE, note.to_string().as_bytes())?;
    stage.write(&format!("{LEFT}/none"), b"")?;
    stage.write(contract::WIT_FILE, contract::WIT.as_bytes())?;
    stage.write(LAYERED.0, LAYERED.1.as_bytes())?;
    stage.write("packages/none", b"")?;
    if let Some(packages) = packages {
        copy(&packages.folder, &stage.path("packages"))?;
    }
    stage.write("author/none", b"")?;
    if let Some(author) = author {
        copy(author, &stage.path("author"))?;
    }
    // The folder's own empty environment keeps the packager from adding the user's packages, which no hash
    // would cover. Python looks for this file to believe that it is one.
    stage.write("venv/lib/site-packages/none", b"")?;
    let mut command = Command::new(&packager);
    command
        .args(["-d", "wit", "-w", "layered", "componentize"])
        .args(["-p", "shim", "-p", "packages", "-p", "author", "-o", COMPONENT, "r1x_shim"])
        .env("VIRTUAL_ENV", stage.path("venv"))
        .env_remove("PYTHONPATH");
    let usual = if packages.is_some() { tool::PACKAGES } else { tool::BUILD };
    let ran = stage.run(".", &mut command, usual)?;
    if !ran.succeeded() {
        return Err(BaseError::Packager(ran));
    }
    let mut component = stage.read(COMPONENT)?;
    carried(&stage, packages)?.append_to(&mut component);
    Ok(component)
}

/// Files that the component carries: the packages as they were installed, and what the shim left.
fn carried(stage: &Stage, packages: Option<&Packages>) -> Result<Archive, BuildError> {
    let mut archive = Archive::default();
    let mut add = |root: PathBuf, below: &str| -> Result<(), BuildError> {
        for file in files::all(&root)?.into_iter().filter(|file| file != Path::new("none")) {
            let path = root.join(&file);
            let bytes = r1x_files::read(&path, r1x_files::AMPLE)
                .map_err(|error| BuildError::io(&path, error))?;
            archive.push(&format!("{below}{}", files::slashed(&file)), &bytes);
        }
        Ok(())
    };
    if let Some(packages) = packages {
        add(packages.folder.clone(), "1/")?;
    }
    // Its folders are named as they are seen from inside.
    add(stage.path(LEFT), "")?;
    Ok(archive)
}

fn copy(from: &Path, to: &Path) -> Result<(), BuildError> {
    for file in files::all(from)? {
        let (source, target) = (from.join(&file), to.join(&file));
        let folder = target.parent().unwrap_or(to);
        std::fs::create_dir_all(folder).map_err(|error| BuildError::io(folder, error))?;
        std::fs::copy(&source, &target).map_err(|error| BuildError::io(&source, error))?;
    }
    Ok(())
}
