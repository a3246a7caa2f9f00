//! `r1x store merge`: the runs of another store.

use std::path::{Component, Path, PathBuf};

use r1x_store::{ImportedRun, Merged, Mode, Store};

use crate::args::Global;
use crate::display::{Page, Table};
use crate::failure::Failure;
use crate::output::{self, Stream};
use crate::{plans, stores};

/// What becomes of the folders of runs that are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folders {
    /// They stay where they are.
    Left,
    /// They are copied beside this store.
    Copied,
}

/// What a folder is called until it is whole.
const PARTIAL: &str = ".partial";

/// What happened, in the words of `--json`.
#[derive(Debug, serde::Serialize)]
struct Done {
    #[serde(flatten)]
    merged: Merged,
    /// Folders of runs that were copied.
    folders: Vec<PathBuf>,
}

/// Takes in the runs of another store.
///
/// # Errors
/// When the other store cannot be read, or this one cannot be written; then it is as it was.
pub fn merge(global: &Global, other: &Path, folders: Folders, json: bool) -> Result<i32, Failure> {
    if !other.exists() {
        // The error of a reader, who makes none.
        Store::open(other, Mode::Read)?;
    }
    let store = stores::store(Some(&stores::found(global.store()).path))?;
    let merged = store.merge(other)?;
    let mut copied = Vec::new();
    for run in &merged.imported {
        let Some(from) = folder_there(other, run) else { continue };
        let to = store.run_folder(&run.run);
        let has_files = std::fs::read_dir(&from).is_ok_and(|mut entries| entries.next().is_some());
        if has_files && !to.exists() {
            match folders {
                Folders::Copied => copied.push(copy(&from, &to)?),
                Folders::Left => eprintln!(
                    "run {} has files in {}: `--checkpoints` would have copied them to {}",
                    run.run,
                    from.display(),
                    to.display()
                ),
            }
        }
    }
    if json {
        output::json(&plans::json(&Done { merged, folders: copied })?);
        return Ok(0);
    }
    output::page(Stream::Out, &page(&merged));
    copied.iter().for_each(|folder| eprintln!("copied {}", folder.display()));
    Ok(0)
}

fn page(merged: &Merged) -> Page {
    let mut page = Page::default();
    let digest =
        |run: &ImportedRun| run.digest.as_deref().unwrap_or("-").chars().take(12).collect();
    let imported = merged.imported.iter().map(|run| {
        let became = match run.run == run.name_there {
            true => "imported".to_owned(),
            false => format!("imported; there it is called {}", run.name_there),
        };
        vec![run.run.clone(), digest(run), became]
    });
    let skipped = merged
        .skipped
        .iter()
        .map(|run| vec![run.run.clone(), "-".to_owned(), format!("left alone: {}", run.reason)]);
    let rows: Vec<Vec<String>> = imported.chain(skipped).collect();
    page.table(Table::of(&["run", "digest", "what became of it"], &rows).whole(&["run", "digest"]));
    page.blank().line(format!(
        "runs imported: {}, left alone: {}",
        merged.imported.len(),
        merged.skipped.len()
    ));
    page
}

/// The folder of a run beside the store that it comes from; `None` where the name of the run leads elsewhere.
fn folder_there(other: &Path, run: &ImportedRun) -> Option<PathBuf> {
    let mut parts = Path::new(&run.name_there).components();
    let is_folder =
        matches!(parts.next(), Some(Component::Normal(part)) if part == run.name_there.as_str());
    let beside = other.parent().unwrap_or(Path::new("."));
    (is_folder && parts.next().is_none()).then(|| beside.join(&run.name_there))
}

/// Copies a folder, which takes its name when all of it is there.
fn copy(from: &Path, to: &Path) -> Result<PathBuf, Failure> {
    let mut name = to.as_os_str().to_owned();
    name.push(PARTIAL);
    let partial = PathBuf::from(name);
    let copied = copy_below(from, &partial)
        .and_then(|()| std::fs::rename(&partial, to).map_err(|error| Failure::io(to, &error)));
    if copied.is_err() {
        // The first error is what counts.
        let _ = std::fs::remove_dir_all(&partial);
    }
    copied.map(|()| to.to_owned())
}

/// Copies regular files and folders; links and other things are left out, for they may lead anywhere.
fn copy_below(from: &Path, to: &Path) -> Result<(), Failure> {
    let entries = std::fs::read_dir(from).map_err(|error| Failure::io(from, &error))?;
    std::fs::create_dir_all(to).map_err(|error| Failure::io(to, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| Failure::io(from, &error))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(|error| Failure::io(&from, &error))?;
        if kind.is_dir() {
            copy_below(&from, &to)?;
        } else if kind.is_file() {
            std::fs::copy(&from, &to).map_err(|error| Failure::io(&to, &error))?;
        }
    }
    Ok(())
}
