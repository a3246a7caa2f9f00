//! `r1x store vacuum`: what no run needs any more, given back to the disk.

use r1x_store::{Shrinking, Shrunk, Store};

use crate::args::Global;
use crate::failure::Failure;
use crate::{output, plans, stores, table};

/// Writes the store anew without what no run needs.
///
/// # Errors
/// When a run is at work, or another program has the store open.
pub fn vacuum(global: &Global, json: bool) -> Result<i32, Failure> {
    // Whoever is to have the file alone closes it first.
    let path = stores::existing(global.store())?.path().to_owned();
    let shrunk = Store::shrink(&path, Shrinking::Whole)?;
    if json {
        output::json(&plans::json(&shrunk)?);
        return Ok(0);
    }
    let Shrunk { before_bytes, after_bytes, rows } = shrunk;
    println!(
        "{}: {} before, {} after; rows that belonged to no run: {}",
        path.display(),
        table::bytes(before_bytes),
        table::bytes(after_bytes),
        table::count(rows)
    );
    Ok(0)
}
