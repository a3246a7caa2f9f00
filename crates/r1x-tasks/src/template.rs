//! The prompt template: minijinja, in which a column that does not exist is an error.
//!
//! Must not know where columns come from.

use std::collections::BTreeMap;

use minijinja::{Environment, UndefinedBehavior, Value};

use crate::error::{TaskError, listed};

/// Name of the one template of an environment.
const NAME: &str = "prompt";

/// A compiled prompt template.
pub(crate) struct Template {
    environment: Environment<'static>,
    columns: Vec<String>,
}

impl Template {
    /// Compiles a template whose variables are the columns.
    ///
    /// # Errors
    /// When it is malformed or names a variable that is no column.
    pub(crate) fn new(source: &str, columns: &[String]) -> Result<Self, TaskError> {
        let mut template = Self { environment: Environment::new(), columns: columns.to_vec() };
        template.environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let added = template.environment.add_template_owned(NAME, source.to_owned());
        added.map_err(|error| template.error(&error))?;
        template.check_variables()?;
        Ok(template)
    }

    /// The prompt of one problem.
    ///
    /// # Errors
    /// When the template fails on these values, or writes nothing.
    pub(crate) fn render(&self, columns: &BTreeMap<&str, Value>) -> Result<String, TaskError> {
        let prompt = self
            .environment
            .get_template(NAME)
            .and_then(|template| template.render(columns))
            .map_err(|error| self.error(&error))?;
        if prompt.trim().is_empty() {
            return Err(self.failed(None, "it writes an empty prompt".to_owned()));
        }
        Ok(prompt)
    }

    /// Finds unknown variables before the first problem does, all of them at once.
    fn check_variables(&self) -> Result<(), TaskError> {
        let compiled = self.environment.get_template(NAME).map_err(|error| self.error(&error))?;
        let globals: Vec<&str> = self.environment.globals().map(|(name, _)| name).collect();
        let mut unknown: Vec<String> = compiled
            .undeclared_variables(false)
            .into_iter()
            .filter(|name| !self.columns.contains(name) && !globals.contains(&name.as_str()))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        unknown.sort();
        let unknown = listed(unknown.iter().map(String::as_str));
        Err(self.failed(None, format!("it uses {unknown}, which the data does not have")))
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
        Template::new(source, &columns())?.render(&values)
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
