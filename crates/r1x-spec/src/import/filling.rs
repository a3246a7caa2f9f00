//! The filling of a spec from a recipe: values of keys with their types and defaults, and what is found on the way.

use crate::codes;
use crate::diagnostic::{Diagnostic, nearest, quoted};
use crate::node::{Node, Value, plain_scalar};
use crate::source::Span;

use super::draft::{self, Draft};
use super::findings::{Carried, FillIn, Findings, NoMatter, Told};
use super::recipe::{Given, Recipe};
use super::row::{Becomes, Group, Method, Row, Table, Takes, Word};

/// The largest count that is taken from a recipe.
const MOST: i128 = 1_000_000_000;
/// Mistakes that are collected at most.
const MOST_MISTAKES: usize = 50;
/// Characters of a value that are repeated.
const LONGEST_VALUE: usize = 30;

/// What is known beside the recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// Devices that the recipe is trained on, where that is known. Some systems count sequences for each of them.
    pub devices: Option<u64>,
    /// Problems of the training data, where that is known; passes over them become steps.
    pub rows: Option<u64>,
    /// The folder of r1x's components, as the spec is to name it.
    pub plugins: String,
}

/// A spec that is being filled.
pub(crate) struct Filling<'r> {
    pub recipe: &'r Recipe,
    pub method: Method,
    pub table: &'r Table,
    pub beside: &'r Beside,
    pub draft: Draft,
    pub findings: Findings,
    /// Functions for rewards that r1x does not have, by the key that names them.
    pub missing: Vec<(&'static str, String)>,
    pub diagnostics: Vec<Diagnostic>,
}

