//! Checkpoints: safetensors files plus a small state file, written whole or not at all.
//!
//! A checkpoint is a folder: `model.safetensors` (names as Hugging Face gives them), `optimizer.safetensors`
//! (moments, and the reference when there is one) and `state.json`, which names the run it belongs to and the hashes
//! of the other two. It is written under a temporary name, synced, and renamed. What is read was perhaps written by
//! somebody else: nothing of it is taken before it was compared. Must not know stages or stores.

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

const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";

/// More than any state takes, bytes.
const MOST_STATE_BYTES: u64 = 64 << 10;

/// Most bytes of the names and places of tensors before their numbers.
const HEADER_BYTES: u64 = 64 << 20;

/// What `state.json` holds. Format 1 had neither `run` nor `seal`.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct State {
    format: u32,
    /// Identity of the run it belongs to; empty outside of runs.
    #[serde(default)]
    run: String,
    cursor: Cursor,
    updates: u64,
    model_sha256: String,
    optimizer_sha256: String,
    /// sha256 over everything above. It keeps nobody from changing things who means to, but whoever edits the file
    /// finds out.
    #[serde(default)]
    seal: String,
}

/// The format that is written.
const FORMAT: u32 = 2;

impl State {
    fn sealed(self) -> Result<Self, serde_json::Error> {
        let open = Self { seal: String::new(), ..self };
        let seal = sha256(&serde_json::to_vec(&open)?);
        Ok(Self { seal, ..open })
    }

    fn place(self, state_sha256: String) -> Place {
        let Self { format, run, cursor, updates, model_sha256, .. } = self;
        let run = (format > 1 && !run.is_empty()).then_some(run);
        Place { run, cursor, updates, weights_sha256: model_sha256, state_sha256 }
    }
}

/// Where a run keeps its checkpoints, and what they say whose they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// The folder under which they go.
    pub folder: PathBuf,
    /// Identity of the run; empty outside of runs.
    pub run: String,
}

impl Home {
    /// A folder that belongs to no run.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder, run: String::new() }
    }
}

/// What is known of a checkpoint before it is read. What is not known is not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected<'a> {
    /// sha256 of the weights file, hex.
    pub weights_sha256: Option<&'a str>,
    /// sha256 of `state.json`, hex.
    pub state_sha256: Option<&'a str>,
    /// Identity of the run it must belong to, where it says to which it does.
    pub run: Option<&'a str>,
}

impl Expected<'_> {
    /// Nothing is known.
    pub const ANYTHING: Expected<'static> =
        Expected { weights_sha256: None, state_sha256: None, run: None };
}

/// What a checkpoint says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Identity of the run it belongs to; none in those of earlier versions.
    pub run: Option<String>,
    /// Where to go on.
    pub cursor: Cursor,
    /// Updates of the optimizer that its moments have seen.
    pub updates: u64,
    /// sha256 of the weights file, hex.
    pub weights_sha256: String,
    /// sha256 of `state.json` itself, hex.
    pub state_sha256: String,
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
    pub(crate) place: Place,
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

/// Writes a checkpoint called `name` at home; see [`r1x_core::Policy::save`].
pub(crate) fn save(
    home: &Home,
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
    let state = State {
        format: FORMAT,
        run: home.run.clone(),
        cursor: cursor.clone(),
        updates: optimizer.updates,
        model_sha256: model_sha256.clone(),
        optimizer_sha256: sha256(&moments),
        seal: String::new(),
    };
    let json = state.sealed().and_then(|state| serde_json::to_vec_pretty(&state));
    let json = json.map_err(|error| ModelError::Checkpoint {
        path: name.to_owned(),
        reason: error.to_string(),
    })?;
    let state_sha256 = sha256(&json);
    let files = [(MODEL, model), (OPTIMIZER, moments), (STATE, json)];
    let bytes = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    write_folder(&home.folder.join(name), &files)?;
    Ok(SavedCheckpoint { path: name.to_owned(), sha256: model_sha256, state_sha256, bytes })
}

