//! Tasks of the repository that are not part of r1x: `cargo xtask <task>`.
//!
//! One file per task; this one only finds the task and reports how it ended.

mod bench;
mod crash;
mod crowd;
mod failure;
mod field;
mod fuzz;
mod miniature;
mod models;
mod needs;
mod plugins;
mod program;

use std::path::PathBuf;
use std::process::ExitCode;

use failure::Failure;

/// Name, usage after the name, what it is for, and the function.
type Task = (&'static str, &'static str, &'static str, fn(&Context) -> Result<(), Failure>);

const TASKS: &[Task] = &[
    (
        "bench",
        "[PART...] [--threads N] [--quick] [--save FILE] [--compare FILE]",
        "measure r1x on fixed workloads; --help says more, --list lists them",
        bench::run,
    ),
    (
        "crash",
        "[--kills N] [--seed N]",
        "kill runs at random instants, cut logs, exchange checkpoints, and compare what they end with",
        crash::run,
    ),
    (
        "crowd",
        "[--minutes N] [--runs N] [--readers N]",
        "many runs and readers on one store; nobody may die of the others",
        crowd::run,
    ),
    (
        "fuzz",
        "TARGET [--minutes N] [--seed S]",
        "read mutated files until something breaks; a wrong target lists them, `all` takes each",
        fuzz::run,
    ),
    (
        "miniature",
        "[CLAIM...] [--seeds N] [--store FILE] [--program FILE] [--only-tables]",
        "run the claims of docs/r1-in-miniature.md with several seeds, and write their tables and pictures",
        miniature::run,
    ),
    (
        "models",
        "[NAME]",
        "bring a pretrained model into models/, by pip, with its hash compared; without a name they are listed",
        models::run,
    ),
    (
        "needs",
        "",
        "run the tests that need a tool, a data set or a card which this machine has, and say what it lacks",
        needs::run,
    ),
    (
        "power",
        "[--cuts N] [--seed N]",
        "cut the power of a disk under runs at random instants, and compare what they end with; as root on Linux",
        crash::power,
    ),
    (
        "plugins",
        "[--check]",
        "build the reward plugins and lock them; --check verifies the lock without building",
        plugins::run,
    ),
];

/// What every task gets.
pub struct Context {
    /// The top of the repository.
    pub root: PathBuf,
    /// The arguments after the task's name.
    pub arguments: Vec<String>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let Some((_, _, _, task)) = TASKS.iter().find(|(task, ..)| *task == name) else {
        eprintln!("usage: cargo xtask <task>\n");
        for (name, usage, purpose, _) in TASKS {
            eprintln!("  {name} {usage}\n      {purpose}");
        }
        return ExitCode::from(2);
    };
    let outcome =
        find_root().and_then(|root| task(&Context { root, arguments: arguments.collect() }));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// The folder above the current one that holds both `plugins` and `xtask`.
fn find_root() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir().map_err(|error| {
        Failure::new(format!("no current folder: {error}"), "cd into the repository")
    })?;
    let is_root = |folder: &std::path::Path| {
        folder.join("xtask/Cargo.toml").is_file() && folder.join("plugins/Cargo.toml").is_file()
    };
    here.ancestors().find(|folder| is_root(folder)).map(PathBuf::from).ok_or_else(|| {
        Failure::new("this is not the repository of r1x", "cd into the repository and try again")
    })
}
