//! Which weight files a path means, and the tensors they hold together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::dtype::{Code, Dtype};
use crate::error::{WeightsError, some_of};
use crate::float8::{FLOAT8_BLOCK, SCALE};
use crate::gguf;
use crate::read::Opened;
use crate::safetensors::write::{INDEX, MODEL};
use crate::safetensors::{header, index};
use crate::value::Value;

/// Most tensors of one model: DeepSeek-V3 has about 91 000, scales included.
pub(crate) const MOST_TENSORS: usize = 1 << 20;
/// Most dimensions of a tensor.
pub(crate) const MOST_DIMENSIONS: usize = 8;
/// Longest name of a tensor or of a value, bytes.
pub(crate) const LONGEST_NAME: usize = 1024;

/// A format of weight files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One safetensors file.
    Safetensors,
    /// Safetensors files, and an index that says which tensor is in which.
    Shards,
    /// One GGUF file.
    Gguf,
}

/// A tensor of opened weight files, not yet read.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    elements: usize,
    file: usize,
    /// Where its bytes begin in the file.
    at: u64,
    scales: Option<Box<TensorInfo>>,
}

impl TensorInfo {
    /// A tensor in the first file. None where it has too many elements to count, or no whole number of blocks in a
    /// row.
    pub(crate) fn new(name: String, dtype: Dtype, shape: Vec<usize>, at: u64) -> Option<Self> {
        let count = shape.iter().try_fold(1_usize, |count, size| count.checked_mul(*size));
        // A product that is 0 hides sizes that cannot be multiplied with each other; rows and columns are one each.
        let elements = if shape.contains(&0) { Some(0) } else { count }?;
        let columns = shape.last().map_or(1, |size| *size as u64);
        let whole_rows =
            dtype.block_elements() < 32 || columns.is_multiple_of(dtype.block_elements());
        dtype.bytes(elements as u64).filter(|_| whole_rows)?;
        Some(Self { name, dtype, shape, elements, file: 0, at, scales: None })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type its numbers are stored in.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Its shape, outermost dimension first in every format; a matrix is `[out, in]`.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many numbers it has.
    pub fn elements(&self) -> usize {
        self.elements
    }

    /// Its last dimension; 1 for a single number.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// All dimensions but the last multiplied; 1 for a single number, and 0 where there are no elements.
    pub fn rows(&self) -> usize {
        self.elements.checked_div(self.columns()).unwrap_or(0)
    }

    /// Bytes it takes in the file, without scales.
    pub fn bytes(&self) -> u64 {
        self.dtype.bytes(self.elements as u64).unwrap_or(0)
    }

    /// The scales of a tensor of 8-bit numbers.
    pub fn scales(&self) -> Option<&TensorInfo> {
        self.scales.as_deref()
    }

    pub(crate) fn at(&self) -> u64 {
        self.at
    }
}

/// Weight files that are open, with everything that their headers say.
///
/// Reading needs no exclusive access: threads may read tensors of one value at once.
#[derive(Debug)]
pub struct WeightFiles {
    path: PathBuf,
    format: Format,
    files: Vec<Opened>,
    tensors: Vec<TensorInfo>,
    metadata: BTreeMap<String, Value>,
    float8_block: [usize; 2],
}

impl WeightFiles {
    /// Opens a file (`.safetensors`, its `.index.json`, or `.gguf`; the content decides), or the weights of a folder:
    /// `model.safetensors`, else `model.safetensors.index.json` with its shards, else the only `.gguf`.
    ///
    /// All headers are read and checked; no number is.
    ///
    /// # Errors
    /// When the path leads to no weights or to several, when a file cannot be read, and when a header contradicts
    /// itself, its file or the limits.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Self::file_or_index(path);
        }
        for name in [MODEL, INDEX] {
            let file = path.join(name);
            if file.exists() {
                return Self::file_or_index(&file);
            }
        }
        let mut names = names_of(path)?;
        let ggufs: Vec<String> = names.extract_if(.., |name| name.ends_with(".gguf")).collect();
        match &ggufs[..] {
            [one] => Self::file_or_index(&path.join(one)),
            [] => Err(nothing_in(path, &names)),
            _ => {
                let names = some_of(ggufs.iter().map(String::as_str));
                let reason = format!("holds {} GGUF files: {names}", ggufs.len());
                let hint = "give the path of one of them".to_owned();
                Err(WeightsError::NoWeights { path: path.to_owned(), reason, hint })
            }
        }
    }

    fn file_or_index(path: &Path) -> Result<Self, WeightsError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".index.json") {
            return index::open(path);
        }
        let file = Opened::new(path.to_owned())?;
        let mut magic = [0; 4];
        if file.len >= 4 {
            file.read(&mut magic, 0)?;
        }
        let (format, (tensors, metadata)) = match &magic {
            gguf::MAGIC => (Format::Gguf, gguf::header(&file)?),
            _ => (Format::Safetensors, header::read(&file)?),
        };
        Self::new(path, format, vec![file], tensors, metadata)
    }

    /// Puts together what headers say. Tensors of later files have their file set.
    pub(crate) fn new(
        path: &Path,
        format: Format,
        files: Vec<Opened>,
        mut tensors: Vec<TensorInfo>,
        metadata: BTreeMap<String, Value>,
    ) -> Result<Self, WeightsError> {
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(twice) = tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
            let [first, second] = [&twice[0], &twice[1]].map(|one| files[one.file].path.display());
            let name = &twice[0].name;
            let reason = format!("`{name}` is there twice, in {first} and in {second}");
            return Err(WeightsError::malformed(path, reason));
        }
        if tensors.len() > MOST_TENSORS {
            let reason = format!("has {} tensors; {MOST_TENSORS} are read at most", tensors.len());
            return Err(WeightsError::malformed(path, reason));
        }
        let tensors = with_scales(tensors);
        let path = path.to_owned();
        Ok(Self { path, format, files, tensors, metadata, float8_block: FLOAT8_BLOCK })
    }

    /// Takes scales of 8-bit weights as one for each block of so many rows and columns; without this call
    /// [`FLOAT8_BLOCK`] holds. A config says it as `quantization_config.weight_block_size`.
    ///
    /// # Errors
    /// When a block has no rows or no columns.
    pub fn with_float8_block(mut self, block: [usize; 2]) -> Result<Self, WeightsError> {
        if block.contains(&0) {
            let reason = format!("blocks of {block:?} numbers cannot share a scale");
            let hint = "mend `weight_block_size` in config.json";
            return Err(WeightsError::unsupported(&self.path, reason, hint));
        }
        self.float8_block = block;
        Ok(self)
    }

    /// The names of the files that the numbers are in, without their folder.
    pub fn file_names(&self) -> impl Iterator<Item = String> {
        let name = |file: &Opened| file.path.file_name().map(|name| name.to_string_lossy().into());
        self.files.iter().filter_map(name)
    }

    /// The file, index or single weights file that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of files these are.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Every tensor by name, but for scales, which belong to a tensor of 8-bit numbers.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor of a name.
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        let at = self.tensors.binary_search_by(|tensor| tensor.name.as_str().cmp(name)).ok()?;
        Some(&self.tensors[at])
    }

    /// What the file says besides its tensors: the whole metadata of GGUF, and of safetensors the texts of
    /// `__metadata__` (of the first shard).
    pub fn metadata(&self) -> &BTreeMap<String, Value> {
        &self.metadata
    }

    pub(crate) fn file(&self, tensor: &TensorInfo) -> &Opened {
        &self.files[tensor.file]
    }

    pub(crate) fn float8_block(&self) -> [usize; 2] {
        self.float8_block
    }
}

