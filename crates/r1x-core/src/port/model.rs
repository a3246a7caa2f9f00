//! The ports to a model, one for each thing that it can do.

use super::{Boundary, Cursor, PolicyWrapper, PortError};
use crate::loss::{Loss, LossTotals};
use crate::plan::{CriticPlan, ModelPlan, OptimizerPlan, SamplingPlan, TeacherPlan};
use crate::problem::PromptForm;
use crate::rng::Stream;
use crate::rollout::{Candidates, Completion, TrainingBatch};

/// What a model reads and writes: text as tokens, and how many of them. It needs no weights, so whether texts
/// fit a model can be checked before there is one.
pub trait Encoder {
    /// Text to tokens. `Data` error when a piece of text is not in the vocabulary.
    fn encode(&self, text: &str) -> Result<Vec<u32>, PortError>;
    /// Tokens to text; the end-of-sequence token is left out.
    fn decode(&self, tokens: &[u32]) -> String;
    /// The end-of-sequence token.
    fn eos(&self) -> u32;
    /// The token that stands before a prompt that is a text, where the model was trained with one.
    fn bos(&self) -> Option<u32>;
    /// The longest prompt plus completion the model can take, tokens.
    fn context_length(&self) -> usize;

    /// The tokens of a prompt. A text gets the token that begins texts unless it begins with it already; of a
    /// conversation every token is written by the chat template.
    ///
    /// # Errors
    /// The errors of [`Encoder::encode`].
    fn encode_prompt(&self, prompt: &str, form: &PromptForm) -> Result<Vec<u32>, PortError> {
        let mut tokens = self.encode(prompt)?;
        match (form, self.bos()) {
            // What has no token is no prompt, and is not to become one.
            (PromptForm::Text, Some(bos)) if tokens.first().is_some_and(|first| *first != bos) => {
                tokens.insert(0, bos);
            }
            _ => {}
        }
        Ok(tokens)
    }
}

/// One prompt to sample from.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateRequest {
    /// Tokenised prompt, at least one token; computed once for all its samples.
    pub prompt: Vec<u32>,
    /// How many completions.
    pub samples: usize,
    /// Address of its draws: sample `s` at position `t` draws from `stream.at([address, s, t])`.
    pub address: u64,
    /// The exact length of each sample, from 1 to `max_tokens`: the end-of-sequence token ends nothing then, it
    /// is a token like any other. For measurements, which must not depend on what is drawn; empty otherwise.
    pub lengths: Vec<usize>,
}

/// A model that writes.
pub trait Sampler: Encoder {
    /// Samples completions and hands each request's over as soon as the last of them has ended: calls
    /// `each(request, completions)` once per request, on the calling thread, in any order. The completions
    /// depend on weights, requests, sampling and stream only: not on batching, order or threads.
    ///
    /// # Errors
    /// When a request does not fit the model, or it cannot be computed.
    fn generate_each(
        &self,
        requests: &[GenerateRequest],
        sampling: &SamplingPlan,
        stream: Stream,
        each: &mut dyn FnMut(usize, Vec<Completion>),
    ) -> Result<(), PortError>;

    /// Samples completions: one list per request, in order.
    ///
    /// # Errors
    /// The errors of [`Sampler::generate_each`].
    fn generate(
        &self,
        requests: &[GenerateRequest],
        sampling: &SamplingPlan,
        stream: Stream,
    ) -> Result<Vec<Vec<Completion>>, PortError> {
        let mut completions = vec![Vec::new(); requests.len()];
        let mut each = |request: usize, group| completions[request] = group;
        self.generate_each(requests, sampling, stream, &mut each)?;
        Ok(completions)
    }
}

/// Which weights of a model to score with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightChoice<'n> {
    /// The ones that learn.
    Current,
    /// Frozen ones, by name.
    Frozen(&'n str),
}

/// Weights that a model once had.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EarlierWeights<'n> {
    /// The ones that it began with, before it learnt anything.
    Initial,
    /// The ones that [`Learner::save`] wrote under a name.
    Saved(&'n str),
    /// All but the head of the ones that a model with another head wrote by [`Learner::save`] under a name; the head is the
    /// one that the model began with.
    Body(&'n str),
    /// A weighted average: every number is the sum of the numbers at its place, each times the share of its part, added up in
    /// the order of the parts and rounded to an f32 after each of them.
    Average(&'n [AveragePart<'n>]),
}

