//! Llama 2 and 3, SmolLM2 and what else is of `model_type: llama`.

use r1x_core::plan::{AttentionPlan, FeedForwardPlan, GqaPlan, ModelPlan};
use serde_json::{Map, Value};

use super::{
    Family, HALVES, Keys, Shape, dense, dense_keys, grouped_queries, grouped_query_keys, has,
    joined, keys, norm_eps, position_keys,
};
use crate::published::rope::rope;

pub const LLAMA: Family =
    Family { model_type: "llama", class: "LlamaForCausalLM", shape, config, renamed: &[] };

fn shape(keys: &Keys<'_>) -> Shape {
    let bias = keys.flag("attention_bias").unwrap_or(false);
    let gqa = GqaPlan { qkv_bias: bias, output_bias: bias, ..grouped_queries(keys) };
    Shape {
        attention: AttentionPlan::Gqa(gqa),
        feed_forward: dense(keys, keys.flag("mlp_bias").unwrap_or(false)),
        rope: rope(keys, HALVES),
        norm_eps: norm_eps(keys, 1e-6),
    }
}

fn config(plan: &ModelPlan) -> Map<String, Value> {
    let has_mlp_bias = matches!(plan.feed_forward, FeedForwardPlan::Dense { bias: true, .. });
    let biases = keys! {
        "attention_bias": has(plan, |gqa| gqa.qkv_bias || gqa.output_bias),
        "mlp_bias": has_mlp_bias,
    };
    joined([grouped_query_keys(plan), dense_keys(plan), biases, position_keys(plan, HALVES)])
}
