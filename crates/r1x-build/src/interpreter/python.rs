//! CPython as an interpreter of programs: `python/driver.py`, packed with componentize-py.
//!
//! Must not know what programs do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::build::Environment;
use crate::error::BuildError;
use crate::files;
use crate::language::python::{self, VERSION};

const DRIVER: &str = include_str!("python/driver.py");
const WIT: &str = include_str!("../../../r1x-reward/wit/capabilities.wit");

/// What decides the component.
pub(super) fn fingerprint() -> String {
    format!("componentize-py {VERSION} {}", files::sha256(format!("{DRIVER}\0{WIT}").as_bytes()))
}

/// Whether the packager is here.
pub(super) fn ready(environment: &Environment) -> Result<(), BuildError> {
    python::find(environment).map(|_| ()).map_err(about_programs)
}

/// Runs the packager on the driver alone.
pub(super) fn compile(environment: &Environment) -> Result<Vec<u8>, BuildError> {
    let tool = python::find(environment).map_err(about_programs)?;
    let stage = Stage::new(environment)?;
    stage.write("driver.py", DRIVER)?;
    stage.write("wit/capabilities.wit", WIT)?;
    // The folder's own empty environment keeps the packager from adding the user's packages, which no hash
    // would cover.
    let ran = Command::new(&tool)
        .args(["-d", "wit", "-w", "interpreter", "componentize"])
        .args(["-p", ".", "-o", "component.wasm", "driver"])
        .current_dir(&stage.0)
        .env("VIRTUAL_ENV", stage.0.join("venv"))
        .env_remove("PYTHONPATH")
        .stdin(Stdio::null())
        .output();
    let failed = |output: String| BuildError::Failed {
        what: "the interpreter for programs in Python cannot be built".to_owned(),
        output,
        hint: format!("this is what componentize-py {VERSION} said"),
    };
    let ran = ran.map_err(|error| failed(error.to_string()))?;
    if !ran.status.success() {
        let said = [ran.stdout, ran.stderr].concat();
        return Err(failed(String::from_utf8_lossy(&said).into_owned()));
    }
    let component = stage.0.join("component.wasm");
    std::fs::read(&component).map_err(|error| BuildError::io(&component, error))
}

/// The packager's error, with what it is wanted for.
fn about_programs(error: BuildError) -> BuildError {
    match error {
        BuildError::NoToolchain { missing, hint } => BuildError::NoToolchain {
            missing: format!(
                "programs in Python run in an interpreter that is built once: {missing}"
            ),
            hint,
        },
        other => other,
    }
}

/// A folder for one build, removed with the value.
struct Stage(PathBuf);

impl Stage {
    fn new(environment: &Environment) -> Result<Self, BuildError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", std::process::id());
        let folder = environment.cache_path("interpreter-build", &name)?;
        let folder = std::path::absolute(&folder).map_err(|e| BuildError::io(&folder, e))?;
        // A process of the same id may have left one behind when it was killed.
        let _ = std::fs::remove_dir_all(&folder);
        for part in ["wit", "venv/lib/site-packages"] {
            let path = folder.join(part);
            std::fs::create_dir_all(&path).map_err(|error| BuildError::io(&path, error))?;
        }
        Ok(Self(folder))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), BuildError> {
        let path: &Path = &self.0.join(name);
        std::fs::write(path, text).map_err(|error| BuildError::io(path, error))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What is left behind is a few files in a cache.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
