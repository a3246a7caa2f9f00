//! Markers: on which systems a requirement holds (PEP 508), judged for the one system that rewards run on.

use std::cmp::Ordering;

/// The sandbox as markers see it: the interpreter that the packager brings, on a system without a name.
pub(crate) const ENVIRONMENT: [(&str, &str); 11] = [
    ("implementation_name", "cpython"),
    ("implementation_version", "3.14.0"),
    ("os_name", "posix"),
    ("platform_machine", "wasm32"),
    ("platform_python_implementation", "CPython"),
    ("platform_release", "0.0.0"),
    ("platform_system", "wasi"),
    ("platform_version", "0.0.0"),
    ("python_full_version", "3.14.0"),
    ("python_version", "3.14"),
    ("sys_platform", "wasi"),
];
/// The variable that has the extras asked for, one after the other.
const EXTRA: &str = "extra";

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    /// Two markers hold.
    And(Box<Marker>, Box<Marker>),
    /// At least one of two markers holds.
    Or(Box<Marker>, Box<Marker>),
    /// A comparison of two values.
    Compare(Value, Comparison, Value),
}

/// What a comparison has on its left or right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Something of the system.
    Variable(String),
    /// A text.
    Text(String),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// `in`.
    In,
    /// `not in`.
    NotIn,
    /// `==`, and `===`.
    Equal,
    /// `!=`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    AtMost,
    /// `>`.
    More,
    /// `>=`.
    AtLeast,
    /// `~=`: at least, and the same but for the last part.
    Compatible,
}

const COMPARISONS: [(&str, Comparison); 8] = [
    ("===", Comparison::Equal),
    ("~=", Comparison::Compatible),
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Less),
    (">", Comparison::More),
];

impl Marker {
    /// Whether it holds in the sandbox, for these extras.
    pub(crate) fn holds(&self, extras: &[String]) -> bool {
        match self {
            Marker::And(a, b) => a.holds(extras) && b.holds(extras),
            Marker::Or(a, b) => a.holds(extras) || b.holds(extras),
            Marker::Compare(a, comparison, b) => {
                let is_extra = |value: &Value| *value == Value::Variable(EXTRA.to_owned());
                if !is_extra(a) && !is_extra(b) {
                    return compare(a.resolve(""), *comparison, b.resolve(""));
                }
                // Without extras a condition on them is compared with a text that no extra has.
                let none = [String::new()];
                let asked = if extras.is_empty() { &none } else { extras };
                asked.iter().any(|one| compare(a.resolve(one), *comparison, b.resolve(one)))
            }
        }
    }
}

impl Value {
    fn resolve<'a>(&'a self, extra: &'a str) -> &'a str {
        match self {
            Value::Text(text) => text,
            Value::Variable(name) if name == EXTRA => extra,
            Value::Variable(name) => {
                ENVIRONMENT.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
            }
        }
    }
}

fn compare(a: &str, comparison: Comparison, b: &str) -> bool {
    let (star, b) = match b.strip_suffix(".*") {
        Some(stem) => (true, stem),
        None => (false, b),
    };
    match comparison {
        Comparison::In => return b.contains(a),
        Comparison::NotIn => return !b.contains(a),
        _ => {}
    }
    // What both read as versions is compared as such, everything else as text.
    let (Some(version), Some(other)) = (release(a), release(b)) else {
        return match comparison {
            Comparison::Equal => a == b,
            Comparison::NotEqual => a != b,
            Comparison::Less => a < b,
            Comparison::AtMost => a <= b,
            Comparison::More => a > b,
            Comparison::AtLeast => a >= b,
            Comparison::Compatible | Comparison::In | Comparison::NotIn => false,
        };
    };
    let begins =
        |stem: &[u64]| (0..stem.len()).all(|at| version.get(at).unwrap_or(&0) == &stem[at]);
    let order = order(&version, &other);
    match comparison {
        Comparison::Equal if star => begins(&other),
        Comparison::NotEqual if star => !begins(&other),
        Comparison::Equal => order == Ordering::Equal,
        Comparison::NotEqual => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::AtMost => order != Ordering::Greater,
        Comparison::More => order == Ordering::Greater,
        Comparison::AtLeast => order != Ordering::Less,
        Comparison::Compatible => {
            order != Ordering::Less && begins(&other[..other.len().saturating_sub(1)])
        }
        Comparison::In | Comparison::NotIn => false,
    }
}

/// The numbers of a version; what follows them, as in `3.14.0a1`, no system here has.
fn release(text: &str) -> Option<Vec<u64>> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let numbers = text[..end].trim_end_matches('.');
    numbers.split('.').map(|part| part.parse().ok()).collect()
}

fn order(a: &[u64], b: &[u64]) -> Ordering {
    let longest = a.len().max(b.len());
    let part = |list: &[u64], at: usize| list.get(at).copied().unwrap_or(0);
    (0..longest)
        .map(|at| part(a, at).cmp(&part(b, at)))
        .find(|order| *order != Ordering::Equal)
        .unwrap_or(Ordering::Equal)
}

