//! Parameter counts against sums done by hand, and estimates that must grow with what they measure.
//!
//! Must not compute with the formulas it checks.

mod common;

use std::collections::BTreeMap;

use common::World;
use r1x_core::plan::{MergePart, MergePlan, StageKind, StagePlan, WeightsFrom};
use r1x_spec::{DataSize, Estimate, Resolved, StageEstimate, Work, estimate, memory, parameters};

fn shipped(name: &str, overrides: &[&str]) -> Resolved {
    World::new().resolve_file(&format!("experiments/{name}.yaml"), overrides).expect("it resolves")
}

/// Fixed shapes, so that tuning the shipped experiments does not touch these tests.
const MOE: [&str; 4] = [
    "model.hidden_size=128",
    "model.layers=2",
    "model.attention.mla={heads: 4, kv_lora_rank: 32, qk_nope_head_dim: 32, qk_rope_head_dim: 16, v_head_dim: 32}",
    "model.feed_forward.moe={routed_experts: 8, shared_experts: 1, experts_per_token: 2, expert_intermediate_size: 96}",
];

#[test]
fn mixture_of_experts_with_latent_attention() {
    let resolved = shipped("countdown", &MOE);
    let sum = parameters(&resolved.plan.model);
    // embedding 120*128; per layer: norms 256, q 128*4*48, kv_a 128*48, kv_a norm 32, kv_b 32*4*64,
    // o 128*128, router 8*128, 9 experts of 3*128*96; final norm 128.
    let layer = 256 + 24_576 + 6_144 + 32 + 8_192 + 16_384 + 1_024 + 9 * 36_864;
    assert_eq!(sum.total, 15_360 + 2 * layer + 128);
    // Six of the eight routed experts of a layer are not used by a token.
    assert_eq!(sum.total - sum.active, 2 * 6 * 36_864);
    assert_eq!(sum.untrained, 16);
}

#[test]
fn query_compression_dense_layers_and_an_untied_head() {
    let mut overrides = MOE.to_vec();
    overrides.extend([
        "model.tie_embeddings=false",
        "model.attention.mla.q_lora_rank=24",
        "model.feed_forward.moe.dense_layers=1",
        "model.feed_forward.moe.dense_intermediate_size=200",
        "model.feed_forward.moe.shared_experts=0",
    ]);
    let sum = parameters(&shipped("countdown", &overrides).plan.model);
    let attention = 128 * 24 + 24 + 24 * 192 + 6_144 + 32 + 8_192 + 16_384;
    let sparse = 1_024 + 8 * 36_864;
    assert_eq!(sum.total, 2 * 15_360 + 2 * (256 + attention) + 3 * 128 * 200 + sparse + 128);
    assert_eq!(sum.untrained, 8);
}

/// A sum of all numbers in f32, and a copy of those of the beginning where they are a part.
#[test]
fn averages_take_the_memory_of_their_sum() {
    let mut plan = shipped("countdown", &MOE).plan;
    let bytes = 4 * parameters(&plan.model).total;
    let part = |weights| MergePart { weights, share: 0.5 };
    let stage = |id: &str| part(WeightsFrom::Stage(id.to_owned()));
    for (parts, copies) in
        [(vec![stage("a"), stage("b")], 1), (vec![stage("a"), part(WeightsFrom::Base)], 2)]
    {
        let kind = StageKind::Merge(MergePlan { parts });
        let (id, model, weights) = ("both".to_owned(), None, WeightsFrom::Base);
        plan.stages = vec![StagePlan { id, model, weights, kind }];
        assert_eq!(memory(&plan, &BTreeMap::new(), 2).activations, copies * bytes);
    }
}

