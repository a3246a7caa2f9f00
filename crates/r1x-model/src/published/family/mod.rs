//! The families of published models: what the keys of their `config.json` mean. One file a family, and a row here.

mod deepseek;
mod glm;
mod llama;
mod mixtral;
mod olmoe;
mod qwen;

use r1x_core::plan::{
    AttentionPlan, FeedForwardPlan, GqaPlan, GroupScore, ModelPlan, MoePlan, RopePairs, RopePlan,
    Scoring, WindowPlan,
};

use serde_json::{Map, Value, json};

use super::bounds::{MOST_EXPERTS, MOST_LAYERS};
use super::config::Keys;
use super::names::Renaming;
use super::rope::{self, Habits};

/// A family of published models.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The `model_type` of its configurations.
    pub model_type: &'static str,
    /// The name of its class in transformers, which configurations carry under `architectures`.
    pub class: &'static str,
    /// What its keys mean.
    pub shape: fn(&Keys<'_>) -> Shape,
    /// The keys that say the layers of a plan, as far as the family has keys for them: `shape` of these is the shape of
    /// the plan, or the family cannot say it.
    pub config: fn(&ModelPlan) -> Map<String, Value>,
    /// Names of its tensors that differ from those of this program.
    pub renamed: &'static [Renaming],
}

/// What a configuration says about the layers of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Attention of every layer.
    pub attention: AttentionPlan,
    /// Feed-forward of every layer.
    pub feed_forward: FeedForwardPlan,
    /// How positions enter.
    pub rope: RopePlan,
    /// Added to the mean square in RMSNorm.
    pub norm_eps: f64,
}

/// Every family.
pub const FAMILIES: &[Family] = &[
    llama::LLAMA,
    qwen::QWEN2,
    qwen::QWEN3,
    qwen::QWEN2_MOE,
    qwen::QWEN3_MOE,
    mixtral::MIXTRAL,
    olmoe::OLMOE,
    glm::GLM4_MOE,
    deepseek::DEEPSEEK_V2,
    deepseek::DEEPSEEK_V3,
];

/// Keys of a configuration with their values, in the order in which they are written.
macro_rules! keys {
    ($($key:literal: $value:expr),* $(,)?) => {
        serde_json::Map::from_iter([$(($key.to_owned(), serde_json::json!($value))),*])
    };
}
use keys;

/// Rotary positions as most families have them.
const HALVES: Habits = Habits { theta: 1e4, pairs: RopePairs::Halves, corrects_scores: false };

/// Grouped-query attention as most families write it, without biases, norms, bounds and windows.
fn grouped_queries(keys: &Keys<'_>) -> GqaPlan {
    let heads = keys.needed("num_attention_heads");
    let kv_heads = keys.count("num_key_value_heads").unwrap_or(heads);
    let head_dim = keys.count("head_dim");
    let head_dim = head_dim.unwrap_or_else(|| keys.needed("hidden_size") / heads);
    if !heads.is_multiple_of(kv_heads) {
        keys.problem(
            "num_key_value_heads",
            format_args!("is {kv_heads}, and does not divide {heads}"),
        );
    }
    GqaPlan::llama(heads, kv_heads, head_dim)
}

/// A SwiGLU in every layer.
fn dense(keys: &Keys<'_>, bias: bool) -> FeedForwardPlan {
    FeedForwardPlan::Dense { intermediate_size: keys.needed("intermediate_size"), bias }
}

/// A mixture of softmax affinities without shared experts, groups and dense layers.
fn softmax_mixture(keys: &Keys<'_>, experts: &str, intermediate_size: &str) -> MoePlan {
    MoePlan {
        routed_experts: keys.needed_up_to(experts, MOST_EXPERTS),
        shared_intermediate_size: 0,
        shared_gated: false,
        experts_per_token: keys.needed("num_experts_per_tok"),
        expert_intermediate_size: keys.needed(intermediate_size),
        scoring: Scoring::Softmax,
        selection_bias: false,
        groups: 1,
        groups_per_token: 1,
        group_score: GroupScore::Largest,
        normalize_affinities: keys.flag("norm_topk_prob").unwrap_or(false),
        routed_scaling: 1.0,
        // Frozen: what balances a published model is its own affair until a spec says otherwise.
        bias_update_speed: 0.0,
        balance_loss: 0.0,
        dense_layers: Vec::new(),
        dense_intermediate_size: 0,
    }
}

/// The layers that are dense because the first so many are, out of all of them.
fn leading(keys: &Keys<'_>) -> Vec<usize> {
    let (first, layers) = (keys.count_or_none("first_k_dense_replace"), all_layers(keys));
    (0..first.unwrap_or(0).min(layers)).collect()
}

/// How many layers there are.
fn all_layers(keys: &Keys<'_>) -> usize {
    keys.needed_up_to("num_hidden_layers", MOST_LAYERS)
}

/// Epsilon of the norms.
fn norm_eps(keys: &Keys<'_>, default: f64) -> f64 {
    keys.positive_or("rms_norm_eps", default)
}

/// The keys of grouped-query attention that every family has; none where the plan has another attention.
fn grouped_query_keys(plan: &ModelPlan) -> Map<String, Value> {
    let AttentionPlan::Gqa(gqa) = &plan.attention else { return Map::new() };
    keys! {
        "num_attention_heads": gqa.heads,
        "num_key_value_heads": gqa.kv_heads,
        "head_dim": gqa.head_dim,
    }
}

/// Whether the plan has grouped-query attention of which something holds.
fn has(plan: &ModelPlan, what: impl Fn(&GqaPlan) -> bool) -> bool {
    matches!(&plan.attention, AttentionPlan::Gqa(gqa) if what(gqa))
}

/// The windowed layers, where there are any.
fn window_of(plan: &ModelPlan) -> Option<&WindowPlan> {
    match &plan.attention {
        AttentionPlan::Gqa(gqa) => gqa.window.as_ref(),
        AttentionPlan::Mla(_) => None,
    }
}

/// The keys of a SwiGLU in every layer; none where there are experts.
fn dense_keys(plan: &ModelPlan) -> Map<String, Value> {
    match &plan.feed_forward {
        FeedForwardPlan::Dense { intermediate_size, .. } => {
            keys! {"intermediate_size": intermediate_size}
        }
        FeedForwardPlan::Moe(_) => Map::new(),
    }
}

/// The keys of a mixture that have one name in every family, with the number of experts and their width under the
/// family's own names; none where there are no experts.
fn mixture_keys(plan: &ModelPlan, experts: &str, intermediate_size: &str) -> Map<String, Value> {
    let FeedForwardPlan::Moe(moe) = &plan.feed_forward else { return Map::new() };
    Map::from_iter([
        (experts.to_owned(), json!(moe.routed_experts)),
        ("num_experts_per_tok".to_owned(), json!(moe.experts_per_token)),
        (intermediate_size.to_owned(), json!(moe.expert_intermediate_size)),
    ])
}

/// The keys of norms and rotary positions.
fn position_keys(plan: &ModelPlan, habits: Habits) -> Map<String, Value> {
    let mut map = keys! {"rms_norm_eps": plan.norm_eps};
    map.extend(rope::keys(plan, habits));
    map
}

/// Several maps as one.
fn joined(maps: impl IntoIterator<Item = Map<String, Value>>) -> Map<String, Value> {
    maps.into_iter().flatten().collect()
}
