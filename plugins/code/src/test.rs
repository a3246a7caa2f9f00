//! Tests of a program: what it is run on, what is expected, and whether an outcome is that.
//!
//! Must not know how rewards come of them.

use r1x_plugin::exec::Outcome;
use r1x_plugin::{Map, Value, kind};

/// One test.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// The function to call; `None` runs the program on `input`.
    pub function: Option<String>,
    /// What the program reads, or its arguments as JSON.
    pub input: String,
    expected: Value,
}

/// The tests of a problem: a list of objects, or its JSON as a text.
pub fn read(columns: &Map<String, Value>) -> Result<Vec<Test>, String> {
    let parsed;
    let list = match columns.get("tests") {
        None => return Err("column `tests` is missing".to_owned()),
        Some(Value::String(text)) => {
            let read: Result<Value, _> = text.parse();
            parsed = read.map_err(|error| format!("column `tests` is not JSON: {error}"))?;
            &parsed
        }
        Some(value) => value,
    };
    let Value::Array(list) = list else {
        return Err(format!("column `tests` must be a list, not {}", kind(list)));
    };
    if list.is_empty() {
        return Err("column `tests` has no tests".to_owned());
    }
    let function = match columns.get("function") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name.as_str()),
        Some(other) => {
            return Err(format!("column `function` must be a text, not {}", kind(other)));
        }
    };
    let numbered = list.iter().enumerate();
    numbered
        .map(|(at, test)| one(test, function).map_err(|e| format!("test {}: {e}", at + 1)))
        .collect()
}

fn one(test: &Value, function: Option<&str>) -> Result<Test, String> {
    let Value::Object(test) = test else {
        return Err(format!("it must be an object, not {}", kind(test)));
    };
    match (test.get("input"), test.get("output"), test.get("args"), test.get("returns")) {
        (Some(Value::String(input)), Some(Value::String(output)), None, None) => Ok(Test {
            function: None,
            input: input.clone(),
            expected: Value::String(lines(output)),
        }),
        (None, None, Some(Value::Array(arguments)), Some(returns)) => {
            let own = test.get("function").and_then(Value::as_str).or(function);
            let function = own.ok_or("which function? give it, or a column `function`")?;
            Ok(Test {
                function: Some(function.to_owned()),
                input: Value::Array(arguments.clone()).to_string(),
                expected: returns.clone(),
            })
        }
        _ => {
            Err("it has the texts `input` and `output`, or a list `args` and `returns`".to_owned())
        }
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
        let (right, shown) = match (&self.function, &self.expected) {
            (None, Value::String(expected)) => (lines(text) == *expected, expected.clone()),
            _ => {
                let returned: Result<Value, _> = text.parse();
                let right = returned.is_ok_and(|value| equal(&value, &self.expected, tolerance));
                (right, self.expected.to_string())
            }
        };
        if right {
            return ("passed", String::new());
        }
        let short = |text: &str| r1x_plugin::text::shorten(text.trim(), 120);
        ("wrong", format!("`{}`, not `{}`", short(text), short(&shown)))
    }
}

/// Text without spaces at the ends of lines, and without empty lines at its end.
fn lines(text: &str) -> String {
    let trimmed: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    trimmed.join("\n")
}

/// Equal values, with numbers by value. Depth is bounded by the reader of JSON.
fn equal(found: &Value, expected: &Value, tolerance: f64) -> bool {
    match (found, expected) {
        (Value::Number(a), Value::Number(b)) => {
            if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
                return a == b || near(a as f64, b as f64, tolerance);
            }
            match (a.as_f64(), b.as_f64()) {
                (Some(a), Some(b)) => a == b || near(a, b, tolerance),
                _ => false,
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b, tolerance))
        }
        (Value::Object(a), Value::Object(b)) => {
            let same = |(key, value): (&String, &Value)| {
                b.get(key).is_some_and(|other| equal(value, other, tolerance))
            };
            a.len() == b.len() && a.iter().all(same)
        }
        (a, b) => a == b,
    }
}

/// Whether the error, absolute or relative, is within a tolerance above 0.
fn near(found: f64, expected: f64, tolerance: f64) -> bool {
    tolerance > 0.0 && (found - expected).abs() <= tolerance * expected.abs().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests(columns: &str) -> Result<Vec<Test>, String> {
        read(&r1x_plugin::parse_config(columns).unwrap())
    }

    fn ends(columns: &str, returned: &str, tolerance: f64) -> &'static str {
        tests(columns).unwrap()[0].end(&Outcome::Ok(returned.to_owned()), tolerance).0
    }

    #[test]
    fn values_are_compared_and_not_texts() {
        for (expected, returned, right) in [
            ("[1, 2]", "[1,2.0]", true),
            ("[1, 2]", "[2,1]", false),
            ("[1, 2]", "[1]", false),
            ("true", "1", false),
            ("null", "null", true),
            ("\"a\"", "\"a\"", true),
            ("1", "\"1\"", false),
            ("{\"b\": 1, \"a\": [2]}", "{\"a\":[2],\"b\":1}", true),
            ("{\"a\": 1}", "{\"a\":1,\"b\":1}", false),
            ("9007199254740993", "9007199254740992", false),
            ("0.3", "0.30000000000000004", false),
            ("1", "no JSON", false),
        ] {
            let columns =
                format!(r#"{{"function":"f","tests":[{{"args":[],"returns":{expected}}}]}}"#);
            let end = if right { "passed" } else { "wrong" };
            assert_eq!(ends(&columns, returned, 0.0), end, "{expected} {returned}");
        }
        let columns = r#"{"function":"f","tests":[{"args":[],"returns":0.3}]}"#;
        assert_eq!(ends(columns, "0.30000000000000004", 1e-9), "passed");
        assert_eq!(ends(columns, "0.31", 1e-9), "wrong");
    }

    #[test]
    fn output_is_compared_without_trailing_space() {
        let columns = r#"{"tests":[{"input":"","output":"a\nb\n"}]}"#;
        for (output, end) in
            [("a  \nb", "passed"), ("a\r\nb\n\n", "passed"), (" a\nb", "wrong"), ("a b", "wrong")]
        {
            assert_eq!(ends(columns, output, 0.0), end, "{output:?}");
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
            (r#"{"tests":[]}"#, "no tests"),
            (r#"{"tests":[1]}"#, "test 1: it must be an object"),
            (r#"{"tests":[{"input":"1"}]}"#, "`input` and `output`"),
            (r#"{"tests":[{"args":[],"returns":1}]}"#, "which function"),
            (r#"{"tests":[],"function":1}"#, "no tests"),
        ] {
            let error = tests(columns).unwrap_err();
            assert!(error.contains(words), "{columns}: {error}");
        }
        assert_eq!(tests(r#"{"tests":"[{\"input\":\"1\",\"output\":\"2\"}]"}"#).unwrap().len(), 1);
    }
}
