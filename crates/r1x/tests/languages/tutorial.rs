//! The tutorial, `docs/first-reward.md`, as a reader would follow it: its files are written, its commands run.
//!
//! In the page, a block that begins with "```python reward.py" is a file of that name, one that begins with
//! "```sh" is commands, and one with "```text" after it is what they print, up to numbers. Blocks of "```sh
//! install" bring tools onto a machine and are not run; without the tool, the section is skipped with a reason.
//! Must not know what a reward means.

use std::path::{Path, PathBuf};
use std::process::Command;

use r1x_build::language::{c, javascript, python, rust};

use crate::support::{cache, environment, there};

/// A run of the page takes half a minute; its tests make fewer steps.
const FEWER_STEPS: [(&str, &str); 2] = [("steps: 400", "steps: 20"), ("steps: 100", "steps: 3")];

struct Block {
    /// What stands behind the opening fence.
    kind: String,
    text: String,
    /// Line of the opening fence, counted from 1.
    line: usize,
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/first-reward.md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The blocks below the headings that are asked for, in the order of the page.
fn blocks(page: &str, sections: &[&str]) -> Vec<Block> {
    let mut found = Vec::new();
    let mut wanted = false;
    let mut open: Option<Block> = None;
    for (index, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => found.extend(open.take().filter(|_| wanted)),
            (Some(block), None) => block.text.extend([line, "\n"]),
            (None, Some(kind)) => {
                let (kind, line) = (kind.trim().to_owned(), index + 1);
                open = Some(Block { kind, text: String::new(), line });
            }
            (None, None) => {
                if let Some(title) = line.strip_prefix("## ") {
                    wanted = sections.contains(&title);
                }
            }
        }
    }
    assert!(!found.is_empty(), "the page has no sections {sections:?}");
    found
}

/// Follows sections in an empty folder.
fn follow(sections: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let mut printed = String::new();
    let mut commands = 0;
    for block in blocks(&page(), sections) {
        match block.kind.split_once(' ') {
            Some(("sh", "install")) => {}
            Some((_, name)) => write(folder.path(), name, &block.text),
            None if block.kind == "sh" => {
                printed = run(folder.path(), &block);
                commands += 1;
            }
            None if block.kind == "text" => compare(&block, &printed),
            None => panic!("line {}: a block of `{}` says nothing to do", block.line, block.kind),
        }
    }
    assert!(commands > 0, "{sections:?} have no commands");
}

fn write(folder: &Path, name: &str, text: &str) {
    let fewer = FEWER_STEPS.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    std::fs::write(folder.join(name), fewer).unwrap();
}

fn run(folder: &Path, block: &Block) -> String {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_r1x"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        program.parent().map(Path::to_owned).into_iter().chain(std::env::split_paths(&path));
    let output = Command::new("sh")
        .args(["-e", "-c", &block.text])
        .current_dir(folder)
        .env("PATH", std::env::join_paths(folders).unwrap())
        .env("XDG_CACHE_HOME", cache())
        .env("NO_COLOR", "1")
        .env_remove("R1X_STORE")
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let told =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "line {}: {}{}", block.line, block.text, told.concat());
    told.concat()
}

/// Numbers and the widths of columns are those of one machine and a longer run.
fn masked(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        if word.contains(|c: char| c.is_ascii_digit() || c == '─') { "#" } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn compare(block: &Block, printed: &str) {
    let lines: Vec<String> = printed.lines().map(masked).collect();
    for line in block.text.lines().filter(|line| !line.trim().is_empty() && line.trim() != "…") {
        assert!(
            lines.contains(&masked(line)),
            "line {} of the page: `{line}` is not printed:\n{printed}",
            block.line
        );
    }
}

#[test]
fn python_from_an_empty_folder_to_a_run() {
    if there(python::find(&environment())) {
        follow(&["The experiment", "Python", "A folder of its own"]);
    }
}

#[test]
fn javascript_in_the_same_run() {
    if there(javascript::find(&environment())) {
        follow(&["The experiment", "JavaScript"]);
    }
}

#[test]
fn c_in_the_same_run() {
    if there(c::find(&environment())) {
        follow(&["The experiment", "C"]);
    }
}

#[test]
fn rust_in_the_same_run() {
    if there(rust::Toolchain::find(&environment())) {
        follow(&["The experiment", "Rust"]);
    }
}

#[test]
fn what_the_page_installs_is_what_r1x_asks_for() {
    let page = page();
    for wanted in [
        format!("componentize-py=={}", python::VERSION),
        format!("@bytecodealliance/componentize-js@{}", javascript::VERSION),
        "apt install clang lld".to_owned(),
        format!("rustup target add {}", rust::TARGET),
    ] {
        assert!(page.contains(&wanted), "{wanted}");
    }
}
