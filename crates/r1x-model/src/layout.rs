//! Where every parameter lies: one flat range for the whole model, named as Hugging Face names them.
//!
//! Must not know values. Matrices are `[out, in]`, row-major.

use std::ops::Range;

use half::bf16;
use r1x_core::plan::{AttentionPlan, FeedForwardPlan, ModelPlan, MoePlan};
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
    /// First element of its packed form for x·Wᵀ.
    pub forward_panels: usize,
    /// First element of its packed form for dy·W.
    pub backward_panels: usize,
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

    /// First element after its packed forms.
    pub fn panels_end(&self) -> usize {
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

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normal with this standard deviation.
    Normal(f64),
    /// Ones (gains).
    Ones,
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
    /// How it starts.
    pub init: Init,
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
    Gqa {
        /// To queries.
        q: Block,
        /// To keys.
        k: Block,
        /// To values.
        v: Block,
        /// The three of them as one.
        qkv: Matrix,
        /// Back to the residual stream.
        o: Matrix,
        /// Query heads.
        heads: usize,
        /// Key/value heads.
        kv_heads: usize,
        /// Width of a head.
        width: usize,
    },
    /// Latent attention.
    Mla {
        /// To queries.
        q: LatentQuery,
        /// To the latent and the shared rotary key.
        kv_down: Block,
        /// The query's first projection and `kv_down` as one.
        down: Matrix,
        /// Gain of the latent's norm.
        kv_norm: Vector,
        /// From the latent: per head `nope` rows for keys, then `value` rows for values.
        kv_up: Block,
        /// The same head by head.
        expansions: Vec<LatentHead>,
        /// Back to the residual stream.
        o: Matrix,
        /// Heads.
        heads: usize,
        /// Width of the latent.
        latent: usize,
        /// Width of a head without position.
        nope: usize,
        /// Width of the rotary part.
        rope: usize,
        /// Width of a value.
        value: usize,
    },
}

/// Parameters of one SwiGLU.
#[derive(Clone, Copy, Debug)]
pub struct Swiglu {
    /// Gate projection.
    pub gate: Block,
    /// Up projection.
    pub up: Block,
    /// Both as one.
    pub gate_up: Matrix,
    /// Down projection.
    pub down: Matrix,
}

/// Parameters of one feed-forward.
#[derive(Clone, Debug)]
pub enum FeedForward {
    /// One SwiGLU.
    Dense(Swiglu),
    /// Mixture of experts.
    Moe {
        /// Router logits. Exact, as in DeepSeek-V3: a rounded factor flips choices, which no later sum mends.
        router: Exact,
        /// Which row of the selection biases is this layer's.
        bias: usize,
        /// Routed experts.
        experts: Vec<Swiglu>,
        /// Shared experts as one.
        shared: Option<Swiglu>,
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
    /// Elements of all packed forms.
    pub panels: usize,
    /// Elements of the packed forms that are reals.
    pub exact_panels: usize,
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
    /// Layers with experts: name of the bias and number of experts.
    pub biases: Vec<(String, usize)>,
}

struct Builder {
    parameters: Vec<Parameter>,
    packed: Panels,
    exact: Panels,
    len: usize,
    std: f64,
}

/// Matrices with their packed forms one after the other.
#[derive(Default)]
struct Panels {
    matrices: Vec<Matrix>,
    len: usize,
}

impl Panels {
    /// Room for the packed forms of a block.
    fn push(&mut self, block: Block) -> Matrix {
        let forward_panels = self.len;
        let backward_panels = forward_panels + panels_len(block.columns, block.rows);
        let matrix = Matrix { block, forward_panels, backward_panels };
        self.len = matrix.panels_end();
        self.matrices.push(matrix);
        matrix
    }
}

impl Builder {
    fn push(&mut self, name: String, shape: Vec<usize>, init: Init) -> usize {
        let offset = self.len;
        let parameter = Parameter { name, shape, offset, init };
        self.len += parameter.len();
        self.parameters.push(parameter);
        offset
    }

    /// What comes next starts on a cache line of its own.
    fn align(&mut self) {
        self.len = self.len.next_multiple_of(16);
    }

