//! The policy on tensors against the policy on kernels, for every shape: log-probs, samples, gradients,
//! updates, checkpoints, and that it learns. Each comparison is a test on candle's CPU device and one on a card.

use std::sync::Arc;

use candle_core::Device;
use r1x_core::advantage::{Spread, advantages};
use r1x_core::loss::{Sft, Surrogate, UpdateCounts};
use r1x_core::plan::{AdvantageKind, FeedForwardPlan, ModelPlan, OptimizerPlan};
use r1x_core::port::{Cursor, GenerateRequest, REFERENCE, WeightChoice};
use r1x_core::{
    Completion, Encoder, Learner, Policy, Rng, Sampler, Scorer, TrainingBatch, TrainingSequence,
    testing,
};

use super::properties::kernels as policy;
use super::properties::{Weighted, batch, credit, optimizer, requests, sampling, stream, train};
use super::{ANY, shapes};
use crate::generate::Limits;
use crate::{DecoderPolicy, TensorPolicy};

/// Largest difference of a log-prob or an entropy, in nats. Both sides compute in `f32`, with sums in another
/// order and latent attention in another form.
const LOGPROB: f64 = 2e-5;
/// Largest difference of a gradient, relative to the largest of its parameter.
const GRADIENT: f64 = 1e-4;
/// Largest difference of a weight after an update of 0.01 per step.
const WEIGHT: f64 = 1e-5;

/// Makes two tests of a comparison: on candle's CPU device and on a card.
macro_rules! on_both_devices {
    ($($comparison:ident),+ $(,)?) => {$(
        mod $comparison {
            #[test]
            fn on_the_cpu() {
                super::$comparison(&candle_core::Device::Cpu);
            }

            #[test]
            #[ignore = "needs a card"]
            fn on_a_card() {
                super::$comparison(&r1x_ops::parse_device("cuda:0").unwrap());
            }
        }
    )+};
}

on_both_devices!(
    fresh_weights_are_those_of_the_kernels,
    logprobs_are_those_of_the_kernels_for_weights_and_reference,
    samples_are_those_of_the_kernels_for_the_same_stream,
    a_sample_is_the_same_alone_and_in_another_order,
    samples_do_not_depend_on_the_sizes_of_batches_and_passes,
    every_gradient_and_every_load_is_that_of_the_kernels,
    updates_move_weights_and_biases_as_the_kernels_do,
    a_forgotten_optimizer_starts_again_and_a_gradient_that_is_no_number_changes_nothing,
    checkpoints_go_from_one_to_the_other_and_back_byte_for_byte,
    the_same_work_gives_the_same_bits,
);

/// Both policies in one state that is not their first: trained, with moments, biases and a reference.
struct Pair {
    kernels: DecoderPolicy,
    tensors: TensorPolicy,
    /// What the kernels sampled from that state.
    batch: TrainingBatch,
    completions: Vec<Vec<Completion>>,
    folders: (tempfile::TempDir, tempfile::TempDir),
}

fn cursor() -> Cursor {
    Cursor::at("rl", 3, 96)
}

impl Pair {
    fn new(plan: &ModelPlan, device: &Device) -> Self {
        let (mut kernels, folder) = policy(plan, 1);
        let first = kernels.generate(&requests(), &sampling(), stream()).unwrap();
        let first = batch(&requests(), &first);
        train(&mut kernels, &first, 2);
        kernels.freeze(REFERENCE).unwrap();
        train(&mut kernels, &first, 1);
        kernels.save("state", &cursor()).unwrap();
        let (mut tensors, other) = fresh(plan, device);
        assert_eq!(
            tensors.load(&folder.path().join("state"), &ANY).unwrap().cursor,
            (&cursor()).into()
        );
        let completions = kernels.generate(&requests(), &sampling(), stream()).unwrap();
        let batch = batch(&requests(), &completions);
        Self { kernels, tensors, batch, completions, folders: (folder, other) }
    }
}

