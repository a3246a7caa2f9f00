//! Source texts and places in them: the files of a spec and the `--set` arguments.

use std::path::{Path, PathBuf};

use serde::Serialize;

/// The name under which `--set` arguments appear in messages and provenance.
pub(crate) const SET: &str = "--set";
/// The name under which the argument `--seeds` appears there.
pub(crate) const SEEDS: &str = "--seeds";

/// Which source a place is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceId(usize);

impl SourceId {
    /// The file that was named, which is read before those that it extends.
    pub(crate) const NAMED: Self = Self(0);
}

/// A stretch of one line of a source. Lines count from 1, columns from 0, both in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The source.
    pub source: SourceId,
    /// Line, from 1.
    pub line: usize,
    /// Column of the first character, from 0.
    pub col: usize,
    /// Characters, at least 1.
    pub len: usize,
}

/// One text that was read.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// File name as it was given, or `--set`.
    pub name: String,
    /// The text.
    pub text: String,
    /// The folder relative paths in it are relative to.
    pub folder: PathBuf,
    /// Byte offsets at which lines begin.
    starts: Vec<usize>,
}

/// All texts of one resolution, in the order they were read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    list: Vec<Source>,
}

impl Sources {
    /// Adds the text of a file.
    pub fn add_file(&mut self, path: &Path, text: String) -> SourceId {
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        self.add(path.display().to_string(), text, folder)
    }

    /// Adds a `--set` argument; paths in it are relative to the current folder.
    pub fn add_set(&mut self, text: &str) -> SourceId {
        self.add(SET.to_owned(), text.to_owned(), PathBuf::new())
    }

    /// Adds the `--seeds` argument.
    pub fn add_seeds(&mut self, text: &str) -> SourceId {
        self.add(SEEDS.to_owned(), text.to_owned(), PathBuf::new())
    }

    /// The `--set` arguments in order.
    pub fn sets(&self) -> impl Iterator<Item = (SourceId, &str)> {
        let all = self.list.iter().enumerate();
        all.filter(|(_, source)| source.name == SET)
            .map(|(at, source)| (SourceId(at), &*source.text))
    }

    fn add(&mut self, name: String, text: String, folder: PathBuf) -> SourceId {
        let starts = line_starts(&text);
        self.list.push(Source { name, text, folder, starts });
        SourceId(self.list.len() - 1)
    }

    /// The source with this id.
    pub fn get(&self, id: SourceId) -> &Source {
        &self.list[id.0]
    }

    /// Name and text of the files, without the arguments of the command line.
    pub fn files(&self) -> Vec<(String, String)> {
        let files = self.list.iter().filter(|source| !is_argument(&source.name));
        files.map(|source| (source.name.clone(), source.text.clone())).collect()
    }

    /// A path written in a source, seen from the current folder.
    pub fn path(&self, id: SourceId, written: &str) -> PathBuf {
        let relative = Path::new(written);
        // `./x` and `x` are one file; keeping one spelling keeps plans equal.
        let relative = relative.strip_prefix(".").unwrap_or(relative);
        self.get(id).folder.join(relative)
    }

    /// The text of a line without its end, empty when there is no such line.
    pub fn line(&self, id: SourceId, line: usize) -> &str {
        let source = self.get(id);
        let Some(start) = line.checked_sub(1).and_then(|index| source.starts.get(index)) else {
            return "";
        };
        let end = source.starts.get(line).copied().unwrap_or(source.text.len());
        source.text[*start..end].trim_end_matches(['\n', '\r'])
    }
}

/// Whether a source is an argument of the command line, by its name.
pub(crate) fn is_argument(name: &str) -> bool {
    [SET, SEEDS].contains(&name)
}

/// Where lines begin. YAML ends lines with LF, CR LF or CR.
pub(crate) fn line_starts(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let ends = bytes.iter().enumerate().filter(|(at, byte)| {
        **byte == b'\n' || (**byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'))
    });
    std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect()
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum Origin {
    /// Written in a file.
    File {
        /// The file as it was named.
        file: String,
        /// Line, from 1.
        line: usize,
    },
    /// Given on the command line.
    Set,
    /// The default of the schema.
    Default,
    /// A choice of the algorithm that the stage names.
    Algorithm {
        /// The algorithm.
        name: String,
    },
}

impl Origin {
    /// Whether somebody wrote the value itself.
    pub fn is_written(&self) -> bool {
        matches!(self, Origin::File { .. } | Origin::Set)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::File { file, line } => write!(f, "{file}:{line}"),
            Origin::Set => f.write_str(SET),
            Origin::Default => f.write_str("default"),
            Origin::Algorithm { name } => write!(f, "algorithm: {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Sources;

    #[test]
    fn lines_end_with_lf_crlf_or_cr() {
        let mut sources = Sources::default();
        let id = sources.add_set("a\r\nb\rc\n\nd");
        let lines: Vec<&str> = (0..=6).map(|n| sources.line(id, n)).collect();
        assert_eq!(lines, ["", "a", "b", "c", "", "d", ""]);
    }
}
