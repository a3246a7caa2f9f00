//! The runs of a sweep, a line each, with the values that each of them has.
//!
//! Must not change them.

use r1x_store::SweepMember;

use crate::args::Global;
use crate::command::compare::{shown, status};
use crate::command::ls::{digest, figure};
use crate::display::{Page, Table};
use crate::failure::Failure;
use crate::output::{self, Stream};
use crate::{plans, stores, table};

/// Lists the members of a sweep in order, with their values.
///
/// # Errors
/// When there is no such sweep, or the store cannot be read.
pub fn list(global: &Global, sweep: &str, json: bool) -> Result<i32, Failure> {
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
        let mut cells = vec![name.to_owned(), status(member).to_owned()];
        cells.extend(card.paths.iter().map(|path| shown(member.values.get(path))));
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