fn fresh(plan: &ModelPlan, device: &Device) -> (TensorPolicy, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (TensorPolicy::new(plan, 4, folder.path().to_owned(), device).unwrap(), folder)
}

/// Runs a comparison for every shape.
fn for_every(device: &Device, compare: impl Fn(&str, &ModelPlan, Pair)) {
    for (name, plan) in shapes() {
        compare(name, &plan, Pair::new(&plan, device));
    }
}

fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (a, b)) in found.iter().zip(expected).enumerate() {
        let difference = f64::from((a - b).abs());
        assert!(difference <= tolerance, "{what}[{index}]: {a} against {b}");
    }
}

fn fresh_weights_are_those_of_the_kernels(device: &Device) {
    for (name, plan) in shapes() {
        let (kernels, _folder) = policy(&plan, 1);
        let (tensors, _other) = fresh(&plan, device);
        let sha256 = tensors.weights_sha256().unwrap();
        assert_eq!(sha256, kernels.weights_sha256().unwrap(), "{name}");
        assert_eq!(tensors.parameter_count(), kernels.parameter_count());
    }
}

fn logprobs_are_those_of_the_kernels_for_weights_and_reference(device: &Device) {
    for_every(device, |name, _, mut pair| {
        for which in [WeightChoice::Current, WeightChoice::Frozen(REFERENCE)] {
            let expected = pair.kernels.score(which, &pair.batch).unwrap();
            let found = pair.tensors.score(which, &pair.batch).unwrap();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert_close(&format!("{name}: {which:?}"), found, expected, LOGPROB);
            }
        }
    });
}

fn samples_are_those_of_the_kernels_for_the_same_stream(device: &Device) {
    for_every(device, |name, _, mut pair| {
        let found = pair.tensors.generate(&requests(), &sampling(), stream()).unwrap();
        for (found, expected) in found.iter().flatten().zip(pair.completions.iter().flatten()) {
            assert_eq!(found.tokens, expected.tokens, "{name}");
            assert_eq!(found.finish, expected.finish, "{name}");
            assert_close(
                &format!("{name}: log-probs"),
                &found.logprobs,
                &expected.logprobs,
                LOGPROB,
            );
            let entropies = (&found.entropies, &expected.entropies);
            assert_close(&format!("{name}: entropies"), entropies.0, entropies.1, LOGPROB);
        }
        // Its own trainer agrees with its own sampler as closely as with the kernels.
        let batch = batch(&requests(), &found);
        let scored = pair.tensors.score(WeightChoice::Current, &batch).unwrap();
        for (scored, sequence) in scored.iter().zip(&batch.sequences) {
            assert_close(name, scored, &sequence.sampled_logprobs, LOGPROB);
        }
    });
}

fn a_sample_is_the_same_alone_and_in_another_order(device: &Device) {
    for_every(device, |name, _, pair| {
        let tokens = |completions: &[Completion]| -> Vec<Vec<u32>> {
            completions.iter().map(|completion| completion.tokens.clone()).collect()
        };
        let mut reversed = requests();
        reversed.reverse();
        let backwards = pair.tensors.generate(&reversed, &sampling(), stream()).unwrap();
        for (found, expected) in backwards.iter().rev().zip(&pair.completions) {
            assert_eq!(tokens(found), tokens(expected), "{name}");
        }
        let alone = GenerateRequest { samples: 2, ..requests().swap_remove(3) };
        let found = pair.tensors.generate(&[alone], &sampling(), stream()).unwrap();
        assert_eq!(tokens(&found[0]), tokens(&pair.completions[3][..2]), "{name}");
    });
}

