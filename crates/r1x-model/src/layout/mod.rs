//! Where every parameter of a model's list lies: one flat range for the whole model.
//!
//! What there is, and in which order, is said by [`r1x_core::parameters`]; `build` gives each tensor its place and
//! finds those an implementation asks for. Matrices are `[out, in]`, row-major.

mod build;

use std::ops::Range;

use half::bf16;
use r1x_core::parameters::{Initial, ParameterList};
use r1x_core::plan::{ModelPlan, MoePlan};
use r1x_ops::kernel::matmul::packed_len;

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

    /// Some of its rows.
    fn part(&self, first: usize, rows: usize) -> Self {
        Self { offset: self.offset + first * self.columns, rows, columns: self.columns }
    }
}

/// A block that is multiplied with, so that it is also kept packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Where its values are.
    pub block: Block,
    /// First element of its packed form among those for x·Wᵀ.
    pub forward_panels: usize,
    /// First element of its packed form among those for dy·W.
    pub backward_panels: usize,
    /// What is added to its products, where something is.
    pub bias: Option<Bias>,
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
    /// Output width.
    pub fn rows(&self) -> usize {
        self.block.rows
    }

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

/// A matrix whose products round neither factor: its packed forms are reals in every precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact(pub Matrix);

impl Exact {
    /// Output width.
    pub fn rows(&self) -> usize {
        self.0.rows()
    }

    /// Input width.
    pub fn columns(&self) -> usize {
        self.0.columns()
    }
}

impl From<Exact> for Block {
    fn from(matrix: Exact) -> Self {
        matrix.0.block
    }
}

impl From<Matrix> for Block {
    fn from(matrix: Matrix) -> Self {
        matrix.block
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

/// The query side of latent attention.
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

/// The whole model.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Every parameter in order of offset.
    pub parameters: Vec<Parameter>,
    /// Every matrix in order of its packed forms.
    pub matrices: Vec<Matrix>,
    /// Every exact matrix, in the order of its packed forms.
    pub exact: Vec<Matrix>,
    /// Elements in all.
    pub len: usize,
    /// What a gradient is made of, one after the other: before the layers, every layer, behind them.
    pub parts: Vec<Range<usize>>,
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Token embeddings `[vocabulary, hidden]`.
    pub embedding: Block,
    /// Layers.
    pub layers: Vec<Layer>,
    /// Gain of the last norm.
    pub final_norm: Vector,
    /// Output head `[vocabulary, hidden]`; the embedding itself when tied.
    pub head: Matrix,
    /// The selection biases of the layers with experts, name and number of experts; none where nothing but affinities
    /// selects.
    pub biases: Vec<(String, usize)>,
    /// How many experts each layer with experts has.
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

    /// The matrices whose form for dy·W is needed in the forward pass as well: latent attention multiplies queries with
    /// them on the way to the latent space.
    pub fn absorbed(&self) -> impl Iterator<Item = Matrix> {
        self.layers
            .iter()
            .flat_map(|layer| match &layer.attention {
                Attention::Gqa(_) => &[][..],
                Attention::Mla(mla) => &mla.expansions,
            })
            .map(|expansion| expansion.key)
    }

    /// Trained numbers, padding left out.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(Parameter::len).sum()
    }
}
