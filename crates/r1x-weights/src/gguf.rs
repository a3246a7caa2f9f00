//! The header of a GGUF file (versions 2 and 3, little-endian): typed values, then which tensors there are.
//!
//! Format: docs/gguf.md of the ggml repository. Lengths and counts are compared with the rest of the file before
//! anything is read by them; a list that would nest, a name that comes twice and a text that is not UTF-8 are errors.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use crate::dtype::Dtype;
use crate::error::WeightsError;
use crate::open::{LONGEST_NAME, MOST_TENSORS, TensorInfo, check_places};
use crate::read::Opened;
use crate::value::{List, Value};

/// What every file begins with.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";

/// Most bytes before the numbers. A tokenizer with 256 000 pieces and its merges takes about 15 MB.
const MOST_HEADER_BYTES: u64 = 256 << 20;
/// Most values with a name.
const MOST_VALUES: u64 = 1 << 16;
/// Most entries of all lists together.
const MOST_ENTRIES: u64 = 1 << 22;
/// Longest text, bytes: some files carry a whole tokenizer.json in one.
const LONGEST_TEXT: u64 = 64 << 20;
/// Most dimensions of a tensor in ggml.
const MOST_DIMENSIONS: u32 = 4;
/// Where numbers begin, unless the file says otherwise: at multiples of so many bytes.
const ALIGNMENT: u64 = 32;
/// Largest alignment, bytes.
const MOST_ALIGNMENT: u64 = 1 << 16;
/// The key that says the alignment.
const ALIGNMENT_KEY: &str = "general.alignment";
/// The key that says of how many files this is one.
const PARTS_KEY: &str = "split.count";

/// The tensors and the metadata of a file.
pub(crate) fn header(
    file: &Opened,
) -> Result<(Vec<TensorInfo>, BTreeMap<String, Value>), WeightsError> {
    let mut reader = Reader::new(file)?;
    let version = reader.u32()?;
    if version.swap_bytes() == 3 {
        let hint = "convert it on a machine of the usual byte order, or take another file";
        return Err(WeightsError::unsupported(&file.path, "it is GGUF in big-endian", hint));
    }
    if !(2..=3).contains(&version) {
        let reason = format!("it is GGUF of version {version}; 2 and 3 are read");
        let hint = "convert it again with a current llama.cpp";
        return Err(WeightsError::unsupported(&file.path, reason, hint));
    }
    let (tensors, values) = (reader.u64()?, reader.u64()?);
    reader.at_most("tensors", tensors, MOST_TENSORS as u64)?;
    reader.at_most("values", values, MOST_VALUES)?;
    let metadata = metadata(&mut reader, values)?;
    if let Some(parts) = metadata.get(PARTS_KEY).and_then(Value::as_u64).filter(|parts| *parts > 1)
    {
        let reason = format!("it is one of {parts} parts of a model");
        let hint = "put them together first: `llama-gguf-split --merge FIRST-PART WHOLE`";
        return Err(WeightsError::unsupported(&file.path, reason, hint));
    }
    let alignment = alignment(&reader, &metadata)?;
    let entries = (0..tensors).map(|_| Entry::read(&mut reader)).collect::<Result<Vec<_>, _>>()?;
    let start = reader.at.next_multiple_of(alignment);
    let tensors = entries
        .into_iter()
        .map(|entry| entry.place(file, start))
        .collect::<Result<Vec<_>, WeightsError>>()?;
    check_places(file, &tensors, start, alignment)?;
    Ok((tensors, metadata))
}

fn metadata(reader: &mut Reader<'_>, count: u64) -> Result<BTreeMap<String, Value>, WeightsError> {
    let mut metadata = BTreeMap::new();
    for _ in 0..count {
        let key = reader.name()?;
        let kind = reader.u32()?;
        let value = reader.value(&key, kind)?;
        if metadata.contains_key(&key) {
            return Err(reader.fail(format!("the value `{key}` is there twice")));
        }
        metadata.insert(key, value);
    }
    Ok(metadata)
}

fn alignment(reader: &Reader<'_>, metadata: &BTreeMap<String, Value>) -> Result<u64, WeightsError> {
    let Some(value) = metadata.get(ALIGNMENT_KEY) else {
        return Ok(ALIGNMENT);
    };
    let good = |bytes: &u64| bytes.is_power_of_two() && *bytes <= MOST_ALIGNMENT;
    value.as_u64().filter(good).ok_or_else(|| {
        reader.fail(format!(
            "`{ALIGNMENT_KEY}` is {value:?}, not a power of two up to {MOST_ALIGNMENT}"
        ))
    })
}

