//! Tests of a program: what it is run on, what is expected, and whether an outcome is that.
//!
//! A problem carries its tests in a column, in one of the forms that public data sets have.

use r1x_plugin::exec::Outcome;
use r1x_plugin::{Map, Value, kind};

use crate::compare;

/// Columns that a problem may have beside its tests: the function's name, or where LiveCodeBench keeps it.
pub const COLUMNS: &[&str] = &["function", "metadata", "starter_code"];

/// One test.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// The function to call; `None` runs the program on `input`.
    pub function: Option<String>,
    /// What the program reads, or its arguments as JSON.
    pub input: String,
    expected: Value,
}

/// The tests of a problem: a list of objects, or one object with the lists `inputs` and `outputs`, or the JSON of
/// either as a text.
pub fn read(columns: &Map<String, Value>) -> Result<Vec<Test>, String> {
    let parsed;
    let given = match columns.get("tests") {
        None => return Err("column `tests` is missing".to_owned()),
        Some(Value::String(text)) => {
            let read: Result<Value, _> = text.parse();
            parsed = read.map_err(|error| format!("column `tests` is not JSON: {error}"))?;
            &parsed
        }
        Some(value) => value,
    };
    let function = Function::of(columns)?;
    let tests: Result<Vec<Test>, (usize, String)> = match given {
        Value::Array(list) => {
            let numbered = list.iter().enumerate();
            numbered.map(|(at, test)| one(test, &function).map_err(|e| (at, e))).collect()
        }
        Value::Object(lists) => {
            let function = function.or(lists.get("fn_name"));
            let pairs = paired(lists)?.into_iter().enumerate();
            pairs
                .map(|(at, (input, output))| listed(input, output, &function).map_err(|e| (at, e)))
                .collect()
        }
        other => return Err(format!("column `tests` must be a list, not {}", kind(other))),
    };
    let tests = tests.map_err(|(at, error)| format!("test {}: {error}", at + 1))?;
    if tests.is_empty() {
        return Err("column `tests` has no tests".to_owned());
    }
    Ok(tests)
}

/// The function that tests call, as far as the problem names one.
struct Function {
    /// Named: tests without a word on their type call it.
    named: Option<String>,
    /// The one that the problem's starter code leaves open.
    started: Option<String>,
}

impl Function {
    fn of(columns: &Map<String, Value>) -> Result<Self, String> {
        let named = match columns.get("function") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name.clone()),
            Some(other) => {
                return Err(format!("column `function` must be a text, not {}", kind(other)));
            }
        };
        let metadata = match columns.get("metadata") {
            Some(Value::String(text)) => text.parse().unwrap_or_default(),
            Some(other) => other.clone(),
            None => Value::Null,
        };
        let noted = ["func_name", "fn_name"].iter().find_map(|key| metadata[key].as_str());
        let named = named.or(noted.map(str::to_owned)).filter(|name| !name.is_empty());
        let started = columns.get("starter_code").and_then(Value::as_str).and_then(last_function);
        Ok(Self { named, started: started.map(str::to_owned) })
    }

    fn or(self, name: Option<&Value>) -> Self {
        let name = name.and_then(Value::as_str).map(str::to_owned);
        Self { named: self.named.or(name), ..self }
    }

    fn known(&self) -> Option<&String> {
        self.named.as_ref().or(self.started.as_ref())
    }
}

