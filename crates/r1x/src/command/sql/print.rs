//! Rows of an answer, printed as they come: nothing is held but what a table needs to be aligned.

use std::ops::ControlFlow;

use r1x_store::{RowSink, Value};

use crate::args::Format;
use crate::display::{Page, Table};
use crate::number::number;
use crate::output::{self, Stream};

/// Rows of a table that are aligned with each other; more begin a new one.
const TABLE_ROWS: usize = 1000;

/// Text that is held before it is printed, bytes.
const HELD_BYTES: usize = 1 << 20;

/// Prints rows.
pub struct Printer {
    format: Format,
    columns: Vec<String>,
    /// Cells of a table that is not printed yet.
    rows: Vec<Vec<String>>,
    /// Lines of CSV or objects of JSON that are not printed yet.
    text: String,
    held_bytes: usize,
    begun: Begun,
}

/// How far an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    /// Nothing is known of it.
    No,
    /// The columns are known.
    Columns,
    /// A row was found.
    Rows,
}

impl Printer {
    /// Prints in this format.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            columns: Vec::new(),
            rows: Vec::new(),
            text: String::new(),
            held_bytes: 0,
            begun: Begun::No,
        }
    }

    /// Prints what is held, and what ends an answer if it is `whole`: JSON that was cut off must not look as if it
    /// were all of it, and where nothing was found before a mistake there is nothing to print.
    pub fn finish(&mut self, whole: bool) {
        if self.begun == Begun::No || (self.begun == Begun::Columns && !whole) {
            return;
        }
        match self.format {
            Format::Json if whole => self.text.push_str("]\n"),
            Format::Json => self.text.push('\n'),
            Format::Table | Format::Csv | Format::Jsonl => {}
        }
        self.flush();
    }

    fn flush(&mut self) {
        self.held_bytes = 0;
        match self.format {
            Format::Table => {
                // Without a row there is still a header.
                if !self.rows.is_empty() || self.begun == Begun::Columns {
                    let mut page = Page::default();
                    page.table(as_table(&self.columns, &std::mem::take(&mut self.rows)));
                    output::page(Stream::Out, &page);
                }
            }
            Format::Csv => output::data(&std::mem::take(&mut self.text)),
            Format::Json | Format::Jsonl => output::json_part(&std::mem::take(&mut self.text)),
        }
    }

    fn hold(&mut self, values: &[Value]) {
        let before = self.text.len();
        match self.format {
            Format::Table => {
                let cells: Vec<String> = values.iter().map(cell).collect();
                self.held_bytes += cells.iter().map(String::len).sum::<usize>();
                self.rows.push(cells);
            }
            Format::Csv => csv_line(&mut self.text, values.iter().map(plain)),
            Format::Json => {
                if self.begun == Begun::Rows {
                    self.text.push(',');
                }
                self.text.push_str(&object(&self.columns, values).to_string());
            }
            Format::Jsonl => {
                self.text.push_str(&object(&self.columns, values).to_string());
                self.text.push('\n');
            }
        }
        self.begun = Begun::Rows;
        self.held_bytes += self.text.len() - before;
    }
}

impl RowSink for Printer {
    fn columns(&mut self, names: &[String]) {
        self.columns = names.to_vec();
        self.begun = Begun::Columns;
        match self.format {
            Format::Table | Format::Jsonl => {}
            Format::Csv => csv_line(&mut self.text, names.iter().cloned()),
            Format::Json => self.text.push('['),
        }
    }

    fn row(&mut self, values: Vec<Value>) -> ControlFlow<()> {
        self.hold(&values);
        if self.held_bytes >= HELD_BYTES || self.rows.len() >= TABLE_ROWS {
            self.flush();
        }
        // Nobody reads what would come next.
        if output::is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Integer(value) => value.to_string(),
        Value::Real(value) => value.to_string(),
        Value::Text(value) => value.clone(),
        Value::Blob(bytes) => r1x_core::digest::hex(bytes),
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Real(value) => number(*value),
        Value::Blob(bytes) => format!("({} bytes)", bytes.len()),
        other => plain(other),
    }
}

fn as_table(columns: &[String], rows: &[Vec<String>]) -> Table {
    let header: Vec<&str> = columns.iter().map(String::as_str).collect();
    Table::of(&header, rows).whole(&["run"]).status(&["status"])
}

fn csv_line(text: &mut String, cells: impl Iterator<Item = String>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            text.push(',');
        }
        if cell.contains([',', '"', '\n', '\r']) {
            text.push_str(&format!("\"{}\"", cell.replace('"', "\"\"")));
        } else {
            text.push_str(&cell);
        }
    }
    text.push('\n');
}

fn object(columns: &[String], values: &[Value]) -> serde_json::Value {
    let cells = columns.iter().zip(values).map(|(name, value)| {
        let value = match value {
            Value::Null => serde_json::Value::Null,
            Value::Integer(value) => (*value).into(),
            Value::Real(value) => (*value).into(),
            other => plain(other).into(),
        };
        (name.clone(), value)
    });
    serde_json::Value::Object(cells.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(format: Format) -> Printer {
        let mut printer = Printer::new(format);
        printer.columns(&["a".into(), "b".into()]);
        printer.hold(&[Value::Text("x,\"y\"".into()), Value::Real(0.5)]);
        printer.hold(&[Value::Null, Value::Integer(3)]);
        printer
    }

    #[test]
    fn csv_quotes_and_json_types() {
        assert_eq!(answer(Format::Csv).text, "a,b\n\"x,\"\"y\"\"\",0.5\n,3\n");
        assert_eq!(answer(Format::Json).text, r#"[{"a":"x,\"y\"","b":0.5},{"a":null,"b":3}"#);
        let lines = "{\"a\":\"x,\\\"y\\\"\",\"b\":0.5}\n{\"a\":null,\"b\":3}\n";
        assert_eq!(answer(Format::Jsonl).text, lines);
        let table = answer(Format::Table);
        let mut page = Page::default();
        page.table(as_table(&table.columns, &table.rows));
        assert!(page.draw(crate::display::View::default()).text.contains("  0.5\n"));
    }
}