#[test]
fn modules_of_multi_token_prediction_cost_what_they_have() {
    let mut overrides = MOE.to_vec();
    let plain = shipped("countdown", &overrides);
    overrides.push("model.mtp={depth: 2}");
    let with = shipped("countdown", &overrides);
    let (before, sum) = (parameters(&plain.plan.model), parameters(&with.plan.model));
    // Beside a layer as above each module has three norms of 128 and the projection 128*256.
    let layer = 256 + 24_576 + 6_144 + 32 + 8_192 + 16_384 + 1_024 + 9 * 36_864;
    assert_eq!(sum.total, before.total + 2 * (layer + 3 * 128 + 32_768));
    assert_eq!((sum.active, sum.untrained), (before.active, before.untrained + 16));
    let of = |resolved: &Resolved| estimate(&resolved.plan, &BTreeMap::new(), 2);
    let (before, after) = (of(&plain), of(&with));
    assert_eq!(before.token_flops, after.token_flops);
    for (before, after) in before.stages.iter().zip(&after.stages) {
        assert_eq!(before.most.sampling_flops, after.most.sampling_flops);
        let (a, b) = (before.most.training_flops, after.most.training_flops);
        if before.kind == "sft" {
            // By hand for a token: 6 operations each for the layer's share of a token, the projection and the head of
            // 120 words, and for the attention of 4 heads of 48 and 32 over half of the context of 64.
            let active = layer - 6 * 36_864 + 32_768 + 120 * 128;
            let token = 2.0 * (6.0 * active as f64 + 3.0 * (2.0 * 4.0 * 80.0) * 32.0);
            assert!((b - a - before.most.trained_tokens * token).abs() < 1e-6 * a, "{a} {b}");
        } else {
            assert_eq!(a, b, "{}", before.id);
        }
    }
    assert!(before.memory_bytes < after.memory_bytes);
}

#[test]
fn dense_with_grouped_queries() {
    let resolved = shipped(
        "countdown-dense",
        &[
            "model.hidden_size=128",
            "model.layers=2",
            "model.attention.gqa={heads: 4, kv_heads: 2, head_dim: 32}",
            "model.feed_forward.dense.intermediate_size=256",
        ],
    );
    let sum = parameters(&resolved.plan.model);
    let layer = 256 + 128 * 128 + 2 * 128 * 64 + 128 * 128 + 3 * 128 * 256;
    assert_eq!(sum.total, 15_360 + 2 * layer + 128);
    assert_eq!(sum.active, sum.total);
}

#[test]
fn the_tensors_add_up() {
    let sum = parameters(&shipped("countdown", &[]).plan.model);
    let count = |trained: bool| -> u64 {
        let tensors = sum.tensors.iter().filter(|tensor| tensor.trained == trained);
        tensors.map(|tensor| tensor.shape.iter().product::<u64>() * tensor.count).sum()
    };
    assert_eq!((count(true), count(false)), (sum.total, sum.untrained));
}

fn flops(sum: &Estimate) -> f64 {
    sum.stages.iter().map(|stage| stage.most.sampling_flops + stage.most.training_flops).sum()
}

