//! Writes safetensors as hubs publish them: one file, or shards with an index above a size.
//!
//! Bytes depend on names, shapes, types and numbers only. A file is what the reference implementation writes for its
//! tensors: sorted by type, then by name, with `{"format": "pt"}`. Shards are filled in the order of the caller, and
//! are named and indexed as transformers does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::header::{METADATA, PREFIX};
use crate::error::WeightsError;
use crate::open::{LONGEST_NAME, MOST_DIMENSIONS};

/// The name of a model in one file.
pub const MODEL: &str = "model.safetensors";
/// The name of the index of a model in several.
pub const INDEX: &str = "model.safetensors.index.json";
/// Most bytes of numbers in a file, where nobody says otherwise: those of "5GB" at hubs.
pub const SHARD_BYTES: u64 = 5_000_000_000;

/// Elements that are converted at a time.
const STEP: usize = 16 << 10;

/// A type to write numbers in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SaveDtype {
    /// 16 bits with 5 of exponent, rounded to the nearest, ties to even.
    F16,
    /// 16 bits with 8 of exponent, rounded to the nearest, ties to even.
    BF16,
    /// 32 bits, as they are.
    F32,
}

impl SaveDtype {
    /// Its name in a header.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F32 => "F32",
        }
    }

    /// Bytes of one number.
    pub fn bytes(self) -> u64 {
        if self == Self::F32 { 4 } else { 2 }
    }
}

/// A tensor that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTensor {
    /// Its name.
    pub name: String,
    /// Its shape, outermost dimension first.
    pub shape: Vec<usize>,
    /// The type it is written in.
    pub dtype: SaveDtype,
}

impl NewTensor {
    fn elements(&self) -> Option<u64> {
        self.shape.iter().try_fold(1_u64, |count, size| count.checked_mul(*size as u64))
    }