/// What a header says of a tensor.
struct Entry {
    name: String,
    shape: Vec<usize>,
    kind: u32,
    /// Counted from where the numbers begin.
    offset: u64,
}

impl Entry {
    fn read(reader: &mut Reader<'_>) -> Result<Self, WeightsError> {
        let name = reader.name()?;
        let dimensions = reader.u32()?;
        if dimensions > MOST_DIMENSIONS {
            let reason = format!("`{name}` has {dimensions} dimensions; there are 4 at most");
            return Err(reader.fail(reason));
        }
        // The innermost dimension comes first in the file, and last here.
        let mut shape = vec![0; dimensions as usize];
        for size in shape.iter_mut().rev() {
            let long = reader.u64()?;
            *size = usize::try_from(long)
                .map_err(|_| reader.fail(format!("`{name}` has a dimension of {long}")))?;
        }
        Ok(Self { name, shape, kind: reader.u32()?, offset: reader.u64()? })
    }

    fn place(self, file: &Opened, start: u64) -> Result<TensorInfo, WeightsError> {
        let Self { name, shape, kind, offset } = self;
        let Some(dtype) = Dtype::of_gguf(kind) else {
            let reason = format!("`{name}` is of type {kind}, which is not known");
            let hint = format!("take a file with other types: {} are read", Dtype::readable());
            return Err(WeightsError::unsupported(&file.path, reason, hint));
        };
        let fail = |reason: String| WeightsError::malformed(&file.path, reason);
        let at = start.checked_add(offset).ok_or_else(|| {
            fail(format!("`{name}` begins at byte {offset} of the numbers; the file has fewer"))
        })?;
        let said = format!("`{name}` is {dtype} {shape:?}");
        TensorInfo::new(name, dtype, shape, at).ok_or_else(|| {
            fail(format!("{said}: its rows are no whole number of blocks that can be counted"))
        })
    }
}

/// A header that is being read.
struct Reader<'f> {
    file: &'f Opened,
    reader: BufReader<&'f File>,
    /// Bytes read so far.
    at: u64,
    /// Entries of lists read so far.
    entries: u64,
}

impl<'f> Reader<'f> {
    /// Begins behind the magic.
    fn new(file: &'f Opened) -> Result<Self, WeightsError> {
        let (mut reader, at) = (BufReader::new(&file.file), MAGIC.len() as u64);
        reader.seek(SeekFrom::Start(at)).map_err(WeightsError::io(&file.path))?;
        Ok(Self { file, reader, at, entries: 0 })
    }

    fn fail(&self, reason: String) -> WeightsError {
        WeightsError::malformed(&self.file.path, reason)
    }

    fn at_most(&self, what: &str, count: u64, most: u64) -> Result<(), WeightsError> {
        if count <= most {
            return Ok(());
        }
        Err(self.fail(format!("says that it has {count} {what}; {most} are read at most")))
    }

    /// An error unless so many bytes more are in the file and within the limit of headers.
    fn check(&self, bytes: u64) -> Result<(), WeightsError> {
        let left = self.file.len.saturating_sub(self.at);
        if bytes > left {
            let (at, len) = (self.at, self.file.len);
            return Err(self.fail(format!(
                "its header asks for {bytes} bytes from byte {at} on; the file has {len}"
            )));
        }
        if bytes > MOST_HEADER_BYTES.saturating_sub(self.at) {
            return Err(self.fail(format!("its header has more than {MOST_HEADER_BYTES} bytes")));
        }
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), WeightsError> {
        self.check(bytes.len() as u64)?;
        self.reader.read_exact(bytes).map_err(WeightsError::io(&self.file.path))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WeightsError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, WeightsError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, WeightsError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn name(&mut self) -> Result<String, WeightsError> {
        let length = self.u64()?;
        self.at_most("bytes in a name", length, LONGEST_NAME as u64)?;
        self.text_of("a name", length)
    }

    fn text(&mut self, of: &str) -> Result<String, WeightsError> {
        let length = self.u64()?;
        self.text_of(of, length)
    }

    fn text_of(&mut self, of: &str, length: u64) -> Result<String, WeightsError> {
        self.check(length)?;
        self.at_most("bytes in a text", length, LONGEST_TEXT)?;
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| self.fail(format!("a text of {of} is not UTF-8")))
    }

