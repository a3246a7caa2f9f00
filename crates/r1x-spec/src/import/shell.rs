//! A shell script that starts verl: the overrides of its command, with the script's variables put in.
//!
//! What is understood is what such scripts are made of: assignments, arrays, arithmetic, quotes and line continuations.
//! Nothing is run, and what only a shell could know stays as it is written.

mod words;

use std::collections::HashMap;

use crate::diagnostic::Report;
use crate::node::{Node, Value, plain_scalar};
use crate::source::{Sources, Span};
use crate::yaml;

use super::recipe::Recipe;
use words::{Meant, Piece, Word, commands};

/// Longest value after variables were put in, bytes: variables that hold variables may grow.
const MOST_BYTES: usize = 64 << 10;
/// Most words of all commands after arrays were put in.
const MOST_WORDS: usize = 20_000;

/// The modules that verl is started by.
const STARTS: [&str; 3] = ["main_ppo", "main_dapo", "main_ppo.py"];

/// What a variable holds.
#[derive(Clone, Debug)]
enum Held {
    One(String),
    /// An array: its words.
    Many(Vec<String>),
}

struct Shell {
    variables: HashMap<String, Held>,
    /// Variables that were assigned more than once.
    again: Vec<String>,
    words: usize,
}

/// Reads a recipe as a script.
///
/// # Errors
/// When it starts no training of verl, or several.
pub(crate) fn read(mut recipe: Recipe) -> Result<Recipe, Report> {
    let text = recipe.sources.get(recipe.source).text.clone();
    let mut shell = Shell { variables: HashMap::new(), again: Vec::new(), words: 0 };
    let mut found: Option<usize> = None;
    for command in commands(&text) {
        let Some(start) = command.iter().position(|word| shell.starts_training(word)) else {
            shell.assign(&command);
            continue;
        };
        let line = command[start].line;
        if let Some(first) = found {
            let message = format!("the script starts a training here and in line {first}");
            return Err(recipe.refused(line, message, "keep one of the commands in the file"));
        }
        found = Some(line);
        for word in &command[start + 1..] {
            for (text, line) in shell.expanded(word) {
                take(&mut recipe, &text, line)?;
            }
        }
    }
    if found.is_none() {
        let help =
            "it is a script with `python3 -m verl.trainer.main_ppo KEY=VALUE ...`, or a YAML file";
        return Err(recipe.refused(1, "this starts no training of verl".to_owned(), help));
    }
    let again = shell.again.iter().map(|name| {
        format!("the script assigns `{name}` more than once; the last assignment was taken")
    });
    recipe.assumed.extend(again);
    Ok(recipe)
}

/// Takes a word of the command as an override: `key=value`, with `+` or `++` before a key that the defaults lack, `~` before
/// one to drop.
fn take(recipe: &mut Recipe, word: &str, line: usize) -> Result<(), Report> {
    let span = Span { source: recipe.source, line, col: 0, len: 1 };
    // Arguments of the caller, redirections, and options of hydra are no keys.
    if word.trim().is_empty() || word.starts_with(['$', '-', '>', '<', '&', '2']) {
        if word.starts_with("--config") {
            recipe.assumed.push(format!("`{word}` is not read: import the file that it names"));
        }
        return Ok(());
    }
    let word = word.trim_start_matches('+');
    if let Some(key) = word.strip_prefix('~') {
        let node = Node { value: Value::Null, span };
        return recipe.add(key.to_owned(), node, span);
    }
    let Some((key, value)) = word.split_once('=') else {
        let message = format!("{} is no `KEY=VALUE`", crate::diagnostic::quoted(word));
        return Err(recipe.refused(line, message, "take it out of the command"));
    };
    let node = value_of(value, span);
    recipe.add(key.to_owned(), node, span)
}

/// A value as hydra reads it, which is nearly YAML.
fn value_of(text: &str, span: Span) -> Node {
    let quoted = |mark: char| {
        let inside = text.strip_prefix(mark)?.strip_suffix(mark)?;
        (!inside.contains(mark)).then(|| inside.to_owned())
    };
    if let Some(inside) = quoted('\'').or_else(|| quoted('"')) {
        return Node { value: Value::Text(inside), span };
    }
    if text.starts_with(['[', '{']) {
        let mut sources = Sources::default();
        let source = sources.add_set(text);
        if let Some(node) = yaml::parse(&sources, source, 0, &mut Vec::new()) {
            return placed(node, span);
        }
    }
    Node { value: plain_scalar(text), span }
}

