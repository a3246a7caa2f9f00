//! The models that are measured, as plans.
//!
//! Dense `small` and `big`, and beside each a mixture of experts with latent attention whose token goes through as
//! many parameters.

use r1x_core::plan::{
    AttentionPlan, FeedForwardPlan, GqaPlan, GroupScore, MlaPlan, ModelPlan, MoePlan,
    Precision as Planned, RopePlan, Scoring, TokenizerPlan,
};
use r1x_core::testing;
use r1x_ops::peak::Arithmetic;

/// Numbers a model computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// f32 throughout.
    F32,
    /// bf16 factors, f32 sums and masters.
    Bf16,
}

/// Every precision that is measured; a new one is one more word.
pub const PRECISIONS: &[Precision] = &[Precision::F32, Precision::Bf16];

impl Precision {
    /// Its name in ids of rows.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }

    /// The arithmetic whose peak limits it.
    pub fn arithmetic(self) -> Arithmetic {
        match self {
            Precision::F32 => Arithmetic::F32,
            Precision::Bf16 => Arithmetic::Bf16,
        }
    }

    /// Bytes of a number that is multiplied.
    pub fn bytes(self) -> f64 {
        match self {
            Precision::F32 => 4.0,
            Precision::Bf16 => 2.0,
        }
    }

    /// Its word in a plan.
    fn planned(self) -> Planned {
        match self {
            Precision::F32 => Planned::F32,
            Precision::Bf16 => Planned::Bf16,
        }
    }
}

/// A model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its name in ids of rows.
    pub name: &'static str,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads of width 64.
    pub heads: usize,
    /// Key and value heads of width 64; of no account in latent attention.
    pub kv_heads: usize,
    /// Tokens, the end of sequence among them.
    pub vocabulary: usize,
    /// Inner width a token goes through.
    pub intermediate_size: usize,
    /// Routed experts, two of which a token goes through; `None` is dense with grouped queries.
    pub routed_experts: Option<usize>,
}

/// 3.3 M parameters.
pub const SMALL: Shape = Shape {
    name: "small",
    hidden_size: 256,
    layers: 4,
    heads: 4,
    kv_heads: 2,
    vocabulary: 512,
    intermediate_size: 768,
    routed_experts: None,
};

/// 29 M parameters.
pub const BIG: Shape = Shape {
    name: "big",
    hidden_size: 512,
    layers: 8,
    heads: 8,
    kv_heads: 4,
    vocabulary: 8192,
    intermediate_size: 1536,
    routed_experts: None,
};

/// `small` as a mixture of experts with latent attention.
pub const SMALL_MOE: Shape = Shape { name: "small-moe", routed_experts: Some(8), ..SMALL };

/// `big` as a mixture of experts with latent attention.
pub const BIG_MOE: Shape = Shape { name: "big-moe", routed_experts: Some(8), ..BIG };

/// Models that are measured in every part and precision.
pub const SHAPES: [Shape; 4] = [SMALL, BIG, SMALL_MOE, BIG_MOE];

/// SmolLM2-135M.
pub const SMOLLM2: Shape = Shape {
    name: "smollm2",
    hidden_size: 576,
    layers: 30,
    heads: 9,
    kv_heads: 3,
    vocabulary: 49_152,
    intermediate_size: 1536,
    routed_experts: None,
};

/// Qwen2.5-0.5B, but for the biases of queries, keys and values.
pub const QWEN: Shape = Shape {
    name: "qwen2.5-0.5b",
    hidden_size: 896,
    layers: 24,
    heads: 14,
    kv_heads: 2,
    vocabulary: 151_936,
    intermediate_size: 4864,
    routed_experts: None,
};

/// The shapes of published models, which take minutes and are measured in bf16 where it tells most.
pub const PUBLISHED: [Shape; 2] = [SMOLLM2, QWEN];

/// Every shape of a list in every precision, then the published ones in bf16.
pub fn measured(shapes: &[Shape], published: &[Shape]) -> Vec<(Shape, Precision)> {
    let all = PRECISIONS.iter().flat_map(|precision| shapes.iter().map(|one| (*one, *precision)));
    all.chain(published.iter().map(|one| (*one, Precision::Bf16))).collect()
}

/// The plan of a model. The precision enters here and nowhere else.
pub fn plan(shape: &Shape, context_length: usize, precision: Precision) -> ModelPlan {
    let pieces = (1..shape.vocabulary).map(piece).collect();
    ModelPlan {
        tokenizer: TokenizerPlan::Vocabulary { pieces },
        vocabulary_size: shape.vocabulary,
        hidden_size: shape.hidden_size,
        layers: shape.layers,
        context_length,
        rope: RopePlan::unscaled(1e4, attention(shape).usual_pairs()),
        attention: attention(shape),
        feed_forward: feed_forward(shape),
        tie_embeddings: true,
        precision: precision.planned(),
        ..testing::tiny_model()
    }
}

/// The text of a token other than the end of sequence.
pub fn piece(token: usize) -> String {
    format!("t{token}")
}

fn attention(shape: &Shape) -> AttentionPlan {
    let heads = shape.heads;
    match shape.routed_experts {
        None => AttentionPlan::Gqa(GqaPlan::llama(heads, shape.kv_heads, 64)),
        Some(_) => AttentionPlan::Mla(MlaPlan {
            heads,
            q_lora_rank: None,
            kv_lora_rank: shape.hidden_size / 4,
            qk_nope_head_dim: 48,
            qk_rope_head_dim: 16,
            v_head_dim: 64,
            latent_norm_eps: 1e-6,
            bias: false,
        }),
    }
}

fn feed_forward(shape: &Shape) -> FeedForwardPlan {
    let Some(routed_experts) = shape.routed_experts else {
        return FeedForwardPlan::swiglu(shape.intermediate_size);
    };
    FeedForwardPlan::Moe(MoePlan {
        routed_experts,
        shared_intermediate_size: shape.intermediate_size / 3,
        shared_gated: false,
        scoring: Scoring::Sigmoid,
        selection_bias: true,
        group_score: GroupScore::TopTwo,
        experts_per_token: 2,
        expert_intermediate_size: shape.intermediate_size / 3,
        dense_intermediate_size: shape.intermediate_size,
        ..testing::mixture()
    })
}
