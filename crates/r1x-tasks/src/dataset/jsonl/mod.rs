//! Problems from a file of JSON lines: one object per line, its columns by name.
//!
//! A problem's canonical form decides the split, so rows that ask the same are on one side of it: it is the listed
//! columns without the worked solution, or, where the spec lists none, the columns that the template asks with;
//! `nums` counts in ascending order. A file is read once, line by line, and hashed on the way.

mod row;

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read};

use minijinja::value::{Serde, Value as TemplateValue};
use r1x_core::plan::{DataPlan, SourcePlan};
use r1x_core::{Markup, Problem};
use serde_json::{Map, Value};

use crate::dataset::{Column, DataSet, Lines, MOST_BYTES, bytes_of};
use crate::digest::{Hashed, key_number, problem_key};
use crate::error::{TaskError, listed};
use crate::prompt::Writer;
use crate::template::Columns;
use row::Row;

/// The column whose order does not matter: the numbers of a Countdown problem.
const UNORDERED_COLUMN: &str = "nums";
/// The byte-order mark some editors put at the start of UTF-8 files.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Largest file.
const MOST_FILE_BYTES: u64 = 8 << 30;
/// Bytes of the number of a line.
const LINE_BYTES: u64 = 8;
/// Longest line; a longer one is no row but another kind of file.
const MOST_ROW_BYTES: u64 = 64 << 20;

/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// What the plan says about the file.
struct Layout<'a> {
    path: &'a str,
    heldout: f64,
    columns: Option<&'a [String]>,
    renamed: &'a BTreeMap<String, String>,
    solution: Option<&'a str>,
    answer: Option<&'a str>,
    writer: Writer<'a>,
}

/// A file of JSON lines that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// Its problems.
    pub set: DataSet,
    /// sha256 of its bytes, hex.
    pub sha256: String,
}

/// Reads the planned file, whatever its hash.
///
/// # Errors
/// When it cannot be read, its problems take more than `most_bytes` of memory, or [`parse`] refuses it.
pub fn open(plan: &DataPlan, markup: &Markup, most_bytes: u64) -> Result<Opened, TaskError> {
    let SourcePlan::Jsonl { path, .. } = &plan.source else {
        let reason = "the data is generated, there is no file to read".to_owned();
        return Err(TaskError::Rules { reason, hint: "name a `jsonl` source".to_owned() });
    };
    let told = |error| TaskError::Read { path: path.clone(), error };
    let file = r1x_files::open(path).map_err(told)?;
    if file.metadata().map_err(told)?.len() > MOST_FILE_BYTES {
        return Err(TaskError::TooLarge { path: path.clone(), limit: MOST_FILE_BYTES });
    }
    let mut reader = BufReader::with_capacity(READ_BYTES, Hashed::new(file));
    let set = parse(&mut reader, plan, markup, most_bytes)?;
    Ok(Opened { set, sha256: reader.into_inner().finish() })
}

/// Reads the planned file.
///
/// # Errors
/// When it cannot be read, is not the file of the plan, or [`parse`] refuses it.
pub fn read(plan: &DataPlan, markup: &Markup) -> Result<DataSet, TaskError> {
    let opened = open(plan, markup, MOST_BYTES)?;
    match &plan.source {
        SourcePlan::Jsonl { path, sha256, .. } if opened.sha256 != *sha256 => {
            let (path, planned) = (path.clone(), sha256.clone());
            Err(TaskError::Changed { path, planned, found: opened.sha256 })
        }
        _ => Ok(opened.set),
    }
}

