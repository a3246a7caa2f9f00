//! Tokens a second of sampling and of training, dense models of two sizes: `cargo bench -p r1x-model`.
//!
//! Sampling: 16 prompts of 32 tokens, 8 samples each, 128 new tokens. Training: 16 sequences of 160 tokens
//! forward, backward and through AdamW. The best of a few repetitions is printed. Must not know rewards or
//! stages.

use std::time::Instant;

use r1x_core::loss::{Loss, LossOutput, LossTotals};
use r1x_core::plan::{
    AttentionPlan, FeedForwardPlan, ModelPlan, OptimizerPlan, SamplingPlan, ScheduleKind,
    SchedulePlan, TokenizerPlan,
};
use r1x_core::port::GenerateRequest;
use r1x_core::{Policy, PortError, Rng, TrainingBatch, TrainingSequence};
use r1x_model::DecoderPolicy;

/// A gradient for every token, so that nothing can be left out.
struct EveryToken;

impl Loss for EveryToken {
    fn evaluate(&self, _: &TrainingSequence, logprobs: &[f32]) -> LossOutput {
        LossOutput { gradient: vec![-1e-3; logprobs.len()], totals: LossTotals::default() }
    }
}

/// Name, hidden size, layers, heads, key/value heads, inner width, vocabulary.
const MODELS: [(&str, usize, usize, usize, usize, usize, usize); 2] =
    [("small", 256, 4, 4, 2, 768, 512), ("big", 512, 8, 8, 4, 1536, 8192)];

fn plan(model: (&str, usize, usize, usize, usize, usize, usize)) -> ModelPlan {
    let (_, hidden_size, layers, heads, kv_heads, intermediate_size, vocabulary) = model;
    let pieces = (1..vocabulary).map(|token| format!("t{token}")).collect();
    ModelPlan {
        tokenizer: TokenizerPlan::Vocabulary { pieces },
        hidden_size,
        layers,
        context_length: 256,
        attention: AttentionPlan::Gqa { heads, kv_heads, head_dim: 64 },
        feed_forward: FeedForwardPlan::Dense { intermediate_size },
        tie_embeddings: true,
        rope_theta: 10_000.0,
        norm_eps: 1e-6,
        init_std: 0.02,
    }
}

/// Tokens that are no end of sequence.
fn tokens(count: u32, seed: u32, vocabulary: usize) -> Vec<u32> {
    (0..count).map(|t| (t * 37 + seed * 11) % (vocabulary as u32 - 1) + 1).collect()
}

fn generate(policy: &mut DecoderPolicy, vocabulary: usize) -> Result<f64, PortError> {
    let requests: Vec<_> = (0..16)
        .map(|i| GenerateRequest {
            prompt: tokens(32, i, vocabulary),
            samples: 8,
            address: i.into(),
        })
        .collect();
    let sampling =
        SamplingPlan { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, max_tokens: 128 };
    let mut best = 0.0f64;
    for seed in 0..3 {
        let start = Instant::now();
        let stream = Rng::new(seed).stream("bench");
        let groups = policy.generate(&requests, &sampling, stream)?;
        // A sample may end early by chance, so what was generated is counted.
        let count: usize = groups.iter().flatten().map(|c| c.tokens.len()).sum();
        best = best.max(count as f64 / start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn train(policy: &mut DecoderPolicy, vocabulary: usize) -> Result<f64, PortError> {
    let sequences = (0..16)
        .map(|i| TrainingSequence {
            tokens: tokens(161, i, vocabulary),
            prompt_len: 1,
            mask: vec![true; 160],
            sampled_logprobs: Vec::new(),
            reference_logprobs: Vec::new(),
            advantage: 1.0,
        })
        .collect();
    let batch = TrainingBatch { sequences, micro_batch_size: 8, temperature: 1.0 };
    let schedule = SchedulePlan { kind: ScheduleKind::Constant, warmup_steps: 0, final_ratio: 1.0 };
    let optimizer = OptimizerPlan {
        lr: 1e-4,
        schedule,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.01,
        grad_clip: 1.0,
    };
    let mut best = 0.0f64;
    for _ in 0..3 {
        let start = Instant::now();
        policy.accumulate(&batch, &EveryToken)?;
        policy.update(&optimizer, optimizer.lr)?;
        best = best.max(16.0 * 160.0 / start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("kernels: {:?}", r1x_ops::simd::level());
    println!(
        "{:<8} {:>8} {:>18} {:>18}",
        "model", "threads", "sampled tokens/s", "trained tokens/s"
    );
    for model in MODELS {
        for threads in [1, 2] {
            let mut policy = DecoderPolicy::new(&plan(model), 1, threads, std::env::temp_dir())?;
            let sampled = generate(&mut policy, model.6)?;
            let trained = train(&mut policy, model.6)?;
            println!("{:<8} {threads:>8} {sampled:>18.0} {trained:>18.0}", model.0);
        }
    }
    Ok(())
}
