//! The spec that a recipe becomes: values by their paths, written in the order of the format with what each came from.

use std::fmt::Write as _;

use crate::schema_tree::{RecordShape, Shape};

/// Column in which comments begin, where there is room.
const COMMENT_COLUMN: usize = 46;

/// One value of the spec, and the key of the recipe it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Written {
    path: String,
    yaml: String,
    from: String,
}

/// The values of a spec.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    values: Vec<Written>,
}

/// A map of the spec.
#[derive(Default)]
struct Tree {
    value: Option<(String, String)>,
    below: Vec<(String, Tree)>,
}

impl Draft {
    /// Writes a value, as YAML, in place of what stands at its path.
    pub fn set(&mut self, path: &str, yaml: impl Into<String>, from: impl Into<String>) {
        let written = Written { path: path.to_owned(), yaml: yaml.into(), from: from.into() };
        match self.values.iter_mut().find(|known| known.path == path) {
            Some(known) => *known = written,
            None => self.values.push(written),
        }
    }

    /// The value at a path, as YAML.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.values.iter().find(|known| known.path == path).map(|known| known.yaml.as_str())
    }

    /// The text of the spec, whose format is `shape`.
    pub fn text(&self, shape: &Shape) -> String {
        let mut out = String::new();
        write_map(&mut out, &self.tree(), Some(shape), 0);
        out
    }

    /// The paths of the spec's values in the order of the format.
    pub fn paths(&self, shape: &Shape) -> Vec<String> {
        let mut paths = Vec::new();
        collect(&mut paths, "", &self.tree(), Some(shape));
        paths
    }

    fn tree(&self) -> Tree {
        let mut root = Tree::default();
        for value in &self.values {
            let tree = value.path.split('.').fold(&mut root, Tree::child);
            tree.value = Some((value.yaml.clone(), value.from.clone()));
        }
        root
    }
}

impl Tree {
    fn child(&mut self, key: &str) -> &mut Tree {
        let at = match self.below.iter().position(|(known, _)| known == key) {
            Some(at) => at,
            None => {
                self.below.push((key.to_owned(), Tree::default()));
                self.below.len() - 1
            }
        };
        &mut self.below[at].1
    }
}

/// The keys of a map in the order of the format, each key with the shape of its value.
fn ordered<'t>(
    tree: &'t Tree,
    shape: Option<&'t Shape>,
) -> Vec<(&'t str, &'t Tree, Option<&'t Shape>)> {
    let place = |record: &RecordShape, key: &str| {
        record.fields.iter().position(|field| field.key == key).unwrap_or(usize::MAX)
    };
    let mut keys: Vec<_> = tree.below.iter().map(|(key, below)| (key.as_str(), below)).collect();
    if let Some(Shape::Record(record) | Shape::IdList(record)) = shape {
        keys.sort_by_key(|(key, _)| place(record, key));
    }
    let inner = |key: &str| match shape {
        Some(Shape::Record(record)) => record.field(key).map(|field| &field.shape),
        Some(Shape::Dict(inner)) => Some(inner.as_ref()),
        _ => None,
    };
    keys.into_iter().map(|(key, below)| (key, below, inner(key))).collect()
}

fn collect(paths: &mut Vec<String>, above: &str, tree: &Tree, shape: Option<&Shape>) {
    for (key, below, inner) in ordered(tree, shape) {
        let path = if above.is_empty() { key.to_owned() } else { format!("{above}.{key}") };
        if below.value.is_some() {
            paths.push(path.clone());
        }
        match inner {
            Some(Shape::IdList(record)) => {
                let shape = Shape::Record(record.clone());
                for (id, entry) in &below.below {
                    collect(paths, &format!("{path}.{id}"), entry, Some(&shape));
                }
            }
            inner => collect(paths, &path, below, inner),
        }
    }
}

fn write_map(out: &mut String, tree: &Tree, shape: Option<&Shape>, depth: usize) {
    let indent = "  ".repeat(depth);
    for (key, below, inner) in ordered(tree, shape) {
        if depth == 0 && !out.is_empty() && !below.below.is_empty() {
            out.push('\n');
        }
        match (&below.value, inner) {
            (Some((yaml, from)), _) => line(out, &format!("{indent}{key}: {yaml}"), from),
            (None, Some(Shape::IdList(record))) => {
                let _ = writeln!(out, "{indent}{key}:");
                write_list(out, below, record, depth + 1);
            }
            (None, _) => {
                let _ = writeln!(out, "{indent}{key}:");
                write_map(out, below, inner, depth + 1);
            }
        }
    }
}

