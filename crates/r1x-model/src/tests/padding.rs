//! Rows of the vocabulary behind the last token: never drawn, without a part in any softmax, without a gradient.

use half::bf16;
use r1x_core::plan::{ModelPlan, Precision};
use r1x_core::port::WeightChoice;
use r1x_core::{Learner, Sampler, Scorer};
use r1x_ops::Operand;
use r1x_ops::device::Device;

use super::properties::{Weighted, batch, requests, sampling, stream};
use super::shapes;
use crate::layout::Layout;
use crate::{DecoderPolicy, TensorPolicy};

/// Rows behind the last token.
const PADDING: usize = 6;

/// Every shape with padding, whose output head stays its own.
fn padded() -> Vec<(&'static str, ModelPlan)> {
    let wider = |(name, plan): (&'static str, ModelPlan)| {
        let vocabulary_size = plan.vocabulary_size + PADDING;
        (name, ModelPlan { vocabulary_size, ..plan })
    };
    // Where adapters are trained, embedding and head have no gradient to look at.
    shapes().into_iter().filter(|(_, plan)| plan.lora.is_none()).map(wider).collect()
}

/// Weights that would have a sampler draw padding and nothing else, if it could: the rows of padding point the way of
/// the likeliest token, and further.
fn tempting(layout: &Layout, values: &mut [f32], tokens: usize) {
    let head = layout.head.matrix().block();
    let rows = &mut values[head.offset..head.offset + head.len()];
    for (index, value) in rows.iter_mut().enumerate().skip(tokens * head.columns) {
        *value = if index % 3 == 0 { 40.0 } else { -40.0 };
    }
}

fn kernels<E: Operand<Real = f32>>(plan: &ModelPlan) -> DecoderPolicy<E> {
    let mut policy = DecoderPolicy::<E>::new(plan, 4, 2, std::path::PathBuf::new()).unwrap();
    let (layout, tokens) = (policy.decoder.layout.clone(), policy.decoder.tokens);
    policy.weights.edit(&layout, 1, |values, _| tempting(&layout, values, tokens));
    policy
}

fn check<E: Operand<Real = f32>>(name: &str, plan: &ModelPlan) {
    let tokens = plan.vocabulary_size - PADDING;
    let mut policy = kernels::<E>(plan);
    let completions = policy.generate(&requests(), &sampling(), stream()).unwrap();
    let drawn = || completions.iter().flatten().flat_map(|one| &one.tokens);
    assert!(drawn().all(|token| (*token as usize) < tokens), "{name}");
    assert!(drawn().collect::<std::collections::BTreeSet<_>>().len() > 3, "{name}");
    let batch = batch(&requests(), &completions);
    let scored = policy.score(WeightChoice::Current, &batch).unwrap();
    for (sequence, scored) in batch.sequences.iter().zip(&scored) {
        assert_eq!(&sequence.sampled_logprobs, scored, "{name}");
    }
    policy.accumulate(&batch, &Weighted).unwrap();
    let layout = &policy.decoder.layout;
    let gradient = policy.gradient();
    let (head, embedding) = (layout.head.matrix().block(), layout.embedding);
    for block in [head, embedding] {
        let rows = &gradient[block.offset..block.offset + block.len()];
        let (real, padding) = rows.split_at(tokens * block.columns);
        assert!(real.iter().any(|g| *g != 0.0), "{name}");
        assert!(padding.iter().all(|g| *g == 0.0), "{name}");
    }
}

#[test]
fn padding_is_not_drawn_and_the_trainer_gives_the_samplers_logprobs_bit_for_bit() {
    for (name, plan) in padded() {
        check::<f32>(name, &plan);
        check::<bf16>(name, &plan);
    }
}

/// Equal weights give equal log-probs with padding and without: the rows of the head are computed one by one.
#[test]
fn padding_changes_nothing_of_the_tokens() {
    for ((name, plan), (_, narrow)) in padded().into_iter().zip(shapes()) {
        let wide = kernels::<f32>(&plan);
        let mut policy =
            DecoderPolicy::<f32>::new(&narrow, 4, 2, std::path::PathBuf::new()).unwrap();
        let (from, to) = (wide.decoder.layout.clone(), policy.decoder.layout.clone());
        let values = wide.values().to_vec();
        let biases = wide.weights.biases().to_vec();
        policy.weights.edit(&to, 1, |narrow, narrow_biases| {
            for (from, to) in from.base.parameters.iter().zip(&to.base.parameters) {
                let (kept, len) = (&values[from.offset..], to.len());
                narrow[to.offset..to.offset + len].copy_from_slice(&kept[..len]);
            }
            narrow_biases.clone_from_slice(&biases);
        });
        let [wide, narrow] = [
            wide.generate(&requests(), &sampling(), stream()),
            policy.generate(&requests(), &sampling(), stream()),
        ];
        assert_eq!(wide.unwrap(), narrow.unwrap(), "{name}");
    }
}

#[test]
fn a_device_leaves_padding_out_as_the_kernels_do() {
    for (name, plan) in padded() {
        let plan = ModelPlan { precision: Precision::F32, ..plan };
        let mut kernels = kernels::<f32>(&plan);
        let mut tensors =
            TensorPolicy::new(&plan, 4, std::path::PathBuf::new(), &Device::Cpu).unwrap();
        let numbers = kernels.weights.numbers(&kernels.decoder.layout);
        tensors.set_weights(&numbers).unwrap();
        let tokens = plan.vocabulary_size - PADDING;
        let completions = tensors.generate(&requests(), &sampling(), stream()).unwrap();
        let mut drawn = completions.iter().flatten().flat_map(|one| &one.tokens);
        assert!(drawn.all(|token| (*token as usize) < tokens), "{name}");
        let batch = batch(&requests(), &completions);
        let near = |a: &[f32], b: &[f32]| {
            a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-4 * a.abs().max(1.0))
        };
        let expected = kernels.score(WeightChoice::Current, &batch).unwrap();
        let found = tensors.score(WeightChoice::Current, &batch).unwrap();
        for ((expected, found), sequence) in expected.iter().zip(&found).zip(&batch.sequences) {
            assert!(near(expected, found), "{name}: {expected:?} {found:?}");
            assert!(near(&sequence.sampled_logprobs, found), "{name}");
        }
        kernels.accumulate(&batch, &Weighted).unwrap();
        tensors.accumulate(&batch, &Weighted).unwrap();
        let head = kernels.decoder.layout.head.matrix().block();
        let padding = head.offset + tokens * head.columns..head.offset + head.len();
        assert!(tensors.gradient()[padding].iter().all(|g| *g == 0.0), "{name}");
        let largest = kernels.gradient().iter().fold(0.0_f32, |most, g| most.max(g.abs()));
        for (a, b) in kernels.gradient().iter().zip(&tensors.gradient()) {
            assert!((a - b).abs() < 1e-3 * largest, "{name}: {a} {b}");
        }
    }
}
