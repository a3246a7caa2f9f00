//! Which modules of packages an author's files name: they are loaded before the component is finished.
//!
//! A look at lines, not at syntax: a name too many costs nothing, and one too few is found by the interpreter, which
//! tells what it had to load.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::BuildError;
use crate::files;
use crate::package::Packages;

/// The modules of packages that files of a folder import.
pub(super) fn of(
    author: &Path,
    packages: Option<&Packages>,
) -> Result<BTreeSet<String>, BuildError> {
    let mut found = BTreeSet::new();
    let Some(packages) = packages else { return Ok(found) };
    for file in files::all(author)? {
        if file.extension().is_some_and(|extension| extension == "py") {
            let path = author.join(file);
            let bytes = r1x_files::read(&path, r1x_files::AMPLE)
                .map_err(|error| BuildError::io(&path, error))?;
            found.extend(named(&String::from_utf8_lossy(&bytes)));
        }
    }
    found.retain(|name| is_packaged(name, Some(packages)));
    Ok(found)
}

/// Whether a module belongs to a package, by the files of its first part.
pub(super) fn is_packaged(name: &str, packages: Option<&Packages>) -> bool {
    let top = name.split('.').next().unwrap_or(name);
    packages.is_some_and(|packages| {
        packages.folder.join(top).is_dir() || packages.folder.join(format!("{top}.py")).is_file()
    })
}

/// Modules that lines import: `import a.b as c, d` and `from a.b import c`, where `c` may be a module too.
fn named(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.lines().map(str::trim_start) {
        // Several statements may share a line.
        for statement in line.split(';').map(str::trim) {
            if let Some(names) = statement.strip_prefix("import ") {
                found.extend(names.split(',').filter_map(module));
            } else if let Some((from, names)) =
                statement.strip_prefix("from ").and_then(|rest| rest.split_once(" import "))
                && let Some(from) = module(from)
            {
                let names = names.trim_matches(['(', ')', ' ', '\\']);
                found
                    .extend(names.split(',').filter_map(module).map(|one| format!("{from}.{one}")));
                found.insert(from);
            }
        }
    }
    found
}

/// The name at the start of a text; a relative one is the author's own.
fn module(text: &str) -> Option<String> {
    let name = text.trim().split(|c: char| c.is_whitespace() || c == '#').next()?;
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    name.split('.').all(plain).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_found_wherever_they_stand() {
        let text = "import sympy, mpmath.libmp as m  # both\n\
                    from math_verify import parse, verify as v\n\
                    def f():\n    from sympy.parsing import (latex,\n        sympy_parser)\n    import os; import tabulate\n\
                    from . import words\nfrom .a import b\nimportant = 1\nfrom x import *\n";
        let expected = [
            "math_verify",
            "math_verify.parse",
            "math_verify.verify",
            "mpmath.libmp",
            "os",
            "sympy",
            "sympy.parsing",
            "sympy.parsing.latex",
            "tabulate",
            "x",
        ];
        assert_eq!(named(text).into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn only_modules_of_packages_count() {
        let folder = tempfile::tempdir().unwrap();
        let packages = folder.path().join("packages");
        std::fs::create_dir_all(packages.join("sympy")).unwrap();
        std::fs::write(packages.join("six.py"), "").unwrap();
        let packages = Packages { folder: packages, identity: String::new() };
        let author = folder.path().join("author");
        std::fs::create_dir_all(&author).unwrap();
        std::fs::write(author.join("reward.py"), "import os, six, sympy.core\nimport words\n")
            .unwrap();
        std::fs::write(author.join("notes.txt"), "import sympy.abc\n").unwrap();
        let found = of(&author, Some(&packages)).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["six", "sympy.core"]);
        assert!(of(&author, None).unwrap().is_empty());
        assert!(
            is_packaged("sympy.anything", Some(&packages)) && !is_packaged("os", Some(&packages))
        );
    }
}
