//! The seeds of a target, and what was found to lead somewhere new.
//!
//! There is no instrument in the code that is read, so what an input leads to is told by what the code says about
//! it: an answer with words that no input got before makes the input worth mutating again.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Inputs that are kept at most.
const MOST_INPUTS: usize = 4_000;
/// Longest input that is kept, bytes: mutations of long ones take long, and are read seldom.
const MOST_BYTES: usize = 64 << 10;

/// The top of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Inputs to mutate.
#[derive(Default)]
pub struct Corpus {
    inputs: Vec<Vec<u8>>,
    answers: HashSet<String>,
}

impl Corpus {
    /// The seeds of a target: a folder of its own, other files of the repository, and what it makes itself.
    pub fn new(name: &str, files: &[&str], made: Vec<Vec<u8>>) -> std::io::Result<Self> {
        let mut paths: Vec<PathBuf> = files.iter().map(|file| root().join(file)).collect();
        let folder = root().join("fuzz/seeds").join(name);
        if folder.is_dir() {
            let entries = std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path()));
            paths.extend(entries.collect::<std::io::Result<Vec<PathBuf>>>()?);
        }
        paths.sort();
        let read = paths.iter().map(|path: &PathBuf| std::fs::read(Path::new(path)));
        let mut inputs = read.collect::<std::io::Result<Vec<_>>>()?;
        inputs.extend(made);
        Ok(Self { inputs, answers: HashSet::new() })
    }

    /// What there is to mutate.
    pub fn inputs(&self) -> &[Vec<u8>] {
        &self.inputs
    }

    /// Keeps an input whose answer is new. Numbers in an answer make no difference.
    pub fn learn(&mut self, input: &[u8], answer: &str) {
        let words: String = answer.chars().filter(|c| !c.is_ascii_digit()).take(80).collect();
        if self.answers.insert(words) && self.inputs.len() < MOST_INPUTS && input.len() < MOST_BYTES
        {
            self.inputs.push(input.to_vec());
        }
    }
}
