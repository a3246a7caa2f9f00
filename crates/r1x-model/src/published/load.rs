//! From published weight files into the places of a layout, one tensor at a time.
//!
//! The numbers of a model take their own memory and no more: a tensor is read straight into its place. Everything that
//! does not fit is found before the first number is read, and said at once.

use std::collections::BTreeSet;
use std::ops::Range;

use r1x_weights::WeightFiles;

use super::MissingHead;
use super::gguf::names::into_halves;
use super::names::{EMBEDDING, HEAD, Naming, Place, mtp_copies};
use crate::checkpoint::{Numbers, Sink};
use crate::error::ModelError;
use crate::layout::{Layout, Parameter};
use crate::update::not_finite_in;

/// Names of one kind that a message shows at most.
const MOST_SHOWN: usize = 6;
/// Numbers that are handed on at a time, unless a row has more.
const PIECE: usize = 1 << 18;

/// What a model has and the files lack, and the other way round.
#[derive(Debug, Default)]
pub(super) struct Differences {
    pub(super) missing: Vec<String>,
    pub(super) misshapen: Vec<String>,
    pub(super) surplus: Vec<String>,
}

impl Differences {
    /// The error that the tensors of some files are not those of something.
    pub(super) fn error(mut self, files: &WeightFiles, whose: &str) -> Option<ModelError> {
        // A tensor of all experts is missed by each of them.
        for names in [&mut self.missing, &mut self.misshapen] {
            let mut seen = BTreeSet::new();
            names.retain(|name| seen.insert(name.clone()));
        }
        let kinds = [
            ("missing", &self.missing),
            ("misshapen", &self.misshapen),
            ("surplus", &self.surplus),
        ];
        let said = kinds.into_iter().filter(|(_, names)| !names.is_empty()).map(|(kind, names)| {
            let shown = &names[..names.len().min(MOST_SHOWN)];
            let more = match names.len() - shown.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{} {kind}: {}{more}", names.len(), shown.join(", "))
        });
        let said: Vec<String> = said.collect();
        (!said.is_empty()).then(|| ModelError::Published {
            path: files.path().display().to_string(),
            reason: format!("its tensors are not those of {whose}: {}", said.join("; ")),
        })
    }
}

/// Weight files in which every tensor of a model has its place.
#[derive(Debug)]
pub struct Tensors {
    files: WeightFiles,
    /// The parameters of the layout in order, then its selection biases.
    all: Vec<(Parameter, Place)>,
    /// How many of them are parameters.
    parameters: usize,
    /// The value head of the layout, where the files have none.
    missing_head: Option<Parameter>,
}

impl Tensors {
    /// Finds every tensor of a layout in weight files.
    ///
    /// # Errors
    /// When tensors are missing, surplus or misshapen, all of which are named, or when a matrix that repeats another one
    /// differs from it.
    pub fn find(
        files: WeightFiles,
        layout: &Layout,
        naming: Naming,
        missing: MissingHead,
    ) -> Result<Self, ModelError> {
        let mut differences = Differences::default();
        let (mut all, mut used) = (Vec::new(), BTreeSet::new());
        let is_drawn = |parameter: &Parameter| {
            missing != MissingHead::Refused && layout.value_head() == Some(parameter)
        };
        let mut missing_head = None;
        for parameter in
            layout.base.parameters.iter().cloned().chain(layout.biases.iter().map(bias))
        {
            match naming.find(&files, &parameter) {
                None if is_drawn(&parameter) => missing_head = Some(parameter),
                None => differences.missing.push(naming.name(&parameter.name)),
                Some(place) => {
                    used.insert(place.name.clone());
                    differences.misshapen.extend(misfit(&files, &parameter, &place));
                    all.push((parameter, place));
                }
            }
        }
        let is_tied = layout.head.is_tied(layout.embedding);
        // The head that a model writes with is beside one that says values.
        let is_unused = |name: &str| missing_head.is_some() && name == naming.name(HEAD);
        let names = files.tensors().iter().map(|tensor| tensor.name());
        let is_surplus = |name: &&str| {
            let is_beside = naming.is_beside(name, layout.layers.len(), is_tied);
            !used.contains(*name) && !is_beside && !is_unused(name)
        };
        differences.surplus = names.filter(is_surplus).map(str::to_owned).collect();
        if let Some(error) = differences.error(&files, "its configuration") {
            return Err(error);
        }
        let parameters = layout.base.parameters.len() - usize::from(missing_head.is_some());
        let found = Self { files, all, parameters, missing_head };
        if is_tied {
            found.check_equal(HEAD, EMBEDDING, "`tie_word_embeddings` is true")?;
        }
        let first = layout.layers.len();
        for layer in first..first + layout.mtp.len() {
            let [embedding, head] = mtp_copies(layer);
            let shared = "the modules of multi-token prediction share both with the model";
            found.check_equal(&embedding, EMBEDDING, shared)?;
            found.check_equal(&head, if is_tied { EMBEDDING } else { HEAD }, shared)?;
        }
        Ok(found)
    }

    /// The tensors with their places, those of the layout in order, then its selection biases.
    pub fn all(&self) -> &[(Parameter, Place)] {
        &self.all
    }

    /// The value head of the layout, where the files have none: its numbers are zeros in [`Tensors::numbers`].
    pub fn missing_head(&self) -> Option<&Parameter> {
        self.missing_head.as_ref()
    }

    /// The files.
    pub fn files(&self) -> &WeightFiles {
        &self.files
    }

