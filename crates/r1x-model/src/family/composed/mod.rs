//! The decoder as a composition of candle tensors: any device candle has, gradients by candle's tape.
//!
//! This is the form of the family that devices run and the reference the hand-written one is checked against: latent
//! attention is expanded to keys and values, experts are chosen by sorting on the host, and no gradient is written
//! by hand.

mod attention;
mod blocks;
mod decode;
mod feed_forward;
mod mtp;
pub mod said;

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{Embedding, Linear, Module};
use r1x_core::plan::ModelPlan;
use r1x_ops::Real;
use r1x_ops::op::{Rotary, rms_norm, token_logprob};

use self::attention::{Projected, Segment};
pub use self::blocks::TensorBlocks;
pub use self::feed_forward::Routing;
pub use self::mtp::MtpPass;
use super::decoder::rotation;
use super::packed::Packed;
use crate::error::ModelError;
use crate::layout::{AdapterPlaces, Attention, Block, Head, Layer, Layout, Vector};
use crate::weights::Weights;

/// A model on a device.
#[derive(Clone, Debug)]
pub struct Composed {
    layout: Layout,
    parameters: Parameters,
    biases: Vec<Vec<f64>>,
    /// The windows that layers have, each once.
    windows: Vec<usize>,
    context_length: usize,
    /// Rows of the vocabulary that are tokens.
    tokens: usize,
    eps: f64,
    rotary: Rotary,
    dtype: DType,
    device: Device,
}

/// What the layers make of some rows; logits, log-probs and the balance loss follow from it.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The residual stream after the last layer, `[rows, hidden]`, before the final norm.
    pub residual: Tensor,
    /// What the router of every layer with experts decided, in layer order.
    pub routings: Vec<Routing>,
}

/// Parameter tensors by their offset in the layout, which is what layers refer to.
#[derive(Clone, Debug)]
struct Parameters {
    by_offset: BTreeMap<usize, Tensor>,
    /// The offset of the bias of a matrix by the offset of the matrix, where its products have one.
    biases: BTreeMap<usize, usize>,
    /// The adapter of a matrix by the offset of the matrix, where it has one.
    adapters: BTreeMap<usize, AdapterPlaces>,
}

impl Parameters {
    /// Takes every parameter of the layout by name and checks that it has the planned shape, the type of the
    /// embedding and the device.
    fn new(
        layout: &Layout,
        weights: &BTreeMap<String, Var>,
        (dtype, device): (DType, &Device),
    ) -> Result<Self, ModelError> {
        let mut by_offset = BTreeMap::new();
        let trained = layout.trained().range.start;
        for parameter in layout.parameters() {
            let tensor = named(weights, &parameter.name)?;
            let problem = if tensor.dims() != parameter.shape {
                format!("has shape {:?}, the plan says {:?}", tensor.dims(), parameter.shape)
            } else if tensor.dtype() != dtype {
                format!("is {:?}, the embedding is {dtype:?}", tensor.dtype())
            } else if !tensor.device().same_device(device) {
                let (found, wanted) = (tensor.device().location(), device.location());
                format!("is on {found:?}, the model on {wanted:?}")
            } else {
                // Of what is not trained there is no gradient, and nothing of a pass is kept for one.
                let is_trained = parameter.offset >= trained;
                let tensor = if is_trained { tensor.clone() } else { tensor.detach() };
                by_offset.insert(parameter.offset, tensor);
                continue;
            };
            return Err(ModelError::Parameter { name: parameter.name.clone(), problem });
        }
        let offsets: BTreeMap<&str, usize> =
            layout.parameters().map(|one| (one.name.as_str(), one.offset)).collect();
        let biases = offsets.iter().filter_map(|(name, bias)| {
            let matrix = format!("{}.weight", name.strip_suffix(".bias")?);
            Some((*offsets.get(matrix.as_str())?, *bias))
        });
        let adapters = layout.adapter_places.iter().map(|places| (places.beside.offset, *places));
        Ok(Self { by_offset, biases: biases.collect(), adapters: adapters.collect() })
    }

    fn at(&self, offset: usize) -> Result<&Tensor, ModelError> {
        self.by_offset.get(&offset).ok_or_else(|| ModelError::Parameter {
            name: format!("at offset {offset}"),
            problem: "is not in the layout".to_owned(),
        })
    }