    fn bool(&mut self, of: &str) -> Result<bool, WeightsError> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(self.fail(format!("`{of}` is {other}, which is neither yes nor no"))),
        }
    }

    fn value(&mut self, key: &str, kind: u32) -> Result<Value, WeightsError> {
        Ok(match kind {
            kind::BOOL => Value::Bool(self.bool(key)?),
            kind::TEXT => Value::Text(self.text(key)?),
            kind::LIST => Value::List(self.list(key)?),
            _ if kind::is_unsigned(kind) => Value::Unsigned(self.unsigned(kind)?),
            _ if kind::is_signed(kind) => Value::Signed(self.signed(kind)?),
            _ if kind::is_float(kind) => Value::Float(self.float(kind)?),
            _ => return Err(self.fail(format!("`{key}` is of the type {kind}, which is none"))),
        })
    }

    fn unsigned(&mut self, kind: u32) -> Result<u64, WeightsError> {
        Ok(match kind {
            kind::U8 => u64::from(self.array::<1>()?[0]),
            kind::U16 => u64::from(u16::from_le_bytes(self.array()?)),
            kind::U32 => u64::from(self.u32()?),
            _ => self.u64()?,
        })
    }

    fn signed(&mut self, kind: u32) -> Result<i64, WeightsError> {
        Ok(match kind {
            kind::I8 => i64::from(i8::from_le_bytes(self.array()?)),
            kind::I16 => i64::from(i16::from_le_bytes(self.array()?)),
            kind::I32 => i64::from(i32::from_le_bytes(self.array()?)),
            _ => i64::from_le_bytes(self.array()?),
        })
    }

    fn float(&mut self, kind: u32) -> Result<f64, WeightsError> {
        Ok(match kind {
            kind::F32 => f64::from(f32::from_le_bytes(self.array()?)),
            _ => f64::from_le_bytes(self.array()?),
        })
    }

    fn list(&mut self, key: &str) -> Result<List, WeightsError> {
        let (kind, count) = (self.u32()?, self.u64()?);
        let least = count.saturating_mul(kind::least_bytes(kind));
        self.check(least)?;
        self.entries = self.entries.saturating_add(count);
        self.at_most("entries in its lists", self.entries, MOST_ENTRIES)?;
        let all = 0..count;
        Ok(match kind {
            kind::BOOL => List::Bools(all.map(|_| self.bool(key)).collect::<Result<_, _>>()?),
            kind::TEXT => List::Texts(all.map(|_| self.text(key)).collect::<Result<_, _>>()?),
            _ if kind::is_unsigned(kind) => {
                List::Unsigned(all.map(|_| self.unsigned(kind)).collect::<Result<_, _>>()?)
            }
            _ if kind::is_signed(kind) => {
                List::Signed(all.map(|_| self.signed(kind)).collect::<Result<_, _>>()?)
            }
            _ if kind::is_float(kind) => {
                List::Floats(all.map(|_| self.float(kind)).collect::<Result<_, _>>()?)
            }
            kind::LIST => return Err(self.fail(format!("`{key}` is a list of lists"))),
            _ => return Err(self.fail(format!("`{key}` is a list of type {kind}, which is none"))),
        })
    }
}

/// The numbers that stand for types of values (`gguf_metadata_value_type`).
mod kind {
    pub(super) const U8: u32 = 0;
    pub(super) const I8: u32 = 1;
    pub(super) const U16: u32 = 2;
    pub(super) const I16: u32 = 3;
    pub(super) const U32: u32 = 4;
    pub(super) const I32: u32 = 5;
    pub(super) const F32: u32 = 6;
    pub(super) const BOOL: u32 = 7;
    pub(super) const TEXT: u32 = 8;
    pub(super) const LIST: u32 = 9;
    pub(super) const U64: u32 = 10;
    pub(super) const I64: u32 = 11;
    pub(super) const F64: u32 = 12;

    pub(super) fn is_unsigned(kind: u32) -> bool {
        [U8, U16, U32, U64].contains(&kind)
    }

    pub(super) fn is_signed(kind: u32) -> bool {
        [I8, I16, I32, I64].contains(&kind)
    }

    pub(super) fn is_float(kind: u32) -> bool {
        [F32, F64].contains(&kind)
    }

    /// Fewest bytes that a value takes.
    pub(super) fn least_bytes(kind: u32) -> u64 {
        match kind {
            U8 | I8 | BOOL => 1,
            U16 | I16 => 2,
            U32 | I32 | F32 => 4,
            LIST => 12,
            _ => 8,
        }
    }
}
