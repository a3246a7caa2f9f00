//! Mixtral: softmax over all experts, and the affinities of the chosen ones always divided by their sum.

use r1x_core::plan::{AttentionPlan, FeedForwardPlan, GqaPlan, ModelPlan, MoePlan, WindowPlan};
use serde_json::{Map, Value};

use super::{
    Family, HALVES, Habits, Keys, Shape, all_layers, grouped_queries, grouped_query_keys, joined,
    keys, mixture_keys, norm_eps, position_keys, softmax_mixture, window_of,
};
use crate::published::names::Renaming;
use crate::published::rope::rope;

pub const MIXTRAL: Family = Family {
    model_type: "mixtral",
    class: "MixtralForCausalLM",
    shape,
    config,
    renamed: &[
        Renaming { ours: ".mlp.gate.", theirs: ".block_sparse_moe.gate." },
        Renaming { ours: ".mlp.experts.", theirs: ".block_sparse_moe.experts." },
        Renaming { ours: ".gate_proj.", theirs: ".w1." },
        Renaming { ours: ".up_proj.", theirs: ".w3." },
        Renaming { ours: ".down_proj.", theirs: ".w2." },
    ],
};

const HABITS: Habits = Habits { theta: 1e6, ..HALVES };

fn shape(keys: &Keys<'_>) -> Shape {
    // A window that is named is meant, in every layer.
    let layers = || (0..all_layers(keys)).collect();
    let window = keys.count("sliding_window").map(|size| WindowPlan { size, layers: layers() });
    let mixture = softmax_mixture(keys, "num_local_experts", "intermediate_size");
    Shape {
        attention: AttentionPlan::Gqa(GqaPlan { window, ..grouped_queries(keys) }),
        feed_forward: FeedForwardPlan::Moe(MoePlan { normalize_affinities: true, ..mixture }),
        rope: rope(keys, HABITS),
        norm_eps: norm_eps(keys, 1e-5),
    }
}

fn config(plan: &ModelPlan) -> Map<String, Value> {
    joined([
        grouped_query_keys(plan),
        mixture_keys(plan, "num_local_experts", "intermediate_size"),
        keys! {"sliding_window": window_of(plan).map(|window| window.size)},
        position_keys(plan, HABITS),
    ])
}
