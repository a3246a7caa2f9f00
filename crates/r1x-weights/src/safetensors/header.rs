//! The header of a safetensors file: which tensors there are, and where their bytes lie.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::dtype::Dtype;
use crate::error::{WeightsError, shortened};
use crate::open::{LONGEST_NAME, MOST_DIMENSIONS, MOST_TENSORS, TensorInfo, check_places};
use crate::read::Opened;
use crate::value::Value;

/// Most bytes of a header: as many as the reference implementation reads.
const MOST_BYTES: u64 = 100_000_000;
/// Bytes before the header.
pub(super) const PREFIX: u64 = 8;
/// The key of what a header says besides its tensors.
pub(super) const METADATA: &str = "__metadata__";

/// The tensors and the metadata of a file.
pub(crate) fn read(
    file: &Opened,
) -> Result<(Vec<TensorInfo>, BTreeMap<String, Value>), WeightsError> {
    let bytes = bytes(file)?;
    let start = PREFIX + bytes.len() as u64;
    let fail = |reason: String| WeightsError::malformed(&file.path, reason);
    let header: Header = serde_json::from_slice(&bytes).map_err(|error| {
        fail(format!("its header is not one of safetensors: {}", shortened(&error)))
    })?;
    let mut tensors = Vec::with_capacity(header.tensors.len());
    for (name, entry) in header.tensors {
        tensors.push(tensor(file, name, entry, start)?);
    }
    let end = check_places(file, &tensors, start, 1)?;
    if end < file.len {
        let behind = file.len - end;
        return Err(fail(format!("{behind} bytes behind its last tensor belong to none")));
    }
    Ok((tensors, header.metadata))
}

/// The bytes of the header.
fn bytes(file: &Opened) -> Result<Vec<u8>, WeightsError> {
    let mut length = [0; PREFIX as usize];
    let fail = |reason: String| Err(WeightsError::malformed(&file.path, reason));
    if file.len < PREFIX {
        return fail(format!("has {} bytes, which are not enough for a header", file.len));
    }
    file.read(&mut length, 0)?;
    refuse_others(file, &length)?;
    let length = u64::from_le_bytes(length);
    if length > file.len - PREFIX {
        let len = file.len;
        return fail(format!("says that its header has {length} bytes; the whole file has {len}"));
    }
    if length > MOST_BYTES {
        return fail(format!("its header has {length} bytes; {MOST_BYTES} are read at most"));
    }
    let mut bytes = vec![0; length as usize];
    file.read(&mut bytes, PREFIX)?;
    Ok(bytes)
}

/// An error that says what a file is, where people take it for safetensors.
fn refuse_others(file: &Opened, begin: &[u8; 8]) -> Result<(), WeightsError> {
    let (what, hint) = if begin == b"version " {
        ("a pointer of Git LFS, not the weights themselves", "run `git lfs pull` in its folder")
    } else if begin.starts_with(b"PK\x03\x04") || begin.starts_with(b"\x80\x02") {
        (
            "a pickle of PyTorch, which may run code when it is opened",
            "convert it with transformers: AutoModelForCausalLM.from_pretrained(A).save_pretrained(B)",
        )
    } else if begin.starts_with(b"<!") || begin.starts_with(b"<html") {
        ("a web page, not weights", "download the file itself")
    } else {
        return Ok(());
    };
    Err(WeightsError::unsupported(&file.path, format!("it is {what}"), hint))
}

fn tensor(
    file: &Opened,
    name: String,
    entry: Entry,
    start: u64,
) -> Result<TensorInfo, WeightsError> {
    let fail =
        |reason: String| Err(WeightsError::malformed(&file.path, format!("`{name}` {reason}")));
    let Entry { dtype: word, shape, data_offsets: (from, to) } = entry;
    let Some(dtype) = Dtype::of_safetensors(&word) else {
        let word: String = word.chars().take(32).collect();
        return fail(format!("is of the type `{word}`, which is none of safetensors"));
    };
    if shape.len() > MOST_DIMENSIONS {
        let dimensions = shape.len();
        return fail(format!("has {dimensions} dimensions; {MOST_DIMENSIONS} are read at most"));
    }
    let Some(at) = start.checked_add(from).filter(|_| from <= to) else {
        return fail(format!("lies from {from} to {to}"));
    };
    let said = format!("is {dtype} {shape:?}");
    match TensorInfo::new(name.clone(), dtype, shape, at) {
        Some(tensor) if tensor.bytes() == to - from => Ok(tensor),
        Some(tensor) => {
            let (bytes, due) = (to - from, tensor.bytes());
            fail(format!("{said}, which takes {due} bytes, and has {bytes}"))
        }
        None => fail(format!("{said}, which takes no number of bytes that can be counted")),
    }
}

/// What a header says of a tensor; offsets count from its end.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// A header as it is read: names may not come twice, which JSON alone would allow.
struct Header {
    tensors: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, Value>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Header;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object with a tensor under each name")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Header, M::Error> {
                let mut header = Header { tensors: BTreeMap::new(), metadata: BTreeMap::new() };
                let mut has_metadata = false;
                while let Some(name) = map.next_key::<String>()? {
                    check_name(&name)?;
                    let again = if name == METADATA {
                        let Some(Texts(texts)) = map.next_value()? else { continue };
                        header.metadata = texts;
                        std::mem::replace(&mut has_metadata, true)
                    } else {
                        let entry = map.next_value()?;
                        header.tensors.insert(name.clone(), entry).is_some()
                    };
                    if again {
                        return Err(M::Error::custom(format!("`{name}` is there twice")));
                    }
                    if header.tensors.len() > MOST_TENSORS {
                        let message = format!("there are more than {MOST_TENSORS} tensors");
                        return Err(M::Error::custom(message));
                    }
                }
                Ok(header)
            }
        }
        from.deserialize_map(Read)
    }
}

/// Texts by name. What is no text is left out, as other readers do.
struct Texts(BTreeMap<String, Value>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Other(IgnoredAny),
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let all: BTreeMap<String, Text> = BTreeMap::deserialize(from)?;
        let text = |(name, text)| match text {
            Text::Text(text) => Some((name, Value::Text(text))),
            Text::Other(_) => None,
        };
        Ok(Self(all.into_iter().filter_map(text).collect()))
    }
}

/// An error when a name is longer than any.
pub(super) fn check_name<E: Error>(name: &str) -> Result<(), E> {
    if name.len() <= LONGEST_NAME {
        return Ok(());
    }
    let length = name.len();
    Err(E::custom(format!("a name has {length} bytes; {LONGEST_NAME} are read at most")))
}
