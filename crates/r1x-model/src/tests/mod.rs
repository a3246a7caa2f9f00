//! Tests of the whole model: gradients by finite differences, sampler against trainer, checkpoints,
//! and the whole against two independent implementations.

mod average;
mod balance;
mod begun;
mod checkpoint;
mod composed;
mod finite;
mod follow;
mod frozen;
mod golden;
mod gradient;
mod layout;
mod lora;
mod mtp;
mod padding;
mod properties;
mod tensor;
mod together;
mod value;

use r1x_ops::Real;
use r1x_ops::kernel::add_assign;

use crate::checkpoint::Expected;
use crate::layout::Layout;
use r1x_core::parameters::ParameterList;
use r1x_core::plan::{
    AttentionPlan, FeedForwardPlan, GqaPlan, GroupScore, HeadPlan, LoraPlan, LoraScaling,
    LoraTarget, MlaPlan, ModelPlan, MoePlan, QkNorm, RopePlan, RopeScaling, Scoring, WindowPlan,
    YarnPlan,
};
use r1x_core::testing;

/// A checkpoint of which nothing is known.
pub const ANY: Expected<'static> = Expected::ANYTHING;

/// Grouped-query attention.
pub fn gqa() -> AttentionPlan {
    AttentionPlan::Gqa(GqaPlan::llama(4, 2, 6))
}

