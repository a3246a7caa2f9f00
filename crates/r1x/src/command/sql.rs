//! `r1x sql`: questions to the store, read-only, as a table, CSV or JSON; a prompt when there is no question.
//!
//! Must not write to the store; the store crate makes sure.

mod editor;
mod prompt;

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use r1x_store::{SqlQuery, Store, Table as Rows, Value, examples};

use crate::cli::{Format, Global};
use crate::display::{Page, Table};
use crate::failure::{Failure, code};
use crate::number::number;
use crate::output::{self, Stream};
use crate::{interrupt, session};

use editor::Editor;
use prompt::{Manner, Piped, Prompt, commands};

/// Answers one question, or every line of standard input.
///
/// # Errors
/// When the store cannot be read or the query is wrong.
pub fn sql(
    global: &Global,
    query: Option<String>,
    example: Option<String>,
    run: &str,
    format: Format,
) -> Result<i32, Failure> {
    if example.as_deref() == Some("list") {
        let mut page = Page::default();
        page.table(example_table());
        output::page(Stream::Out, &page);
        return Ok(0);
    }
    let store = session::reading(global)?;
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
            prompt(&store, run, format)?;
            return Ok(0);
        }
    };
    answer(&store, &text, run, format, None)?;
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

/// Prints the answer to a question and returns how many rows it has.
fn answer(
    store: &Store,
    text: &str,
    run: &str,
    format: Format,
    stop: Option<&Arc<AtomicBool>>,
) -> Result<usize, Failure> {
    let query = SqlQuery { run: Some(run), stop: stop.cloned(), ..SqlQuery::new(text) };
    let answer = store.sql_table(&query)?;
    match format {
        Format::Table => {
            let mut page = Page::default();
            page.table(as_table(&answer));
            output::page(Stream::Out, &page);
        }
        Format::Csv => output::data(&as_csv(&answer)),
        Format::Json => output::json(&as_json(&answer).to_string()),
    }
    Ok(answer.rows.len())
}

/// Answers the lines of standard input: a person's with an editor, a pipe's as they come.
fn prompt(store: &Store, run: &str, format: Format) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        let mut prompt = Prompt::new(store, run, format, Arc::default(), Manner::Program);
        return prompt.talk(&mut Piped);
    }
    let tables = store.tables()?;
    let columns = tables.iter().flat_map(|info| info.columns.iter());
    let mut names: Vec<String> =
        tables.iter().map(|info| &info.name).chain(columns).cloned().collect();
    names.extend(commands().map(str::to_owned));
    names.sort();
    names.dedup();
    let history = session::cache_root().map(|root| root.join("sql_history"));
    let mut editor = Editor::new(names, history).map_err(|error| {
        let hint = "give the query as an argument, or through a pipe";
        Failure::new(code::INTERNAL, format!("the prompt cannot use this terminal: {error}"), hint)
    })?;
    let stop = interrupt::while_asked();
    eprintln!("SQL over the store, read-only. `.help` shows what there is; Ctrl-D leaves.");
    Prompt::new(store, run, format, stop, Manner::Person).talk(&mut editor)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Integer(value) => value.to_string(),
        Value::Real(value) => value.to_string(),
        Value::Text(value) => value.clone(),
        Value::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn as_table(answer: &Rows) -> Table {
    let cell = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::Real(value) => number(*value),
        Value::Blob(bytes) => format!("({} bytes)", bytes.len()),
        other => plain(other),
    };
    let rows: Vec<Vec<String>> =
        answer.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let header: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
    Table::of(&header, &rows).whole(&["run"]).status(&["status"])
}

fn as_csv(answer: &Rows) -> String {
    let quote = |text: &str| {
        if text.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let mut text = answer.columns.iter().map(|c| quote(c)).collect::<Vec<_>>().join(",") + "\n";
    for row in &answer.rows {
        text.push_str(&row.iter().map(|value| quote(&plain(value))).collect::<Vec<_>>().join(","));
        text.push('\n');
    }
    text
}

fn as_json(answer: &Rows) -> serde_json::Value {
    let object = |row: &Vec<Value>| {
        let cells = answer.columns.iter().zip(row).map(|(name, value)| {
            let value = match value {
                Value::Null => serde_json::Value::Null,
                Value::Integer(value) => (*value).into(),
                Value::Real(value) => (*value).into(),
                other => plain(other).into(),
            };
            (name.clone(), value)
        });
        serde_json::Value::Object(cells.collect())
    };
    answer.rows.iter().map(object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_and_json_types() {
        let answer = Rows {
            columns: vec!["a".into(), "b".into()],
            rows: vec![
                vec![Value::Text("x,\"y\"".into()), Value::Real(0.5)],
                vec![Value::Null, Value::Integer(3)],
            ],
        };
        assert_eq!(as_csv(&answer), "a,b\n\"x,\"\"y\"\"\",0.5\n,3\n");
        assert_eq!(as_json(&answer).to_string(), r#"[{"a":"x,\"y\"","b":0.5},{"a":null,"b":3}]"#);
        let mut page = Page::default();
        page.table(as_table(&answer));
        assert!(page.draw(crate::display::View::default()).text.contains("  0.5\n"));
    }
}