/// A part of an average of weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AveragePart<'n> {
    /// The name under which [`Learner::save`] wrote the weights; `None` for the ones that the model began with.
    pub saved: Option<&'n str>,
    /// The model with adapters that they are of, whose adapters are merged into the weights that it began with; `None` of
    /// a model without adapters.
    pub adapted: Option<&'n ModelPlan>,
    /// What they are multiplied by.
    pub share: f64,
}

/// The name of the frozen weights that a penalty pulls towards.
pub const REFERENCE: &str = "reference";

/// A model that says a number of each target: how likely it is, or, under a value head, what everything before it is
/// worth.
pub trait Scorer {
    /// What the model says of the targets of each sequence, one number per target: log-probs at the batch's temperature,
    /// or values, which know none ([`crate::plan::HeadPlan`]). On the CPU they are the numbers that a loss is given in
    /// [`Learner::accumulate`] under the same weights, bit for bit.
    ///
    /// # Errors
    /// A `Model` error when there are no frozen weights of the name; `Data` when a sequence does not fit.
    fn score(
        &mut self,
        weights: WeightChoice<'_>,
        batch: &TrainingBatch,
    ) -> Result<Vec<Vec<f32>>, PortError>;

    /// The `width` most likely tokens at every target of each sequence at the batch's temperature, the most likely first;
    /// fewer where the model has fewer.
    ///
    /// # Errors
    /// The errors of [`Scorer::score`], and a `Model` error under a value head.
    fn most_likely(
        &mut self,
        weights: WeightChoice<'_>,
        batch: &TrainingBatch,
        width: usize,
    ) -> Result<Vec<Candidates>, PortError>;
}

/// A model whose weights change, and are kept.
pub trait Learner {
    /// Forward, loss and backward over a batch; gradients add to those already accumulated.
    ///
    /// # Errors
    /// When a sequence does not fit the model, or it cannot be computed.
    fn accumulate(
        &mut self,
        batch: &TrainingBatch,
        loss: &dyn Loss,
    ) -> Result<LossTotals, PortError>;

    /// Clips, updates the weights with the accumulated gradients, and clears them.
    ///
    /// # Errors
    /// When it cannot be computed.
    fn update(&mut self, optimizer: &OptimizerPlan, lr: f64) -> Result<UpdateFacts, PortError>;

    /// Forgets optimizer moments and step count: a new training stage begins.
    fn reset_optimizer(&mut self);

    /// Keeps a copy of the current weights under a name, in place of one that has it.
    ///
    /// # Errors
    /// When there is no memory for it on the device.
    fn freeze(&mut self, name: &str) -> Result<(), PortError>;

    /// Moves the weights under a name towards the current ones by a share of the way: every number becomes (1 − share) times
    /// what it is plus share times the current one, and is kept as exactly as the current one. Where nothing has the name, or
    /// what has it was kept by [`Learner::freeze`], it becomes a copy that follows from then on.
    ///
    /// # Errors
    /// When there is no memory for it on the device.
    fn follow(&mut self, name: &str, share: f64) -> Result<(), PortError>;

    /// Goes on with earlier weights. Moments and frozen weights stay as they are.
    ///
    /// # Errors
    /// A `Model` error when they were never saved, or cannot be read whole, and an `Internal` one where an average is
    /// asked of a model that has adapters itself, which plans are refused for: the average of factors is not that of their
    /// products.
    fn take_weights(&mut self, weights: EarlierWeights<'_>) -> Result<(), PortError>;

    /// Forgets all frozen weights, which then take no memory and are in no checkpoint.
    fn forget_frozen(&mut self);

    /// Writes weights, optimizer, frozen weights and cursor to `name`, whole or not at all.
    ///
    /// # Errors
    /// When the files cannot be written; what had the name before is still there then.
    fn save(&mut self, name: &str, cursor: &Cursor) -> Result<SavedCheckpoint, PortError>;

    /// sha256 of the current weights, hex.
    ///
    /// # Errors
    /// When they cannot be brought from the device.
    fn weights_sha256(&self) -> Result<String, PortError>;
}

/// A language model that reads, writes, scores and learns.
pub trait Policy: Sampler + Scorer + Learner {}

impl<T: Sampler + Scorer + Learner + ?Sized> Policy for T {}

/// A policy that may become another model of the run, so that a stage can work on a model of its own, and that can have a
/// teacher or a critic beside it.
pub trait Models: Policy {
    /// Puts a model of the plan to work in place of the one at work, with the weights that it begins with: one of the
    /// further models by its name, the policy without one. What the other one has learnt is gone unless it was saved. A
    /// model that is at work already stays as it is.
    ///
    /// # Errors
    /// A `Model` error when there is no such model, or it cannot be made.
    fn put_to_work(&mut self, model: Option<&str>) -> Result<(), PortError>;

