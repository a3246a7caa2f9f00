//! What the keys of a model become: every option of a plan can be written, and a folder can be written over.
//!
//! Must not check messages; `mistakes.rs` does.

mod common;

use common::{SPEC, World, experiment, render};
use r1x_core::plan::*;
use r1x_spec::{Described, ResolvedShape, describe};

fn model(set: &[&str]) -> ModelPlan {
    match World::new().resolve_file("experiments/countdown.yaml", set) {
        Ok(resolved) => resolved.plan.model,
        Err(report) => panic!("{}", render(&report)),
    }
}

#[test]
fn every_option_of_grouped_queries_can_be_written() {
    let written = model(&[
        "model.attention={gqa: {heads: 4, kv_heads: 2, head_dim: 32, rotary_dim: 16, qkv_bias: true, output_bias: true, \
         qk_norm: whole, clip_qkv: 8, window: {size: 16, layers: [1]}}}",
        "model.rope_pairs=neighbours",
        "model.rope_scaling={linear: {factor: 4}}",
        "model.vocabulary_size=128",
        "model.feed_forward={dense: {intermediate_size: 96, bias: true}}",
    ]);
    let expected = GqaPlan {
        heads: 4,
        kv_heads: 2,
        head_dim: 32,
        rotary_dim: 16,
        qkv_bias: true,
        output_bias: true,
        qk_norm: QkNorm::Whole,
        clip_qkv: Some(8.0),
        window: Some(WindowPlan { size: 16, layers: vec![1] }),
    };
    assert_eq!(written.attention, AttentionPlan::Gqa(expected));
    let scaling = RopeScaling::Linear { factor: 4.0 };
    let rope = RopePlan { theta: 1e4, pairs: RopePairs::Neighbours, scaling };
    assert_eq!((written.rope, written.vocabulary_size), (rope, 128));
    let dense = FeedForwardPlan::Dense { intermediate_size: 96, bias: true };
    assert_eq!(written.feed_forward, dense);
}

#[test]
fn a_window_without_layers_is_that_of_all() {
    let heads = "heads: 4, kv_heads: 2, head_dim: 32";
    for (layers, expected) in
        [("", vec![0, 1]), (", layers: 1", vec![0]), (", layers: [1, 0]", vec![0, 1])]
    {
        let set = format!("model.attention={{gqa: {{{heads}, window: {{size: 8{layers}}}}}}}");
        let AttentionPlan::Gqa(gqa) = model(&[&set]).attention else { panic!("gqa") };
        assert_eq!(gqa.window, Some(WindowPlan { size: 8, layers: expected }), "{set}");
    }
}

#[test]
fn every_option_of_latent_attention_and_of_a_mixture_can_be_written() {
    let written = model(&[
        "model.attention.mla.latent_norm_eps=1e-5",
        "model.attention.mla.bias=true",
        "model.feed_forward.moe={routed_experts: 8, experts_per_token: 2, expert_intermediate_size: 96, \
         shared_intermediate_size: 100, shared_gate: true, scoring: softmax, selection_bias: false, groups: 4, \
         groups_per_token: 2, group_score: largest, norm_topk_prob: false, dense_layers: [1], \
         dense_intermediate_size: 50, shared_experts: null, bias_update_speed: null}",
    ]);
    let AttentionPlan::Mla(mla) = &written.attention else { panic!("mla") };
    assert_eq!((mla.latent_norm_eps, mla.bias), (1e-5, true));
    assert_eq!(written.rope, RopePlan::unscaled(1e4, RopePairs::Neighbours));
    let expected = MoePlan {
        routed_experts: 8,
        shared_intermediate_size: 100,
        shared_gated: true,
        experts_per_token: 2,
        expert_intermediate_size: 96,
        scoring: Scoring::Softmax,
        selection_bias: false,
        groups: 4,
        groups_per_token: 2,
        group_score: GroupScore::Largest,
        normalize_affinities: false,
        routed_scaling: 1.0,
        // There is no bias that could move.
        bias_update_speed: 0.0,
        balance_loss: 1e-4,
        dense_layers: vec![1],
        dense_intermediate_size: 50,
    };
    assert_eq!(written.feed_forward, FeedForwardPlan::Moe(expected));
}

