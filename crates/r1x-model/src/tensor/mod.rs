//! The `Policy` port on candle's tensors: the composed model on any device, with gradients from candle's tape.
//!
//! It computes what [`crate::DecoderPolicy`] computes, in `f32`, up to the rounding of the device; weights,
//! gradients and moments stay on the device. On the CPU it serves as the reference in tests.

mod copies;
mod generate;
mod idle;
mod optimizer;
mod score;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use r1x_core::loss::{Loss, LossTotals};
use r1x_core::plan::{ModelPlan, OptimizerPlan, SamplingPlan};
use r1x_core::port::{Cursor, EarlierWeights, GenerateRequest, SavedCheckpoint, UpdateFacts};
use r1x_core::{
    Completion, Encoder, Learner, PortError, Sampler, Stream, TrainingBatch, TrainingSequence,
};

use self::copies::{TensorCopies, numbers};
use self::idle::idle_parameters;
use self::optimizer::Moments;
use crate::balance::metrics;
use crate::checkpoint::{self, Contents, CopyKind, Expected, Home, Numbers, Place, WriteInside};
use crate::error::ModelError;
use crate::family::composed::said::{Answered, Entropies};
use crate::family::composed::{Composed, MtpPass, Pass, variables};
use crate::family::packed::Packed;
use crate::family::said::{Answers, Derivatives};
use crate::generate::Session;
use crate::initial::{self, First};
use crate::layout::{Layout, Parameter};
use crate::merged;
use crate::mtp::Mtp;
use crate::policy::{check_batch, check_head, pack};
use crate::published::{MissingHead, Published};
use crate::tokenizer::Tokenizer;
use crate::update::{balance, bias_speed, first_not_finite};

/// A decoder that can sample, score and learn on a device.
#[derive(Debug)]
pub struct TensorPolicy {
    model: Composed,
    /// What is trained as variables, in layout order.
    parameters: Vec<Var>,
    biases: Vec<Vec<f32>>,
    copies: TensorCopies,
    moments: Moments,
    /// Accumulated gradients in layout order; nothing where there was none since the last update.
    gradient: Vec<Option<Tensor>>,
    loads: Vec<Vec<u64>>,
    bias_speed: f32,
    mtp: Mtp,
    tokenizer: Tokenizer,
    pub(crate) home: Home,
    /// The weights that the policy began with.
    first: First,
    context_length: usize,
    device: Device,
}

impl TensorPolicy {
    /// A policy with fresh weights from `seed`, the same as those of a [`crate::DecoderPolicy`]; checkpoints go
    /// under `folder`.
    ///
    /// # Errors
    /// When the tokenizer cannot be built, or the device's memory does not suffice.
    pub fn new(
        plan: &ModelPlan,
        seed: u64,
        folder: PathBuf,
        device: &Device,
    ) -> Result<Self, ModelError> {
        check_head(plan)?;
        let tokenizer = Tokenizer::of_model(plan)?;
        let layout = Layout::new(plan);
        let first = First::of(plan, seed);
        let weights = first.weights::<f32>(&layout, 1)?;
        let variables = variables(&layout, &weights, DType::F32, device)?;
        let biases = weights.biases().to_vec();
        let wide = biases.iter().map(|layer| layer.iter().map(|b| f64::from(*b)).collect());
        let mut model = Composed::new(plan, &variables, wide.collect(), device)?;
        model.set_tokens(tokenizer.len());
        let parameters = in_order(&layout, variables)?;
        Ok(Self {
            moments: Moments::new(parameters.len()),
            gradient: vec![None; parameters.len()],
            loads: layout.experts.iter().map(|experts| vec![0; *experts]).collect(),
            copies: TensorCopies::default(),
            context_length: plan.context_length,
            device: device.clone(),
            model,
            parameters,
            biases,
            bias_speed: bias_speed(plan),
            mtp: Mtp::new(plan),
            tokenizer,
            home: Home::at(folder),
            first,
        })
    }

    /// Trained numbers in the model.
    pub fn parameter_count(&self) -> usize {
        self.model.layout().parameter_count()
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
        let numbers = checkpoint::load_weights(folder, self.model.layout(), expected)?;
        self.set_weights(&numbers)
    }

