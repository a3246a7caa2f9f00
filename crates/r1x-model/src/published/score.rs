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
use crate::weights::Weights;

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
    names: Vec<String>,
}

impl PublishedScorer {
    /// Loads the weights of a model, with products whose factors are of a precision.
    ///
    /// # Errors
    /// When its weights cannot be read, or are not those of its configuration.
    pub fn load(published: &Published, precision: Precision) -> Result<Self, ModelError> {
        // Scores are of token ids, so no token needs a text.
        let plan = published.plan(TokenizerPlan::Vocabulary { pieces: Vec::new() }, precision);
        Ok(Self(match precision {
            Precision::F32 => Scorer::Single(Loaded::new(published, &plan)?),
            Precision::Bf16 => Scorer::Half(Loaded::new(published, &plan)?),
        }))
    }

    /// Scores sequences, each on its own, on some threads.
    ///
    /// # Errors
    /// When a token is outside the vocabulary, or a sequence is longer than the context.
    pub fn score(
        &self,
        sequences: &[Vec<u32>],
        asked: Asked,
        threads: usize,
    ) -> Result<Vec<Score>, ModelError> {
        match &self.0 {
            Scorer::Single(loaded) => loaded.score_all(sequences, asked, threads),
            Scorer::Half(loaded) => loaded.score_all(sequences, asked, threads),
        }
    }
}

impl<E: Operand<Real = f32>> Loaded<E> {
    fn new(published: &Published, plan: &ModelPlan) -> Result<Self, ModelError> {
        let decoder = Decoder::new(plan);
        let weights = Weights::of_model(&decoder.layout, &published.numbers(&decoder.layout)?);
        let renamed = published.family.renamed;
        let parameters = decoder.layout.base.parameters.iter();
        let names = parameters.map(|one| published_name(&one.name, renamed)).collect();
        Ok(Self { decoder, weights, names })
    }

    fn score_all(
        &self,
        sequences: &[Vec<u32>],
        asked: Asked,
        threads: usize,
    ) -> Result<Vec<Score>, ModelError> {
        let (size, limit) = (self.decoder.layout.vocabulary, self.decoder.context_length);
        for tokens in sequences {
            if let Some(token) = tokens.iter().find(|token| **token as usize >= size) {
                return Err(ModelError::UnknownToken { token: *token, size });
            }
            if tokens.len() > limit {
                return Err(ModelError::TooLong { length: tokens.len(), limit });
            }
        }
        Ok(parallel::map(sequences.iter().collect(), threads, |tokens: &Vec<u32>| {
            self.score(tokens, asked)
        }))
    }

    fn score(&self, tokens: &[u32], asked: Asked) -> Score {
        if tokens.len() < 2 {
            return Score { logprobs: Vec::new(), gradient_norms: Vec::new() };
        }
        let (decoder, weights, mut work) = (&self.decoder, &self.weights, Workspace::default());
        let packed = Packed::new([(tokens, 1)]);
        decoder.forward(weights, &packed, &mut work);
        let said = decoder.logprobs(weights, &packed.predicting, &packed.targets, 1.0, &mut work);
        let logprobs: Vec<f32> = said.iter().map(|token| token.logprob).collect();
        let gradient_norms = match asked {
            Asked::Logprobs => Vec::new(),
            Asked::GradientNorms => self.norms(&packed, &mut work),
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
