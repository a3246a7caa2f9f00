//! `cargo xtask bench`: builds the benchmarks and runs them.
//!
//! They are a program of their own, because they link all of r1x and a counting allocator.

use crate::Context;
use crate::failure::Failure;
use crate::program;

/// Runs the task.
pub fn run(context: &Context) -> Result<(), Failure> {
    program::run(context, "r1x-bench", "the benchmark")
}
