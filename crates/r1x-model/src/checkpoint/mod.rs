//! Checkpoints: safetensors files plus a small state file, written whole or not at all.
//!
//! A checkpoint is a folder: `model.safetensors` (names as Hugging Face gives them), `optimizer.safetensors`
//! (moments, and frozen copies of earlier weights where there are any) and `state.json`, which names the run it
//! belongs to and the hashes of the other two. A critic that learns beside the model has a folder `critic` in it, a checkpoint
//! of its own, whose state the outer one names by its hash. What is read was perhaps written by somebody else: nothing of it is
//! taken before it was compared. A checkpoint holds numbers in the order of a layout.

mod average;
mod folder;
mod intact;
mod read;
mod share;
mod state;
mod tensors;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use r1x_core::digest::sha256;
use r1x_core::plan::ModelPlan;
use r1x_core::port::{Cursor, REFERENCE, SavedCheckpoint};

pub(crate) use self::average::average;
use self::folder::torn;
pub use self::folder::{PARTIAL, REPLACED, remove, take_back};
pub use self::intact::intact;
use self::read::{Moments, Shelf};
pub use self::share::share;
pub(crate) use self::state::STATE;
pub use self::state::SavedCursor;
use self::state::{FORMAT, State};
pub(crate) use self::tensors::{Numbers, Sink, Values};
use self::tensors::{parameters, weights};
use crate::error::ModelError;
use crate::layout::{Layout, Parameter};
use crate::update::Optimizer;

const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
/// The folder inside a checkpoint that is the checkpoint of a critic.
pub const CRITIC: &str = "critic";

/// Where a run keeps its checkpoints, and what they say whose they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// The folder under which they go.
    pub folder: PathBuf,
    /// Identity of the run; empty outside of runs.
    pub run: String,
    /// sha256 of the weights of checkpoints that were recorded before, hex, by their names.
    pub recorded: BTreeMap<String, String>,
}

impl Home {
    /// A folder that belongs to no run.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder, ..Self::default() }
    }

    /// What is known of a checkpoint of this name.
    pub fn expected(&self, name: &str) -> Expected<'_> {
        let weights_sha256 = self.recorded.get(name).map(String::as_str);
        Expected { weights_sha256, ..Expected::of_run(&self.run) }
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

impl<'a> Expected<'a> {
    /// Nothing is known.
    pub const ANYTHING: Expected<'static> =
        Expected { weights_sha256: None, state_sha256: None, run: None };

    /// A checkpoint with these weights, of whatever run.
    pub fn with_weights(sha256: &'a str) -> Self {
        Expected { weights_sha256: Some(sha256), ..Expected::ANYTHING }
    }

    /// A checkpoint of the run with this identity, which is empty outside of runs.
    pub fn of_run(run: &'a str) -> Self {
        Expected { run: Some(run).filter(|run| !run.is_empty()), ..Expected::ANYTHING }
    }
}

/// What a checkpoint says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Identity of the run it belongs to; none in those of earlier versions.
    pub run: Option<String>,
    /// Where to go on.
    pub cursor: SavedCursor,
    /// Updates of the optimizer that its moments have seen.
    pub updates: u64,
    /// sha256 of the weights file, hex.
    pub weights_sha256: String,
    /// sha256 of `state.json` itself, hex.
    pub state_sha256: String,
    /// sha256 of the `state.json` of the critic in it, hex; `None` where it holds none.
    pub critic_state_sha256: Option<String>,
}

/// Writes the checkpoint of a critic, called [`CRITIC`], at a home inside of a checkpoint that is being written.
pub type WriteInside<'w> = &'w dyn Fn(&Home) -> Result<SavedCheckpoint, ModelError>;

/// Everything a checkpoint holds besides the place in the run.
#[derive(Clone)]
pub(crate) struct Contents<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) weights: &'a dyn Values,
    pub(crate) optimizer: &'a Optimizer,
    /// Copies of earlier weights, by name.
    pub(crate) copies: Vec<(&'a str, CopyKind, &'a dyn Values)>,
}

/// What becomes of a copy of earlier weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyKind {
    /// The copy stays as it is.
    Fixed,
    /// The copy follows the weights that learn.
    Following,
}

/// A checkpoint as read, its copies of earlier weights as whatever takes them.
#[derive(Clone, Debug)]
pub(crate) struct Loaded<F> {
    pub(crate) weights: Numbers,
    pub(crate) optimizer: Optimizer,
    pub(crate) copies: BTreeMap<String, (CopyKind, F)>,
    pub(crate) place: Place,
}

