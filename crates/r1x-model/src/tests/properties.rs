//! Sampler against trainer bit for bit; batches, order, threads and splits; checkpoints.

use std::sync::Arc;

use r1x_core::loss::{Loss, LossOutput, LossTotals, Said};
use r1x_core::plan::{ModelPlan, OptimizerPlan, SamplingPlan};
use r1x_core::port::{Cursor, GenerateRequest, REFERENCE, WeightChoice};
use r1x_core::{
    Completion, FinishReason, Learner, Policy, Rng, Sampler, Scorer, Stream, TrainingBatch,
    TrainingSequence, testing,
};

use half::bf16;
use r1x_core::plan::Precision;
use r1x_ops::Operand;
use r1x_ops::device::Device;

use super::{ANY, shapes};
use crate::model::fresh;
use crate::{DecoderPolicy, Model};

/// −Σ advantage · logprob, enough to drive the gradient.
pub(super) struct Weighted;

impl Loss for Weighted {
    fn evaluate(&self, sequence: &TrainingSequence, said: Said<'_>) -> LossOutput {
        let logprobs = said.targets;
        let sum: f64 = logprobs.iter().map(|l| f64::from(*l)).sum();
        let advantage = sequence.advantages.first().copied().unwrap_or_default();
        let totals = LossTotals { loss: -advantage * sum, ..LossTotals::default() };
        let gradient = vec![-advantage as f32; logprobs.len()];
        LossOutput { gradient, totals, ..LossOutput::default() }
    }
}

pub(super) fn optimizer() -> OptimizerPlan {
    OptimizerPlan { weight_decay: 0.01, ..testing::optimizer(1e-2) }
}

pub(super) fn policy(plan: &ModelPlan, threads: usize) -> (Box<dyn Model>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (fresh(plan, 4, threads, folder.path().to_owned(), &Device::Cpu).unwrap(), folder)
}

/// A policy on the kernels in `f32` with its folder.
pub fn kernels(plan: &ModelPlan, threads: usize) -> (DecoderPolicy, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (DecoderPolicy::new(plan, 4, threads, folder.path().to_owned()).unwrap(), folder)
}

/// Every shape in every precision.
fn models() -> Vec<(String, ModelPlan)> {
    let precisions = |(name, plan): (&str, ModelPlan)| {
        let narrow = ModelPlan { precision: Precision::Bf16, ..plan.clone() };
        [(name.to_owned(), plan), (format!("{name} bf16"), narrow)]
    };
    shapes().into_iter().flat_map(precisions).collect()
}

pub(super) fn sampling() -> SamplingPlan {
    SamplingPlan { temperature: 0.7, ..testing::sampling(17) }
}

pub(super) fn requests() -> Vec<GenerateRequest> {
    (0..5)
        .map(|i| GenerateRequest {
            // Shorter than a block of the cache, a block, and a little longer.
            prompt: (0..[2, 3, 31, 32, 41][i]).map(|t| (t * 3 + i as u32) % 13).collect(),
            samples: 3 + i,
            address: 100 + i as u64,
            lengths: Vec::new(),
        })
        .collect()
}

pub(super) fn stream() -> Stream {
    Rng::new(9).stream("sampling")
}

/// Gives every target of a sequence an advantage.
pub(super) fn credit(sequence: &mut Arc<TrainingSequence>, advantage: f64) {
    Arc::make_mut(sequence).advantages.fill(advantage);
}

pub(super) fn batch(
    requests: &[GenerateRequest],
    completions: &[Vec<Completion>],
) -> TrainingBatch {
    let mut sequences = Vec::new();
    for (request, completions) in requests.iter().zip(completions) {
        for (index, completion) in completions.iter().enumerate() {
            sequences.push(Arc::new(TrainingSequence {
                sampled_logprobs: completion.logprobs.clone(),
                advantages: vec![index as f64 - 1.3; completion.tokens.len()],
                ..TrainingSequence::new(&request.prompt, &completion.tokens)
            }));
        }
    }
    TrainingBatch { sequences, micro_batch_size: 4, temperature: 0.7, share_prompts: true }
}

/// Trains a few updates so that weights, biases and moments are not at their start.
pub(super) fn train(policy: &mut dyn Policy, batch: &TrainingBatch, updates: usize) {
    for _ in 0..updates {
        policy.accumulate(batch, &Weighted).unwrap();
        policy.update(&optimizer(), 1e-2).unwrap();
    }
}

