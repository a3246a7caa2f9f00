//! What the tests share: files made by hand, and what reading them comes to.

mod float8;
mod gguf;
mod hostile;
mod plain;
mod quantised;
mod safetensors;
mod shards;
mod smollm2;
mod write;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{TensorInfo, WeightFiles, WeightsError};

/// A folder with one file in it, and the path of the file.
fn folder_with(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// The bytes of a safetensors file with this header and these bytes behind it.
fn tensors_file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// What opening a file of these bytes comes to: the reason without its path.
#[track_caller]
fn refused(name: &str, bytes: &[u8]) -> String {
    let (folder, path) = folder_with(name, bytes);
    reason(&WeightsError::path, folder.path(), WeightFiles::open(&path).unwrap_err())
}

/// A message without the path it begins with.
fn reason(path: &dyn Fn(&WeightsError) -> &Path, below: &Path, error: WeightsError) -> String {
    assert!(path(&error).starts_with(below), "{error}");
    assert!(!error.hint().is_empty());
    let shown = format!("{}: ", path(&error).display());
    error.to_string().strip_prefix(&shown).unwrap().replace(&below.display().to_string(), "DIR")
}

/// All numbers of a tensor.
fn numbers(files: &WeightFiles, name: &str) -> Vec<f32> {
    let mut out = vec![f32::NAN; files.get(name).map_or(0, TensorInfo::elements)];
    files.read(name, &mut out).unwrap();
    out
}

/// A GGUF file that is being put together.
struct Gguf {
    version: u32,
    values: Vec<(String, u32, Vec<u8>)>,
    /// Name, dimensions innermost first, type and offset.
    tensors: Vec<(String, Vec<u64>, u32, u64)>,
    data: Vec<u8>,
    alignment: usize,
}

impl Gguf {
    fn new() -> Self {
        let (values, tensors, data) = (Vec::new(), Vec::new(), Vec::new());
        Self { version: 3, values, tensors, data, alignment: 32 }
    }

    fn value(mut self, key: &str, kind: u32, bytes: &[u8]) -> Self {
        self.values.push((key.to_owned(), kind, bytes.to_vec()));
        self
    }

    /// A tensor behind those that are there already.
    fn tensor(mut self, name: &str, dimensions: &[u64], kind: u32, bytes: &[u8]) -> Self {
        let offset = self.data.len().next_multiple_of(self.alignment);
        self.data.resize(offset, 0);
        self.data.extend(bytes);
        self.placed(name, dimensions, kind, offset as u64)
    }

    /// A tensor at a place, without bytes of its own.
    fn placed(mut self, name: &str, dimensions: &[u64], kind: u32, offset: u64) -> Self {
        self.tensors.push((name.to_owned(), dimensions.to_vec(), kind, offset));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.values.len() as u64).to_le_bytes());
        for (key, kind, value) in &self.values {
            bytes.extend(text(key));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(value);
        }
        for (name, dimensions, kind, offset) in &self.tensors {
            bytes.extend(text(name));
            bytes.extend((dimensions.len() as u32).to_le_bytes());
            bytes.extend(dimensions.iter().flat_map(|size| size.to_le_bytes()));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(self.alignment), 0);
        bytes.extend(&self.data);
        bytes
    }
}

/// A text as GGUF writes it.
fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

/// A list as GGUF writes it, of entries that are written already.
fn list(kind: u32, entries: &[Vec<u8>]) -> Vec<u8> {
    let count = (entries.len() as u64).to_le_bytes();
    [&kind.to_le_bytes()[..], &count, &entries.concat()].concat()
}

/// Floats as bytes.
fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