/// The name of the last function that a program begins, special methods aside.
fn last_function(code: &str) -> Option<&str> {
    let names = code.lines().rev().filter_map(|line| line.trim_start().strip_prefix("def "));
    let name = |line: &'_ str| line.find('(').map(|end| line[..end].trim().len());
    names
        .filter_map(|line| name(line).map(|length| line.trim_start().get(..length)))
        .flatten()
        .find(|name| !name.is_empty() && !name.starts_with("__"))
}

const WHICH: &str = "which function? give it, or a column `function`";

fn one(test: &Value, function: &Function) -> Result<Test, String> {
    let Value::Object(test) = test else {
        return Err(format!("it must be an object, not {}", kind(test)));
    };
    let own = ["function", "fn_name"].iter().find_map(|key| test.get(*key)).and_then(Value::as_str);
    match (test.get("input"), test.get("output"), test.get("args"), test.get("returns")) {
        (Some(Value::String(input)), Some(Value::String(output)), None, None) => {
            let called = own.map(str::to_owned);
            let function = match test.get("testtype").map(|word| word.as_str().unwrap_or_default())
            {
                None => called.or(function.named.clone()),
                Some("stdin") => None,
                Some("functional") => Some(called.or(function.known().cloned()).ok_or(WHICH)?),
                Some(_) => return Err("`testtype` is `stdin` or `functional`".to_owned()),
            };
            match function {
                None => Ok(on_input(input, output)),
                Some(function) => called_with_lines(function, input, output),
            }
        }
        (None, None, Some(Value::Array(arguments)), Some(returns)) => {
            let function = own.map(str::to_owned).or(function.known().cloned()).ok_or(WHICH)?;
            let input = Value::Array(arguments.clone()).to_string();
            Ok(Test { function: Some(function), input, expected: returns.clone() })
        }
        _ => {
            Err("it has the texts `input` and `output`, or a list `args` and `returns`".to_owned())
        }
    }
}

fn on_input(input: &str, output: &str) -> Test {
    Test { function: None, input: input.to_owned(), expected: Value::String(output.to_owned()) }
}

/// A test of a function as LiveCodeBench writes it: a line of JSON for each argument, JSON for what it returns.
fn called_with_lines(function: String, input: &str, output: &str) -> Result<Test, String> {
    let lines: Vec<&str> = input.lines().filter(|line| !line.trim().is_empty()).collect();
    let wrong = lines.iter().position(|line| line.parse::<Value>().is_err());
    // Numbers keep their digits: the text goes to the program as it is.
    let input = match wrong {
        None => format!("[{}]", lines.join(",")),
        Some(_) if input.parse::<Value>().is_ok() => format!("[{}]", input.trim()),
        Some(at) => {
            return Err(format!(
                "it calls `{function}`, and line {} of its input is not JSON",
                at + 1
            ));
        }
    };
    let expected =
        output.parse().map_err(|_| format!("it calls `{function}`, and its output is not JSON"))?;
    Ok(Test { function: Some(function), input, expected })
}

/// The pairs of `inputs` and `outputs`.
fn paired(lists: &Map<String, Value>) -> Result<Vec<(&Value, &Value)>, String> {
    match (lists.get("inputs"), lists.get("outputs")) {
        (Some(Value::Array(inputs)), Some(Value::Array(outputs)))
            if inputs.len() == outputs.len() =>
        {
            Ok(inputs.iter().zip(outputs).collect())
        }
        (Some(Value::Array(inputs)), Some(Value::Array(outputs))) => {
            let (inputs, outputs) = (inputs.len(), outputs.len());
            Err(format!("column `tests` has {inputs} `inputs` and {outputs} `outputs`"))
        }
        _ => {
            Err("column `tests` must be a list, or an object with `inputs` and `outputs`"
                .to_owned())
        }
    }
}

/// One pair of `inputs` and `outputs`: texts, lists of lines, or, for a function, lists of arguments.
fn listed(input: &Value, output: &Value, function: &Function) -> Result<Test, String> {
    match (&function.named, input, output) {
        (Some(function), Value::String(input), Value::String(output)) => {
            called_with_lines(function.clone(), input, output)
        }
        (Some(function), Value::Array(_), returns) => {
            let function = Some(function.clone());
            Ok(Test { function, input: input.to_string(), expected: returns.clone() })
        }
        (None, input, output) => match (text_of(input), text_of(output)) {
            (Some(input), Some(output)) => Ok(on_input(&input, &output)),
            _ => Err("its input and output must be texts, or lists of lines".to_owned()),
        },
        (Some(function), input, _) => {
            Err(format!("it calls `{function}` with {}, not a list or a text", kind(input)))
        }
    }
}

/// A text, or the lines of a list as one.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(lines) => {
            let lines: Option<Vec<&str>> = lines.iter().map(Value::as_str).collect();
            lines.map(|lines| lines.join("\n"))
        }
        _ => None,
    }
}

