//! Copies of earlier weights, by name: ones that stay, and ones that follow the weights that learn.
//!
//! A copy is frozen in the form in which it is multiplied. One that follows has its numbers in f32 beside that form: a
//! step towards the current weights is often smaller than bf16 can tell, and a mean that is rounded after every step would
//! stop where it is. The numbers are in checkpoints, so that a run that was resumed goes on with the same bits.

use std::collections::BTreeMap;

use r1x_ops::Operand;

use crate::checkpoint::{self, CopyKind, Numbers, Sink, Values};
use crate::error::ModelError;
use crate::layout::{Layout, Parameter};
use crate::weights::{Freezing, Passes, Weights};

/// The copies that a policy on the kernels has.
#[derive(Debug, Default)]
pub(crate) struct Copies<E: Operand> {
    frozen: BTreeMap<String, Weights<E>>,
    /// The numbers of the copies that follow the current weights.
    following: BTreeMap<String, Numbers>,
}

impl<E: Operand<Real = f32>> Copies<E> {
    /// A policy without copies.
    pub(crate) fn none() -> Self {
        Self { frozen: BTreeMap::new(), following: BTreeMap::new() }
    }

    /// Forgets every copy.
    pub(crate) fn forget(&mut self) {
        *self = Self::none();
    }

    /// The weights of a copy.
    pub(crate) fn get(&self, name: &str) -> Option<&Weights<E>> {
        self.frozen.get(name)
    }

    /// Keeps the current weights under a name; see [`r1x_core::Learner::freeze`].
    pub(crate) fn keep(
        &mut self,
        name: &str,
        layout: &Layout,
        current: &Weights<E>,
    ) -> Result<(), ModelError> {
        checkpoint::check_frozen(name, self.frozen.keys())?;
        self.following.remove(name);
        self.frozen.insert(name.to_owned(), current.frozen(layout));
        Ok(())
    }

    /// Moves a copy towards the current weights; see [`r1x_core::Learner::follow`].
    pub(crate) fn follow(
        &mut self,
        name: &str,
        share: f64,
        (layout, current): (&Layout, &Weights<E>),
    ) -> Result<(), ModelError> {
        checkpoint::check_frozen(name, self.frozen.keys())?;
        let numbers = match self.following.remove(name) {
            None => current.numbers(layout),
            Some(mut numbers) => {
                numbers.follow((current.trained(), Values::biases(current)), share);
                numbers
            }
        };
        self.frozen.insert(name.to_owned(), current.frozen_with(layout, &numbers));
        self.following.insert(name.to_owned(), numbers);
        Ok(())
    }

    /// Every copy, as a checkpoint holds it.
    pub(crate) fn contents(&self) -> Vec<(&str, CopyKind, &dyn Values)> {
        let mut all: Vec<(&str, CopyKind, &dyn Values)> = Vec::with_capacity(self.frozen.len());
        for (name, frozen) in &self.frozen {
            all.push(match self.following.get(name) {
                None => (name, CopyKind::Fixed, frozen),
                Some(numbers) => (name, CopyKind::Following, numbers),
            });
        }
        all
    }

    /// The copies of a checkpoint. They share the model itself with the current weights where those have adapters.
    pub(crate) fn read(
        copies: BTreeMap<String, (CopyKind, ReadCopy<'_, E>)>,
        layout: &Layout,
        current: &Weights<E>,
    ) -> Self {
        let mut all = Self::none();
        for (name, (_, copy)) in copies {
            let frozen = match copy {
                ReadCopy::Whole(freezing) => freezing.done(Passes::Forward),
                ReadCopy::Adapters(numbers) => current.with(layout, &numbers),
                ReadCopy::Following(numbers) => {
                    let frozen = current.frozen_with(layout, &numbers);
                    all.following.insert(name.clone(), numbers);
                    frozen
                }
            };
            all.frozen.insert(name, frozen);
        }
        all
    }
}

/// A copy while it is being read.
pub(crate) enum ReadCopy<'a, E: Operand> {
    /// A copy of a model that learns all of its weights.
    Whole(Freezing<'a, E>),
    /// A copy of adapters alone.
    Adapters(Numbers),
    /// A copy that follows the current weights.
    Following(Numbers),
}

impl<'a, E: Operand<Real = f32>> ReadCopy<'a, E> {
    pub(crate) fn new(layout: &'a Layout, kind: CopyKind) -> Self {
        let numbers = || Numbers::zeros(layout, layout.trained());
        match (kind, &layout.adapters) {
            (CopyKind::Following, _) => Self::Following(numbers()),
            (CopyKind::Fixed, None) => Self::Whole(Freezing::new(layout)),
            (CopyKind::Fixed, Some(_)) => Self::Adapters(numbers()),
        }
    }
}

impl<E: Operand<Real = f32>> Sink for ReadCopy<'_, E> {
    fn take(&mut self, parameter: &Parameter, first: usize, values: &[f32]) {
        match self {
            Self::Whole(freezing) => Sink::take(freezing, parameter, first, values),
            Self::Adapters(numbers) | Self::Following(numbers) => {
                numbers.take(parameter, first, values);
            }
        }
    }

    fn take_biases(&mut self, index: usize, values: &[f32]) {
        match self {
            Self::Whole(freezing) => Sink::take_biases(freezing, index, values),
            Self::Adapters(numbers) | Self::Following(numbers) => {
                numbers.take_biases(index, values);
            }
        }
    }
}
