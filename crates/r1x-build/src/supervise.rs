//! The process between a build and its tool: what the tool starts is found and stopped, also what has left its parents.
//!
//! A build that is killed cannot stop anything any more; this process can, and is told by a pipe that closes.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::{Command, ExitStatus, Stdio};

use crate::tool::tree;

/// The exit code of a tool that could not be started, as shells have it.
pub const NOT_STARTED: i32 = 127;

/// Runs a tool to its end and stops what it left behind. The tool's exit code; that of a shell for a signal.
///
/// # Errors
/// When it cannot be started.
pub fn run(tool: &OsStr, arguments: &[OsString]) -> io::Result<i32> {
    tree::adopt();
    let status = Command::new(tool).args(arguments).stdin(Stdio::null()).status()?;
    stop();
    Ok(code(status))
}

/// Stops everything that this process started, and what that started.
pub fn stop() {
    tree::stop_below(std::process::id());
}

#[cfg(unix)]
fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

#[cfg(not(unix))]
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(1)
}
