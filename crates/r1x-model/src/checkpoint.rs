//! Checkpoints: safetensors files plus a small state file, written whole or not at all.
//!
//! A checkpoint is a folder: `model.safetensors` (names as Hugging Face gives them), `optimizer.safetensors`
//! (moments, and the reference when there is one) and `state.json`. It is written under a temporary name,
//! synced, and renamed. Must not know stages or stores.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use r1x_core::port::{Cursor, SavedCheckpoint};
use r1x_ops::Operand;
use safetensors::{Dtype, SafeTensors, View};
use sha2::{Digest, Sha256};

use crate::error::ModelError;
use crate::layout::Layout;
use crate::policy::DecoderPolicy;
use crate::update::{Optimizer, first_not_finite};
use crate::weights::Weights;

/// Most bytes of `state.json`, and of the names and places of tensors before their numbers.
const STATE_BYTES: u64 = 1 << 20;
const HEADER_BYTES: u64 = 64 << 20;

/// What `state.json` holds.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct State {
    format: u32,
    cursor: Cursor,
    updates: u64,
    model_sha256: String,
    optimizer_sha256: String,
}

struct Tensor<'a> {
    shape: Vec<usize>,
    values: &'a [f32],
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().into()
    }
    fn data_len(&self) -> usize {
        self.values.len() * 4
    }
}

type Named<'a> = Vec<(String, Tensor<'a>)>;

/// The numbers of a model on the host: parameters in layout order, selection biases by layer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Numbers {
    pub(crate) values: Vec<f32>,
    pub(crate) biases: Vec<Vec<f32>>,
}

impl Numbers {
    pub(crate) fn lend(&self) -> Lent<'_> {
        Lent { values: &self.values, biases: &self.biases }
    }
}

/// [`Numbers`] of somebody else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lent<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) biases: &'a [Vec<f32>],
}

impl<'a, E: Operand<Real = f32>> From<&'a Weights<E>> for Lent<'a> {
    fn from(weights: &'a Weights<E>) -> Self {
        Self { values: weights.values(), biases: weights.biases() }
    }
}

/// Everything a checkpoint holds besides the place in the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contents<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) weights: Lent<'a>,
    pub(crate) optimizer: &'a Optimizer,
    pub(crate) reference: Option<Lent<'a>>,
}

/// A checkpoint as read.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) weights: Numbers,
    pub(crate) optimizer: Optimizer,
    pub(crate) reference: Option<Numbers>,
    pub(crate) cursor: Cursor,
}

fn parameters<'a>(layout: &Layout, values: &'a [f32], prefix: &str) -> Named<'a> {
    let tensor = |p: &crate::layout::Parameter| Tensor {
        shape: p.shape.clone(),
        values: &values[p.offset..p.offset + p.len()],
    };
    layout.parameters.iter().map(|p| (format!("{prefix}{}", p.name), tensor(p))).collect()
}

fn weights<'a>(layout: &Layout, weights: Lent<'a>, prefix: &str) -> Named<'a> {
    let mut named = parameters(layout, weights.values, prefix);
    for ((name, experts), values) in layout.biases.iter().zip(weights.biases) {
        named.push((format!("{prefix}{name}"), Tensor { shape: vec![*experts], values }));
    }
    named
}

