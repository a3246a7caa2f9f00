//! OLMoE: queries and keys normed as a whole, and all three bounded where a key says so.

use r1x_core::plan::{AttentionPlan, FeedForwardPlan, GqaPlan, ModelPlan, QkNorm};
use serde_json::{Map, Value};

use super::{
    Family, HALVES, Keys, Shape, grouped_queries, grouped_query_keys, has, joined, keys,
    mixture_keys, norm_eps, position_keys, softmax_mixture,
};
use crate::published::rope::rope;

pub const OLMOE: Family =
    Family { model_type: "olmoe", class: "OlmoeForCausalLM", shape, config, renamed: &[] };

fn shape(keys: &Keys<'_>) -> Shape {
    let bias = keys.flag("attention_bias").unwrap_or(false);
    let gqa = GqaPlan {
        qkv_bias: bias,
        output_bias: bias,
        qk_norm: QkNorm::Whole,
        clip_qkv: keys.number("clip_qkv"),
        ..grouped_queries(keys)
    };
    Shape {
        attention: AttentionPlan::Gqa(gqa),
        feed_forward: FeedForwardPlan::Moe(softmax_mixture(
            keys,
            "num_experts",
            "intermediate_size",
        )),
        rope: rope(keys, HALVES),
        norm_eps: norm_eps(keys, 1e-5),
    }
}

fn config(plan: &ModelPlan) -> Map<String, Value> {
    let bound = match &plan.attention {
        AttentionPlan::Gqa(gqa) => gqa.clip_qkv,
        AttentionPlan::Mla(_) => None,
    };
    let normalizes = match &plan.feed_forward {
        FeedForwardPlan::Moe(moe) => moe.normalize_affinities,
        FeedForwardPlan::Dense { .. } => false,
    };
    joined([
        grouped_query_keys(plan),
        mixture_keys(plan, "num_experts", "intermediate_size"),
        keys! {
            "norm_topk_prob": normalizes,
            "clip_qkv": bound,
            "attention_bias": has(plan, |gqa| gqa.qkv_bias || gqa.output_bias),
        },
        position_keys(plan, HALVES),
    ])
}
