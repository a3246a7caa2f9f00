//! The rows of one file, one after the other, whatever they are used for: nothing is kept of a row that was looked at.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Read as _};

use r1x_core::long_number::marked_digits;
use r1x_core::plan::RowFormat;
use serde_json::Value;

use super::READ_BYTES;
use super::columnar::{self, NotFinite};
use super::row::{self, Row};
use crate::digest::Hashed;
use crate::error::TaskError;

/// The byte-order mark some editors put at the start of UTF-8 files.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Longest line; a longer one is no row but another kind of file.
const MOST_ROW_BYTES: u64 = 64 << 20;

/// A row of a file of problems, with the number by which messages name the row.
pub struct FileRow {
    number: usize,
    row: Row,
}

impl FileRow {
    /// Its line, or its number where rows have no lines, from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The columns of the row, in the order in which they are written. A value is given to the other functions of
    /// the row, which know how long numbers are written in it.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.row.columns.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The value of a column.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.row.columns.get(name)
    }

    /// A value of the row as JSON text, long numbers as they were written.
    pub fn json(&self, value: &Value) -> String {
        self.row.json(value)
    }

    /// A value of the row in which long numbers are texts of their digits.
    pub fn readable<'v>(&self, value: &'v Value) -> Cow<'v, Value> {
        self.row.readable(value)
    }

    /// A value of the row as a number, where it is a finite one.
    pub fn as_number(&self, value: &Value) -> Option<f64> {
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) if self.row.is_marked() => marked_digits(text)?.parse().ok(),
            _ => None,
        };
        number.filter(|number| number.is_finite())
    }
}

/// Visits the rows of a file in their order, and returns the sha256 of the file, hex. Where a table has a number that is not
/// finite, the value is missing.
///
/// # Errors
/// When the file cannot be read, at the first row that is none, with its line, and what `visit` says.
pub fn each_row<E: From<TaskError>>(
    path: &str,
    format: RowFormat,
    mut visit: impl FnMut(FileRow) -> Result<(), E>,
) -> Result<String, E> {
    let told = |error| TaskError::Read { path: path.to_owned(), error };
    let opened = r1x_files::open(path).map_err(told)?;
    let mut reader = BufReader::with_capacity(READ_BYTES, Hashed::new(opened));
    let mut visit = |number, row| visit(FileRow { number, row });
    match format {
        RowFormat::JsonLines => line(&mut reader, path, &mut visit)?,
        RowFormat::Parquet => {
            // The end of the file says what is in it, so it cannot be hashed while it is read.
            std::io::copy(&mut reader, &mut std::io::sink()).map_err(told)?;
            columnar::each(path, NotFinite::Missing, &mut visit)?;
        }
    }
    Ok(reader.into_inner().finish())
}

/// Reads the lines of a file; blank ones are skipped.
pub(super) fn line<E: From<TaskError>>(
    mut reader: impl BufRead,
    path: &str,
    visit: &mut dyn FnMut(usize, Row) -> Result<(), E>,
) -> Result<(), E> {
    let refused = |line, reason, hint: &str| {
        let (path, hint) = (path.to_owned(), hint.to_owned());
        TaskError::Row { path, line, reason, hint }
    };
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let mut limited = (&mut reader).take(MOST_ROW_BYTES + 1);
        let read = limited.read_until(b'\n', &mut bytes);
        let length = read.map_err(|error| TaskError::Read { path: path.to_owned(), error })?;
        if length == 0 {
            break;
        }
        if length as u64 > MOST_ROW_BYTES {
            let reason = format!("the line is longer than {MOST_ROW_BYTES} bytes");
            return Err(refused(number, reason, "write one JSON object on each line").into());
        }
        let mark = if number == 1 { BYTE_ORDER_MARK } else { b"" };
        let line = bytes.strip_prefix(mark).unwrap_or(&bytes).trim_ascii_end();
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row =
            row::read(line).map_err(|refusal| refused(number, refusal.reason, refusal.hint))?;
        visit(number, row)?;
    }
    Ok(())
}
