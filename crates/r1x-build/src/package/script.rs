//! The comment block in which a single Python file names its packages (PEP 723).

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::marker;
use super::requirement::Requirement;
use crate::error::ManifestError;
use crate::manifest::TopLevel;

/// How a block begins.
const OPENING: &str = "# /// script";
/// How a block ends.
const CLOSING: &str = "# ///";
const HINT: &str = "the block is TOML behind `# `, between `# /// script` and `# ///`, with \
     `dependencies = [\"name==version\"]`";

/// What a block may say. Other tools put their own tables under `tool`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Block {
    requires_python: Option<Spanned<String>>,
    #[serde(default)]
    dependencies: Vec<Spanned<String>>,
    #[serde(default)]
    tool: Tools,
}

#[derive(Default, Deserialize)]
struct Tools {
    #[serde(default)]
    r1x: Own,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    top_level: Option<Spanned<String>>,
}

/// What a file says about how it is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    /// The packages it needs.
    pub(crate) requirements: Vec<Requirement>,
    /// When its top level runs.
    pub(crate) top_level: TopLevel,
}

/// The block of a file; what a file without one says.
///
/// # Errors
/// The first thing wrong with the block, with its place.
pub(crate) fn read(path: &Path, text: &str) -> Result<Script, ManifestError> {
    let wrong = |line: usize, column: usize, message: String, hint: &str| {
        let (path, hint) = (path.to_owned(), hint.to_owned());
        ManifestError { path, line, column, message, hint }
    };
    let Some((first, lines)) = block(text).map_err(|(line, what)| wrong(line, 1, what, HINT))?
    else {
        return Ok(Script::default());
    };
    // A line of the block is a line of TOML behind two characters.
    let place = |offset: usize| {
        let toml = lines.join("\n");
        let before = &toml[..toml.floor_char_boundary(offset)];
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
        (first + before.matches('\n').count(), column + 3)
    };
    let read: Block = toml::from_str(&lines.join("\n")).map_err(|error| {
        let (line, column) = place(error.span().map_or(0, |span| span.start));
        wrong(line, column, error.message().replace("field", "key"), HINT)
    })?;
    if let Some(python) = read.requires_python
        && !holds(python.get_ref())
    {
        let (line, column) = place(python.span().start);
        let message =
            format!("rewards run on Python 3.14, and this one wants {}", python.get_ref());
        return Err(wrong(line, column, message, "widen `requires-python`, or leave it out"));
    }
    let requirement = |text: Spanned<String>| {
        let (line, column) = place(text.span().start);
        Requirement::parse(text.get_ref())
            .map_err(|message| wrong(line, column, message, REQUIREMENT_HINT))
    };
    let requirements = read.dependencies.into_iter().map(requirement).collect::<Result<_, _>>()?;
    let top_level = match read.tool.r1x.top_level {
        None => TopLevel::default(),
        Some(word) => TopLevel::parse(word.get_ref()).map_err(|hint| {
            let (line, column) = place(word.span().start);
            let message = format!("`{}` is nothing that a top level can be", word.get_ref());
            wrong(line, column, message, &hint)
        })?,
    };
    Ok(Script { requirements, top_level })
}

/// What is said under a requirement that cannot be read.
pub(crate) const REQUIREMENT_HINT: &str =
    "a requirement names a package and its versions: \"math-verify==0.9.0\", \"sympy>=1.13,<2\"";

/// Whether clauses about versions hold for the interpreter that rewards run on.
fn holds(clauses: &str) -> bool {
    clauses.split(',').map(str::trim).filter(|clause| !clause.is_empty()).all(|clause| {
        let end = clause.find(|c: char| c.is_ascii_digit()).unwrap_or(clause.len());
        let (operator, version) = clause.split_at(end);
        let marker = format!("python_full_version {} '{}'", operator.trim(), version.trim());
        marker::parse(&marker).is_ok_and(|marker| marker.holds(&[]))
    })
}

