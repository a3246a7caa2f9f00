//! r1x as a process of its own, for work that may never end or take all memory: started by another r1x with a first
//! argument that no user types.
//!
//! Such a process ends when the one that started it does, however that came about: it holds the other end of a pipe
//! that nothing is written to.

mod build;
mod compile;

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::Path;

pub use build::supervisor;
pub use compile::Separate;

use crate::failure::code;

/// Does the work that the arguments of this process ask for; `None` when a user started it.
pub fn asked() -> Option<i32> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (first, rest) = arguments.split_first()?;
    match first.to_str()? {
        compile::WORD => Some(compile::work(rest)),
        build::WORD => Some(build::work(rest)),
        _ => None,
    }
}

/// The program of this process, also where its file has been replaced since.
pub fn program() -> OsString {
    let running = Path::new("/proc/self/exe");
    let found = || std::env::current_exe().map(OsString::from);
    match running.exists() {
        true => running.into(),
        false => found().unwrap_or_else(|_| OsString::from("r1x")),
    }
}

/// Calls `end` when whoever started this process has gone.
fn when_alone(end: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        // Nothing is ever written: reading ends when the other end is closed.
        let _ = std::io::stdin().read_exact(&mut [0]);
        end();
        std::process::exit(code::INTERRUPTED);
    });
}

fn number(text: Option<&OsString>) -> Option<u64> {
    text.map(OsString::as_os_str).and_then(OsStr::to_str)?.parse().ok()
}