    /// What a model of the plan beside the one at work takes to be likely ([`Scorer::most_likely`]). It stays in memory until
    /// another model is put to work or another teacher is asked.
    ///
    /// # Errors
    /// A `Model` error when there is no such model, or its weights cannot be read; those of [`Scorer::most_likely`].
    fn ask_teacher(
        &mut self,
        teacher: &TeacherPlan,
        batch: &TrainingBatch,
        width: usize,
    ) -> Result<Vec<Candidates>, PortError>;

    /// Works with the critic of a stage: a further model that learns beside the one at work. It begins with the weights that
    /// its plan names when it is asked for the first time, and keeps what it learns until [`Models::forget_others`]. From then
    /// on, what [`Learner::save`] writes of the model at work holds the critic as well.
    ///
    /// # Errors
    /// A `Model` error when there is no such model, or its weights cannot be read; what `work` says.
    fn with_critic(
        &mut self,
        critic: &CriticPlan,
        work: &mut dyn FnMut(&mut dyn Policy) -> Result<(), PortError>,
    ) -> Result<(), PortError>;

    /// Lets go of every model beside the one at work: another stage begins.
    fn forget_others(&mut self);
}

/// The only model of a run, which cannot become another one.
#[derive(Debug)]
pub struct OnlyModel<'a, P: ?Sized>(pub &'a mut P);

impl<P: Policy + ?Sized> PolicyWrapper for OnlyModel<'_, P> {
    type Inner = P;

    fn inner(&self) -> &P {
        self.0
    }

    fn inner_mut(&mut self) -> &mut P {
        self.0
    }
}

impl<P: Policy + ?Sized> Models for OnlyModel<'_, P> {
    fn put_to_work(&mut self, model: Option<&str>) -> Result<(), PortError> {
        let Some(name) = model else { return Ok(()) };
        Err(PortError::new(
            Boundary::Model,
            format!("a stage works on the model `{name}`, and this run has no other model"),
            "let the stage work on the policy",
        ))
    }

    fn ask_teacher(
        &mut self,
        _teacher: &TeacherPlan,
        _batch: &TrainingBatch,
        _width: usize,
    ) -> Result<Vec<Candidates>, PortError> {
        let message = "a stage learns from a teacher, and this run has no other model";
        Err(PortError::new(Boundary::Model, message, "let the stage learn from texts"))
    }

    fn with_critic(
        &mut self,
        _critic: &CriticPlan,
        _work: &mut dyn FnMut(&mut dyn Policy) -> Result<(), PortError>,
    ) -> Result<(), PortError> {
        let message = "a stage has a critic, and this run has no other model";
        Err(PortError::new(Boundary::Model, message, "estimate advantages without one"))
    }

    fn forget_others(&mut self) {}
}

/// What one optimizer update did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateFacts {
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Further named numbers, e.g. `moe.max_vio.max` (largest expert load over the mean, less 1).
    pub metrics: Vec<(String, f64)>,
    /// A number of the first tensor that has left the finite ones, and its name in words: "gradient of
    /// `model.norm.weight`". The weights were not changed when it is a gradient.
    pub not_finite: Option<(String, f64)>,
}

/// A checkpoint on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedCheckpoint {
    /// Path relative to the run's folder.
    pub path: String,
    /// sha256 of the weights file, hex.
    pub sha256: String,
    /// sha256 of its state, hex: the cursor, and the hashes of everything else in it.
    pub state_sha256: String,
    /// Bytes on disk.
    pub bytes: u64,
}
