//! Copies of earlier weights on a device, by name: ones that stay, and ones that follow the weights that learn.
//!
//! The tensors of a copy are f32 in every precision, so one that follows needs nothing beside them. It is moved on the
//! host, by the function that the kernels have, so that both move alike.

use std::collections::BTreeMap;

use super::download;
use crate::checkpoint::{self, CopyKind, Numbers};
use crate::error::ModelError;
use crate::family::composed::Composed;

/// The copies that a policy on tensors has, and what becomes of each.
#[derive(Debug, Default)]
pub(super) struct TensorCopies(BTreeMap<String, (CopyKind, Composed)>);

impl TensorCopies {
    /// Forgets all of them.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// An error when nothing can be kept under a name.
    pub(super) fn check(&self, name: &str) -> Result<(), ModelError> {
        checkpoint::check_frozen(name, self.0.keys())
    }

    pub(super) fn keep(&mut self, name: &str, kind: CopyKind, copy: Composed) {
        self.0.insert(name.to_owned(), (kind, copy));
    }

    pub(super) fn get(&self, name: &str) -> Option<&Composed> {
        self.0.get(name).map(|(_, copy)| copy)
    }

    /// The numbers of a copy that follows.
    pub(super) fn following(&self, name: &str) -> Result<Option<Numbers>, ModelError> {
        match self.0.get(name) {
            Some((CopyKind::Following, copy)) => numbers(copy).map(Some),
            _ => Ok(None),
        }
    }

    /// The numbers of all of them.
    pub(super) fn numbers(&self) -> Result<Vec<(&str, CopyKind, Numbers)>, ModelError> {
        let mut all = Vec::with_capacity(self.0.len());
        for (name, (kind, copy)) in &self.0 {
            all.push((name.as_str(), *kind, numbers(copy)?));
        }
        Ok(all)
    }
}

/// What is trained of a model, and its selection biases.
pub(super) fn numbers(model: &Composed) -> Result<Numbers, ModelError> {
    let layout = model.layout();
    let trained = layout.trained().parameters.iter();
    let tensors = trained.map(|p| model.parameter(p.offset).map(Some));
    let values = download(layout, tensors.collect::<Result<Vec<_>, _>>()?)?;
    let narrow = |layer: &Vec<f64>| layer.iter().map(|bias| *bias as f32).collect();
    let start = layout.trained().range.start;
    Ok(Numbers { start, values, biases: model.biases().iter().map(narrow).collect() })
}