/// Turns the bytes of a file into problems, rows in the order of the file. Blank lines are skipped.
///
/// # Errors
/// When there is no row, or the first row that is not UTF-8, no JSON object, lacks a column, holds a reserved text where
/// the model reads it, or takes the problems beyond `most_bytes` of memory, with its line.
pub fn parse(
    mut reader: impl BufRead,
    plan: &DataPlan,
    markup: &Markup,
    most_bytes: u64,
) -> Result<DataSet, TaskError> {
    let Some(layout) = Layout::of(plan, markup)? else {
        return Ok(DataSet::new(Vec::new(), Vec::new()));
    };
    let (mut train, mut held) = (Vec::new(), Vec::new());
    let mut lines = Lines { path: layout.path.to_owned(), ..Lines::default() };
    let mut seen = Seen::default();
    let (mut bytes, mut kept) = (Vec::new(), 0);
    for number in 1.. {
        bytes.clear();
        let mut limited = (&mut reader).take(MOST_ROW_BYTES + 1);
        let read = limited.read_until(b'\n', &mut bytes);
        let length =
            read.map_err(|error| TaskError::Read { path: layout.path.to_owned(), error })?;
        if length == 0 {
            break;
        }
        if length as u64 > MOST_ROW_BYTES {
            let reason = format!("the line is longer than {MOST_ROW_BYTES} bytes");
            return Err(layout.error(number, reason, "write one JSON object on each line"));
        }
        let mark = if number == 1 { BYTE_ORDER_MARK } else { b"" };
        let line = bytes.strip_prefix(mark).unwrap_or(&bytes).trim_ascii_end();
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row = row::read(line)
            .map_err(|refusal| layout.error(number, refusal.reason, refusal.hint))?;
        seen.add(&row.columns);
        let problem = layout.problem(&row, number)?;
        kept += bytes_of(&problem) + LINE_BYTES;
        if kept > most_bytes {
            return Err(TaskError::TooMuch {
                path: layout.path.to_owned(),
                line: number,
                limit: most_bytes,
            });
        }
        let (problems, numbers) = match layout.is_heldout(&problem.key) {
            true => (&mut held, &mut lines.heldout),
            false => (&mut train, &mut lines.train),
        };
        problems.push(problem);
        numbers.push(number);
    }
    if train.is_empty() && held.is_empty() {
        return Err(TaskError::Empty { path: layout.path.to_owned() });
    }
    let mut set = DataSet::new(train, held);
    (set.lines, set.columns) = (lines, seen.columns);
    Ok(set)
}

/// The columns of a file while it is read.
#[derive(Default)]
struct Seen {
    columns: Vec<Column>,
    index: HashMap<String, usize>,
}

impl Seen {
    fn add(&mut self, row: &Map<String, Value>) {
        for name in row.keys() {
            if let Some(&at) = self.index.get(name) {
                self.columns[at].rows += 1;
            } else {
                self.index.insert(name.clone(), self.columns.len());
                self.columns.push(Column { name: name.clone(), rows: 1 });
            }
        }
    }
}

impl<'a> Layout<'a> {
    /// What a plan says, when it is about a file.
    fn of(plan: &'a DataPlan, markup: &'a Markup) -> Result<Option<Self>, TaskError> {
        let SourcePlan::Jsonl { path, heldout, columns, renamed, solution, answer, .. } =
            &plan.source
        else {
            return Ok(None);
        };
        let known = columns.as_deref().map_or(Columns::OfTheRow, Columns::Listed);
        Ok(Some(Self {
            path,
            heldout: *heldout,
            columns: columns.as_deref(),
            renamed,
            solution: solution.as_deref(),
            answer: answer.as_deref(),
            writer: Writer::new(&plan.prompt, markup, known)?,
        }))
    }

    fn error(&self, line: usize, reason: String, hint: &str) -> TaskError {
        TaskError::Row { path: self.path.to_owned(), line, reason, hint: hint.to_owned() }
    }

    /// What the file calls a column.
    fn in_file<'n>(&'n self, name: &'n str) -> &'n str {
        self.renamed.get(name).map_or(name, String::as_str)
    }

    /// The names of a row's columns, as template and rewards use them.
    fn names<'n>(&'n self, row: &'n Row) -> Vec<&'n str> {
        match self.columns {
            Some(columns) => columns.iter().map(String::as_str).collect(),
            None => row.columns.keys().map(String::as_str).collect(),
        }
    }

