//! Small plans to start from; tests change what they are about.

use r1x_core::plan::*;
pub use r1x_core::testing::{grpo_stage, sft_stage};
use r1x_core::{Split, testing};

/// A run with these stages, three rewards and no evaluations.
pub fn run_plan(stages: Vec<StagePlan>) -> RunPlan {
    RunPlan {
        rewards: vec![
            reward_plan("first", 1.0),
            reward_plan("stops", 0.5),
            reward_plan("flaky", 1.0),
            reward_plan("broken", 1.0),
            reward_plan("same", 1.0),
        ],
        checkpoints: CheckpointPlan { every: None, keep: 2 },
        ..testing::run(stages)
    }
}

/// A reward by rule.
fn reward_plan(id: &str, weight: f64) -> RewardPlan {
    RewardPlan { weight, on_failure: OnFailure::Mask, ..testing::reward(id) }
}

/// A stage called `look` that evaluates the suite `digits`.
pub fn evaluate_stage() -> StagePlan {
    testing::stage("look", StageKind::Evaluate(EvaluatePlan { evals: vec!["digits".to_owned()] }))
}

/// On-policy GRPO: 5 prompts × 8 rollouts of up to 2 tokens.
pub fn grpo_plan(steps: u64) -> GrpoPlan {
    GrpoPlan {
        data: vec![data()],
        rewards: vec!["first".to_owned(), "stops".to_owned()],
        prompts_per_step: 5,
        group_size: 8,
        sampling: testing::sampling(2),
        epochs: 1,
        updates_per_epoch: 1,
        micro_batch_size: 16,
        optimizer: optimizer(0.2),
        advantage: AdvantagePlan {
            eps: 1e-4,
            ..testing::advantage(AdvantageKind::GroupNormalized)
        },
        loss: LossPlan::Surrogate(SurrogatePlan {
            clip: ClipPlan::Pessimistic(RatioBounds { high: 0.28, ..testing::clip() }),
            ..testing::surrogate()
        }),
        ..testing::grpo(steps)
    }
}

/// Supervised training in batches of 4.
pub fn sft_plan(steps: u64) -> SftPlan {
    SftPlan {
        data: vec![data()],
        batch_size: 4,
        micro_batch_size: 2,
        optimizer: optimizer(0.1),
        ..testing::sft(steps)
    }
}

/// A stage called `harvest`.
pub fn reject_stage(plan: RejectPlan) -> StagePlan {
    testing::stage("harvest", StageKind::Reject(plan))
}

/// Rejection sampling: 5 prompts × 8 completions of up to 2 tokens, of which the right ones that stop are kept.
pub fn reject_plan(steps: u64) -> RejectPlan {
    RejectPlan {
        data: vec![data()],
        rewards: vec!["first".to_owned(), "stops".to_owned()],
        prompts_per_step: 5,
        samples: 8,
        sampling: testing::sampling(2),
        keep: vec![LeastPlan { reward: "first".to_owned(), at_least: 1.0 }],
        per_prompt: 8,
        ..testing::reject(steps)
    }
}

/// A suite called `digits` with 4 samples per problem that runs in `evaluate` stages only.
pub fn eval_plan() -> EvalPlan {
    EvalPlan {
        data: DataRef { split: Split::Heldout, ..data() },
        samples: 4,
        sampling: testing::sampling(2),
        grade: "first".to_owned(),
        threshold: 1.0,
        pass_at: vec![1, 4],
        ..testing::eval("digits")
    }
}

fn data() -> DataRef {
    testing::data_ref("digits")
}

fn optimizer(lr: f64) -> OptimizerPlan {
    OptimizerPlan { beta2: 0.99, grad_clip: 0.0, ..testing::optimizer(lr) }
}