    /// x `[rows, in]` · Wᵀ, with what an adapter adds and with the bias where there are any.
    fn linear(&self, block: impl Into<Block>, x: &Tensor) -> Result<Tensor, ModelError> {
        let offset = block.into().offset;
        let bias = self.biases.get(&offset).map(|bias| self.at(*bias).cloned()).transpose()?;
        let y = Linear::new(self.at(offset)?.clone(), bias).forward(x)?;
        let Some(adapter) = self.adapters.get(&offset) else { return Ok(y) };
        let plain =
            |block: Block| Ok::<_, ModelError>(Linear::new(self.at(block.offset)?.clone(), None));
        let added = plain(adapter.up)?.forward(&plain(adapter.down)?.forward(x)?)?;
        Ok((y + (added * adapter.factor)?)?)
    }

    /// RMSNorm with this gain.
    fn norm(&self, gain: Vector, x: &Tensor, eps: f64) -> Result<Tensor, ModelError> {
        Ok(rms_norm(x, self.at(gain.offset)?, eps)?)
    }
}

fn named<'a>(weights: &'a BTreeMap<String, Var>, name: &str) -> Result<&'a Tensor, ModelError> {
    weights.get(name).map(Var::as_tensor).ok_or_else(|| ModelError::Parameter {
        name: name.to_owned(),
        problem: "is missing".to_owned(),
    })
}

/// Fresh variables on a device with the values of hand-written weights, by parameter name.
///
/// # Errors
/// When the device refuses them.
pub fn variables<R: Real>(
    layout: &Layout,
    weights: &Weights<R>,
    dtype: DType,
    device: &Device,
) -> Result<BTreeMap<String, Var>, ModelError> {
    let variable = |parameter: &crate::layout::Parameter| {
        let values = weights.parameter(parameter);
        let values: Vec<f64> = values.iter().map(|value| value.to_f64()).collect();
        let tensor = Tensor::from_vec(values, &parameter.shape[..], &Device::Cpu)?;
        let tensor = tensor.to_dtype(dtype)?.to_device(device)?;
        Ok((parameter.name.clone(), Var::from_tensor(&tensor)?))
    };
    layout.parameters().map(variable).collect()
}

/// The windows that layers have, each once.
fn windows(layout: &Layout) -> Vec<usize> {
    let window = |layer: &Layer| match &layer.attention {
        Attention::Gqa(gqa) => gqa.window,
        Attention::Mla(_) => usize::MAX,
    };
    layout.layers.iter().map(window).collect::<BTreeSet<_>>().into_iter().collect()
}

impl Composed {
    /// The planned model over these variables, all of one floating-point type and on `device`. `biases` are
    /// the selection biases of every layer with experts, in layer order; they steer and carry no gradient.
    ///
    /// # Errors
    /// When a parameter is missing or does not fit the plan, or the device refuses a table.
    pub fn new(
        plan: &ModelPlan,
        weights: &BTreeMap<String, Var>,
        biases: Vec<Vec<f64>>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let layout = Layout::new(plan);
        for (index, (name, experts)) in layout.biases.iter().enumerate() {
            let found = biases.get(index).map_or(0, Vec::len);
            if found != *experts {
                let problem = format!("has {found} biases for {experts} experts");
                return Err(ModelError::Parameter { name: name.clone(), problem });
            }
        }
        // The embedding is the first parameter.
        let dtype = named(weights, &layout.base.parameters[0].name)?.dtype();
        let (frequencies, pairing) = rotation(plan);
        Ok(Self {
            parameters: Parameters::new(&layout, weights, (dtype, device))?,
            windows: windows(&layout),
            layout,
            biases,
            context_length: plan.context_length,
            tokens: plan.vocabulary_size,
            eps: plan.norm_eps,
            rotary: Rotary::new(&frequencies, plan.context_length, pairing, dtype, device)?,
            dtype,
            device: device.clone(),
        })
    }

    /// A model over the numbers of this one, of which no gradient is taken, so that nothing of a pass is kept for it.
    pub fn frozen(&self) -> Self {
        let mut frozen = self.clone();
        frozen.parameters.by_offset.values_mut().for_each(|tensor| *tensor = tensor.detach());
        frozen
    }

    /// The model as it is now, in memory of its own: later updates do not reach it.
    ///
    /// # Errors
    /// When the device's memory does not suffice.
    pub fn snapshot(&self) -> Result<Self, ModelError> {
        let mut snapshot = self.frozen();
        let trained = snapshot.layout.trained().range.start;
        for (_, tensor) in snapshot.parameters.by_offset.range_mut(trained..) {
            *tensor = tensor.copy()?;
        }
        Ok(snapshot)
    }

    /// No block yet of keys and values of this model.
    pub fn blocks(&self) -> TensorBlocks {
        TensorBlocks::new(&self.layout, self.dtype, &self.device)
    }

