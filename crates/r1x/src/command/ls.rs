//! `r1x ls`: the runs of a store, all of them or some, by time or below the runs they come from.
//!
//! Must not change them.

use r1x_store::{Descent, LastFigure, RunSummary, SqlQuery, Store, Value};

use crate::args::Global;
use crate::display::{Page, Table};
use crate::failure::{Failure, code};
use crate::number::optional;
use crate::output::{self, Stream};
use crate::{plans, stores, table};

/// Which runs are listed; without anything, all of them.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// What holds for their rows of `v_runs`, in SQL.
    pub condition: Option<String>,
    /// Tags that they have, all of them.
    pub tags: Vec<String>,
    /// Statuses, of which they have one.
    pub statuses: Vec<String>,
}

/// In which order runs are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    Time,
    /// Each run with those that come from it below, from the newest on that comes from none.
    Descent,
}

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

/// A run with the runs that come from it, in the words of `--json`.
#[derive(Debug, serde::Serialize)]
struct Node<'a> {
    #[serde(flatten)]
    run: &'a RunSummary,
    /// The run that it comes from, and how, where that run is listed as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    comes: Option<&'a Descent>,
    children: Vec<Node<'a>>,
}

/// Lists runs.
///
/// # Errors
/// When the store cannot be read, or a filter is none.
pub fn ls(global: &Global, filter: &Filter, order: Order, json: bool) -> Result<i32, Failure> {
    check_statuses(&filter.statuses)?;
    let store = stores::reading(global.store())?;
    let mut runs = store.runs()?;
    runs.retain(|run| {
        let has = |tag: &String| run.tags.contains(tag);
        let is = filter.statuses.is_empty() || filter.statuses.contains(&run.status);
        is && filter.tags.iter().all(has)
    });
    if let Some(condition) = &filter.condition {
        let numbers = numbers(&store, condition)?;
        runs.retain(|run| numbers.contains(&run.run_id));
    }
    let descents = match order {
        Order::Time => Vec::new(),
        Order::Descent => store.descents()?,
    };
    if json && order == Order::Time {
        output::json(&plans::json(&runs)?);
        return Ok(0);
    }
    let nodes = nodes(&runs, &descents);
    if json {
        output::json(&plans::json(&nodes)?);
        return Ok(0);
    }
    output::page(Stream::Out, &page(&nodes));
    Ok(0)
}

/// The words that a status can be.
const STATUSES: [&str; 9] = [
    "running",
    "done",
    "gate missed",
    "failed",
    "interrupted",
    "crashed",
    "diverged",
    "differs",
    "imported",
];

fn check_statuses(words: &[String]) -> Result<(), Failure> {
    match words.iter().find(|word| !STATUSES.contains(&word.as_str())) {
        None => Ok(()),
        Some(word) => Err(Failure::new(
            code::INPUT,
            format!("`{word}` is no status of a run"),
            format!("it is one of {}", STATUSES.join(", ")),
        )),
    }
}

/// Numbers of the runs for which a condition of a person holds.
fn numbers(store: &Store, condition: &str) -> Result<Vec<i64>, Failure> {
    // On a line of its own, so that a comment at its end takes no bracket with it.
    let query = format!("SELECT run_id FROM v_runs WHERE (\n{condition}\n)");
    let rows = store.sql_table(&SqlQuery::new(&query))?.rows;
    let number = |row: Vec<Value>| match row.as_slice() {
        [Value::Integer(number)] => Some(*number),
        _ => None,
    };
    Ok(rows.into_iter().filter_map(number).collect())
}

/// The runs that come from no other listed one, each with those below it. A run that comes from several is below the
/// first of them.
fn nodes<'a>(runs: &'a [RunSummary], descents: &'a [Descent]) -> Vec<Node<'a>> {
    let listed = |uid: &str| runs.iter().any(|run| run.uid == uid);
    let line = |run: &RunSummary| {
        descents.iter().find(|line| line.uid == run.uid && listed(&line.from_uid))
    };
    let lines: Vec<(&RunSummary, Option<&Descent>)> =
        runs.iter().map(|run| (run, line(run))).collect();
    below(None, &lines, runs.len())
}

/// The runs directly below one, or those below none; `depth` ends a circle, which only an altered store could have.
fn below<'a>(
    uid: Option<&str>,
    lines: &[(&'a RunSummary, Option<&'a Descent>)],
    depth: usize,
) -> Vec<Node<'a>> {
    let is_below = |line: &Option<&Descent>| line.map(|line| line.from_uid.as_str()) == uid;
    let children = lines.iter().filter(|(_, line)| is_below(line));
    let node = |(run, comes): &(&'a RunSummary, Option<&'a Descent>)| Node {
        run,
        comes: *comes,
        children: match depth {
            0 => Vec::new(),
            _ => below(Some(&run.uid), lines, depth - 1),
        },
    };
    children.map(node).collect()
}

fn page(nodes: &[Node<'_>]) -> Page {
    let mut rows = Vec::new();
    nodes.iter().for_each(|node| add(node, "", &mut rows));
    let mut header = HEADER.to_vec();
    let has_notes = rows.iter().any(|row| !row[HEADER.len()].is_empty());
    if has_notes {
        header.push("note");
    }
    let mut page = Page::default();
    page.table(Table::of(&header, &rows).whole(&["run", "digest"]).status(&["status"]));
    page
}

/// The row of a run, and the rows below it with a mark more in front of their names.
fn add(node: &Node<'_>, lead: &str, rows: &mut Vec<Vec<String>>) {
    let mut cells = row(node.run);
    let how = node.comes.map(|line| format!(" ({})", line.how.word())).unwrap_or_default();
    cells[0] = format!("{lead}{}{how}", node.run.name);
    rows.push(cells);
    let deeper = if lead.is_empty() { "└ ".to_owned() } else { format!("  {lead}") };
    node.children.iter().for_each(|child| add(child, &deeper, rows));
}

/// A figure with its name.
pub fn figure(figure: Option<&LastFigure>) -> String {
    match figure {
        Some(figure) => format!("{} {}", figure.name, optional(figure.value)),
        None => "-".to_owned(),
    }
}

/// As much of the digest of a run as tells it from others.
pub fn digest(run: &RunSummary) -> String {
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
        run.note.clone().unwrap_or_default(),
    ]
}