/// The folder with something behind its name.
fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// What a folder is called while it is being written.
pub const PARTIAL: &str = ".partial";
/// What a folder is called for the moment in which another one takes its name.
pub const REPLACED: &str = ".replaced";

fn write_folder(folder: &Path, files: &[(&str, Vec<u8>)]) -> Result<(), ModelError> {
    let partial = beside(folder, PARTIAL);
    let result = write_partial(&partial, files).and_then(|()| replace(&partial, folder));
    if result.is_err() {
        // A torn checkpoint must not take space or be mistaken for one; the first error is what counts.
        let _ = fs::remove_dir_all(&partial);
    }
    result.map_err(|source| ModelError::Io { path: folder.display().to_string(), source })
}

fn write_partial(partial: &Path, files: &[(&str, Vec<u8>)]) -> std::io::Result<()> {
    remove(partial)?;
    fs::create_dir_all(partial)?;
    for (name, bytes) in files {
        let mut file = fs::File::create(partial.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    sync_folder(partial)
}

/// Gives the new folder its name. An old one of the name stays whole until then: whoever is stopped in between leaves
/// one of them.
fn replace(partial: &Path, folder: &Path) -> std::io::Result<()> {
    let replaced = beside(folder, REPLACED);
    remove(&replaced)?;
    if folder.exists() {
        fs::rename(folder, &replaced)?;
    }
    fs::rename(partial, folder)?;
    // The names of the folder, of the stage's folder and of the run's may all be new.
    folder.ancestors().skip(1).take(3).filter(|above| above.exists()).try_for_each(sync_folder)?;
    remove(&replaced)
}

fn remove(folder: &Path) -> std::io::Result<()> {
    if folder.exists() { fs::remove_dir_all(folder) } else { Ok(()) }
}

/// Makes the names in a folder outlast a power cut, where folders can be opened.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

/// The bytes of one file of a checkpoint, of at most so many.
fn read(folder: &Path, name: &str, limit_bytes: u64) -> Result<Vec<u8>, ModelError> {
    let path = folder.join(name);
    let shown = path.display().to_string();
    let error = |source| ModelError::Io { path: shown.clone(), source };
    let (mut bytes, file) = (Vec::new(), r1x_files::open(&path).map_err(error)?);
    file.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() as u64 > limit_bytes {
        let reason = format!("has more than the {limit_bytes} bytes that this model could fill");
        return Err(ModelError::Checkpoint { path: shown, reason });
    }
    Ok(bytes)
}

fn torn(folder: &Path, name: &str, reason: impl Into<String>) -> ModelError {
    ModelError::Checkpoint { path: folder.join(name).display().to_string(), reason: reason.into() }
}

/// An error unless the bytes have the hash that the state gives.
fn check_hash(folder: &Path, name: &str, bytes: &[u8], expected: &str) -> Result<(), ModelError> {
    if sha256(bytes) == expected {
        return Ok(());
    }
    let reason = "its bytes do not have the recorded sha256: it was changed or torn";
    Err(torn(folder, name, reason))
}

/// Most bytes of a file that holds every number of a model up to four times: weights, or moments and a reference.
fn most_bytes(layout: &Layout) -> u64 {
    let biases: usize = layout.biases.iter().map(|(_, experts)| *experts).sum();
    ((layout.len + biases) as u64).saturating_mul(16).saturating_add(HEADER_BYTES)
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
pub(crate) fn load_weights(
    folder: &Path,
    layout: &Layout,
    expected: &Expected<'_>,
) -> Result<Numbers, ModelError> {
    let (state, _) = read_state(folder, expected)?;
    weights_of(folder, layout, &state)
}

fn weights_of(folder: &Path, layout: &Layout, state: &State) -> Result<Numbers, ModelError> {
    let bytes = read(folder, MODEL, most_bytes(layout))?;
    check_hash(folder, MODEL, &bytes, &state.model_sha256)?;
    let path = folder.join(MODEL);
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
pub(crate) fn load(
    folder: &Path,
    layout: &Layout,
    expected: &Expected<'_>,
) -> Result<Loaded, ModelError> {
    let (state, state_sha256) = read_state(folder, expected)?;
    let weights = weights_of(folder, layout, &state)?;
    let bytes = read(folder, OPTIMIZER, most_bytes(layout))?;
    check_hash(folder, OPTIMIZER, &bytes, &state.optimizer_sha256)?;
    let path = folder.join(OPTIMIZER);
    let source = Source::new(&bytes, &path)?;
    let mut optimizer = Optimizer::new(layout);
    source.fill_parameters(layout, "first.", &mut optimizer.first)?;
    source.fill_parameters(layout, "second.", &mut optimizer.second)?;
    finite(layout, &optimizer.first, &[], &path)?;
    finite(layout, &optimizer.second, &[], &path)?;
    if optimizer.second.iter().any(|value| *value < 0.0) {
        return Err(torn(folder, OPTIMIZER, "a mean of squares is below zero"));
    }
    optimizer.updates = state.updates;
    let has_reference = source.tensors.names().iter().any(|name| name.starts_with("reference."));
    let reference = has_reference.then(|| source.numbers(layout, "reference.")).transpose()?;
    if let Some(reference) = &reference {
        finite(layout, &reference.values, &reference.biases, &path)?;
    }
    Ok(Loaded { weights, optimizer, reference, place: state.place(state_sha256) })
}

/// What a checkpoint folder says about itself; its numbers are not looked at.
///
/// # Errors
/// When there is no state, or it was changed.
pub fn place(folder: &Path) -> Result<Place, ModelError> {
    let (state, state_sha256) = read_state(folder, &Expected::ANYTHING)?;
    Ok(state.place(state_sha256))
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
    /// When files are missing, changed, of another shape, or not what is expected.
    pub fn load_weights(
        &mut self,
        folder: &Path,
        expected: &Expected<'_>,
    ) -> Result<(), ModelError> {
        let layout = &self.decoder.layout;
        self.weights = packed(layout, &load_weights(folder, layout, expected)?);
        Ok(())
    }

    /// Loads everything of a checkpoint folder and returns where to go on.
    ///
    /// # Errors
    /// When files are missing, changed, of another shape, or not what is expected.
    pub fn load(&mut self, folder: &Path, expected: &Expected<'_>) -> Result<Place, ModelError> {
        let layout = &self.decoder.layout;
        let loaded = load(folder, layout, expected)?;
        self.weights = packed(layout, &loaded.weights);
        self.reference = loaded.reference.as_ref().map(|numbers| packed(layout, numbers));
        self.optimizer = loaded.optimizer;
        Ok(loaded.place)
    }
}

/// The state of a checkpoint, compared with what is known of it, and its hash.
fn read_state(folder: &Path, expected: &Expected<'_>) -> Result<(State, String), ModelError> {
    let bytes = read(folder, STATE, MOST_STATE_BYTES)?;
    let state_sha256 = sha256(&bytes);
    let error = |reason: &str| Err(torn(folder, STATE, reason));
    let state: State =
        serde_json::from_slice(&bytes).map_err(|e| torn(folder, STATE, e.to_string()))?;
    if state.format == 0 || state.format > FORMAT {
        let found = state.format;
        return error(&format!("has format {found}, this r1x reads formats 1 to {FORMAT}"));
    }
    if state.format > 1 {
        let sealed = state.clone().sealed().map_err(|e| torn(folder, STATE, e.to_string()))?;
        if sealed.seal != state.seal {
            return error("it was changed after it was written");
        }
        if expected.run.is_some_and(|run| run != state.run) {
            return error("it belongs to another run");
        }
    }
    if expected.weights_sha256.is_some_and(|known| known != state.model_sha256) {
        return error("it belongs to other weights than those that were recorded");
    }
    if expected.state_sha256.is_some_and(|known| known != state_sha256) {
        return error(
            "it is not the state that was recorded: it was changed, or is of another run",
        );
    }
    Ok((state, state_sha256))
}
