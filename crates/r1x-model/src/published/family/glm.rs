//! GLM-4.5 and its relatives: the first half of each head turns, and the router is DeepSeek-V3's.

use r1x_core::plan::{
    AttentionPlan, FeedForwardPlan, GqaPlan, GroupScore, ModelPlan, MoePlan, QkNorm, Scoring,
};
use serde_json::{Map, Value};

use super::{
    Family, HALVES, Keys, Shape, grouped_queries, grouped_query_keys, has, joined, keys, leading,
    mixture_keys, norm_eps, position_keys, softmax_mixture,
};
use crate::published::rope::rope;

pub const GLM4_MOE: Family =
    Family { model_type: "glm4_moe", class: "Glm4MoeForCausalLM", shape, config, renamed: &[] };

fn shape(keys: &Keys<'_>) -> Shape {
    let heads = grouped_queries(keys);
    let inner = keys.below("rope_parameters");
    let written = inner.as_ref().and_then(|inner| inner.share("partial_rotary_factor"));
    let share = written.or_else(|| keys.share("partial_rotary_factor")).unwrap_or(0.5);
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

fn config(plan: &ModelPlan) -> Map<String, Value> {
    let share = match &plan.attention {
        AttentionPlan::Gqa(gqa) => gqa.rotary_dim as f64 / gqa.head_dim as f64,
        AttentionPlan::Mla(_) => 1.0,
    };
    joined([
        grouped_query_keys(plan),
        keys! {
            "attention_bias": has(plan, |gqa| gqa.qkv_bias),
            "use_qk_norm": has(plan, |gqa| gqa.qk_norm == QkNorm::Head),
            "partial_rotary_factor": share,
        },
        noaux_keys(plan),
        position_keys(plan, HALVES),
    ])
}

/// The keys of a mixture with groups and shared experts. A model without any experts is one whose layers are all dense.
pub(super) fn noaux_keys(plan: &ModelPlan) -> Map<String, Value> {
    let mtp_layers = plan.mtp.as_ref().map_or(0, |mtp| mtp.depth);
    let moe = match &plan.feed_forward {
        FeedForwardPlan::Moe(moe) => moe,
        FeedForwardPlan::Dense { intermediate_size, .. } => {
            return keys! {
                "intermediate_size": intermediate_size,
                "moe_intermediate_size": intermediate_size,
                "first_k_dense_replace": plan.layers,
                "n_routed_experts": 1,
                "n_shared_experts": 0,
                "num_experts_per_tok": 1,
                "n_group": 1,
                "topk_group": 1,
                "norm_topk_prob": false,
                "routed_scaling_factor": 1.0,
                "num_nextn_predict_layers": mtp_layers,
            };
        }
    };
    let inner = moe.expert_intermediate_size;
    // No layer may be dense; the key has a width all the same.
    let dense = [moe.dense_intermediate_size, inner].into_iter().find(|size| *size > 0);
    let rest = keys! {
        "intermediate_size": dense,
        "first_k_dense_replace": moe.dense_layers.len(),
        "n_shared_experts": moe.shared_intermediate_size.checked_div(inner).unwrap_or(0),
        "n_group": moe.groups,
        "topk_group": moe.groups_per_token,
        "norm_topk_prob": moe.normalize_affinities,
        "routed_scaling_factor": moe.routed_scaling,
        "num_nextn_predict_layers": mtp_layers,
    };
    joined([mixture_keys(plan, "n_routed_experts", "moe_intermediate_size"), rest])
}
