//! `r1x sql`: questions to the store, read-only, as a table, CSV, JSON or JSON lines; a prompt when there is no question.
//!
//! Must not write to the store; the store crate makes sure.

mod editor;
mod print;
mod prompt;

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use r1x_store::{SqlQuery, Store, examples};

use crate::args::{Format, Global};
use crate::display::{Page, Table};
use crate::failure::{Failure, code};
use crate::output::{self, Stream};
use crate::{hosting, interrupt, stores};

use editor::Editor;
use print::Printer;
use prompt::{Manner, Piped, Prompt, commands};

/// How questions are asked, and their answers printed.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The run that `:run` stands for.
    pub run: String,
    /// How to print.
    pub format: Format,
    /// Rows to print at most.
    pub limit: Option<u64>,
    /// How long the store may compute.
    pub time_limit: Duration,
}

/// Answers one question, or every line of standard input.
///
/// # Errors
/// When the store cannot be read or the query is wrong.
pub fn sql(
    global: &Global,
    query: Option<String>,
    example: Option<String>,
    asking: Asking,
) -> Result<i32, Failure> {
    if example.as_deref() == Some("list") {
        let mut page = Page::default();
        page.table(example_table());
        output::page(Stream::Out, &page);
        return Ok(0);
    }
    let store = stores::reading(global.store())?;
    let text = match (query, example) {
        (Some(query), _) => query,
        (None, Some(name)) => {
            let example = find_example(&name)?;
            eprintln!("{}", example.question);
            eprintln!("{}", example.reading);
            eprintln!();
            example.sql.to_owned()
        }
        (None, None) => {
            prompt(&store, asking)?;
            return Ok(0);
        }
    };
    answer(&store, &text, &asking, None)?;
    Ok(0)
}

/// The built-in questions.
fn example_table() -> Table {
    let rows: Vec<Vec<String>> = examples::EXAMPLES
        .iter()
        .enumerate()
        .map(|(i, e)| vec![(i + 1).to_string(), e.name.to_owned(), e.question.to_owned()])
        .collect();
    Table::of(&["number", "name", "question"], &rows).whole(&["name"])
}

/// A built-in question by its number or name.
fn find_example(name: &str) -> Result<&'static examples::Example, Failure> {
    let numbered =
        name.parse::<usize>().ok().and_then(|n| examples::EXAMPLES.get(n.wrapping_sub(1)));
    numbered.or_else(|| examples::find(name)).ok_or_else(|| {
        Failure::new(
            code::INPUT,
            format!("there is no built-in question `{name}`"),
            "`r1x sql --example list` shows them",
        )
    })
}

/// Prints the answer to a question as it is found, and returns how many rows it has.
fn answer(
    store: &Store,
    text: &str,
    asking: &Asking,
    stop: Option<&Arc<AtomicBool>>,
) -> Result<u64, Failure> {
    let query = SqlQuery {
        run: Some(&asking.run),
        limit: asking.limit,
        time_limit: asking.time_limit,
        stop: stop.cloned(),
        ..SqlQuery::new(text)
    };
    let mut printer = Printer::new(asking.format);
    let end = store.sql(&query, &mut printer);
    // What was found before a mistake or the end of the time is an answer as well.
    printer.finish(end.is_ok());
    let end = end?;
    if end.truncated {
        let rows = if end.rows == 1 { "row" } else { "rows" };
        eprintln!("there are more than {} {rows}: a larger `--limit` shows them", end.rows);
    }
    Ok(end.rows)
}

/// Answers the lines of standard input: a person's with an editor, a pipe's as they come.
fn prompt(store: &Store, asking: Asking) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        let mut prompt = Prompt::new(store, asking, Arc::default(), Manner::Program);
        return prompt.talk(&mut Piped);
    }
    let tables = store.tables()?;
    let columns = tables.iter().flat_map(|info| info.columns.iter());
    let mut names: Vec<String> =
        tables.iter().map(|info| &info.name).chain(columns).cloned().collect();
    names.extend(commands().map(str::to_owned));
    names.sort();
    names.dedup();
    let history = hosting::cache_root().map(|root| root.join("sql_history"));
    let mut editor = Editor::new(names, history).map_err(|error| {
        let hint = "give the query as an argument, or through a pipe";
        Failure::new(code::INTERNAL, format!("the prompt cannot use this terminal: {error}"), hint)
    })?;
    let stop = interrupt::while_asked();
    eprintln!("SQL over the store, read-only. `.help` shows what there is; Ctrl-D leaves.");
    Prompt::new(store, asking, stop, Manner::Person).talk(&mut editor)
}
