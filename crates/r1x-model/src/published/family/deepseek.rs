//! DeepSeek-V2, V2-Lite, V3 and R1: latent attention, shared experts, groups of experts.

use r1x_core::plan::{
    AttentionPlan, FeedForwardPlan, GroupScore, MlaPlan, ModelPlan, MoePlan, RopePairs, Scoring,
};
use serde_json::{Map, Value};

use super::glm::{noaux_keys, noaux_mixture};
use super::{Family, Habits, Keys, Shape, joined, keys, norm_eps, position_keys};
use crate::published::rope::rope;

pub const DEEPSEEK_V2: Family = Family {
    model_type: "deepseek_v2",
    class: "DeepseekV2ForCausalLM",
    shape: v2,
    config: v2_config,
    renamed: &[],
};

pub const DEEPSEEK_V3: Family = Family {
    model_type: "deepseek_v3",
    class: "DeepseekV3ForCausalLM",
    shape: v3,
    config: v3_config,
    renamed: &[],
};

/// The norms inside latent attention have this epsilon in both, whatever the configuration says.
const LATENT_NORM_EPS: f64 = 1e-6;

const NEIGHBOURS: Habits =
    Habits { theta: 1e4, pairs: RopePairs::Neighbours, corrects_scores: true };

fn v2(keys: &Keys<'_>) -> Shape {
    let method = keys.word("topk_method").unwrap_or("greedy");
    let is_grouped = match method {
        "greedy" => false,
        "group_limited_greedy" => true,
        other => {
            let known = "what is known: greedy and group_limited_greedy";
            keys.problem("topk_method", format_args!("is `{other}`; {known}"));
            false
        }
    };
    let mixture = noaux_mixture(keys);
    let mixture = MoePlan {
        scoring: Scoring::Softmax,
        selection_bias: false,
        groups: if is_grouped { mixture.groups } else { 1 },
        groups_per_token: if is_grouped { mixture.groups_per_token } else { 1 },
        group_score: GroupScore::Largest,
        // V2 scales and never normalises, whatever `norm_topk_prob` says.
        normalize_affinities: false,
        ..mixture
    };
    if keys.flag("mlp_bias") == Some(true) {
        keys.problem("mlp_bias", "is true, and experts with biases are not known");
    }
    whole(keys, mixture, NEIGHBOURS)
}

fn v3(keys: &Keys<'_>) -> Shape {
    let pairs = match keys.flag("rope_interleave") {
        Some(false) => RopePairs::Halves,
        _ => RopePairs::Neighbours,
    };
    whole(keys, noaux_mixture(keys), Habits { pairs, ..NEIGHBOURS })
}

fn whole(keys: &Keys<'_>, mixture: MoePlan, habits: Habits) -> Shape {
    let mla = MlaPlan {
        heads: keys.needed("num_attention_heads"),
        q_lora_rank: keys.count("q_lora_rank"),
        kv_lora_rank: keys.needed("kv_lora_rank"),
        qk_nope_head_dim: keys.needed("qk_nope_head_dim"),
        qk_rope_head_dim: keys.needed("qk_rope_head_dim"),
        v_head_dim: keys.needed("v_head_dim"),
        latent_norm_eps: LATENT_NORM_EPS,
        bias: keys.flag("attention_bias").unwrap_or(false),
    };
    Shape {
        attention: AttentionPlan::Mla(mla),
        feed_forward: FeedForwardPlan::Moe(mixture),
        rope: rope(keys, habits),
        norm_eps: norm_eps(keys, 1e-6),
    }
}

fn v2_config(plan: &ModelPlan) -> Map<String, Value> {
    let is_grouped = matches!(&plan.feed_forward, FeedForwardPlan::Moe(moe) if moe.groups > 1);
    let method = if is_grouped { "group_limited_greedy" } else { "greedy" };
    // Keys of both are among the ones of the mixture, and are false and none here.
    let rest = keys! {
        "topk_method": method,
        "scoring_func": "softmax",
        "norm_topk_prob": false,
        // V2 knows no multi-token prediction.
        "num_nextn_predict_layers": 0,
    };
    joined([whole_keys(plan), rest, position_keys(plan, NEIGHBOURS)])
}

fn v3_config(plan: &ModelPlan) -> Map<String, Value> {
    let rest = keys! {
        "topk_method": "noaux_tc",
        "scoring_func": "sigmoid",
        "rope_interleave": plan.rope.pairs == RopePairs::Neighbours,
    };
    joined([whole_keys(plan), rest, position_keys(plan, NEIGHBOURS)])
}

fn whole_keys(plan: &ModelPlan) -> Map<String, Value> {
    let AttentionPlan::Mla(mla) = &plan.attention else { return noaux_keys(plan) };
    let attention = keys! {
        "num_attention_heads": mla.heads,
        "num_key_value_heads": mla.heads,
        "q_lora_rank": mla.q_lora_rank,
        "kv_lora_rank": mla.kv_lora_rank,
        "qk_nope_head_dim": mla.qk_nope_head_dim,
        "qk_rope_head_dim": mla.qk_rope_head_dim,
        "v_head_dim": mla.v_head_dim,
        "attention_bias": mla.bias,
        "moe_layer_freq": 1,
    };
    joined([attention, noaux_keys(plan)])
}