    /// Reads the numbers of one tensor, its rows in the order of this program.
    ///
    /// # Errors
    /// When the file cannot be read, or its numbers are of a type that is not.
    pub fn read(&self, index: usize, to: &mut [f32]) -> Result<(), ModelError> {
        let (parameter, place) = &self.all[index];
        match &place.rows {
            None => self.files.read(&place.name, to)?,
            Some(rows) => self.files.read_rows(&place.name, rows.clone(), to)?,
        }
        if let (Some(heads), Some(rows)) = (place.paired_heads, parameter.shape.first()) {
            into_halves(to, *rows, heads);
        }
        Ok(())
    }

    /// Reads every number of the model.
    ///
    /// # Errors
    /// When a tensor cannot be read, and when a number is not finite.
    pub fn numbers(&self, layout: &Layout) -> Result<Numbers, ModelError> {
        let mut numbers = Numbers::zeros(layout, &layout.base);
        for (index, (parameter, _)) in self.all.iter().enumerate() {
            let to = match index.checked_sub(self.parameters) {
                None => &mut numbers.values[parameter.range()],
                Some(layer) => &mut numbers.biases[layer][..],
            };
            self.read(index, to)?;
            self.finite(index, to)?;
        }
        Ok(numbers)
    }

    /// Hands every number of the model to something that forgets them where this fails, some rows at a time, so that
    /// no more than a piece of the largest tensor is held beside it.
    ///
    /// # Errors
    /// When a tensor cannot be read, and when a number is not finite.
    pub fn hand_to(&self, sink: &mut dyn Sink) -> Result<(), ModelError> {
        let mut piece = Vec::new();
        for (index, (parameter, place)) in self.all.iter().enumerate() {
            // Heads whose rows stand otherwise are read whole, and vectors are short.
            let is_whole = place.paired_heads.is_some() || parameter.shape.len() != 2;
            let (rows, columns) = (parameter.shape[0], parameter.columns());
            let step = if is_whole { rows } else { PIECE / columns };
            for first in (0..rows).step_by(step.max(1)) {
                let rows = first..rows.min(first + step.max(1));
                piece.resize(rows.len() * columns, 0.0);
                match is_whole {
                    true => self.read(index, &mut piece)?,
                    false => self.read_rows(place, rows, &mut piece)?,
                }
                self.finite(index, &piece)?;
                match index.checked_sub(self.parameters) {
                    None => sink.take(parameter, first, &piece),
                    Some(layer) => sink.take_biases(layer, &piece),
                }
            }
        }
        Ok(())
    }

    fn read_rows(
        &self,
        place: &Place,
        rows: Range<usize>,
        to: &mut [f32],
    ) -> Result<(), ModelError> {
        let start = place.rows.as_ref().map_or(0, |rows| rows.start);
        let rows = start + rows.start..start + rows.end;
        Ok(self.files.read_rows(&place.name, rows, to)?)
    }

    /// An error where one of some numbers of a tensor is not finite.
    fn finite(&self, index: usize, values: &[f32]) -> Result<(), ModelError> {
        match not_finite_in(values) {
            Some(value) => Err(self.not_finite(&self.all[index].0.name, value)),
            None => Ok(()),
        }
    }

    /// The error that a tensor holds a number that is not finite.
    pub fn not_finite(&self, name: &str, value: f32) -> ModelError {
        let path = self.files.path().display().to_string();
        ModelError::NotFinite { path, name: name.to_owned(), value }
    }

    /// A matrix in the files that repeats one of the model must be equal to it: whoever wrote another one meant it.
    fn check_equal(&self, copy: &str, original: &str, why: &str) -> Result<(), ModelError> {
        let Some((_, place)) = self.all.iter().find(|(one, _)| one.name == original) else {
            return Ok(());
        };
        let shape = self.files.get(&place.name).map(|tensor| tensor.shape());
        let Some(found) = self.files.get(copy).filter(|found| Some(found.shape()) == shape) else {
            return Ok(());
        };
        let mut rows = [vec![0.0; found.columns()], vec![0.0; found.columns()]];
        for row in 0..found.rows() {
            let names = [copy, &place.name];
            for (values, name) in rows.iter_mut().zip(names) {
                self.files.read_rows(name, row..row + 1, values)?;
            }
            if rows[0] != rows[1] {
                let reason = format!("{why}, but {copy} and {original} differ in row {row}");
                let path = self.files.path().display().to_string();
                return Err(ModelError::Published { path, reason });
            }
        }
        Ok(())
    }
}

/// A selection bias as a parameter; it lies apart, so that its offset means nothing.
pub fn bias((name, experts): &(String, usize)) -> Parameter {
    let initial = r1x_core::parameters::Initial::Zeros;
    Parameter { name: name.clone(), shape: vec![*experts], offset: 0, initial }
}

/// How a tensor in the files differs from a parameter; `None` where it fits.
fn misfit(files: &WeightFiles, parameter: &Parameter, place: &Place) -> Option<String> {
    let found = files.get(&place.name)?;
    let fits = match &place.rows {
        // One row may be written as a vector.
        None => found.shape() == parameter.shape || parameter.shape[..] == [1, found.elements()],
        // Where experts are stacked, the last of them must be there, and rows must be as wide.
        Some(rows) => {
            found.shape().len() == 3
                && rows.end <= found.rows()
                && parameter.shape.last() == found.shape().last()
        }
    };
    let (name, shape) = (&place.name, found.shape());
    (!fits).then(|| format!("{name} is {shape:?}, not {:?}", parameter.shape))
}