    /// Loads the weights of a checkpoint folder but for the head; see [`crate::Model::load_body`].
    ///
    /// # Errors
    /// As [`TensorPolicy::load_weights`].
    pub fn load_body(&mut self, folder: &Path, expected: &Expected<'_>) -> Result<(), ModelError> {
        let numbers = numbers(&self.model)?;
        let numbers = checkpoint::load_body(folder, self.model.layout(), expected, numbers)?;
        self.set_weights(&numbers)
    }

    /// Loads the weights of a published model, to sample from or to start with.
    ///
    /// # Errors
    /// When files are missing, or their tensors are not those of the configuration.
    pub fn load_published(&mut self, published: &Published) -> Result<(), ModelError> {
        let layout = self.model.layout();
        let weights = initial::learning::<f32>(published, layout, 1, MissingHead::Refused)?;
        self.model.set_base(&weights, &self.device)?;
        self.set_weights(&weights.numbers(self.model.layout()))
    }

    /// Writes a checkpoint; see [`crate::Model::write`].
    ///
    /// # Errors
    /// When numbers cannot be brought from the device, or the files cannot be written.
    pub fn write(
        &self,
        home: &Home,
        name: &str,
        cursor: &Cursor,
        critic: Option<WriteInside<'_>>,
    ) -> Result<SavedCheckpoint, ModelError> {
        let layout = self.model.layout();
        let weights = numbers(&self.model)?;
        let optimizer = self.moments.download(layout)?;
        let copies = self.copies.numbers()?;
        let contents = Contents {
            layout,
            weights: &weights,
            optimizer: &optimizer,
            copies: copies.iter().map(|(name, kind, one)| (*name, *kind, one as _)).collect(),
        };
        checkpoint::save(home, name, cursor, &contents, critic)
    }

    /// Loads everything of a checkpoint folder and returns where to go on.
    ///
    /// # Errors
    /// When files are missing, changed, of another shape, or not what is expected.
    pub fn load(&mut self, folder: &Path, expected: &Expected<'_>) -> Result<Place, ModelError> {
        let layout = self.model.layout();
        let loaded = checkpoint::load(folder, layout, expected, |_| {
            Numbers::zeros(layout, layout.trained())
        })?;
        self.copies.forget();
        for (name, (kind, numbers)) in &loaded.copies {
            // A copy is a snapshot of the model while it holds the copy's numbers.
            self.set_weights(numbers)?;
            self.copies.keep(name, *kind, self.model.snapshot()?);
        }
        self.set_weights(&loaded.weights)?;
        self.moments = Moments::upload(&loaded.optimizer, self.model.layout(), &self.device)?;
        Ok(loaded.place)
    }

    pub(crate) fn set_weights(&mut self, numbers: &Numbers) -> Result<(), ModelError> {
        let layout = self.model.layout();
        let trained = layout.trained().split(&numbers.values);
        for ((parameter, values), variable) in trained.zip(&self.parameters) {
            variable.set(&upload(parameter, values, &self.device)?)?;
        }
        self.biases.clone_from(&numbers.biases);
        self.model.set_biases(&self.biases);
        Ok(())
    }

    /// What the model says of the targets of some sequences, where there are targets, and the pass it came from; nothing
    /// when no token has another before it.
    fn forward(
        &self,
        model: &Composed,
        packed: &Packed,
        (temperature, entropies): (f32, Entropies),
    ) -> Result<Option<(Option<Answered>, Pass)>, ModelError> {
        if packed.tokens.is_empty() {
            return Ok(None);
        }
        let pass = model.pass(packed)?;
        if packed.targets.is_empty() {
            return Ok(Some((None, pass)));
        }
        let said = model.answered(&pass, packed, f64::from(temperature), entropies)?;
        Ok(Some((Some(said), pass)))
    }