    /// Rows of the vocabulary that are tokens: all, unless [`Composed::set_tokens`] has said otherwise.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Says how many rows of the vocabulary are tokens. Those behind them are never drawn, and have no part in a softmax.
    pub fn set_tokens(&mut self, tokens: usize) {
        self.tokens = tokens;
    }

    /// Longest sequence.
    pub fn context_length(&self) -> usize {
        self.context_length
    }

    /// Replaces what is not trained by the values of hand-written weights.
    ///
    /// # Errors
    /// When the device refuses them.
    pub(crate) fn set_base(
        &mut self,
        weights: &Weights<f32>,
        device: &Device,
    ) -> Result<(), ModelError> {
        if self.layout.adapters.is_none() {
            return Ok(());
        }
        for parameter in &self.layout.base.parameters {
            let values = weights.parameter(parameter);
            let tensor = Tensor::from_slice(&values, &parameter.shape[..], device)?;
            self.parameters.by_offset.insert(parameter.offset, tensor.to_dtype(self.dtype)?);
        }
        Ok(())
    }

    /// A parameter by its place in the layout.
    ///
    /// # Errors
    /// When the layout has no parameter there.
    pub fn parameter(&self, offset: usize) -> Result<&Tensor, ModelError> {
        self.parameters.at(offset)
    }

    /// Selection biases of every layer with experts.
    pub fn biases(&self) -> &[Vec<f64>] {
        &self.biases
    }

    /// Replaces the selection biases.
    pub fn set_biases(&mut self, biases: &[Vec<f32>]) {
        for (to, from) in self.biases.iter_mut().flatten().zip(biases.iter().flatten()) {
            *to = f64::from(*from);
        }
    }

    /// Where parameters lie and what they are called.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Logits `[rows, vocabulary]` at every row of packed sequences.
    ///
    /// # Errors
    /// As [`Composed::pass`].
    pub fn forward(&self, packed: &Packed) -> Result<Tensor, ModelError> {
        self.logits(&self.pass(packed)?.residual)
    }

    /// Runs packed sequences through embedding and layers. Rows of different sequences never meet.
    ///
    /// # Errors
    /// When there are no rows, a sequence is longer than the context, a token is outside the vocabulary, or
    /// the device fails.
    pub fn pass(&self, packed: &Packed) -> Result<Pass, ModelError> {
        let segments = self.segments(packed)?;
        self.run(&packed.tokens, &packed.positions, |_, projected| projected.attend(&segments))
    }

    fn embed(&self, tokens: &[u32]) -> Result<Tensor, ModelError> {
        let tokens = Tensor::new(tokens, &self.device)?;
        let embedding = self.parameters.at(self.layout.embedding.offset)?.clone();
        Ok(Embedding::new(embedding, self.layout.embedding.columns).forward(&tokens)?)
    }

    /// Runs rows through embedding and layers; `attend` answers for a layer's attention, `[rows, heads, value]`.
    fn run(
        &self,
        tokens: &[u32],
        positions: &[usize],
        mut attend: impl FnMut(usize, &Projected) -> Result<Tensor, ModelError>,
    ) -> Result<Pass, ModelError> {
        let vocabulary = self.layout.vocabulary;
        if let Some(token) = tokens.iter().find(|token| **token as usize >= vocabulary) {
            return Err(ModelError::UnknownToken { token: *token, size: vocabulary });
        }
        let mut x = self.embed(tokens)?;
        let mut routings = Vec::new();
        for (index, layer) in self.layout.layers.iter().enumerate() {
            let routing;
            (x, routing) = self.layer(layer, x, positions, |projected| attend(index, projected))?;
            routings.extend(routing);
        }
        Ok(Pass { residual: x, routings })
    }

    /// The residual stream of some rows behind a layer, and what the router of the layer decided.
    fn layer(
        &self,
        layer: &Layer,
        x: Tensor,
        positions: &[usize],
        attend: impl FnOnce(&Projected) -> Result<Tensor, ModelError>,
    ) -> Result<(Tensor, Option<Routing>), ModelError> {
        let normed = self.parameters.norm(layer.attention_norm, &x, self.eps)?;
        let attended = attend(&self.project(&layer.attention, &normed, positions)?)?;
        let x = (x + self.unproject(&layer.attention, &attended)?)?;
        let normed = self.parameters.norm(layer.feed_forward_norm, &x, self.eps)?;
        let (output, routing) = self.feed_forward(&layer.feed_forward, &normed)?;
        Ok(((x + output)?, routing))
    }

