//! The prompt template: minijinja, in which a column that does not exist is an error and the text is kept to its
//! last newline.
//!
//! Must not know where columns come from.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

use crate::error::{TaskError, listed};

/// Name of the one template of an environment.
const NAME: &str = "prompt";

/// The columns a template may use.
#[derive(Clone, Copy)]
pub(crate) enum Columns<'a> {
    /// Those that all problems have.
    Known(&'a [String]),
    /// Those that the spec lists, of possibly more in the file.
    Listed(&'a [String]),
    /// Whatever a row has.
    OfTheRow,
}

/// A compiled prompt template.
pub(crate) struct Template {
    environment: Environment<'static>,
    columns: Vec<String>,
    /// Variables it reads that are no globals, sorted.
    used: Vec<String>,
}

impl Template {
    /// Compiles a template whose variables are the columns.
    ///
    /// # Errors
    /// When it is malformed or names a variable that is no column.
    pub(crate) fn new(source: &str, columns: Columns<'_>) -> Result<Self, TaskError> {
        let known = match columns {
            Columns::Known(known) | Columns::Listed(known) => known.to_vec(),
            Columns::OfTheRow => Vec::new(),
        };
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let mut template = Self { environment, columns: known, used: Vec::new() };
        // Otherwise the newline at the end of a YAML block would not reach the model.
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
        template.environment.set_syntax(syntax.map_err(|error| template.error(&error))?);
        let added = template.environment.add_template_owned(NAME, source.to_owned());
        added.map_err(|error| template.error(&error))?;
        template.used = template.variables()?;
        template.check_variables(columns)?;
        Ok(template)
    }

    /// Columns that the template reads, sorted.
    pub(crate) fn used(&self) -> &[String] {
        &self.used
    }

    /// The prompt of one problem.
    ///
    /// # Errors
    /// When the template fails on these values, or writes nothing.
    pub(crate) fn render(&self, columns: &BTreeMap<&str, Value>) -> Result<String, TaskError> {
        let rendered =
            self.environment.get_template(NAME).and_then(|template| template.render(columns));
        let prompt = rendered.map_err(|error| self.failed_on(&error, columns))?;
        if prompt.trim().is_empty() {
            return Err(self.failed(None, "it writes an empty prompt".to_owned()));
        }
        Ok(prompt)
    }

    fn variables(&self) -> Result<Vec<String>, TaskError> {
        let compiled = self.environment.get_template(NAME).map_err(|error| self.error(&error))?;
        let globals: Vec<&str> = self.environment.globals().map(|(name, _)| name).collect();
        let undeclared = compiled.undeclared_variables(false).into_iter();
        let mut used: Vec<String> =
            undeclared.filter(|name| !globals.contains(&name.as_str())).collect();
        used.sort();
        Ok(used)
    }

    /// Finds unknown variables before the first problem does, all of them at once.
    fn check_variables(&self, columns: Columns<'_>) -> Result<(), TaskError> {
        let why = match columns {
            Columns::Known(_) => "which the data does not have",
            Columns::Listed(_) => "which `columns` does not list",
            Columns::OfTheRow => return Ok(()),
        };
        let unknown: Vec<&str> = self
            .used
            .iter()
            .filter(|name| !self.columns.contains(name))
            .map(String::as_str)
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(self.failed(None, format!("it uses {}, {why}", listed(unknown))))
    }

    /// The error of one problem: a column it lacks is a better reason than an undefined value.
    fn failed_on(&self, error: &minijinja::Error, columns: &BTreeMap<&str, Value>) -> TaskError {
        let lacking =
            self.used.iter().map(String::as_str).filter(|name| !columns.contains_key(name));
        let lacking: Vec<&str> = lacking.collect();
        let mut told = if error.kind() == ErrorKind::UndefinedError && !lacking.is_empty() {
            let reason = format!("it uses {}, which this row does not have", listed(lacking));
            self.failed(error.line(), reason)
        } else {
            self.error(error)
        };
        if let TaskError::Template { columns: known, .. } = &mut told {
            *known = columns.keys().map(|name| (*name).to_owned()).collect();
        }
        told
    }

    fn error(&self, error: &minijinja::Error) -> TaskError {
        let kind = error.kind().to_string();
        let reason = match error.detail() {
            Some(detail) => format!("{kind}: {detail}"),
            None => kind,
        };
        self.failed(error.line(), reason)
    }

    fn failed(&self, line: Option<usize>, reason: String) -> TaskError {
        TaskError::Template { line, reason, columns: self.columns.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<String> {
        vec!["nums".to_owned(), "target".to_owned()]
    }

    fn render(source: &str) -> Result<String, TaskError> {
        let values =
            BTreeMap::from([("nums", Value::from(vec![3, 5, 7])), ("target", Value::from(22))]);
        Template::new(source, Columns::Known(&columns()))?.render(&values)
    }

    #[test]
    fn the_text_is_kept_to_its_last_newline() {
        for source in ["a\n", "a\n\n", "\na", "{{ target }}\n", "a {# b #}\n", "a\r\n"] {
            let expected = source.replace("{{ target }}", "22").replace("{# b #}", "");
            assert_eq!(render(source).unwrap(), expected, "{source:?}");
        }
        assert_eq!(render("a{% if target %}\nb\n{% endif %}\n").unwrap(), "a\nb\n\n");
        // The author's own cut still cuts.
        assert_eq!(render("a {%- if target %} b{% endif -%}\n").unwrap(), "a b");
    }

    #[test]
    fn columns_of_a_row_are_known_when_it_is_there() {
        let template = Template::new("{{ a }}{{ b | default('?') }}", Columns::OfTheRow).unwrap();
        assert_eq!(template.used(), ["a", "b"]);
        let row = BTreeMap::from([("a", Value::from(1)), ("c", Value::from(2))]);
        assert_eq!(template.render(&row).unwrap(), "1?");
        let row = BTreeMap::from([("b", Value::from(1)), ("c", Value::from(2))]);
        let error = template.render(&row).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the prompt template cannot be used (line 1 of it): it uses `a`, which this row does not have"
        );
        assert_eq!(error.hint(), "a template can use the columns: `b`, `c`");
        let listed = Template::new("{{ a }}", Columns::Listed(&["c".to_owned()])).err().unwrap();
        assert_eq!(
            listed.to_string(),
            "the prompt template cannot be used: it uses `a`, which `columns` does not list"
        );
    }

    #[test]
    fn columns_are_variables() {
        let source = "{{ nums | join(' ') }} -> {{ target }} <think>";
        assert_eq!(render(source).unwrap(), "3 5 7 -> 22 <think>");
        let source =
            "{% for n in nums %}{{ n }} {% endfor %}of {{ range(nums | length) | length }}";
        assert_eq!(render(source).unwrap(), "3 5 7 of 3");
    }

    #[track_caller]
    fn check_error(source: &str, expected: &str) {
        let error = render(source).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.hint(), "a template can use the columns: `nums`, `target`");
    }

    #[test]
    fn errors_say_what_and_where() {
        check_error(
            "{{ numbers }} {{ goal }}",
            "the prompt template cannot be used: it uses `goal`, `numbers`, which the data does not have",
        );
        check_error(
            "text\n{{ nums | joined }}",
            "the prompt template cannot be used (line 2 of it): unknown filter: filter joined is unknown",
        );
        check_error("{{ '' }} \n", "the prompt template cannot be used: it writes an empty prompt");
        let error = render("one\n\n{{ nums").unwrap_err().to_string();
        assert!(error.contains("(line 3 of it): syntax error"), "{error}");
        let error = render("{{ target.missing }}").unwrap_err().to_string();
        assert!(error.contains("(line 1 of it): undefined value"), "{error}");
    }
}
