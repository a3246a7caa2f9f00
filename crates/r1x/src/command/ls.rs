//! `r1x ls`: the runs of a store, or those of a sweep with the values that each of them has.
//!
//! Must not change them.

use r1x_store::{LastFigure, RunSummary, SweepMember};

use crate::args::Global;
use crate::command::compare;
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

/// Lists the members of a sweep in order, with their values.
///
/// # Errors
/// When there is no such sweep, or the store cannot be read.
pub fn of_sweep(global: &Global, sweep: &str, json: bool) -> Result<i32, Failure> {
    let card = stores::reading(global.store())?.sweep(sweep)?;
    if json {
        output::json(&plans::json(&card)?);
        return Ok(0);
    }
    let mut header = vec!["run", "status"];
    header.extend(card.paths.iter().map(String::as_str));
    header.extend(["steps", "time", "last metric", "evaluation", "digest"]);
    let member = |member: &SweepMember| {
        let name = member.run.as_ref().map_or("-", |run| run.name.as_str());
        let mut cells = vec![name.to_owned(), compare::status(member).to_owned()];
        cells.extend(card.paths.iter().map(|path| compare::shown(member.values.get(path))));
        cells.extend(member.run.iter().flat_map(|run| {
            [
                run.steps.to_string(),
                table::seconds(run.seconds),
                figure(run.last_metric.as_ref()),
                figure(run.last_eval.as_ref()),
                digest(run),
            ]
        }));
        cells.resize(header.len(), "-".to_owned());
        cells
    };
    let rows: Vec<Vec<String>> = card.members.iter().map(member).collect();
    let mut page = Page::default();
    page.line(format!("sweep {}", card.name));
    page.table(Table::of(&header, &rows).whole(&["run", "digest"]).status(&["status"]));
    output::page(Stream::Out, &page);
    Ok(0)
}

fn figure(figure: Option<&LastFigure>) -> String {
    match figure {
        Some(figure) => format!("{} {}", figure.name, optional(figure.value)),
        None => "-".to_owned(),
    }
}

/// As much of the digest of a run as tells it from others.
fn digest(run: &RunSummary) -> String {
    run.digest.as_deref().unwrap_or("-").chars().take(12).collect()
}

fn row(run: &RunSummary) -> Vec<String> {
    vec![
        run.name.clone(),
        run.status.clone(),
        run.steps.to_string(),
        table::seconds(run.seconds),
        figure(run.last_metric.as_ref()),
        figure(run.last_eval.as_ref()),
        run.tags.join(", "),
        run.overrides.join(" "),
        run.seed.to_string(),
        digest(run),
        run.spec_path.clone().unwrap_or_default(),
    ]
}
