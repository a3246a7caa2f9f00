//! The self-test of a device: one small step of training on it against the CPU's kernels, with samples, log-probs,
//! gradient and update.
//!
//! This is the last part of `r1x doctor`: kernels that a tensor op cannot reach alone (attention, the router, packed
//! products) are compared here as parts of a model.

use std::path::PathBuf;
use std::sync::Arc;

use r1x_core::loss::{Sft, UpdateCounts};
use r1x_core::plan::{
    AttentionPlan, FeedForwardPlan, GqaPlan, GroupScore, HeadPlan, InitialWeights, MlaPlan,
    ModelPlan, MoePlan, OptimizerPlan, Precision, RopePairs, RopePlan, SamplingPlan, ScheduleKind,
    SchedulePlan, Scoring, TokenizerPlan,
};
use r1x_core::port::{GenerateRequest, WeightChoice};
use r1x_core::{
    Completion, Learner, Policy, PortError, Rng, Sampler, TrainingBatch, TrainingSequence,
};
use r1x_ops::device::Device;

use crate::policy::DecoderPolicy;
use crate::tensor::TensorPolicy;

/// One comparison of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Model and what was compared.
    pub name: String,
    /// Largest difference found.
    pub difference: f64,
    /// Largest difference allowed.
    pub tolerance: f64,
}

/// Largest difference of log-probs and updated weights, in nats and as they are. Both sides compute in `f32`
/// with sums in another order.
const TOLERANCE: f64 = 1e-3;
/// Largest share of samples that may differ: a draw that falls on the edge between two tokens.
const SAMPLES_DIFFER: f64 = 0.1;

/// Trains one step on a device and on the CPU's kernels, for a dense model with grouped-query attention and
/// for a mixture of experts with latent attention.
///
/// # Errors
/// When the device fails or its memory does not suffice.
pub fn run(device: &Device) -> Result<Vec<Comparison>, PortError> {
    let mut comparisons = Vec::new();
    for (name, plan) in [("gqa dense", dense()), ("mla moe", moe())] {
        let add = |(what, difference, tolerance): (&str, f64, f64)| Comparison {
            name: format!("{name}: {what}"),
            difference,
            tolerance,
        };
        comparisons.extend(step(&plan, device)?.map(add));
    }
    Ok(comparisons)
}

