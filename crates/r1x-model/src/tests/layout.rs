//! The layout against the list of parameters and against places written by hand.
//!
//! Must not compute with the formulas it checks.

use r1x_core::parameters::{Initial, ParameterList};
use r1x_core::plan::{AttentionPlan, FeedForwardPlan, GqaPlan, ModelPlan, MoePlan};

use super::{gqa, mla, moe, plan, shapes};
use crate::layout::{Attention, Block, FeedForward, LatentQuery, Layout, Vector};

#[test]
fn every_shape_has_as_many_parameters_as_its_list() {
    let mut plans: Vec<ModelPlan> = shapes().into_iter().map(|(_, plan)| plan).collect();
    let heads = |heads, kv_heads| AttentionPlan::Gqa(GqaPlan::llama(heads, kv_heads, 8));
    for attention in [heads(4, 4), heads(6, 1), gqa(), mla(None), mla(Some(5))] {
        for dense_layers in 0..4 {
            let mixture = MoePlan {
                dense_layers: (0..dense_layers).collect(),
                shared_intermediate_size: 9 * (dense_layers % 3),
                ..moe()
            };
            for tied in [false, true] {
                let feed_forward = FeedForwardPlan::Moe(mixture.clone());
                plans.push(ModelPlan { layers: 3, ..plan(attention.clone(), feed_forward, tied) });
                let feed_forward = FeedForwardPlan::swiglu(5 + dense_layers);
                plans.push(plan(attention.clone(), feed_forward, tied));
            }
        }
    }
    for plan in plans {
        let (list, layout) = (ParameterList::new(&plan), Layout::new(&plan));
        let trained = if plan.lora.is_some() { list.adapters() } else { list.total() };
        assert_eq!(layout.parameter_count() as u64, trained, "{plan:?}");
        let own: usize = layout.base.parameters.iter().map(|parameter| parameter.len()).sum();
        assert_eq!(own as u64, list.total(), "{plan:?}");
        let biases: usize = layout.biases.iter().map(|(_, experts)| experts).sum();
        assert_eq!(biases as u64, list.untrained(), "{plan:?}");
        assert_eq!(layout.layers.len(), plan.layers);
        assert_eq!(layout.parts.first().map(|part| part.start), Some(layout.trained().range.start));
        assert_eq!(layout.parts.last().map(|part| part.end), Some(layout.trained().range.end));
        let all: Vec<_> = layout.parameters().collect();
        for pair in all.windows(2) {
            let (end, gap) = (pair[0].offset + pair[0].len(), pair[1].offset);
            // Joined, or on the next line of 16.
            assert!(gap == end || gap == end.next_multiple_of(16), "{}", pair[1].name);
        }
    }
}

/// One layer of grouped-query attention. What is joined has no gap; everything else starts at a multiple of 16.
#[test]
fn a_dense_layer_lies_where_it_always_lay() {
    let dense = FeedForwardPlan::swiglu(14);
    let layout = Layout::new(&ModelPlan { layers: 1, ..plan(gqa(), dense, false) });
    let offsets: Vec<usize> = layout.base.parameters.iter().map(|p| p.offset).collect();
    assert_eq!(offsets, [0, 144, 160, 400, 520, 640, 880, 896, 1036, 1184, 1328, 1344]);
    assert_eq!(layout.parts, [0..144, 144..1328, 1328..1474]);
    let layer = &layout.layers[0];
    let Attention::Gqa(attention) = &layer.attention else { unreachable!("the plan says so") };
    assert_eq!(attention.q, Block { offset: 160, rows: 24, columns: 10 });
    assert_eq!(attention.qkv.block(), Block { offset: 160, rows: 48, columns: 10 });
    assert_eq!(layer.feed_forward_norm, Vector { offset: 880, len: 10 });
    let FeedForward::Dense(swiglu) = &layer.feed_forward else { unreachable!("the plan says so") };
    assert_eq!(swiglu.gate_up_proj.block(), Block { offset: 896, rows: 28, columns: 10 });
    assert_eq!(layout.head.matrix().block(), Block { offset: 1344, rows: 13, columns: 10 });
}

#[test]
fn a_layer_with_latents_and_experts_lies_where_it_always_lay() {
    let mixture = FeedForwardPlan::Moe(MoePlan { routed_experts: 2, groups: 1, ..moe() });
    let model = ModelPlan { layers: 1, ..plan(mla(Some(8)), mixture, true) };
    let layout = Layout::new(&model);
    let places: Vec<(&str, usize)> = layout.base.parameters[1..]
        .iter()
        .map(|p| (p.name.rsplit("0.").next().unwrap(), p.offset))
        .collect();
    let expected = [
        ("input_layernorm.weight", 144),
        ("self_attn.q_a_proj.weight", 160),
        ("self_attn.kv_a_proj_with_mqa.weight", 240),
        ("self_attn.q_a_layernorm.weight", 352),
        ("self_attn.q_b_proj.weight", 368),
        ("self_attn.kv_a_layernorm.weight", 592),
        ("self_attn.kv_b_proj.weight", 608),
        ("self_attn.o_proj.weight", 848),
        ("post_attention_layernorm.weight", 1040),
        ("mlp.gate.weight", 1056),
        ("gate_proj.weight", 1088),
        ("up_proj.weight", 1178),
        ("down_proj.weight", 1280),
        ("mlp.experts.1.gate_proj.weight", 1376),
        ("mlp.experts.1.up_proj.weight", 1466),
        ("mlp.experts.1.down_proj.weight", 1568),
        ("mlp.shared_experts.gate_proj.weight", 1664),
        ("mlp.shared_experts.up_proj.weight", 1754),
        ("mlp.shared_experts.down_proj.weight", 1856),
        ("model.norm.weight", 1952),
    ];
    assert_eq!(places, expected);
    let bias = "model.layers.0.mlp.gate.e_score_correction_bias".to_owned();
    assert_eq!(layout.biases, [(bias, 2)]);
    let Attention::Mla(attention) = &layout.layers[0].attention else { unreachable!("it is") };
    assert!(matches!(
        attention.q,
        LatentQuery::LowRank { norm: Vector { offset: 352, len: 8 }, .. }
    ));
    assert_eq!(attention.down.block(), Block { offset: 160, rows: 19, columns: 10 });
    // The second head: after five rows of keys and six of values come its own.
    let [key, value] = [attention.expansions[1].key, attention.expansions[1].value];
    assert_eq!(key.block(), Block { offset: 608 + 11 * 7, rows: 5, columns: 7 });
    assert_eq!(value.block(), Block { offset: 608 + 16 * 7, rows: 6, columns: 7 });
}

#[test]
fn matrices_start_at_random_and_gains_at_one() {
    let mixture = FeedForwardPlan::Moe(moe());
    let layout = Layout::new(&plan(mla(None), mixture, false));
    for parameter in &layout.base.parameters {
        let expected = match parameter.shape.len() {
            2 => Initial::Normal { std: 0.3 },
            _ => Initial::Ones,
        };
        assert_eq!(parameter.initial, expected, "{}", parameter.name);
    }
}
