//! `model.safetensors.index.json`: which tensor is in which of several files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Component, Path};

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::header::{self, check_name};
use crate::error::{WeightsError, shortened, some_of};
use crate::open::{Format, MOST_TENSORS, WeightFiles, in_file};
use crate::read::Opened;

/// Most bytes of an index; DeepSeek-V3's has 9 MB.
const MOST_BYTES: u64 = 256 << 20;
/// Most files: fewer than a process may have open by most systems' defaults; DeepSeek-V3 has 163.
const MOST_SHARDS: usize = 512;

/// Opens the files that an index names.
///
/// Where a tensor lies in two files, the index says which counts. A tensor that a shard has and the index does not
/// name is taken too, as other readers do.
pub(crate) fn open(path: &Path) -> Result<WeightFiles, WeightsError> {
    let bytes = r1x_files::read(path, MOST_BYTES).map_err(WeightsError::io(path))?;
    let fail = |reason: String| WeightsError::malformed(path, reason);
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|error| fail(format!("it is no index of safetensors: {}", shortened(&error))))?;
    let Map(map) = index.weight_map;
    let shards: BTreeSet<&str> = map.values().map(String::as_str).collect();
    if shards.len() > MOST_SHARDS {
        let count = shards.len();
        return Err(fail(format!("names {count} files; {MOST_SHARDS} are read at most")));
    }
    if let Some(name) = shards.iter().find(|name| !is_plain(name)) {
        let name: String = name.chars().take(100).collect();
        let reason = format!("names the file {name:?}, which is no name of a file beside it");
        return Err(fail(reason));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let absent: Vec<&str> =
        shards.iter().copied().filter(|name| !folder.join(name).exists()).collect();
    if !absent.is_empty() {
        let reason = format!(
            "{} of {} files are not there: {}",
            absent.len(),
            shards.len(),
            some_of(absent.into_iter())
        );
        let hint = "download the rest of the model".to_owned();
        return Err(WeightsError::NoWeights { path: path.to_owned(), reason, hint });
    }
    let (mut files, mut tensors, mut metadata) = (Vec::new(), Vec::new(), None);
    let mut lacking: BTreeMap<&str, &str> =
        map.iter().map(|(name, shard)| (name.as_str(), shard.as_str())).collect();
    for shard in shards {
        let file = Opened::new(folder.join(shard))?;
        let (found, said) = header::read(&file)?;
        metadata.get_or_insert(said);
        for tensor in found {
            let named = map.get(tensor.name());
            if named.is_some_and(|named| named != shard) {
                continue;
            }
            lacking.remove(tensor.name());
            tensors.push(in_file(tensor, files.len()));
        }
        files.push(file);
    }
    if let Some(shard) = lacking.values().next() {
        let names: Vec<&str> =
            lacking.iter().filter(|(_, of)| of == &shard).map(|(name, _)| *name).collect();
        let reason = format!("{shard} lacks {}", some_of(names.into_iter()));
        return Err(fail(reason));
    }
    WeightFiles::new(path, Format::Shards, files, tensors, metadata.unwrap_or_default())
}

/// Whether a text is the name of a file in the same folder, and nothing that leads elsewhere.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let one = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    one && !name.contains(['/', '\\', ':', '\0']) && name.len() <= 255
}

#[derive(Deserialize)]
struct Index {
    weight_map: Map,
}

/// Names of files by name of tensor; none may come twice, which JSON alone would allow.
struct Map(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Map {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Map;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object with the name of a file under each name of a tensor")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Map, M::Error> {
                let mut files = BTreeMap::new();
                while let Some((name, file)) = map.next_entry::<String, String>()? {
                    check_name(&name)?;
                    if files.len() == MOST_TENSORS {
                        let message = format!("there are more than {MOST_TENSORS} tensors");
                        return Err(M::Error::custom(message));
                    }
                    if files.insert(name.clone(), file).is_some() {
                        return Err(M::Error::custom(format!("`{name}` is there twice")));
                    }
                }
                Ok(Map(files))
            }
        }
        from.deserialize_map(Read)
    }
}
