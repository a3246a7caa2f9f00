//! Where every parameter of a model's list lies: one flat range for the whole model.
//!
//! What there is, and in which order, is said by [`r1x_core::parameters`]; `build` gives each tensor its place and
//! finds those an implementation asks for. Matrices are `[out, in]`, row-major.

mod adapters;
mod build;

use std::ops::Range;

use half::bf16;
use r1x_core::parameters::{Initial, ParameterList};
use r1x_core::plan::{ModelPlan, MoePlan};
use r1x_ops::kernel::matmul::packed_len;

use crate::error::ModelError;

/// Contiguous rows `[rows, columns]` at an offset: a parameter, or several that lie one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// First element.
    pub offset: usize,
    /// Output width.
    pub rows: usize,
    /// Input width.
    pub columns: usize,
}

impl Block {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.rows * self.columns
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether an offset is in it.
    pub fn holds(&self, offset: usize) -> bool {
        (self.offset..self.offset + self.len()).contains(&offset)
    }

    /// Some of its rows.
    fn part(&self, first: usize, rows: usize) -> Self {
        Self { offset: self.offset + first * self.columns, rows, columns: self.columns }
    }
}

/// A block that is multiplied with, so that it is also kept packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor {
    /// Where its values are.
    pub block: Block,
    /// First element of its packed form among those for x·Wᵀ.
    pub forward_panels: usize,
    /// First element of its packed form among those for dy·W.
    pub backward_panels: usize,
}

impl Factor {
    /// Input width.
    pub fn columns(&self) -> usize {
        self.block.columns
    }

    /// First element after its packed form for x·Wᵀ.
    pub fn forward_end(&self) -> usize {
        self.forward_panels + panels_len(self.block.columns, self.block.rows)
    }

    /// First element after its packed form for dy·W.
    pub fn backward_end(&self) -> usize {
        self.backward_panels + panels_len(self.block.rows, self.block.columns)
    }
}

/// A factor with what belongs to its products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// The factor.
    pub factor: Factor,
    /// What is added to its products, where something is.
    pub bias: Option<Bias>,
    /// What is trained in its place, where something is.
    pub adapter: Option<Adapter>,
}

/// Projections that are multiplied together at most.
const MOST_JOINED: usize = 3;

/// What adapters (LoRA) add to the products of a matrix: s · (x·Aᵀ)·Bᵀ, where a matrix that joins several projections has
/// an adapter for some of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adapter {
    /// The A of all of them, one after the other, `[ranks, in]`.
    pub down: Factor,
    /// The B of each.
    pub ups: [Option<AdapterUp>; MOST_JOINED],
    /// The factor s.
    pub factor: f64,
}

impl Eq for Adapter {}

/// Where the adapter of one projection is.
#[derive(Clone, Copy, Debug)]
pub struct AdapterPlaces {
    /// The projection, `[out, in]`.
    pub beside: Block,
    /// A, `[rank, in]`.
    pub down: Block,
    /// B, `[out, rank]`.
    pub up: Block,
    /// The factor s.
    pub factor: f64,
}

/// From the rank of an adapter to the outputs of its projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdapterUp {
    /// The first column of x·Aᵀ that it multiplies.
    pub input: usize,
    /// The first output that it is added to.
    pub output: usize,
    /// B, `[out, rank]`.
    pub factor: Factor,
}

/// A bias of some of a matrix's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bias {
    /// The first output that it is added to.
    pub output: usize,
    /// Where its numbers are.
    pub vector: Vector,
}

impl Matrix {
    /// Where its values are.
    pub fn block(&self) -> Block {
        self.factor.block
    }

    /// Output width.
    pub fn rows(&self) -> usize {
        self.factor.block.rows
    }

    /// Input width.
    pub fn columns(&self) -> usize {
        self.factor.block.columns
    }
}

/// A matrix whose products round neither factor: its packed forms are reals in every precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact(pub Factor);

