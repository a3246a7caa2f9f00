//! `r1x store path`: which store is in use, and how it was chosen.
//!
//! The path alone is printed to standard output, so that another program can take it from there.

use crate::args::Global;
use crate::failure::Failure;
use crate::{output, plans, stores};

/// The store in use, in the words of `--json`.
#[derive(Debug, serde::Serialize)]
struct InUse {
    path: String,
    chosen_by: &'static str,
    exists: bool,
}

/// Prints the path of the store.
///
/// # Errors
/// When this folder has no path.
pub fn path(global: &Global, json: bool) -> Result<i32, Failure> {
    let stores::Found { path, choice } = stores::found(global.store());
    let absolute = std::path::absolute(&path).map_err(|error| Failure::io(&path, &error))?;
    let exists = absolute.exists();
    let path = absolute.display().to_string();
    if json {
        let chosen_by = choice.word();
        output::json(&plans::json(&InUse { path, chosen_by, exists })?);
        return Ok(0);
    }
    let there = if exists { "" } else { ", and is not there yet" };
    eprintln!("{}{there}", choice.sentence());
    println!("{path}");
    Ok(0)
}