/// Small batches and parts of prompts: sequences enter as others end, and rows attend to blocks of earlier passes.
fn samples_do_not_depend_on_the_sizes_of_batches_and_passes(device: &Device) {
    for_every(device, |name, _, pair| {
        for (samples, prompt_rows) in [(3, 7), (8, 40), (1, 1000)] {
            let limits = Limits { samples, prompt_rows };
            let how = (&sampling(), stream());
            let found = pair.tensors.generate_within(limits, &requests(), how);
            for (found, expected) in found.iter().flatten().zip(pair.completions.iter().flatten()) {
                assert_eq!(found.tokens, expected.tokens, "{name}");
                assert_close(name, &found.logprobs, &expected.logprobs, LOGPROB);
            }
            assert_eq!(found.iter().flatten().count(), pair.completions.iter().flatten().count());
        }
    });
}

fn every_gradient_and_every_load_is_that_of_the_kernels(device: &Device) {
    for_every(device, |name, plan, mut pair| {
        let expected = pair.kernels.accumulate(&pair.batch, &Weighted).unwrap();
        let found = pair.tensors.accumulate(&pair.batch, &Weighted).unwrap();
        assert!((found.loss - expected.loss).abs() < 1e-4 * expected.loss.abs().max(1.0), "{name}");
        let (found, expected) = (pair.tensors.gradient(), pair.kernels.gradient().to_vec());
        let layout = crate::layout::Layout::new(plan);
        for parameter in &layout.trained().parameters {
            let range = layout.trained().place(parameter);
            let (found, expected) = (&found[range.clone()], &expected[range]);
            let size = expected.iter().fold(0f32, |size, g| size.max(g.abs()));
            let idle = parameter.name.contains(".experts.");
            assert!(size > 0.0 || idle, "{name}: {} has no gradient", parameter.name);
            let tolerance = GRADIENT * f64::from(size);
            assert_close(&format!("{name}: {}", parameter.name), found, expected, tolerance);
        }
        let expected = pair.kernels.update(&optimizer(), 1e-2).unwrap();
        let found = pair.tensors.update(&optimizer(), 1e-2).unwrap();
        assert_eq!(found.metrics, expected.metrics, "{name}");
        let norms = (found.grad_norm, expected.grad_norm);
        assert!((norms.0 - norms.1).abs() < GRADIENT * norms.1, "{name}: {norms:?}");
        assert!(pair.tensors.gradient().iter().all(|g| *g == 0.0), "{name}: not cleared");
    });
}

fn updates_move_weights_and_biases_as_the_kernels_do(device: &Device) {
    for_every(device, |name, plan, mut pair| {
        for (policy, _) in [(&mut pair.kernels as &mut dyn Policy, 0), (&mut pair.tensors, 1)] {
            for _ in 0..2 {
                policy.accumulate(&pair.batch, &Weighted).unwrap();
                policy.update(&optimizer(), 1e-2).unwrap();
            }
        }
        let (found, expected) = (pair.tensors.values().unwrap(), pair.kernels.values());
        assert_close(&format!("{name}: weights"), &found, expected, WEIGHT);
        let (found, expected) = (pair.tensors.biases(), pair.kernels.weights.biases());
        assert_eq!(found, expected, "{name}: biases");
        // Where adapters are trained, nothing of the model itself changes.
        let is_steered = plan.lora.is_none()
            && matches!(&plan.feed_forward, FeedForwardPlan::Moe(mixture) if mixture.selection_bias);
        assert_eq!(found.iter().flatten().any(|bias| *bias != 0.0), is_steered, "{name}");
    });
}

fn a_forgotten_optimizer_starts_again_and_a_gradient_that_is_no_number_changes_nothing(
    device: &Device,
) {
    let (_, plan) = shapes().swap_remove(4);
    let mut pair = Pair::new(&plan, device);
    for policy in [&mut pair.kernels as &mut dyn Policy, &mut pair.tensors] {
        policy.reset_optimizer();
        policy.accumulate(&pair.batch, &Weighted).unwrap();
        // With an epsilon as large, a first step follows the gradient and not its sign.
        policy.update(&OptimizerPlan { eps: 1.0, ..optimizer() }, 1e-2).unwrap();
    }
    assert_close("weights", &pair.tensors.values().unwrap(), pair.kernels.values(), WEIGHT);
    let before = pair.tensors.weights_sha256().unwrap();
    let mut broken = pair.batch.clone();
    credit(&mut broken.sequences[0], f64::NAN);
    pair.tensors.accumulate(&broken, &Weighted).unwrap();
    assert!(!pair.tensors.update(&optimizer(), 1e-2).unwrap().grad_norm.is_finite());
    assert_eq!(pair.tensors.weights_sha256().unwrap(), before);
}