    /// Forward, loss and backward over some sequences.
    fn learn(
        &mut self,
        sequences: &[Arc<TrainingSequence>],
        batch: &TrainingBatch,
        loss: &dyn Loss,
    ) -> Result<LossTotals, ModelError> {
        let packed = pack(sequences, SHARE_PROMPTS);
        let entropies = if loss.reads_entropies() { Entropies::Said } else { Entropies::Unsaid };
        let forward = self.forward(&self.model, &packed, (batch.temperature, entropies))?;
        let answers = numbers_of(forward.as_ref())?;
        let mut totals = LossTotals::default();
        let mut derivatives = Derivatives::default();
        for (sequence, said) in answers.by_sequence(sequences, loss) {
            let output = loss.evaluate(sequence, said);
            totals.add(&output.totals);
            derivatives.add(output);
        }
        let Some((said, pass)) = forward else { return Ok(totals) };
        let mut loads: Vec<_> = pass.routings.iter().map(|routing| routing.loads()).collect();
        let (further, mtp_loss) = self.look_ahead((&pass, &packed), sequences, batch, loss)?;
        self.mtp.add(mtp_loss);
        totals.loss += self.mtp.weight * mtp_loss.unwrap_or(0.0);
        let routings = further.iter().flat_map(|(one, _)| &one.pass.routings);
        loads.extend(routings.map(|routing| routing.loads()));
        for (sum, load) in self.loads.iter_mut().flatten().zip(loads.iter().flatten()) {
            *sum += load;
        }
        // Tokens without a signal still count in the balance loss, so that it does not depend on the split.
        let layout = self.model.layout();
        let mut ahead = further.iter().flat_map(|(_, gradients)| gradients);
        let credited = !derivatives.are_silent() || ahead.any(|g| *g != 0.0);
        if layout.has_balance_loss() || credited {
            let share = 1.0 / batch.sequences.len() as f64;
            let mut balance = self.model.balance_loss(&pass, &packed, share)?;
            for (one, _) in &further {
                let rows = &one.ahead.packed;
                balance = (balance + self.model.balance_loss(&one.pass, rows, share)?)?;
            }
            totals.loss += f64::from(balance.to_scalar::<f32>()?);
            // The tape starts from the loss's derivative by each number that was said; which loss it was, it never learns.
            let predicted = match said {
                Some(said) => said.weighted(&derivatives, &self.device)?,
                // A factor of 0 keeps the head on the tape where no token is predicted.
                None => (self.model.head(&pass.residual)?.sum_all()? * 0.0)?,
            };
            let mut seed = (predicted + balance)?;
            for (one, gradients) in &further {
                let gradients = Tensor::new(&gradients[..], &self.device)?;
                seed = (seed + (&one.logprobs * gradients)?.sum_all()?)?;
            }
            self.accumulate_from(&seed, &loads, further.len())?;
        }
        Ok(totals)
    }

    /// The passes of the modules of multi-token prediction, with the gradients of their log-probs, and the mean of their
    /// losses; nothing where they are not trained.
    fn look_ahead(
        &self,
        (pass, packed): (&Pass, &Packed),
        sequences: &[Arc<TrainingSequence>],
        batch: &TrainingBatch,
        loss: &dyn Loss,
    ) -> Result<LookedAhead, ModelError> {
        let Some(loss) = self.mtp.loss(loss) else { return Ok((Vec::new(), None)) };
        let tokens = sequences.iter().map(|one| (&one.tokens[..], one.prompt_len));
        let passes = self.model.mtp(pass, tokens, packed, f64::from(batch.temperature))?;
        let (mut further, mut sum) = (Vec::with_capacity(passes.len()), 0.0);
        for (module, pass) in passes.into_iter().enumerate() {
            let said = pass.logprobs.to_vec1::<f32>()?;
            let credit = self.mtp.credit(loss, sequences, module, &said);
            sum += credit.loss;
            further.push((pass, credit.gradients));
        }
        Ok((further, Some(self.mtp.mean(sum))))
    }

    /// Adds the gradients of a scalar. A parameter without one is an error, unless it belongs to an expert that
    /// no row chose or to a module of multi-token prediction that was not computed: candle drops gradients silently where an op has no backward.
    fn accumulate_from(
        &mut self,
        seed: &Tensor,
        loads: &[Vec<u64>],
        modules: usize,
    ) -> Result<(), ModelError> {
        let mut gradients = seed.backward()?;
        let layout = self.model.layout();
        let idle = idle_parameters(layout, loads, modules);
        let parameters = layout.trained().parameters.iter().zip(&self.parameters);
        for ((parameter, variable), sum) in parameters.zip(&mut self.gradient) {
            // Detached at once: a variable's gradient holds on to every activation otherwise.
            let Some(gradient) = gradients.remove(variable).map(|gradient| gradient.detach())
            else {
                if idle.contains(&parameter.offset) {
                    continue;
                }
                return Err(ModelError::NoGradient { name: parameter.name.clone() });
            };
            *sum = Some(match sum.take() {
                Some(sum) => (sum + gradient)?,
                None => gradient,
            });
        }
        Ok(())
    }

