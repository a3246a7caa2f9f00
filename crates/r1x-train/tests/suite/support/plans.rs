//! Small plans to start from; tests change what they are about.
//!
//! Must not know what a test expects.

use std::collections::BTreeMap;

use r1x_core::Split;
use r1x_core::plan::*;

/// A run with these stages, three rewards and no evaluations.
pub fn run_plan(stages: Vec<StagePlan>) -> RunPlan {
    RunPlan {
        version: PlanVersion,
        name: "test".to_owned(),
        seed: 1,
        tags: Vec::new(),
        model: unused_model(),
        data: BTreeMap::new(),
        judges: BTreeMap::new(),
        rewards: vec![
            reward_plan("first", 1.0),
            reward_plan("stops", 0.5),
            reward_plan("flaky", 1.0),
            reward_plan("broken", 1.0),
            reward_plan("same", 1.0),
        ],
        stages,
        evals: Vec::new(),
        record: RecordPlan { text: true, tokens: true, logprobs: true },
        checkpoints: CheckpointPlan { every: None, keep: 2 },
    }
}

/// A reward by rule.
fn reward_plan(id: &str, weight: f64) -> RewardPlan {
    RewardPlan {
        id: id.to_owned(),
        plugin: String::new(),
        sha256: String::new(),
        weight,
        config: "{}".to_owned(),
        limits: LimitsPlan { time_ms: 1, time_per_rollout_ms: 1, memory_bytes: 1, fuel: None },
        on_failure: OnFailure::Mask,
        max_failed_share: 1.0,
        shaping: Default::default(),
        grant: Vec::new(),
    }
}

/// A GRPO stage called `rl`.
pub fn grpo_stage(plan: GrpoPlan) -> StagePlan {
    StagePlan { id: "rl".to_owned(), kind: StageKind::Grpo(plan) }
}

/// A supervised stage called `sft`.
pub fn sft_stage(plan: SftPlan) -> StagePlan {
    StagePlan { id: "sft".to_owned(), kind: StageKind::Sft(plan) }
}

/// A stage called `look` that evaluates the suite `digits`.
pub fn evaluate_stage() -> StagePlan {
    StagePlan {
        id: "look".to_owned(),
        kind: StageKind::Evaluate(EvaluatePlan { evals: vec!["digits".to_owned()] }),
    }
}

/// On-policy GRPO: 5 prompts × 8 rollouts of up to 2 tokens.
pub fn grpo_plan(steps: u64) -> GrpoPlan {
    GrpoPlan {
        data: vec![data()],
        rewards: vec!["first".to_owned(), "stops".to_owned()],
        steps,
        prompts_per_step: 5,
        group_size: 8,
        sampling: sampling(),
        epochs: 1,
        updates_per_epoch: 1,
        micro_batch_size: 16,
        optimizer: optimizer(0.2),
        advantage: AdvantagePlan {
            kind: AdvantageKind::GroupNormalized,
            eps: 1e-4,
            combine: Default::default(),
        },
        clip: ClipPlan { low: 0.2, high: 0.28, max_ratio: None },
        kl: KlPlan { coef: 0.0, estimator: KlEstimator::K3, refresh_every: None },
        aggregation: Aggregation::TokenMean,
        zero_signal: ZeroSignal::Keep,
        truncated: Truncated::Keep,
        share_prompts: false,
    }
}

/// Supervised training in batches of 4.
pub fn sft_plan(steps: u64) -> SftPlan {
    SftPlan { data: data(), steps, batch_size: 4, micro_batch_size: 2, optimizer: optimizer(0.1) }
}

/// A suite called `digits` with 4 samples per problem that runs in `evaluate` stages only.
pub fn eval_plan() -> EvalPlan {
    EvalPlan {
        id: "digits".to_owned(),
        data: DataRef { split: Split::Heldout, ..data() },
        samples: 4,
        sampling: sampling(),
        grade: "first".to_owned(),
        threshold: 1.0,
        pass_at: vec![1, 4],
        when: EvalWhen { start: false, stage_end: false, every: None },
        gate: BTreeMap::new(),
    }
}

fn data() -> DataRef {
    DataRef { data: "digits".to_owned(), split: Split::Train, skip: 0, limit: None }
}

fn sampling() -> SamplingPlan {
    SamplingPlan { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, max_tokens: 2 }
}

fn optimizer(lr: f64) -> OptimizerPlan {
    OptimizerPlan {
        lr,
        schedule: SchedulePlan { kind: ScheduleKind::Constant, warmup_steps: 0, final_ratio: 1.0 },
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weight_decay: 0.0,
        grad_clip: 0.0,
    }
}

/// The loop does not read it; the table policy has no shape.
fn unused_model() -> ModelPlan {
    ModelPlan {
        tokenizer: TokenizerPlan::Vocabulary { pieces: Vec::new() },
        hidden_size: 1,
        layers: 1,
        context_length: 8,
        attention: AttentionPlan::Gqa { heads: 1, kv_heads: 1, head_dim: 1 },
        feed_forward: FeedForwardPlan::Dense { intermediate_size: 1 },
        tie_embeddings: true,
        rope_theta: 1e4,
        norm_eps: 1e-6,
        init_std: 0.02,
        precision: Precision::F32,
        recompute_activations: false,
    }
}
