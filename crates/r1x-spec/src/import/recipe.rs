//! The keys of another system's file, with dots between the parts of nested ones, and where each stands.

use std::path::Path;

use crate::codes;
use crate::diagnostic::{Diagnostic, Report};
use crate::node::{Node, Value};
use crate::source::{SourceId, Sources, Span};
use crate::yaml;

/// Most keys of a recipe; the largest that is known has some 400.
const MOST_KEYS: usize = 4_000;
/// How often a value may refer to another one.
const MOST_REFERENCES: usize = 8;

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Given {
    /// The key, `actor_rollout_ref.actor.optim.lr`.
    pub key: String,
    /// Its value, which is no map.
    pub node: Node,
    /// Where the key stands.
    pub span: Span,
}

/// A file of another system.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub sources: Sources,
    pub source: SourceId,
    /// Its keys in the order in which they were written.
    pub given: Vec<Given>,
    /// Keys that are written and have no value: others are to fill them in, or they refer to nothing. Their defaults hold.
    pub open: Vec<Given>,
    /// What was assumed while it was read.
    pub assumed: Vec<String>,
}

impl Recipe {
    /// An empty recipe of a file, whose text is read next.
    ///
    /// # Errors
    /// When its bytes are no text or too many.
    pub fn open(name: &Path, bytes: &[u8]) -> Result<Self, Report> {
        let mut sources = Sources::default();
        let shown = name.display();
        if bytes.len() > yaml::MAX_BYTES {
            let message = format!("{shown} is larger than {} bytes", yaml::MAX_BYTES);
            return Err(Report::new(vec![Diagnostic::nowhere(codes::LIMITS, message)]));
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            let mut diagnostic =
                Diagnostic::nowhere(codes::SYNTAX, format!("{shown} is not text in UTF-8"));
            diagnostic.help("name the file of the recipe: a YAML file, or a script of verl");
            return Err(Report::new(vec![diagnostic]));
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let source = sources.add_file(name, text);
        Ok(Self { sources, source, given: Vec::new(), open: Vec::new(), assumed: Vec::new() })
    }

    /// The error that it is no recipe that can be imported, with the line that says so.
    pub fn refused(&self, line: usize, message: String, help: &str) -> Report {
        let span = Span { source: self.source, line, col: 0, len: 1 };
        let mut diagnostic = Diagnostic::at(&self.sources, codes::RECIPE, span, message);
        diagnostic.help(help);
        Report::new(vec![diagnostic])
    }

    /// Reads it as YAML.
    ///
    /// # Errors
    /// When it is no YAML, or no map with keys that are words.
    pub fn yaml(mut self) -> Result<Self, Report> {
        let mut diagnostics = Vec::new();
        let root = yaml::parse(&self.sources, self.source, 0, &mut diagnostics);
        diagnostics.iter_mut().for_each(of_a_recipe);
        let Some(root) = root.filter(|_| diagnostics.is_empty()) else {
            return Err(Report::new(diagnostics));
        };
        if root.entries().is_none_or(<[_]>::is_empty) {
            let message =
                format!("a recipe is a map of keys and values, and this is {}", root.kind());
            let mut diagnostic =
                Diagnostic::at(&self.sources, codes::WRONG_TYPE, root.span, message);
            diagnostic.help("name the YAML file that the other system is started with");
            return Err(Report::new(vec![diagnostic]));
        }
        self.flatten("", &root)?;
        Ok(self)
    }

    fn flatten(&mut self, above: &str, node: &Node) -> Result<(), Report> {
        for entry in node.entries().unwrap_or_default() {
            let key = match above {
                "" => entry.key.clone(),
                above => format!("{above}.{}", entry.key),
            };
            match &entry.node.value {
                Value::Map(entries) if !entries.is_empty() => self.flatten(&key, &entry.node)?,
                _ => self.add(key, entry.node.clone(), entry.key_span)?,
            }
        }
        Ok(())
    }

    /// Adds a key; a later value takes the place of an earlier one.
    ///
    /// # Errors
    /// When there are more than any recipe has.
    pub fn add(&mut self, key: String, node: Node, span: Span) -> Result<(), Report> {
        if self.given.len() >= MOST_KEYS {
            let message = format!("this file has more than {MOST_KEYS} keys");
            let diagnostic = Diagnostic::at(&self.sources, codes::LIMITS, span, message);
            return Err(Report::new(vec![diagnostic]));
        }
        self.given.retain(|known| known.key != key);
        self.given.push(Given { key, node, span });
        Ok(())
    }

    /// The value of a key, where it is written.
    pub fn get(&self, key: &str) -> Option<&Given> {
        self.given.iter().find(|given| given.key == key)
    }

    /// Follows references such as `${data.max_prompt_length}` and `${oc.select:a.b,null}` to what they name. Keys that
    /// are to be filled in by others (`???`), and those whose reference leads nowhere, count as not written.
    pub fn follow_references(&mut self) {
        let followed: Vec<Option<Node>> =
            self.given.iter().map(|given| self.followed(&given.key, &given.node, 0)).collect();
        for (given, node) in std::mem::take(&mut self.given).into_iter().zip(followed) {
            match node {
                Some(node) => self.given.push(Given { node, ..given }),
                None => self.open.push(given),
            }
        }
    }

    fn followed(&self, key: &str, node: &Node, depth: usize) -> Option<Node> {
        let Some(text) = node.text() else { return Some(node.clone()) };
        if text == "???" || depth > MOST_REFERENCES {
            return None;
        }
        let Some(inside) = text.strip_prefix("${").and_then(|text| text.strip_suffix('}')) else {
            return Some(node.clone());
        };
        let (name, default) = match inside.strip_prefix("oc.select:") {
            Some(select) => select.split_once(',').map_or((select, None), |(a, b)| (a, Some(b))),
            None => (inside, None),
        };
        let name = match name.trim().strip_prefix('.') {
            Some(relative) => match key.rsplit_once('.') {
                Some((parent, _)) => format!("{parent}.{relative}"),
                None => relative.to_owned(),
            },
            None => name.trim().to_owned(),
        };
        match (self.get(&name), default) {
            (Some(found), _) => self.followed(&name, &found.node, depth + 1),
            (None, Some(default)) => {
                let value = crate::node::plain_scalar(default.trim());
                (value != Value::Null).then_some(Node { value, span: node.span })
            }
            (None, None) => None,
        }
    }
}

/// The reader of YAML speaks of specs, and what they share parts with is nothing that a recipe has.
fn of_a_recipe(diagnostic: &mut Diagnostic) {
    if diagnostic.code == codes::FEATURE {
        "anchors, aliases, tags and further documents are not read"
            .clone_into(&mut diagnostic.message);
        diagnostic
            .help("write the value where it is used, and text that begins with & * or ! in quotes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Recipe, Report> {
        Recipe::open(Path::new("recipe.yaml"), text.as_bytes())?.yaml()
    }

    #[test]
    fn nested_keys_have_dots_and_later_ones_count() {
        let recipe = read("a: 1\nb:\n  c: {d: [x]}\n  e: {}\n").expect("a recipe");
        let keys: Vec<&str> = recipe.given.iter().map(|given| given.key.as_str()).collect();
        assert_eq!(keys, ["a", "b.c.d", "b.e"]);
        assert_eq!(recipe.get("b.c.d").map(|given| given.span.line), Some(3));
    }

    #[test]
    fn references_lead_to_what_they_name() {
        let text = "a: {x: 3, y: '${.x}'}\nb: '${a.y}'\nc: '${oc.select:no.where,7}'\nd: '${nowhere}'\n\
                    e: '???'\nf: '${g}'\ng: '${f}'\nh: '${oc.select:no,null}'\n";
        let mut recipe = read(text).expect("a recipe");
        recipe.follow_references();
        let value = |key: &str| recipe.get(key).map(|given| given.node.value.clone());
        assert_eq!(value("a.y"), Some(Value::Int(3)));
        assert_eq!(value("b"), Some(Value::Int(3)));
        assert_eq!(value("c"), Some(Value::Int(7)));
        for key in ["d", "e", "f", "g", "h"] {
            assert_eq!(value(key), None, "{key}");
        }
        let open: Vec<&str> = recipe.open.iter().map(|given| given.key.as_str()).collect();
        assert_eq!(open, ["d", "e", "f", "g", "h"]);
    }

    #[test]
    fn what_is_no_recipe_is_refused_with_its_place() {
        for (text, code) in [
            ("[1, 2]", codes::WRONG_TYPE),
            ("", codes::WRONG_TYPE),
            ("a: &x 1\nb: *x\n", codes::FEATURE),
            ("a: [1", codes::SYNTAX),
            ("a: 1\na: 2\n", codes::DUPLICATE_KEY),
        ] {
            let report = read(text).expect_err(text);
            let first = &report.diagnostics[0];
            assert_eq!(first.code, code, "{text}");
            assert!(first.at.is_some() && first.help.is_some(), "{text}: {report}");
            assert!(!report.to_string().contains("specs"), "{report}");
        }
    }

    #[test]
    fn a_file_with_too_many_keys_is_refused() {
        let many: String = (0..5_000).map(|n| format!("key{n}: 1\n")).collect();
        assert_eq!(read(&many).expect_err("too many").diagnostics[0].code, codes::LIMITS);
    }
}
