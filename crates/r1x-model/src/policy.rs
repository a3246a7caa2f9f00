//! The `Policy` port on the CPU kernels: sampling, scoring, learning.
//!
//! Micro-batches are computed on one thread each and their gradients added in order, so results do not depend on the
//! number of threads.

mod worker;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use r1x_core::loss::{Loss, LossTotals};
use r1x_core::plan::{ModelPlan, OptimizerPlan, SamplingPlan};
use r1x_core::port::{
    Cursor, EarlierWeights, GenerateRequest, SavedCheckpoint, UpdateFacts, WeightChoice,
};
use r1x_core::rollout::Candidates;
use r1x_core::{
    Completion, Encoder, Learner, PortError, Sampler, Scorer, Stream, TrainingBatch,
    TrainingSequence,
};
use r1x_ops::Operand;
use r1x_ops::kernel::add_assign;
use r1x_ops::parallel::{self, InOrder};

use self::worker::Worker;
pub(crate) use self::worker::pack;
use crate::checkpoint::{self, Contents, Expected, Home, Place, WriteInside};
use crate::copies::{Copies, ReadCopy};
use crate::error::ModelError;
use crate::family::decoder::Decoder;
use crate::family::packed::Packed;
use crate::generate::{Session, kernels};
use crate::initial::{self, First, Given};
use crate::merged;
use crate::mtp::Mtp;
use crate::published::{MissingHead, Published};
use crate::tokenizer::Tokenizer;
use crate::update::{Optimizer, bias_speed, first_not_finite};
use crate::weights::Weights;

/// A decoder that can sample, score and learn on the CPU, with products of operands `E`.
#[derive(Debug)]
pub struct DecoderPolicy<E: Operand = f32> {
    pub(crate) decoder: Decoder<E>,
    pub(crate) weights: Weights<E>,
    pub(crate) copies: Copies<E>,
    pub(crate) optimizer: Optimizer,
    pub(crate) home: Home,
    /// The weights that the policy began with.
    first: First,
    tokenizer: Tokenizer,
    gradient: Vec<f32>,
    loads: Vec<Vec<u64>>,
    bias_speed: f32,
    mtp: Mtp,
    workers: Vec<Worker<E>>,
}

impl<E: Operand<Real = f32>> DecoderPolicy<E> {
    /// A policy with fresh weights from `seed`; checkpoints go under `folder`.
    ///
    /// # Errors
    /// When the tokenizer cannot be built.
    pub fn new(
        plan: &ModelPlan,
        seed: u64,
        threads: usize,
        folder: PathBuf,
    ) -> Result<Self, ModelError> {
        let (decoder, tokenizer) = structure(plan)?;
        let first = First::of(plan, seed);
        let weights = first.weights(&decoder.layout, threads)?;
        Ok(Self {
            optimizer: Optimizer::new(&decoder.layout),
            gradient: vec![0.0; decoder.layout.trained().len()],
            loads: decoder.layout.experts.iter().map(|experts| vec![0; *experts]).collect(),
            workers: vec![Worker::default(); threads.max(1)],
            copies: Copies::none(),
            decoder,
            weights,
            tokenizer,
            home: Home::at(folder),
            first,
            bias_speed: bias_speed(plan),
            mtp: Mtp::new(plan),
        })
    }

    /// A policy that samples and scores with given weights and never learns, so that it holds neither masters nor
    /// gradients nor moments.
    ///
    /// # Errors
    /// When the tokenizer cannot be built, or the weights cannot be read.
    pub fn answering(
        plan: &ModelPlan,
        threads: usize,
        given: Given<'_>,
    ) -> Result<Self, ModelError> {
        let (decoder, tokenizer) = structure(plan)?;
        let weights = initial::answering(plan, given, &decoder.layout)?;
        Ok(Self {
            optimizer: Optimizer { first: Vec::new(), second: Vec::new(), updates: 0 },
            gradient: Vec::new(),
            loads: Vec::new(),
            workers: vec![Worker::default(); threads.max(1)],
            copies: Copies::none(),
            decoder,
            weights,
            tokenizer,
            home: Home::default(),
            first: First::of(plan, 0),
            bias_speed: 0.0,
            mtp: Mtp::default(),
        })
    }

    /// An error where the weights cannot be changed.
    fn learns(&self) -> Result<(), ModelError> {
        // Policies that only answer have no moments.
        if self.optimizer.first.is_empty() { Err(ModelError::Frozen) } else { Ok(()) }
    }

    /// Trained numbers in the model.
    pub fn parameter_count(&self) -> usize {
        self.decoder.layout.parameter_count()
    }

    #[cfg(test)]
    pub(crate) fn gradient(&self) -> &[f32] {
        &self.gradient
    }

