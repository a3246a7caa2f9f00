//! Lines from a person: edited in place, remembered between sessions, completed with Tab.

use std::path::PathBuf;

use rustyline::completion::{Completer, Pair};
use rustyline::config::{Behavior, Builder, CompletionType, Config};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use super::prompt::Input;

/// Statements remembered.
const REMEMBERED: usize = 1000;
/// Words of SQL that Tab completes besides names.
const WORDS: [&str; 28] = [
    "AND", "AS", "AVG", "BETWEEN", "BY", "CASE", "COUNT", "DESC", "DISTINCT", "ELSE", "END",
    "FROM", "GROUP", "HAVING", "IN", "IS", "JOIN", "LIKE", "LIMIT", "NULL", "ORDER", "PRAGMA",
    "SELECT", "THEN", "USING", "WHEN", "WHERE", "WITH",
];

/// A line editor with its history.
pub struct Editor {
    inner: rustyline::Editor<Names, FileHistory>,
    history: Option<PathBuf>,
}

impl Editor {
    /// An editor that completes these names and keeps its history in a file, if there is a place for it.
    ///
    /// # Errors
    /// When the terminal cannot be used.
    pub fn new(names: Vec<String>, history: Option<PathBuf>) -> Result<Self, ReadlineError> {
        let config: Config = Builder::new()
            .max_history_size(REMEMBERED)?
            .history_ignore_dups(true)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            // Answers may go into a file while the prompt is on the terminal.
            .behavior(Behavior::PreferTerm)
            .build();
        let mut inner = rustyline::Editor::with_config(config)?;
        let words = WORDS.iter().map(|word| (*word).to_owned());
        inner.set_helper(Some(Names { names: names.into_iter().chain(words).collect() }));
        if let Some(path) = &history {
            // The first session has none, and a damaged one is no reason to refuse the prompt.
            let _ = inner.load_history(path);
        }
        Ok(Self { inner, history })
    }

    pub(super) fn read(&mut self, pending: &str) -> Input {
        match self.inner.readline(if pending.is_empty() { "sql> " } else { "...> " }) {
            Ok(line) => Input::Line(line),
            Err(ReadlineError::Interrupted) => Input::Cleared,
            Err(_) => Input::Ended,
        }
    }

    pub(super) fn add(&mut self, text: &str) {
        let _ = self.inner.add_history_entry(text);
        let Some(path) = &self.history else { return };
        // A history that cannot be kept is missed in the next session, not in this one.
        let _ = path.parent().map(std::fs::create_dir_all);
        let _ = self.inner.save_history(path);
    }
}

/// Names that Tab completes.
struct Names {
    names: Vec<String>,
}

impl Completer for Names {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let begin = word_start(line, at);
        let word = &line[begin..at];
        if word.is_empty() {
            return Ok((at, Vec::new()));
        }
        let candidates = self
            .names
            .iter()
            .filter(|name| starts_with(name, word))
            .map(|name| Pair { display: name.clone(), replacement: name.clone() });
        Ok((begin, candidates.collect()))
    }
}

/// Where the word before a place begins; a dot begins one at the start of a line only.
fn word_start(line: &str, at: usize) -> usize {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let start = line[..at]
        .rfind(|c| !part(c))
        .map_or(0, |before| before + line[before..].chars().next().map_or(1, char::len_utf8));
    if start == 1 && line.starts_with('.') { 0 } else { start }
}

fn starts_with(name: &str, word: &str) -> bool {
    name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

impl Hinter for Names {
    type Hint = String;
}
impl Highlighter for Names {}
impl Validator for Names {}
impl Helper for Names {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_from_their_beginning() {
        let history = rustyline::history::DefaultHistory::new();
        let context = Context::new(&history);
        let names = ["v_runs", "v_rollouts", ".tables", "seed"].map(str::to_owned);
        let names = Names { names: names.into() };
        let complete = |line: &str| {
            let (at, found) = names.complete(line, line.len(), &context).unwrap();
            (at, found.into_iter().map(|pair| pair.replacement).collect::<Vec<_>>())
        };
        assert_eq!(complete("SELECT * FROM v_r").1, ["v_runs", "v_rollouts"]);
        assert_eq!(complete("SELECT * FROM V_RU"), (14, vec!["v_runs".to_owned()]));
        assert_eq!(complete(".ta"), (0, vec![".tables".to_owned()]));
        assert_eq!(complete("größe.se"), (8, vec!["seed".to_owned()]));
        assert_eq!(complete("SELECT "), (7, vec![]));
    }
}
