//! What chat templates find when transformers renders them, and minijinja does not have.
//!
//! What a method or function makes is paid for in fuel before it is made, because a template may ask for more than
//! there is memory.

use std::borrow::Cow;
use std::fmt;

use minijinja::value::{Kwargs, Rest, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, Output, State, Value};
use minijinja_contrib::pycompat;

/// Deepest value that is written as JSON.
const MOST_DEPTH: usize = 64;

/// Adds all of it to an environment.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.set_formatter(write);
    environment.set_unknown_method_callback(method);
    environment.add_function("raise_exception", raise);
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", tojson);
}

/// Values are written as Python writes them.
fn write(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let word = match value.kind() {
        ValueKind::None => "None",
        ValueKind::Bool if value.is_true() => "True",
        ValueKind::Bool => "False",
        _ => return minijinja::escape_formatter(out, state, value),
    };
    out.write_str(word).map_err(Error::from)
}

/// A method of Python's strings and maps.
fn method(state: &mut State, on: &Value, name: &str, given: &[Value]) -> Result<Value, Error> {
    let unknown = || Error::from(ErrorKind::UnknownMethod);
    match on.kind() {
        ValueKind::String => {
            let bytes = |value: &Value| value.as_str().map_or(0, str::len);
            let length = bytes(on);
            let read = length + given.iter().map(bytes).sum::<usize>();
            // A part that is cut out of a text takes more memory than the text.
            let parts = if name.starts_with("split") { length / 2 } else { 0 };
            state.consume_fuel((read / 64 + parts) as u64)?;
            match name {
                // Its texts may be wider than memory.
                "format" => Err(unknown()),
                "join" => {
                    let (parts,): (&Value,) = from_args(given)?;
                    for part in parts.try_iter()? {
                        let Some(text) = part.as_str() else {
                            let said =
                                format!("join takes texts, not a value that is {}", part.kind());
                            return Err(Error::new(ErrorKind::InvalidOperation, said));
                        };
                        // One long text may be in a list many times.
                        state.consume_fuel(1 + (text.len() + length) as u64 / 64)?;
                    }
                    pycompat::unknown_method_callback(state, on, name, given)
                }
                _ => pycompat::unknown_method_callback(state, on, name, given),
            }
        }
        ValueKind::Map => pycompat::unknown_method_callback(state, on, name, given),
        _ => Err(unknown()),
    }
}

/// What a template says of messages that it does not take.
#[derive(Debug)]
struct Raised;

impl fmt::Display for Raised {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("raised by the template")
    }
}

impl std::error::Error for Raised {}

fn raise(said: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, said).with_source(Raised))
}

/// Whether an error is one that the template raised.
pub(super) fn is_raised(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<Raised>())
}

/// The day that every template is told, whenever it is rendered: a run must not read a clock. It is the day that
/// Llama's templates write where nobody tells them one.
const TODAY: [(char, &str); 18] = [
    ('a', "Fri"),
    ('A', "Friday"),
    ('w', "5"),
    ('d', "26"),
    ('e', "26"),
    ('b', "Jul"),
    ('B', "July"),
    ('m', "07"),
    ('y', "24"),
    ('Y', "2024"),
    ('H', "00"),
    ('I', "12"),
    ('p', "AM"),
    ('M', "00"),
    ('S', "00"),
    ('j', "208"),
    ('F', "2024-07-26"),
    ('%', "%"),
];

/// The time in the notation of `strftime`: always midnight at the beginning of 26 July 2024.
fn strftime_now(state: &State, format: &str) -> Result<String, Error> {
    state.consume_fuel(format.len() as u64)?;
    let mut text = String::new();
    let mut chars = format.chars();
    while let Some(next) = chars.next() {
        if next != '%' {
            text.push(next);
            continue;
        }
        let letter = chars.next();
        let told = TODAY.iter().find(|(known, _)| Some(*known) == letter);
        let Some((_, told)) = told else {
            let said = format!("strftime_now does not know `%{}`", letter.unwrap_or(' '));
            return Err(Error::new(ErrorKind::InvalidOperation, said));
        };
        text.push_str(told);
    }
    Ok(text)
}