/// The line after the opening, counted from 1, and the lines of TOML; or the line and what is wrong there.
fn block(text: &str) -> Result<Option<(usize, Vec<&str>)>, (usize, String)> {
    let mut lines = text.lines().enumerate();
    let Some((opening, _)) = lines.find(|(_, line)| line.trim_end() == OPENING) else {
        return Ok(None);
    };
    let mut inside = Vec::new();
    for (index, line) in lines {
        let line = line.trim_end();
        if line == CLOSING {
            let more = text.lines().skip(index + 1).position(|line| line.trim_end() == OPENING);
            return match more {
                None => Ok(Some((opening + 2, inside))),
                Some(after) => {
                    Err((index + after + 2, "there is a second block of this kind".to_owned()))
                }
            };
        }
        match line.strip_prefix("# ").or((line == "#").then_some("")) {
            Some(toml) => inside.push(toml),
            None => break,
        }
    }
    Err((opening + 1, format!("the block has no end: `{CLOSING}` is missing")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let script =
            super::read(Path::new("reward.py"), text).map_err(|error| error.to_string())?;
        Ok(script.requirements.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_top_level_may_be_frozen() {
        let told = |word: &str| {
            let text = format!("# /// script\n# [tool.r1x]\n# top_level = \"{word}\"\n# ///\n");
            super::read(Path::new("a.py"), &text).map(|script| script.top_level)
        };
        assert_eq!(told("frozen").unwrap(), TopLevel::Frozen);
        assert_eq!(told("loaded").unwrap(), TopLevel::Loaded);
        let error = told("frosen").unwrap_err();
        assert_eq!((error.line, error.column), (3, 15));
        assert!(error.hint.contains("did you mean `frozen`?"), "{}", error.hint);
        let unknown = "# /// script\n# [tool.r1x]\n# toplevel = 1\n# ///\n";
        assert!(super::read(Path::new("a.py"), unknown).is_err());
    }

    #[test]
    fn a_block_names_packages() {
        let text = "\"\"\"About.\"\"\"\n# /// script\n# requires-python = \">=3.11\"\n# dependencies = [\n\
                    #     \"math-verify==0.9.0\",\n#\n#     \"sympy\",\n# ]\n# [tool.uv]\n# x = 1\n# ///\n\
                    import sympy\n";
        assert_eq!(read(text).unwrap(), ["math-verify==0.9.0", "sympy"]);
        assert!(read("import sympy\n# a comment\n").unwrap().is_empty());
        assert!(read("# /// script\n# ///\n").unwrap().is_empty());
        assert_eq!(read("# /// script\r\n# dependencies = ['a']\r\n# ///\r\n").unwrap(), ["a"]);
    }

    #[test]
    fn mistakes_have_their_place() {
        for (text, expected) in [
            (
                "x\n# /// script\n# dependencies = []\nimport a\n",
                "reward.py:2:1: the block has no end",
            ),
            ("# /// script\n# dependencies = [\n# ///\n", "reward.py:2:19: unclosed array"),
            ("# /// script\n# dependency = []\n# ///\n", "reward.py:2:3: unknown key `dependency`"),
            (
                "# /// script\n# dependencies = ['a', './b']\n# ///\n",
                "reward.py:2:24: `./b` does not begin",
            ),
            (
                "# /// script\n# requires-python = '<3.12'\n# ///\n",
                "reward.py:2:21: rewards run on Python 3.14, and this one wants <3.12",
            ),
            (
                "# /// script\n# ///\n\n# /// script\n# ///\n",
                "reward.py:4:1: there is a second block",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    #[test]
    fn versions_of_python_are_those_of_the_sandbox() {
        for (clauses, expected) in [
            (">=3.9", true),
            ("~=3.11", true),
            ("==3.14.*", true),
            (">=3.9,<3.14", false),
            ("", true),
        ] {
            assert_eq!(holds(clauses), expected, "{clauses}");
        }
    }
}
