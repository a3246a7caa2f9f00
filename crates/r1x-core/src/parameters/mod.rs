//! The parameters of a model as a list: name, shape, role and initial values of every tensor.
//!
//! A family is data: a table with a row for each kind of tensor. The layout in memory, checkpoints, counts and both
//! implementations read these rows, so a new parameter is a new row. Layers that are alike share their rows, and so
//! do the experts of a layer, which keeps the list short for models that no memory could hold.

mod adapters;
mod family;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::plan::ModelPlan;

/// Which tensor of the family a row is: what an implementation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorKind {
    /// The vectors of the tokens, `[vocabulary, hidden]`.
    Embedding,
    /// The gain of the norm before attention.
    AttentionNorm,
    /// From the residual stream to queries.
    Query,
    /// From the residual stream to keys.
    Key,
    /// From the residual stream to values.
    Value,
    /// Added to queries.
    QueryBias,
    /// Added to keys.
    KeyBias,
    /// Added to values.
    ValueBias,
    /// The gain of the norm of queries before they turn, of a head or of all heads together.
    QueryHeadNorm,
    /// The gain of the norm of keys before they turn, of a head or of all heads together.
    KeyHeadNorm,
    /// From the residual stream to the latent of the queries (MLA).
    QueryDown,
    /// Added to the latent of the queries (MLA).
    QueryDownBias,
    /// The gain of the norm of the queries' latent (MLA).
    QueryNorm,
    /// From the latent of the queries to queries (MLA).
    QueryUp,
    /// From the residual stream to the latent of keys and values and to the rotary key that all heads share (MLA).
    ContextDown,
    /// Added to the latent of keys and values and to the rotary key (MLA).
    ContextDownBias,
    /// The gain of the norm of the latent of keys and values (MLA).
    ContextNorm,
    /// From the latent of keys and values: for each head the rows of its key, then those of its value (MLA).
    ContextUp,
    /// From what the heads attended to back to the residual stream.
    Output,
    /// Added to what the output projection gives.
    OutputBias,
    /// The gain of the norm before the feed-forward.
    FeedForwardNorm,
    /// From the residual stream to a logit for each routed expert.
    Router,
    /// What is added to the affinity of each routed expert when experts are chosen.
    SelectionBias,
    /// From the residual stream to the logit that the output of the shared experts is gated by, `[1, hidden]`.
    SharedGate,
    /// The gate projection of a SwiGLU.
    GateProjection,
    /// The up projection of a SwiGLU.
    UpProjection,
    /// The down projection of a SwiGLU.
    DownProjection,
    /// Added to what the gate projection gives.
    GateProjectionBias,
    /// Added to what the up projection gives.
    UpProjectionBias,
    /// Added to what the down projection gives.
    DownProjectionBias,
    /// The gain of the norm after the last layer.
    FinalNorm,
    /// From the residual stream to logits, `[vocabulary, hidden]`; absent where the embedding serves as head.
    Head,
    /// From the residual stream to the value of a position, `[1, hidden]`; absent where the head is over the vocabulary.
    ValueHead,
    /// The gain of the norm of a token's embedding, in a module of multi-token prediction.
    MtpEmbeddingNorm,
    /// The gain of the norm of what the module before hands over, in a module of multi-token prediction.
    MtpHiddenNorm,
    /// From those two, side by side, to the residual stream of the module, `[hidden, 2 · hidden]`.
    MtpProjection,
    /// The gain of the norm between the layer of a module of multi-token prediction and the output head.
    MtpNorm,
}

/// What the numbers of a tensor are for, which says how they are kept and who changes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A matrix whose rows are looked up.
    Embedding,
    /// A factor `[out, in]` of matrix products, of the plan's precision there.
    Factor,
    /// A factor `[out, in]` of matrix products that round neither factor. The router is one, as in DeepSeek-V3: a
    /// rounded factor flips choices, which no later sum mends.
    ExactFactor,
    /// A vector that rows are multiplied with, or that is added to them.
    Vector,
    /// A vector that steers the choice of experts. Load balancing changes it and the optimizer does not.
    SelectionBias,
}

impl Role {
    /// Whether the optimizer changes the tensor.
    pub fn is_trained(self) -> bool {
        self != Role::SelectionBias
    }
}

/// The values a tensor starts with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// Draws from a normal distribution around 0, from a stream with the tensor's name.
    Normal {
        /// Its standard deviation.
        std: f64,
    },
    /// Ones.
    Ones,
    /// Zeros.
    Zeros,
    /// Draws from a uniform distribution around 0, from a stream with the tensor's name.
    Uniform {
        /// The largest size of a draw.
        bound: f64,
    },
}

/// Whether a tensor lies apart from the one of the row before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// The tensor is multiplied on its own, or not at all.
    Apart,
    /// The tensor is multiplied with the rows that the tensor before it is multiplied with, and lies
    /// right behind it, so that one product serves both.
    Joined,
}

/// A row of the list: a tensor, or as many of its kind as there are layers and experts.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Which tensor it is.
    pub kind: TensorKind,
    /// What its numbers are for.
    pub role: Role,
    /// Its name in checkpoints, which is the one Hugging Face gives it, with `{layer}` and `{expert}` where these
    /// numbers stand.
    pub name: String,
    /// Its shape, `[out, in]` of a matrix and `[length]` of a vector.
    pub shape: Vec<usize>,
    /// The values it starts with.
    pub initial: Initial,
    /// Whether it lies apart from the tensor before.
    pub neighbour: Neighbour,
}

impl Tensor {
    /// The name of the tensor in this layer and of this expert.
    pub fn name_in(&self, layer: usize, expert: usize) -> String {
        let name = self.name.replace("{layer}", &layer.to_string());
        name.replace("{expert}", &expert.to_string())
    }

