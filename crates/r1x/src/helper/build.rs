//! A process between r1x and a tool that builds: it ends with the tool, and the tool and all it started end with r1x.

use std::ffi::OsString;
use std::path::PathBuf;

use r1x_build::Supervisor;

use super::{program, when_alone};
use crate::failure::code;
use crate::interrupt;

/// The first argument of the process.
pub(super) const WORD: &str = "r1x-builds";

/// How builds start their tools.
pub fn supervisor() -> Supervisor {
    Supervisor { program: PathBuf::from(program()), arguments: vec![OsString::from(WORD)] }
}

/// The work of the process itself: the arguments are the tool and its own.
pub(super) fn work(arguments: &[OsString]) -> i32 {
    let Some((tool, arguments)) = arguments.split_first() else { return code::INTERNAL };
    when_alone(r1x_build::supervise::stop);
    // Where signals cannot be listened to, the tool hears of them by itself.
    interrupt::on_signals(|_| {
        r1x_build::supervise::stop();
        std::process::exit(code::INTERRUPTED);
    });
    match r1x_build::supervise::run(tool, arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            r1x_build::supervise::NOT_STARTED
        }
    }
}