    fn check(&self, batch: &TrainingBatch) -> Result<(), ModelError> {
        check_batch(batch, self.decoder.context_length, self.decoder.tokens)
    }

    /// Reads the sequences of a batch: each micro-batch goes through the layers, `answer` says something of it, and `keep`
    /// takes that from the worker, in the order of the batch.
    fn read_batch(
        &mut self,
        weights: WeightChoice<'_>,
        batch: &TrainingBatch,
        answer: impl Fn((&Decoder<E>, &Weights<E>), &Packed, &[Arc<TrainingSequence>], &mut Worker<E>)
        + Sync,
        mut keep: impl FnMut(&mut Worker<E>) + Send,
    ) -> Result<(), ModelError> {
        self.check(batch)?;
        let weights = match weights {
            WeightChoice::Current => &self.weights,
            WeightChoice::Frozen(name) => {
                self.copies.get(name).ok_or_else(|| ModelError::not_frozen(name))?
            }
        };
        let decoder = &self.decoder;
        let parts: Vec<_> = batch.sequences.chunks(batch.micro_batch_size).collect();
        parallel::for_each_ordered(
            parts.len(),
            &mut self.workers,
            |part, worker| {
                let packed = pack(parts[part], batch.share_prompts);
                decoder.read(weights, &packed, std::slice::from_mut(&mut worker.work));
                answer((decoder, weights), &packed, parts[part], worker);
            },
            |_, worker| keep(worker),
        );
        Ok(())
    }
}

impl<E: Operand<Real = f32>> DecoderPolicy<E> {
    pub(crate) fn contents(&self) -> Contents<'_> {
        Contents {
            layout: &self.decoder.layout,
            weights: &self.weights,
            optimizer: &self.optimizer,
            copies: self.copies.contents(),
        }
    }

    /// The current weights, in the order of what is trained.
    pub(crate) fn values(&self) -> &[f32] {
        self.weights.trained()
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
        self.weights = match self.weights.is_frozen() {
            true => initial::frozen(Given::Checkpoint { folder, expected, seed: 0 }, layout)?,
            false => {
                let numbers = checkpoint::load_weights(folder, layout, expected)?;
                self.weights.set(layout, &numbers, self.workers.len());
                return Ok(());
            }
        };
        Ok(())
    }

    /// Loads the weights of a checkpoint folder but for the head; see [`crate::Model::load_body`].
    ///
    /// # Errors
    /// As [`DecoderPolicy::load_weights`].
    pub fn load_body(&mut self, folder: &Path, expected: &Expected<'_>) -> Result<(), ModelError> {
        self.learns()?;
        let layout = &self.decoder.layout;
        let numbers = self.weights.numbers(layout);
        let numbers = checkpoint::load_body(folder, layout, expected, numbers)?;
        self.weights.set(layout, &numbers, self.workers.len());
        Ok(())
    }

    /// Loads the weights of a published model, to sample from or to start with.
    ///
    /// # Errors
    /// When files are missing, or their tensors are not those of the configuration.
    pub fn load_published(&mut self, published: &Published) -> Result<(), ModelError> {
        let layout = &self.decoder.layout;
        self.weights = match self.weights.is_frozen() {
            true => initial::frozen(Given::Published(published), layout)?,
            false => {
                initial::learning(published, layout, self.workers.len(), MissingHead::Refused)?
            }
        };
        Ok(())
    }

    /// Writes a checkpoint; see [`crate::Model::write`].
    ///
    /// # Errors
    /// When the weights never change, or the files cannot be written.
    pub fn write(
        &self,
        home: &Home,
        name: &str,
        cursor: &Cursor,
        critic: Option<WriteInside<'_>>,
    ) -> Result<SavedCheckpoint, ModelError> {
        self.learns()?;
        checkpoint::save(home, name, cursor, &self.contents(), critic)
    }

    /// Loads everything of a checkpoint folder and returns where to go on.
    ///
    /// # Errors
    /// When files are missing, changed, of another shape, or not what is expected.
    pub fn load(&mut self, folder: &Path, expected: &Expected<'_>) -> Result<Place, ModelError> {
        self.learns()?;
        let layout = &self.decoder.layout;
        let loaded =
            checkpoint::load(folder, layout, expected, |kind| ReadCopy::new(layout, kind))?;
        self.weights.set(layout, &loaded.weights, self.workers.len());
        self.copies = Copies::read(loaded.copies, layout, &self.weights);
        self.optimizer = loaded.optimizer;
        Ok(loaded.place)
    }
}

/// An error where a plan has a value head beside something that no such model has.
pub(crate) fn check_head(plan: &ModelPlan) -> Result<(), ModelError> {
    plan.beside_value_head().map_or(Ok(()), |beside| Err(ModelError::BesideValueHead { beside }))
}