impl Exact {
    /// Output width.
    pub fn rows(&self) -> usize {
        self.0.block.rows
    }

    /// Input width.
    pub fn columns(&self) -> usize {
        self.0.block.columns
    }
}

impl From<Exact> for Block {
    fn from(matrix: Exact) -> Self {
        matrix.0.block
    }
}

impl From<Matrix> for Block {
    fn from(matrix: Matrix) -> Self {
        matrix.factor.block
    }
}

/// Room for a packed `k` × `n` matrix of any type of operand: `bf16` pads most.
fn panels_len(k: usize, n: usize) -> usize {
    packed_len::<bf16>(k, n)
}

/// A vector at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector {
    /// First element.
    pub offset: usize,
    /// Elements.
    pub len: usize,
}

/// One named parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name in checkpoints.
    pub name: String,
    /// Its shape: `[out, in]` or `[len]`.
    pub shape: Vec<usize>,
    /// First element.
    pub offset: usize,
    /// The values it starts with.
    pub initial: Initial,
}

impl Parameter {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where its elements are.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.len()
    }

    /// Elements of a row; a vector has rows of one.
    pub fn columns(&self) -> usize {
        self.shape.get(1).copied().unwrap_or(1)
    }
}

/// Parameters that lie in one flat range.
#[derive(Clone, Debug)]
pub struct Region {
    /// Every parameter in order of offset.
    pub parameters: Vec<Parameter>,
    /// The range.
    pub range: Range<usize>,
}

impl Region {
    /// Elements in all, padding included.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Where a parameter of the region lies in numbers of the region alone.
    pub fn place(&self, parameter: &Parameter) -> Range<usize> {
        let start = parameter.offset - self.range.start;
        start..start + parameter.len()
    }

    /// Every parameter with its part of numbers of the region.
    pub fn split<'a, T>(
        &'a self,
        numbers: &'a [T],
    ) -> impl Iterator<Item = (&'a Parameter, &'a [T])> {
        self.parameters.iter().map(|parameter| (parameter, &numbers[self.place(parameter)]))
    }
}

/// The query side of latent attention.
#[expect(clippy::large_enum_variant, reason = "there is one for each layer, and none is moved")]
#[derive(Clone, Copy, Debug)]
pub enum LatentQuery {
    /// One projection.
    Direct(Block),
    /// Down, norm, up.
    LowRank {
        /// To the latent.
        down: Block,
        /// Gain of the latent's norm.
        norm: Vector,
        /// From the latent.
        up: Matrix,
    },
}

/// The expansion of one head of latent attention.
#[derive(Clone, Copy, Debug)]
pub struct LatentHead {
    /// From the latent to the key's part without position, `[nope, latent]`.
    pub key: Matrix,
    /// From the latent to the value, `[value, latent]`.
    pub value: Matrix,
}

/// Parameters of one attention.
#[expect(clippy::large_enum_variant, reason = "there is one for each layer, and none is moved")]
#[derive(Clone, Debug)]
pub enum Attention {
    /// Grouped-query attention.
    Gqa(Gqa),
    /// Latent attention.
    Mla(Mla),
}

/// Norms of queries and keys before they turn.
#[derive(Clone, Copy, Debug)]
pub struct HeadNorms {
    /// Gain of the queries, of a head's width or as wide as all heads.
    pub query: Vector,
    /// Gain of the keys, of a head's width or as wide as all heads.
    pub key: Vector,
}

/// Parameters and widths of one grouped-query attention.
#[derive(Clone, Debug)]
pub struct Gqa {
    /// To queries.
    pub q: Block,
    /// To keys.
    pub k: Block,
    /// To values.
    pub v: Block,
    /// The three of them as one.
    pub qkv: Matrix,
    /// Back to the residual stream.
    pub o: Matrix,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub width: usize,
    /// How many elements of a head turn with the position.
    pub rotary: usize,
    /// Norms of queries and keys, where there are any.
    pub norms: Option<HeadNorms>,
    /// Bound on the size of queries, keys and values, where there is one.
    pub clip: Option<f64>,
    /// Positions that a row sees at most, its own included.
    pub window: usize,
}

