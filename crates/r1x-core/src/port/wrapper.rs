//! A policy around another policy: what it does otherwise is written once, and all else is the policy inside.

use super::{
    Cursor, EarlierWeights, Encoder, GenerateRequest, Learner, Policy, PortError, Sampler,
    SavedCheckpoint, Scorer, UpdateFacts, WeightChoice,
};
use crate::loss::{Loss, LossTotals};
use crate::plan::{OptimizerPlan, SamplingPlan};
use crate::rng::Stream;
use crate::rollout::{Candidates, Completion, TrainingBatch};

/// A policy around another one, which measures it or changes what is asked of it.
///
/// Whoever implements this is a [`Policy`]. The methods named `around_…` stand for the questions that take long, and ask
/// the policy inside unless the wrapper says something else; the other questions always go inside. So a wrapper is as
/// long as its difference, and a new question to a policy reaches the inside of every wrapper by one line here.
pub trait PolicyWrapper {
    /// The policy inside.
    type Inner: Policy + ?Sized;

    /// The policy inside, to be asked.
    fn inner(&self) -> &Self::Inner;

    /// The policy inside, to be changed.
    fn inner_mut(&mut self) -> &mut Self::Inner;

    /// Stands for [`Sampler::generate_each`].
    ///
    /// # Errors
    /// The errors of the policy inside.
    fn around_sampling(
        &self,
        requests: &[GenerateRequest],
        sampling: &SamplingPlan,
        stream: Stream,
        each: &mut dyn FnMut(usize, Vec<Completion>),
    ) -> Result<(), PortError> {
        self.inner().generate_each(requests, sampling, stream, each)
    }

    /// Stands for [`Scorer::score`].
    ///
    /// # Errors
    /// The errors of the policy inside.
    fn around_scoring(
        &mut self,
        weights: WeightChoice<'_>,
        batch: &TrainingBatch,
    ) -> Result<Vec<Vec<f32>>, PortError> {
        self.inner_mut().score(weights, batch)
    }

    /// Stands for [`Learner::accumulate`].
    ///
    /// # Errors
    /// The errors of the policy inside.
    fn around_accumulation(
        &mut self,
        batch: &TrainingBatch,
        loss: &dyn Loss,
    ) -> Result<LossTotals, PortError> {
        self.inner_mut().accumulate(batch, loss)
    }

    /// Stands for [`Learner::update`].
    ///
    /// # Errors
    /// The errors of the policy inside.
    fn around_update(
        &mut self,
        optimizer: &OptimizerPlan,
        lr: f64,
    ) -> Result<UpdateFacts, PortError> {
        self.inner_mut().update(optimizer, lr)
    }

    /// Stands for [`Learner::save`].
    ///
    /// # Errors
    /// The errors of the policy inside.
    fn around_saving(&mut self, name: &str, cursor: &Cursor) -> Result<SavedCheckpoint, PortError> {
        self.inner_mut().save(name, cursor)
    }
}

impl<W: PolicyWrapper> Encoder for W {
    fn encode(&self, text: &str) -> Result<Vec<u32>, PortError> {
        self.inner().encode(text)
    }
    fn decode(&self, tokens: &[u32]) -> String {
        self.inner().decode(tokens)
    }
    fn eos(&self) -> u32 {
        self.inner().eos()
    }
    fn bos(&self) -> Option<u32> {
        self.inner().bos()
    }
    fn context_length(&self) -> usize {
        self.inner().context_length()
    }
}

impl<W: PolicyWrapper> Sampler for W {
    fn generate_each(
        &self,
        requests: &[GenerateRequest],
        sampling: &SamplingPlan,
        stream: Stream,
        each: &mut dyn FnMut(usize, Vec<Completion>),
    ) -> Result<(), PortError> {
        self.around_sampling(requests, sampling, stream, each)
    }
}

impl<W: PolicyWrapper> Scorer for W {
    fn score(
        &mut self,
        weights: WeightChoice<'_>,
        batch: &TrainingBatch,
    ) -> Result<Vec<Vec<f32>>, PortError> {
        self.around_scoring(weights, batch)
    }
    fn most_likely(
        &mut self,
        weights: WeightChoice<'_>,
        batch: &TrainingBatch,
        width: usize,
    ) -> Result<Vec<Candidates>, PortError> {
        self.inner_mut().most_likely(weights, batch, width)
    }
}

impl<W: PolicyWrapper> Learner for W {
    fn accumulate(
        &mut self,
        batch: &TrainingBatch,
        loss: &dyn Loss,
    ) -> Result<LossTotals, PortError> {
        self.around_accumulation(batch, loss)
    }
    fn update(&mut self, optimizer: &OptimizerPlan, lr: f64) -> Result<UpdateFacts, PortError> {
        self.around_update(optimizer, lr)
    }
    fn reset_optimizer(&mut self) {
        self.inner_mut().reset_optimizer();
    }
    fn freeze(&mut self, name: &str) -> Result<(), PortError> {
        self.inner_mut().freeze(name)
    }
    fn follow(&mut self, name: &str, share: f64) -> Result<(), PortError> {
        self.inner_mut().follow(name, share)
    }
    fn take_weights(&mut self, weights: EarlierWeights<'_>) -> Result<(), PortError> {
        self.inner_mut().take_weights(weights)
    }
    fn forget_frozen(&mut self) {
        self.inner_mut().forget_frozen();
    }
    fn save(&mut self, name: &str, cursor: &Cursor) -> Result<SavedCheckpoint, PortError> {
        self.around_saving(name, cursor)
    }
    fn weights_sha256(&self) -> Result<String, PortError> {
        self.inner().weights_sha256()
    }
}