    /// The number of its elements, or the largest number.
    pub fn size(&self) -> u64 {
        self.shape.iter().fold(1, |product, side| product.saturating_mul(*side as u64))
    }
}

/// What the tensors of a module do together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleKind {
    /// What is before the layers.
    Front,
    /// Attention with its norm.
    Attention,
    /// A dense feed-forward, or the router of a mixture of experts, with its norm.
    FeedForward,
    /// A routed expert.
    Expert,
    /// All shared experts as one.
    SharedExperts,
    /// What is after the layers.
    Back,
    /// What a module of multi-token prediction has beside its layer.
    Mtp,
}

/// Tensors that follow each other, once or several times.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// What they do.
    pub kind: ModuleKind,
    /// How many modules of these rows follow each other: the number of experts, else 1.
    pub copies: usize,
    /// How many of the copies a token goes through that is sampled or scored: none in multi-token prediction.
    pub active: usize,
    /// The rows, in the order in which they lie in memory.
    pub tensors: Vec<Tensor>,
    /// The adapters of the module, in the order of the rows that they stand beside; none where weights are trained
    /// themselves.
    pub adapters: Vec<Adapter>,
}

/// The two rows that are trained in place of a third (LoRA).
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// The name of the tensor that they stand beside, with `{layer}` and `{expert}`.
    pub beside: String,
    /// From the input of the tensor to the rank, `[rank, in]`.
    pub down: Tensor,
    /// From the rank to the output of the tensor, `[out, rank]`.
    pub up: Tensor,
}

/// Layers that have the same rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Layers {
    /// Their numbers.
    pub range: Range<usize>,
    /// What each consists of, in order.
    pub modules: Vec<Module>,
}

/// A row of the list with the number of tensors it stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counted<'a> {
    /// The row.
    pub tensor: &'a Tensor,
    /// How many tensors there are, over all layers and experts.
    pub count: u64,
    /// How many of them one token goes through.
    pub active: u64,
}

/// The tensors of a model, in the order in which they lie in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterList {
    /// What is before the layers.
    pub front: Module,
    /// The layers from the first to the last, those that are alike in one entry.
    pub layers: Vec<Layers>,
    /// What is after the layers.
    pub back: Module,
    /// The modules of multi-token prediction, each a layer whose number is behind those of the model; empty where there
    /// are none. They lie behind everything else, so that the model lies as it would without them.
    pub mtp: Vec<Layers>,
}

impl ParameterList {
    /// Lists the tensors of a planned model.
    pub fn new(plan: &ModelPlan) -> Self {
        let mut list = family::decoder(plan);
        if let Some(lora) = &plan.lora {
            adapters::add(&mut list, lora);
        }
        list
    }

    /// Every row with the number of tensors it stands for, in order; adapters stand behind them.
    pub fn counted(&self) -> impl Iterator<Item = Counted<'_>> {
        self.rows(|module| module.tensors.iter())
    }

    /// The rows of the adapters with the number of tensors they stand for, in order.
    pub fn counted_adapters(&self) -> impl Iterator<Item = Counted<'_>> {
        self.rows(|module| module.adapters.iter().flat_map(|adapter| [&adapter.down, &adapter.up]))
    }

    fn rows<'l, I: Iterator<Item = &'l Tensor>>(
        &'l self,
        of: impl Fn(&'l Module) -> I,
    ) -> impl Iterator<Item = Counted<'l>> {
        fn each(layers: &Layers) -> impl Iterator<Item = (&Module, u64)> {
            layers.modules.iter().map(|module| (module, layers.range.len() as u64))
        }
        let (front, back) = ([(&self.front, 1)], [(&self.back, 1)]);
        let modules = front.into_iter().chain(self.layers.iter().flat_map(each)).chain(back);
        let modules = modules.chain(self.mtp.iter().flat_map(each));
        modules.flat_map(move |(module, times)| {
            let [count, active] =
                [module.copies, module.active].map(|copies| times.saturating_mul(copies as u64));
            of(module).map(move |tensor| Counted { tensor, count, active })
        })
    }

    /// The number of parameters without those of adapters and the biases that load balancing changes, or the largest
    /// number.
    pub fn total(&self) -> u64 {
        self.sum(Role::is_trained, |row| row.count)
    }

    /// The number of [`ParameterList::total`] that a token goes through when it is sampled. Embedding and head count as a
    /// whole, multi-token prediction does not count.
    pub fn active(&self) -> u64 {
        self.sum(Role::is_trained, |row| row.active)
    }

    /// The number of parameters of adapters.
    pub fn adapters(&self) -> u64 {
        let sizes = self.counted_adapters().map(|row| row.tensor.size().saturating_mul(row.count));
        sizes.fold(0, u64::saturating_add)
    }

    /// The number of [`ParameterList::adapters`] that one token goes through.
    pub fn active_adapters(&self) -> u64 {
        let sizes = self.counted_adapters().map(|row| row.tensor.size().saturating_mul(row.active));
        sizes.fold(0, u64::saturating_add)
    }

    /// The number of parameters that load balancing changes and the optimizer never does.
    pub fn untrained(&self) -> u64 {
        self.sum(|role| !role.is_trained(), |row| row.count)
    }

    fn sum(&self, counts: impl Fn(Role) -> bool, times: impl Fn(&Counted<'_>) -> u64) -> u64 {
        let rows = self.counted().filter(|row| counts(row.tensor.role));
        let sizes = rows.map(|row| row.tensor.size().saturating_mul(times(&row)));
        sizes.fold(0, u64::saturating_add)
    }
}
