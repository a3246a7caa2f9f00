//! The list of parameters against tables written by hand: names, shapes, order, roles and counts.
//!
//! Must not compute with the formulas it checks.

use super::*;
use crate::plan::{AttentionPlan, FeedForwardPlan, GqaPlan, MlaPlan, ModelPlan, MoePlan, MtpPlan};
use crate::testing;

const VOCABULARY: usize = 13;

fn plan(attention: AttentionPlan, feed_forward: FeedForwardPlan, tied: bool) -> ModelPlan {
    ModelPlan {
        vocabulary_size: VOCABULARY,
        hidden_size: 10,
        layers: 2,
        attention,
        feed_forward,
        tie_embeddings: tied,
        init_std: 0.3,
        ..testing::tiny_model()
    }
}

fn gqa() -> AttentionPlan {
    AttentionPlan::Gqa(GqaPlan::llama(4, 2, 6))
}

fn mla(q_lora_rank: Option<usize>) -> AttentionPlan {
    AttentionPlan::Mla(MlaPlan {
        heads: 3,
        q_lora_rank,
        kv_lora_rank: 7,
        qk_nope_head_dim: 5,
        qk_rope_head_dim: 4,
        v_head_dim: 6,
        latent_norm_eps: 1e-6,
        bias: false,
    })
}

fn moe(dense_layers: usize, shared_experts: usize) -> FeedForwardPlan {
    FeedForwardPlan::Moe(MoePlan {
        routed_experts: 3,
        shared_intermediate_size: 9 * shared_experts,
        experts_per_token: 2,
        expert_intermediate_size: 9,
        dense_layers: (0..dense_layers).collect(),
        dense_intermediate_size: 11,
        ..testing::mixture()
    })
}

/// Every tensor of a list by its whole name, with its shape, in order.
fn named(list: &ParameterList) -> Vec<(String, Vec<usize>)> {
    let mut named = Vec::new();
    let mut add = |module: &Module, layer: usize| {
        for copy in 0..module.copies {
            let rows = module.tensors.iter();
            named.extend(rows.map(|row| (row.name_in(layer, copy), row.shape.clone())));
        }
    };
    add(&list.front, 0);
    for layers in &list.layers {
        for layer in layers.range.clone() {
            layers.modules.iter().for_each(|module| add(module, layer));
        }
    }
    add(&list.back, 0);
    for layers in &list.mtp {
        for layer in layers.range.clone() {
            layers.modules.iter().for_each(|module| add(module, layer));
        }
    }
    named
}

fn assert_named(list: &ParameterList, expected: &[(&str, &[usize])]) {
    let expected: Vec<(String, Vec<usize>)> =
        expected.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())).collect();
    assert_eq!(named(list), expected);
}

#[test]
fn a_dense_model_with_grouped_queries() {
    let dense = FeedForwardPlan::swiglu(14);
    let list = ParameterList::new(&ModelPlan { layers: 1, ..plan(gqa(), dense, true) });
    assert_named(
        &list,
        &[
            ("model.embed_tokens.weight", &[13, 10]),
            ("model.layers.0.input_layernorm.weight", &[10]),
            ("model.layers.0.self_attn.q_proj.weight", &[24, 10]),
            ("model.layers.0.self_attn.k_proj.weight", &[12, 10]),
            ("model.layers.0.self_attn.v_proj.weight", &[12, 10]),
            ("model.layers.0.self_attn.o_proj.weight", &[10, 24]),
            ("model.layers.0.post_attention_layernorm.weight", &[10]),
            ("model.layers.0.mlp.gate_proj.weight", &[14, 10]),
            ("model.layers.0.mlp.up_proj.weight", &[14, 10]),
            ("model.layers.0.mlp.down_proj.weight", &[10, 14]),
            ("model.norm.weight", &[10]),
        ],
    );
    let trained = 130 + 10 + 240 + 120 + 120 + 240 + 10 + 140 + 140 + 140 + 10;
    assert_eq!((list.total(), list.active(), list.untrained()), (trained, trained, 0));
}

