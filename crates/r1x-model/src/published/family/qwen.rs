//! Qwen2, Qwen2.5 and the R1 distillations on them, Qwen3, and the mixtures of both.

use r1x_core::plan::{
    AttentionPlan, FeedForwardPlan, GqaPlan, ModelPlan, MoePlan, QkNorm, WindowPlan,
};
use serde_json::{Map, Value};

use super::{
    Family, HALVES, Keys, Shape, all_layers, dense, dense_keys, grouped_queries,
    grouped_query_keys, has, joined, keys, mixture_keys, norm_eps, position_keys, softmax_mixture,
    window_of,
};
use crate::published::names::Renaming;
use crate::published::rope::rope;

pub const QWEN2: Family = Family {
    model_type: "qwen2",
    class: "Qwen2ForCausalLM",
    shape: qwen2,
    config: qwen2_config,
    renamed: &[],
};

pub const QWEN3: Family = Family {
    model_type: "qwen3",
    class: "Qwen3ForCausalLM",
    shape: qwen3,
    config: qwen3_config,
    renamed: &[],
};

pub const QWEN2_MOE: Family = Family {
    model_type: "qwen2_moe",
    class: "Qwen2MoeForCausalLM",
    shape: qwen2_moe,
    config: qwen2_moe_config,
    renamed: &[Renaming { ours: ".mlp.shared_experts.", theirs: ".mlp.shared_expert." }],
};

pub const QWEN3_MOE: Family = Family {
    model_type: "qwen3_moe",
    class: "Qwen3MoeForCausalLM",
    shape: qwen3_moe,
    config: qwen3_moe_config,
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

fn qwen2_config(plan: &ModelPlan) -> Map<String, Value> {
    joined([
        grouped_query_keys(plan),
        dense_keys(plan),
        window_keys(plan),
        layer_types(plan),
        position_keys(plan, HALVES),
    ])
}

fn qwen3_config(plan: &ModelPlan) -> Map<String, Value> {
    joined([bias_key(plan), qwen2_config(plan)])
}

fn qwen2_moe_config(plan: &ModelPlan) -> Map<String, Value> {
    let shared = match &plan.feed_forward {
        FeedForwardPlan::Moe(moe) => {
            keys! {"shared_expert_intermediate_size": moe.shared_intermediate_size}
        }
        FeedForwardPlan::Dense { .. } => Map::new(),
    };
    joined([
        grouped_query_keys(plan),
        keys! {"qkv_bias": has(plan, |gqa| gqa.qkv_bias)},
        sparse_keys(plan),
        shared,
        window_keys(plan),
        layer_types(plan),
        position_keys(plan, HALVES),
    ])
}

fn qwen3_moe_config(plan: &ModelPlan) -> Map<String, Value> {
    // Transformers knows a window in all layers or in none, and so no kinds of layers.
    joined([
        grouped_query_keys(plan),
        bias_key(plan),
        sparse_keys(plan),
        window_keys(plan),
        position_keys(plan, HALVES),
    ])
}

fn bias_key(plan: &ModelPlan) -> Map<String, Value> {
    keys! {"attention_bias": has(plan, |gqa| gqa.qkv_bias || gqa.output_bias)}
}

/// The keys of a mixture, with the dense layers listed.
fn sparse_keys(plan: &ModelPlan) -> Map<String, Value> {
    let FeedForwardPlan::Moe(moe) = &plan.feed_forward else { return Map::new() };
    // No layer may be dense; the key has a width all the same.
    let dense = [moe.dense_intermediate_size, moe.expert_intermediate_size];
    let rest = keys! {
        "intermediate_size": dense.into_iter().find(|size| *size > 0),
        "decoder_sparse_step": 1,
        "mlp_only_layers": moe.dense_layers,
        "norm_topk_prob": moe.normalize_affinities,
    };
    joined([mixture_keys(plan, "num_experts", "moe_intermediate_size"), rest])
}

fn window_keys(plan: &ModelPlan) -> Map<String, Value> {
    let window = window_of(plan);
    let first = window.and_then(|window| window.layers.first().copied());
    keys! {
        "use_sliding_window": window.is_some(),
        "sliding_window": window.map(|window| window.size),
        "max_window_layers": first.unwrap_or(plan.layers),
    }
}

/// Which layers are windowed, one by one: newer readers take this, older ones the bound.
fn layer_types(plan: &ModelPlan) -> Map<String, Value> {
    let window = window_of(plan);
    let is_windowed = |layer| window.is_some_and(|window| window.layers.contains(&layer));
    let kind = |layer| if is_windowed(layer) { "sliding_attention" } else { "full_attention" };
    keys! {"layer_types": (0..plan.layers).map(kind).collect::<Vec<_>>()}
}