/// sha256 of the weights as they would be saved.
pub(crate) fn weights_sha256(layout: &Layout, values: &dyn Values) -> Result<String, ModelError> {
    let hashed = folder::hash(|to| tensors::write(weights(layout, values, ""), to));
    hashed.map_err(|source| ModelError::Io { path: "(in memory)".to_owned(), source })
}

/// Frozen copies that a model keeps at most.
const MOST_FROZEN: usize = 6;

/// What the names of a copy's tensors begin with.
fn prefix(name: &str, kind: CopyKind) -> String {
    match kind {
        CopyKind::Fixed if name == REFERENCE => format!("{REFERENCE}."),
        CopyKind::Fixed => format!("{FROZEN}{name}."),
        CopyKind::Following => format!("{FOLLOWING}{name}."),
    }
}

const FROZEN: &str = "frozen.";
const FOLLOWING: &str = "following.";

/// The names of the copies that some tensors belong to, and what becomes of each.
fn copy_names<'n>(tensors: impl Iterator<Item = &'n str>) -> BTreeMap<String, CopyKind> {
    let named = |tensor: &str, begins: &str, kind| {
        let (name, _) = tensor.strip_prefix(begins)?.split_once('.')?;
        Some((name.to_owned(), kind))
    };
    let reference = (REFERENCE.to_owned(), CopyKind::Fixed);
    let reference_prefix = prefix(REFERENCE, CopyKind::Fixed);
    let name = |tensor: &str| {
        let is_reference = tensor.starts_with(&reference_prefix);
        named(tensor, FROZEN, CopyKind::Fixed)
            .or_else(|| named(tensor, FOLLOWING, CopyKind::Following))
            .or_else(|| is_reference.then(|| reference.clone()))
    };
    tensors.filter_map(name).collect()
}

/// An error when weights cannot be kept under a name beside those that are kept already.
pub(crate) fn check_frozen<'n>(
    name: &str,
    mut kept: impl ExactSizeIterator<Item = &'n String>,
) -> Result<(), ModelError> {
    let fail = |reason: String| Err(ModelError::Freeze { name: name.to_owned(), reason });
    if name.is_empty() || name.contains('.') {
        return fail("a name has no dot, and at least one character".to_owned());
    }
    if kept.len() >= MOST_FROZEN && !kept.any(|known| known == name) {
        return fail(format!("{MOST_FROZEN} copies are kept already"));
    }
    Ok(())
}

/// Writes a checkpoint called `name` at home; see [`r1x_core::Learner::save`]. The critic that learns beside the model, where
/// there is one, has a folder of its own in it, so that both appear at once.
pub(crate) fn save(
    home: &Home,
    name: &str,
    cursor: &Cursor,
    contents: &Contents<'_>,
    critic: Option<WriteInside<'_>>,
) -> Result<SavedCheckpoint, ModelError> {
    let folder = home.folder.join(name);
    folder::write(&folder, |partial| {
        let inside = Home { folder: partial.to_owned(), run: home.run.clone(), ..Home::default() };
        let critic = critic.map(|write| write(&inside)).transpose()?;
        let saved = fill(partial, (home, name, cursor), contents, critic.as_ref());
        let saved = saved.map_err(|error| folder::failed(&folder, error))?;
        let of_critic = critic.map_or(0, |critic| critic.bytes);
        Ok(SavedCheckpoint { path: name.to_owned(), bytes: saved.bytes + of_critic, ..saved })
    })
}

/// Writes the files of a checkpoint into an empty folder.
fn fill(
    folder: &Path,
    (home, name, cursor): (&Home, &str, &Cursor),
    contents: &Contents<'_>,
    critic: Option<&SavedCheckpoint>,
) -> io::Result<SavedCheckpoint> {
    let Contents { layout, optimizer, .. } = contents;
    let model = folder::file(folder, MODEL, |to| {
        tensors::write(weights(layout, contents.weights, ""), to)
    })?;
    let mut state = parameters(layout, &optimizer.first, "first.");
    state.extend(parameters(layout, &optimizer.second, "second."));
    for (name, kind, copy) in &contents.copies {
        state.extend(weights(layout, *copy, &prefix(name, *kind)));
    }
    let moments = folder::file(folder, OPTIMIZER, |to| tensors::write(state, to))?;
    let state = State {
        format: FORMAT,
        run: home.run.clone(),
        cursor: cursor.into(),
        updates: optimizer.updates,
        model_sha256: model.sha256.clone(),
        optimizer_sha256: moments.sha256,
        critic_state_sha256: critic.map(|critic| critic.state_sha256.clone()),
        is_critic: name == CRITIC,
        seal: String::new(),
    };
    let state = state.write(folder)?;
    Ok(SavedCheckpoint {
        path: String::new(),
        sha256: model.sha256,
        state_sha256: state.sha256,
        bytes: model.bytes + moments.bytes + state.bytes,
    })
}

