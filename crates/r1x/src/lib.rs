//! What the `r1x` command is made of: wiring of a run, its display, and the commands.
//!
//! The program itself is `main.rs`, one line. What benchmarks and other programs use is public; the rest is there for
//! the commands.

#[macro_use]
mod output;
mod overlap;

mod args;
mod cache;
mod capability;
mod cli;
mod command;
mod consent;
mod diagnosis;
mod display;
mod earlier;
pub mod environment;
mod failure;
mod helper;
mod hosting;
mod imported;
mod inputs;
mod interrupt;
mod judge;
mod lock;
mod log;
mod memory;
mod models;
mod notice;
mod number;
mod picture;
mod pieces;
mod plans;
mod prepare;
mod progress;
mod relocate;
mod report;
mod reproduction;
mod retention;
mod reuse;
mod rewards;
mod sandbox;
mod sizes;
mod speaker;
mod speed;
mod stores;
mod table;
pub mod timed;
pub mod untrusted;
mod watch;
mod wiring;

/// Runs the command line of this process and returns the exit code. Helper processes, which r1x starts of itself, come
/// through here too.
pub fn main() -> i32 {
    helper::asked().unwrap_or_else(cli::main)
}
