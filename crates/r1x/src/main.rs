//! The `r1x` command. Parses arguments and leaves the rest to `command`.
//!
//! Must not know anything else.

#[macro_use]
mod output;

mod cache;
mod capability;
mod cli;
mod command;
mod display;
mod environment;
mod failure;
mod helper;
mod inputs;
mod interrupt;
mod judge;
mod log;
mod memory;
mod notice;
mod number;
mod prepare;
mod progress;
mod rehearsal;
mod relocate;
mod report;
mod retention;
mod sandbox;
mod session;
mod sizes;
mod speed;
mod table;
mod timed;
mod watch;

fn main() {
    std::process::exit(helper::asked().unwrap_or_else(cli::main));
}
