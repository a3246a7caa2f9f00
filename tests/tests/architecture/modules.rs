//! In which order the modules of a crate stand: each uses only what is listed after it.
//!
//! Modules that use each other in a circle can be understood, tested and replaced only together. What counts is each
//! file and each folder directly below `src`; a folder is one module, whatever its files do among themselves.

use super::assert_none;
use super::sources::{Source, all};

/// Crates without circles, and their modules, each before all that it uses. A new module gets a place before everything
/// that it uses and after everything that uses it; a crate whose circles are gone gets a row.
const ORDERS: [(&str, &str); 7] = [
    (
        "r1x",
        "untrusted cli log command speaker report reproduction progress watch timed retention speed prepare overlap sizes diagnosis \
         picture pieces number earlier stores reuse cache args rewards models wiring lock plans imported relocate inputs memory environment notice capability judge hosting \
         sandbox helper interrupt table consent failure output display",
    ),
    (
        "r1x-core",
        "units shown markup reward schedule valued port rng rope parameters estimate loss long_number kl facts select rollout \
         checkpoint advantage plan digest cursor capability problem",
    ),
    ("r1x-files", "folder whole"),
    (
        "r1x-model",
        "load model device_selftest tensor policy copies export merged initial published tokenizer generate sample mtp family \
         weights checkpoint update balance layout error blocks",
    ),
    (
        "r1x-reward",
        "score conformance probe layer bisect \
         host guest \
         failure_budget outcome replay workers \
         abi capability state grants \
         sandbox wasi engines \
         cache compile error carried files sections contract limits",
    ),
    ("r1x-tasks", "vocabulary source dataset prompt chat template error digest"),
    (
        "r1x-train",
        "unseen run rehearsal check made place stage resample critic penalty example pairs rollout ports pack metrics optimize finite draw \
         credit error",
    ),
];

/// A crate's module, by the path of a source, and how deep below `src` the source lies; `None` for roots of crates,
/// which name all modules, and for what only tests see.
fn module(source: &Source) -> Option<(&str, usize)> {
    let below = source.path.strip_prefix("crates/")?.strip_prefix(source.home())?;
    let below = below.strip_prefix("/src/")?.strip_suffix(".rs")?;
    let below = below.strip_suffix("/mod").unwrap_or(below);
    let name = below.split('/').next()?;
    let is_root = name == "lib" || name == "main";
    (!is_root && !source.is_beside()).then(|| (name, below.split('/').count()))
}

/// The first word of each path that begins with `prefix`, with its line; a path in braces has one for each entry.
fn first_words<'c>(code: &'c str, prefix: &str) -> Vec<(usize, &'c str)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        if code[..at].chars().next_back().is_some_and(is_part) {
            continue;
        }
        let line = 1 + code[..at].matches('\n').count();
        let path = &code[at + prefix.len()..];
        match path.strip_prefix('{') {
            None => found.push((line, word(path))),
            Some(group) => {
                found.extend(entries(group).into_iter().map(|entry| (line, word(entry))))
            }
        }
    }
    found
}

/// The entries of a group that has been opened, which may hold groups of their own.
fn entries(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (1, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            found.push(&group[start..at]);
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    found.retain(|entry| !entry.trim().is_empty());
    found
}

/// The word that a path begins with.
fn word(path: &str) -> &str {
    let path = path.trim_start();
    &path[..path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len())]
}

/// What a source uses of its own crate's root: modules, and items that the root exports again.
fn used(source: &Source, depth: usize) -> Vec<(usize, &str)> {
    let mut found = first_words(source.shipped(), "crate::");
    // As many steps up as the source lies deep lead to the root too. A module inside of a file takes one more, so what
    // is no module of the crate is none of the root's either.
    let up = first_words(source.shipped(), &"super::".repeat(depth));
    found.extend(up.into_iter().filter(|(_, word)| *word != "super"));
    found
}

#[test]
fn modules_use_only_what_is_listed_after_them() {
    let sources = all();
    let mut violations = Vec::new();
    for (home, order) in ORDERS {
        let place = |name: &str| order.split_whitespace().position(|listed| listed == name);
        let of_crate = || sources.iter().filter(|source| source.home() == home);
        for source in of_crate() {
            let Some((name, depth)) = module(source) else { continue };
            let Some(own) = place(name) else {
                violations.push(format!("{}: `{name}` has no place in the order", source.path));
                continue;
            };
            for (line, used) in used(source, depth) {
                if place(used).is_some_and(|used| used < own) {
                    let why = format!("`{name}` uses `{used}`, which is listed before it");
                    violations.push(format!("{}:{line}: {why}", source.path));
                }
            }
        }
        let stale = order.split_whitespace().filter(|listed| {
            !of_crate().any(|source| module(source).is_some_and(|(name, _)| name == *listed))
        });
        violations.extend(stale.map(|listed| format!("{home}: there is no module `{listed}`")));
    }
    assert_none(&violations, "modules of a crate use each other in one direction");
}

/// An item that the root exports again may come from any module, so a module that used it could not be placed.
#[test]
fn modules_are_used_by_their_own_names() {
    let mut violations = Vec::new();
    for source in all() {
        let order = ORDERS.iter().find(|(home, _)| *home == source.home());
        let (Some((_, order)), Some(_)) = (order, module(&source)) else { continue };
        for (line, used) in first_words(source.shipped(), "crate::") {
            if !order.split_whitespace().any(|listed| listed == used) {
                violations.push(format!("{}:{line}: `crate::{used}`", source.path));
            }
        }
    }
    assert_none(&violations, "inside a crate an item is named by the module that defines it");
}

#[test]
fn paths_of_the_crate_are_found() {
    let words = |code: &str, prefix: &str| {
        first_words(code, prefix).into_iter().map(|(_, word)| word.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(words("use crate::a::B;\nlet x = crate::b::c();", "crate::"), ["a", "b"]);
    assert_eq!(
        words("use crate::{a, b::{C, d}, e};\nuse my_crate::f;", "crate::"),
        ["a", "b", "e"]
    );
    assert_eq!(words("use crate::{\n    a::{b, c},\n    d,\n};", "crate::"), ["a", "d"]);
    assert_eq!(words("use super::super::a;\nuse super::b;", "super::super::"), ["a"]);
    assert_eq!(first_words("x\n\nuse crate::a;", "crate::"), [(3, "a")]);
}