/// An error where a batch does not fit a model that reads so many tokens of a sequence, and has so many tokens.
pub(crate) fn check_batch(
    batch: &TrainingBatch,
    limit: usize,
    tokens: usize,
) -> Result<(), ModelError> {
    let width = batch.sequences.first().map_or(0, |first| first.candidates.width);
    for sequence in &batch.sequences {
        let length = sequence.tokens.len();
        if length > limit {
            return Err(ModelError::TooLong { length, limit });
        }
        let (candidates, targets) = (&sequence.candidates, length - sequence.prompt_len);
        let even = candidates.width == width && candidates.tokens.len() == targets * width;
        let known = candidates.tokens.iter().all(|token| (*token as usize) < tokens);
        if !(even && known) {
            return Err(ModelError::Candidates { width, tokens });
        }
    }
    Ok(())
}

/// A planned model without its weights: the decoder, which knows how many tokens there are, and the tokenizer.
fn structure<E: Operand>(plan: &ModelPlan) -> Result<(Decoder<E>, Tokenizer), ModelError> {
    check_head(plan)?;
    let tokenizer = Tokenizer::of_model(plan)?;
    let mut decoder = Decoder::new(plan);
    decoder.tokens = tokenizer.len();
    Ok((decoder, tokenizer))
}

/// A gradient cut into the layout's parts, which lie one after the other.
fn split<'a>(mut rest: &'a mut [f32], parts: &[Range<usize>]) -> Vec<&'a mut [f32]> {
    let cut = |part: &Range<usize>| {
        let (part, behind) = std::mem::take(&mut rest).split_at_mut(part.len());
        rest = behind;
        part
    };
    parts.iter().map(cut).collect()
}

impl<E: Operand<Real = f32>> Encoder for DecoderPolicy<E> {
    fn encode(&self, text: &str) -> Result<Vec<u32>, PortError> {
        Ok(self.tokenizer.encode(text)?)
    }

    fn decode(&self, tokens: &[u32]) -> String {
        self.tokenizer.decode(tokens)
    }

    fn eos(&self) -> u32 {
        self.tokenizer.eos()
    }

    fn bos(&self) -> Option<u32> {
        self.tokenizer.bos()
    }

    fn context_length(&self) -> usize {
        self.decoder.context_length
    }
}

impl<E: Operand<Real = f32>> Sampler for DecoderPolicy<E> {
    fn generate_each(
        &self,
        requests: &[GenerateRequest],
        sampling: &SamplingPlan,
        stream: Stream,
        each: &mut dyn FnMut(usize, Vec<Completion>),
    ) -> Result<(), PortError> {
        self.decoder.layout.can_write()?;
        let session = Session { requests, sampling, stream, ends: self.tokenizer.ends() };
        let model = (&self.decoder, &self.weights);
        Ok(kernels::generate(model, &session, self.workers.len(), each)?)
    }
}

impl<E: Operand<Real = f32>> Scorer for DecoderPolicy<E> {
    fn score(
        &mut self,
        weights: WeightChoice<'_>,
        batch: &TrainingBatch,
    ) -> Result<Vec<Vec<f32>>, PortError> {
        let mut scored = Vec::with_capacity(batch.sequences.len());
        let answer = |model: (&_, &_), packed: &_, sequences: &[_], worker: &mut Worker<E>| {
            worker.score(model.0, model.1, packed, sequences, batch.temperature);
        };
        self.read_batch(weights, batch, answer, |worker| scored.append(&mut worker.said))?;
        Ok(scored)
    }

    fn most_likely(
        &mut self,
        weights: WeightChoice<'_>,
        batch: &TrainingBatch,
        width: usize,
    ) -> Result<Vec<Candidates>, PortError> {
        self.decoder.layout.can_write()?;
        let mut found = Vec::with_capacity(batch.sequences.len());
        let wanted = (width.min(self.decoder.tokens), batch.temperature);
        let answer = |model: (&_, &_), packed: &_, sequences: &[_], worker: &mut Worker<E>| {
            worker.most_likely(model, packed, sequences, wanted);
        };
        self.read_batch(weights, batch, answer, |worker| found.append(&mut worker.candidates))?;
        Ok(found)
    }
}