    fn check(&self, batch: &TrainingBatch) -> Result<(), ModelError> {
        check_batch(batch, self.context_length, self.model.tokens())
    }

    fn clear(&mut self) {
        self.gradient.fill(None);
        self.loads.iter_mut().flatten().for_each(|load| *load = 0);
    }

    /// The accumulated gradient in layout order.
    #[cfg(test)]
    pub(crate) fn gradient(&self) -> Vec<f32> {
        download(self.model.layout(), self.gradient.iter().map(Option::as_ref)).unwrap()
    }

    /// Selection biases by layer.
    #[cfg(test)]
    pub(crate) fn biases(&self) -> &[Vec<f32>] {
        &self.biases
    }

    /// The model that is trained.
    #[cfg(test)]
    pub(crate) fn model(&self) -> &Composed {
        &self.model
    }

    /// Completions in batches of given sizes, which [`Sampler::generate_each`] chooses itself.
    #[cfg(test)]
    pub(crate) fn generate_within(
        &self,
        limits: crate::generate::Limits,
        requests: &[GenerateRequest],
        (sampling, stream): (&SamplingPlan, Stream),
    ) -> Vec<Vec<Completion>> {
        let session = Session { requests, sampling, stream, ends: self.tokenizer.ends() };
        let mut groups = vec![Vec::new(); requests.len()];
        let mut each = |request: usize, completions| groups[request] = completions;
        generate::within(limits, &self.model.frozen(), &session, &mut each).unwrap();
        groups
    }

    /// A backward pass in which most parameters take no part.
    #[cfg(test)]
    pub(crate) fn lose_a_gradient(&mut self) -> Result<(), ModelError> {
        let seed = self.parameters[0].as_tensor().sum_all()?;
        self.accumulate_from(&seed, &[], 0)
    }

    /// The current weights in layout order.
    ///
    /// # Errors
    /// When the device fails.
    pub(crate) fn values(&self) -> Result<Vec<f32>, ModelError> {
        Ok(numbers(&self.model)?.values)
    }
}

/// Whether neighbours with one prompt share its rows: a tape has no rows that several sequences attend to.
const SHARE_PROMPTS: bool = false;

/// Passes of modules of multi-token prediction with the gradients of their log-probs, and the mean of their losses.
type LookedAhead = (Vec<(MtpPass, Vec<f32>)>, Option<f64>);

/// The variables of what is trained, in the order of the layout.
fn in_order(layout: &Layout, variables: BTreeMap<String, Var>) -> Result<Vec<Var>, ModelError> {
    let find = |parameter: &Parameter| {
        variables.get(&parameter.name).cloned().ok_or_else(|| ModelError::Parameter {
            name: parameter.name.clone(),
            problem: "is missing".to_owned(),
        })
    };
    layout.trained().parameters.iter().map(find).collect()
}

/// The values of a parameter as a tensor on a device.
fn upload(parameter: &Parameter, values: &[f32], device: &Device) -> Result<Tensor, ModelError> {
    Ok(Tensor::from_slice(values, &parameter.shape[..], device)?)
}

/// Tensors of everything that is trained as numbers in layout order; nothing is zeros.
fn download<'a>(
    layout: &Layout,
    tensors: impl IntoIterator<Item = Option<&'a Tensor>>,
) -> Result<Vec<f32>, ModelError> {
    let trained = layout.trained();
    let mut values = vec![0.0; trained.len()];
    for (parameter, tensor) in trained.parameters.iter().zip(tensors) {
        let Some(tensor) = tensor else { continue };
        let part = tensor.detach().flatten_all()?.to_vec1::<f32>()?;
        values[trained.place(parameter)].copy_from_slice(&part);
    }
    Ok(values)
}

/// What a pass says of its targets.
fn numbers_of(forward: Option<&(Option<Answered>, Pass)>) -> Result<Answers<f32>, ModelError> {
    match forward {
        Some((Some(said), _)) => said.numbers(),
        Some((None, _)) | None => Ok(Answers::default()),
    }
}

