//! Problems from rows: of a file of JSON lines or of Parquet, or of the files of a folder, their columns by name.
//!
//! A problem's canonical form decides the split, so rows that ask the same are on one side of it: it is the listed
//! columns without the worked solution and the worse completion, or, where the spec lists none, the columns that the template asks with;
//! `nums` counts in ascending order. A file of lines is read once, line by line, and hashed on the way. Where a folder has
//! files of its own for what is held out, they decide instead, and a row that is held out is not trained on.

mod columnar;
mod each;
mod files;
mod row;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use minijinja::value::{Serde, Value as TemplateValue};
use r1x_core::plan::{DataPlan, RowFormat, SourcePlan};
use r1x_core::{Markup, Problem};
use serde_json::{Map, Value};

use crate::dataset::{Column, DataSet, Lines, MOST_BYTES, Place, bytes_of};
use crate::digest::{Hashed, key_number, problem_key};
use crate::error::{TaskError, listed};
use crate::prompt::Writer;
use crate::template::Columns;
use columnar::NotFinite;
use row::Row;

pub use each::{FileRow, each_row};

/// The column whose order does not matter: the numbers of a Countdown problem.
const UNORDERED_COLUMN: &str = "nums";
/// Largest file.
const MOST_FILE_BYTES: u64 = 8 << 30;
/// Bytes of the number of a line.
const LINE_BYTES: u64 = 8;

/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// What the plan says about the rows.
struct Layout<'a> {
    /// The file that is being read.
    path: String,
    heldout: f64,
    columns: Option<&'a [String]>,
    renamed: &'a BTreeMap<String, String>,
    solution: Option<&'a str>,
    rejected: Option<&'a str>,
    answer: Option<&'a str>,
    answer_after: Option<&'a str>,
    writer: Writer<'a>,
}

/// Rows that were read.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// Its problems.
    pub set: DataSet,
    /// sha256 of the bytes of the file, hex; of a folder the one over the names and hashes of its files.
    pub sha256: String,
}

/// Which split a problem of a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Its hash decides.
    ByHash,
    /// The file's rows are trained on.
    Train,
    /// The file's rows are held out.
    Heldout,
}

/// The files that a planned path means: the one it leads to, or those of a folder, in the order in which they are read.
///
/// # Errors
/// When a folder cannot be listed, or has no files of rows.
pub fn files_of(path: &str, format: RowFormat) -> Result<Vec<PathBuf>, TaskError> {
    Ok(files::of(path, format)?.into_iter().map(|file| PathBuf::from(file.path)).collect())
}

/// Reads the planned file or folder, whatever its hash.
///
/// # Errors
/// When it cannot be read, its problems take more than `most_bytes` of memory, or [`parse`] refuses it.
pub fn open(plan: &DataPlan, markup: &Markup, most_bytes: u64) -> Result<Opened, TaskError> {
    let (SourcePlan::Rows { path, format, .. }, Some(layout)) =
        (&plan.source, Layout::of(plan, markup)?)
    else {
        let reason = "the data is generated, there is no file to read".to_owned();
        return Err(TaskError::Rules { reason, hint: "name a `jsonl` source".to_owned() });
    };
    let files = files::of(path, *format)?;
    let mut reading = Reading::new(layout, most_bytes);
    let mut hashes = Vec::new();
    for file in &files {
        let told = |error| TaskError::Read { path: file.path.clone(), error };
        let opened = r1x_files::open(&file.path).map_err(told)?;
        if opened.metadata().map_err(told)?.len() > MOST_FILE_BYTES {
            return Err(TaskError::TooLarge { path: file.path.clone(), limit: MOST_FILE_BYTES });
        }
        reading.begin(file.path.clone());
        let mut reader = BufReader::with_capacity(READ_BYTES, Hashed::new(opened));
        match format {
            RowFormat::JsonLines => reading.lines(&mut reader, file.side)?,
            RowFormat::Parquet => {
                // The end of the file says what is in it, so it cannot be hashed while it is read.
                std::io::copy(&mut reader, &mut std::io::sink()).map_err(told)?;
                columnar::each(&file.path, NotFinite::Refused, &mut |number, row| {
                    reading.add(&row, number, file.side)
                })?;
            }
        }
        hashes.push(reader.into_inner().finish());
    }
    Ok(Opened { set: reading.finish(path)?, sha256: files::hash(&files, &hashes) })
}