#[test]
fn tokens_are_counted_per_stage_and_suite() {
    let overrides = [
        "stages.cold-start.sft.steps=10",
        "stages.cold-start.sft.batch_size=64",
        "stages.rl.grpo.steps=5",
        "stages.rl.grpo.prompts_per_step=3",
        "stages.rl.grpo.group_size=4",
        "stages.rl.grpo.schedule.warmup_steps=0",
        "stages.cold-start.sft.schedule.warmup_steps=0",
        "stages.rl.grpo.micro_batch_size=12",
        "stages.rl.grpo.sampling.max_tokens=40",
        "evals.heldout.samples=8",
        "evals.heldout.limit=100",
        "evals.heldout.sampling.max_tokens=40",
        "evals.heldout.when={at: [start, stage_end], every: 2}",
        "model.context_length=64",
    ];
    let resolved = shipped("countdown", &overrides);
    let size = DataSize {
        train: 10_500,
        heldout: 90,
        longest_prompt: Some(8),
        prompt: Some(7.5),
        solution: Some(20.0),
        longest_example: None,
        bytes: 0,
    };
    let sizes = BTreeMap::from([("countdown".to_owned(), size)]);
    let sum = estimate(&resolved.plan, &sizes, 2);
    let stages = |of: fn(&StageEstimate) -> Work| -> Vec<_> {
        let work = |s: &StageEstimate| (of(s).generated_tokens, of(s).trained_tokens);
        sum.stages.iter().map(|s| (s.id.clone(), s.updates, s.completions, work(s))).collect()
    };
    // The suite runs at the start, four times before the end of ten steps and twice before that of five, and at both
    // ends: nine times over the 90 problems there are.
    let rows = |cold: f64, rl: (f64, f64), heldout: f64| {
        vec![
            ("cold-start".to_owned(), 10, 0, (0.0, cold)),
            ("rl".to_owned(), 5, 60, rl),
            ("heldout".to_owned(), 0, 6_480, (heldout, 0.0)),
        ]
    };
    let most = rows(640.0 * 64.0, (2_400.0, 15.0 * 8.0 + 2_400.0), 6_480.0 * 40.0);
    assert_eq!(stages(|s| s.most), most);
    let likely = rows(640.0 * 27.5, (1_200.0, 15.0 * 7.5 + 1_200.0), 6_480.0 * 20.0);
    assert_eq!(stages(|s| s.likely), likely);
    assert!(sum.lengths_known);
    let unknown = estimate(&resolved.plan, &BTreeMap::new(), 2);
    assert!(!unknown.lengths_known);
    assert_eq!(unknown.stages[1].likely, unknown.stages[1].most, "nothing is known of lengths");
    assert_eq!(unknown.stages[2].completions, 9 * 100 * 8, "and the plan says how many there are");
    assert!(flops(&sum) > 0.0 && sum.store_bytes > 320_000 && sum.checkpoint_bytes > 0);
}

/// Two steps of three prompts with four completions of up to 40 tokens, drawn at most five times; prompts of 24.
#[test]
fn resampling_is_counted_as_what_it_may_sample_and_trains_no_more() {
    let of = |overrides: &[&str]| {
        let all = [
            "stages.rl.grpo.steps=2",
            "stages.rl.grpo.prompts_per_step=3",
            "stages.rl.grpo.group_size=4",
            "stages.rl.grpo.schedule.warmup_steps=0",
            "stages.rl.grpo.micro_batch_size=12",
            "stages.rl.grpo.sampling.max_tokens=40",
            "model.context_length=64",
            "evals.heldout.limit=1",
        ];
        let all: Vec<&str> = all.iter().chain(overrides).copied().collect();
        estimate(&shipped("countdown", &all).plan, &BTreeMap::new(), 1)
    };
    let dropped = of(&[]);
    let resampled = of(&["stages.rl.grpo.zero_signal=resample", "stages.rl.grpo.max_batches=5"]);
    let [one, five] = [&dropped, &resampled].map(|sum| &sum.stages[1]);
    assert_eq!((one.completions, one.most_completions), (24, 24));
    assert_eq!((five.completions, five.most_completions), (24, 120));
    assert_eq!(
        (five.most.generated_tokens, five.most.trained_tokens),
        (4_800.0, 6.0 * 24.0 + 960.0)
    );
    assert_eq!(five.likely, one.likely, "at least as much as without");
    assert!((five.most.sampling_flops / one.most.sampling_flops - 5.0).abs() < 1e-12);
    assert_eq!(five.most.training_flops, one.most.training_flops);
    assert!(resampled.store_bytes > dropped.store_bytes);
    assert!(resampled.memory.rollouts > dropped.memory.rollouts);
}

