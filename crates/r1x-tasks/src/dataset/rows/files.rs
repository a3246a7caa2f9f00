//! Which files a plan's path means: the one it leads to, or those of a folder, as hubs lay them out.

use std::path::Path;

use r1x_core::digest::sha256;
use r1x_core::plan::RowFormat;

use super::Side;
use crate::error::TaskError;

/// Most files of a data set: hubs cut theirs into parts of half a gigabyte.
const MOST_FILES: usize = 1024;
/// What the names of files begin with that are held out, what is looked for first in front.
const HELD_OUT: [&str; 2] = ["test", "validation"];
/// What the names of files begin with that are trained on.
const TRAINED_ON: &str = "train";

/// A file and the side of its problems.
pub(super) struct RowsFile {
    pub path: String,
    /// Its name in its folder.
    name: String,
    pub side: Side,
}

/// The files of a path, those that are trained on first, each kind in the order of names.
pub(super) fn of(path: &str, format: RowFormat) -> Result<Vec<RowsFile>, TaskError> {
    if !Path::new(path).is_dir() {
        let name = String::new();
        return Ok(vec![RowsFile { path: path.to_owned(), name, side: Side::ByHash }]);
    }
    let told = |error| TaskError::Read { path: path.to_owned(), error };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(told)? {
        let name = entry.map_err(told)?.file_name();
        let ending = Path::new(&name).extension().and_then(|ending| ending.to_str());
        if ending.is_some_and(|ending| format.endings().contains(&ending)) {
            names.extend(name.into_string());
        }
        if names.len() > MOST_FILES {
            let reason = format!("{path} has more than {MOST_FILES} files of rows");
            let hint = "put fewer and larger files there".to_owned();
            return Err(TaskError::Rules { reason, hint });
        }
    }
    names.sort();
    let beginning = |prefix: &str| -> Vec<&String> {
        names.iter().filter(|name| name.starts_with(prefix)).collect()
    };
    let held = HELD_OUT.map(beginning).into_iter().find(|found| !found.is_empty());
    let (train, held) = (beginning(TRAINED_ON), held.unwrap_or_default());
    if train.is_empty() && held.is_empty() {
        let endings: Vec<String> =
            format.endings().iter().map(|ending| format!("train*.{ending}")).collect();
        let reason = format!("{path} has no file {}", endings.join(" or "));
        let hint =
            "name the file itself, or call the files of the folder train… and test…".to_owned();
        return Err(TaskError::Rules { reason, hint });
    }
    // Without files for what is held out, hashes decide as in a single file.
    let side = if held.is_empty() { Side::ByHash } else { Side::Train };
    let file = |name: &String, side| RowsFile {
        path: Path::new(path).join(name).display().to_string(),
        name: name.clone(),
        side,
    };
    let train = train.into_iter().map(|name| file(name, side));
    Ok(train.chain(held.into_iter().map(|name| file(name, Side::Heldout))).collect())
}

/// The hash of all files: that of a single one is its own.
pub(super) fn hash(files: &[RowsFile], hashes: &[String]) -> String {
    match (files, hashes) {
        ([RowsFile { name, .. }], [one]) if name.is_empty() => one.clone(),
        _ => {
            let lines =
                files.iter().zip(hashes).map(|(file, hash)| format!("{hash} {}\n", file.name));
            sha256(lines.collect::<String>().as_bytes())
        }
    }
}
