//! Models that say values: scoring against training bit for bit, threads and splits, tensors against kernels, checkpoints,
//! and what such a model cannot do.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use half::bf16;
use r1x_core::loss::{Loss, LossOutput, Said, UpdateCounts, Value};
use r1x_core::parameters::{Initial, ParameterList, Role, TensorKind};
use r1x_core::plan::{HeadPlan, LoraPlan, ModelPlan, MtpPlan, Precision, ValueLossPlan};
use r1x_core::port::{Cursor, REFERENCE, WeightChoice};
use r1x_core::{Boundary, Policy, Rng, Sampler, TrainingBatch, TrainingSequence};
use r1x_ops::Operand;
use r1x_ops::device::Device;

use super::properties::{
    Weighted, assert_close_over_splits, policy, requests, sampling, stream, train,
};
use super::{ANY, value_shapes, with_adapters};
use crate::initial::Given;
use crate::model::answering_on_cpu;
use crate::tensor::TensorPolicy;
use crate::{DecoderPolicy, Model};

/// Every shape in every precision.
fn models() -> Vec<(String, ModelPlan)> {
    let precisions = |(name, plan): (&str, ModelPlan)| {
        let narrow = ModelPlan { precision: Precision::Bf16, ..plan.clone() };
        [(name.to_owned(), plan), (format!("{name} bf16"), narrow)]
    };
    value_shapes().into_iter().flat_map(precisions).collect()
}

/// Prompts shorter and longer than a block, with several responses each, of which the loss falls on the last target.
fn batch() -> TrainingBatch {
    let mut draws = Rng::new(6).stream("responses").at(&[]);
    let mut sequences = Vec::new();
    for request in requests() {
        for response in 0..3 {
            let length = 1 + draws.below(17) as usize;
            let targets: Vec<u32> = (0..length).map(|_| draws.below(13) as u32).collect();
            let mut sequence = TrainingSequence::new(&request.prompt, &targets);
            sequence.mask[..length - 1].fill(false);
            sequence.advantages = vec![f64::from(response) - 1.3; length];
            sequences.push(Arc::new(sequence));
        }
    }
    TrainingBatch { sequences, micro_batch_size: 4, temperature: 0.7, share_prompts: true }
}

/// What a critic learns from: every target, with what it said before and what came.
fn taught() -> TrainingBatch {
    let mut batch = batch();
    for (index, sequence) in batch.sequences.iter_mut().enumerate() {
        let sequence = Arc::make_mut(sequence);
        sequence.mask.fill(true);
        sequence.values = vec![0.1; sequence.mask.len()];
        sequence.returns = (0..sequence.mask.len()).map(|at| (at + index) as f64 / 3.0).collect();
    }
    batch
}

/// A loss that keeps what it was given.
#[derive(Default)]
struct Heard(Mutex<Vec<(Vec<u32>, Vec<f32>)>>);

impl Loss for Heard {
    fn evaluate(&self, sequence: &TrainingSequence, said: Said<'_>) -> LossOutput {
        self.0.lock().unwrap().push((sequence.tokens.clone(), said.targets.to_vec()));
        Weighted.evaluate(sequence, said)
    }
}

#[test]
fn the_head_is_one_row_that_no_precision_rounds() {
    for (name, plan) in value_shapes() {
        let list = ParameterList::new(&plan);
        let back: Vec<(TensorKind, &str)> =
            list.back.tensors.iter().map(|one| (one.kind, one.name.as_str())).collect();
        let expected =
            [(TensorKind::FinalNorm, "model.norm.weight"), (TensorKind::ValueHead, "score.weight")];
        assert_eq!(back, expected, "{name}");
        let row = &list.back.tensors[1];
        assert_eq!((row.role, &row.shape[..]), (Role::Vector, &[1, plan.hidden_size][..]));
        assert_eq!(row.initial, Initial::Normal { std: plan.init_std });
        let with_logits = ModelPlan { head: HeadPlan::Vocabulary, tie_embeddings: true, ..plan };
        let without = ParameterList::new(&with_logits).total();
        assert_eq!(list.total(), without + with_logits.hidden_size as u64, "{name}");
    }
}

#[test]
fn a_score_is_what_the_loss_is_given_bit_for_bit() {
    for (name, plan) in models() {
        let (mut policy, _folder) = policy(&plan, 2);
        train(&mut *policy, &batch(), 2);
        let scored = policy.score(WeightChoice::Current, &batch()).unwrap();
        let heard = Heard::default();
        policy.accumulate(&batch(), &heard).unwrap();
        let mut heard = heard.0.into_inner().unwrap();
        let of_batch = batch().sequences.into_iter().map(|one| one.tokens.clone());
        let mut expected: Vec<_> = of_batch.zip(scored.clone()).collect();
        let by_tokens = |a: &(Vec<u32>, Vec<f32>), b: &(Vec<u32>, Vec<f32>)| a.0.cmp(&b.0);
        heard.sort_by(by_tokens);
        expected.sort_by(by_tokens);
        assert_eq!(heard, expected, "{name}");
        // Each has one value a target, and no temperature in it.
        for (sequence, said) in batch().sequences.iter().zip(&scored) {
            assert_eq!(said.len(), sequence.mask.len(), "{name}");
        }
        let warm = TrainingBatch { temperature: 2.0, micro_batch_size: 1, ..batch() };
        assert_eq!(policy.score(WeightChoice::Current, &warm).unwrap(), scored, "{name}");
        let apart = TrainingBatch { share_prompts: false, ..batch() };
        assert_eq!(policy.score(WeightChoice::Current, &apart).unwrap(), scored, "{name}");
        assert!(scored.iter().flatten().any(|value| *value > 0.0), "{name}: no log-probs");
    }
}

