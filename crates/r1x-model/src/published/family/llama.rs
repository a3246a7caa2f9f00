//! Llama 2 and 3, SmolLM2 and what else is of `model_type: llama`.

use r1x_core::plan::{AttentionPlan, GqaPlan};

use super::{Family, HALVES, Keys, Shape, dense, grouped_queries, norm_eps};
use crate::published::rope::rope;

pub const LLAMA: Family =
    Family { model_type: "llama", class: "LlamaForCausalLM", shape, renamed: &[] };

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