#[test]
fn costs_grow_with_what_causes_them() {
    let cost = |overrides: &[&str]| {
        let resolved = shipped("countdown", overrides);
        estimate(&resolved.plan, &BTreeMap::new(), 1)
    };
    let base = cost(&[]);
    let penalised = cost(&["stages.rl.grpo.kl.coef=0.01"]);
    assert!(flops(&penalised) > flops(&base), "a reference is scored");
    // Packed in bf16 for a forward pass, and the rows of the embedding.
    let model = shipped("countdown", &[]).plan.model;
    let embedding = (model.vocabulary_size * model.hidden_size) as u64;
    let reference = 2 * base.parameters.total + 4 * embedding;
    assert_eq!(penalised.memory_bytes - base.memory_bytes, reference, "and kept in memory");
    // A copy while it is replaced, and the numbers of a moving average beside both.
    let refreshed = cost(&["stages.rl.grpo.kl={coef: 0.01, refresh_every: 5}"]);
    let average = cost(&["stages.rl.grpo.kl={coef: 0.01, refresh_every: 5, refresh_mix: 0.6}"]);
    assert_eq!(refreshed.memory_bytes - base.memory_bytes, 2 * reference);
    assert_eq!(average.memory_bytes - refreshed.memory_bytes, 4 * base.parameters.total);
    assert!(cost(&["model.precision=f32"]).memory_bytes > base.memory_bytes);
    assert!(cost(&["model.recompute_activations=true"]).memory_bytes < base.memory_bytes);
    assert!(flops(&cost(&["stages.rl.grpo.epochs=2"])) > flops(&base));
    assert!(cost(&["stages.cold-start.sft.micro_batch_size=64"]).memory_bytes > base.memory_bytes);
    let adapted = cost(&["model.lora={rank: 4}"]);
    assert!(adapted.memory_bytes < base.memory_bytes, "no gradient, no moments");
    assert!(flops(&adapted) < flops(&base), "no products for gradients of weights");
    let share = adapted.parameters.adapters as f64 / base.parameters.total as f64;
    let saved = adapted.checkpoint_bytes as f64 / base.checkpoint_bytes as f64;
    assert!((saved - share).abs() < 1e-9 && share < 0.2, "{saved} {share}");
    assert!(cost(&["checkpoints.every=null"]).checkpoint_bytes < base.checkpoint_bytes);
}

#[test]
fn memory_names_the_keys_of_its_largest_part() {
    let lower = |overrides: &[&str]| {
        let resolved = shipped("countdown", overrides);
        memory(&resolved.plan, &BTreeMap::new(), 1).lower
    };
    let size = |threads: usize, overrides: &[&str]| {
        let resolved = shipped("countdown", overrides);
        memory(&resolved.plan, &BTreeMap::new(), threads)
    };
    assert_eq!(lower(&["model.hidden_size=8192"]), "`model.hidden_size` or `model.layers`");
    let samples = "evals.heldout.samples=1048576";
    assert_eq!(lower(&[samples]), "`samples` or `limit` of `evals.heldout`");
    // Every sample of every problem is kept until the suite is done: kilobytes each.
    let problems = 100 * (1 << 20);
    assert!(size(1, &[samples, "evals.heldout.limit=100"]).rollouts > 2_000 * problems);
    let rollouts = "stages.rl.grpo.group_size=100000";
    assert_eq!(lower(&[rollouts]), "`prompts_per_step` or `group_size` of `stages.rl.grpo`");
    let batch =
        ["stages.cold-start.sft.batch_size=3000", "stages.cold-start.sft.micro_batch_size=3000"];
    assert_eq!(lower(&batch), "`stages.cold-start.sft.micro_batch_size`");
    let [one, four] = [1, 4].map(|threads| size(threads, &[]));
    assert_eq!(four.activations, 4 * one.activations, "a batch in many parts");
    assert!(four.caches > one.caches && four.weights == one.weights);
}

#[test]
fn the_largest_plan_does_not_overflow() {
    let resolved = shipped(
        "countdown",
        &[
            "model.hidden_size=1048576",
            "model.layers=4096",
            "model.context_length=1048576",
            "model.feed_forward={dense: {intermediate_size: 1048576}}",
            "data.countdown.countdown.train=10000000",
            "stages.rl.grpo.steps=1000000000",
            "stages.rl.grpo.prompts_per_step=1048576",
            "stages.rl.grpo.group_size=1048576",
            "stages.rl.grpo.epochs=4096",
        ],
    );
    let sum = estimate(&resolved.plan, &BTreeMap::new(), 2);
    assert!(flops(&sum).is_finite());
    assert!(sum.memory_bytes > 1 << 50);
}