    /// Logits `[rows, vocabulary]` of rows of the residual stream `[rows, hidden]`.
    ///
    /// # Errors
    /// When the shape does not fit or the device fails.
    pub fn logits(&self, residual: &Tensor) -> Result<Tensor, ModelError> {
        let normed = self.parameters.norm(self.layout.final_norm, residual, self.eps)?;
        self.parameters.linear(self.layout.head.matrix(), &normed)
    }

    /// What the head says at rows of the residual stream `[rows, hidden]`: logits `[rows, vocabulary]`, or values
    /// `[rows, 1]`.
    ///
    /// # Errors
    /// As [`Composed::logits`].
    pub(crate) fn head(&self, residual: &Tensor) -> Result<Tensor, ModelError> {
        let Head::Value(row) = self.layout.head else { return self.logits(residual) };
        let normed = self.parameters.norm(self.layout.final_norm, residual, self.eps)?;
        Ok(normed.matmul(&self.parameters.at(row.offset)?.t()?)?)
    }

    /// What the model says of every target of the packed sequences, `[targets]`: its log-prob at this temperature, or the
    /// value of its predicting row, which knows no temperature.
    ///
    /// # Errors
    /// As [`Composed::token_logprobs`].
    pub(crate) fn say(
        &self,
        pass: &Pass,
        packed: &Packed,
        temperature: f64,
    ) -> Result<Tensor, ModelError> {
        match self.layout.head {
            Head::Vocabulary(_) => self.token_logprobs(pass, packed, temperature),
            Head::Value(_) => {
                let rows = self.predicting(&pass.residual, packed)?;
                Ok(self.head(&rows)?.squeeze(1)?)
            }
        }
    }

    /// The rows of the residual stream that predict the targets, `[targets, hidden]`.
    fn predicting(&self, residual: &Tensor, packed: &Packed) -> Result<Tensor, ModelError> {
        let rows: Vec<u32> = packed.predicting.iter().map(|row| *row as u32).collect();
        Ok(residual.index_select(&Tensor::new(rows, &self.device)?, 0)?)
    }

    /// Log-prob of every target of the packed sequences, in nats, `[targets]`. Only predicting rows meet the
    /// head.
    ///
    /// # Errors
    /// When nothing is predicted, the temperature is not positive, or the device fails.
    pub fn token_logprobs(
        &self,
        pass: &Pass,
        packed: &Packed,
        temperature: f64,
    ) -> Result<Tensor, ModelError> {
        self.logprobs_after(self.layout.final_norm, &pass.residual, packed, temperature)
    }

    /// Log-prob of every target, with a norm before the head that need not be the last one of the model.
    fn logprobs_after(
        &self,
        norm: Vector,
        residual: &Tensor,
        packed: &Packed,
        temperature: f64,
    ) -> Result<Tensor, ModelError> {
        let rows = self.predicting(residual, packed)?;
        let normed = self.parameters.norm(norm, &rows, self.eps)?;
        let logits = self.parameters.linear(self.layout.head.matrix(), &normed)?;
        let logits = logits.narrow(1, 0, self.tokens)?;
        Ok(token_logprob(&logits, &packed.targets, temperature)?)
    }

    /// The sequence-wise balance loss of all layers with experts, as a scalar; `weight` is one over the number
    /// of sequences in the whole update.
    ///
    /// # Errors
    /// When the device fails.
    pub fn balance_loss(
        &self,
        pass: &Pass,
        packed: &Packed,
        weight: f64,
    ) -> Result<Tensor, ModelError> {
        let mut loss = Tensor::zeros((), self.dtype, &self.device)?;
        for routing in &pass.routings {
            // A factor of 0 would only add zeros.
            if !routing.has_balance_loss() {
                continue;
            }
            for pair in packed.boundaries.windows(2).filter(|pair| pair[0] < pair[1]) {
                loss = (loss + (routing.balance(pair[0]..pair[1])? * weight)?)?;
            }
        }
        Ok(loss)
    }

    /// The sequences of a pass that have rows, with their masks.
    fn segments(&self, packed: &Packed) -> Result<Vec<Segment>, ModelError> {
        let mut segments = Vec::new();
        for pair in packed.boundaries.windows(2).filter(|pair| pair[0] < pair[1]) {
            let length = pair[1] - pair[0];
            if length > self.context_length {
                return Err(ModelError::TooLong { length, limit: self.context_length });
            }
            let place = (self.dtype, &self.device);
            segments.push(Segment::new((pair[0], length), 0, &self.windows, place)?);
        }
        if segments.is_empty() {
            return Err(candle_core::Error::msg("a pass needs a sequence of two tokens").into());
        }
        Ok(segments)
    }
}