impl Encoder for TensorPolicy {
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
        self.context_length
    }
}

impl Sampler for TensorPolicy {
    fn generate_each(
        &self,
        requests: &[GenerateRequest],
        sampling: &SamplingPlan,
        stream: Stream,
        each: &mut dyn FnMut(usize, Vec<Completion>),
    ) -> Result<(), PortError> {
        self.model.layout().can_write()?;
        let session = Session { requests, sampling, stream, ends: self.tokenizer.ends() };
        Ok(generate::generate(&self.model.frozen(), &session, each)?)
    }
}

impl Learner for TensorPolicy {
    fn accumulate(
        &mut self,
        batch: &TrainingBatch,
        loss: &dyn Loss,
    ) -> Result<LossTotals, PortError> {
        self.check(batch)?;
        let mut totals = LossTotals::default();
        for sequences in batch.sequences.chunks(batch.micro_batch_size) {
            totals.add(&self.learn(sequences, batch, loss)?);
        }
        Ok(totals)
    }

    fn update(&mut self, optimizer: &OptimizerPlan, lr: f64) -> Result<UpdateFacts, PortError> {
        let norm = optimizer::norm(&self.gradient)?;
        let mut not_finite = None;
        if norm.is_finite() {
            let layout = self.model.layout();
            let (changed, parameters) = (self.mtp.changed(layout), &self.parameters);
            let gradient = (&self.gradient[..], norm);
            self.moments.step(changed, parameters, optimizer, lr, gradient)?;
            balance(&mut self.biases, &self.loads, self.bias_speed);
            self.model.set_biases(&self.biases);
            let variables = self.parameters.iter().map(Var::as_tensor);
            // One number leaves the device; all of them do only for the name of what is wrong.
            if !optimizer::all_finite(variables)? {
                let numbers = numbers(&self.model)?;
                let layout = self.model.layout();
                let first =
                    first_not_finite((layout, layout.trained()), &numbers.values, &numbers.biases);
                not_finite = first.map(|(name, value)| (format!("weight in `{name}`"), value));
            }
        } else {
            let gradient = download(self.model.layout(), self.gradient.iter().map(Option::as_ref))?;
            let layout = self.model.layout();
            let first = first_not_finite((layout, layout.trained()), &gradient, &[]);
            not_finite = first.map(|(name, value)| (format!("gradient of `{name}`"), value));
        }
        let mut metrics = metrics(self.model.layout(), &self.loads);
        metrics.extend(self.mtp.take());
        let facts = UpdateFacts {
            grad_norm: norm,
            metrics,
            not_finite: not_finite.map(|(what, value)| (what, f64::from(value))),
        };
        self.clear();
        Ok(facts)
    }

    fn reset_optimizer(&mut self) {
        self.moments = Moments::new(self.parameters.len());
    }

    fn freeze(&mut self, name: &str) -> Result<(), PortError> {
        self.copies.check(name)?;
        self.copies.keep(name, CopyKind::Fixed, self.model.snapshot()?);
        Ok(())
    }

    fn follow(&mut self, name: &str, share: f64) -> Result<(), PortError> {
        self.copies.check(name)?;
        if let Some(mut copy) = self.copies.following(name)? {
            let current = numbers(&self.model)?;
            copy.follow((&current.values, &current.biases), share);
            self.set_weights(&copy)?;
            self.copies.keep(name, CopyKind::Following, self.model.snapshot()?);
            self.set_weights(&current)?;
        } else {
            self.copies.keep(name, CopyKind::Following, self.model.snapshot()?);
        }
        Ok(())
    }

    fn take_weights(&mut self, weights: EarlierWeights<'_>) -> Result<(), PortError> {
        match weights {
            EarlierWeights::Initial => {
                let layout = self.model.layout();
                let weights = self.first.weights::<f32>(layout, 1)?;
                self.set_weights(&weights.numbers(layout))?;
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
                let layout = self.model.layout();
                let initial = || Ok(self.first.weights::<f32>(layout, 1)?.numbers(layout));
                let merge = merged::under(self.first.seed());
                let numbers = checkpoint::average(&self.home, layout, parts, initial, &merge)?;
                self.set_weights(&numbers)?;
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
        let numbers = numbers(&self.model)?;
        Ok(checkpoint::weights_sha256(self.model.layout(), &numbers)?)
    }
}