/// Reads the planned file or folder.
///
/// # Errors
/// When it cannot be read, is not the one of the plan, or [`parse`] refuses it.
pub fn read(plan: &DataPlan, markup: &Markup) -> Result<DataSet, TaskError> {
    let opened = open(plan, markup, MOST_BYTES)?;
    match &plan.source {
        SourcePlan::Rows { path, sha256, .. } if opened.sha256 != *sha256 => {
            let (path, planned) = (path.clone(), sha256.clone());
            Err(TaskError::Changed { path, planned, found: opened.sha256 })
        }
        _ => Ok(opened.set),
    }
}

/// Turns JSON lines into problems, rows in the order of the file. Blank lines are skipped.
///
/// # Errors
/// When there is no row, or the first row that is not UTF-8, no JSON object, lacks a column, holds a reserved text where
/// the model reads it, or takes the problems beyond `most_bytes` of memory, with its line.
pub fn parse(
    reader: impl BufRead,
    plan: &DataPlan,
    markup: &Markup,
    most_bytes: u64,
) -> Result<DataSet, TaskError> {
    let Some(layout) = Layout::of(plan, markup)? else {
        return Ok(DataSet::new(Vec::new(), Vec::new()));
    };
    let path = layout.path.clone();
    let mut reading = Reading::new(layout, most_bytes);
    reading.begin(path.clone());
    reading.lines(reader, Side::ByHash)?;
    reading.finish(&path)
}

/// Problems while rows are read.
struct Reading<'a> {
    layout: Layout<'a>,
    most_bytes: u64,
    /// Bytes of memory that the problems take so far.
    kept: u64,
    train: Vec<Problem>,
    heldout: Vec<Problem>,
    lines: Lines,
    seen: Seen,
    /// Whether files said what is held out.
    is_given: bool,
}

impl<'a> Reading<'a> {
    fn new(layout: Layout<'a>, most_bytes: u64) -> Self {
        Self {
            layout,
            most_bytes,
            kept: 0,
            train: Vec::new(),
            heldout: Vec::new(),
            lines: Lines::default(),
            seen: Seen::default(),
            is_given: false,
        }
    }

    /// What follows is in this file.
    fn begin(&mut self, path: String) {
        self.layout.path.clone_from(&path);
        self.lines.files.push(path);
    }

    /// Reads JSON lines.
    fn lines(&mut self, reader: impl BufRead, side: Side) -> Result<(), TaskError> {
        let path = self.layout.path.clone();
        each::line(reader, &path, &mut |number, row| self.add(&row, number, side))
    }

    /// Reads one more row of the file that was begun last; the row's number counts from 1.
    fn add(&mut self, row: &Row, number: usize, side: Side) -> Result<(), TaskError> {
        self.seen.add(&row.columns);
        let problem = self.layout.problem(row, number)?;
        self.kept += bytes_of(&problem) + LINE_BYTES;
        if self.kept > self.most_bytes {
            let (path, limit) = (self.layout.path.clone(), self.most_bytes);
            return Err(TaskError::TooMuch { path, line: number, limit });
        }
        let is_heldout = match side {
            Side::ByHash => self.layout.is_heldout(&problem.key),
            Side::Train => false,
            Side::Heldout => true,
        };
        self.is_given |= side == Side::Heldout;
        let (problems, places) = match is_heldout {
            true => (&mut self.heldout, &mut self.lines.heldout),
            false => (&mut self.train, &mut self.lines.train),
        };
        problems.push(problem);
        places.push(Place { file: self.lines.files.len().saturating_sub(1), line: number });
        Ok(())
    }

    /// All of it; `path` is what the plan names.
    fn finish(mut self, path: &str) -> Result<DataSet, TaskError> {
        if self.train.is_empty() && self.heldout.is_empty() {
            return Err(TaskError::Empty { path: path.to_owned() });
        }
        if self.is_given {
            self.leave_out_what_is_held_out();
        }
        let mut set = DataSet::new(self.train, self.heldout);
        (set.lines, set.columns) = (self.lines, self.seen.columns);
        Ok(set)
    }

