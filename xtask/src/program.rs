//! Programs of the workspace that a task builds and runs: those that link all of r1x, which xtask does not.

use std::path::PathBuf;
use std::process::Command;

use crate::Context;
use crate::failure::Failure;

/// Builds a program and runs it with the arguments of the task, on this terminal.
pub fn run(context: &Context, name: &str, what: &str) -> Result<(), Failure> {
    succeed(Command::new(build(context, name)?).args(&context.arguments), what)
}

/// Builds a program; where it is then.
pub fn build(context: &Context, name: &str) -> Result<PathBuf, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // The features of the whole workspace, so that the dependencies of an ordinary build are used again.
    let build = ["build", "--release", "--workspace", "--bin", name];
    succeed(Command::new(cargo).args(build).current_dir(&context.root), "the build")?;
    let here = std::env::current_exe().map_err(|error| {
        Failure::new(format!("no path to this program: {error}"), "report a bug")
    })?;
    Ok(here.with_file_name(name))
}

/// Runs a command on this terminal.
fn succeed(command: &mut Command, what: &str) -> Result<(), Failure> {
    let status = command.status().map_err(|error| {
        Failure::new(format!("{what} does not start: {error}"), "is cargo on the path?")
    })?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("{what} failed ({status})"), "its message is above"))
}