#[test]
fn latent_attention_with_compressed_queries_and_an_untied_head() {
    let dense = FeedForwardPlan::swiglu(14);
    let model = plan(mla(Some(8)), dense, false);
    let list = ParameterList::new(&ModelPlan { layers: 1, ..model });
    assert_named(
        &list,
        &[
            ("model.embed_tokens.weight", &[13, 10]),
            ("model.layers.0.input_layernorm.weight", &[10]),
            ("model.layers.0.self_attn.q_a_proj.weight", &[8, 10]),
            ("model.layers.0.self_attn.kv_a_proj_with_mqa.weight", &[11, 10]),
            ("model.layers.0.self_attn.q_a_layernorm.weight", &[8]),
            ("model.layers.0.self_attn.q_b_proj.weight", &[27, 8]),
            ("model.layers.0.self_attn.kv_a_layernorm.weight", &[7]),
            ("model.layers.0.self_attn.kv_b_proj.weight", &[33, 7]),
            ("model.layers.0.self_attn.o_proj.weight", &[10, 18]),
            ("model.layers.0.post_attention_layernorm.weight", &[10]),
            ("model.layers.0.mlp.gate_proj.weight", &[14, 10]),
            ("model.layers.0.mlp.up_proj.weight", &[14, 10]),
            ("model.layers.0.mlp.down_proj.weight", &[10, 14]),
            ("model.norm.weight", &[10]),
            ("lm_head.weight", &[13, 10]),
        ],
    );
    let attention = 80 + 110 + 8 + 216 + 7 + 231 + 180;
    assert_eq!(list.total(), 2 * 130 + 10 + attention + 10 + 3 * 140 + 10);
}

#[test]
fn experts_after_a_dense_layer() {
    let list = ParameterList::new(&plan(mla(None), moe(1, 2), true));
    let names = named(&list);
    let from = |name: &str| {
        let first = names.iter().position(|(found, _)| found == name).unwrap_or(names.len());
        names[first..].iter().map(|(name, shape)| (&name[15..], &shape[..]))
    };
    let attention: [(&str, &[usize]); 7] = [
        ("input_layernorm.weight", &[10]),
        ("self_attn.q_proj.weight", &[27, 10]),
        ("self_attn.kv_a_proj_with_mqa.weight", &[11, 10]),
        ("self_attn.kv_a_layernorm.weight", &[7]),
        ("self_attn.kv_b_proj.weight", &[33, 7]),
        ("self_attn.o_proj.weight", &[10, 18]),
        ("post_attention_layernorm.weight", &[10]),
    ];
    let dense: [(&str, &[usize]); 3] = [
        ("mlp.gate_proj.weight", &[11, 10]),
        ("mlp.up_proj.weight", &[11, 10]),
        ("mlp.down_proj.weight", &[10, 11]),
    ];
    let first = from("model.layers.0.input_layernorm.weight");
    assert!(first.take(10).eq(attention.into_iter().chain(dense)), "{names:?}");
    let sparse: [(&str, &[usize]); 14] = [
        ("mlp.gate.weight", &[3, 10]),
        ("mlp.gate.e_score_correction_bias", &[3]),
        ("mlp.experts.0.gate_proj.weight", &[9, 10]),
        ("mlp.experts.0.up_proj.weight", &[9, 10]),
        ("mlp.experts.0.down_proj.weight", &[10, 9]),
        ("mlp.experts.1.gate_proj.weight", &[9, 10]),
        ("mlp.experts.1.up_proj.weight", &[9, 10]),
        ("mlp.experts.1.down_proj.weight", &[10, 9]),
        ("mlp.experts.2.gate_proj.weight", &[9, 10]),
        ("mlp.experts.2.up_proj.weight", &[9, 10]),
        ("mlp.experts.2.down_proj.weight", &[10, 9]),
        ("mlp.shared_experts.gate_proj.weight", &[18, 10]),
        ("mlp.shared_experts.up_proj.weight", &[18, 10]),
        ("mlp.shared_experts.down_proj.weight", &[10, 18]),
    ];
    let second = from("model.layers.1.input_layernorm.weight");
    assert!(second.take(21).eq(attention.into_iter().chain(sparse)), "{names:?}");
    assert_eq!(names.len(), 1 + 10 + 21 + 1);
    let attention = 10 + 270 + 110 + 7 + 231 + 180 + 10;
    let total = 130 + 2 * attention + 330 + 30 + 3 * 270 + 540 + 10;
    // One of the three routed experts is not used by a token.
    assert_eq!((list.total(), list.active(), list.untrained()), (total, total - 270, 3));
}

