//! A safetensors file of a checkpoint, read front to back in pieces: each piece is hashed and handed on, so that a file
//! takes no memory beside what its numbers become.
//!
//! What is read was perhaps written by somebody else: a tensor is taken if its name, shape and type are those of the
//! layout, and its numbers are finite. Whoever takes numbers throws them away when the hash turns out to be another one.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use r1x_core::digest::Hasher;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::folder::{check_length, checked};
use super::tensors::{HEADER_BYTES, Sink, most_bytes};
use crate::error::ModelError;
use crate::layout::{Layout, Parameter};
use crate::update::not_finite_in;

/// Numbers that are read at a time, unless a row has more.
const PIECE: usize = 1 << 18;

/// Tensors that are expected in a file, and who takes them.
pub(super) struct Shelf<'a> {
    layout: &'a Layout,
    prefix: String,
    expected: HashMap<&'a str, Slot>,
    sink: &'a mut dyn Sink,
}

/// Which tensor of a layout something is.
#[derive(Clone, Copy)]
enum Slot {
    Parameter(usize),
    Biases(usize),
}

impl<'a> Shelf<'a> {
    /// Every trained parameter of a layout; names begin with a prefix.
    pub(super) fn parameters(layout: &'a Layout, prefix: &str, sink: &'a mut dyn Sink) -> Self {
        let named = layout.trained().parameters.iter().enumerate();
        let expected = named.map(|(index, one)| (one.name.as_str(), Slot::Parameter(index)));
        Self { layout, prefix: prefix.to_owned(), expected: expected.collect(), sink }
    }

    /// Every trained parameter and every selection bias of a layout; names begin with a prefix.
    pub(super) fn weights(layout: &'a Layout, prefix: &str, sink: &'a mut dyn Sink) -> Self {
        let mut shelf = Self::parameters(layout, prefix, sink);
        let biases = layout.biases.iter().enumerate();
        shelf
            .expected
            .extend(biases.map(|(index, (name, _))| (name.as_str(), Slot::Biases(index))));
        shelf
    }

    /// The shelf without a tensor, which then is not missed, and not taken where it comes.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.expected.remove(name);
        self
    }

    /// Takes the expectation of a tensor away.
    fn find(&mut self, name: &str) -> Option<Slot> {
        self.expected.remove(name.strip_prefix(&self.prefix)?)
    }

    fn shape(&self, slot: Slot) -> Vec<usize> {
        match slot {
            Slot::Parameter(index) => self.layout.trained().parameters[index].shape.clone(),
            Slot::Biases(index) => vec![self.layout.biases[index].1],
        }
    }

    fn name(&self, slot: Slot) -> &'a str {
        match slot {
            Slot::Parameter(index) => &self.layout.trained().parameters[index].name,
            Slot::Biases(index) => &self.layout.biases[index].0,
        }
    }

    /// The first tensor in the order of the layout that has not come.
    fn missing(&self) -> Option<String> {
        let parameters = self.layout.trained().parameters.iter().map(|one| one.name.as_str());
        let mut names = parameters.chain(self.layout.biases.iter().map(|(name, _)| name.as_str()));
        let missing = names.find(|name| self.expected.contains_key(name));
        missing.map(|name| format!("{}{name}", self.prefix))
    }
}

/// Reads a file of a checkpoint, whose hash must be the one given. `shelves` is told the names of all tensors.
///
/// # Errors
/// When the file cannot be read, has another hash, or lacks a tensor, and when a tensor or a number of it is not what it
/// may be.
pub(super) fn read<'s>(
    (folder, name): (&Path, &str),
    layout: &Layout,
    sha256: &str,
    shelves: impl FnOnce(&[String]) -> Vec<Shelf<'s>>,
) -> Result<(), ModelError> {
    let mut source = Source::open(folder, name, most_bytes(layout))?;
    let taken = source.metadata().and_then(|metadata| {
        let names = metadata.offset_keys();
        source.tensors(&metadata, &names, &mut shelves(&names))
    });
    // A file that was changed is refused for that, whatever else is wrong with it.
    let found = source.finish();
    checked((folder, name), &found.map_err(|error| source_error(folder, name, error))?, sha256)?;
    taken
}

fn source_error(folder: &Path, name: &str, source: io::Error) -> ModelError {
    ModelError::Io { path: folder.join(name).display().to_string(), source }
}

/// A file whose bytes are hashed as they are read.
struct Source {
    file: File,
    path: String,
    hasher: Hasher,
    /// Bytes of the file that have not been read.
    left: u64,
}

impl Source {
    fn open(folder: &Path, name: &str, limit_bytes: u64) -> Result<Self, ModelError> {
        let error = |source| source_error(folder, name, source);
        let path = folder.join(name);
        let file = r1x_files::open(&path).map_err(error)?;
        let left = file.metadata().map_err(error)?.len();
        check_length((folder, name), left, limit_bytes)?;
        Ok(Self { file, path: path.display().to_string(), hasher: Hasher::default(), left })
    }