/// JSON as transformers writes it for templates: Python's separators, no character of another script escaped, and none
/// of HTML.
fn tojson(state: &State, value: Value, rest: Rest<Value>, given: Kwargs) -> Result<String, Error> {
    if !rest.is_empty() {
        let said = "the arguments of tojson have names";
        return Err(Error::new(ErrorKind::InvalidOperation, said));
    }
    let indent = given.get::<Option<usize>>("indent")?;
    if given.get::<Option<bool>>("ensure_ascii")? == Some(true) {
        let said = "tojson writes every character as it is";
        return Err(Error::new(ErrorKind::InvalidOperation, said));
    }
    let sort_keys = given.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    let separators = given.get::<Option<Vec<String>>>("separators")?;
    given.assert_all_used()?;
    let between = if indent.is_some() { "," } else { ", " };
    let (between, after_key) = match separators.as_deref() {
        Some([between, after_key]) => (between.clone(), after_key.clone()),
        _ => (between.to_owned(), ": ".to_owned()),
    };
    let indent = indent.map(|width| width.min(MOST_DEPTH));
    let mut json = Json { state, indent, sort_keys, between, after_key, text: String::new() };
    json.write(&value, 0)?;
    Ok(json.text)
}

/// A text of JSON while it is written.
struct Json<'s, 't, 'e> {
    state: &'s State<'t, 'e>,
    indent: Option<usize>,
    sort_keys: bool,
    between: String,
    after_key: String,
    text: String,
}

impl Json<'_, '_, '_> {
    fn write(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let refused = |said: String| Error::new(ErrorKind::InvalidOperation, said);
        if depth > MOST_DEPTH {
            return Err(refused(format!("a value is nested more than {MOST_DEPTH} times")));
        }
        match value.kind() {
            ValueKind::None => self.push("null"),
            ValueKind::Bool => self.push(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.push(&value.to_string()),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.list(keys, '{', '}', depth, |json, key| {
                    json.string(&key.to_string())?;
                    json.push(&json.after_key.clone())?;
                    json.write(&value.get_item(&key)?, depth + 1)
                })
            }
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?;
                self.list(items, '[', ']', depth, |json, item| json.write(&item, depth + 1))
            }
            kind => Err(refused(format!("a value that is {kind} has no JSON"))),
        }
    }

    fn list(
        &mut self,
        items: impl IntoIterator<Item = Value>,
        open: char,
        close: char,
        depth: usize,
        mut each: impl FnMut(&mut Self, Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.text.push(open);
        let mut any = false;
        for item in items {
            if any {
                self.push(&self.between.clone())?;
            }
            any = true;
            self.line(depth + 1)?;
            each(self, item)?;
        }
        if any {
            self.line(depth)?;
        }
        self.text.push(close);
        Ok(())
    }

    /// A new line, where lines are indented.
    fn line(&mut self, depth: usize) -> Result<(), Error> {
        match self.indent {
            Some(width) => self.push(&format!("\n{}", " ".repeat(width * depth))),
            None => Ok(()),
        }
    }

    fn string(&mut self, text: &str) -> Result<(), Error> {
        self.state.consume_fuel(text.len() as u64 / 64)?;
        let quoted = serde_json::Value::from(text).to_string();
        self.push(&quoted)
    }

    fn push(&mut self, text: &str) -> Result<(), Error> {
        self.state.consume_fuel(1 + text.len() as u64 / 64)?;
        self.text.push_str(text);
        Ok(())
    }
}

/// A template without the marks around what an assistant says, `{% generation %}` and `{% endgeneration %}`. They tell
/// transformers which tokens to train on, and write nothing.
pub(super) fn without_generation_marks(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        text.push_str(before);
        let end = tag.find("%}").map_or(tag.len(), |end| end + 2);
        let (tag, behind) = tag.split_at(end);
        let word = tag.trim_matches(['{', '}', '%', '-', '+', ' ', '\n', '\t', '\r']);
        text.push_str(&match word {
            "generation" => Cow::Owned(tag.replace(word, "if true")),
            "endgeneration" => Cow::Owned(tag.replace(word, "endif")),
            _ => Cow::Borrowed(tag),
        });
        rest = behind;
    }
    text.push_str(rest);
    text
}
