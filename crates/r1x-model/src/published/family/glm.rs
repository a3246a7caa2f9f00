//! GLM-4.5 and its relatives: the first half of each head turns, and the router is DeepSeek-V3's.

use r1x_core::plan::{
    AttentionPlan, FeedForwardPlan, GqaPlan, GroupScore, MoePlan, QkNorm, Scoring,
};

use super::{Family, HALVES, Keys, Shape, grouped_queries, leading, norm_eps, softmax_mixture};
use crate::published::rope::rope;

pub const GLM4_MOE: Family =
    Family { model_type: "glm4_moe", class: "Glm4MoeForCausalLM", shape, renamed: &[] };

fn shape(keys: &Keys<'_>) -> Shape {
    let heads = grouped_queries(keys);
    let inner = keys.below("rope_parameters");
    let written = inner.as_ref().and_then(|inner| inner.number("partial_rotary_factor"));
    let share = written.or_else(|| keys.number("partial_rotary_factor")).unwrap_or(0.5);
    let is_normed = keys.flag("use_qk_norm").unwrap_or(false);
    let gqa = GqaPlan {
        rotary_dim: (heads.head_dim as f64 * share) as usize,
        qkv_bias: keys.flag("attention_bias").unwrap_or(false),
        qk_norm: if is_normed { QkNorm::Head } else { QkNorm::None },
        ..heads
    };
    Shape {
        attention: AttentionPlan::Gqa(gqa),
        feed_forward: FeedForwardPlan::Moe(noaux_mixture(keys)),
        rope: rope(keys, HALVES),
        norm_eps: norm_eps(keys, 1e-5),
    }
}

/// The mixture of DeepSeek-V3, whose selection a bias steers.
pub(super) fn noaux_mixture(keys: &Keys<'_>) -> MoePlan {
    let mixture = softmax_mixture(keys, "n_routed_experts", "moe_intermediate_size");
    let shared = keys.count_or_none("n_shared_experts").unwrap_or(0);
    MoePlan {
        shared_intermediate_size: shared * mixture.expert_intermediate_size,
        scoring: Scoring::Sigmoid,
        selection_bias: true,
        groups: keys.count("n_group").unwrap_or(1),
        groups_per_token: keys.count("topk_group").unwrap_or(1),
        group_score: GroupScore::TopTwo,
        normalize_affinities: keys.flag("norm_topk_prob").unwrap_or(true),
        routed_scaling: keys.positive_or("routed_scaling_factor", 1.0),
        dense_layers: leading(keys),
        dense_intermediate_size: keys.needed("intermediate_size"),
        ..mixture
    }
}
