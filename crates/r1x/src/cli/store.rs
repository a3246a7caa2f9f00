//! Arguments of `r1x store` and its verbs.

use std::path::PathBuf;

use clap::Subcommand;

use crate::args::Global;
use crate::command::store as verbs;
use crate::failure::Failure;

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print the path of the store in use, and say how it was chosen
    Path {
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Compare the store and its checkpoints with what was written; exit code 8 when anything is wrong
    Verify {
        /// Only pages, keys between tables and digests of runs: neither rows and components nor checkpoints
        #[arg(long)]
        quick: bool,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Copy the store to a file, also while a run writes to it
    Backup {
        /// The file to make, which must not be there
        file: PathBuf,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Give back to the disk what no run needs any more; refused while a run is at work
    Vacuum {
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Take in every run of another store that this one lacks
    Merge {
        /// The other store, which is only read
        other: PathBuf,
        /// Copy the folders of these runs as well: checkpoints, and failed calls of rewards
        #[arg(long)]
        checkpoints: bool,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Runs a verb.
///
/// # Errors
/// The errors of the verb.
pub fn dispatch(global: &Global, verb: Verb) -> Result<i32, Failure> {
    match verb {
        Verb::Path { json } => verbs::path::path(global, json),
        Verb::Verify { quick, json } => verbs::verify::verify(global, quick, json),
        Verb::Backup { file, json } => verbs::backup::backup(global, &file, json),
        Verb::Vacuum { json } => verbs::vacuum::vacuum(global, json),
        Verb::Merge { other, checkpoints, json } => {
            let folders = match checkpoints {
                true => verbs::merge::Folders::Copied,
                false => verbs::merge::Folders::Left,
            };
            verbs::merge::merge(global, &other, folders, json)
        }
    }
}