#[test]
fn the_trainer_gives_the_samplers_logprobs_bit_for_bit() {
    for (name, plan) in models() {
        let (mut policy, _folder) = policy(&plan, 1);
        let first = policy.generate(&requests(), &sampling(), stream()).unwrap();
        train(&mut *policy, &batch(&requests(), &first), 3);
        let completions = policy.generate(&requests(), &sampling(), stream()).unwrap();
        let batch = batch(&requests(), &completions);
        let scored = policy.score(WeightChoice::Current, &batch).unwrap();
        let mut stopped = 0;
        let apart = TrainingBatch { share_prompts: false, ..batch.clone() };
        assert_eq!(policy.score(WeightChoice::Current, &apart).unwrap(), scored, "{name}");
        for (sequence, scored) in batch.sequences.iter().zip(&scored) {
            assert_eq!(&sequence.sampled_logprobs, scored, "{name}");
            stopped += usize::from(sequence.tokens.last() == Some(&policy.eos()));
        }
        assert!(
            stopped > 0 && stopped < scored.len(),
            "{name}: {stopped} of {} stopped",
            scored.len()
        );
    }
}

#[test]
fn exact_lengths_are_met_and_only_cut_the_same_samples_elsewhere() {
    let plan = SamplingPlan { max_tokens: 17, ..sampling() };
    for (name, shape) in models() {
        let (policy, _folder) = policy(&shape, 2);
        let exact = |lengths: fn(usize) -> usize| -> Vec<GenerateRequest> {
            let with = |request: GenerateRequest| GenerateRequest {
                lengths: (0..request.samples).map(lengths).collect(),
                ..request
            };
            requests().into_iter().map(with).collect()
        };
        let usual = policy.generate(&requests(), &plan, stream()).unwrap();
        let full = policy.generate(&exact(|_| 17), &plan, stream()).unwrap();
        let ragged = policy.generate(&exact(|s| 1 + 3 * s % 17), &plan, stream()).unwrap();
        let triples = usual.iter().flatten().zip(full.iter().flatten());
        let mut stopped = 0;
        for ((usual, full), ragged) in triples.zip(ragged.iter().flatten()) {
            assert_eq!((full.tokens.len(), full.finish), (17, FinishReason::Length), "{name}");
            assert_eq!(ragged.finish, FinishReason::Length, "{name}");
            for shorter in [usual, ragged] {
                let length = shorter.tokens.len();
                assert_eq!(shorter.tokens, full.tokens[..length], "{name}");
                assert_eq!(shorter.logprobs, full.logprobs[..length], "{name}");
            }
            stopped += usize::from(usual.finish == FinishReason::Stop);
        }
        assert!(stopped > 0, "{name}: no end-of-sequence token was drawn");
        for (request, group) in requests().iter().zip(&ragged) {
            let lengths: Vec<_> = group.iter().map(|c| c.tokens.len()).collect();
            let expected: Vec<_> = (0..request.samples).map(|s| 1 + 3 * s % 17).collect();
            assert_eq!(lengths, expected, "{name}");
        }
    }
}

#[test]
fn a_request_is_handed_over_when_its_last_sample_ends() {
    let plan = SamplingPlan { max_tokens: 17, ..sampling() };
    // The last request is done after two tokens, the first not before the seventeenth.
    let ends = [17, 9, 0, 2];
    let requests: Vec<GenerateRequest> = requests()
        .into_iter()
        .zip(ends)
        .map(|(request, end)| {
            let samples = if end == 0 { 0 } else { request.samples };
            let lengths = (0..samples).map(|sample| if sample == 0 { end } else { 1 }).collect();
            GenerateRequest { samples, lengths, ..request }
        })
        .collect();
    assert_eq!(requests.len(), ends.len());
    for (name, shape) in models() {
        let (policy, _folder) = policy(&shape, 1);
        let expected = policy.generate(&requests, &plan, stream()).unwrap();
        let mut order = Vec::new();
        let mut each = |request: usize, completions: Vec<Completion>| {
            assert_eq!(completions, expected[request], "{name}");
            order.push(request);
        };
        policy.generate_each(&requests, &plan, stream(), &mut each).unwrap();
        assert_eq!(order, [2, 3, 1, 0], "{name}");
    }
}

#[test]
fn impossible_lengths_are_refused() {
    let (policy, _folder) = policy(&shapes()[0].1, 1);
    for lengths in [vec![3], vec![3, 0, 3], vec![3, 18, 3]] {
        let request = GenerateRequest { samples: 3, lengths, ..requests().remove(0) };
        let error = policy.generate(&[request], &sampling(), stream()).unwrap_err();
        assert!(error.message.contains("3 samples of at most 17 tokens"), "{error}");
    }
}

