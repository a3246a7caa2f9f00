//! Templates of prompts and messages: minijinja, in which a column that does not exist is an error and the text is kept to its
//! last newline.
//!
//! A template comes with data, so what it may cost is bounded: its source, the depth of its expressions, the work
//! and the memory of one prompt, and the length of that prompt.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

use crate::error::{TaskError, listed};

/// Name of the one template of an environment.
const NAME: &str = "prompt";
/// Longest source, bytes. The compiler looks for constants below every operator, so its time grows with the square.
pub(crate) const MOST_SOURCE_BYTES: usize = 32 << 10;
/// The stack a template is compiled on, bytes. The compiler calls itself for each operator of an expression; the
/// longest source, made of operators alone, needs a fraction of it.
const STACK_BYTES: usize = 256 << 20;
/// What one prompt may cost: a unit an instruction, and one for every 64 bytes that are made on the way to it.
pub(crate) const FUEL: u64 = 500_000;
/// Longest prompt, bytes.
pub(crate) const MOST_PROMPT_BYTES: usize = 4 << 20;

/// The columns a template may use.
#[derive(Clone, Copy)]
pub(crate) enum Columns<'a> {
    /// The columns that all problems have.
    Known(&'a [String]),
    /// The columns that the spec lists, of possibly more in the file.
    Listed(&'a [String]),
    /// Whatever a row has.
    OfTheRow,
}

/// A compiled prompt template.
pub(crate) struct Template {
    /// What it writes, for errors.
    of: &'static str,
    source: String,
    environment: Environment<'static>,
    columns: Vec<String>,
    /// Variables it reads that are no globals, sorted.
    used: Vec<String>,
}

impl Template {
    /// Compiles the template `of` something, whose variables are the columns.
    ///
    /// # Errors
    /// When it is malformed or names a variable that is no column.
    pub(crate) fn new(
        of: &'static str,
        source: &str,
        columns: Columns<'_>,
    ) -> Result<Self, TaskError> {
        if source.len() > MOST_SOURCE_BYTES {
            let reason = format!("it has {} bytes, more than {MOST_SOURCE_BYTES}", source.len());
            return Err(TaskError::TemplateLimit { of, line: None, reason });
        }
        let failed = |why: &str| TaskError::Rules {
            reason: format!("the {of} template cannot be compiled: {why}"),
            hint: "write a shorter template with fewer operators in a row".to_owned(),
        };
        on_a_large_stack(|| Self::compile(of, source, columns))
            .unwrap_or_else(|why| Err(failed(&why)))
    }

    fn compile(of: &'static str, source: &str, columns: Columns<'_>) -> Result<Self, TaskError> {
        let known = match columns {
            Columns::Known(known) | Columns::Listed(known) => known.to_vec(),
            Columns::OfTheRow => Vec::new(),
        };
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        let (source, used) = (source.to_owned(), Vec::new());
        let mut template = Self { of, source, environment, columns: known, used };
        // Otherwise the newline at the end of a YAML block would not reach the model.
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
        template.environment.set_syntax(syntax.map_err(|error| template.error(&error))?);
        let added = template.environment.add_template_owned(NAME, template.source.clone());
        added.map_err(|error| template.error(&error))?;
        template.used = template.variables()?;
        template.check_variables(columns)?;
        Ok(template)
    }

    /// Columns that the template reads, sorted.
    pub(crate) fn used(&self) -> impl Iterator<Item = &str> {
        self.used.iter().map(String::as_str)
    }

    /// What was compiled.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The text of one problem, which may be empty.
    ///
    /// # Errors
    /// When the template fails on these values, or writes too much.
    pub(crate) fn render(&self, columns: &BTreeMap<&str, Value>) -> Result<String, TaskError> {
        let rendered =
            self.environment.get_template(NAME).and_then(|template| template.render(columns));
        let text = rendered.map_err(|error| self.failed_on(&error, columns))?;
        if text.len() > MOST_PROMPT_BYTES {
            let reason =
                format!("it writes a text of {} bytes, more than {MOST_PROMPT_BYTES}", text.len());
            return Err(self.too_much(None, reason));
        }
        Ok(text)
    }

    /// The text of one problem.
    ///
    /// # Errors
    /// The errors of [`Template::render`], and when it writes nothing.
    pub(crate) fn render_some(&self, columns: &BTreeMap<&str, Value>) -> Result<String, TaskError> {
        let text = self.render(columns)?;
        if text.trim().is_empty() {
            return Err(self.failed(None, "it writes an empty text".to_owned()));
        }
        Ok(text)
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
        if error.kind() == ErrorKind::OutOfFuel {
            let reason = "it takes more work or memory than a prompt may".to_owned();
            return self.too_much(error.line(), reason);
        }
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
        TaskError::Template { of: self.of, line, reason, columns: self.columns.clone() }
    }

    /// A limit that the template goes beyond.
    fn too_much(&self, line: Option<usize>, reason: String) -> TaskError {
        TaskError::TemplateLimit { of: self.of, line, reason }
    }
}

/// What a compiler of templates says, called on a stack that the longest source leaves room on; or why it could not be
/// called.
pub(crate) fn on_a_large_stack<T: Send>(compile: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let compiling = thread.spawn_scoped(scope, compile).map_err(|why| why.to_string())?;
        compiling.join().map_err(|_| "the compiler fails on it".to_owned())
    })
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
        Template::new("prompt", source, Columns::Known(&columns()))?.render_some(&values)
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
        let template = "{{ a }}{{ b | default('?') }}";
        let template = Template::new("prompt", template, Columns::OfTheRow).unwrap();
        assert_eq!(template.used().collect::<Vec<_>>(), ["a", "b"]);
        let row = BTreeMap::from([("a", Value::from(1)), ("c", Value::from(2))]);
        assert_eq!(template.render(&row).unwrap(), "1?");
        let row = BTreeMap::from([("b", Value::from(1)), ("c", Value::from(2))]);
        let error = template.render(&row).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the prompt template cannot be used (line 1 of it): it uses `a`, which this row does not have"
        );
        assert_eq!(error.hint(), "a template can use the columns: `b`, `c`");
        let listed = Columns::Listed(&["c".to_owned()]);
        let listed = Template::new("`user`", "{{ a }}", listed).err().unwrap();
        assert_eq!(
            listed.to_string(),
            "the `user` template cannot be used: it uses `a`, which `columns` does not list"
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
        check_error("{{ '' }} \n", "the prompt template cannot be used: it writes an empty text");
        let error = render("one\n\n{{ nums").unwrap_err().to_string();
        assert!(error.contains("(line 3 of it): syntax error"), "{error}");
        let error = render("{{ target.missing }}").unwrap_err().to_string();
        assert!(error.contains("(line 1 of it): undefined value"), "{error}");
    }

    /// A limit is met as an error that says so, and not with the memory or the stack of the machine.
    #[track_caller]
    fn check_limit(source: &str, expected: &str) {
        let error = render(source).unwrap_err();
        let told = error.to_string();
        assert!(told.contains(expected), "{told}");
        assert!(!error.hint().is_empty());
    }

    #[test]
    fn a_prompt_has_a_limit_on_work_and_memory() {
        let limit = "it takes more work or memory than a prompt may";
        let loops = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}x";
        let doubled = "{% set s = s ~ s %}".repeat(60);
        let doubled = format!("{{% set s = 'ab' %}}{doubled}{{{{ s | length }}}}");
        let blocks = "{% set s %}{{ s }}{{ s }}{% endset %}".repeat(60);
        let blocks = format!("{{% set s = 'ab' %}}{blocks}{{{{ s | length }}}}");
        for source in [
            loops,
            &doubled,
            &blocks,
            "{{ 'ab' * 900000000 }}",
            "{{ '%99999999d' | format(1) }}",
            "{{ 'a' | indent(999999999) }}",
            "{{ range(100000) | batch(1) | list | length }}{{ range(100000) | join('0123456789' * 1000) }}",
        ] {
            check_limit(source, limit);
        }
        check_limit("{{ 'a' * 5000000 }}", "a text of 5000000 bytes, more than 4194304");
        assert_eq!(render("{{ 'a' * 4000000 }}").unwrap().len(), 4_000_000);
    }

    #[test]
    fn the_longest_sources_of_operators_are_compiled_or_refused() {
        for part in [
            "not ",
            "-",
            "(",
            "[",
            "{",
            "1+",
            "1~",
            "1**",
            "1 if ",
            "1 if 1 else ",
            "1.a.",
            "1|abs|",
            "1 and ",
            "f(",
            "x[",
            "1 is not ",
            "not -",
        ] {
            for tail in ["1", "1 }}", ""] {
                let source = format!("{{{{ {}", part.repeat((MOST_SOURCE_BYTES - 8) / part.len()));
                // Whatever it says, it says something, and soon.
                let _ = render(&format!("{source}{tail}"));
            }
        }
        for tag in [
            "{% if 1 %}",
            "{% for x in [] %}",
            "{% set x %}",
            "{% with %}",
            "{{ '",
            "{#",
            "{% raw %}",
        ] {
            let _ = render(&tag.repeat(MOST_SOURCE_BYTES / tag.len()));
        }
        check_limit(&"a".repeat(MOST_SOURCE_BYTES + 1), "it has 32769 bytes, more than 32768");
    }
}
