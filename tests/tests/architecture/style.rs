//! Rules every Rust file keeps: a header, bounded size, nothing unfinished, and impure calls only at home.

use super::assert_none;
use super::sources::{all, lines_with};

/// Lines of a file at most.
const FILE_LINES: usize = 600;
/// Lines of a function at most, signature and braces included.
const FUNCTION_LINES: usize = 70;
/// Lines within which a file says what it is.
const HEADER_LINES: usize = 3;

/// Calls with an effect on, or a view of, the outside world, and the crates they are at home in. Code that
/// only runs in tests and builds may use them.
const HOMES: &[(&str, &[&str])] = &[
    ("SystemTime", &["r1x", "r1x-build", "r1x-store", "r1x-reward", "xtask"]),
    ("Instant", &["bench", "fuzz", "r1x", "r1x-build", "r1x-store", "r1x-reward", "xtask"]),
    ("env::var", &["r1x", "r1x-ops", "xtask"]),
    ("env::var_os", &["r1x", "xtask"]),
    ("env::vars", &["r1x", "xtask"]),
    ("println!", &["bench", "fuzz", "r1x", "xtask"]),
    ("print!", &["bench", "r1x", "xtask"]),
    ("eprintln!", &["bench", "fuzz", "r1x", "xtask"]),
    ("eprint!", &["bench", "r1x", "xtask"]),
    ("process::exit", &["r1x"]),
    (
        "std::fs",
        &[
            "bench",
            "fuzz",
            "r1x",
            "r1x-build",
            "r1x-files",
            "r1x-model",
            "r1x-reward",
            "r1x-store",
            "r1x-tasks",
            "r1x-weights",
            "xtask",
        ],
    ),
    ("std::net", &[]),
    // Templates are compiled on a thread for the sake of its stack.
    (
        "std::thread",
        &[
            "bench",
            "fuzz",
            "r1x",
            "r1x-build",
            "r1x-ops",
            "r1x-reward",
            "r1x-store",
            "r1x-tasks",
            "xtask",
        ],
    ),
    ("static mut", &[]),
    ("thread_rng", &[]),
];

/// The files that may say `unsafe`: the kernels, and the one call that loads a compiled plugin.
fn may_be_unsafe(path: &str) -> bool {
    path.starts_with("crates/r1x-ops/") || path == "crates/r1x-reward/src/cache.rs"
}

#[test]
fn every_file_opens_with_what_it_is() {
    let mut violations = Vec::new();
    for source in all() {
        if !source.text.lines().take(HEADER_LINES).any(|line| line.starts_with("//!")) {
            violations.push(source.path);
        }
    }
    assert_none(&violations, "a file says in its first 3 lines (`//!`) what it is");
}

/// A boundary is one of crates, because the table of dependencies holds crates to it. Plugins are left out: they
/// see nothing but their own package.
#[test]
fn boundaries_are_stated_where_they_are_held() {
    let phrase = ["ust not", "know"].join(" ");
    let mut violations = Vec::new();
    for source in all()
        .into_iter()
        .filter(|source| !source.path.ends_with("src/lib.rs") && source.home() != "plugins")
    {
        let prose: Vec<&str> =
            source.text.lines().map(|line| line.trim_start_matches([' ', '/', '!'])).collect();
        if prose.join(" ").contains(&phrase) {
            violations.push(source.path);
        }
    }
    assert_none(&violations, "a boundary is stated in the root of a crate, and nowhere else");
}

#[test]
fn files_and_functions_are_short() {
    let mut violations = Vec::new();
    for source in all() {
        let lines = source.text.lines().count();
        if lines > FILE_LINES {
            violations.push(format!("{}: {lines} lines", source.path));
        }
        for function in functions(&source.code) {
            if function.lines > FUNCTION_LINES {
                let Function { name, line, lines } = function;
                violations.push(format!("{}:{line}: fn {name} has {lines} lines", source.path));
            }
        }
    }
    assert_none(&violations, "files have at most 600 lines, functions at most 70");
}