/// Two modules behind one layer, whose experts they have as well though that layer is dense.
#[test]
fn modules_of_multi_token_prediction_lie_behind_the_model() {
    let mtp = Some(MtpPlan { depth: 2, weight: 0.3 });
    let plain = ModelPlan { layers: 1, ..plan(mla(None), moe(1, 0), false) };
    let (without, with) =
        (ParameterList::new(&plain), ParameterList::new(&ModelPlan { mtp, ..plain.clone() }));
    let (before, all) = (named(&without), named(&with));
    assert_eq!(all[..before.len()], before);
    let added: Vec<(&str, &[usize])> =
        all[before.len()..].iter().map(|(name, shape)| (name.as_str(), &shape[..])).collect();
    assert_eq!(added.len(), 2 * (4 + 6 + 3 + 3 * 3));
    let of_first: [(&str, &[usize]); 6] = [
        ("model.layers.1.enorm.weight", &[10]),
        ("model.layers.1.hnorm.weight", &[10]),
        ("model.layers.1.eh_proj.weight", &[10, 20]),
        ("model.layers.1.shared_head.norm.weight", &[10]),
        ("model.layers.1.input_layernorm.weight", &[10]),
        ("model.layers.1.self_attn.q_proj.weight", &[27, 10]),
    ];
    assert_eq!(added[..6], of_first);
    assert_eq!(added[22].0, "model.layers.2.enorm.weight");
    assert_eq!(added[43].0, "model.layers.2.mlp.experts.2.down_proj.weight");
    let attention = 10 + 270 + 110 + 7 + 231 + 180 + 10;
    let module = 10 + 10 + 200 + 10 + attention + 30 + 3 * 270;
    assert_eq!(with.total(), without.total() + 2 * module);
    assert_eq!((with.active(), with.untrained()), (without.active(), 2 * 3));
}

#[test]
fn roles_say_how_a_tensor_starts_and_who_changes_it() {
    let list = ParameterList::new(&plan(gqa(), moe(0, 0), false));
    let normal = Initial::Normal { std: 0.3 };
    for Counted { tensor, .. } in list.counted() {
        let (role, initial) = match tensor.kind {
            TensorKind::Embedding => (Role::Embedding, normal),
            TensorKind::Router => (Role::ExactFactor, normal),
            TensorKind::SelectionBias => (Role::SelectionBias, Initial::Zeros),
            TensorKind::AttentionNorm | TensorKind::FeedForwardNorm | TensorKind::FinalNorm => {
                (Role::Vector, Initial::Ones)
            }
            _ => (Role::Factor, normal),
        };
        assert_eq!((tensor.role, tensor.initial), (role, initial), "{}", tensor.name);
        assert_eq!(role.is_trained(), role != Role::SelectionBias);
        let joined =
            [TensorKind::Key, TensorKind::Value, TensorKind::UpProjection].contains(&tensor.kind);
        assert_eq!(tensor.neighbour == Neighbour::Joined, joined, "{}", tensor.name);
    }
}

#[test]
fn layers_that_are_alike_share_their_rows() {
    let layers = |dense_layers| {
        let list = ParameterList::new(&plan(gqa(), moe(dense_layers, 0), true));
        let ranges = list.layers.iter().map(|layers| (layers.range.start, layers.range.end));
        let ranges: Vec<(usize, usize)> = ranges.collect();
        (ranges, list.untrained())
    };
    assert_eq!(layers(0), (vec![(0, 2)], 6));
    assert_eq!(layers(1), (vec![(0, 1), (1, 2)], 3));
    // More dense layers than layers are all of them.
    assert_eq!(layers(5), (vec![(0, 2)], 0));
}

#[test]
fn numbers_that_no_memory_holds_end_at_the_largest() {
    let dense = FeedForwardPlan::swiglu(1 << 40);
    let model = ModelPlan { hidden_size: 1 << 40, ..plan(gqa(), dense, true) };
    assert_eq!(ParameterList::new(&model).total(), u64::MAX);
}