/// Entries with ids, which are the keys of the tree.
fn write_list(out: &mut String, tree: &Tree, record: &RecordShape, depth: usize) {
    let shape = Shape::Record(Box::new(record.clone()));
    for (id, entry) in &tree.below {
        let _ = writeln!(out, "{}- id: {id}", "  ".repeat(depth));
        write_map(out, entry, Some(&shape), depth + 1);
    }
}

fn line(out: &mut String, text: &str, from: &str) {
    let width = text.chars().count();
    out.push_str(text);
    if !from.is_empty() {
        let gap = COMMENT_COLUMN.saturating_sub(width).max(2);
        let _ = write!(out, "{}# {from}", " ".repeat(gap));
    }
    out.push('\n');
}

/// Text as YAML: as it is where it can only be text, in quotes elsewhere.
pub(crate) fn text(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let begins = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.' || c == '/');
    let is_text = matches!(crate::node::plain_scalar(value), crate::node::Value::Text(_));
    if begins && is_text && value.chars().all(plain) {
        return value.to_owned();
    }
    // What JSON quotes, YAML reads.
    serde_json::Value::from(value).to_string()
}

/// Texts as a list of YAML.
pub(crate) fn texts<'t>(values: impl IntoIterator<Item = &'t str>) -> String {
    let values: Vec<String> = values.into_iter().map(text).collect();
    format!("[{}]", values.join(", "))
}

/// A number as YAML, with a power of ten where there would be many zeros.
pub(crate) fn number(value: f64) -> String {
    let small = value != 0.0 && value.abs() < 1e-3;
    if small { format!("{value:e}") } else { crate::schema_tree::shown(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::Term as _;
    use crate::schema_tree::Range;
    use crate::spec::RunSpec;

    #[test]
    fn values_stand_in_the_order_of_the_format() {
        let mut draft = Draft::default();
        draft.set("stages.rl.grpo.lr", "1e-6", "learning_rate");
        draft.set("stages.rl.grpo.sampling.max_tokens", "512", "");
        draft.set("stages.rl.grpo.data", "maths.train", "");
        draft.set("model.from", "models/a", "");
        draft.set("r1x", "1", "");
        draft.set("stages.rl.grpo.lr", "2e-6", "learning_rate");
        let lr = "      lr: 2e-6";
        let gap = " ".repeat(COMMENT_COLUMN - lr.len());
        let expected = format!(
            "r1x: 1\n\nmodel:\n  from: models/a\n\nstages:\n  - id: rl\n    grpo:\n      data: maths.train\n      \
             sampling:\n        max_tokens: 512\n{lr}{gap}# learning_rate\n"
        );
        let shape = RunSpec::shape(Range::ANY);
        assert_eq!(draft.text(&shape), expected);
        let rl = |key: &str| format!("stages.rl.grpo.{key}");
        let paths = [
            "r1x".to_owned(),
            "model.from".to_owned(),
            rl("data"),
            rl("sampling.max_tokens"),
            rl("lr"),
        ];
        assert_eq!(draft.paths(&shape), paths);
    }

    #[test]
    fn texts_that_are_no_plain_words_are_quoted() {
        assert_eq!(text("models/Qwen2.5-0.5B"), "models/Qwen2.5-0.5B");
        for (value, quoted) in [
            ("true", "\"true\""),
            ("1e5", "\"1e5\""),
            ("", "\"\""),
            ("a: b", "\"a: b\""),
            ("a\n\"b\" # c", "\"a\\n\\\"b\\\" # c\""),
            ("- x", "\"- x\""),
        ] {
            assert_eq!(text(value), quoted);
            let read: String = serde_yaml::from_str(&text(value)).expect("YAML");
            assert_eq!(read, value);
        }
        assert_eq!(texts(["a", "b c"]), "[a, \"b c\"]");
        assert_eq!(
            [5e-7, 2e-5, 0.001, 0.0, 1e20].map(number),
            ["5e-7", "2e-5", "0.001", "0", "1e20"]
        );
    }
}
