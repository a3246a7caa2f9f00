//! `r1x store backup`: a copy of the store as it is at one moment, which is compared with what was written.

use std::path::Path;

use r1x_store::Backup;

use super::verify::flaws;
use crate::args::Global;
use crate::display::{Line, Page, Tone};
use crate::failure::{Failure, code};
use crate::output::{self, Stream};
use crate::{plans, stores, table};

/// Copies the store.
///
/// # Errors
/// When there is a file already, or the copy cannot be written.
pub fn backup(global: &Global, file: &Path, json: bool) -> Result<i32, Failure> {
    let store = stores::reading(global.store())?;
    let made = store.backup(file)?;
    let code = if made.verified.flaws.is_empty() { 0 } else { code::STORE };
    if json {
        output::json(&plans::json(&made)?);
        return Ok(code);
    }
    let Backup { path, bytes, verified } = made;
    let mut page = Page::default();
    page.line(format!(
        "{}: {}, runs: {}, digests of finished runs compared: {}",
        path.display(),
        table::bytes(bytes),
        table::count(verified.runs),
        table::count(verified.digests),
    ));
    if !verified.flaws.is_empty() {
        page.line(Line::of(Tone::Bad, "the copy has what is wrong with the store:"));
        page.table(flaws(&verified.flaws));
    }
    output::page(Stream::Out, &page);
    eprintln!(
        "checkpoints are not in it: they lie in the folders of runs beside {}",
        store.path().display()
    );
    Ok(code)
}