#[test]
fn samples_do_not_depend_on_batch_order_or_threads() {
    for (name, plan) in models() {
        let (policy, _folder) = policy(&plan, 1);
        let together = policy.generate(&requests(), &sampling(), stream()).unwrap();
        let (threaded, _folder) = self::policy(&plan, 3);
        assert_eq!(
            together,
            threaded.generate(&requests(), &sampling(), stream()).unwrap(),
            "{name}"
        );
        let mut reversed = requests();
        reversed.reverse();
        let mut backwards = policy.generate(&reversed, &sampling(), stream()).unwrap();
        backwards.reverse();
        assert_eq!(together, backwards, "{name}");
        for (request, expected) in requests().iter().zip(&together) {
            let mut alone = request.clone();
            alone.samples = 2;
            let found = policy.generate(&[alone], &sampling(), stream()).unwrap();
            assert_eq!(found[0], expected[..2], "{name}");
        }
        for completion in together.iter().flatten() {
            let stopped = completion.tokens.last() == Some(&policy.eos());
            assert_eq!(completion.finish == FinishReason::Stop, stopped);
            assert!(stopped || completion.tokens.len() == 17);
        }
    }
}

#[test]
fn training_is_bit_equal_over_threads_and_close_over_splits() {
    for (name, plan) in models() {
        let (mut one, _folder) = policy(&plan, 1);
        let completions = one.generate(&requests(), &sampling(), stream()).unwrap();
        let whole = batch(&requests(), &completions);
        train(&mut *one, &whole, 3);
        let (mut three, _folder) = policy(&plan, 3);
        train(&mut *three, &whole, 3);
        assert_eq!(one.weights_sha256().unwrap(), three.weights_sha256().unwrap(), "{name}");

        match plan.precision {
            Precision::F32 => assert_close_over_splits::<f32>(&name, &plan, &whole, &Weighted),
            Precision::Bf16 => assert_close_over_splits::<bf16>(&name, &plan, &whole, &Weighted),
        }
    }
}

/// The gradient is the same up to rounding however sequences are computed together, prompts shared or not.
pub(super) fn assert_close_over_splits<E: Operand<Real = f32>>(
    name: &str,
    plan: &ModelPlan,
    whole: &TrainingBatch,
    loss: &dyn Loss,
) {
    let gradient = |micro_batch_size, share_prompts| {
        let mut policy = DecoderPolicy::<E>::new(plan, 4, 2, std::path::PathBuf::new()).unwrap();
        let batch = TrainingBatch { micro_batch_size, share_prompts, ..whole.clone() };
        policy.accumulate(&batch, loss).unwrap();
        policy.gradient().to_vec()
    };
    let expected = gradient(1, false);
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    let whole = norm(&mut expected.iter().copied());
    // Gradients of shared rows are added up before they are rounded to factors, not after.
    let tolerance = if E::NAME == "bf16" { 1e-2 } else { 1e-5 };
    for (size, share) in [(7, false), (100, false), (1, true), (7, true), (100, true)] {
        let found = gradient(size, share);
        let error = norm(&mut expected.iter().zip(&found).map(|(a, b)| a - b)) / whole;
        assert!(error < tolerance, "{name}, {size} together, shared {share}: off by {error}");
        if E::NAME == "f32" {
            let largest = expected.iter().fold(0.0f32, |m, g| m.max(g.abs()));
            for (a, b) in expected.iter().zip(&found) {
                assert!((a - b).abs() < 1e-5 * largest, "{name}: {a} against {b}");
            }
        }
    }
}

#[test]
fn activations_computed_again_are_the_ones_that_were_kept() {
    for (name, plan) in models() {
        let (mut kept, _folder) = policy(&plan, 2);
        let again = ModelPlan { recompute_activations: true, ..plan };
        let (mut again, _folder) = policy(&again, 2);
        let completions = kept.generate(&requests(), &sampling(), stream()).unwrap();
        let batch = batch(&requests(), &completions);
        train(&mut *kept, &batch, 2);
        train(&mut *again, &batch, 2);
        assert_eq!(kept.weights_sha256().unwrap(), again.weights_sha256().unwrap(), "{name}");
    }
}