/// Parameters and widths of one latent attention.
#[derive(Clone, Debug)]
pub struct Mla {
    /// To queries.
    pub q: LatentQuery,
    /// To the latent and the shared rotary key.
    pub kv_down: Block,
    /// The query's first projection and `kv_down` as one.
    pub down: Matrix,
    /// Gain of the latent's norm.
    pub kv_norm: Vector,
    /// From the latent: per head `nope` rows for keys, then `value` rows for values.
    pub kv_up: Block,
    /// `kv_up` head by head.
    pub expansions: Vec<LatentHead>,
    /// Back to the residual stream.
    pub o: Matrix,
    /// Heads.
    pub heads: usize,
    /// Width of the latent.
    pub latent: usize,
    /// Width of a head without position.
    pub nope: usize,
    /// Width of the rotary part.
    pub rope: usize,
    /// Width of a value.
    pub value: usize,
    /// Epsilon of the norms of the latents.
    pub norm_eps: f64,
    /// Factor on the scores, beside one over the root of the key's width.
    pub score_factor: f64,
}

/// Parameters of one SwiGLU.
#[derive(Clone, Copy, Debug)]
pub struct Swiglu {
    /// The gate projection.
    pub gate_proj: Block,
    /// The up projection.
    pub up_proj: Block,
    /// The gate projection and the up projection as one factor.
    pub gate_up_proj: Matrix,
    /// The down projection.
    pub down_proj: Matrix,
}

/// Parameters of one feed-forward.
#[expect(clippy::large_enum_variant, reason = "there is one for each layer, and none is moved")]
#[derive(Clone, Debug)]
pub enum FeedForward {
    /// A SwiGLU feed-forward that every token goes through.
    Dense(Swiglu),
    /// Mixture of experts.
    Moe {
        /// Router logits.
        router: Exact,
        /// Which of the layers with experts this one is.
        sparse: usize,
        /// Routed experts.
        experts: Vec<Swiglu>,
        /// Shared experts as one.
        shared: Option<Swiglu>,
        /// From the residual stream to the logit that gates the shared experts, where one does.
        shared_gate: Option<Vector>,
        /// The rest of the shape.
        plan: MoePlan,
    },
}

/// Parameters of one decoder layer.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Gain before attention.
    pub attention_norm: Vector,
    /// Attention.
    pub attention: Attention,
    /// Gain before the feed-forward.
    pub feed_forward_norm: Vector,
    /// Feed-forward.
    pub feed_forward: FeedForward,
}

/// Where the parameters lie that say something at a position, behind the last norm.
#[expect(clippy::large_enum_variant, reason = "there is one for each model, and none is moved")]
#[derive(Clone, Copy, Debug)]
pub enum Head {
    /// To logits, `[vocabulary, hidden]`; the embedding itself when tied.
    Vocabulary(Matrix),
    /// To the value of a position, `[hidden]`.
    Value(Vector),
}

impl Head {
    /// The matrix to logits. Whoever asks for them knows that there are some: sampling from a model that says values is
    /// refused, and so are the modules that predict tokens.
    pub fn matrix(&self) -> Matrix {
        match self {
            Self::Vocabulary(matrix) => *matrix,
            Self::Value(_) => unreachable!("a model that says values has no logits"),
        }
    }

    /// Whether the embedding serves as head.
    pub fn is_tied(&self, embedding: Block) -> bool {
        matches!(self, Self::Vocabulary(matrix) if matrix.block() == embedding)
    }
}

/// Parameters of one module of multi-token prediction.
#[derive(Clone, Debug)]
pub struct MtpModule {
    /// Gain of the norm of a token's embedding.
    pub embedding_norm: Vector,
    /// Gain of the norm of what is handed over to the module.
    pub hidden_norm: Vector,
    /// From those two side by side, the embedding first, to the residual stream, `[hidden, 2 · hidden]`.
    pub projection: Matrix,
    /// The layer.
    pub layer: Layer,
    /// Gain of the norm before the output head.
    pub norm: Vector,
}

