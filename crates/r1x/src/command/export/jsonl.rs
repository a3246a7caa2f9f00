//! Rows as JSON lines: an object a row. No character in them does anything to a terminal, whoever wrote the texts.

use std::fs::File;
use std::io::{BufWriter, Write};

use r1x_core::shown;
use serde::Serialize;

use super::row::{Cell, Column, Items, Presence, Sink};
use crate::failure::{Failure, code};

/// Writes JSON lines.
pub struct Jsonl<'f> {
    columns: Vec<Column>,
    out: BufWriter<&'f mut File>,
}

impl<'f> Jsonl<'f> {
    /// Writes rows of these columns, of which those inside of an object stand side by side.
    pub fn new(columns: &[Column], file: &'f mut File) -> Self {
        Self { columns: columns.to_vec(), out: BufWriter::new(file) }
    }

    /// Writes what is held.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| unwritten(&error))
    }
}

impl Sink for Jsonl<'_> {
    fn row(&mut self, cells: Vec<Cell>) -> Result<(), Failure> {
        let line = object(&self.columns, &cells);
        writeln!(self.out, "{}", shown::json(&line)).map_err(|error| unwritten(&error))
    }
}

/// A file that the system does not take.
pub fn unwritten(error: &std::io::Error) -> Failure {
    let code = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => code::RESOURCE,
        _ => code::INPUT,
    };
    let hint = "nothing has the name that was asked for: make room, and export again";
    Failure::new(code, format!("the export cannot be written: {error}"), hint)
}

/// A row as an object.
fn object(columns: &[Column], cells: &[Cell]) -> String {
    let mut out = String::from("{");
    let mut inside = None;
    let mut separator = "";
    for (column, cell) in columns.iter().zip(cells) {
        if column.inside != inside {
            if inside.is_some() {
                out.push('}');
                separator = ",";
            }
            if let Some(object) = column.inside {
                out.push_str(separator);
                push(&mut out, object);
                out.push_str(":{");
                separator = "";
            }
            inside = column.inside;
        }
        if *cell == Cell::Null && column.presence == Presence::WhereKnown {
            continue;
        }
        out.push_str(separator);
        push(&mut out, &column.name);
        out.push(':');
        value(&mut out, cell);
        separator = ",";
    }
    out.push_str(if inside.is_some() { "}}" } else { "}" });
    out
}

fn value(out: &mut String, cell: &Cell) {
    match cell {
        Cell::Null => out.push_str("null"),
        Cell::Text(text) => push(out, text),
        Cell::Integer(value) => push(out, value),
        Cell::Number(value) => number(out, *value),
        Cell::Flag(value) => push(out, value),
        Cell::Json(json) => out.push_str(json),
        Cell::List(items) => {
            out.push('[');
            match items {
                Items::Texts(items) => list(out, items, push),
                Items::Integers(items) => list(out, items, push),
                Items::Tokens(items) => list(out, items, push),
                Items::Numbers(items) => list(out, items, |out, item| number(out, *item)),
                Items::Singles(items) => list(out, items, |out, item| match item.is_finite() {
                    true => push(out, item),
                    false => number(out, f64::from(*item)),
                }),
            }
            out.push(']');
        }
    }
}

fn list<T>(out: &mut String, items: &[T], each: impl Fn(&mut String, &T)) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        each(out, item);
    }
}

/// A number in the fewest digits that mean it. JSON has none that is not finite, so such a one is a text.
fn number(out: &mut String, value: f64) {
    match value {
        value if value.is_nan() => push(out, "NaN"),
        f64::INFINITY => push(out, "Infinity"),
        f64::NEG_INFINITY => push(out, "-Infinity"),
        value => push(out, &value),
    }
}

fn push<T: Serialize + ?Sized>(out: &mut String, value: &T) {
    // Texts and finite numbers have JSON.
    out.push_str(&serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned()));
}

#[cfg(test)]
mod tests {
    use super::super::row::{Element, Kind};
    use super::*;

    #[test]
    fn rows_are_objects_with_their_numbers_as_they_are() {
        let one = |name: &str| Column::of(name, Kind::One(Element::Number));
        let columns = [
            one("a \"b\""),
            one("x").inside("rewards").where_known(),
            one("y").inside("rewards").where_known(),
            one("last"),
        ];
        let cells = |x: Cell, y: Cell, last: Cell| [Cell::Text("é\u{1b}".to_owned()), x, y, last];
        let row = |x, y, last| object(&columns, &cells(x, y, last));
        assert_eq!(
            row(Cell::Number(0.1), Cell::Number(1e300), Cell::Null),
            r#"{"a \"b\"":"é\u001b","rewards":{"x":0.1,"y":1e+300},"last":null}"#
        );
        assert_eq!(
            row(Cell::Null, Cell::Number(f64::NAN), Cell::Integer(i64::MIN)),
            r#"{"a \"b\"":"é\u001b","rewards":{"y":"NaN"},"last":-9223372036854775808}"#
        );
        let singles = Items::Singles(vec![-0.1, f32::NEG_INFINITY]);
        assert_eq!(
            row(Cell::Null, Cell::Null, Cell::List(singles)),
            r#"{"a \"b\"":"é\u001b","rewards":{},"last":[-0.1,"-Infinity"]}"#
        );
        let ends_inside = object(&columns[1..3], &[Cell::Flag(true), Cell::Json("[1]".to_owned())]);
        assert_eq!(ends_inside, r#"{"rewards":{"x":true,"y":[1]}}"#);
    }
}