/// DeepSeek-V3's numbers; in `gqa` the scale of scores only divides the other one.
#[test]
fn the_scales_of_yarn_become_the_factors_of_the_plan() {
    let yarn = "model.rope_scaling={yarn: {factor: 40, original_context: 4096, mscale: 1, mscale_all_dim: 1}}";
    let of = |set: &[&str]| match model(set).rope.scaling {
        RopeScaling::Yarn(yarn) => yarn,
        other => panic!("{other:?}"),
    };
    let latent = of(&[yarn]);
    assert_eq!((latent.beta_fast, latent.beta_slow, latent.truncate), (32.0, 1.0, true));
    assert!((latent.score_factor - 1.873_854_2).abs() < 1e-6 && latent.rotation_factor == 1.0);
    let grouped = of(&[yarn, "model.attention={gqa: {heads: 4, kv_heads: 2, head_dim: 32}}"]);
    assert_eq!((grouped.score_factor, grouped.rotation_factor), (1.0, 1.0));
    let plain = of(&["model.rope_scaling={yarn: {factor: 40, original_context: 4096}}"]);
    assert!((plain.rotation_factor - 1.368_888).abs() < 1e-6 && plain.score_factor == 1.0);
    let said =
        "model.rope_scaling={yarn: {factor: 4, original_context: 32, attention_factor: 1.25}}";
    assert_eq!(of(&[said]).rotation_factor, 1.25);
    let llama = model(&["model.rope_scaling={llama3: {factor: 8, original_context: 8192}}"]);
    let expected = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_context: 8192,
    };
    assert_eq!(llama.rope.scaling, expected);
}

/// A default that something else decides is not shown as if it held.
#[test]
fn settings_show_what_holds() {
    let world = World::new();
    let shown = |set: &[&str], path: &str| {
        let resolved = world.resolve_file("experiments/countdown.yaml", set);
        let settings = resolved.unwrap_or_else(|report| panic!("{}", render(&report))).settings;
        settings.into_iter().find(|one| one.path == path).map(|one| one.value.to_string())
    };
    let moe = "model.feed_forward.moe";
    let none = format!("{moe}.selection_bias=false");
    let speed = format!("{moe}.bias_update_speed");
    assert_eq!(shown(&[&format!("{speed}=null"), &none], &speed).as_deref(), Some("0.0"));
    let (shared, width) =
        (format!("{moe}.shared_experts"), format!("{moe}.shared_intermediate_size=7"));
    assert_eq!(shown(&[&format!("{shared}=null")], &shared).as_deref(), Some("1"));
    assert_eq!(shown(&[&format!("{shared}=null"), &width], &shared), None);
    let from = ["model.from=experiments/models/tiny"];
    assert_eq!(shown(&from, "model.rope_theta"), None);
    assert_eq!(shown(&from, "model.precision").as_deref(), Some("\"bf16\""));
}

/// A spec over the shipped experiment, with this for its model.
fn over(model: &str, set: &[&str]) -> ModelPlan {
    let text = format!("r1x: 1\nextends: countdown.yaml\nname: other\nmodel:\n{model}");
    match World::new().with(SPEC, &text).resolve(set) {
        Ok(resolved) => resolved.plan.model,
        Err(report) => panic!("{}", render(&report)),
    }
}

#[test]
fn a_folder_takes_the_place_of_an_inherited_model() {
    let plan = over("  from: models/tiny\n", &[]);
    assert!(matches!(plan.initial, InitialWeights::Published { .. }));
    // The context of the inherited model is 64.
    assert_eq!((plan.hidden_size, plan.context_length), (8, 512));
    let base = World::new().resolve_file("experiments/countdown.yaml", &[]).unwrap().plan.model;
    assert_eq!(base.context_length, 64);
    // A key beside it holds, in whichever order it comes.
    let (from, short) = ("model.from=experiments/models/tiny", "model.context_length=128");
    assert_eq!(model(&[from, short]).context_length, 128);
    assert_eq!(model(&[short, from]).context_length, 128);
    assert_eq!(over("  from: models/tiny\n", &[short]).context_length, 128);
    // Where the inherited model has a folder, the keys beside it stay.
    let world = World::new()
        .with(
            "experiments/base.yaml",
            "r1x: 1\nextends: countdown.yaml\nmodel: {from: models/tiny, context_length: 99}\n",
        )
        .with(SPEC, "r1x: 1\nextends: base.yaml\nmodel: {from: ../models/smollm2}\n");
    let plan = world.resolve(&[]).unwrap_or_else(|report| panic!("{}", render(&report))).plan.model;
    let InitialWeights::Published { folder, .. } = &plan.initial else { panic!() };
    assert_eq!((folder.as_str(), plan.context_length), ("experiments/../models/smollm2", 99));
}

