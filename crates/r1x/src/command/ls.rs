//! `r1x ls`: the runs of a store.
//!
//! Must not change them.

use r1x_store::{LastFigure, RunSummary};

use crate::args::Global;
use crate::display::{Page, Table};
use crate::failure::Failure;
use crate::number::optional;
use crate::output::{self, Stream};
use crate::{plans, stores, table};

const HEADER: [&str; 11] = [
    "run",
    "status",
    "steps",
    "time",
    "last metric",
    "evaluation",
    "tags",
    "set",
    "seed",
    "digest",
    "spec",
];

/// Lists runs, newest first.
///
/// # Errors
/// When the store cannot be read.
pub fn ls(global: &Global, json: bool) -> Result<i32, Failure> {
    let store = stores::reading(global.store())?;
    let runs = store.runs()?;
    if json {
        output::json(&plans::json(&runs)?);
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    let mut page = Page::default();
    page.table(Table::of(&HEADER, &rows).whole(&["run", "digest"]).status(&["status"]));
    output::page(Stream::Out, &page);
    Ok(0)
}

fn row(run: &RunSummary) -> Vec<String> {
    let figure = |figure: &Option<LastFigure>| match figure {
        Some(figure) => format!("{} {}", figure.name, optional(figure.value)),
        None => "-".to_owned(),
    };
    let digest = run.digest.as_deref().unwrap_or("-");
    vec![
        run.name.clone(),
        run.status.clone(),
        run.steps.to_string(),
        table::seconds(run.seconds),
        figure(&run.last_metric),
        figure(&run.last_eval),
        run.tags.join(", "),
        run.overrides.join(" "),
        run.seed.to_string(),
        digest.chars().take(12).collect(),
        run.spec_path.clone().unwrap_or_default(),
    ]
}
