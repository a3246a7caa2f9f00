//! What a published model says about given tokens: their log-probs, and how its weights would have to change.
//!
//! No tokenizer is needed, so any model can be compared with its reference implementation token by token.

use half::bf16;
use r1x_core::plan::{ModelPlan, Precision, TokenizerPlan};
use r1x_ops::{Operand, Real, parallel};

use super::Published;
use super::names::published_name;
use crate::error::ModelError;
use crate::family::decoder::{Decoder, Workspace};
use crate::family::packed::Packed;
use crate::weights::{Freezing, Passes, Weights};

/// Whether gradients are asked for beside log-probs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Log-probs only.
    Logprobs,
    /// The norm of the gradient of every parameter as well.
    GradientNorms,
}

/// What a model says about one sequence of tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The log-prob of each token after the first, given those before it, in nats.
    pub logprobs: Vec<f32>,
    /// The Euclidean norm of the gradient of the mean negative log-prob, by the published name of the parameter; empty
    /// where it was not asked for.
    pub gradient_norms: Vec<(String, f64)>,
}

/// A published model that scores tokens.
#[derive(Debug)]
pub struct PublishedScorer(Scorer);

#[derive(Debug)]
enum Scorer {
    Single(Loaded<f32>),
    Half(Loaded<bf16>),
}

#[derive(Debug)]
struct Loaded<E: Operand> {
    decoder: Decoder<E>,
    weights: Weights<E>,
    asked: Asked,
    names: Vec<String>,
}

impl PublishedScorer {
    /// Loads the weights of a model, with products whose factors are of a precision. Gradients need more memory than
    /// log-probs do, so what will be asked for is said here.
    ///
    /// # Errors
    /// When its weights cannot be read, or are not those of its configuration, or when it says values and no log-probs.
    pub fn load(
        published: &Published,
        precision: Precision,
        asked: Asked,
    ) -> Result<Self, ModelError> {
        // Scores are of token ids, so no token needs a text.
        let plan = published.plan(TokenizerPlan::Vocabulary { pieces: Vec::new() }, precision);
        Ok(Self(match precision {
            Precision::F32 => Scorer::Single(Loaded::new(published, &plan, asked)?),
            Precision::Bf16 => Scorer::Half(Loaded::new(published, &plan, asked)?),
        }))
    }

    /// Scores sequences, each on its own, on some threads.
    ///
    /// # Errors
    /// When a token is outside the vocabulary, or a sequence is longer than the context.
    pub fn score(&self, sequences: &[Vec<u32>], threads: usize) -> Result<Vec<Score>, ModelError> {
        match &self.0 {
            Scorer::Single(loaded) => loaded.score_all(sequences, threads),
            Scorer::Half(loaded) => loaded.score_all(sequences, threads),
        }
    }
}

impl<E: Operand<Real = f32>> Loaded<E> {
    fn new(published: &Published, plan: &ModelPlan, asked: Asked) -> Result<Self, ModelError> {
        let decoder = Decoder::new(plan);
        let layout = &decoder.layout;
        layout.can_write()?;
        let weights = match asked {
            Asked::Logprobs => {
                let mut freezing = Freezing::new(layout);
                published.hand_to(layout, &mut freezing)?;
                freezing.done(Passes::Forward)
            }
            Asked::GradientNorms => Weights::learning(layout, published.numbers(layout)?, 1),
        };
        let renamed = published.family.renamed;
        let parameters = decoder.layout.base.parameters.iter();
        let names = parameters.map(|one| published_name(&one.name, renamed)).collect();
        Ok(Self { decoder, weights, asked, names })
    }

    fn score_all(&self, sequences: &[Vec<u32>], threads: usize) -> Result<Vec<Score>, ModelError> {
        let (size, limit) = (self.decoder.layout.vocabulary, self.decoder.context_length);
        for tokens in sequences {
            if let Some(token) = tokens.iter().find(|token| **token as usize >= size) {
                return Err(ModelError::UnknownToken { token: *token, size });
            }
            if tokens.len() > limit {
                return Err(ModelError::TooLong { length: tokens.len(), limit });
            }
        }
        // A sequence alone is computed by all threads.
        let each = threads / sequences.len().clamp(1, threads.max(1));
        Ok(parallel::map(sequences.iter().collect(), threads, |tokens: &Vec<u32>| {
            self.score(tokens, each)
        }))
    }

    fn score(&self, tokens: &[u32], threads: usize) -> Score {
        if tokens.len() < 2 {
            return Score { logprobs: Vec::new(), gradient_norms: Vec::new() };
        }
        let (decoder, weights) = (&self.decoder, &self.weights);
        let mut works = vec![Workspace::default(); threads.max(1)];
        let packed = Packed::new([(tokens, 1)]);
        match self.asked {
            Asked::Logprobs => decoder.read(weights, &packed, &mut works),
            Asked::GradientNorms => decoder.forward(weights, &packed, &mut works[0]),
        }
        let work = &mut works[0];
        let said = decoder.logprobs(weights, &packed.predicting, &packed.targets, 1.0, work);
        let logprobs: Vec<f32> = said.iter().map(|token| token.logprob).collect();
        let gradient_norms = match self.asked {
            Asked::Logprobs => Vec::new(),
            Asked::GradientNorms => self.norms(&packed, work),
        };
        Score { logprobs, gradient_norms }
    }

    /// The norms of the gradient of the mean negative log-prob. Parts of the gradient are complete one at a time, so no
    /// more than a layer of it is held.
    fn norms(&self, packed: &Packed, work: &mut Workspace<E>) -> Vec<(String, f64)> {
        let (decoder, count) = (&self.decoder, packed.targets.len());
        let upstream = vec![E::Real::from_f64(-1.0 / count as f64); count];
        let layout = &decoder.layout;
        let mut norms: Vec<f64> = vec![0.0; layout.base.parameters.len()];
        let deliver = |part: usize, values: &[f32]| {
            let range = &layout.parts[part];
            for (norm, parameter) in norms.iter_mut().zip(&layout.base.parameters) {
                if range.contains(&parameter.offset) {
                    let start = parameter.offset - range.start;
                    let squares = values[start..start + parameter.len()].iter();
                    *norm = squares.map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
                }
            }
        };
        decoder.backward(&self.weights, packed, &upstream, 1.0, 0.0, deliver, work);
        self.names.iter().cloned().zip(norms).collect()
    }
}