#[test]
fn training_is_bit_equal_over_threads_and_close_over_splits() {
    fn close<E: Operand<Real = f32>>(name: &str, plan: &ModelPlan) {
        assert_close_over_splits::<E>(name, plan, &batch(), &Weighted);
        let taught = taught();
        let clipped = ValueLossPlan { clip: Some(0.2) };
        let loss = Value::new(&clipped, &UpdateCounts::of(&taught.sequences, 0.0));
        assert_close_over_splits::<E>(name, plan, &taught, &loss);
    }
    for (name, plan) in models() {
        let trained = |threads, plan: &ModelPlan| {
            let (mut policy, _folder) = policy(plan, threads);
            train(&mut *policy, &batch(), 3);
            policy.weights_sha256().unwrap()
        };
        let one = trained(1, &plan);
        assert_eq!(one, trained(3, &plan), "{name}");
        let again = ModelPlan { recompute_activations: true, ..plan.clone() };
        assert_eq!(one, trained(2, &again), "{name}: activations computed again");
        match plan.precision {
            Precision::F32 => close::<f32>(&name, &plan),
            Precision::Bf16 => close::<bf16>(&name, &plan),
        }
    }
}

#[test]
fn tensors_say_and_learn_what_kernels_do() {
    for (name, plan) in value_shapes() {
        let mut kernels = DecoderPolicy::<f32>::new(&plan, 4, 1, PathBuf::new()).unwrap();
        let mut tensors = TensorPolicy::new(&plan, 4, PathBuf::new(), &Device::Cpu).unwrap();
        let score = |policy: &mut dyn Policy| {
            policy.score(WeightChoice::Current, &batch()).unwrap().concat()
        };
        for update in 0..3 {
            let (a, b) = (score(&mut kernels), score(&mut tensors));
            for (index, (a, b)) in a.iter().zip(&b).enumerate() {
                assert!((a - b).abs() < 2e-4, "{name}, {update}: [{index}] {a} against {b}");
            }
            train(&mut kernels, &batch(), 1);
            train(&mut tensors, &batch(), 1);
        }
        let mut untrained = DecoderPolicy::<f32>::new(&plan, 4, 1, PathBuf::new()).unwrap();
        assert!(score(&mut kernels) != score(&mut untrained), "{name}: nothing was learnt");
        let error = tensors.generate(&requests(), &sampling(), stream()).unwrap_err();
        assert!(error.message.contains("value head"), "{error}");
    }
}

#[test]
fn a_checkpoint_goes_on_and_answers_as_its_model() {
    for (name, plan) in models() {
        let (mut original, folder) = policy(&plan, 1);
        train(&mut *original, &batch(), 1);
        original.freeze(REFERENCE).unwrap();
        train(&mut *original, &batch(), 1);
        let saved = original.save("reward/final", &Cursor::default()).unwrap();
        let path = folder.path().join(&saved.path);
        let (mut loaded, _other) = policy(&plan, 2);
        loaded.load(&path, &ANY).unwrap();
        let given = Given::Checkpoint { folder: &path, expected: &ANY, seed: 0 };
        let mut answering = answering_on_cpu(&plan, 1, given).unwrap();
        let score = |policy: &mut dyn Model, weights| policy.score(weights, &batch()).unwrap();
        let expected = score(&mut *original, WeightChoice::Current);
        assert_eq!(score(&mut *loaded, WeightChoice::Current), expected, "{name}");
        assert_eq!(score(&mut *answering, WeightChoice::Current), expected, "{name}");
        let reference = WeightChoice::Frozen(REFERENCE);
        assert_eq!(score(&mut *loaded, reference), score(&mut *original, reference), "{name}");
        assert!(score(&mut *loaded, reference) != expected, "{name}");
        train(&mut *original, &batch(), 1);
        train(&mut *loaded, &batch(), 1);
        assert_eq!(original.weights_sha256().unwrap(), loaded.weights_sha256().unwrap(), "{name}");
    }
}

#[test]
fn a_model_that_says_values_does_not_write() {
    let (_, plan) = value_shapes().remove(0);
    let (policy, _folder) = policy(&plan, 1);
    let error = policy.generate(&requests(), &sampling(), stream()).unwrap_err();
    assert_eq!(error.boundary, Boundary::Spec);
    assert!(error.message.contains("value head") && error.message.contains("cannot write"));
    assert!(error.hint.as_ref().unwrap().contains("head: vocabulary"), "{error}");
}

#[test]
fn what_needs_another_head_is_refused_beside_a_value_head() {
    let (_, plan) = value_shapes().remove(0);
    let mtp = ModelPlan { mtp: Some(MtpPlan { depth: 1, weight: 0.1 }), ..plan.clone() };
    let lora = with_adapters(plan, LoraPlan::everywhere(2));
    for (plan, key) in [(mtp, "`mtp`"), (lora, "`lora`")] {
        let kernels = DecoderPolicy::<f32>::new(&plan, 4, 1, PathBuf::new()).map(drop);
        let tensors = TensorPolicy::new(&plan, 4, PathBuf::new(), &Device::Cpu).map(drop);
        for refused in [kernels, tensors] {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("value head has no") && error.contains(key), "{error}");
        }
    }
}