/// The whole model.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The parameters of the model itself.
    pub base: Region,
    /// How many parameters of the model itself are those without its modules of multi-token prediction, which are behind
    /// them.
    pub without_mtp: usize,
    /// The parameters of its adapters, behind those of the model itself; none where the model itself is trained.
    pub adapters: Option<Region>,
    /// Every adapter, in order of offset.
    pub adapter_places: Vec<AdapterPlaces>,
    /// Every factor of the model itself, in order of the packed forms.
    pub factors: Vec<Factor>,
    /// Every factor of the adapters, in order of the packed forms, which are apart from those of the model itself.
    pub adapter_factors: Vec<Factor>,
    /// Every exact factor, in the order of its packed forms.
    pub exact: Vec<Factor>,
    /// What a gradient is made of, one after the other: before the layers, every layer, and all that is behind them.
    /// Together they are the range of [`Layout::trained`].
    pub parts: Vec<Range<usize>>,
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Token embeddings `[vocabulary, hidden]`.
    pub embedding: Block,
    /// Layers.
    pub layers: Vec<Layer>,
    /// Gain of the last norm.
    pub final_norm: Vector,
    /// What says something at a position.
    pub head: Head,
    /// The modules of multi-token prediction, in their order.
    pub mtp: Vec<MtpModule>,
    /// The selection biases of the layers with experts, name and number of experts; none where nothing but affinities
    /// selects.
    pub biases: Vec<(String, usize)>,
    /// How many experts each layer with experts has, the layers of multi-token prediction last.
    pub experts: Vec<usize>,
}

impl Layout {
    /// The layout of a planned model.
    pub fn new(plan: &ModelPlan) -> Self {
        build::layout(plan, &ParameterList::new(plan))
    }

    /// Whether any layer has a balance loss: then every sequence has a gradient, whatever its tokens say.
    pub fn has_balance_loss(&self) -> bool {
        let experts = |layer: &Layer| match &layer.feed_forward {
            FeedForward::Dense(_) => false,
            FeedForward::Moe { plan, .. } => plan.balance_loss > 0.0,
        };
        self.layers.iter().any(experts)
    }

    /// The parameters that the optimizer changes.
    pub fn trained(&self) -> &Region {
        self.adapters.as_ref().unwrap_or(&self.base)
    }

    /// Every parameter, those of adapters last.
    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        let adapters = self.adapters.iter().flat_map(|adapters| &adapters.parameters);
        self.base.parameters.iter().chain(adapters)
    }

    /// The factors whose form for dy·W is needed in the forward pass as well: latent attention multiplies queries with
    /// them on the way to the latent space.
    pub fn absorbed(&self) -> impl Iterator<Item = Factor> {
        self.layers
            .iter()
            .flat_map(|layer| match &layer.attention {
                Attention::Gqa(_) => &[][..],
                Attention::Mla(mla) => &mla.expansions,
            })
            .map(|expansion| expansion.key.factor)
    }

    /// An error where the model says values, so that it has no words to write.
    ///
    /// # Errors
    /// [`ModelError::Wordless`].
    pub fn can_write(&self) -> Result<(), ModelError> {
        match self.head {
            Head::Vocabulary(_) => Ok(()),
            Head::Value(_) => Err(ModelError::Wordless),
        }
    }

    /// The parameter of a value head; `None` where the head is over the vocabulary.
    pub fn value_head(&self) -> Option<&Parameter> {
        let Head::Value(row) = self.head else { return None };
        self.base.parameters.iter().find(|parameter| parameter.offset == row.offset)
    }

    /// Trained numbers, padding left out.
    pub fn parameter_count(&self) -> usize {
        self.trained().parameters.iter().map(Parameter::len).sum()
    }
}
