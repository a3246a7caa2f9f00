//! Adapters: what they leave as it is, what a checkpoint of them holds, and the folders that they are written to and read
//! from. That their gradients are right, and that they are sampled as they are trained, is tested with every other shape.

use std::sync::Arc;

use half::bf16;
use r1x_core::plan::{
    FeedForwardPlan, InitialWeights, LoraPlan, LoraTarget, ModelPlan, Precision, TokenizerPlan,
};
use r1x_core::port::{Cursor, EarlierWeights, REFERENCE, WeightChoice};
use r1x_core::{Learner, Policy, Sampler, Scorer, TrainingBatch, TrainingSequence};
use r1x_ops::Operand;
use r1x_ops::device::Device;
use r1x_weights::SaveDtype;

use super::properties::{
    Weighted, batch, kernels, optimizer, policy, requests, sampling, stream, train,
};
use super::{ANY, gqa, plan, shapes, with_adapters};
use crate::export::{self, Checkpoint};
use crate::layout::Layout;
use crate::published::{Published, adapter};
use crate::{DecoderPolicy, TensorPolicy};

/// The shapes that have adapters.
fn adapted() -> Vec<(&'static str, ModelPlan)> {
    shapes().into_iter().filter(|(_, plan)| plan.lora.is_some()).collect()
}

/// A model that a family can say.
fn llama() -> ModelPlan {
    with_adapters(plan(gqa(), FeedForwardPlan::swiglu(14), true), LoraPlan::everywhere(3))
}

fn sampler_is_trainer<E: Operand<Real = f32>>(name: &str, plan: &ModelPlan) {
    let mut policy = DecoderPolicy::<E>::new(plan, 4, 2, std::path::PathBuf::new()).unwrap();
    let before = policy.generate(&requests(), &sampling(), stream()).unwrap();
    train(&mut policy, &batch(&requests(), &before), 3);
    let completions = policy.generate(&requests(), &sampling(), stream()).unwrap();
    assert_ne!(before, completions, "{name}: nothing was learnt");
    let batch = batch(&requests(), &completions);
    let scored = policy.score(WeightChoice::Current, &batch).unwrap();
    for (sequence, scored) in batch.sequences.iter().zip(&scored) {
        assert_eq!(&sequence.sampled_logprobs, scored, "{name}");
    }
}

#[test]
fn trained_adapters_are_sampled_as_they_are_scored_bit_for_bit() {
    for (name, plan) in adapted() {
        sampler_is_trainer::<f32>(name, &plan);
        sampler_is_trainer::<bf16>(name, &plan);
    }
}

#[test]
fn fresh_adapters_add_nothing_and_the_model_itself_never_changes() {
    for (name, plan) in adapted() {
        for precision in [Precision::F32, Precision::Bf16] {
            let plan = ModelPlan { precision, ..plan.clone() };
            let bare = ModelPlan { lora: None, ..plan.clone() };
            let [(mut adapted, _a), (mut bare, _b)] = [policy(&plan, 2), policy(&bare, 1)];
            let completions = adapted.generate(&requests(), &sampling(), stream()).unwrap();
            assert_eq!(bare.generate(&requests(), &sampling(), stream()).unwrap(), completions);
            let batch = batch(&requests(), &completions);
            // The reference of fresh adapters is the model with its adapters off.
            adapted.freeze(REFERENCE).unwrap();
            train(&mut *adapted, &batch, 3);
            let off = adapted.score(WeightChoice::Frozen(REFERENCE), &batch).unwrap();
            let without = bare.score(WeightChoice::Current, &batch).unwrap();
            assert_eq!(off, without, "{name}");
            assert_ne!(adapted.score(WeightChoice::Current, &batch).unwrap(), without, "{name}");
            adapted.take_weights(EarlierWeights::Initial).unwrap();
            let again = adapted.score(WeightChoice::Current, &batch).unwrap();
            assert_eq!(again, without, "{name}");
        }
    }
}