#[test]
fn a_loaded_checkpoint_goes_on_as_if_nothing_had_happened() {
    let (_, plan) = shapes().remove(4);
    let (mut original, folder) = policy(&plan, 2);
    let completions = original.generate(&requests(), &sampling(), stream()).unwrap();
    let batch = batch(&requests(), &completions);
    train(&mut *original, &batch, 2);
    original.freeze(REFERENCE).unwrap();
    train(&mut *original, &batch, 1);
    let cursor = Cursor::at("rl", 3, 96);
    let saved = original.save("rl/step-000003", &cursor).unwrap();
    assert_eq!(saved.sha256, original.weights_sha256().unwrap());

    let (mut loaded, _other) = policy(&plan, 1);
    assert_eq!(
        loaded.load(&folder.path().join(&saved.path), &ANY).unwrap().cursor,
        (&cursor).into()
    );
    let reference = |p: &mut dyn Model| p.score(WeightChoice::Frozen(REFERENCE), &batch).unwrap();
    assert_eq!(reference(&mut *original), reference(&mut *loaded));
    train(&mut *original, &batch, 2);
    train(&mut *loaded, &batch, 2);
    assert_eq!(original.weights_sha256().unwrap(), loaded.weights_sha256().unwrap());
}

/// The current weights in its place would make every divergence 0, and nobody would see it.
#[test]
fn nothing_is_scored_under_a_reference_that_is_not_there() {
    let (_, plan) = shapes().remove(0);
    let (mut policy, folder) = policy(&plan, 1);
    let completions = policy.generate(&requests(), &sampling(), stream()).unwrap();
    let batch = batch(&requests(), &completions);
    let refused = |policy: &mut dyn Model| {
        let error = policy.score(WeightChoice::Frozen(REFERENCE), &batch).unwrap_err();
        assert!(error.message.contains("no frozen weights called `reference`"), "{error}");
    };
    refused(&mut *policy);
    policy.freeze(REFERENCE).unwrap();
    policy.score(WeightChoice::Frozen(REFERENCE), &batch).unwrap();
    let with = policy.save("with", &Cursor::default()).unwrap();
    policy.forget_frozen();
    refused(&mut *policy);
    let without = policy.save("without", &Cursor::default()).unwrap();
    assert!(without.bytes < with.bytes, "a reference that is gone takes no room");
    policy.load(&folder.path().join("with"), &ANY).unwrap();
    policy.score(WeightChoice::Frozen(REFERENCE), &batch).unwrap();
    policy.load(&folder.path().join("without"), &ANY).unwrap();
    refused(&mut *policy);
}

/// A reference, a teacher and a judge differ in their names only.
#[test]
fn frozen_weights_keep_their_names_through_a_checkpoint() {
    let (_, plan) = shapes().remove(4);
    let (mut policy, folder) = kernels(&plan, 1);
    let completions = policy.generate(&requests(), &sampling(), stream()).unwrap();
    let batch = batch(&requests(), &completions);
    policy.freeze("teacher").unwrap();
    train(&mut policy, &batch, 1);
    policy.freeze(REFERENCE).unwrap();
    train(&mut policy, &batch, 1);
    policy.freeze("earlier").unwrap();
    let names = ["teacher", REFERENCE, "earlier"];
    let scores = |policy: &mut DecoderPolicy| {
        names.map(|name| policy.score(WeightChoice::Frozen(name), &batch).unwrap())
    };
    let expected = scores(&mut policy);
    assert!(expected[0] != expected[1] && expected[1] != expected[2]);
    policy.save("all", &Cursor::default()).unwrap();
    let (mut loaded, _other) = kernels(&plan, 1);
    loaded.load(&folder.path().join("all"), &ANY).unwrap();
    assert_eq!(scores(&mut loaded), expected);
    for (name, reason) in [("", "at least one character"), ("a.b", "no dot")] {
        let error = loaded.freeze(name).unwrap_err();
        assert!(error.message.contains(reason), "{error}");
    }
    for name in ["d", "e", "f"] {
        loaded.freeze(name).unwrap();
    }
    let error = loaded.freeze("g").unwrap_err();
    assert!(error.message.contains("6 copies are kept already"), "{error}");
    loaded.freeze("f").unwrap();
}

#[test]
fn torn_and_foreign_checkpoints_are_refused() {
    let (_, plan) = shapes().remove(0);
    let (mut original, folder) = policy(&plan, 1);
    original.save("x", &Cursor::default()).unwrap();
    let path = folder.path().join("x");
    let (mut other, _folder) = policy(&shapes().remove(1).1, 1);
    let error = other.load(&path, &ANY).unwrap_err().to_string();
    assert!(error.contains("has no tensor `lm_head.weight`"), "{error}");
    let file = path.join("model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let error = original.load(&path, &ANY).unwrap_err().to_string();
    assert!(error.contains("sha256"), "{error}");
    std::fs::remove_file(&file).unwrap();
    assert!(original.load(&path, &ANY).is_err());
    // A folder that cannot be made is an error that says where.
    std::fs::write(folder.path().join("file"), "").unwrap();
    let error = original.save("file/x", &Cursor::default()).unwrap_err();
    assert!(error.message.contains("file/x"), "{error}");
}
