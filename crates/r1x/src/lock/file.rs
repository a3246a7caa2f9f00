//! The file of a lock: TOML with one table for each input, sorted, so that two locks are compared line by line.
//!
//! It may come from anybody, and be torn or merged by hand: what is read is bounded, and everything that is not of the
//! format is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use r1x_core::shown;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// The version of the format.
const VERSION: i64 = 1;
/// More than any lock takes, bytes: each of a thousand files of data has a line of two hundred.
const MOST_BYTES: u64 = 4 << 20;
/// What every lock begins with.
const HEAD: &str = "# Written by `r1x lock`";
/// Hex digits of a sha256.
const DIGITS: usize = 64;

/// Something that a spec reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The key of the spec that names it, such as `data.sums`.
    pub key: String,
    /// Where it was, seen from the folder of the spec; `None` where its files are in several places.
    pub path: Option<String>,
    /// sha256 of its bytes, hex; of several files the one over their names and hashes.
    pub sha256: String,
    /// Its files by name, each with its sha256, where it is more than one file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

/// A lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// sha256 of the plan that the spec came to, hex, with its paths as they are in the lock; of a sweep, the one over
    /// a line with the hash of each plan.
    pub plan: String,
    /// The changes that the spec was locked with, as `path=value`.
    pub set: Vec<String>,
    /// What the spec reads, by key. A key has several inputs where the runs of a sweep read different ones.
    pub inputs: Vec<Input>,
}

/// A lock as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Looked at before everything else is.
    #[serde(rename = "version")]
    _version: i64,
    plan: String,
    #[serde(default)]
    set: Vec<String>,
    #[serde(default)]
    input: Vec<Input>,
}

/// What every version of the format says.
#[derive(Deserialize)]
struct Versioned {
    version: i64,
}

/// Why a lock cannot be had.
#[derive(Debug)]
pub enum LockError {
    /// The file cannot be read.
    Unreadable(std::io::Error),
    /// A newer r1x has written it.
    Newer(i64),
    /// It begins as a lock does, and is none.
    Torn(String),
    /// It is something else.
    Foreign(String),
}

impl LockError {
    /// What is wrong with the file at a path, in one sentence.
    pub fn told(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Unreadable(error) => format!("{path}: {error}"),
            Self::Newer(version) => {
                format!("{path} has version {version} of the format; this r1x knows {VERSION}")
            }
            Self::Torn(why) => format!("{path} is a damaged lock: {why}"),
            Self::Foreign(why) => format!("{path} is no lock of r1x: {why}"),
        }
    }

    /// How to mend it.
    pub fn hint(&self, spec: &Path) -> String {
        match self {
            Self::Unreadable(_) => "check the path and its permissions".to_owned(),
            Self::Newer(_) => "use a newer r1x".to_owned(),
            Self::Torn(_) => format!(
                "take it from version control, or write a new one with `r1x lock {}`",
                spec.display()
            ),
            Self::Foreign(_) => {
                format!("move it away, then write a lock with `r1x lock {}`", spec.display())
            }
        }
    }
}

