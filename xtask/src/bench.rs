//! `cargo xtask bench`: builds the benchmarks and runs them.
//!
//! They are a program of their own, because they link all of r1x and a counting allocator. Must not know what
//! is measured.

use std::process::Command;

use crate::Context;
use crate::failure::Failure;

/// Runs the task.
pub fn run(context: &Context) -> Result<(), Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // The features of the whole workspace, so that the dependencies of an ordinary build are used again.
    let build = ["build", "--release", "--workspace", "--bin", "r1x-bench"];
    succeed(Command::new(cargo).args(build).current_dir(&context.root), "the build")?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(format!("no path to this program: {error}"), "report a bug"))?
        .with_file_name("r1x-bench");
    succeed(Command::new(program).args(&context.arguments), "the benchmark")
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