#[test]
fn what_is_not_trained_has_no_gradient_no_moment_and_no_copy() {
    for (name, plan) in adapted() {
        let (mut policy, _folder) = kernels(&plan, 1);
        let layout = Layout::new(&plan);
        let count = layout.parameter_count();
        assert!(count < layout.base.len() && count > 0, "{name}");
        let padded = layout.trained().len();
        assert!(padded < count + 16 * layout.trained().parameters.len(), "{name}");
        assert_eq!(policy.gradient().len(), padded, "{name}");
        assert_eq!((policy.optimizer.first.len(), policy.optimizer.second.len()), (padded, padded));
        let completions = policy.generate(&requests(), &sampling(), stream()).unwrap();
        let batch = batch(&requests(), &completions);
        policy.accumulate(&batch, &Weighted).unwrap();
        policy.update(&optimizer(), 1e-2).unwrap();
        policy.freeze(REFERENCE).unwrap();
        assert!(
            policy.copies.get(REFERENCE).unwrap().shares_model(&policy.weights),
            "{name}: one memory"
        );
        assert!(policy.weights.biases().iter().flatten().all(|bias| *bias == 0.0), "{name}");
    }
}

#[test]
fn a_checkpoint_holds_the_adapters_alone_and_goes_on() {
    for (name, plan) in adapted() {
        let (mut original, folder) = policy(&plan, 2);
        let completions = original.generate(&requests(), &sampling(), stream()).unwrap();
        let batch = batch(&requests(), &completions);
        train(&mut *original, &batch, 2);
        original.freeze(REFERENCE).unwrap();
        train(&mut *original, &batch, 1);
        let saved = original.save("saved", &Cursor::default()).unwrap();
        let file = std::fs::read(folder.path().join("saved/model.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&file).unwrap();
        let layout = Layout::new(&plan);
        let expected = layout.trained().parameters.len() + layout.biases.len();
        assert_eq!(tensors.len(), expected, "{name}");
        let is_adapter = |tensor: &&str| tensor.contains(".lora_") || tensor.ends_with("_bias");
        assert!(tensors.names().into_iter().all(|tensor| is_adapter(&tensor)), "{name}");

        let (mut loaded, _other) = policy(&plan, 1);
        loaded.load(&folder.path().join(&saved.path), &ANY).unwrap();
        let of = |p: &mut dyn Policy, choice| p.score(choice, &batch).unwrap();
        let frozen = WeightChoice::Frozen(REFERENCE);
        assert_eq!(of(&mut *original, frozen), of(&mut *loaded, frozen), "{name}");
        train(&mut *original, &batch, 2);
        train(&mut *loaded, &batch, 2);
        let current = WeightChoice::Current;
        assert_eq!(of(&mut *original, current), of(&mut *loaded, current), "{name}");
    }
}

/// A policy after four updates, its folder with the checkpoint `saved`, and what it learnt from.
fn trained(plan: &ModelPlan) -> (DecoderPolicy, tempfile::TempDir, TrainingBatch) {
    let (mut policy, folder) = kernels(plan, 1);
    let completions = policy.generate(&requests(), &sampling(), stream()).unwrap();
    let batch = batch(&requests(), &completions);
    train(&mut policy, &batch, 4);
    policy.save("saved", &Cursor::default()).unwrap();
    (policy, folder, batch)
}

#[test]
fn merged_adapters_are_a_published_model_of_equal_logprobs() {
    let plan = llama();
    let (mut policy, folder, batch) = trained(&plan);
    let saved = folder.path().join("saved");
    let of = Checkpoint { folder: &saved, expected: ANY, plan: &plan, seed: 4 };
    let to = folder.path().join("merged");
    export::model(&of, &to, SaveDtype::F32).unwrap();
    let bare = ModelPlan { lora: None, ..plan.clone() };
    let (mut merged, _other) = kernels(&bare, 1);
    merged.load_published(&Published::open(&to).unwrap()).unwrap();
    let [found, expected] = [&mut merged, &mut policy]
        .map(|policy| policy.score(WeightChoice::Current, &batch).unwrap().concat());
    let distance = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(distance < 2e-5 && distance > 0.0, "{distance}");
}

#[test]
fn adapters_that_are_written_are_read_again_to_the_bit() {
    let plan = llama();
    let (mut policy, folder, batch) = trained(&plan);
    let saved = folder.path().join("saved");
    let of = Checkpoint { folder: &saved, expected: ANY, plan: &plan, seed: 4 };
    let to = folder.path().join("adapters");
    export::adapters(&of, &to, SaveDtype::F32).unwrap();
    let bare = ModelPlan { lora: None, ..plan.clone() };
    let lora = adapter::open(&to, &bare).unwrap();
    let InitialWeights::Published { folder: named, .. } = &lora.initial else { panic!("random") };
    assert_eq!(named, &to.display().to_string());
    let fresh = LoraPlan { initial: InitialWeights::Random, ..lora.clone() };
    assert_eq!(Some(fresh), plan.lora);
    let read = ModelPlan { lora: Some(lora), ..bare.clone() };
    let (mut loaded, _other) = kernels(&read, 1);
    assert_eq!(loaded.values(), policy.values());
    let current = WeightChoice::Current;
    assert_eq!(loaded.score(current, &batch).unwrap(), policy.score(current, &batch).unwrap());
    let mut tensors = TensorPolicy::new(&read, 4, std::path::PathBuf::new(), &Device::Cpu).unwrap();
    assert_eq!(tensors.values().unwrap(), policy.values());
    tensors.take_weights(EarlierWeights::Initial).unwrap();
    assert_eq!(tensors.values().unwrap(), policy.values());
    // Another model has other adapters, and a folder that changed is not the one of the plan.
    let wider = plan_with_wider_projections();
    let error = adapter::open(&to, &wider).unwrap_err().to_string();
    assert!(error.contains("14 misshapen") || error.contains("misshapen: base_model"), "{error}");
    let config = to.join("adapter_config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n")).unwrap();
    let error = DecoderPolicy::<f32>::new(&read, 4, 1, std::path::PathBuf::new()).unwrap_err();
    assert!(error.to_string().contains("it has changed"), "{error}");
    for (key, value) in [("use_dora", "true"), ("bias", "\"all\""), ("rank_pattern", "{\"q\": 4}")]
    {
        let mut map: serde_json::Value = serde_json::from_str(&text).unwrap();
        map[key] = serde_json::from_str(value).unwrap();
        std::fs::write(&config, map.to_string()).unwrap();
        let error = adapter::open(&to, &bare).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}

fn plan_with_wider_projections() -> ModelPlan {
    ModelPlan { hidden_size: 12, ..plan(gqa(), FeedForwardPlan::swiglu(14), true) }
}

#[test]
fn a_model_without_adapters_has_none_to_write() {
    let plan = ModelPlan { lora: None, ..llama() };
    let (mut policy, folder) = kernels(&plan, 1);
    policy.save("saved", &Cursor::default()).unwrap();
    let saved = folder.path().join("saved");
    let of = Checkpoint { folder: &saved, expected: ANY, plan: &plan, seed: 4 };
    let error = export::adapters(&of, &folder.path().join("to"), SaveDtype::F32).unwrap_err();
    assert!(error.to_string().contains("has no adapters"), "{error}");
    assert!(!folder.path().join("to").exists());
}

#[test]
fn a_list_of_adapters_has_a_pair_beside_every_target() {
    use r1x_core::parameters::ParameterList;
    let (_, plan) = adapted().pop().unwrap();
    let list = ParameterList::new(&plan);
    let named = |target: LoraTarget| format!(".{}.lora_", target.name());
    let rows: Vec<_> = list.counted_adapters().collect();
    let targets = ParameterList::possible_targets(&plan);
    assert_eq!(targets.len(), 4 + 3 + 3);
    for target in targets {
        let spelt =
            |name: &str| name.replace("experts.{expert}", "experts").contains(&named(target));
        let pairs = rows.iter().filter(|row| spelt(&row.tensor.name));
        assert!(pairs.count() >= 2, "{}", target.name());
    }
    // The shared experts alone: every other feed-forward of this model is a routed expert.
    let lora = LoraPlan { targets: vec![LoraTarget::Down], ..LoraPlan::everywhere(2) };
    let shared = ParameterList::new(&ModelPlan { lora: Some(lora), ..plan.clone() });
    let names: Vec<_> = shared.counted_adapters().map(|row| row.tensor.name.clone()).collect();
    let name = |part| format!("model.layers.{{layer}}.mlp.shared_experts.down_proj.{part}.weight");
    assert_eq!(names, [name("lora_A"), name("lora_B")]);
    // Two layers of: q_a and kv_a with 10 inputs, q_b with 8, o with 18; the four experts and the shared one.
    let attention = 2 * (10 + 8) + 2 * (10 + 11) + 2 * (8 + 27) + 2 * (18 + 10);
    let swiglu = |inner: u64| 3 * 2 * (10 + inner);
    assert_eq!(list.adapters(), 2 * (attention + 4 * swiglu(9) + swiglu(9)));
    assert_eq!(list.active_adapters(), 2 * (attention + 2 * swiglu(9) + swiglu(9)));
}

/// The log-probs and gradients of PEFT, whose numbers are in the folder `adapters` of the golden files.
#[test]
fn adapters_of_peft_compute_what_they_compute_there() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for name in ["llama", "qwen2", "deepseek-v3"] {
        let published = Published::open(&golden.join("families").join(name)).unwrap();
        let initial = published.begin_with().unwrap();
        let pieces = (1..published.vocabulary_size).map(|piece| piece.to_string()).collect();
        let bare = published.plan(TokenizerPlan::Vocabulary { pieces }, Precision::F32);
        let folder = golden.join("adapters").join(name);
        let lora = adapter::open(&folder, &bare).unwrap();
        let plan = ModelPlan { initial, lora: Some(lora), ..bare };
        let mut policy = DecoderPolicy::<f32>::new(&plan, 1, 2, std::path::PathBuf::new()).unwrap();
        let file = std::fs::read(folder.join("golden.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&file).unwrap();
        let numbers = |name: &str| -> Vec<f32> {
            let bytes = file.tensor(name).unwrap().data().chunks_exact(4);
            bytes.map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
        };
        let tokens = |n: usize| -> Option<Vec<u32>> {
            let tensor = file.tensor(&format!("tokens.{n}")).ok()?;
            Some(
                tensor
                    .data()
                    .chunks_exact(4)
                    .map(|b| u32::from_le_bytes(b.try_into().unwrap()))
                    .collect(),
            )
        };
        let all: Vec<Vec<u32>> = (0..).map_while(tokens).collect();
        assert!(all.len() > 2, "{name}");
        let count: usize = all.iter().map(|tokens| tokens.len() - 1).sum();
        let sequence = |tokens: &Vec<u32>| {
            let mut one = TrainingSequence::new(&tokens[..1], &tokens[1..]);
            one.advantages = vec![1.0 / count as f64; tokens.len() - 1];
            Arc::new(one)
        };
        let sequences = all.iter().map(sequence).collect();
        let batch = TrainingBatch {
            sequences,
            micro_batch_size: 1,
            temperature: 1.0,
            share_prompts: false,
        };
        let said = policy.score(WeightChoice::Current, &batch).unwrap();
        for (n, said) in said.iter().enumerate() {
            for which in ["logprobs", "merged"] {
                for (found, expected) in said.iter().zip(&numbers(&format!("{which}.{n}"))) {
                    assert!(
                        (found - expected).abs() < 2e-5,
                        "{name} {which}.{n}: {found} {expected}"
                    );
                }
            }
        }
        policy.accumulate(&batch, &Weighted).unwrap();
        let layout = Layout::new(&plan);
        for (parameter, found) in layout.trained().split(policy.gradient()) {
            let expected = numbers(&format!("grad.base_model.model.{}", parameter.name));
            let size = expected.iter().fold(0.0_f32, |size, g| size.max(g.abs()));
            assert!(size > 0.0, "{name}: {}", parameter.name);
            for (found, expected) in found.iter().zip(&expected) {
                let distance = (found - expected).abs();
                assert!(distance < 1e-4 * size, "{name}: {}: {found} {expected}", parameter.name);
            }
        }
    }
}
