//! `r1x model`: models as hubs publish them. The verbs, one file each, and what they say of a folder that they wrote.

pub mod export;
pub mod import;
pub mod inspect;
pub mod score;

use std::path::Path;

use r1x_model::published::save::Saved;

use crate::display::{Fields, Page};
use crate::output::{self, Stream};
use crate::table;

/// Says what was written.
fn tell(to: &Path, saved: &Saved) {
    let bytes: u64 = saved.files.iter().map(|(_, bytes)| bytes).sum();
    let names: Vec<&str> = saved.files.iter().map(|(name, _)| name.as_str()).collect();
    let mut fields = Fields::default();
    fields.add("folder", to.display().to_string());
    fields.add("family", format!("{} ({})", saved.family.model_type, saved.class));
    fields.add("size", table::bytes(bytes));
    fields.add("files", names.join("\n"));
    let mut page = Page::default();
    page.fields(fields);
    output::page(Stream::Out, &page);
}