#[test]
fn keys_beside_a_folder_override_what_it_says() {
    let plan = over(
        "  from: models/tiny\n  hidden_size: 8\n  layers: 1\n  vocabulary_size: 1000\n  tie_embeddings: true\n  \
         rope_theta: 50000\n  norm_eps: 1e-5\n  init_std: 0.5\n  rope_pairs: halves\n  context_length: 1024\n  \
         recompute_activations: true\n  rope_scaling:\n    yarn: {factor: 2, original_context: 512}\n  attention:\n    \
         gqa: {heads: 1, kv_heads: 1, head_dim: 8, window: {size: 16}, clip_qkv: 4}\n",
        &[],
    );
    assert_eq!((plan.rope.theta, plan.norm_eps, plan.init_std), (5e4, 1e-5, 0.5));
    assert_eq!((plan.context_length, plan.recompute_activations), (1024, true));
    assert!(matches!(plan.rope.scaling, RopeScaling::Yarn(_)));
    let AttentionPlan::Gqa(gqa) = plan.attention else { panic!("gqa") };
    assert_eq!(gqa.window, Some(WindowPlan { size: 16, layers: vec![0] }));
    assert_eq!(gqa.clip_qkv, Some(4.0));
    // What is not written is what the folder says.
    let plain = over("  from: models/tiny\n", &[]);
    assert_eq!((plain.rope.theta, plain.norm_eps, plain.init_std), (1e4, 1e-6, 0.02));
}

#[test]
fn multi_token_prediction_is_what_is_written() {
    assert_eq!(model(&[]).mtp, None);
    assert_eq!(model(&["model.mtp={}"]).mtp, Some(MtpPlan { depth: 1, weight: 0.1 }));
    let written = model(&["model.mtp.depth=2", "model.mtp.weight=0.3"]).mtp;
    assert_eq!(written, Some(MtpPlan { depth: 2, weight: 0.3 }));
    // The folder has one module, which is read where it is asked for.
    assert_eq!(over("  from: models/tiny\n", &[]).mtp, None);
    let one = over("  from: models/tiny\n  mtp: {weight: 0.3}\n", &[]).mtp;
    assert_eq!(one, Some(MtpPlan { depth: 1, weight: 0.3 }));
}

fn shape(text: &str) -> ResolvedShape {
    let world = World::new().with(SPEC, text);
    match describe(std::path::Path::new(SPEC), &[], &world) {
        Ok(Described::Shape(shape)) => *shape,
        Ok(Described::Run(_)) => panic!("it is a run"),
        Err(report) => panic!("{}", render(&report)),
    }
}

/// The model of the shipped experiment, without its tokenizer.
fn shape_text(vocabulary: &str) -> String {
    let text = experiment("countdown");
    let (_, rest) = text.split_once("\nmodel:").unwrap();
    let (model, _) = rest.split_once("\ndata:").unwrap();
    let model = model.replace("tokenizer: {data: countdown}", vocabulary);
    format!("r1x: 1\nname: small\nmodel:{model}\n")
}

