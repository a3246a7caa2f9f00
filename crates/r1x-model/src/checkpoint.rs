//! Checkpoints: safetensors files plus a small state file, written whole or not at all.
//!
//! A checkpoint is a folder: `model.safetensors` (names as Hugging Face gives them), `optimizer.safetensors`
//! (moments, and the reference when there is one) and `state.json`. It is written under a temporary name,
//! synced, and renamed. Must not know stages or stores.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use r1x_core::port::{Cursor, SavedCheckpoint};
use safetensors::{Dtype, SafeTensors, View};
use sha2::{Digest, Sha256};

use crate::error::ModelError;
use crate::layout::Layout;
use crate::policy::DecoderPolicy;
use crate::weights::Weights;

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

fn parameters<'a>(layout: &Layout, values: &'a [f32], prefix: &str) -> Named<'a> {
    let tensor = |p: &crate::layout::Parameter| Tensor {
        shape: p.shape.clone(),
        values: &values[p.offset..p.offset + p.len()],
    };
    layout.parameters.iter().map(|p| (format!("{prefix}{}", p.name), tensor(p))).collect()
}

fn weights<'a>(layout: &Layout, weights: &'a Weights<f32>, prefix: &str) -> Named<'a> {
    let mut named = parameters(layout, weights.values(), prefix);
    for ((name, experts), values) in layout.biases.iter().zip(weights.biases()) {
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

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// sha256 of the weights as they would be saved.
pub(crate) fn weights_sha256(policy: &DecoderPolicy) -> Result<String, ModelError> {
    Ok(sha256(&serialize(weights(&policy.decoder.layout, &policy.weights, ""))?))
}

/// See [`r1x_core::Policy::save`].
pub(crate) fn save(
    policy: &DecoderPolicy,
    name: &str,
    cursor: &Cursor,
) -> Result<SavedCheckpoint, ModelError> {
    let layout = &policy.decoder.layout;
    let model = serialize(weights(layout, &policy.weights, ""))?;
    let mut state = parameters(layout, &policy.optimizer.first, "first.");
    state.extend(parameters(layout, &policy.optimizer.second, "second."));
    if let Some(reference) = &policy.reference {
        state.extend(weights(layout, reference, "reference."));
    }
    let optimizer = serialize(state)?;
    let model_sha256 = sha256(&model);
    let json = serde_json::to_vec_pretty(&State {
        format: 1,
        cursor: cursor.clone(),
        updates: policy.optimizer.updates,
        model_sha256: model_sha256.clone(),
        optimizer_sha256: sha256(&optimizer),
    });
    let json = json.map_err(|error| ModelError::Checkpoint {
        path: name.to_owned(),
        reason: error.to_string(),
    })?;
    let files =
        [("model.safetensors", model), ("optimizer.safetensors", optimizer), ("state.json", json)];
    let bytes = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    write_folder(&policy.folder.join(name), &files)?;
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

/// The bytes of one file of a checkpoint, with the hash it must have if one is given.
fn read(folder: &Path, name: &str, expected: Option<&str>) -> Result<Vec<u8>, ModelError> {
    let path = folder.join(name);
    let shown = path.display().to_string();
    let bytes = fs::read(&path).map_err(|source| ModelError::Io { path: shown.clone(), source })?;
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

    fn weights(&self, layout: &Layout, prefix: &str) -> Result<Weights<f32>, ModelError> {
        let mut weights = Weights::zeros(layout);
        weights.edit(layout, |values, biases| {
            self.fill_parameters(layout, prefix, values)?;
            for ((name, experts), values) in layout.biases.iter().zip(biases) {
                self.fill(&format!("{prefix}{name}"), &[*experts], values)?;
            }
            Ok::<(), ModelError>(())
        })?;
        Ok(weights)
    }
}

impl DecoderPolicy {
    /// Loads the weights of a checkpoint folder, to sample from or to start with.
    ///
    /// # Errors
    /// When files are missing, changed, or of another shape.
    pub fn load_weights(&mut self, folder: &Path) -> Result<(), ModelError> {
        let state = read_state(folder)?;
        let bytes = read(folder, "model.safetensors", Some(&state.model_sha256))?;
        let source = Source::new(&bytes, &folder.join("model.safetensors"))?;
        self.weights = source.weights(&self.decoder.layout, "")?;
        Ok(())
    }

    /// Loads everything of a checkpoint folder and returns where to go on.
    ///
    /// # Errors
    /// When files are missing, changed, or of another shape.
    pub fn load(&mut self, folder: &Path) -> Result<Cursor, ModelError> {
        self.load_weights(folder)?;
        let state = read_state(folder)?;
        let bytes = read(folder, "optimizer.safetensors", Some(&state.optimizer_sha256))?;
        let source = Source::new(&bytes, &folder.join("optimizer.safetensors"))?;
        let layout = &self.decoder.layout;
        source.fill_parameters(layout, "first.", &mut self.optimizer.first)?;
        source.fill_parameters(layout, "second.", &mut self.optimizer.second)?;
        self.optimizer.updates = state.updates;
        let has_reference =
            source.tensors.names().iter().any(|name| name.starts_with("reference."));
        self.reference = has_reference.then(|| source.weights(layout, "reference.")).transpose()?;
        Ok(state.cursor)
    }
}

fn read_state(folder: &Path) -> Result<State, ModelError> {
    let bytes = read(folder, "state.json", None)?;
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