/// Hands scales to the tensors they belong to, of tensors that are sorted by name.
fn with_scales(tensors: Vec<TensorInfo>) -> Vec<TensorInfo> {
    let needs = |name: &str| {
        let at = tensors.binary_search_by(|tensor| tensor.name.as_str().cmp(name)).ok()?;
        (tensors[at].dtype.code() == Code::F8E4M3).then_some(at)
    };
    let owner = |tensor: &TensorInfo| tensor.name.strip_suffix(SCALE).and_then(needs);
    let owners: Vec<Option<usize>> = tensors.iter().map(owner).collect();
    let mut scales = BTreeMap::new();
    let mut kept = Vec::with_capacity(tensors.len());
    for (at, (tensor, owner)) in tensors.into_iter().zip(owners).enumerate() {
        match owner {
            Some(owner) => drop(scales.insert(owner, Box::new(tensor))),
            None => kept.push((at, tensor)),
        }
    }
    for (at, tensor) in &mut kept {
        tensor.scales = scales.remove(at);
    }
    kept.into_iter().map(|(_, tensor)| tensor).collect()
}

/// Puts a tensor into another file than the first.
pub(crate) fn in_file(mut tensor: TensorInfo, file: usize) -> TensorInfo {
    tensor.file = file;
    tensor
}