/// The weights of a checkpoint folder.
pub(crate) fn load_weights(
    folder: &Path,
    layout: &Layout,
    expected: &Expected<'_>,
) -> Result<Numbers, ModelError> {
    let mut numbers = Numbers::zeros(layout, layout.trained());
    take_weights(folder, layout, expected, &mut numbers)?;
    Ok(numbers)
}

/// The weights of a checkpoint folder; of a value head, the numbers that are given. They may be those of a model that
/// writes, whose head is left where it is.
pub(crate) fn load_body(
    folder: &Path,
    layout: &Layout,
    expected: &Expected<'_>,
    mut numbers: Numbers,
) -> Result<Numbers, ModelError> {
    let (state, _) = State::read(folder, expected)?;
    read::read((folder, MODEL), layout, &state.model_sha256, |_| {
        let shelf = Shelf::weights(layout, "", &mut numbers);
        vec![layout.value_head().into_iter().fold(shelf, |shelf, head| shelf.without(&head.name))]
    })?;
    Ok(numbers)
}

/// Hands the weights of a checkpoint folder to something that forgets them where this fails.
pub(crate) fn take_weights(
    folder: &Path,
    layout: &Layout,
    expected: &Expected<'_>,
    sink: &mut dyn Sink,
) -> Result<(), ModelError> {
    let (state, _) = State::read(folder, expected)?;
    weights_of(folder, layout, &state, sink)
}

fn weights_of(
    folder: &Path,
    layout: &Layout,
    state: &State,
    sink: &mut dyn Sink,
) -> Result<(), ModelError> {
    read::read((folder, MODEL), layout, &state.model_sha256, |_| {
        vec![Shelf::weights(layout, "", sink)]
    })
}

/// Everything of a checkpoint folder; `copy` makes what takes a copy of earlier weights.
pub(crate) fn load<F: Sink>(
    folder: &Path,
    layout: &Layout,
    expected: &Expected<'_>,
    copy: impl Fn(CopyKind) -> F,
) -> Result<Loaded<F>, ModelError> {
    let (state, state_sha256) = State::read(folder, expected)?;
    let mut weights = Numbers::zeros(layout, layout.trained());
    weights_of(folder, layout, &state, &mut weights)?;
    let mut optimizer = Optimizer::new(layout);
    let (mut copies, start) = (BTreeMap::new(), layout.trained().range.start);
    let [mut first, mut second] =
        [&mut optimizer.first, &mut optimizer.second].map(|moments| Moments(moments, start));
    read::read((folder, OPTIMIZER), layout, &state.optimizer_sha256, |names| {
        let names = copy_names(names.iter().map(String::as_str));
        copies.extend(names.into_iter().map(|(name, kind)| (name, (kind, copy(kind)))));
        let mut shelves = vec![
            Shelf::parameters(layout, "first.", &mut first),
            Shelf::parameters(layout, "second.", &mut second),
        ];
        for (name, (kind, copy)) in &mut copies {
            shelves.push(Shelf::weights(layout, &prefix(name, *kind), copy));
        }
        shelves
    })?;
    if optimizer.second.iter().any(|value| *value < 0.0) {
        return Err(torn(folder, OPTIMIZER, "a mean of squares is below zero"));
    }
    optimizer.updates = state.updates;
    Ok(Loaded { weights, optimizer, copies, place: state.place(state_sha256) })
}

/// Reads all of a checkpoint that a model is to begin with, and keeps nothing.
///
/// # Errors
/// When files are missing or changed, are not what is expected, or hold other weights than the model trains.
pub fn check(folder: &Path, plan: &ModelPlan, expected: &Expected<'_>) -> Result<(), ModelError> {
    take_weights(folder, &Layout::new(plan), expected, &mut Nobody)
}

/// Takes numbers and keeps none.
struct Nobody;

impl Sink for Nobody {
    fn take(&mut self, _: &Parameter, _: usize, _: &[f32]) {}

    fn take_biases(&mut self, _: usize, _: &[f32]) {}
}

/// What a checkpoint folder says about itself; its numbers are not looked at.
///
/// # Errors
/// When there is no state, or it was changed, or is that of a critic, which is a part of a checkpoint.
pub fn place(folder: &Path) -> Result<Place, ModelError> {
    let (state, state_sha256) = State::read(folder, &Expected::ANYTHING)?;
    if state.is_critic {
        let reason = "it is of the critic of a stage: name the checkpoint that it lies in";
        return Err(torn(folder, STATE, reason));
    }
    Ok(state.place(state_sha256))
}