/// Latent attention.
pub fn mla(q_lora_rank: Option<usize>) -> AttentionPlan {
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

/// A mixture with two groups, one of which a token may use.
pub fn moe() -> MoePlan {
    MoePlan {
        routed_experts: 4,
        shared_intermediate_size: 9,
        experts_per_token: 2,
        expert_intermediate_size: 9,
        groups: 2,
        groups_per_token: 1,
        normalize_affinities: true,
        routed_scaling: 1.5,
        bias_update_speed: 0.01,
        balance_loss: 0.1,
        dense_intermediate_size: 11,
        ..testing::mixture()
    }
}

/// A small plan around an attention and a feed-forward.
pub fn plan(attention: AttentionPlan, feed_forward: FeedForwardPlan, tied: bool) -> ModelPlan {
    let pairs = attention.usual_pairs();
    ModelPlan {
        tokenizer: testing::numbers(12),
        vocabulary_size: 13,
        hidden_size: 10,
        layers: 2,
        context_length: 64,
        attention,
        feed_forward,
        tie_embeddings: tied,
        rope: RopePlan::unscaled(100.0, pairs),
        init_std: 0.3,
        ..testing::tiny_model()
    }
}

/// Every shape the spec can ask for, named.
pub fn shapes() -> Vec<(&'static str, ModelPlan)> {
    let dense = || FeedForwardPlan::swiglu(14);
    let flat =
        MoePlan { groups: 1, normalize_affinities: false, shared_intermediate_size: 0, ..moe() };
    let mixed =
        MoePlan { dense_layers: vec![0], shared_intermediate_size: 18, balance_loss: 0.0, ..moe() };
    let biased = GqaPlan { qkv_bias: true, output_bias: true, ..GqaPlan::llama(4, 2, 6) };
    let headed = GqaPlan { qk_norm: QkNorm::Head, rotary_dim: 4, ..biased.clone() };
    let near = WindowPlan { size: 5, layers: vec![1] };
    let (clip_qkv, window) = (Some(0.7), Some(near));
    let whole = GqaPlan { qk_norm: QkNorm::Whole, clip_qkv, window, ..GqaPlan::llama(4, 2, 6) };
    let AttentionPlan::Mla(latent) = mla(Some(8)) else { unreachable!("latent attention") };
    let latent = |bias, q_lora_rank| {
        AttentionPlan::Mla(MlaPlan { bias, q_lora_rank, latent_norm_eps: 1e-3, ..latent.clone() })
    };
    let softmax = MoePlan {
        scoring: Scoring::Softmax,
        selection_bias: false,
        shared_gated: true,
        group_score: GroupScore::Largest,
        ..moe()
    };
    let plain = MoePlan {
        groups: 1,
        normalize_affinities: false,
        dense_layers: vec![1],
        ..softmax.clone()
    };
    let yarn = YarnPlan {
        factor: 4.0,
        original_context: 16,
        beta_fast: 8.0,
        beta_slow: 1.0,
        truncate: false,
        rotation_factor: 1.2,
        score_factor: 0.8,
    };
    let biased_dense = FeedForwardPlan::Dense { intermediate_size: 14, bias: true };
    let stretched = ModelPlan {
        rope: RopePlan { scaling: RopeScaling::Yarn(yarn), ..plan(gqa(), dense(), true).rope },
        ..plan(latent(true, Some(8)), dense(), true)
    };
    vec![
        ("gqa dense tied", plan(gqa(), dense(), true)),
        ("gqa dense untied", plan(gqa(), dense(), false)),
        ("gqa moe", plan(gqa(), FeedForwardPlan::Moe(moe()), true)),
        ("mla dense", plan(mla(None), dense(), true)),
        ("mla low-rank moe", plan(mla(Some(8)), FeedForwardPlan::Moe(moe()), false)),
        ("mla moe without groups", plan(mla(None), FeedForwardPlan::Moe(flat), true)),
        ("mla moe after a dense layer", plan(mla(None), FeedForwardPlan::Moe(mixed), true)),
        ("gqa with biases", plan(AttentionPlan::Gqa(biased), biased_dense, true)),
        ("gqa with normed heads", plan(AttentionPlan::Gqa(headed), dense(), false)),
        ("gqa normed and bounded", plan(AttentionPlan::Gqa(whole), dense(), true)),
        ("mla with biases and yarn", stretched),
        (
            "mla with one bias",
            plan(latent(true, None), FeedForwardPlan::Moe(softmax.clone()), true),
        ),
        ("gqa softmax moe", plan(gqa(), FeedForwardPlan::Moe(plain), false)),
        ("gqa with adapters", with_adapters(plan(gqa(), dense(), true), LoraPlan::everywhere(3))),
        ("biased and normed gqa with some adapters", with_adapters(some_adapters(), narrow())),
        (
            "mla moe with adapters",
            with_adapters(
                plan(mla(Some(8)), FeedForwardPlan::Moe(moe()), false),
                LoraPlan::everywhere(2),
            ),
        ),
    ]
}

/// Shapes whose models say values, named. The embedding of none is a head, whatever the plan says of tying.
pub fn value_shapes() -> Vec<(&'static str, ModelPlan)> {
    let names = ["gqa dense tied", "gqa dense untied", "gqa softmax moe", "mla low-rank moe"];
    let valued = |(_, plan)| ModelPlan { head: HeadPlan::Value, ..plan };
    let found = |name: &str| shapes().into_iter().find(|(known, _)| *known == name);
    names.into_iter().filter_map(|name| Some((name, valued(found(name)?)))).collect()
}

/// The model with adapters that are trained in place of its weights.
pub fn with_adapters(plan: ModelPlan, lora: LoraPlan) -> ModelPlan {
    let targets = ParameterList::possible_targets(&plan);
    let is_there = |target: &LoraTarget| targets.contains(target);
    let wanted = lora.targets.iter().copied().filter(is_there).collect();
    ModelPlan { lora: Some(LoraPlan { targets: wanted, ..lora }), ..plan }
}

/// Adapters of projections that are joined with others that have none.
fn narrow() -> LoraPlan {
    let targets = vec![LoraTarget::Key, LoraTarget::Value, LoraTarget::Up, LoraTarget::Down];
    LoraPlan { targets, scaling: LoraScaling::RootOfRank, ..LoraPlan::everywhere(5) }
}

fn some_adapters() -> ModelPlan {
    let headed = GqaPlan { qk_norm: QkNorm::Head, qkv_bias: true, ..GqaPlan::llama(4, 2, 6) };
    let dense = FeedForwardPlan::Dense { intermediate_size: 14, bias: true };
    plan(AttentionPlan::Gqa(headed), dense, false)
}

/// Adds the parts of a gradient to one range for the whole model.
pub fn into<R: Real>(layout: &Layout, gradient: &mut [R]) -> impl FnMut(usize, &[R]) {
    let start = layout.trained().range.start;
    move |part, values| {
        let part = &layout.parts[part];
        add_assign(&mut gradient[part.start - start..part.end - start], values);
    }
}
