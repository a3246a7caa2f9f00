//! `cargo xtask fuzz`: builds the program that reads mutated files, and runs it.
//!
//! It is a program of its own, because it links all of r1x.

use crate::Context;
use crate::failure::Failure;
use crate::program;

/// Runs the task.
pub fn run(context: &Context) -> Result<(), Failure> {
    program::run(context, "r1x-fuzz", "the reading of mutated files")
}
