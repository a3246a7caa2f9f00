//! A page of the documentation followed as a reader would: its files are written, its commands run.
//!
//! A block that begins with "```python reward.py" is a file of that name, one that begins with "```sh" is commands,
//! and one with "```text" after it is what they print, up to numbers. Blocks of "```sh install" bring tools onto a
//! machine and are not run; one of "```text NAME" is shown only.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A fenced block.
pub struct Block {
    /// What stands behind the opening fence.
    pub kind: String,
    /// What it holds.
    pub text: String,
    /// Line of the opening fence, counted from 1.
    pub line: usize,
}

/// The text of a page in `docs/`.
pub fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The blocks below the headings that are asked for, in the order of the page.
pub fn blocks(page: &str, sections: &[&str]) -> Vec<Block> {
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

/// A reader in a folder of its own.
pub struct Reader<'a> {
    /// Where files are written and commands run.
    pub folder: &'a Path,
    /// Where builds are kept.
    pub cache: &'a Path,
    /// What is put for what in files, so that a test takes less time than the page.
    pub edits: &'a [(&'a str, &'a str)],
}

impl Reader<'_> {
    /// Follows the sections of a page.
    pub fn follow(&self, page: &str, sections: &[&str]) {
        let mut printed = String::new();
        let mut commands = 0;
        for block in blocks(page, sections) {
            match block.kind.split_once(' ') {
                Some(("sh", "install")) | Some(("text", _)) => {}
                Some((_, name)) => self.write(name, &block.text),
                None if block.kind == "sh" => {
                    printed = self.run(&block);
                    commands += 1;
                }
                None if block.kind == "text" => compare(&block, &printed),
                None => {
                    panic!("line {}: a block of `{}` says nothing to do", block.line, block.kind)
                }
            }
        }
        assert!(commands > 0, "{sections:?} have no commands");
    }

    fn write(&self, name: &str, text: &str) {
        let edited =
            self.edits.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        std::fs::write(self.folder.join(name), edited).unwrap();
    }

    fn run(&self, block: &Block) -> String {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_r1x"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders =
            program.parent().map(Path::to_owned).into_iter().chain(std::env::split_paths(&path));
        let output = Command::new("sh")
            .args(["-e", "-c", &block.text])
            .current_dir(self.folder)
            .env("PATH", std::env::join_paths(folders).unwrap())
            .env("XDG_CACHE_HOME", self.cache)
            .env("NO_COLOR", "1")
            .env_remove("R1X_STORE")
            .env_remove("RUST_LOG")
            .output()
            .unwrap();
        let told = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(output.status.success(), "line {}: {}{}", block.line, block.text, told.concat());
        told.concat()
    }
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
