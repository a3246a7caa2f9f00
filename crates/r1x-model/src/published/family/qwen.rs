//! Qwen2, Qwen2.5 and the R1 distillations on them, Qwen3, and the mixtures of both.

use r1x_core::plan::{AttentionPlan, FeedForwardPlan, GqaPlan, MoePlan, QkNorm, WindowPlan};

use super::{
    Family, HALVES, Keys, Shape, all_layers, dense, grouped_queries, norm_eps, softmax_mixture,
};
use crate::published::names::Renaming;
use crate::published::rope::rope;

pub const QWEN2: Family =
    Family { model_type: "qwen2", class: "Qwen2ForCausalLM", shape: qwen2, renamed: &[] };

pub const QWEN3: Family =
    Family { model_type: "qwen3", class: "Qwen3ForCausalLM", shape: qwen3, renamed: &[] };

pub const QWEN2_MOE: Family = Family {
    model_type: "qwen2_moe",
    class: "Qwen2MoeForCausalLM",
    shape: qwen2_moe,
    renamed: &[Renaming { ours: ".mlp.shared_experts.", theirs: ".mlp.shared_expert." }],
};

pub const QWEN3_MOE: Family = Family {
    model_type: "qwen3_moe",
    class: "Qwen3MoeForCausalLM",
    shape: qwen3_moe,
    renamed: &[],
};

/// Queries, keys and values always have biases, and no key says so.
fn qwen2(keys: &Keys<'_>) -> Shape {
    let window = window(keys, |layer, most| layer >= most);
    let gqa = GqaPlan { qkv_bias: true, window, ..grouped_queries(keys) };
    whole(keys, gqa, dense(keys, false))
}

fn qwen3(keys: &Keys<'_>) -> Shape {
    let window = window(keys, |layer, most| layer >= most);
    let gqa = GqaPlan { window, ..normed(keys) };
    whole(keys, gqa, dense(keys, false))
}

fn qwen2_moe(keys: &Keys<'_>) -> Shape {
    // Even layers below the bound, where the dense family has the layers from the bound on.
    let window = window(keys, |layer, most| layer < most && layer.is_multiple_of(2));
    let qkv_bias = keys.flag("qkv_bias").unwrap_or(true);
    let gqa = GqaPlan { qkv_bias, window, ..grouped_queries(keys) };
    let mixture = MoePlan {
        shared_intermediate_size: keys.needed("shared_expert_intermediate_size"),
        shared_gated: true,
        ..mixture(keys, "num_experts")
    };
    whole(keys, gqa, FeedForwardPlan::Moe(mixture))
}

fn qwen3_moe(keys: &Keys<'_>) -> Shape {
    let gqa = GqaPlan { window: window(keys, |_, _| true), ..normed(keys) };
    // Published files say the one, newer writers the other.
    let experts =
        if keys.get("num_experts").is_some() { "num_experts" } else { "num_local_experts" };
    whole(keys, gqa, FeedForwardPlan::Moe(mixture(keys, experts)))
}

fn whole(keys: &Keys<'_>, gqa: GqaPlan, feed_forward: FeedForwardPlan) -> Shape {
    Shape {
        attention: AttentionPlan::Gqa(gqa),
        feed_forward,
        rope: rope(keys, HALVES),
        norm_eps: norm_eps(keys, 1e-6),
    }
}

/// Qwen3 norms every head, and has biases where a key says so.
fn normed(keys: &Keys<'_>) -> GqaPlan {
    let bias = keys.flag("attention_bias").unwrap_or(false);
    let heads = GqaPlan { qkv_bias: bias, output_bias: bias, ..grouped_queries(keys) };
    let head_dim = keys.count("head_dim").unwrap_or(128);
    GqaPlan { head_dim, rotary_dim: head_dim, qk_norm: QkNorm::Head, ..heads }
}

/// A mixture in every `decoder_sparse_step`th layer but those of `mlp_only_layers`.
fn mixture(keys: &Keys<'_>, experts: &str) -> MoePlan {
    let step = keys.count("decoder_sparse_step").unwrap_or(1);
    let only = keys.counts("mlp_only_layers").unwrap_or_default();
    let is_dense = |layer: &usize| only.contains(layer) || !(layer + 1).is_multiple_of(step);
    let dense_layers: Vec<usize> = (0..all_layers(keys)).filter(is_dense).collect();
    let has_dense = !dense_layers.is_empty();
    MoePlan {
        dense_layers,
        dense_intermediate_size: if has_dense { keys.needed("intermediate_size") } else { 0 },
        ..softmax_mixture(keys, experts, "moe_intermediate_size")
    }
}

/// The windowed layers: none unless `use_sliding_window` says so, then those of `layer_types`, or else those that the
/// family means by its bound.
fn window(keys: &Keys<'_>, windowed: impl Fn(usize, usize) -> bool) -> Option<WindowPlan> {
    if !keys.flag("use_sliding_window").unwrap_or(false) {
        return None;
    }
    let size = keys.count("sliding_window")?;
    let most = keys.count_or_none("max_window_layers").unwrap_or(28);
    let types = keys.words("layer_types");
    let is_windowed = |layer: &usize| match &types {
        Some(types) => types.get(*layer).is_some_and(|kind| kind == "sliding_attention"),
        None => windowed(*layer, most),
    };
    let layers: Vec<usize> = (0..all_layers(keys)).filter(is_windowed).collect();
    (!layers.is_empty()).then_some(WindowPlan { size, layers })
}
