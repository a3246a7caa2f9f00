//! Problems from a file of JSON lines: one object per line, its columns by name.
//!
//! A problem's canonical form is its listed columns without the worked solution, `nums` in ascending order; it
//! decides the split, so rows that ask the same are on one side of it. Must not know what the columns mean.

use std::collections::BTreeMap;
use std::fs;

use minijinja::value::{Serde, Value as TemplateValue};
use r1x_core::Problem;
use r1x_core::plan::{DataPlan, SourcePlan};
use serde_json::{Map, Value};

use crate::dataset::DataSet;
use crate::digest::{key_number, problem_key, sha256_hex};
use crate::error::{TaskError, listed};
use crate::template::Template;

/// The column whose order does not matter: the numbers of a Countdown problem.
const UNORDERED_COLUMN: &str = "nums";
/// The byte-order mark some editors put at the start of UTF-8 files.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the plan says about the file.
struct Layout<'a> {
    path: &'a str,
    heldout: f64,
    columns: &'a [String],
    solution: Option<&'a str>,
    answer: Option<&'a str>,
}

/// Reads the planned file.
///
/// # Errors
/// When it cannot be read, is not the file of the plan, or [`parse`] refuses it.
pub fn read(plan: &DataPlan) -> Result<DataSet, TaskError> {
    let SourcePlan::Jsonl { path, sha256, .. } = &plan.source else {
        let reason = "the data is generated, there is no file to read".to_owned();
        return Err(TaskError::Rules { reason, hint: "name a `jsonl` source".to_owned() });
    };
    let bytes = fs::read(path).map_err(|error| TaskError::Read { path: path.clone(), error })?;
    let found = sha256_hex(&bytes);
    if found != *sha256 {
        return Err(TaskError::Changed { path: path.clone(), planned: sha256.clone(), found });
    }
    parse(&bytes, plan)
}

/// Turns the bytes of a file into problems, rows in the order of the file. Blank lines are skipped.
///
/// # Errors
/// When there is no row, or the first row that is not UTF-8, no JSON object, or lacks a column, with its line.
pub fn parse(bytes: &[u8], plan: &DataPlan) -> Result<DataSet, TaskError> {
    let SourcePlan::Jsonl { path, heldout, columns, solution, answer, .. } = &plan.source else {
        return Ok(DataSet::new(Vec::new(), Vec::new()));
    };
    let layout = Layout {
        path,
        heldout: *heldout,
        columns,
        solution: solution.as_deref(),
        answer: answer.as_deref(),
    };
    let template = Template::new(&plan.prompt, columns)?;
    let (mut train, mut held) = (Vec::new(), Vec::new());
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let row = layout.row(line, index + 1)?;
        let problem = layout.problem(&row, index + 1, &template)?;
        if layout.is_heldout(&problem.key) { held.push(problem) } else { train.push(problem) }
    }
    if train.is_empty() && held.is_empty() {
        return Err(TaskError::Empty { path: path.clone() });
    }
    Ok(DataSet::new(train, held))
}

impl Layout<'_> {
    fn error(&self, line: usize, reason: String, hint: &str) -> TaskError {
        TaskError::Row { path: self.path.to_owned(), line, reason, hint: hint.to_owned() }
    }

    fn row(&self, bytes: &[u8], line: usize) -> Result<Map<String, Value>, TaskError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let reason = format!("not UTF-8 from byte {} of the line on", error.valid_up_to() + 1);
            self.error(line, reason, "save the file as UTF-8")
        })?;
        let value = serde_json::from_str(text).map_err(|error| {
            // serde_json counts lines inside the text it was given, which is always one line here.
            let message = error.to_string();
            let message =
                message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
            let reason = format!("not JSON: {message} (column {})", error.column());
            self.error(line, reason, "write one JSON object on each line")
        })?;
        match value {
            Value::Object(row) => Ok(row),
            other => {
                let reason = format!("a row is an object, but this is {}", kind(&other));
                Err(self.error(line, reason, "write one JSON object on each line"))
            }
        }
    }

    fn column<'r>(
        &self,
        row: &'r Map<String, Value>,
        name: &str,
        line: usize,
    ) -> Result<&'r Value, TaskError> {
        row.get(name).ok_or_else(|| {
            let present = listed(row.keys().map(String::as_str));
            let reason = format!("the column `{name}` is missing; the row has {present}");
            self.error(line, reason, "name columns that every row has")
        })
    }

    fn problem(
        &self,
        row: &Map<String, Value>,
        line: usize,
        template: &Template,
    ) -> Result<Problem, TaskError> {
        let mut columns = BTreeMap::new();
        let mut variables = BTreeMap::new();
        for name in self.columns {
            let value = self.column(row, name, line)?;
            columns.insert(name.clone(), value.to_string());
            variables.insert(name.as_str(), TemplateValue::from(Serde(value)));
        }
        let text = |name: Option<&str>| match name {
            None => Ok(None),
            Some(name) => self.text(row, name, line),
        };
        Ok(Problem {
            data: String::new(),
            key: problem_key(&self.canonical(row)),
            prompt: template
                .render(&variables)
                .map_err(|error| self.error(line, error.to_string(), &error.hint()))?,
            solution: text(self.solution)?,
            answer: text(self.answer)?,
            columns,
        })
    }

    /// A column that people read: text as it is, a number as it is written, nothing for `null`.
    fn text(
        &self,
        row: &Map<String, Value>,
        name: &str,
        line: usize,
    ) -> Result<Option<String>, TaskError> {
        match self.column(row, name, line)? {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone())),
            Value::Number(number) => Ok(Some(number.to_string())),
            other => {
                let reason = format!("the column `{name}` must be text, but is {}", kind(other));
                Err(self.error(line, reason, "write it in quotes"))
            }
        }
    }

    /// The identity of a row as JSON text. A row whose only column is its solution is identified by that.
    fn canonical(&self, row: &Map<String, Value>) -> String {
        let asked =
            |name: &&String| Some(name.as_str()) != self.solution || self.columns.len() == 1;
        let mut names: Vec<&String> = self.columns.iter().filter(asked).collect();
        names.sort();
        names.dedup();
        let mut text = String::from("jsonl");
        for name in names {
            let mut value = row.get(name).cloned().unwrap_or_default();
            settle(&mut value);
            if name == UNORDERED_COLUMN
                && let Value::Array(items) = &mut value
            {
                items.sort_by_cached_key(|item| {
                    (item.as_f64().map_or(i64::MAX, |number| number as i64), item.to_string())
                });
            }
            text.push_str(&format!(" {}:{value}", Value::from(name.as_str())));
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

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
#[path = "jsonl_tests.rs"]
mod tests;