/// Reads a marker.
pub(crate) fn parse(text: &str) -> Result<Marker, String> {
    let mut reader = Reader { rest: text };
    let marker = reader.any()?;
    match reader.rest.trim() {
        "" => Ok(marker),
        rest => Err(format!("the marker goes on with `{rest}`, where `and` or `or` was expected")),
    }
}

/// What is left of a marker.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn any(&mut self) -> Result<Marker, String> {
        let mut marker = self.all()?;
        while self.word("or") {
            marker = Marker::Or(Box::new(marker), Box::new(self.all()?));
        }
        Ok(marker)
    }

    fn all(&mut self) -> Result<Marker, String> {
        let mut marker = self.one()?;
        while self.word("and") {
            marker = Marker::And(Box::new(marker), Box::new(self.one()?));
        }
        Ok(marker)
    }

    fn one(&mut self) -> Result<Marker, String> {
        if self.sign("(") {
            let marker = self.any()?;
            return if self.sign(")") { Ok(marker) } else { Err("a `)` is missing".to_owned()) };
        }
        let a = self.value()?;
        let comparison = self.comparison().ok_or_else(|| {
            "a marker compares two things, as in `python_version < \"3.15\"`".to_owned()
        })?;
        Ok(Marker::Compare(a, comparison, self.value()?))
    }

    fn comparison(&mut self) -> Option<Comparison> {
        if self.word("in") {
            return Some(Comparison::In);
        }
        if self.word("not") {
            return self.word("in").then_some(Comparison::NotIn);
        }
        COMPARISONS.iter().find(|(sign, _)| self.sign(sign)).map(|(_, comparison)| *comparison)
    }

    fn value(&mut self) -> Result<Value, String> {
        let rest = self.rest.trim_start();
        if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            let inside = &rest[1..];
            let (text, after) =
                inside.split_once(quote).ok_or_else(|| format!("the text {rest} has no end"))?;
            self.rest = after;
            return Ok(Value::Text(text.to_owned()));
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
        let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
        // Old spellings that some packages still have.
        let known = name.replace("os.name", "os_name").replace("sys.platform", "sys_platform");
        if known != EXTRA && !ENVIRONMENT.iter().any(|(variable, _)| *variable == known) {
            let names: Vec<&str> = ENVIRONMENT.iter().map(|(name, _)| *name).collect();
            return Err(format!(
                "`{name}` is nothing that a marker can ask for; there are: {}, {EXTRA}",
                names.join(", ")
            ));
        }
        self.rest = after;
        Ok(Value::Variable(known))
    }

    fn sign(&mut self, sign: &str) -> bool {
        match self.rest.trim_start().strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A word, and not the beginning of a longer one.
    fn word(&mut self, word: &str) -> bool {
        match self.rest.trim_start().strip_prefix(word) {
            Some(rest) if !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_judged_for_the_sandbox() {
        for (text, expected) in [
            ("python_version >= '3.10'", true),
            ("python_version < '3.9'", false),
            ("python_version == '3.*'", true),
            ("python_version != '3.13.*'", true),
            ("python_version ~= '3.8'", true),
            ("python_version ~= '3.14.1'", false),
            ("'3.9' < python_version", true),
            ("python_full_version<'3.14.1'", true),
            ("python_full_version > '3.14'", false),
            ("sys_platform == 'win32'", false),
            ("sys.platform != \"win32\" and os.name == 'posix'", true),
            ("platform_system == 'Windows' or platform_python_implementation == 'CPython'", true),
            ("(sys_platform == 'linux' or sys_platform == 'wasi') and python_version < '4'", true),
            ("platform_machine in 'x86_64 AMD64 aarch64'", false),
            ("platform_machine not in 'x86_64 AMD64 aarch64'", true),
            ("extra == 'test'", false),
            ("implementation_name=='pypy'", false),
        ] {
            assert_eq!(parse(text).unwrap().holds(&[]), expected, "{text}");
        }
    }

    #[test]
    fn and_binds_closer_than_or() {
        let (yes, no) = ("os_name == 'posix'", "os_name == 'nt'");
        let holds = |text: String| parse(&text).unwrap().holds(&[]);
        assert!(holds(format!("{yes} or {no} and {no}")));
        assert!(!holds(format!("({yes} or {no}) and {no}")));
    }

    #[test]
    fn extras_are_those_asked_for() {
        let marker = parse("extra == 'a' and python_version >= '3'").unwrap();
        assert!(marker.holds(&["b".to_owned(), "a".to_owned()]));
        assert!(!marker.holds(&["b".to_owned()]));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for (text, expected) in [
            ("", "`` is nothing that a marker"),
            ("python_version", "a marker compares two things"),
            ("python_version >= '3", "has no end"),
            ("(os_name == 'nt'", "a `)` is missing"),
            ("os_name == 'nt' os_name", "goes on with `os_name`"),
            ("android == 'yes'", "`android` is nothing"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
