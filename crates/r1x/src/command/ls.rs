//! `r1x ls`: the runs of a store.
//!
//! Must not change them.

use crate::cli::Global;
use crate::display::{Page, Table};
use crate::failure::Failure;
use crate::output::{self, Stream};
use crate::{session, table};

/// Lists runs, newest first.
///
/// # Errors
/// When the store cannot be read.
pub fn ls(global: &Global, json: bool) -> Result<i32, Failure> {
    let store = session::reading(global)?;
    let runs = store.runs()?;
    if json {
        output::json(&session::json(&runs)?);
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            vec![
                run.name.clone(),
                run.status.clone(),
                run.seed.to_string(),
                run.steps.to_string(),
                table::seconds(run.seconds),
                run.digest
                    .as_deref()
                    .map_or("-".to_owned(), |digest| digest[..12.min(digest.len())].to_owned()),
                run.spec_path.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let header = ["run", "status", "seed", "steps", "time", "digest", "spec"];
    let mut page = Page::default();
    page.table(Table::of(&header, &rows).whole(&["run", "digest"]).status(&["status"]));
    output::page(Stream::Out, &page);
    Ok(0)
}