    /// Bytes of its numbers, which were checked to be countable.
    fn bytes(&self) -> u64 {
        self.elements().unwrap_or(0) * self.dtype.bytes()
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Every file in its folder with its bytes, the index last where there is one.
    pub files: Vec<(String, u64)>,
}

/// Writes a folder of weights that appears whole or not at all, in the place of one that may be there; see [`write()`].
///
/// # Errors
/// As those of [`write()`]. What was there before is still there then.
pub fn save<E: From<WeightsError>>(
    folder: &Path,
    tensors: &[NewTensor],
    shard_bytes: u64,
    fill: impl FnMut(&NewTensor, &mut Sink<'_>) -> Result<(), E>,
) -> Result<Written, E> {
    r1x_files::folder::write(
        folder,
        |partial| write(partial, tensors, shard_bytes, fill),
        |error| WeightsError::io(folder)(error).into(),
    )
}

/// Writes weights into a folder: [`MODEL`], or shards of at most `shard_bytes` bytes of numbers each (more where one
/// tensor has more) with [`INDEX`]. Every file is synced.
///
/// `fill` is called once for each tensor, in the order of the files, and hands its numbers to the sink in one call or
/// several; no more than a buffer of them is held here.
///
/// # Errors
/// When two tensors have one name, a name or shape is none, a tensor gets fewer or more numbers than it has, a
/// finite number is none in F16, or a file cannot be written; and whatever `fill` says.
pub fn write<E: From<WeightsError>>(
    folder: &Path,
    tensors: &[NewTensor],
    shard_bytes: u64,
    mut fill: impl FnMut(&NewTensor, &mut Sink<'_>) -> Result<(), E>,
) -> Result<Written, E> {
    check(folder, tensors)?;
    let shards = shards(tensors, shard_bytes);
    let mut files = Vec::new();
    let mut places = BTreeMap::new();
    for (at, shard) in shards.iter().enumerate() {
        let name = match shards.len() {
            1 => MODEL.to_owned(),
            count => format!("model-{:05}-of-{count:05}.safetensors", at + 1),
        };
        let bytes = write_file(&folder.join(&name), shard, &mut fill)?;
        places.extend(shard.iter().map(|tensor| (tensor.name.as_str(), name.clone())));
        files.push((name, bytes));
    }
    if shards.len() > 1 {
        let total: u64 = tensors.iter().map(NewTensor::bytes).sum();
        let index = serde_json::json!({"metadata": {"total_size": total}, "weight_map": places});
        let mut text = format!("{index:#}");
        text.push('\n');
        r1x_files::folder::file(folder, INDEX, text.as_bytes())
            .map_err(WeightsError::io(folder))?;
        files.push((INDEX.to_owned(), text.len() as u64));
    }
    Ok(Written { files })
}

/// Writes one file of this name into a folder, and syncs it; see [`write()`] for `fill`. Returns its bytes.
///
/// # Errors
/// As those of [`write()`].
pub fn write_one<E: From<WeightsError>>(
    folder: &Path,
    name: &str,
    tensors: &[NewTensor],
    mut fill: impl FnMut(&NewTensor, &mut Sink<'_>) -> Result<(), E>,
) -> Result<u64, E> {
    check(folder, tensors)?;
    let mut only = shards(tensors, u64::MAX);
    write_file(&folder.join(name), &only.pop().unwrap_or_default(), &mut fill)
}

const BUG: &str = "this is a bug in r1x: please report it";

fn check(folder: &Path, tensors: &[NewTensor]) -> Result<(), WeightsError> {
    let fail = |tensor: &NewTensor, reason: &str| {
        Err(WeightsError::tensor(folder, &tensor.name, reason, BUG))
    };
    let (mut names, mut total) = (BTreeSet::new(), Some(0_u64));
    for tensor in tensors {
        if !names.insert(&tensor.name) {
            return fail(tensor, "is to be written twice");
        }
        if tensor.name == METADATA || tensor.name.len() > LONGEST_NAME {
            return fail(tensor, "is no name that a tensor can have");
        }
        if tensor.shape.len() > MOST_DIMENSIONS {
            return fail(tensor, "has more dimensions than are read again");
        }
        let bytes = tensor.elements().and_then(|count| count.checked_mul(tensor.dtype.bytes()));
        total = total.and_then(|total| total.checked_add(bytes?));
        if total.is_none() {
            return fail(tensor, "has more bytes than can be counted");
        }
    }
    Ok(())
}

/// Which tensors go into which file, in the order within it.
fn shards(tensors: &[NewTensor], shard_bytes: u64) -> Vec<Vec<&NewTensor>> {
    let mut shards = vec![Vec::new()];
    let mut filled = 0;
    for tensor in tensors {
        let bytes = tensor.bytes();
        if filled > 0 && filled + bytes > shard_bytes {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += bytes;
        if let Some(shard) = shards.last_mut() {
            shard.push(tensor);
        }
    }
    for shard in &mut shards {
        shard.sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name)));
    }
    shards
}

/// The header of a file of these tensors, with its length before it.
fn header(shard: &[&NewTensor]) -> Vec<u8> {
    let mut tensors = serde_json::Map::new();
    tensors.insert(METADATA.to_owned(), serde_json::json!({"format": "pt"}));
    let mut at = 0;
    for tensor in shard {
        let end = at + tensor.bytes();
        let (dtype, shape) = (tensor.dtype.name(), &tensor.shape);
        let entry = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [at, end]});
        tensors.insert(tensor.name.clone(), entry);
        at = end;
    }
    let text = serde_json::Value::Object(tensors).to_string();
    let length = text.len().next_multiple_of(8);
    let mut bytes = (length as u64).to_le_bytes().to_vec();
    bytes.extend(text.bytes());
    bytes.resize(PREFIX as usize + length, b' ');
    bytes
}

