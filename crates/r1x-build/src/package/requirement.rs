//! A requirement on a package, as `requirements` of a manifest and PEP 723 blocks write it (PEP 508).
//!
//! Read here only so far that a mistake is told with its place, and that nothing but a name, extras, versions and a
//! marker reaches pip: no option, no address, no path.

use std::fmt;

use super::marker::{self, Marker};

/// A requirement: which package, with which extras, in which versions, on which systems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The name as it is written.
    pub name: String,
    /// Its extras, in order.
    pub extras: Vec<String>,
    /// Clauses about versions, `>=1.0`, in order.
    pub versions: Vec<String>,
    /// The systems that it is for, as it is written.
    marker: Option<String>,
    /// The marker, read.
    condition: Option<Marker>,
}

/// Comparisons of versions; what begins like another one comes first.
const OPERATORS: [&str; 8] = ["===", "~=", "==", "!=", "<=", ">=", "<", ">"];

impl Requirement {
    /// Reads a requirement.
    ///
    /// # Errors
    /// In one sentence, when it is none, or names where to get a package instead of which.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (named, marker) = match text.split_once(';') {
            Some((named, marker)) => (named.trim(), Some(marker.trim())),
            None => (text.trim(), None),
        };
        let end = named.find(|c: char| !is_word(c)).unwrap_or(named.len());
        let (name, rest) = named.split_at(end);
        if !is_name(name) {
            return Err(format!("`{text}` does not begin with the name of a package"));
        }
        let rest = rest.trim_start();
        let (extras, rest) = extras(rest)
            .ok_or_else(|| format!("`{text}`: extras are written as `{name}[one,two]`"))?;
        if rest.starts_with('@') {
            return Err(format!(
                "`{text}` names an address; write a name with versions, as in `{name}==1.0`"
            ));
        }
        let versions = versions(rest).ok_or_else(|| {
            format!("`{text}`: versions are written as `{name}==1.0` or `{name}>=1.0,<2`")
        })?;
        let condition = match marker {
            Some(marker) => {
                let read = marker::parse(marker);
                Some(read.map_err(|reason| format!("`{text}`: {reason}"))?)
            }
            None => None,
        };
        let marker = marker.map(str::to_owned);
        Ok(Self { name: name.to_owned(), extras, versions, marker, condition })
    }

    /// The name as an index compares it (PEP 503).
    pub fn key(&self) -> String {
        key(&self.name)
    }

    /// Whether it is for the sandbox, with these extras of the package that asks for it.
    pub fn applies(&self, extras: &[String]) -> bool {
        self.condition.as_ref().is_none_or(|condition| condition.holds(extras))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)?;
        if !self.extras.is_empty() {
            write!(out, "[{}]", self.extras.join(","))?;
        }
        out.write_str(&self.versions.join(","))?;
        match &self.marker {
            Some(marker) => write!(out, "; {marker}"),
            None => Ok(()),
        }
    }
}

/// A package's name as an index compares it: lower case, runs of `-`, `_` and `.` as one `-`.
pub(crate) fn key(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_lowercase()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn is_name(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(ends) && text.ends_with(ends) && text.chars().all(is_word)
}

/// Extras in brackets, if there are some, and what follows them.
fn extras(text: &str) -> Option<(Vec<String>, &str)> {
    let Some(inside) = text.strip_prefix('[') else { return Some((Vec::new(), text)) };
    let (inside, rest) = inside.split_once(']')?;
    let names: Vec<String> = match inside.trim() {
        "" => Vec::new(),
        inside => inside.split(',').map(|name| name.trim().to_owned()).collect(),
    };
    names.iter().all(|name| is_name(name)).then(|| (names, rest.trim_start()))
}

/// Clauses about versions, with or without parentheses around them.
fn versions(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    let inside = match text.strip_prefix('(') {
        Some(inside) => inside.strip_suffix(')')?.trim(),
        None => text,
    };
    if inside.is_empty() {
        return Some(Vec::new());
    }
    let clause = |clause: &str| {
        let clause = clause.trim();
        let operator = OPERATORS.iter().find(|operator| clause.starts_with(**operator))?;
        let version = clause[operator.len()..].trim();
        let plain =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '*' | '+' | '!');
        let good =
            version.starts_with(|c: char| c.is_ascii_alphanumeric()) && version.chars().all(plain);
        good.then(|| format!("{operator}{version}"))
    };
    inside.split(',').map(clause).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_read_and_written() {
        for (text, written, key) in [
            ("math-verify==0.9.0", "math-verify==0.9.0", "math-verify"),
            ("  Math_Verify  ", "Math_Verify", "math-verify"),
            ("zope.interface>=5,<7", "zope.interface>=5,<7", "zope-interface"),
            ("a [x , Y.z] (>= 1.0, != 1.5.*)", "a[x,Y.z]>=1.0,!=1.5.*", "a"),
            ("a[]~=1.4.2", "a~=1.4.2", "a"),
            ("a===1!2.0+local.1", "a===1!2.0+local.1", "a"),
            ("a>1;python_version<'4'", "a>1; python_version<'4'", "a"),
            ("ruamel.yaml.--clib2", "ruamel.yaml.--clib2", "ruamel-yaml-clib2"),
        ] {
            let read = Requirement::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read.to_string(), written);
            assert_eq!(read.key(), key);
            assert_eq!(Requirement::parse(&read.to_string()).unwrap(), read);
        }
    }

    #[test]
    fn what_is_no_name_with_versions_is_refused() {
        for (text, expected) in [
            ("", "does not begin with the name"),
            ("-r other.txt", "does not begin with the name"),
            ("--index-url=https://x", "does not begin with the name"),
            ("./folder", "does not begin with the name"),
            ("https://x/a.whl", "versions are written as `https==1.0`"),
            ("git+https://x/a", "versions are written as `git==1.0`"),
            ("a @ https://x/a.whl", "`a @ https://x/a.whl` names an address"),
            ("a[x", "extras are written as `a[one,two]`"),
            ("a[x y]", "extras are written as"),
            ("a 1.0", "versions are written as `a==1.0`"),
            ("a=1.0", "versions are written as"),
            ("a==", "versions are written as"),
            ("a==1.0 --hash=sha256:00", "versions are written as"),
            ("a>=1,", "versions are written as"),
            ("a; python_version", "a marker compares"),
            ("a; colour == 'red'", "`colour` is nothing that a marker"),
        ] {
            let error = Requirement::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_marker_decides_about_the_sandbox() {
        let applies = |text: &str, extras: &[&str]| {
            let extras: Vec<String> = extras.iter().map(|extra| (*extra).to_owned()).collect();
            Requirement::parse(text).unwrap().applies(&extras)
        };
        assert!(applies("a", &[]));
        assert!(!applies("colorama; sys_platform == 'win32'", &[]));
        assert!(!applies("a; extra == 'gpu'", &[]) && applies("a; extra == 'gpu'", &["gpu"]));
    }
}