impl Test {
    /// How this test ended, by the name of a part, with a few words on why.
    pub fn end(&self, outcome: &Outcome, tolerance: f64) -> (&'static str, String) {
        match outcome {
            Outcome::Ok(text) => self.compare(text, tolerance),
            // A program may end itself when it is done; a function has to return.
            Outcome::Exited(exit) if exit.status == 0 && self.function.is_none() => {
                self.compare(&exit.output, tolerance)
            }
            Outcome::Exited(exit) => ("exited", format!("status {}", exit.status)),
            Outcome::Failed(message) => ("failed", message.clone()),
            Outcome::TimedOut => ("timed_out", String::new()),
            Outcome::OutOfMemory => ("out_of_memory", String::new()),
            Outcome::Crashed(message) => ("crashed", message.clone()),
            Outcome::UnsupportedImport(module) => ("unsupported_import", module.clone()),
        }
    }

    fn compare(&self, text: &str, tolerance: f64) -> (&'static str, String) {
        let wrong = match (&self.function, &self.expected) {
            (None, Value::String(expected)) => compare::output(text, expected, tolerance),
            _ => {
                let returned: Result<Value, _> = text.parse();
                let right =
                    returned.is_ok_and(|value| compare::value(&value, &self.expected, tolerance));
                let short = |text: &str| r1x_plugin::text::shorten(text.trim(), 120);
                let expected = self.expected.to_string();
                (!right).then(|| format!("`{}`, not `{}`", short(text), short(&expected)))
            }
        };
        wrong.map_or(("passed", String::new()), |why| ("wrong", why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests(columns: &str) -> Result<Vec<Test>, String> {
        read(&r1x_plugin::parse_config(columns).unwrap())
    }

    #[test]
    fn tests_of_livecodebench_call_functions_or_run_programs() {
        let functional = r#"{"input":"1\n[2, 3]\n","output":"30000000000000000000000001","testtype":"functional"}"#;
        let stdin = r#"{"input":"1\n","output":"1","testtype":"stdin"}"#;
        let plain = r#"{"input":"\"a b\"","output":"true"}"#;
        for (columns, function, input) in [
            (format!(r#"{{"tests":[{functional}],"function":"add"}}"#), Some("add"), "[1,[2, 3]]"),
            (
                format!(r#"{{"tests":[{functional}],"metadata":"{{\"func_name\":\"add\"}}"}}"#),
                Some("add"),
                "[1,[2, 3]]",
            ),
            (
                format!(r#"{{"tests":[{functional}],"metadata":{{"func_name":"add"}}}}"#),
                Some("add"),
                "[1,[2, 3]]",
            ),
            (
                format!(
                    r#"{{"tests":[{functional}],"metadata":"{{}}","starter_code":"class Solution:\n    def __init__(self):\n    def addAll(self, a: int, b: List[int]) -> int:\n        "}}"#
                ),
                Some("addAll"),
                "[1,[2, 3]]",
            ),
            (format!(r#"{{"tests":[{stdin}],"function":"add"}}"#), None, "1\n"),
            (format!(r#"{{"tests":[{stdin}],"metadata":"{{}}","starter_code":""}}"#), None, "1\n"),
            (format!(r#"{{"tests":[{plain}],"function":"add"}}"#), Some("add"), "[\"a b\"]"),
            (format!(r#"{{"tests":[{plain}],"starter_code":"def add(a):"}}"#), None, "\"a b\""),
            (
                r#"{"tests":{"inputs":["1\n2"],"outputs":["3"],"fn_name":"add"}}"#.to_owned(),
                Some("add"),
                "[1,2]",
            ),
            (
                r#"{"tests":{"inputs":[[1,2]],"outputs":[3],"fn_name":"add"}}"#.to_owned(),
                Some("add"),
                "[1,2]",
            ),
            (r#"{"tests":"{\"inputs\":[\"1\"],\"outputs\":[\"3\"]}"}"#.to_owned(), None, "1"),
            (
                r#"{"tests":{"inputs":[["1","2"]],"outputs":[["3"]],"fn_name":null}}"#.to_owned(),
                None,
                "1\n2",
            ),
            (
                r#"{"tests":[{"input":"[\n1\n]","output":"1","fn_name":"f"}]}"#.to_owned(),
                Some("f"),
                "[[\n1\n]]",
            ),
            (r#"{"tests":[{"input":"","output":"1","fn_name":"f"}]}"#.to_owned(), Some("f"), "[]"),
        ] {
            let test = &tests(&columns).unwrap_or_else(|e| panic!("{columns}: {e}"))[0];
            assert_eq!(
                (test.function.as_deref(), test.input.as_str()),
                (function, input),
                "{columns}"
            );
        }
    }

    #[test]
    fn ends_have_names() {
        let exit =
            |status| Outcome::Exited(r1x_plugin::exec::Exit { status, output: "1".to_owned() });
        let program = &tests(r#"{"tests":[{"input":"","output":"1"}]}"#).unwrap()[0];
        let function = &tests(r#"{"tests":[{"args":[],"returns":1,"function":"f"}]}"#).unwrap()[0];
        assert_eq!(program.end(&exit(0), 0.0).0, "passed");
        assert_eq!(program.end(&exit(1), 0.0), ("exited", "status 1".to_owned()));
        assert_eq!(function.end(&exit(0), 0.0).0, "exited");
        assert_eq!(program.end(&Outcome::OutOfMemory, 0.0).0, "out_of_memory");
        assert_eq!(program.end(&Outcome::UnsupportedImport("numpy".to_owned()), 0.0).1, "numpy");
    }

    #[test]
    fn malformed_tests_are_refused_in_words() {
        for (columns, words) in [
            ("{}", "`tests` is missing"),
            (r#"{"tests":"["}"#, "not JSON"),
            (r#"{"tests":{}}"#, "must be a list"),
            (r#"{"tests":1}"#, "must be a list"),
            (r#"{"tests":{"inputs":["1"],"outputs":[]}}"#, "1 `inputs` and 0 `outputs`"),
            (r#"{"tests":{"inputs":[1],"outputs":["1"]}}"#, "test 1: its input and output"),
            (
                r#"{"tests":{"inputs":[1],"outputs":["1"],"fn_name":"f"}}"#,
                "calls `f` with a number",
            ),
            (r#"{"tests":[{"input":"1","output":"1","testtype":"functional"}]}"#, "which function"),
            (r#"{"tests":[{"input":"1","output":"1","testtype":"x"}]}"#, "`stdin` or `functional`"),
            (
                r#"{"tests":[{"input":"1\n1 2","output":"1"}],"function":"f"}"#,
                "line 2 of its input",
            ),
            (
                r#"{"tests":[{"input":"1","output":"a b"}],"function":"f"}"#,
                "its output is not JSON",
            ),
            (r#"{"tests":[]}"#, "no tests"),
            (r#"{"tests":[1]}"#, "test 1: it must be an object"),
            (r#"{"tests":[{"input":"1"}]}"#, "`input` and `output`"),
            (r#"{"tests":[{"args":[],"returns":1}]}"#, "which function"),
            (r#"{"tests":[],"function":1}"#, "`function` must be a text"),
        ] {
            let error = tests(columns).unwrap_err();
            assert!(error.contains(words), "{columns}: {error}");
        }
        assert_eq!(tests(r#"{"tests":"[{\"input\":\"1\",\"output\":\"2\"}]"}"#).unwrap().len(), 1);
    }
}