impl Lock {
    /// Reads the lock at a path; `None` where nothing is there.
    ///
    /// # Errors
    /// When the file cannot be read or is no lock.
    pub fn read(path: &Path) -> Result<Option<Self>, LockError> {
        match r1x_files::read_text(path, MOST_BYTES) {
            Ok(text) => Self::parse(&text).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                Err(LockError::Foreign(error.to_string()))
            }
            Err(error) => Err(LockError::Unreadable(error)),
        }
    }

    /// Reads the text of a lock.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        // What a writer left behind that was cut off at once is nobody's file.
        let is_ours = text.is_empty() || text.starts_with(HEAD);
        let wrong = |why: String| match is_ours {
            true => LockError::Torn(why),
            false => LockError::Foreign(why),
        };
        let told = |error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            wrong(format!("line {line}: {}", error.message()))
        };
        let Versioned { version } = toml::from_str(text).map_err(told)?;
        if version > VERSION {
            return Err(LockError::Newer(version));
        }
        if version < VERSION {
            return Err(wrong(format!("version {version} was never written")));
        }
        let Written { plan, set, input: inputs, .. } = toml::from_str(text).map_err(told)?;
        let mut keys = BTreeSet::new();
        for input in &inputs {
            let Input { key, sha256, files, .. } = input;
            if !keys.insert((key, sha256)) {
                return Err(wrong(format!("the input `{key}` stands in it twice")));
            }
            if let Some(hash) =
                [sha256].into_iter().chain(files.values()).find(|hash| !is_hash(hash))
            {
                return Err(wrong(format!("`{key}`: `{hash}` is no sha256")));
            }
        }
        if !is_hash(&plan) {
            return Err(wrong(format!("`plan`: `{plan}` is no sha256")));
        }
        Ok(Self { plan, set, inputs })
    }

    /// The text of the lock of a spec with this name.
    pub fn text(&self, spec: &str) -> String {
        let spec = shown::line(spec);
        let mut lines = vec![
            format!("{HEAD}: what {spec} reads, each input by the sha256 of its bytes."),
            "# `r1x run --locked` refuses anything else. Keep it under version control, beside the spec."
                .to_owned(),
            format!("version = {VERSION}"),
            format!("plan = {}", quoted(&self.plan)),
        ];
        if !self.set.is_empty() {
            lines.push("set = [".to_owned());
            lines.extend(self.set.iter().map(|set| format!("    {},", quoted(set))));
            lines.push("]".to_owned());
        }
        for Input { key, path, sha256, files } in &self.inputs {
            lines.extend([String::new(), "[[input]]".to_owned(), format!("key = {}", quoted(key))]);
            lines.extend(path.iter().map(|path| format!("path = {}", quoted(path))));
            lines.push(format!("sha256 = {}", quoted(sha256)));
            if !files.is_empty() {
                lines.push("[input.files]".to_owned());
                let file = |(name, hash): (&String, &String)| {
                    format!("{} = {}", quoted(name), quoted(hash))
                };
                lines.extend(files.iter().map(file));
            }
        }
        lines.join("\n") + "\n"
    }

    /// Writes the lock of a spec, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path, spec: &str) -> Result<(), Failure> {
        Ok(r1x_build::files::write_whole(path, self.text(spec).as_bytes())?)
    }
}

fn is_hash(text: &str) -> bool {
    let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    text.len() == DIGITS && text.bytes().all(hex)
}

/// A text as TOML writes it. JSON escapes what TOML escapes, but for the last control character of ASCII.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Lock {
        let input = |key: &str, path: Option<&str>, files: &[&str]| Input {
            key: key.to_owned(),
            path: path.map(str::to_owned),
            sha256: "a".repeat(DIGITS),
            files: files.iter().map(|name| ((*name).to_owned(), "0".repeat(DIGITS))).collect(),
        };
        let odd = "a \"quoted\"\\ name\n[[input]]\u{7f}\u{1b}é";
        Lock {
            plan: "f".repeat(DIGITS),
            set: vec!["stages.rl.grpo.lr=1e-4".to_owned(), odd.to_owned()],
            inputs: vec![
                input("data.sums", Some("rows"), &["test.jsonl", "train.jsonl", odd]),
                input("extends", None, &["../base.yaml"]),
                input(odd, Some(odd), &[]),
            ],
        }
    }

    #[test]
    fn a_lock_is_read_as_it_was_written() {
        for lock in [lock(), Lock { set: Vec::new(), inputs: Vec::new(), ..lock() }] {
            let text = lock.text("a\nb.yaml");
            assert_eq!(Lock::parse(&text).unwrap(), lock, "{text}");
        }
    }

    #[test]
    fn what_is_no_lock_is_told_with_its_place() {
        let good = lock().text("a.yaml");
        let told = |text: &str| Lock::parse(text).unwrap_err().told(Path::new("a.lock"));
        let cut = &good[..good.find("sha256").unwrap()];
        for (text, expected) in [
            (cut.to_owned(), "damaged lock: line"),
            (String::new(), "damaged lock: line 1"),
            (good.replace("version = 1", "version = 2"), "version 2 of the format"),
            (good.replace("version = 1", "version = 0"), "version 0 was never written"),
            (good.replace("version = 1", "<<<<<<< HEAD\nversion = 1"), "damaged lock: line 3"),
            (
                good.replace("key = \"extends\"", "key = \"data.sums\""),
                "`data.sums` stands in it twice",
            ),
            (good.replace("aaaa\"", "aaaA\""), "is no sha256"),
            (good.replace("ffff\"", "f\""), "`plan`"),
            (good.replace("path = \"rows\"", "place = \"rows\""), "unknown field"),
            ("version: 1\n".to_owned(), "no lock of r1x: line 1"),
            (format!("{HEAD}\nversion = 1\nx = {}", "[".repeat(100_000)), "damaged lock: line 3"),
        ] {
            assert!(told(&text).contains(expected), "{expected}: {}", told(&text));
        }
    }
}
