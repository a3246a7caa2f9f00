//! OLMoE: queries and keys normed as a whole, and all three bounded where a key says so.

use r1x_core::plan::{AttentionPlan, FeedForwardPlan, GqaPlan, QkNorm};

use super::{Family, HALVES, Keys, Shape, grouped_queries, norm_eps, softmax_mixture};
use crate::published::rope::rope;

pub const OLMOE: Family =
    Family { model_type: "olmoe", class: "OlmoeForCausalLM", shape, renamed: &[] };

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
