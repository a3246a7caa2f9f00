//! `r1x note`: what a person notes about a run, which no digest covers.

use crate::args::Global;
use crate::display::Page;
use crate::failure::Failure;
use crate::output::{self, Stream};
use crate::stores;

/// Sets the note of a run; without a text it is printed.
///
/// # Errors
/// When there is no such run.
pub fn note(global: &Global, run: &str, text: Option<&str>) -> Result<i32, Failure> {
    match text {
        Some(text) => stores::existing(global.store())?.set_note(run, text)?,
        None => {
            if let Some(note) = stores::reading(global.store())?.run(run)?.note {
                let mut page = Page::default();
                page.text("", note);
                output::page(Stream::Out, &page);
            }
        }
    }
    Ok(0)
}
