//! Where every parameter lies: one flat range for the whole model, named as Hugging Face names them.
//!
//! Must not know values. Matrices are `[out, in]`, row-major.

use r1x_core::plan::{AttentionPlan, FeedForwardPlan, ModelPlan, MoePlan};
use r1x_ops::kernel::matmul::packed_len;

/// A matrix `[rows, columns]` at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// First element.
    pub offset: usize,
    /// Output width.
    pub rows: usize,
    /// Input width.
    pub columns: usize,
    /// First element of its packed form for x·Wᵀ.
    pub forward_panels: usize,
    /// First element of its packed form for dy·W.
    pub backward_panels: usize,
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
    Direct(Matrix),
    /// Down, norm, up.
    LowRank {
        /// To the latent.
        down: Matrix,
        /// Gain of the latent's norm.
        norm: Vector,
        /// From the latent.
        up: Matrix,
    },
}

/// Parameters of one attention.
#[derive(Clone, Copy, Debug)]
pub enum Attention {
    /// Grouped-query attention.
    Gqa {
        /// Projections.
        q: Matrix,
        /// To keys.
        k: Matrix,
        /// To values.
        v: Matrix,
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
        kv_down: Matrix,
        /// Gain of the latent's norm.
        kv_norm: Vector,
        /// From the latent: per head `nope` rows for keys, then `value` rows for values.
        kv_up: Matrix,
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
    pub gate: Matrix,
    /// Up projection.
    pub up: Matrix,
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
        /// Router logits.
        router: Matrix,
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
    /// Every matrix in order of offset.
    pub matrices: Vec<Matrix>,
    /// Elements in all.
    pub len: usize,
    /// Elements of all packed forms.
    pub panels: usize,
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Token embeddings `[vocabulary, hidden]`.
    pub embedding: Matrix,
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
    matrices: Vec<Matrix>,
    len: usize,
    panels: usize,
    std: f64,
}

impl Builder {
    fn push(&mut self, name: String, shape: Vec<usize>, init: Init) -> usize {
        let offset = self.len;
        let parameter = Parameter { name, shape, offset, init };
        // Every parameter starts on a cache line of its own.
        self.len += parameter.len().next_multiple_of(16);
        self.parameters.push(parameter);
        offset
    }

    fn matrix(&mut self, name: impl Into<String>, rows: usize, columns: usize) -> Matrix {
        let init = Init::Normal(self.std);
        let offset = self.push(name.into(), vec![rows, columns], init);
        let (forward_panels, forward) = (self.panels, packed_len(columns, rows));
        let backward_panels = forward_panels + forward;
        self.panels = backward_panels + packed_len(rows, columns);
        let matrix = Matrix { offset, rows, columns, forward_panels, backward_panels };
        self.matrices.push(matrix);
        matrix
    }

    fn vector(&mut self, name: impl Into<String>, len: usize) -> Vector {
        Vector { offset: self.push(name.into(), vec![len], Init::Ones), len }
    }

    fn swiglu(&mut self, prefix: &str, hidden: usize, inner: usize) -> Swiglu {
        Swiglu {
            gate: self.matrix(format!("{prefix}.gate_proj.weight"), inner, hidden),
            up: self.matrix(format!("{prefix}.up_proj.weight"), inner, hidden),
            down: self.matrix(format!("{prefix}.down_proj.weight"), hidden, inner),
        }
    }

    fn attention(&mut self, prefix: &str, hidden: usize, plan: &AttentionPlan) -> Attention {
        match *plan {
            AttentionPlan::Gqa { heads, kv_heads, head_dim: width } => Attention::Gqa {
                q: self.matrix(format!("{prefix}.q_proj.weight"), heads * width, hidden),
                k: self.matrix(format!("{prefix}.k_proj.weight"), kv_heads * width, hidden),
                v: self.matrix(format!("{prefix}.v_proj.weight"), kv_heads * width, hidden),
                o: self.matrix(format!("{prefix}.o_proj.weight"), hidden, heads * width),
                heads,
                kv_heads,
                width,
            },
            AttentionPlan::Mla {
                heads,
                q_lora_rank,
                kv_lora_rank: latent,
                qk_nope_head_dim: nope,
                qk_rope_head_dim: rope,
                v_head_dim: value,
            } => {
                let queries = heads * (nope + rope);
                let q = match q_lora_rank {
                    None => LatentQuery::Direct(self.matrix(
                        format!("{prefix}.q_proj.weight"),
                        queries,
                        hidden,
                    )),
                    Some(rank) => LatentQuery::LowRank {
                        down: self.matrix(format!("{prefix}.q_a_proj.weight"), rank, hidden),
                        norm: self.vector(format!("{prefix}.q_a_layernorm.weight"), rank),
                        up: self.matrix(format!("{prefix}.q_b_proj.weight"), queries, rank),
                    },
                };
                let down = format!("{prefix}.kv_a_proj_with_mqa.weight");
                let up = format!("{prefix}.kv_b_proj.weight");
                Attention::Mla {
                    q,
                    kv_down: self.matrix(down, latent + rope, hidden),
                    kv_norm: self.vector(format!("{prefix}.kv_a_layernorm.weight"), latent),
                    kv_up: self.matrix(up, heads * (nope + value), latent),
                    o: self.matrix(format!("{prefix}.o_proj.weight"), hidden, heads * value),
                    heads,
                    latent,
                    nope,
                    rope,
                    value,
                }
            }
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
        let router = self.matrix(format!("{prefix}.gate.weight"), moe.routed_experts, hidden);
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
            matrices: Vec::new(),
            len: 0,
            panels: 0,
            std: plan.init_std,
        };
        let mut biases = Vec::new();
        let embedding = build.matrix("model.embed_tokens.weight", vocabulary, hidden);
        let layers = (0..plan.layers)
            .map(|index| {
                let prefix = format!("model.layers.{index}");
                Layer {
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
                }
            })
            .collect();
        let final_norm = build.vector("model.norm.weight", hidden);
        let head = if plan.tie_embeddings {
            embedding
        } else {
            build.matrix("lm_head.weight", vocabulary, hidden)
        };
        Self {
            len: build.len,
            panels: build.panels,
            parameters: build.parameters,
            matrices: build.matrices,
            vocabulary,
            embedding,
            layers,
            final_norm,
            head,
            biases,
        }
    }

    /// Trained numbers, padding left out.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(Parameter::len).sum()
    }
}