/// The tree with all of it at one place.
fn placed(node: Node, span: Span) -> Node {
    let value = match node.value {
        Value::List(items) => {
            Value::List(items.into_iter().map(|item| placed(item, span)).collect())
        }
        Value::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|entry| crate::node::Entry { node: placed(entry.node, span), ..entry })
                .collect(),
        ),
        other => other,
    };
    Node { value, span }
}

impl Shell {
    fn starts_training(&self, word: &Word) -> bool {
        let Some(text) = word.literal() else { return false };
        STARTS.iter().any(|start| {
            text.strip_suffix(start).is_some_and(|before| before.ends_with(['.', '/']))
        })
    }

    /// Follows a command of nothing but assignments; any other is passed over.
    fn assign(&mut self, command: &[Word]) {
        let skip = command.first().is_some_and(|word| {
            ["export", "local", "declare", "readonly"].iter().any(|key| word.literal() == Some(key))
        });
        let assignments: Option<Vec<_>> =
            command[usize::from(skip)..].iter().map(Word::assignment).collect();
        for (name, value) in assignments.unwrap_or_default() {
            let held = match value {
                words::Assigned::One(pieces) => Held::One(self.text(&pieces)),
                words::Assigned::Many(words) => {
                    let words = words.iter().flat_map(|word| self.expanded(word));
                    Held::Many(words.map(|(text, _)| text).collect())
                }
            };
            let known = self.variables.insert(name.clone(), held).is_some();
            if known && !self.again.contains(&name) {
                self.again.push(name);
            }
        }
    }

    /// The words that a word becomes, each with its line: one, or all of an array.
    fn expanded(&mut self, word: &Word) -> Vec<(String, usize)> {
        self.words += 1;
        if self.words > MOST_WORDS {
            return Vec::new();
        }
        // A variable without quotes is as many words as it holds.
        if let [Piece::Variable { meant: Meant::Text, .. }] = word.pieces.as_slice() {
            let text = self.text(&word.pieces);
            return text.split_whitespace().map(|text| (text.to_owned(), word.line)).collect();
        }
        // Quotes around a variable leave an empty text beside it.
        let is_text = |piece: &&Piece| !matches!(piece, Piece::Text(text) if text.is_empty());
        let pieces: Vec<&Piece> = word.pieces.iter().filter(is_text).collect();
        if let [Piece::Variable { name, meant: Meant::AllWords, .. }] = pieces.as_slice() {
            return match self.variables.get(name) {
                Some(Held::Many(words)) => {
                    self.words += words.len();
                    words.iter().map(|text| (text.clone(), word.line)).collect()
                }
                Some(Held::One(text)) => vec![(text.clone(), word.line)],
                None => Vec::new(),
            };
        }
        vec![(self.text(&word.pieces), word.line)]
    }

    /// The text of pieces; what is not known stays as it is written.
    fn text(&self, pieces: &[Piece]) -> String {
        let mut out = String::new();
        for piece in pieces {
            if out.len() > MOST_BYTES {
                break;
            }
            match piece {
                Piece::Text(text) | Piece::Unknown(text) => out.push_str(text),
                Piece::Sum(source) => match self.sum(source) {
                    Some(value) => out.push_str(&value.to_string()),
                    None => out.push_str(&format!("$(({source}))")),
                },
                Piece::Variable { name, default, written, .. } => {
                    match (self.variables.get(name), default) {
                        (Some(Held::One(text)), _) => out.push_str(text),
                        (Some(Held::Many(words)), _) => out.push_str(&words.join(" ")),
                        (None, Some(default)) => out.push_str(&self.text(default)),
                        (None, None) => out.push_str(written),
                    }
                }
            }
        }
        out
    }

    fn sum(&self, source: &str) -> Option<i64> {
        let value = |name: &str| match self.variables.get(name)? {
            Held::One(text) => text.trim().parse().ok(),
            Held::Many(_) => None,
        };
        words::sum(source, &value)
    }
}