    fn error(&self, reason: impl Into<String>) -> ModelError {
        ModelError::Checkpoint { path: self.path.clone(), reason: reason.into() }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ModelError> {
        if bytes.len() as u64 > self.left {
            return Err(self.error("it ends too early"));
        }
        let read = self.file.read_exact(bytes);
        read.map_err(|source| ModelError::Io { path: self.path.clone(), source })?;
        self.hasher.update(bytes);
        self.left -= bytes.len() as u64;
        Ok(())
    }

    fn metadata(&mut self) -> Result<Metadata, ModelError> {
        let mut count = [0; 8];
        self.fill(&mut count)?;
        let count = u64::from_le_bytes(count);
        if count > HEADER_BYTES.min(self.left) {
            return Err(self.error("its header is longer than it may be"));
        }
        let mut header = vec![0; count as usize];
        self.fill(&mut header)?;
        let metadata: Result<Metadata, _> = serde_json::from_slice(&header);
        let metadata = metadata.map_err(|error| self.error(error.to_string()))?;
        match metadata.data_len() as u64 == self.left {
            true => Ok(metadata),
            false => Err(self.error("its tensors do not end where it ends")),
        }
    }

    /// Hands every tensor to the shelf that expects it; `names` are in the order of the file.
    fn tensors(
        &mut self,
        metadata: &Metadata,
        names: &[String],
        shelves: &mut [Shelf<'_>],
    ) -> Result<(), ModelError> {
        for name in names {
            let Some(info) = metadata.info(name) else { continue };
            let mut found = shelves.iter_mut();
            let found = found.find_map(|shelf| shelf.find(name).map(|slot| (shelf, slot)));
            match found {
                Some((shelf, slot)) => self.tensor(name, info, shelf, slot)?,
                None => self.skip((info.data_offsets.1 - info.data_offsets.0) as u64)?,
            }
        }
        match shelves.iter().find_map(Shelf::missing) {
            Some(name) => Err(self.error(format!("has no tensor `{name}`"))),
            None => Ok(()),
        }
    }

    fn tensor(
        &mut self,
        name: &str,
        info: &TensorInfo,
        shelf: &mut Shelf<'_>,
        slot: Slot,
    ) -> Result<(), ModelError> {
        let shape = shelf.shape(slot);
        if info.shape != shape || info.dtype != Dtype::F32 {
            return Err(self.error(format!(
                "`{name}` is {:?} {:?}, the model wants F32 {shape:?}",
                info.dtype, info.shape
            )));
        }
        let columns = shape.get(1).copied().unwrap_or(1);
        let (rows, step) = (shape[0], (PIECE / columns.max(1)).max(1));
        let (mut bytes, mut values) = (Vec::new(), Vec::new());
        // Biases are few, and taken whole.
        let step = if let Slot::Biases(_) = slot { rows.max(1) } else { step };
        for first in (0..rows).step_by(step) {
            let count = (rows - first).min(step) * columns;
            bytes.resize(count * 4, 0);
            self.fill(&mut bytes)?;
            values.clear();
            let numbers = bytes.as_chunks::<4>().0.iter();
            values.extend(numbers.map(|bytes| f32::from_le_bytes(*bytes)));
            if let Some(value) = not_finite_in(&values) {
                let (path, name) = (self.path.clone(), shelf.name(slot).to_owned());
                return Err(ModelError::NotFinite { path, name, value });
            }
            match slot {
                Slot::Parameter(index) => {
                    shelf.sink.take(&shelf.layout.trained().parameters[index], first, &values);
                }
                Slot::Biases(index) => shelf.sink.take_biases(index, &values),
            }
        }
        Ok(())
    }

    fn skip(&mut self, mut count: u64) -> Result<(), ModelError> {
        let mut piece = vec![0; PIECE.min(count as usize)];
        while count > 0 {
            let part = piece.len().min(count as usize);
            self.fill(&mut piece[..part])?;
            count -= part as u64;
        }
        Ok(())
    }

    /// The hash of the whole file: what was not read yet is read for it.
    fn finish(mut self) -> io::Result<String> {
        let mut piece = vec![0; PIECE];
        loop {
            match self.file.read(&mut piece)? {
                0 => return Ok(self.hasher.finish()),
                count => self.hasher.update(&piece[..count]),
            }
        }
    }
}

/// Moments in the order of what is trained, and where that begins.
pub(super) struct Moments<'a>(pub(super) &'a mut [f32], pub(super) usize);

impl Sink for Moments<'_> {
    fn take(&mut self, parameter: &Parameter, first: usize, values: &[f32]) {
        let from = parameter.offset - self.1 + first * parameter.columns();
        self.0[from..from + values.len()].copy_from_slice(values);
    }

    fn take_biases(&mut self, _: usize, _: &[f32]) {}
}