impl<E: Operand<Real = f32>> Learner for DecoderPolicy<E> {
    fn accumulate(
        &mut self,
        batch: &TrainingBatch,
        loss: &dyn Loss,
    ) -> Result<LossTotals, PortError> {
        self.learns()?;
        self.check(batch)?;
        let (decoder, weights) = (&self.decoder, &self.weights);
        let batches: Vec<_> = batch.sequences.chunks(batch.micro_batch_size).collect();
        let mut totals = LossTotals::default();
        let (loads, mtp) = (&mut self.loads, &mut self.mtp);
        let parts = InOrder::new(split(&mut self.gradient, &decoder.layout.parts));
        let planned = mtp.clone();
        let learn = |item: usize, worker: &mut Worker<E>| {
            let mut missing: Vec<bool> = vec![true; decoder.layout.parts.len()];
            let loss = (loss, &planned);
            worker.learn(decoder, weights, batches[item], batch, loss, |part, values| {
                missing[part] = false;
                parts.turn(part, item, |sum| add_assign(sum, values));
            });
            for part in (0..missing.len()).filter(|part| missing[*part]) {
                parts.turn(part, item, |_| {});
            }
        };
        parallel::for_each_ordered(
            batches.len(),
            &mut self.workers,
            |item, worker| parts.guard(|| learn(item, worker)),
            |_, worker| {
                totals.add(&worker.totals);
                mtp.add(worker.mtp_loss);
                for (sums, counts) in loads.iter_mut().zip(&worker.loads) {
                    for (sum, count) in sums.iter_mut().zip(counts) {
                        *sum += *count;
                    }
                }
            },
        );
        Ok(totals)
    }

    fn update(&mut self, optimizer: &OptimizerPlan, lr: f64) -> Result<UpdateFacts, PortError> {
        self.learns()?;
        let layout = &self.decoder.layout;
        let threads = self.workers.len();
        let norm = crate::update::norm(&self.gradient, threads);
        let mut facts = UpdateFacts { grad_norm: norm, ..UpdateFacts::default() };
        let told =
            |what: &str, (name, value): (&str, f32)| (format!("{what} `{name}`"), f64::from(value));
        if norm.is_finite() {
            let (state, gradient) = (&mut self.optimizer, &self.gradient);
            let (loads, speed) = (&self.loads, self.bias_speed);
            let changed = self.mtp.changed(layout);
            let mut left = None;
            self.weights.edit(layout, threads, |values, biases| {
                let changed = (layout.trained(), changed);
                left = state.step(changed, optimizer, lr, norm, (values, gradient), threads);
                crate::update::balance(biases, loads, speed);
            });
            if left.is_some() {
                let (values, biases) = (self.weights.trained(), self.weights.biases());
                let first = first_not_finite((layout, layout.trained()), values, biases);
                facts.not_finite = first.map(|first| told("weight in", first));
            }
        } else {
            let first = first_not_finite((layout, layout.trained()), &self.gradient, &[]);
            facts.not_finite = first.map(|first| told("gradient of", first));
        }
        facts.metrics = crate::balance::metrics(layout, &self.loads);
        facts.metrics.extend(self.mtp.take());
        self.gradient.fill(0.0);
        for load in self.loads.iter_mut().flatten() {
            *load = 0;
        }
        Ok(facts)
    }

    fn reset_optimizer(&mut self) {
        self.optimizer = Optimizer::new(&self.decoder.layout);
    }

    fn freeze(&mut self, name: &str) -> Result<(), PortError> {
        Ok(self.copies.keep(name, &self.decoder.layout, &self.weights)?)
    }

    fn follow(&mut self, name: &str, share: f64) -> Result<(), PortError> {
        Ok(self.copies.follow(name, share, (&self.decoder.layout, &self.weights))?)
    }

    fn take_weights(&mut self, weights: EarlierWeights<'_>) -> Result<(), PortError> {
        self.learns()?;
        match weights {
            EarlierWeights::Initial => {
                let threads = self.workers.len();
                self.first.reset(&self.decoder.layout, &mut self.weights, threads)?;
            }
            EarlierWeights::Saved(name) => {
                let home = self.home.clone();
                self.load_weights(&home.folder.join(name), &home.expected(name))?;
            }
            EarlierWeights::Body(name) => {
                Learner::take_weights(self, EarlierWeights::Initial)?;
                let home = self.home.clone();
                self.load_body(&home.folder.join(name), &home.expected(name))?;
            }
            EarlierWeights::Average(parts) => {
                let (layout, threads) = (&self.decoder.layout, self.workers.len());
                let initial = || Ok(self.first.weights::<E>(layout, threads)?.numbers(layout));
                let merge = merged::under(self.first.seed());
                let numbers = checkpoint::average(&self.home, layout, parts, initial, &merge)?;
                self.weights.set(layout, &numbers, threads);
            }
        }
        Ok(())
    }

    fn forget_frozen(&mut self) {
        self.copies.forget();
    }

    fn save(&mut self, name: &str, cursor: &Cursor) -> Result<SavedCheckpoint, PortError> {
        Ok(self.write(&self.home, name, cursor, None)?)
    }

    fn weights_sha256(&self) -> Result<String, PortError> {
        let Contents { layout, weights, .. } = self.contents();
        Ok(checkpoint::weights_sha256(layout, weights)?)
    }
}
