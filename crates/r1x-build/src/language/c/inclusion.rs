//! Which files a plugin in C includes, or looks whether they are there: its own, the SDK's and the compiler's.
//!
//! A path in `#include` or `#embed` may name any file of the machine, and what stands in it would be part of the
//! component.

use std::path::PathBuf;

use super::{Compiler, refused};
use crate::error::BuildError;
use crate::language::entry::Entry;
use crate::scratch::Stage;
use crate::tool;

/// A file that includes one of the compiler's own headers, which tells where they are.
const PROBE: &str = "sdk/r1x_probe.c";
const HEADER: &str = "stddef.h";

/// Refuses a plugin that includes a file from elsewhere.
pub(super) fn check(stage: &Stage, compiler: &Compiler, entry: &Entry) -> Result<(), BuildError> {
    stage.write(PROBE, format!("#include <{HEADER}>\n").as_bytes())?;
    let headers = included(stage, compiler, entry, &format!("../{PROBE}"))?;
    let own = headers.iter().find(|path| path.file_name().is_some_and(|name| name == HEADER));
    let folder = stage.path("author");
    // Without links and steps upwards: names alone would not tell where a file lies.
    let places =
        [Some(stage.path(".")), own.and_then(|path| path.parent()).map(|own| folder.join(own))];
    let allowed: Vec<PathBuf> =
        places.into_iter().flatten().filter_map(|place| place.canonicalize().ok()).collect();
    for path in included(stage, compiler, entry, &entry.file)? {
        let found = folder.join(&path).canonicalize();
        let inside = |found: &PathBuf| allowed.iter().any(|place| found.starts_with(place));
        if !found.as_ref().is_ok_and(inside) {
            return Err(BuildError::Failed {
                what: format!("{} cannot become a plugin", entry.file),
                output: format!("it includes {}, which is no file of the plugin", path.display()),
                hint:
                    "a plugin includes r1x.h and files of its own folder, and looks for no others"
                        .to_owned(),
            });
        }
    }
    Ok(())
}

/// The files that the compiler reads for a file, or looks for.
fn included(
    stage: &Stage,
    compiler: &Compiler,
    entry: &Entry,
    file: &str,
) -> Result<Vec<PathBuf>, BuildError> {
    let ran = stage.run("author", compiler.bare().arg("-M").arg(file), tool::BUILD)?;
    if !ran.succeeded() {
        return Err(refused(entry, compiler, &ran));
    }
    Ok(paths(&ran.stdout))
}

/// The paths of a rule as `make` reads it: after the colon, between blanks, which a backslash makes a part of a path.
fn paths(rule: &str) -> Vec<PathBuf> {
    let Some((_, rest)) = rule.split_once(": ") else { return Vec::new() };
    let mut found = Vec::new();
    let mut path = String::new();
    let mut letters = rest.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            ('\\', Some(&next @ (' ' | '#' | '\\'))) => {
                path.push(next);
                letters.next();
            }
            ('$', Some('$')) => {
                path.push('$');
                letters.next();
            }
            ('\\', Some('\n' | '\r')) => {}
            (letter, _) if letter.is_whitespace() => {
                found.extend((!path.is_empty()).then(|| PathBuf::from(std::mem::take(&mut path))));
            }
            (letter, _) => path.push(letter),
        }
    }
    found.extend((!path.is_empty()).then(|| PathBuf::from(path)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_of_make_lists_paths_with_blanks_too() {
        let rule = "a\\ b.o: a\\ b.c \\\n  /etc/hostname \\\n  x/$$y\\#z.h\n";
        assert_eq!(paths(rule), ["a b.c", "/etc/hostname", "x/$y#z.h"].map(PathBuf::from));
        assert!(paths("nothing").is_empty());
    }
}
