//! Files that strangers wrote, made worse on purpose: `cargo xtask fuzz` builds and runs this program.
//!
//! For each kind of file that r1x reads there is a target, which hands bytes to the code that reads them in a run.
//! Inputs are mutations of the seeds in `fuzz/seeds`, drawn from a seed; a child process with a limit on memory
//! reads them, so that an abort, a stack that overflows and an allocation of gigabytes end the child and are found
//! like a panic.

mod child;
mod corpus;
mod mutate;
mod parent;
mod structure;
mod targets;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Reads mutated files until something breaks or the time is over.
#[derive(Debug, Parser)]
#[command(name = "fuzz", bin_name = "cargo xtask fuzz")]
struct Arguments {
    /// What is read: one of the targets, or `all`, one after the other
    target: String,
    /// How long each target runs, in minutes
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Where the mutations come from: equal seeds make equal inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The input to begin with, counted from 0
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Reads this one file instead of mutations, without a limit on memory
    #[arg(long)]
    input: Option<PathBuf>,
    /// The folder that a child works in; this is how the program starts itself
    #[arg(long, hide = true)]
    child: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let chosen: Vec<_> = targets::ALL
        .iter()
        .filter(|target| [target.name, "all"].contains(&arguments.target.as_str()))
        .collect();
    let Some(first) = chosen.first() else {
        eprintln!("there is no target `{}`; there are:", arguments.target);
        targets::ALL.iter().for_each(|target| eprintln!("  {:12} {}", target.name, target.reads));
        return ExitCode::from(2);
    };
    if let Some(path) = &arguments.input {
        return child::replay(first, path);
    }
    if let Some(folder) = &arguments.child {
        return child::run(first, folder, arguments.seed, arguments.from);
    }
    let mut findings = 0;
    for target in chosen {
        match parent::run(target, arguments.minutes, arguments.seed, arguments.from) {
            Ok(found) => findings += found,
            Err(error) => {
                eprintln!("error: {}: {error}", target.name);
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::from(u8::from(findings > 0))
}
