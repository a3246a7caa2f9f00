//! `r1x sql`: questions to the store, read-only, as a table, CSV or JSON; a prompt when there is no question.
//!
//! Must not write to the store; the store crate makes sure.

use std::io::{BufRead, IsTerminal, Write};

use r1x_store::{SqlQuery, Store, Table, Value, examples};

use crate::cli::{Format, Global};
use crate::failure::{Failure, code};
use crate::{session, table};

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
        list_examples();
        return Ok(0);
    }
    let store = session::reading(global)?;
    let text = match (query, example) {
        (Some(query), _) => query,
        (None, Some(name)) => {
            let numbered =
                name.parse::<usize>().ok().and_then(|n| examples::EXAMPLES.get(n.wrapping_sub(1)));
            let example = numbered.or_else(|| examples::find(&name)).ok_or_else(|| {
                Failure::new(
                    code::INPUT,
                    format!("there is no built-in question `{name}`"),
                    "`r1x sql --example list` shows them",
                )
            })?;
            eprintln!("{}\n{}\n", example.question, example.reading);
            example.sql.to_owned()
        }
        (None, None) => return prompt(&store, run, format),
    };
    answer(&store, &text, run, format)?;
    Ok(0)
}

fn list_examples() {
    let rows: Vec<Vec<String>> = examples::EXAMPLES
        .iter()
        .enumerate()
        .map(|(i, e)| vec![(i + 1).to_string(), e.name.to_owned(), e.question.to_owned()])
        .collect();
    print!("{}", table::render(&["number", "name", "question"], &rows));
}

fn answer(store: &Store, text: &str, run: &str, format: Format) -> Result<(), Failure> {
    let query = SqlQuery { run: Some(run), ..SqlQuery::new(text) };
    let answer = store.sql_table(&query)?;
    let mut out = std::io::stdout().lock();
    let written = match format {
        Format::Table => out.write_all(as_table(&answer).as_bytes()),
        Format::Csv => out.write_all(as_csv(&answer).as_bytes()),
        Format::Json => writeln!(out, "{}", as_json(&answer)),
    };
    match written {
        // A reader that has seen enough, like `head`, is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::new(
            code::INTERNAL,
            format!("standard output: {error}"),
            "check where it goes",
        )),
        _ => Ok(()),
    }
}

fn prompt(store: &Store, run: &str, format: Format) -> Result<i32, Failure> {
    let terminal = std::io::stdin().is_terminal();
    if terminal {
        eprintln!(
            "SQL over the store; `.tables` lists what can be asked, `.examples` questions, `.quit` leaves."
        );
    }
    let mut statement = String::new();
    loop {
        if terminal {
            eprint!("{}", if statement.is_empty() { "sql> " } else { "...> " });
        }
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        let ended = !matches!(read, Ok(count) if count > 0);
        match line.trim() {
            ".quit" | ".exit" => return Ok(0),
            ".tables" if statement.is_empty() => print_tables(store)?,
            ".examples" if statement.is_empty() => list_examples(),
            _ => statement.push_str(&line),
        }
        if statement.trim_end().ends_with(';') || (ended && !statement.trim().is_empty()) {
            match answer(store, &statement, run, format) {
                Err(failure) if terminal => eprint!("{}", failure.render()),
                result => result?,
            }
            statement.clear();
        }
        if ended {
            return Ok(0);
        }
    }
}

fn print_tables(store: &Store) -> Result<(), Failure> {
    for info in store.tables()? {
        println!("{} {}({})", info.kind, info.name, info.columns.join(", "));
    }
    Ok(())
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

fn as_table(answer: &Table) -> String {
    let cell = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::Real(value) => format!("{value:.4}"),
        Value::Blob(bytes) => format!("({} bytes)", bytes.len()),
        other => plain(other).replace('\n', " "),
    };
    let rows: Vec<Vec<String>> =
        answer.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let header: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
    table::render(&header, &rows)
}

fn as_csv(answer: &Table) -> String {
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

fn as_json(answer: &Table) -> serde_json::Value {
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
        let answer = Table {
            columns: vec!["a".into(), "b".into()],
            rows: vec![
                vec![Value::Text("x,\"y\"".into()), Value::Real(0.5)],
                vec![Value::Null, Value::Integer(3)],
            ],
        };
        assert_eq!(as_csv(&answer), "a,b\n\"x,\"\"y\"\"\",0.5\n,3\n");
        assert_eq!(as_json(&answer).to_string(), r#"[{"a":"x,\"y\"","b":0.5},{"a":null,"b":3}]"#);
        assert!(as_table(&answer).contains("0.5000"));
    }
}