    /// A parameter right behind the last one.
    fn block(&mut self, name: impl Into<String>, rows: usize, columns: usize) -> Block {
        let init = Init::Normal(self.std);
        Block { offset: self.push(name.into(), vec![rows, columns], init), rows, columns }
    }

    fn matrix(&mut self, name: impl Into<String>, rows: usize, columns: usize) -> Matrix {
        self.align();
        let block = self.block(name, rows, columns);
        self.packed.push(block)
    }

    fn exact(&mut self, name: impl Into<String>, rows: usize, columns: usize) -> Exact {
        self.align();
        let block = self.block(name, rows, columns);
        Exact(self.exact.push(block))
    }

    /// Neighbouring blocks as one matrix.
    fn joined<const N: usize>(&mut self, blocks: [Block; N]) -> Matrix {
        let rows = blocks.iter().map(|block| block.rows).sum();
        self.packed.push(Block { rows, ..blocks[0] })
    }

    fn vector(&mut self, name: impl Into<String>, len: usize) -> Vector {
        self.align();
        Vector { offset: self.push(name.into(), vec![len], Init::Ones), len }
    }

    fn swiglu(&mut self, prefix: &str, hidden: usize, inner: usize) -> Swiglu {
        self.align();
        let gate = self.block(format!("{prefix}.gate_proj.weight"), inner, hidden);
        let up = self.block(format!("{prefix}.up_proj.weight"), inner, hidden);
        let gate_up = self.joined([gate, up]);
        let down = self.matrix(format!("{prefix}.down_proj.weight"), hidden, inner);
        Swiglu { gate, up, gate_up, down }
    }

    fn attention(&mut self, prefix: &str, hidden: usize, plan: &AttentionPlan) -> Attention {
        match *plan {
            AttentionPlan::Gqa { heads, kv_heads, head_dim: width } => {
                self.align();
                let q = self.block(format!("{prefix}.q_proj.weight"), heads * width, hidden);
                let k = self.block(format!("{prefix}.k_proj.weight"), kv_heads * width, hidden);
                let v = self.block(format!("{prefix}.v_proj.weight"), kv_heads * width, hidden);
                let qkv = self.joined([q, k, v]);
                let o = self.matrix(format!("{prefix}.o_proj.weight"), hidden, heads * width);
                Attention::Gqa { q, k, v, qkv, o, heads, kv_heads, width }
            }
            AttentionPlan::Mla { .. } => self.latent_attention(prefix, hidden, plan),
        }
    }

    fn latent_attention(&mut self, prefix: &str, hidden: usize, plan: &AttentionPlan) -> Attention {
        let AttentionPlan::Mla {
            heads,
            q_lora_rank,
            kv_lora_rank: latent,
            qk_nope_head_dim: nope,
            qk_rope_head_dim: rope,
            v_head_dim: value,
        } = *plan
        else {
            unreachable!("the caller matched latent attention");
        };
        let queries = heads * (nope + rope);
        self.align();
        let first = match q_lora_rank {
            None => self.block(format!("{prefix}.q_proj.weight"), queries, hidden),
            Some(rank) => self.block(format!("{prefix}.q_a_proj.weight"), rank, hidden),
        };
        let kv_down =
            self.block(format!("{prefix}.kv_a_proj_with_mqa.weight"), latent + rope, hidden);
        let down = self.joined([first, kv_down]);
        let q = match q_lora_rank {
            None => LatentQuery::Direct(first),
            Some(rank) => LatentQuery::LowRank {
                down: first,
                norm: self.vector(format!("{prefix}.q_a_layernorm.weight"), rank),
                up: self.matrix(format!("{prefix}.q_b_proj.weight"), queries, rank),
            },
        };
        let kv_norm = self.vector(format!("{prefix}.kv_a_layernorm.weight"), latent);
        self.align();
        let kv_up =
            self.block(format!("{prefix}.kv_b_proj.weight"), heads * (nope + value), latent);
        let expansions = (0..heads)
            .map(|head| LatentHead {
                key: self.packed.push(kv_up.part(head * (nope + value), nope)),
                value: self.packed.push(kv_up.part(head * (nope + value) + nope, value)),
            })
            .collect();
        let o = self.matrix(format!("{prefix}.o_proj.weight"), hidden, heads * value);
        Attention::Mla {
            q,
            kv_down,
            down,
            kv_norm,
            kv_up,
            expansions,
            o,
            heads,
            latent,
            nope,
            rope,
            value,
        }
    }