/// What "the same" or "those" are about stands somewhere else, and moves.
#[test]
fn comments_name_their_subject() {
    let leaning = ["The same", "Those of", "Those that", "That of"];
    let mut violations = Vec::new();
    // The sources of plugins are part of the hashes of committed components, so they change with these only.
    for source in all().iter().filter(|source| source.home() != "plugins") {
        for (at, line) in source.text.lines().enumerate() {
            let comment = ["/// ", "//! "].iter().find_map(|mark| line.trim().strip_prefix(mark));
            // A sentence that goes on from the line above has its subject there.
            let begins = at == 0 || !is_comment(source.text.lines().nth(at - 1));
            if begins && comment.is_some_and(|text| leaning.iter().any(|way| text.starts_with(way)))
            {
                violations.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
            }
        }
    }
    assert_none(&violations, "a comment says what it is about, and does not lean on the one above");
}

fn is_comment(line: Option<&str>) -> bool {
    line.is_some_and(|line| line.trim().starts_with("///") || line.trim().starts_with("//!"))
}

#[test]
fn nothing_is_left_unfinished() {
    // Put together here, so that this file does not contain what it looks for.
    let marks = [concat!("FIX", "ME"), concat!("X", "XX")];
    let macros = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!"));
    let mut violations = Vec::new();
    for source in all() {
        for name in &macros {
            let lines = lines_with(&source.code, name);
            violations.extend(lines.iter().map(|line| format!("{}:{line}: {name}", source.path)));
        }
        for mark in marks {
            let lines = lines_with(&source.text, mark);
            violations.extend(lines.iter().map(|line| format!("{}:{line}: {mark}", source.path)));
        }
    }
    assert_none(&violations, "the main branch has no unfinished code and no debugging left over");
}

#[test]
fn effects_stay_at_home() {
    let mut violations = Vec::new();
    for source in all().iter().filter(|source| !source.is_beside() && source.home() != "plugins") {
        for (call, homes) in HOMES {
            if homes.contains(&source.home()) {
                continue;
            }
            let lines = lines_with(source.shipped(), call);
            violations.extend(
                lines.iter().map(|line| {
                    format!("{}:{line}: `{call}` is at home in {homes:?}", source.path)
                }),
            );
        }
    }
    assert_none(
        &violations,
        "time, environment, files, threads and output are parameters outside their homes",
    );
}

#[test]
fn unsafe_code_lives_in_the_kernels() {
    let mut violations = Vec::new();
    for source in all().iter().filter(|source| !may_be_unsafe(&source.path)) {
        // Generated exports of a plugin are unsafe inside a macro; what is written here is not.
        let lines = lines_with(&source.code, "unsafe");
        violations.extend(lines.iter().map(|line| format!("{}:{line}", source.path)));
    }
    assert_none(&violations, "only r1x-ops, and the cache of compiled plugins, may be unsafe");
}

struct Function {
    name: String,
    /// Line of `fn`, from 1.
    line: usize,
    lines: usize,
}

/// Every function with a body, by counting braces.
fn functions(code: &str) -> Vec<Function> {
    let mut functions = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let word_before =
            code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let rest = &code[at + 3..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if word_before || end == 0 {
            continue;
        }
        if let Some(length) = body_end(rest) {
            functions.push(Function {
                name: rest[..end].to_owned(),
                line: code[..at].matches('\n').count() + 1,
                lines: rest[..length].matches('\n').count() + 1,
            });
        }
    }
    functions
}

/// Where the body of the function that starts here ends; `None` without a body.
fn body_end(rest: &str) -> Option<usize> {
    let (mut round, mut curly) = (0_i32, 0_i32);
    for (at, c) in rest.char_indices() {
        match c {
            '(' | '[' => round += 1,
            ')' | ']' => round -= 1,
            ';' if round == 0 && curly == 0 => return None,
            '{' if round == 0 || curly > 0 => curly += 1,
            '}' if curly > 0 => {
                curly -= 1;
                if curly == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[test]
fn functions_are_measured_from_signature_to_brace() {
    let code = "trait T { fn a(x: [u8; 2]); }\nfn b(\n x: u8,\n) -> u8 {\n if x { 1 } else { 2 }\n}\nlet c: fn (u8);";
    let found: Vec<_> = functions(code).into_iter().map(|f| (f.name, f.line, f.lines)).collect();
    assert_eq!(found, [("b".to_owned(), 2, 5)]);
}
