//! The keys of a `config.json`, read as what they must be. Everything wrong with them is collected, so that it is said
//! at once.

use std::cell::RefCell;
use std::fmt::Display;

use serde_json::{Map, Value};

use super::bounds::{MOST_COUNT, MOST_ENTRIES};

/// The keys of a configuration.
#[derive(Debug)]
pub struct Keys<'c> {
    map: &'c Map<String, Value>,
    problems: &'c RefCell<Vec<String>>,
    /// What stands before a key in messages: nothing, or the key of the map it is in.
    prefix: &'static str,
}

impl<'c> Keys<'c> {
    /// The keys of a map; what is wrong with them goes to `problems`.
    pub fn new(map: &'c Map<String, Value>, problems: &'c RefCell<Vec<String>>) -> Self {
        Self { map, problems, prefix: "" }
    }

    /// The keys of a map inside the configuration; `None` where there is no such map, or null.
    pub fn below(&self, key: &'static str) -> Option<Keys<'c>> {
        match self.get(key)? {
            Value::Object(map) => Some(Keys { map, problems: self.problems, prefix: key }),
            _ => {
                self.problem(key, "is not a map");
                None
            }
        }
    }

    /// A value that is not null.
    pub fn get(&self, key: &str) -> Option<&'c Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Says what is wrong with a key.
    pub fn problem(&self, key: &str, problem: impl Display) {
        let dot = if self.prefix.is_empty() { "" } else { "." };
        let said = format!("`{}{dot}{key}` {problem}", self.prefix);
        let mut problems = self.problems.borrow_mut();
        // A key may be asked for by several readers.
        if !problems.contains(&said) {
            problems.push(said);
        }
    }

    fn read<T>(&self, key: &str, kind: &str, of: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = self.get(key)?;
        let read = of(value);
        if read.is_none() {
            let shown: String = value.to_string().chars().take(40).collect();
            self.problem(key, format_args!("is {shown}, not {kind}"));
        }
        read
    }

    /// A count that may be 0, or a problem where it is larger than any.
    fn counted(&self, key: &str, kind: &str, most: usize) -> Option<usize> {
        let count = self.read(key, kind, |value| usize::try_from(value.as_u64()?).ok())?;
        if count > most {
            self.problem(key, format_args!("is {count}; {most} is the most that is read"));
            return None;
        }
        Some(count)
    }

    fn above_0(&self, key: &str, most: usize) -> Option<usize> {
        let kind = "a count above 0";
        let count = self.counted(key, kind, most)?;
        if count == 0 {
            self.problem(key, format_args!("is 0, not {kind}"));
            return None;
        }
        Some(count)
    }

    /// A count above 0, where it is written.
    pub fn count(&self, key: &str) -> Option<usize> {
        self.above_0(key, MOST_COUNT)
    }

    /// A count that may be 0, where it is written.
    pub fn count_or_none(&self, key: &str) -> Option<usize> {
        self.counted(key, "a count", MOST_COUNT)
    }

    /// A count above 0 that must be written.
    pub fn needed(&self, key: &str) -> usize {
        self.needed_up_to(key, MOST_COUNT)
    }

    /// A count above 0 that must be written, of which a list is made.
    pub fn needed_up_to(&self, key: &str, most: usize) -> usize {
        let found = self.above_0(key, most);
        if found.is_none() && self.get(key).is_none() {
            self.problem(key, "is missing");
        }
        // Whoever asks gets a number that divides; the problem stops everything before it is used.
        found.unwrap_or(1)
    }

    /// A number, where it is written.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.read(key, "a finite number", |value| value.as_f64().filter(|n| n.is_finite()))
    }

    /// A number above 0, or another one where it is not written.
    pub fn positive_or(&self, key: &str, default: f64) -> f64 {
        let positive = |value: &Value| value.as_f64().filter(|n| n.is_finite() && *n > 0.0);
        self.read(key, "a number above 0", positive).unwrap_or(default)
    }

    /// A share of a whole, where it is written.
    pub fn share(&self, key: &str) -> Option<f64> {
        let share = |value: &Value| value.as_f64().filter(|n| (0.0..=1.0).contains(n));
        self.read(key, "a number from 0 to 1", share)
    }

    /// Whether something is so, where it is written.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.read(key, "true or false", Value::as_bool)
    }

    /// A word, where it is written.
    pub fn word(&self, key: &str) -> Option<&'c str> {
        let value = self.get(key)?;
        let word = value.as_str();
        if word.is_none() {
            self.problem(key, "is not a text");
        }
        word
    }

    /// Counts that may be 0, where they are written.
    pub fn counts(&self, key: &str) -> Option<Vec<usize>> {
        let one = |value: &Value| usize::try_from(value.as_u64()?).ok();
        self.read(key, "a list of counts", |value| entries(value)?.iter().map(one).collect())
    }

    /// Words, where they are written.
    pub fn words(&self, key: &str) -> Option<Vec<String>> {
        let one = |value: &Value| value.as_str().map(str::to_owned);
        self.read(key, "a list of words", |value| entries(value)?.iter().map(one).collect())
    }
}

/// The entries of a list that is not longer than any.
fn entries(value: &Value) -> Option<&Vec<Value>> {
    value.as_array().filter(|list| list.len() <= MOST_ENTRIES)
}