    fn feed_forward(
        &mut self,
        prefix: &str,
        hidden: usize,
        layer: usize,
        plan: &FeedForwardPlan,
        biases: &mut Vec<(String, usize)>,
    ) -> FeedForward {
        let moe = match plan {
            FeedForwardPlan::Dense { intermediate_size } => {
                return FeedForward::Dense(self.swiglu(prefix, hidden, *intermediate_size));
            }
            FeedForwardPlan::Moe(moe) if layer < moe.dense_layers => {
                return FeedForward::Dense(self.swiglu(
                    prefix,
                    hidden,
                    moe.dense_intermediate_size,
                ));
            }
            FeedForwardPlan::Moe(moe) => moe,
        };
        let inner = moe.expert_intermediate_size;
        let router = self.exact(format!("{prefix}.gate.weight"), moe.routed_experts, hidden);
        let experts = (0..moe.routed_experts)
            .map(|expert| self.swiglu(&format!("{prefix}.experts.{expert}"), hidden, inner))
            .collect();
        let shared = (moe.shared_experts > 0).then(|| {
            self.swiglu(&format!("{prefix}.shared_experts"), hidden, inner * moe.shared_experts)
        });
        biases.push((format!("{prefix}.gate.e_score_correction_bias"), moe.routed_experts));
        FeedForward::Moe { router, bias: biases.len() - 1, experts, shared, plan: moe.clone() }
    }
}

impl Layout {
    /// The layout of a planned model with a vocabulary of this size.
    pub fn new(plan: &ModelPlan, vocabulary: usize) -> Self {
        let hidden = plan.hidden_size;
        let mut build = Builder {
            parameters: Vec::new(),
            packed: Panels::default(),
            exact: Panels::default(),
            len: 0,
            std: plan.init_std,
        };
        let mut biases = Vec::new();
        let embedding = build.block("model.embed_tokens.weight", vocabulary, hidden);
        build.align();
        let mut ends = vec![build.len];
        let layers: Vec<Layer> = (0..plan.layers)
            .map(|index| {
                let prefix = format!("model.layers.{index}");
                let layer = Layer {
                    attention_norm: build
                        .vector(format!("{prefix}.input_layernorm.weight"), hidden),
                    attention: build.attention(
                        &format!("{prefix}.self_attn"),
                        hidden,
                        &plan.attention,
                    ),
                    feed_forward_norm: build
                        .vector(format!("{prefix}.post_attention_layernorm.weight"), hidden),
                    feed_forward: build.feed_forward(
                        &format!("{prefix}.mlp"),
                        hidden,
                        index,
                        &plan.feed_forward,
                        &mut biases,
                    ),
                };
                build.align();
                ends.push(build.len);
                layer
            })
            .collect();
        let final_norm = build.vector("model.norm.weight", hidden);
        let head = if plan.tie_embeddings {
            build.packed.push(embedding)
        } else {
            build.matrix("lm_head.weight", vocabulary, hidden)
        };
        let starts = [0].into_iter().chain(ends.iter().copied());
        let parts = starts.zip(ends.iter().copied().chain([build.len])).map(|(a, b)| a..b);
        Self {
            len: build.len,
            panels: build.packed.len,
            exact_panels: build.exact.len,
            parts: parts.collect(),
            parameters: build.parameters,
            matrices: build.packed.matrices,
            exact: build.exact.matrices,
            vocabulary,
            embedding,
            layers,
            final_norm,
            head,
            biases,
        }
    }

    /// Whether any layer has a balance loss: then every sequence has a gradient, whatever its tokens say.
    pub fn has_balance_loss(&self) -> bool {
        let experts = |layer: &Layer| match &layer.feed_forward {
            FeedForward::Dense(_) => false,
            FeedForward::Moe { plan, .. } => plan.balance_loss > 0.0,
        };
        self.layers.iter().any(experts)
    }

    /// Trained numbers, padding left out.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(Parameter::len).sum()
    }
}