    fn column<'r>(&self, row: &'r Row, name: &str, line: usize) -> Result<&'r Value, TaskError> {
        row.columns.get(name).ok_or_else(|| {
            let present = listed(row.columns.keys().map(String::as_str));
            let missing = listed([name]);
            let reason = format!("the column {missing} is missing; the row has {present}");
            self.error(line, reason, "name columns that every row has")
        })
    }

    fn problem(&self, row: &Row, line: usize) -> Result<Problem, TaskError> {
        let mut columns = BTreeMap::new();
        let mut readable = Vec::new();
        for name in self.names(row) {
            let value = self.column(row, self.in_file(name), line)?;
            columns.insert(name.to_owned(), row.json(value));
            readable.push((name, row.readable(value)));
        }
        let variables: BTreeMap<&str, TemplateValue> =
            readable.iter().map(|(name, value)| (*name, Serde(value.as_ref()).into())).collect();
        let text = |name: Option<&str>| match name {
            None => Ok(None),
            Some(name) => self.text(row, name, line),
        };
        let told = |error: TaskError| self.error(line, error.to_string(), &error.hint());
        let prompt = self.writer.write(&variables).map_err(told)?;
        let solution = text(self.solution)?;
        if let Some(solution) = &solution {
            self.writer.check("solution", solution).map_err(told)?;
        }
        Ok(Problem {
            data: String::new(),
            key: problem_key(&self.canonical(row)),
            prompt: prompt.text,
            form: prompt.form,
            solution,
            solution_tokens: None,
            answer: text(self.answer)?,
            columns,
        })
    }

    /// A column that people read: text as it is, a number as it is written, nothing for `null`.
    fn text(&self, row: &Row, name: &str, line: usize) -> Result<Option<String>, TaskError> {
        match row.readable(self.column(row, name, line)?).as_ref() {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone())),
            Value::Number(number) => Ok(Some(number.to_string())),
            other => {
                let (name, kind) = (listed([name]), row::kind(other));
                let reason = format!("the column {name} must be text, but is {kind}");
                Err(self.error(line, reason, "write it in quotes"))
            }
        }
    }

    /// The columns that tell a row's problem from others. A row whose only column is its solution is identified
    /// by that.
    fn identity<'n>(&'n self, row: &'n Row) -> Vec<&'n str> {
        let mut names = self.names(row);
        if self.columns.is_none() {
            let used = self.writer.used();
            let asked = |name: &&str| used.contains(name);
            let asking: Vec<&str> = names.iter().copied().filter(asked).collect();
            // A template without a column asks every row alike, so all that the row says tells it apart.
            names = if asking.is_empty() { names } else { asking };
        }
        if names.len() > 1 {
            names.retain(|name| Some(self.in_file(name)) != self.solution);
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The identity of a row as JSON text.
    fn canonical(&self, row: &Row) -> String {
        let mut text = String::from("jsonl");
        for name in self.identity(row) {
            let value = row.columns.get(self.in_file(name));
            let mut value = value.map_or(Value::Null, |value| row.readable(value).into_owned());
            settle(&mut value);
            if name == UNORDERED_COLUMN
                && let Value::Array(items) = &mut value
            {
                items.sort_by_cached_key(|item| {
                    (item.as_f64().map_or(i64::MAX, |number| number as i64), item.to_string())
                });
            }
            text.push_str(&format!(" {}:{value}", Value::from(name)));
        }
        text
    }

    fn is_heldout(&self, key: &str) -> bool {
        // 53 bits, so that the quotient is exact and below 1.
        let share = (key_number(key) >> 11) as f64 / (1_u64 << 53) as f64;
        share < self.heldout
    }
}

/// Writes values that mean the same in one way: whole numbers without a fraction, objects in order of keys.
fn settle(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64()
                && number.is_f64()
                && float.fract() == 0.0
                && float.abs() < (1_u64 << 53) as f64
            {
                *value = Value::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        Value::Object(entries) => {
            entries.sort_keys();
            entries.values_mut().for_each(settle);
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests;