#[test]
fn a_spec_that_is_only_a_model_is_a_shape_and_cannot_run() {
    let text = shape_text("vocabulary_size: 32000");
    let found = shape(&text);
    assert_eq!((found.name.as_str(), found.model.vocabulary_size), ("small", 32_000));
    assert!(found.settings.iter().any(|setting| setting.path == "model.layers"));
    let world = World::new().with(SPEC, &text);
    let told = render(&world.resolve(&[]).unwrap_err());
    assert!(told.contains("this spec is the shape of a model"), "{told}");
    // A spec with anything else is one that should run.
    let world = World::new().with(SPEC, &format!("{text}seed: 3\n"));
    let told = describe(std::path::Path::new(SPEC), &[], &world).unwrap_err();
    assert!(render(&told).contains("needs the key `stages`"));
    let world = World::new().with(SPEC, &shape_text("precision: f32"));
    let told = render(&describe(std::path::Path::new(SPEC), &[], &world).unwrap_err());
    assert!(told.contains("needs the key `tokenizer` or `vocabulary_size`"), "{told}");
    // A published model says itself how many tokens it has.
    let found = shape("r1x: 1\nname: other\nmodel: {from: models/wordless}\n");
    assert_eq!(found.model.vocabulary_size, 1000);
}

#[test]
fn adapters_are_those_that_are_written_or_every_one_that_the_model_may_have() {
    use LoraTarget::*;
    let lora = |set: &str| model(&[set]).lora;
    assert_eq!(lora("model.precision=f32"), None);
    // Countdown's model has latent attention without a latent of queries.
    let everywhere = lora("model.lora={rank: 8}").unwrap();
    let experts = [ExpertGate, ExpertUp, ExpertDown];
    let mut targets = vec![Query, ContextDown, Output, Gate, Up, Down];
    targets.extend(experts);
    assert_eq!(everywhere, LoraPlan { targets, ..LoraPlan::everywhere(8) });
    let some =
        "model.lora={rank: 8, alpha: 4, scaling: root_of_rank, targets: [down_proj, q_proj]}";
    let expected = LoraPlan {
        rank: 8,
        alpha: 4.0,
        scaling: LoraScaling::RootOfRank,
        targets: vec![Query, Down],
        initial: InitialWeights::Random,
    };
    assert_eq!(lora(some), Some(expected));
    let from = lora("model.lora={from: experiments/../models/smollm2-lora}").unwrap();
    assert_eq!(from.rank, 24);
    assert!(matches!(from.initial, InitialWeights::Published { .. }), "{from:?}");
}

#[test]
fn a_further_model_is_the_policy_but_for_what_is_written_about_it() {
    let text = format!(
        "r1x: 1\nextends: countdown.yaml\nmodels:\n  twin: {{}}\n  student: {{layers: 1, attention: {{gqa: \
         {{heads: 2, kv_heads: 1, head_dim: 16}}}}}}\nstages:\n{}",
        [
            "  - {id: small, model: student, sft: {data: countdown.train, steps: 2, batch_size: 4, lr: 1e-3}}\n",
            "  - {id: again, sft: {data: countdown.train, steps: 2, batch_size: 4, lr: 1e-3}}\n",
            "  - {id: smaller, model: student, sft: {data: countdown.train, steps: 2, batch_size: 4, lr: 1e-3}}\n",
            "  - {id: copy, model: twin, weights: again, evaluate: {evals: [heldout]}}\n",
        ]
        .concat()
    );
    let resolve = |set: &[&str]| {
        let resolved = World::new().with(SPEC, &text).resolve(set);
        resolved.unwrap_or_else(|report| panic!("{}", render(&report)))
    };
    let plan = resolve(&[]).plan;
    let student = &plan.models["student"];
    assert_eq!(plan.models["twin"], plan.model);
    let AttentionPlan::Gqa(gqa) = &student.attention else { panic!("another kind of attention") };
    assert_eq!((student.layers, gqa.heads), (1, 2));
    let expected = ModelPlan {
        layers: plan.model.layers,
        attention: plan.model.attention.clone(),
        rope: plan.model.rope.clone(),
        ..student.clone()
    };
    assert_eq!(expected, plan.model);
    let begins: Vec<_> = plan.stages[2..].iter().map(|stage| stage.weights.clone()).collect();
    let of = |id: &str| WeightsFrom::Stage(id.to_owned());
    assert_eq!(begins, [WeightsFrom::Base, of("rl"), of("small"), of("again")]);
    // What is set of the policy is set of what follows it, unless it says otherwise.
    let wider = resolve(&["model.init_std=0.5", "model.layers=3"]).plan.models;
    assert_eq!((wider["student"].init_std, wider["student"].layers), (0.5, 1));
    assert_eq!((wider["twin"].init_std, wider["twin"].layers), (0.5, 3));
}
