//! Tests of the whole model: gradients by finite differences, sampler against trainer, checkpoints,
//! and the whole against two independent implementations.

mod balance;
mod checkpoint;
mod composed;
mod finite;
mod golden;
mod gradient;
mod layout;
mod properties;
mod tensor;

use r1x_ops::Real;
use r1x_ops::kernel::add_assign;

use crate::checkpoint::Expected;
use crate::layout::Layout;
use r1x_core::plan::{AttentionPlan, FeedForwardPlan, ModelPlan, MoePlan};
use r1x_core::testing;

/// A checkpoint of which nothing is known.
pub const ANY: Expected<'static> = Expected::ANYTHING;

/// Grouped-query attention.
pub fn gqa() -> AttentionPlan {
    AttentionPlan::Gqa { heads: 4, kv_heads: 2, head_dim: 6 }
}

/// Latent attention.
pub fn mla(q_lora_rank: Option<usize>) -> AttentionPlan {
    AttentionPlan::Mla {
        heads: 3,
        q_lora_rank,
        kv_lora_rank: 7,
        qk_nope_head_dim: 5,
        qk_rope_head_dim: 4,
        v_head_dim: 6,
    }
}

/// A mixture with two groups, one of which a token may use.
pub fn moe() -> MoePlan {
    MoePlan {
        routed_experts: 4,
        shared_experts: 1,
        experts_per_token: 2,
        expert_intermediate_size: 9,
        groups: 2,
        groups_per_token: 1,
        normalize_affinities: true,
        routed_scaling: 1.5,
        bias_update_speed: 0.01,
        balance_loss: 0.1,
        dense_intermediate_size: 11,
        ..testing::mixture()
    }
}

/// A small plan around an attention and a feed-forward.
pub fn plan(attention: AttentionPlan, feed_forward: FeedForwardPlan, tied: bool) -> ModelPlan {
    ModelPlan {
        tokenizer: testing::numbers(12),
        vocabulary_size: 13,
        hidden_size: 10,
        layers: 2,
        context_length: 64,
        attention,
        feed_forward,
        tie_embeddings: tied,
        rope_theta: 100.0,
        init_std: 0.3,
        ..testing::tiny_model()
    }
}

/// Every shape the spec can ask for, named.
pub fn shapes() -> Vec<(&'static str, ModelPlan)> {
    let dense = || FeedForwardPlan::Dense { intermediate_size: 14 };
    let flat = MoePlan { groups: 1, normalize_affinities: false, shared_experts: 0, ..moe() };
    let mixed = MoePlan { dense_layers: 1, shared_experts: 2, balance_loss: 0.0, ..moe() };
    vec![
        ("gqa dense tied", plan(gqa(), dense(), true)),
        ("gqa dense untied", plan(gqa(), dense(), false)),
        ("gqa moe", plan(gqa(), FeedForwardPlan::Moe(moe()), true)),
        ("mla dense", plan(mla(None), dense(), true)),
        ("mla low-rank moe", plan(mla(Some(8)), FeedForwardPlan::Moe(moe()), false)),
        ("mla moe without groups", plan(mla(None), FeedForwardPlan::Moe(flat), true)),
        ("mla moe after a dense layer", plan(mla(None), FeedForwardPlan::Moe(mixed), true)),
    ]
}

/// Adds the parts of a gradient to one range for the whole model.
pub fn into<R: Real>(layout: &Layout, gradient: &mut [R]) -> impl FnMut(usize, &[R]) {
    |part, values| add_assign(&mut gradient[layout.parts[part].clone()], values)
}