fn step(plan: &ModelPlan, device: &Device) -> Result<[(&'static str, f64, f64); 4], PortError> {
    let mut kernels = DecoderPolicy::<f32>::new(plan, 1, 1, PathBuf::new())?;
    let mut tensors = TensorPolicy::new(plan, 1, PathBuf::new(), device)?;
    let (requests, stream) = (requests(), Rng::new(2).stream("check"));
    let expected = kernels.generate(&requests, &sampling(), stream)?;
    let found = tensors.generate(&requests, &sampling(), stream)?;
    let pairs = || expected.iter().flatten().zip(found.iter().flatten());
    let differ = pairs().filter(|(a, b)| a.tokens != b.tokens).count() as f64;
    let batch = batch(&requests, &expected);
    let scored = [&mut kernels as &mut dyn Policy, &mut tensors]
        .map(|policy| policy.score(WeightChoice::Current, &batch));
    let [expected_scores, found_scores] = scored;
    let (expected_scores, found_scores) = (expected_scores?.concat(), found_scores?.concat());
    let loss = Sft::new(&UpdateCounts::of(&batch.sequences, 0.0));
    kernels.accumulate(&batch, &loss)?;
    tensors.accumulate(&batch, &loss)?;
    let expected_norm = kernels.update(&optimizer(), 1e-3)?.grad_norm;
    let found_norm = tensors.update(&optimizer(), 1e-3)?.grad_norm;
    Ok([
        ("samples that differ", differ / pairs().count() as f64, SAMPLES_DIFFER),
        ("log-probs", largest_difference(&expected_scores, &found_scores), TOLERANCE),
        ("gradient norm", finite((found_norm - expected_norm).abs() / expected_norm), TOLERANCE),
        ("updated weights", largest_difference(kernels.values(), &tensors.values()?), TOLERANCE),
    ])
}

fn largest_difference(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let differences = a.iter().zip(b).map(|(a, b)| finite(f64::from((a - b).abs())));
    differences.fold(0.0, f64::max)
}

/// What is not a number differs as much as anything can.
fn finite(difference: f64) -> f64 {
    if difference.is_finite() { difference } else { f64::INFINITY }
}

fn dense() -> ModelPlan {
    ModelPlan {
        initial: InitialWeights::Random,
        tokenizer: TokenizerPlan::Vocabulary { pieces: (0..31).map(|i| i.to_string()).collect() },
        vocabulary_size: 32,
        hidden_size: 64,
        layers: 2,
        context_length: 64,
        attention: AttentionPlan::Gqa(GqaPlan::llama(4, 2, 16)),
        feed_forward: FeedForwardPlan::swiglu(96),
        head: HeadPlan::Vocabulary,
        tie_embeddings: true,
        rope: RopePlan::unscaled(1e4, RopePairs::Halves),
        norm_eps: 1e-6,
        init_std: 0.1,
        precision: Precision::F32,
        recompute_activations: false,
        lora: None,
        mtp: None,
    }
}

fn moe() -> ModelPlan {
    ModelPlan {
        attention: AttentionPlan::Mla(MlaPlan {
            heads: 4,
            q_lora_rank: Some(24),
            kv_lora_rank: 16,
            qk_nope_head_dim: 16,
            qk_rope_head_dim: 8,
            v_head_dim: 16,
            latent_norm_eps: 1e-6,
            bias: false,
        }),
        feed_forward: FeedForwardPlan::Moe(MoePlan {
            routed_experts: 8,
            shared_intermediate_size: 32,
            shared_gated: false,
            scoring: Scoring::Sigmoid,
            selection_bias: true,
            group_score: GroupScore::TopTwo,
            experts_per_token: 2,
            expert_intermediate_size: 32,
            groups: 4,
            groups_per_token: 2,
            normalize_affinities: true,
            routed_scaling: 1.5,
            bias_update_speed: 0.001,
            balance_loss: 0.01,
            dense_layers: Vec::new(),
            dense_intermediate_size: 96,
        }),
        tie_embeddings: false,
        rope: RopePlan::unscaled(1e4, RopePairs::Neighbours),
        ..dense()
    }
}

fn requests() -> Vec<GenerateRequest> {
    let request = |index: u64| GenerateRequest {
        prompt: (0..=2 * index as u32).map(|token| (7 * token + index as u32) % 31).collect(),
        samples: 4,
        address: index,
        lengths: Vec::new(),
    };
    (1..7).map(request).collect()
}

fn sampling() -> SamplingPlan {
    SamplingPlan { temperature: 0.8, top_k: 0, top_p: 1.0, min_p: 0.0, max_tokens: 24 }
}

fn optimizer() -> OptimizerPlan {
    OptimizerPlan {
        lr: 1e-3,
        schedule: SchedulePlan { kind: ScheduleKind::Constant, warmup_steps: 0, final_ratio: 1.0 },
        beta1: 0.9,
        beta2: 0.95,
        // Large enough that a gradient of rounding errors alone moves no weight.
        eps: 1e-4,
        weight_decay: 0.01,
        grad_clip: 1.0,
    }
}

fn batch(requests: &[GenerateRequest], completions: &[Vec<Completion>]) -> TrainingBatch {
    let mut sequences = Vec::new();
    for (request, completions) in requests.iter().zip(completions) {
        let sequence = |one: &Completion| TrainingSequence::new(&request.prompt, &one.tokens);
        sequences.extend(completions.iter().map(sequence).map(Arc::new));
    }
    TrainingBatch { sequences, micro_batch_size: 8, temperature: 0.8, share_prompts: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_all(device: &Device) {
        for found in run(device).unwrap() {
            println!("{}: {:.2e}", found.name, found.difference);
            assert!(found.difference <= found.tolerance, "{found:?}");
        }
    }

    #[test]
    fn a_step_on_tensors_is_a_step_on_kernels() {
        assert_all(&Device::Cpu);
    }

    #[test]
    #[ignore = "needs a card"]
    fn a_step_on_a_card_is_a_step_on_kernels() {
        assert_all(&r1x_ops::parse_device("cuda:0").unwrap());
    }

    #[test]
    fn differences_count_what_is_not_a_number_and_what_is_missing() {
        assert_eq!(largest_difference(&[1.0, 2.0], &[1.5, 2.0]), 0.5);
        assert_eq!(largest_difference(&[1.0, f32::NAN], &[1.0, 2.0]), f64::INFINITY);
        assert_eq!(largest_difference(&[1.0], &[]), f64::INFINITY);
    }
}
