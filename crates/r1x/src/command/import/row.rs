//! A row of another system, read: one rollout with what was asked, answered and said of it.

use std::collections::BTreeMap;

use r1x_core::FinishReason;
use r1x_tasks::dataset::rows::FileRow;
use serde_json::Value;

/// Characters of a name or a value that an error shows.
const SHOWN_CHARACTERS: usize = 60;
/// What to do where a column is missing.
const OTHER_SYSTEM: &str = "say whose files they are with `--from`";

/// A rollout as a row of a foreign file tells it.
pub struct Found {
    /// The step, where the row says it.
    pub step: Option<u64>,
    /// What was asked.
    pub prompt: String,
    /// What tells problems with equal prompts apart, where the row has it.
    pub example: Option<String>,
    /// The right answer.
    pub answer: Option<String>,
    /// What was answered.
    pub completion: String,
    /// What may be rewards, in the order of the columns.
    pub scores: Vec<Score>,
    /// The advantage.
    pub advantage: Option<f64>,
    /// Tokens of the completion, where the row has them or counts them.
    pub tokens: Option<usize>,
    /// How the completion ended.
    pub finish: FinishReason,
    /// Columns with another meaning or none, as JSON text; those of scores are among them.
    pub columns: BTreeMap<String, String>,
}

/// Something that may be a reward.
pub struct Score {
    /// Its name.
    pub name: String,
    /// Its weight in the total, unless a person says another one.
    pub weight: f64,
    /// What the row has.
    pub cell: Cell,
}

/// A value of a column that may be a reward.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    /// A number.
    Number(f64),
    /// No value.
    Nothing,
    /// Something else.
    Other,
}

/// Why a row is no rollout, and how to mend it.
#[derive(Debug)]
pub struct Mistake {
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub hint: &'static str,
}

/// A name or a value as an error shows it.
pub fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The value of a column that every row has.
pub fn needed<'r>(row: &'r FileRow, name: &str) -> Result<&'r Value, Mistake> {
    row.get(name).ok_or_else(|| {
        let present: Vec<String> =
            row.columns().take(12).map(|(name, _)| format!("`{}`", short(name))).collect();
        let reason = format!("the column `{name}` is missing; the row has {}", present.join(", "));
        Mistake { reason, hint: OTHER_SYSTEM }
    })
}

/// A whole number that counts steps, written as a number or as a text of its digits.
pub fn step(row: &FileRow, name: &str) -> Result<Option<u64>, Mistake> {
    let value = match row.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let whole = match value {
        Value::Number(number) => number.as_u64().or_else(|| {
            // Programs that write tables turn whole numbers into others where a value is missing.
            let float = number.as_f64()?;
            (float.fract() == 0.0 && (0.0..1e15).contains(&float)).then_some(float as u64)
        }),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    match whole.filter(|step| i64::try_from(*step).is_ok()) {
        Some(step) => Ok(Some(step)),
        None => Err(Mistake {
            reason: format!("`{name}` is no number of a step: {}", short(&row.json(value))),
            hint: "a step is a whole number from 0 on",
        }),
    }
}

/// A value as a reward may have it. A truth value is 1 or 0.
pub fn cell(row: &FileRow, value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Nothing,
        Value::Bool(yes) => Cell::Number(f64::from(u8::from(*yes))),
        other => row.as_number(other).map_or(Cell::Other, Cell::Number),
    }
}

/// What a person reads in a column: a text as it is, another value as JSON, nothing where it is missing.
pub fn plain(row: &FileRow, value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        value => match row.readable(value).as_ref() {
            Value::String(text) => Some(text.clone()),
            _ => Some(row.json(value)),
        },
    }
}

/// A text, or a list of messages as one text.
pub fn text(row: &FileRow, name: &str) -> Result<String, Mistake> {
    match row.readable(needed(row, name)?).as_ref() {
        Value::String(text) => Ok(text.clone()),
        Value::Array(messages) => conversation(messages).ok_or_else(|| Mistake {
            reason: format!("the column `{name}` is a list, and an entry of it is no message"),
            hint: "a message is an object with `role` and `content`",
        }),
        _ => Err(Mistake {
            reason: format!("the column `{name}` is neither a text nor a list of messages"),
            hint: OTHER_SYSTEM,
        }),
    }
}

/// Messages as one text: of a single one the content alone, as it would stand without roles; of several each below its
/// role. `None` when one is no message.
pub fn conversation(messages: &[Value]) -> Option<String> {
    let mut written = Vec::new();
    for message in messages {
        let role = message.get("role")?.as_str()?;
        let content = content(message.get("content"));
        written.push((role, [content, calls(message.get("tool_calls"))].concat()));
    }
    match written.as_slice() {
        [(_, only)] => Some(only.clone()),
        several => {
            let blocks = several.iter().map(|(role, text)| format!("[{role}]\n{text}"));
            Some(blocks.collect::<Vec<_>>().join("\n\n"))
        }
    }
}

/// What a message says. Parts that are no text leave a mark.
fn content(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let part = |part: &Value| match (part.get("text"), part.get("type")) {
                (Some(Value::String(text)), _) => text.clone(),
                (_, Some(Value::String(kind))) => format!("[{kind}]"),
                _ => part.to_string(),
            };
            parts.iter().map(part).collect()
        }
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

/// The tools that a message calls.
fn calls(calls: Option<&Value>) -> String {
    let Some(Value::Array(calls)) = calls else { return String::new() };
    calls.iter().map(|call| format!("\n[tool call] {call}")).collect()
}

/// Columns that have no other meaning, as JSON text.
pub fn rest(row: &FileRow, taken: &[&str]) -> BTreeMap<String, String> {
    let others = row.columns().filter(|(name, _)| !taken.contains(name));
    others.map(|(name, value)| (name.to_owned(), row.json(value))).collect()
}
