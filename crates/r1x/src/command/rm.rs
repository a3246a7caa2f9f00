//! `r1x rm`: remove runs whole, with everything that is recorded of them and their folders.
//!
//! Facts of a run are never removed in part; who removes a run is a person, who is asked.

use std::path::Path;

pub use r1x_store::StoodOn;
use r1x_store::{Removed, Shrinking, Store};

use crate::args::Global;
use crate::consent::{Answer, ask};
use crate::failure::{Failure, code};
use crate::{output, plans, stores, table};

/// Whether a person has said yes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// The command line says yes.
    Given,
    /// A person on a terminal is asked; elsewhere nothing is removed.
    Asked,
}

/// What went, in the words of `--json`.
#[derive(Debug, serde::Serialize)]
struct Done {
    removed: Vec<Removed>,
    /// Bytes by which the file of the store became shorter; none where somebody else has it open.
    store_bytes: Option<u64>,
    /// Bytes that were in the folders of the runs.
    folder_bytes: u64,
}

/// Removes runs.
///
/// # Errors
/// When one of them is not there or at work, or another run stands on one of them, or nobody agrees; then all stay.
pub fn rm(
    global: &Global,
    references: &[String],
    (stood_on, consent): (StoodOn, Consent),
    json: bool,
) -> Result<i32, Failure> {
    let store = stores::existing(global.store())?;
    let removed = store.removal(references)?;
    // What will be refused is not asked about.
    store.check_removal(&removed, stood_on)?;
    if consent == Consent::Asked {
        let line = |run: &Removed| {
            let bytes = table::bytes(run.folder_bytes);
            format!("{}: {} steps, {bytes} of files", run.run, table::count(run.steps))
        };
        agree(&removed.iter().map(line).collect::<Vec<_>>(), "say `--yes`")?;
    }
    let left = store.remove_runs(&removed, stood_on)?;
    for (folder, error) in &left {
        eprintln!("warning: {} could not be removed: {error}", folder.display());
    }
    let path = store.path().to_owned();
    drop(store);
    let store_bytes = shortened(&path);
    let folders =
        removed.iter().filter(|run| left.iter().all(|(folder, _)| !folder.ends_with(&run.run)));
    let folder_bytes = folders.map(|run| run.folder_bytes).sum();
    if json {
        output::json(&plans::json(&Done { removed, store_bytes, folder_bytes })?);
        return Ok(0);
    }
    let names: Vec<&str> = removed.iter().map(|run| run.run.as_str()).collect();
    println!(
        "removed {}: {} of checkpoints and other files, {} of the store",
        names.join(", "),
        table::bytes(folder_bytes),
        store_bytes.map_or_else(|| "nothing yet".to_owned(), table::bytes)
    );
    Ok(0)
}

/// Asks a person about what is about to go for good, a line for each, who must be there.
///
/// # Errors
/// When the answer is no, or there is nobody; `elsewhere` says what to do then.
pub fn agree(lines: &[String], elsewhere: &str) -> Result<(), Failure> {
    match ask(&format!("{}\nRemove for good?", lines.join("\n"))) {
        Answer::Yes => Ok(()),
        Answer::No => Err(Failure::new(code::INPUT, "nothing was removed", "say y to remove")),
        Answer::Nobody => Err(Failure::new(
            code::INPUT,
            format!("nothing was removed, because nobody was asked: {}", lines.join("; ")),
            elsewhere.to_owned(),
        )),
    }
}

/// Gives back to the disk what the store needs no more, and returns how many bytes that are; none where somebody else has
/// it open, which is said.
pub fn shortened(path: &Path) -> Option<u64> {
    match Store::shrink(path, Shrinking::Freed) {
        Ok(shrunk) => Some(shrunk.before_bytes.saturating_sub(shrunk.after_bytes)),
        Err(error) => {
            eprintln!("the file of the store stays as long as it is: {error}");
            eprintln!("  help: later runs use the space; `r1x store vacuum` gives it back");
            None
        }
    }
}