/// An error unless tensors lie in the file one behind the other from `start` on, each at the next multiple of
/// `alignment` behind the one before, and none beyond the file's end. Returns where the last one ends.
pub(crate) fn check_places(
    file: &Opened,
    tensors: &[TensorInfo],
    start: u64,
    alignment: u64,
) -> Result<u64, WeightsError> {
    let mut by_place: Vec<&TensorInfo> = tensors.iter().collect();
    by_place.sort_by_key(|tensor| (tensor.at, tensor.bytes()));
    let fail = |reason: String| Err(WeightsError::malformed(&file.path, reason));
    let (mut end, mut before) = (start, None::<&TensorInfo>);
    for tensor in by_place {
        let (name, at) = (&tensor.name, tensor.at);
        let Some(its_end) = at.checked_add(tensor.bytes()).filter(|end| *end <= file.len) else {
            let bytes = tensor.bytes();
            let len = file.len;
            return fail(format!(
                "`{name}` takes {bytes} bytes from byte {at} on; the file has {len}"
            ));
        };
        let behind = before.map_or("the header".to_owned(), |one| format!("`{}`", one.name));
        let due = end.next_multiple_of(alignment);
        if at < end {
            return fail(format!(
                "`{name}` begins at byte {at}, inside of {behind}, which ends at {end}"
            ));
        }
        if at != due {
            return fail(format!(
                "nothing is said of {} bytes between {behind} and `{name}`",
                at - end
            ));
        }
        (end, before) = (its_end, Some(tensor));
    }
    Ok(end)
}

/// The names of the files of a folder, sorted.
fn names_of(folder: &Path) -> Result<Vec<String>, WeightsError> {
    let error = WeightsError::io(folder);
    let entries = std::fs::read_dir(folder).map_err(error)?;
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    let mut names = entries.map(name).collect::<Result<Vec<_>, _>>().map_err(error)?;
    names.sort();
    Ok(names)
}

/// Whether a name in a folder is a link to something that is not there, as in parts of a hub's cache.
fn leads_nowhere(folder: &Path, name: &str) -> bool {
    let path = folder.join(name);
    path.symlink_metadata().is_ok() && !path.exists()
}

fn nothing_in(path: &Path, names: &[String]) -> WeightsError {
    if let Some(name) = names.iter().find(|name| leads_nowhere(path, name)) {
        let reason = format!("holds `{name}`, which is a link to a file that is not there");
        let hint = "download the model again, or copy its folder with the files that links lead to: cp -rL";
        return WeightsError::NoWeights { path: path.to_owned(), reason, hint: hint.to_owned() };
    }
    let with = |endings: &[&str]| -> Vec<&str> {
        let ends = |name: &&str| endings.iter().any(|ending| name.ends_with(ending));
        names.iter().map(String::as_str).filter(ends).collect()
    };
    let (tensors, pickles) = (with(&[".safetensors"]), with(&[".bin", ".pt", ".pth"]));
    let (reason, hint) = if !tensors.is_empty() {
        let found = some_of(tensors.into_iter());
        (format!("holds no {MODEL} and no {INDEX}, but {found}"), "give the path of one file")
    } else if !pickles.is_empty() {
        let found = some_of(pickles.into_iter());
        let hint = "convert them with transformers: AutoModelForCausalLM.from_pretrained(A).save_pretrained(B)";
        (format!("holds weights as pickles only: {found}"), hint)
    } else {
        let reason = format!("holds no weights: there is no {MODEL}, no {INDEX} and no .gguf");
        (reason, "give the folder of a downloaded model, or a weights file")
    };
    WeightsError::NoWeights { path: path.to_owned(), reason, hint: hint.to_owned() }
}