fn write_file<E: From<WeightsError>>(
    path: &Path,
    shard: &[&NewTensor],
    fill: &mut impl FnMut(&NewTensor, &mut Sink<'_>) -> Result<(), E>,
) -> Result<u64, E> {
    let error = WeightsError::io(path);
    let file = File::create(path).map_err(error)?;
    let mut out = BufWriter::with_capacity(4 * STEP, file);
    let header = header(shard);
    out.write_all(&header).map_err(error)?;
    for tensor in shard {
        let left = tensor.elements().unwrap_or(0);
        let mut sink =
            Sink { out: &mut out, path: path.to_owned(), tensor, left, bytes: Vec::new() };
        fill(tensor, &mut sink)?;
        sink.finish()?;
    }
    let file = out.into_inner().map_err(|failed| error(failed.into_error()))?;
    file.sync_all().map_err(error)?;
    Ok(header.len() as u64 + shard.iter().map(|tensor| tensor.bytes()).sum::<u64>())
}

/// Takes the numbers of one tensor that is being written.
#[derive(Debug)]
pub struct Sink<'a> {
    out: &'a mut BufWriter<File>,
    path: PathBuf,
    tensor: &'a NewTensor,
    /// Numbers that are still due.
    left: u64,
    bytes: Vec<u8>,
}

impl Sink<'_> {
    /// Writes the next numbers, in the order of rows.
    ///
    /// # Errors
    /// When these are more than the tensor has, a finite one is none in its type, or the file cannot be written.
    pub fn put(&mut self, values: &[f32]) -> Result<(), WeightsError> {
        self.count(values.len())?;
        for values in values.chunks(STEP) {
            self.bytes.clear();
            match self.tensor.dtype {
                SaveDtype::F32 => self.bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
                SaveDtype::BF16 => {
                    let mut halves = vec![bf16::ZERO; values.len()];
                    halves.convert_from_f32_slice(values);
                    self.bytes.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
                }
                SaveDtype::F16 => self.put_f16(values)?,
            }
            self.out.write_all(&self.bytes).map_err(WeightsError::io(&self.path))?;
        }
        Ok(())
    }

    /// Writes the next numbers, in the order of rows: as they are where the tensor is written in BF16.
    ///
    /// # Errors
    /// As those of [`Sink::put`].
    pub fn put_bf16(&mut self, values: &[bf16]) -> Result<(), WeightsError> {
        if self.tensor.dtype != SaveDtype::BF16 {
            let mut wide = [0.0; 1024];
            return values.chunks(wide.len()).try_for_each(|values| {
                values.convert_to_f32_slice(&mut wide[..values.len()]);
                self.put(&wide[..values.len()])
            });
        }
        self.count(values.len())?;
        for values in values.chunks(STEP) {
            self.bytes.clear();
            self.bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            self.out.write_all(&self.bytes).map_err(WeightsError::io(&self.path))?;
        }
        Ok(())
    }

    fn put_f16(&mut self, values: &[f32]) -> Result<(), WeightsError> {
        let mut halves = vec![f16::ZERO; values.len()];
        halves.convert_from_f32_slice(values);
        let lost = values.iter().zip(&halves).find(|(v, half)| v.is_finite() && !half.is_finite());
        if let Some((value, _)) = lost {
            let reason = format!("holds {value:e}, which is too large for F16");
            let hint = "write it in BF16 or F32";
            return Err(WeightsError::tensor(&self.path, &self.tensor.name, reason, hint));
        }
        self.bytes.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
        Ok(())
    }

    fn count(&mut self, numbers: usize) -> Result<(), WeightsError> {
        match self.left.checked_sub(numbers as u64) {
            Some(left) => self.left = left,
            None => return Err(self.bug("gets more numbers than it has")),
        }
        Ok(())
    }

    fn finish(self) -> Result<(), WeightsError> {
        if self.left == 0 { Ok(()) } else { Err(self.bug("gets fewer numbers than it has")) }
    }

    fn bug(&self, reason: &str) -> WeightsError {
        WeightsError::tensor(&self.path, &self.tensor.name, reason, BUG)
    }
}
