//! The models of a run: the policy that learns, and frozen models that rewards may ask.
//!
//! Shapes only. What numbers a shape has, and how they are computed, is the business of the crate that runs models.

use serde::{Deserialize, Serialize};

/// The policy: a decoder-only transformer trained from random weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelPlan {
    /// How text becomes tokens.
    pub tokenizer: TokenizerPlan,
    /// Rows of the embedding matrix and of the output head, one for each token that the model knows.
    pub vocabulary_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Longest prompt plus completion, tokens.
    pub context_length: usize,
    /// Attention of every layer.
    pub attention: AttentionPlan,
    /// Feed-forward of every layer.
    pub feed_forward: FeedForwardPlan,
    /// Whether the output head shares the embedding matrix.
    pub tie_embeddings: bool,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Added to the mean square in RMSNorm.
    pub norm_eps: f64,
    /// Standard deviation of the initial weights.
    pub init_std: f64,
    /// What the factors of matrix products are; sums, master weights and moments are `f32` in both.
    pub precision: Precision,
    /// Compute a layer's activations again in the backward pass instead of keeping them. Changes memory and time,
    /// not results.
    pub recompute_activations: bool,
}

/// What the factors of matrix products are rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Nothing is rounded.
    F32,
    /// The 8 leading bits: twice the speed where the processor multiplies pairs of them.
    Bf16,
}

/// How text becomes tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenizerPlan {
    /// A vocabulary with a token for each listed piece of text (longest match first). Blanks between pieces are
    /// kept only if they are listed.
    Vocabulary {
        /// The pieces, in token order after `<eos>` (0).
        pieces: Vec<String>,
    },
    /// A `tokenizer.json`.
    File {
        /// Where it is.
        path: String,
        /// sha256 of its bytes, hex.
        sha256: String,
        /// Its end-of-sequence token.
        eos: String,
    },
}

impl TokenizerPlan {
    /// How many tokens a vocabulary of these pieces has: one each, and the end of a sequence.
    pub fn listed_size(pieces: &[String]) -> usize {
        pieces.len() + 1
    }
}

/// Attention shapes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionPlan {
    /// Grouped-query attention.
    Gqa {
        /// Query heads.
        heads: usize,
        /// Key/value heads; divides `heads`.
        kv_heads: usize,
        /// Width of a head.
        head_dim: usize,
    },
    /// Multi-head latent attention (DeepSeek-V2, section 2.1).
    Mla {
        /// Heads.
        heads: usize,
        /// Rank of the query compression; `None` projects queries directly.
        q_lora_rank: Option<usize>,
        /// Width of the cached latent.
        kv_lora_rank: usize,
        /// Width of a head's part without position.
        qk_nope_head_dim: usize,
        /// Width of the rotary part, shared by all heads on the key side.
        qk_rope_head_dim: usize,
        /// Width of a head's value.
        v_head_dim: usize,
    },
}

/// Feed-forward shapes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedForwardPlan {
    /// A SwiGLU feed-forward that every token goes through.
    Dense {
        /// Its inner width.
        intermediate_size: usize,
    },
    /// DeepSeek-V3's mixture of experts.
    Moe(MoePlan),
}

/// DeepSeek-V3's mixture of experts: shared experts, plus the top k of the routed ones by their sigmoid affinity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MoePlan {
    /// Routed experts.
    pub routed_experts: usize,
    /// Shared experts, computed as one SwiGLU of their joint width; may be 0.
    pub shared_experts: usize,
    /// Routed experts per token.
    pub experts_per_token: usize,
    /// Inner width of one expert.
    pub expert_intermediate_size: usize,
    /// Groups the routed experts are split into.
    pub groups: usize,
    /// Groups a token may choose experts from.
    pub groups_per_token: usize,
    /// Whether the affinities of the chosen experts are divided by their sum (`norm_topk_prob` in published files).
    pub normalize_affinities: bool,
    /// Factor on the routed experts' output.
    pub routed_scaling: f64,
    /// Step γ of the loss-free bias update, per optimizer update; 0 turns it off.
    pub bias_update_speed: f64,
    /// Factor α of the sequence-wise balance loss; 0 turns it off.
    pub balance_loss: f64,
    /// Leading layers that are dense instead.
    pub dense_layers: usize,
    /// Inner width of those.
    pub dense_intermediate_size: usize,
}

/// A frozen model that rewards may ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgePlan {
    /// Its checkpoint, a folder.
    pub checkpoint: String,
    /// sha256 of its weights, hex.
    pub sha256: String,
    /// Its shape and its tokenizer.
    pub model: ModelPlan,
}

impl JudgePlan {
    /// The file of a checkpoint that holds the weights.
    pub const WEIGHTS: &str = "model.safetensors";
}