fn checkpoints_go_from_one_to_the_other_and_back_byte_for_byte(device: &Device) {
    for_every(device, |name, plan, mut pair| {
        let saved = pair.tensors.save("state", &cursor()).unwrap();
        let (original, copy) = (pair.folders.0.path(), pair.folders.1.path());
        for file in ["model.safetensors", "optimizer.safetensors", "state.json"] {
            let [a, b] =
                [original, copy].map(|f| std::fs::read(f.join("state").join(file)).unwrap());
            assert!(a == b, "{name}: {file} differs");
        }
        assert_eq!(saved.sha256, pair.kernels.weights_sha256().unwrap());
        let (mut back, _folder) = policy(plan, 1);
        assert_eq!(back.load(&copy.join("state"), &ANY).unwrap().cursor, (&cursor()).into());
        train(&mut back, &pair.batch, 1);
        train(&mut pair.kernels, &pair.batch, 1);
        let sha256 = back.weights_sha256().unwrap();
        assert_eq!(sha256, pair.kernels.weights_sha256().unwrap(), "{name}");
        let (mut weights, _folder) = fresh(plan, &Device::Cpu);
        weights.load_weights(&original.join("state"), &ANY).unwrap();
        assert_eq!(weights.weights_sha256().unwrap(), saved.sha256);
    });
}

fn the_same_work_gives_the_same_bits(device: &Device) {
    let (_, plan) = shapes().swap_remove(4);
    let run = || {
        let (mut policy, _folder) = fresh(&plan, device);
        let completions = policy.generate(&requests(), &sampling(), stream()).unwrap();
        for _ in 0..2 {
            policy.accumulate(&batch(&requests(), &completions), &Weighted).unwrap();
            policy.update(&optimizer(), 1e-2).unwrap();
        }
        (policy.weights_sha256().unwrap(), completions)
    };
    assert_eq!(run(), run(), "on {:?}", device.location());
}

#[test]
fn micro_batches_add_up_and_sequences_without_a_signal_or_a_target_cost_nothing() {
    let (_, mut plan) = shapes().swap_remove(2);
    let FeedForwardPlan::Moe(moe) = &mut plan.feed_forward else { unreachable!("a mixture") };
    moe.balance_loss = 0.0;
    let whole = Pair::new(&plan, &Device::Cpu).batch;
    let gradient = |batch: &TrainingBatch| {
        let (mut policy, _folder) = fresh(&plan, &Device::Cpu);
        policy.accumulate(batch, &Weighted).unwrap();
        policy.gradient()
    };
    let expected = gradient(&TrainingBatch { micro_batch_size: 100, ..whole.clone() });
    let size = expected.iter().fold(0f32, |size, g| size.max(g.abs()));
    for micro_batch_size in [1, 7] {
        let found = gradient(&TrainingBatch { micro_batch_size, ..whole.clone() });
        assert_close("split", &found, &expected, 1e-5 * f64::from(size));
    }
    let mut silent = whole;
    for sequence in &mut silent.sequences {
        credit(sequence, 0.0);
    }
    let empty = TrainingSequence::new(&silent.sequences[0].tokens[..1], &[]);
    silent.sequences.insert(0, Arc::new(empty));
    silent.micro_batch_size = 1;
    assert!(gradient(&silent).iter().all(|g| *g == 0.0));
    let (mut policy, _folder) = fresh(&plan, &Device::Cpu);
    let scored = policy.score(WeightChoice::Current, &silent).unwrap();
    assert_eq!(scored.len(), silent.sequences.len());
    assert!(scored[0].is_empty() && !scored[1].is_empty());
}

