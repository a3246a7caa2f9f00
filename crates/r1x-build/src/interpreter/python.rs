//! CPython as an interpreter of programs: `python/driver.py` and what it imports, packed with componentize-py.

use std::process::Command;

use crate::environment::Environment;
use crate::error::BuildError;
use crate::files;
use crate::language::python::{self, VERSION};
use crate::scratch::Stage;
use crate::tool;

/// The modules that run programs; the first is the one that the host calls.
const MODULES: [(&str, &str); 3] = [
    ("driver.py", include_str!("python/driver.py")),
    ("threads.py", include_str!("python/threads.py")),
    ("weave.py", include_str!("python/weave.py")),
];
const WIT: &str = include_str!("../../../r1x-reward/wit/capabilities.wit");

/// What the packager makes.
const COMPONENT: &str = "component.wasm";

/// What decides the component.
pub(super) fn fingerprint() -> String {
    let sources = MODULES.map(|(_, text)| text).join("\0");
    format!("componentize-py {VERSION} {}", files::sha256(format!("{sources}\0{WIT}").as_bytes()))
}

/// Whether the packager is here.
pub(super) fn ready(environment: &Environment) -> Result<(), BuildError> {
    python::find(environment).map(|_| ()).map_err(about_programs)
}

/// Runs the packager on the modules alone.
pub(super) fn compile(environment: &Environment) -> Result<Vec<u8>, BuildError> {
    let packager = python::find(environment).map_err(about_programs)?;
    let stage = Stage::new(environment, "interpreter-build")?;
    for (name, text) in MODULES {
        stage.write(name, text.as_bytes())?;
    }
    stage.write("wit/capabilities.wit", WIT.as_bytes())?;
    // The folder's own empty environment keeps the packager from adding the user's packages, which no hash
    // would cover. Python looks for this file to believe that it is one.
    stage.write("venv/lib/site-packages/none", b"")?;
    let mut command = Command::new(&packager);
    command
        .args(["-d", "wit", "-w", "interpreter", "componentize"])
        .args(["-p", ".", "-o", COMPONENT, "driver"])
        .env("VIRTUAL_ENV", stage.path("venv"))
        .env_remove("PYTHONPATH");
    let ran = stage.run(".", &mut command, tool::BUILD)?;
    if ran.succeeded() {
        return stage.read(COMPONENT);
    }
    let said = || (ran.output(), format!("this is what componentize-py {VERSION} said"));
    let (output, hint) = ran.timed_out().unwrap_or_else(said);
    let what = "the interpreter for programs in Python cannot be built".to_owned();
    Err(BuildError::Failed { what, output, hint })
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