impl<'r> Filling<'r> {
    pub fn new(recipe: &'r Recipe, method: Method, table: &'r Table, beside: &'r Beside) -> Self {
        let assumed = recipe.assumed.clone();
        Self {
            recipe,
            method,
            table,
            beside,
            draft: Draft::default(),
            findings: Findings { assumed, ..Findings::default() },
            missing: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    /// Follows every row but those that take part in a computed value.
    pub fn follow_rows(&mut self) {
        let (table, method) = (self.table, self.method);
        for row in table.rows().filter(|row| table.counts(row, method)) {
            match row.becomes {
                Becomes::Key(path) => self.follow_key(row, path),
                Becomes::Words(_) => self.follow_word(row.key),
                Becomes::Nothing { off } => self.follow_nothing(row, off),
                Becomes::Chosen(_) | Becomes::Part(_) | Becomes::NoMatter(_) => {}
            }
        }
    }

    fn follow_key(&mut self, row: &Row, path: &str) {
        let Some(node) = self.value(row.key) else { return };
        if let Some(yaml) = self.yaml(row, &node) {
            self.set(path, &yaml, &[row.key]);
            self.tell_difference(row.key, row.note);
        }
    }

    /// Writes what the word of a key stands for.
    pub fn follow_word(&mut self, key: &'static str) {
        let words: &[Word] = match self.table.row(key, self.method).map(|row| row.becomes) {
            Some(Becomes::Words(words) | Becomes::Chosen(words)) => words,
            _ => &[],
        };
        let Some(text) = self.text(key) else { return };
        let Some(word) = words.iter().find(|word| word.theirs == text) else {
            let known = words.iter().map(|word| word.theirs);
            let near = nearest(&text, known.clone());
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it is one of {}", crate::diagnostic::one_of_words(known)),
            };
            let message = format!("`{key}` has no word {}", quoted(&text));
            self.error(key, codes::UNKNOWN_WORD, message, help);
            return;
        };
        for (path, yaml) in word.ours {
            self.set(path, yaml, &[key]);
        }
        self.tell_difference(key, word.differs);
        self.tell_unsupported(key, word.lacks);
    }

    fn follow_nothing(&mut self, row: &Row, off: &str) {
        for given in self.given_of(row) {
            let is_off = given.node.is_null() || shown(&given.node) == off;
            if !is_off {
                self.tell_unsupported(&given.key, row.note);
            }
        }
    }

    /// Keys that a row is about and no other row, in the order of the recipe.
    fn given_of(&self, row: &Row) -> Vec<Given> {
        let counts = |given: &&Given| {
            let first = self.table.row(&given.key, self.method);
            first.is_some_and(|first| std::ptr::eq(first, row))
        };
        self.recipe.given.iter().filter(counts).cloned().collect()
    }

    /// Accounts for the keys that nothing was made of: r1x needs no setting for them, they decide nothing here, or nobody
    /// knows them.
    pub fn account_for_the_rest(&mut self) {
        let mut groups: Vec<(Group, Vec<String>)> = Vec::new();
        for given in self.recipe.given.iter().chain(&self.recipe.open) {
            let group = match self.table.row(&given.key, self.method).map(|row| row.becomes) {
                None => {
                    self.findings.unknown.push(self.unknown(given));
                    continue;
                }
                Some(_) if self.is_told(&given.key) => continue,
                Some(Becomes::NoMatter(group)) => group,
                Some(_) => Group::Idle,
            };
            match groups.iter_mut().find(|(known, _)| *known == group) {
                Some((_, keys)) => keys.push(given.key.clone()),
                None => groups.push((group, vec![given.key.clone()])),
            }
        }
        groups.sort_by_key(|(group, _)| *group);
        self.findings.no_matter = groups
            .into_iter()
            .map(|(group, keys)| NoMatter { about: group.why().to_owned(), keys })
            .collect();
    }

    /// Whether a key was carried over, is left to somebody to carry over, or something was said about it.
    fn is_told(&self, key: &str) -> bool {
        let found = &self.findings;
        let is_source =
            |from: &String| from.strip_prefix(key).is_some_and(|rest| rest.starts_with(": "));
        let left = found.fill_in.iter().map(|left| &left.from);
        found
            .carried
            .iter()
            .map(|carried| &carried.from)
            .chain(left)
            .any(|from| from.iter().any(is_source))
            || found.differs.iter().chain(&found.unsupported).any(|told| told.key == key)
    }

    fn unknown(&self, given: &Given) -> Told {
        let other = if self.method == Method::Grpo { Method::Sft } else { Method::Grpo };
        let known = || self.table.rows().filter(|row| row.is_of(self.method));
        let text = match (self.table.row(&given.key, other), other) {
            (Some(_), Method::Sft) => {
                "it is a key of supervised fine-tuning, and this recipe is one of reinforcement"
                    .to_owned()
            }
            (Some(_), Method::Grpo) => {
                "it is a key of reinforcement, and this recipe is one of supervised fine-tuning"
                    .to_owned()
            }
            (None, _) => match nearest(&given.key, known().filter_map(Row::whole_key)) {
                Some(near) => format!("it is not known; did you mean `{near}`?"),
                None => "it is not known, and nothing was made of it".to_owned(),
            },
        };
        let (key, value) = (given.key.clone(), shown(&given.node));
        Told { key, value, line: Some(given.span.line), text }
    }

    /// Whether a key is written, also as `null`.
    pub fn is_given(&self, key: &str) -> bool {
        self.recipe.get(key).is_some()
    }

    /// The value of a key, or its default; `None` where it is null or nothing.
    pub fn value(&self, key: &str) -> Option<Node> {
        if let Some(given) = self.recipe.get(key) {
            return Some(given.node.clone()).filter(|node| !node.is_null());
        }
        let row = self.table.row(key, self.method)?;
        let value = plain_scalar(self.table.default_of(row));
        Some(Node { value, span: Span::default() }).filter(|node| !node.is_null())
    }

    /// The value of a row as YAML of the spec.
    fn yaml(&mut self, row: &Row, node: &Node) -> Option<String> {
        match row.takes {
            Takes::Number => self.number(row.key).map(draft::number),
            Takes::Whole => self.whole(row.key).map(|value| value.to_string()),
            Takes::Flag => self.flag(row.key).map(|value| value.to_string()),
            Takes::Text => self.text(row.key).map(|text| draft::text(&text)),
            Takes::Texts => Some(draft::texts(self.texts(row.key).iter().map(String::as_str))),
            Takes::Anything => Some(shown(node)),
        }
    }

    /// A finite number.
    pub fn number(&mut self, key: &str) -> Option<f64> {
        let node = self.value(key)?;
        let value = match &node.value {
            Value::Int(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            // Recipes for readers of YAML 1.1 have numbers such as 1e-6 as text.
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        match value {
            Some(value) if value.is_finite() => Some(value),
            Some(_) => {
                let message = format!("`{key}` is no finite number");
                self.error(key, codes::OUT_OF_RANGE, message, "write a number".to_owned());
                None
            }
            None => self.wrong_type(key, &node, Takes::Number),
        }
    }

    /// A whole number.
    pub fn whole(&mut self, key: &str) -> Option<i64> {
        let node = self.value(key)?;
        let value = match &node.value {
            Value::Int(value) => Some(*value),
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 1e15 => {
                Some(*value as i128)
            }
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        match value {
            Some(value) if value.abs() <= MOST => i64::try_from(value).ok(),
            Some(value) => {
                let message = format!("`{key}` is {value}, which no count is");
                let help = format!("it is at most {MOST}");
                self.error(key, codes::OUT_OF_RANGE, message, help);
                None
            }
            None => self.wrong_type(key, &node, Takes::Whole),
        }
    }

    /// A whole number from 1 on.
    pub fn count(&mut self, key: &str) -> Option<u64> {
        let value = self.whole(key)?;
        if value < 1 {
            let message = format!("`{key}` is {value}, and must be at least 1");
            self.error(key, codes::OUT_OF_RANGE, message, "write a number from 1 on".to_owned());
        }
        u64::try_from(value).ok().filter(|value| *value >= 1)
    }

    /// A truth value.
    pub fn flag(&mut self, key: &str) -> Option<bool> {
        let node = self.value(key)?;
        match &node.value {
            Value::Bool(value) => Some(*value),
            // As readers of YAML 1.1 have them.
            Value::Text(text) => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "true" => Some(true),
                "no" | "off" | "false" => Some(false),
                _ => self.wrong_type(key, &node, Takes::Flag),
            },
            _ => self.wrong_type(key, &node, Takes::Flag),
        }
    }

    /// Text; numbers and truth values as they are written.
    pub fn text(&mut self, key: &str) -> Option<String> {
        let node = self.value(key)?;
        match &node.value {
            Value::List(_) | Value::Map(_) => self.wrong_type(key, &node, Takes::Text),
            Value::Text(text) => Some(text.clone()),
            _ => Some(shown(&node)),
        }
    }

    /// Texts; one text is a list of one, and a default has commas between them.
    pub fn texts(&mut self, key: &str) -> Vec<String> {
        let Some(node) = self.value(key) else { return Vec::new() };
        let given = self.is_given(key);
        match &node.value {
            Value::List(items) => {
                let texts: Vec<String> = items
                    .iter()
                    .filter(|item| !matches!(item.value, Value::List(_) | Value::Map(_)))
                    .map(shown_text)
                    .collect();
                if texts.len() < items.len() {
                    self.wrong_type::<()>(key, &node, Takes::Texts);
                }
                texts
            }
            Value::Text(text) if !given => text.split(", ").map(str::to_owned).collect(),
            Value::Map(_) => {
                self.wrong_type::<()>(key, &node, Takes::Texts);
                Vec::new()
            }
            _ => vec![shown_text(&node)],
        }
    }

    /// Numbers of a list.
    pub fn numbers(&mut self, key: &str) -> Vec<f64> {
        let texts = self.texts(key);
        let numbers: Vec<f64> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        if numbers.len() < texts.len() {
            let message = format!("`{key}` takes numbers, and has something else");
            self.error(key, codes::WRONG_TYPE, message, "write a list of numbers".to_owned());
        }
        numbers
    }

    fn wrong_type<T>(&mut self, key: &str, node: &Node, takes: Takes) -> Option<T> {
        let message = format!("`{key}` takes {}, and this is {}", takes.phrase(), node.kind());
        let help = match node.text() {
            Some(text) if text.contains('$') => {
                "only the script knows this value when it runs; write the value itself".to_owned()
            }
            _ => format!("write {}, or leave the key out", takes.phrase()),
        };
        self.error(key, codes::WRONG_TYPE, message, help);
        None
    }

    /// A mistake in the value of a key; each is told once.
    pub fn error(&mut self, key: &str, code: &'static str, message: String, help: String) {
        let span = self.recipe.get(key).map(|given| given.node.span);
        let mut diagnostic = match span {
            Some(span) => Diagnostic::at(&self.recipe.sources, code, span, message),
            None => Diagnostic::nowhere(code, message),
        };
        diagnostic.help(help);
        if self.diagnostics.len() < MOST_MISTAKES && !self.diagnostics.contains(&diagnostic) {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Writes a value, which came from these keys.
    pub fn set(&mut self, path: &str, yaml: &str, keys: &[&str]) {
        let path = self.method.path(path);
        let comment = keys.iter().map(|key| self.comment(key)).collect::<Vec<_>>().join(", ");
        self.draft.set(&path, yaml, comment);
        let from = keys.iter().map(|key| self.source(key)).collect();
        let carried = Carried { path: path.clone(), value: yaml.to_owned(), from };
        match self.findings.carried.iter_mut().find(|known| known.path == path) {
            Some(known) => *known = carried,
            None => self.findings.carried.push(carried),
        }
    }

    /// Writes a value that no key says, with a comment.
    pub fn set_aside(&mut self, path: &str, yaml: &str, comment: &str) {
        self.draft.set(&self.method.path(path), yaml, comment);
    }

    /// The value at a path, as YAML.
    pub fn written(&self, path: &str) -> Option<String> {
        self.draft.get(&self.method.path(path)).map(str::to_owned)
    }

    fn comment(&self, key: &str) -> String {
        if self.is_given(key) { key.to_owned() } else { format!("{key} (default)") }
    }

    /// A key with its value.
    fn source(&self, key: &str) -> String {
        let value = self.value(key).map_or_else(|| "null".to_owned(), |node| shown(&node));
        let default = if self.is_given(key) { "" } else { " (default)" };
        format!("{key}: {value}{default}")
    }

    /// Says that a key means something else.
    pub fn tell_difference(&mut self, key: &str, text: &str) {
        if let Some(told) = self.told(key, text) {
            self.findings.differs.push(told);
        }
    }

    /// Says that r1x has no such thing.
    pub fn tell_unsupported(&mut self, key: &str, text: &str) {
        if let Some(told) = self.told(key, text) {
            self.findings.unsupported.push(told);
        }
    }

    fn told(&self, key: &str, text: &str) -> Option<Told> {
        let value = self.value(key).map_or_else(|| "null".to_owned(), |node| shown(&node));
        let line = self.recipe.get(key).map(|given| given.span.line);
        let (key, text) = (key.to_owned(), text.to_owned());
        (!text.is_empty()).then_some(Told { key, value, line, text })
    }

    /// Says what is left to do, and which keys say so.
    pub fn fill_in(&mut self, path: &str, keys: &[&str], text: impl Into<String>) {
        let path = self.method.path(path);
        let from = keys.iter().map(|key| self.source(key)).collect();
        self.findings.fill_in.push(FillIn { path, from, text: text.into() });
    }

    /// Says what is taken for granted.
    pub fn assume(&mut self, text: impl Into<String>) {
        self.findings.assumed.push(text.into());
    }
}

/// A value as YAML on one line, cut where it is long.
pub(crate) fn shown(node: &Node) -> String {
    let text = match &node.value {
        Value::Float(value) => draft::number(*value),
        Value::Text(text) => draft::text(text),
        Value::List(items) => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        Value::Map(entries) if entries.is_empty() => "{}".to_owned(),
        _ => node.to_json().map_or_else(|| "?".to_owned(), |json| json.to_string()),
    };
    if text.chars().count() <= LONGEST_VALUE {
        return text;
    }
    format!("{}...", text.chars().take(LONGEST_VALUE).collect::<String>())
}

/// A scalar as the text that it is written as.
fn shown_text(node: &Node) -> String {
    node.text().map_or_else(|| shown(node), str::to_owned)
}