#[test]
fn what_cannot_be_done_is_said() {
    let (_, plan) = shapes().swap_remove(0);
    let (mut policy, folder) = fresh(&plan, &Device::Cpu);
    let long = GenerateRequest { prompt: vec![1; 60], samples: 1, address: 0, lengths: Vec::new() };
    let error = policy.generate(&[long], &sampling(), stream()).unwrap_err();
    assert!(error.message.contains("77 tokens does not fit the context length 64"), "{error}");
    policy.save("x", &Cursor::default()).unwrap();
    let (mut other, _folder) = fresh(&shapes().swap_remove(1).1, &Device::Cpu);
    let before = other.weights_sha256().unwrap();
    let error = other.load(&folder.path().join("x"), &ANY).unwrap_err().to_string();
    assert!(error.contains("has no tensor `lm_head.weight`"), "{error}");
    assert_eq!(other.weights_sha256().unwrap(), before);
    let error = policy.lose_a_gradient().unwrap_err().to_string();
    assert!(error.contains("got no gradient"), "{error}");
}

/// Sequences that repeat their prompt's token are worked solutions. By chance the loss is ln 13 = 2.6.
#[test]
fn supervised_training_learns() {
    for (name, plan) in shapes().into_iter().filter(|(name, _)| name.contains("moe")) {
        let (mut policy, _folder) = fresh(&plan, &Device::Cpu);
        let sequence = |token: u32| {
            let targets = [token, token, policy.eos()];
            Arc::new(TrainingSequence::new(&[token], &targets))
        };
        let sequences: Vec<_> = (1..13).map(sequence).collect();
        let batch =
            TrainingBatch { sequences, micro_batch_size: 6, temperature: 1.0, share_prompts: true };
        let loss = Sft::new(&UpdateCounts::of(&batch.sequences, 0.0));
        let mut losses = Vec::new();
        for _ in 0..60 {
            losses.push(policy.accumulate(&batch, &loss).unwrap().loss);
            policy.update(&optimizer(), 1e-2).unwrap();
        }
        // Two numbers a projection cannot say as much as all weights.
        let reached = if plan.lora.is_some() { 1.8 } else { 1.2 };
        assert!(losses[0] > 2.0 && losses[59] < reached, "{name}: {losses:?}");
    }
}

/// The reward is the share of fives in what was sampled; by chance it is 1/13.
#[test]
fn grpo_learns() {
    let (_, plan) = shapes().swap_remove(4);
    let (mut policy, _folder) = fresh(&plan, &Device::Cpu);
    let estimator = testing::advantage(AdvantageKind::GroupNormalized);
    let requests: Vec<_> =
        requests().into_iter().map(|r| GenerateRequest { samples: 8, ..r }).collect();
    let mut rewards = Vec::new();
    for step in 0..40 {
        let stream = Rng::new(step).stream("sampling");
        let completions = policy.generate(&requests, &sampling(), stream).unwrap();
        let mut batch = batch(&requests, &completions);
        let mut mean = 0.0;
        let mut sequences = batch.sequences.iter_mut();
        for group in &completions {
            let reward = |completion: &Completion| {
                let fives = completion.tokens.iter().filter(|token| **token == 5).count();
                Some(fives as f64 / completion.tokens.len() as f64)
            };
            let totals: Vec<_> = group.iter().map(reward).collect();
            mean += totals.iter().flatten().sum::<f64>() / (group.len() * completions.len()) as f64;
            for advantage in advantages(&estimator, &totals, &Spread::default()).advantages {
                credit(sequences.next().unwrap(), advantage);
            }
        }
        rewards.push(mean);
        let counts = UpdateCounts::of(&batch.sequences, 0.0);
        let loss = Surrogate::new(&testing::surrogate(), &counts);
        policy.accumulate(&batch, &loss).unwrap();
        policy.update(&optimizer(), 1e-2).unwrap();
    }
    assert!(rewards[0] < 0.2 && rewards[39] > 0.6, "{rewards:?}");
}