    /// Takes problems out of the training split that are held out as well.
    fn leave_out_what_is_held_out(&mut self) {
        let held: HashSet<&str> = self.heldout.iter().map(|problem| problem.key.as_str()).collect();
        let keep: Vec<bool> =
            self.train.iter().map(|problem| !held.contains(problem.key.as_str())).collect();
        let mut kept = keep.iter();
        self.train.retain(|_| kept.next().copied().unwrap_or_default());
        let mut kept = keep.iter();
        self.lines.train.retain(|_| kept.next().copied().unwrap_or_default());
    }
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
        let SourcePlan::Rows {
            path,
            heldout,
            columns,
            renamed,
            solution,
            rejected,
            answer,
            answer_after,
            ..
        } = &plan.source
        else {
            return Ok(None);
        };
        let known = columns.as_deref().map_or(Columns::OfTheRow, Columns::Listed);
        Ok(Some(Self {
            path: path.clone(),
            heldout: *heldout,
            columns: columns.as_deref(),
            renamed,
            solution: solution.as_deref(),
            rejected: rejected.as_deref(),
            answer: answer.as_deref(),
            answer_after: answer_after.as_deref(),
            writer: Writer::new(&plan.prompt, markup, known)?,
        }))
    }

    fn error(&self, line: usize, reason: String, hint: &str) -> TaskError {
        TaskError::Row { path: self.path.clone(), line, reason, hint: hint.to_owned() }
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
            let hint = "name a column that every row has; `columns` gives one another name, as in {answer: THEIRS}, and \
                        takes those alone that it lists";
            self.error(line, reason, hint)
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
        let told = |error: TaskError| self.error(line, error.to_string(), &error.hint());
        let prompt = self.writer.write(&variables).map_err(told)?;
        let completion = |what: &'static str, name: Option<&str>| {
            let Some(name) = name else { return Ok(None) };
            let completion = self.completion(row, name, line)?;
            if let Some(completion) = &completion {
                self.writer.check(what, completion).map_err(told)?;
            }
            Ok(completion)
        };
        let solution = completion("solution", self.solution)?;
        let rejected = completion("rejected completion", self.rejected)?;
        Ok(Problem {
            data: String::new(),
            key: problem_key(&self.canonical(row)),
            prompt: prompt.text,
            form: prompt.form,
            solution,
            solution_tokens: None,
            rejected,
            answer: self.short_answer(row, line)?,
            columns,
        })
    }

    /// What stands behind the last mark in the column of the answer, or all of it where there is no mark.
    fn short_answer(&self, row: &Row, line: usize) -> Result<Option<String>, TaskError> {
        let text = self.answer.map(|name| self.text(row, name, line)).transpose()?.flatten();
        let (Some(text), Some(mark)) = (&text, self.answer_after) else { return Ok(text) };
        match text.rsplit_once(mark) {
            Some((_, answer)) => Ok(Some(answer.trim().to_owned())),
            None => {
                let name = listed([self.answer.unwrap_or_default()]);
                let reason =
                    format!("the column {name} has no {} before an answer", listed([mark]));
                Err(self.error(
                    line,
                    reason,
                    "write the mark before every answer, or leave `answer_after` out",
                ))
            }
        }
    }

    /// A column with a completion: text, or messages of which the assistant's stands last, as hubs have them.
    fn completion(&self, row: &Row, name: &str, line: usize) -> Result<Option<String>, TaskError> {
        let value = row.readable(self.column(row, name, line)?);
        let Value::Array(messages) = value.as_ref() else { return self.text(row, name, line) };
        match messages.last().map(row::message) {
            Some(Some((row::ASSISTANT, content))) => Ok(Some(content.to_owned())),
            last => {
                let name = listed([name]);
                let why = match last {
                    Some(Some((role, _))) => format!("the last one is by {}", listed([role])),
                    Some(None) => "the last entry has no texts `role` and `content`".to_owned(),
                    None => "there is none".to_owned(),
                };
                let reason = format!("the column {name} is a list without a completion: {why}");
                let hint =
                    "write the completion as text, or messages that end with one of the assistant";
                Err(self.error(line, reason, hint))
            }
        }
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

    /// The columns that tell a row's problem from others. A row that has nothing but completions is identified by them.
    fn identity<'n>(&'n self, row: &'n Row) -> Vec<&'n str> {
        let mut names = self.names(row);
        if self.columns.is_none() {
            let used = self.writer.used();
            let asked = |name: &&str| used.contains(name);
            let asking: Vec<&str> = names.iter().copied().filter(asked).collect();
            // A template without a column asks every row alike, so all that the row says tells it apart.
            names = if asking.is_empty() { names } else { asking };
        }
        let is_completion = |name: &&str| {
            let in_file = Some(self.in_file(name));
            in_file == self.solution || in_file == self.rejected
        };
        if !names.iter().all(is_completion) {
            names.retain(|name| !is_completion(name));
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
mod file_tests;
#[cfg(test)]
mod tests;