fn serialize(named: Named<'_>) -> Result<Vec<u8>, ModelError> {
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(named, Some(metadata)).map_err(|error| ModelError::Checkpoint {
        path: "(in memory)".to_owned(),
        reason: error.to_string(),
    })
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// sha256 of the weights as they would be saved.
pub(crate) fn weights_sha256(layout: &Layout, lent: Lent<'_>) -> Result<String, ModelError> {
    Ok(sha256(&serialize(weights(layout, lent, ""))?))
}

/// Writes a checkpoint called `name` under `folder`; see [`r1x_core::Policy::save`].
pub(crate) fn save(
    folder: &Path,
    name: &str,
    cursor: &Cursor,
    contents: &Contents<'_>,
) -> Result<SavedCheckpoint, ModelError> {
    let Contents { layout, optimizer, .. } = *contents;
    let model = serialize(weights(layout, contents.weights, ""))?;
    let mut state = parameters(layout, &optimizer.first, "first.");
    state.extend(parameters(layout, &optimizer.second, "second."));
    if let Some(reference) = contents.reference {
        state.extend(weights(layout, reference, "reference."));
    }
    let moments = serialize(state)?;
    let model_sha256 = sha256(&model);
    let json = serde_json::to_vec_pretty(&State {
        format: 1,
        cursor: cursor.clone(),
        updates: optimizer.updates,
        model_sha256: model_sha256.clone(),
        optimizer_sha256: sha256(&moments),
    });
    let json = json.map_err(|error| ModelError::Checkpoint {
        path: name.to_owned(),
        reason: error.to_string(),
    })?;
    let files =
        [("model.safetensors", model), ("optimizer.safetensors", moments), ("state.json", json)];
    let bytes = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    write_folder(&folder.join(name), &files)?;
    Ok(SavedCheckpoint { path: name.to_owned(), sha256: model_sha256, bytes })
}

fn write_folder(folder: &Path, files: &[(&str, Vec<u8>)]) -> Result<(), ModelError> {
    let mut partial = folder.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let result = write_partial(&partial, files).and_then(|()| replace(&partial, folder));
    if result.is_err() {
        // A torn checkpoint must not take space or be mistaken for one; the first error is what counts.
        let _ = fs::remove_dir_all(&partial);
    }
    result.map_err(|source| ModelError::Io { path: folder.display().to_string(), source })
}

fn write_partial(partial: &Path, files: &[(&str, Vec<u8>)]) -> std::io::Result<()> {
    if partial.exists() {
        fs::remove_dir_all(partial)?;
    }
    fs::create_dir_all(partial)?;
    for (name, bytes) in files {
        let mut file = fs::File::create(partial.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    fs::File::open(partial)?.sync_all()
}

fn replace(partial: &Path, folder: &Path) -> std::io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::rename(partial, folder)?;
    match folder.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Most bytes of a file that holds every number of a model up to four times: weights, or moments and a reference.
fn most_bytes(layout: &Layout) -> u64 {
    let biases: usize = layout.biases.iter().map(|(_, experts)| *experts).sum();
    ((layout.len + biases) as u64).saturating_mul(16).saturating_add(HEADER_BYTES)
}

/// The bytes of one file of a checkpoint, with the hash it must have if one is given.
fn read(
    folder: &Path,
    name: &str,
    most_bytes: u64,
    expected: Option<&str>,
) -> Result<Vec<u8>, ModelError> {
    let path = folder.join(name);
    let shown = path.display().to_string();
    let error = |source| ModelError::Io { path: shown.clone(), source };
    let (mut bytes, file) = (Vec::new(), fs::File::open(&path).map_err(error)?);
    file.take(most_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() as u64 > most_bytes {
        let reason = format!("has more than the {most_bytes} bytes that this model could fill");
        return Err(ModelError::Checkpoint { path: shown, reason });
    }
    match expected {
        Some(expected) if sha256(&bytes) != expected => Err(ModelError::Checkpoint {
            path: shown,
            reason: "its bytes do not have the recorded sha256: it was changed or torn".to_owned(),
        }),
        _ => Ok(bytes),
    }
}

struct Source<'a> {
    tensors: SafeTensors<'a>,
    path: String,
}

impl<'a> Source<'a> {
    fn new(bytes: &'a [u8], path: &Path) -> Result<Self, ModelError> {
        let path = path.display().to_string();
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| ModelError::Checkpoint {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self { tensors, path })
    }

    fn fill(&self, name: &str, shape: &[usize], values: &mut [f32]) -> Result<(), ModelError> {
        let error = |reason: String| ModelError::Checkpoint { path: self.path.clone(), reason };
        let tensor =
            self.tensors.tensor(name).map_err(|_| error(format!("has no tensor `{name}`")))?;
        if tensor.shape() != shape || tensor.dtype() != Dtype::F32 {
            return Err(error(format!(
                "`{name}` is {:?} {:?}, the model wants F32 {shape:?}",
                tensor.dtype(),
                tensor.shape()
            )));
        }
        for (value, bytes) in values.iter_mut().zip(tensor.data().chunks_exact(4)) {
            *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Ok(())
    }

    fn fill_parameters(
        &self,
        layout: &Layout,
        prefix: &str,
        values: &mut [f32],
    ) -> Result<(), ModelError> {
        for p in &layout.parameters {
            let range = p.offset..p.offset + p.len();
            self.fill(&format!("{prefix}{}", p.name), &p.shape, &mut values[range])?;
        }
        Ok(())
    }

    fn numbers(&self, layout: &Layout, prefix: &str) -> Result<Numbers, ModelError> {
        let mut values = vec![0.0; layout.len];
        self.fill_parameters(layout, prefix, &mut values)?;
        let bias = |(name, experts): &(String, usize)| {
            let mut bias = vec![0.0; *experts];
            self.fill(&format!("{prefix}{name}"), &[*experts], &mut bias)?;
            Ok(bias)
        };
        let biases = layout.biases.iter().map(bias).collect::<Result<_, ModelError>>()?;
        Ok(Numbers { values, biases })
    }
}

/// The weights of a checkpoint folder.
pub(crate) fn load_weights(folder: &Path, layout: &Layout) -> Result<Numbers, ModelError> {
    let state = read_state(folder)?;
    let path = folder.join("model.safetensors");
    let limit = most_bytes(layout);
    let bytes = read(folder, "model.safetensors", limit, Some(&state.model_sha256))?;
    let numbers = Source::new(&bytes, &path)?.numbers(layout, "")?;
    finite(layout, &numbers.values, &numbers.biases, &path)?;
    Ok(numbers)
}

/// An error that names the first tensor with a number that is not finite.
fn finite(
    layout: &Layout,
    values: &[f32],
    biases: &[Vec<f32>],
    path: &Path,
) -> Result<(), ModelError> {
    match first_not_finite(layout, values, biases) {
        None => Ok(()),
        Some((name, value)) => Err(ModelError::NotFinite {
            path: path.display().to_string(),
            name: name.to_owned(),
            value,
        }),
    }
}

/// Everything of a checkpoint folder.
pub(crate) fn load(folder: &Path, layout: &Layout) -> Result<Loaded, ModelError> {
    let weights = load_weights(folder, layout)?;
    let state = read_state(folder)?;
    let limit = most_bytes(layout);
    let bytes = read(folder, "optimizer.safetensors", limit, Some(&state.optimizer_sha256))?;
    let path = folder.join("optimizer.safetensors");
    let source = Source::new(&bytes, &path)?;
    let mut optimizer = Optimizer::new(layout);
    source.fill_parameters(layout, "first.", &mut optimizer.first)?;
    source.fill_parameters(layout, "second.", &mut optimizer.second)?;
    finite(layout, &optimizer.first, &[], &path)?;
    finite(layout, &optimizer.second, &[], &path)?;
    optimizer.updates = state.updates;
    let has_reference = source.tensors.names().iter().any(|name| name.starts_with("reference."));
    let reference = has_reference.then(|| source.numbers(layout, "reference.")).transpose()?;
    if let Some(reference) = &reference {
        finite(layout, &reference.values, &reference.biases, &path)?;
    }
    Ok(Loaded { weights, optimizer, reference, cursor: state.cursor })
}

/// Packs numbers for the kernels of the CPU.
fn packed<E: Operand<Real = f32>>(layout: &Layout, numbers: &Numbers) -> Weights<E> {
    let mut weights = Weights::zeros(layout);
    weights.edit(layout, 1, |values, biases| {
        values.copy_from_slice(&numbers.values);
        biases.clone_from_slice(&numbers.biases);
    });
    weights
}

impl<E: Operand<Real = f32>> DecoderPolicy<E> {
    pub(crate) fn contents(&self) -> Contents<'_> {
        Contents {
            layout: &self.decoder.layout,
            weights: Lent::from(&self.weights),
            optimizer: &self.optimizer,
            reference: self.reference.as_ref().map(Lent::from),
        }
    }

    /// The current weights in layout order.
    pub(crate) fn values(&self) -> &[f32] {
        self.weights.values()
    }

    /// Loads the weights of a checkpoint folder, to sample from or to start with.
    ///
    /// # Errors
    /// When files are missing, changed, or of another shape.
    pub fn load_weights(&mut self, folder: &Path) -> Result<(), ModelError> {
        let layout = &self.decoder.layout;
        self.weights = packed(layout, &load_weights(folder, layout)?);
        Ok(())
    }

    /// Loads everything of a checkpoint folder and returns where to go on.
    ///
    /// # Errors
    /// When files are missing, changed, or of another shape.
    pub fn load(&mut self, folder: &Path) -> Result<Cursor, ModelError> {
        let layout = &self.decoder.layout;
        let loaded = load(folder, layout)?;
        self.weights = packed(layout, &loaded.weights);
        self.reference = loaded.reference.as_ref().map(|numbers| packed(layout, numbers));
        self.optimizer = loaded.optimizer;
        Ok(loaded.cursor)
    }
}

fn read_state(folder: &Path) -> Result<State, ModelError> {
    let bytes = read(folder, "state.json", STATE_BYTES, None)?;
    let error = |reason: String| ModelError::Checkpoint {
        path: folder.join("state.json").display().to_string(),
        reason,
    };
    let state: State = serde_json::from_slice(&bytes).map_err(|e| error(e.to_string()))?;
    if state.format != 1 {
        return Err(error(format!("has format {}, this r1x reads format 1", state.format)));
    }
    Ok(state)
}
