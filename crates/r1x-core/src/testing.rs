//! Small plans and ports for tests, examples, measurements and fuzzing, each kind of plan written out once in the whole
//! repository.
//!
//! A plan has no defaults, so a plan written out says every field. A test is about a few of them: it names these and
//! takes the others from here, as in `GrpoPlan { group_size: 2, ..testing::grpo(5) }`. A new field then costs one line
//! here, and a test shows what it depends on. So no test may rest on a value that it does not name itself, the
//! arguments of these functions aside. Compiled for tests of this crate and with the feature `testing` only; what is
//! shipped cannot reach it.

mod ports;

use std::collections::BTreeMap;

use crate::plan::{
    AdvantageKind, AdvantagePlan, Aggregation, AttentionPlan, CheckpointPlan, ClipPlan,
    CombinePlan, CountdownPlan, DataRef, DistillPlan, DistillationPlan, DistilledTexts,
    DivergencePlan, DpoPlan, DrawPlan, EvalPlan, EvalWhen, FeedForwardPlan, GqaPlan, GroupScore,
    GrpoPlan, HeadPlan, InitialWeights, JudgedBy, KlEstimator, KlPlace, KlPlan, Language,
    LeastPlan, LimitsPlan, LossPlan, ModelPlan, MoePlan, OnFailure, OptimizerPlan, OtherTokens,
    PassRatePlan, PlanVersion, PluginPlan, Precision, Preference, PreferenceKind, PreferencePlan,
    RatioBounds, RatioLevel, ReadPart, RecordPlan, RejectPlan, RetentionPlan, RewardLossPlan,
    RewardModelPlan, RewardPlan, RopePairs, RopePlan, RunPlan, SamplingPlan, ScheduleKind,
    SchedulePlan, Scoring, SftPlan, ShapingPlan, StageKind, StagePlan, SurrogatePlan, TeacherPlan,
    TextFilterPlan, TokenizerPlan, TraceStyle, Truncated, WeightsFrom, ZeroSignal, in_order,
};
use crate::problem::Split;

pub use ports::{ListedProblems, RuleRewarder, Ruled, by_rule, completion, outcome, problem};

/// A stage by itself; [`run`] gives it its place behind others.
pub fn stage(id: &str, kind: StageKind) -> StagePlan {
    StagePlan { id: id.to_owned(), model: None, weights: WeightsFrom::Base, kind }
}

/// A run with these stages, each beginning with the weights of the one before it, the model of [`tiny_model`], and no data, rewards or suites. Everything of a rollout is
/// recorded.
pub fn run(stages: Vec<StagePlan>) -> RunPlan {
    let stages = in_order(stages.into_iter().map(|stage| (stage.id, stage.kind)));
    RunPlan {
        version: PlanVersion,
        name: "test".to_owned(),
        seed: 1,
        tags: Vec::new(),
        model: tiny_model(),
        models: BTreeMap::new(),
        data: BTreeMap::new(),
        judges: BTreeMap::new(),
        rewards: Vec::new(),
        stages,
        evals: Vec::new(),
        record: RecordPlan { text: true, tokens: true, logprobs: true },
        retention: RetentionPlan::default(),
        checkpoints: CheckpointPlan { every: None, keep: 1 },
    }
}

/// A model of one narrow dense layer in `f32` that knows two words.
pub fn tiny_model() -> ModelPlan {
    ModelPlan {
        initial: InitialWeights::Random,
        tokenizer: numbers(2),
        vocabulary_size: 3,
        hidden_size: 8,
        layers: 1,
        context_length: 8,
        attention: AttentionPlan::Gqa(GqaPlan::llama(1, 1, 8)),
        feed_forward: FeedForwardPlan::swiglu(8),
        head: HeadPlan::Vocabulary,
        tie_embeddings: true,
        rope: RopePlan::unscaled(1e4, RopePairs::Halves),
        norm_eps: 1e-6,
        init_std: 0.02,
        precision: Precision::F32,
        recompute_activations: false,
        lora: None,
        mtp: None,
    }
}

/// A vocabulary of the numbers from 0, as many as `count` says.
pub fn numbers(count: usize) -> TokenizerPlan {
    TokenizerPlan::Vocabulary { pieces: (0..count).map(|number| number.to_string()).collect() }
}

/// A mixture of two experts, one of which a token uses, and a shared one; every layer is a mixture.
pub fn mixture() -> MoePlan {
    MoePlan {
        routed_experts: 2,
        shared_intermediate_size: 8,
        shared_gated: false,
        scoring: Scoring::Sigmoid,
        selection_bias: true,
        group_score: GroupScore::TopTwo,
        experts_per_token: 1,
        expert_intermediate_size: 8,
        groups: 1,
        groups_per_token: 1,
        normalize_affinities: true,
        routed_scaling: 1.0,
        bias_update_speed: 0.001,
        balance_loss: 0.0,
        dense_layers: Vec::new(),
        dense_intermediate_size: 8,
    }
}

/// Twenty Countdown problems of three small numbers to train on, and five held out.
pub fn countdown() -> CountdownPlan {
    CountdownPlan {
        min_count: 3,
        max_count: 3,
        min_number: 1,
        max_number: 9,
        min_target: 1,
        max_target: 30,
        operations: "+-*/".to_owned(),
        train: 20,
        heldout: 5,
        trace: TraceStyle::Steps,
        seed: 0,
    }
}

/// Twenty problems of a small task in English to train on, and five held out.
pub fn draw() -> DrawPlan {
    DrawPlan { train: 20, heldout: 5, languages: vec![Language::En], seed: 0 }
}

/// All training problems of a data set.
pub fn data_ref(data: &str) -> DataRef {
    DataRef { data: data.to_owned(), split: Split::Train, skip: 0, limit: None, parts: None }
}

/// A reward whose values are summed as they are. It names no component.
pub fn reward(id: &str) -> RewardPlan {
    RewardPlan {
        id: id.to_owned(),
        judged_by: JudgedBy::Plugin(plugin()),
        weight: 1.0,
        on_failure: OnFailure::Mask,
        max_failed_share: 1.0,
        shaping: ShapingPlan::default(),
    }
}

/// A plugin without a file that is granted nothing.
pub fn plugin() -> PluginPlan {
    PluginPlan {
        path: String::new(),
        sha256: String::new(),
        config: "{}".to_owned(),
        limits: limits(),
        grant: Vec::new(),
    }
}

/// Limits that no honest plugin reaches, however busy the machine is.
pub const fn limits() -> LimitsPlan {
    LimitsPlan { time_ms: 10_000, time_per_rollout_ms: 20, memory_bytes: 256 << 20, fuel: None }
}

/// A stage of GRPO called `rl`.
pub fn grpo_stage(plan: GrpoPlan) -> StagePlan {
    stage("rl", StageKind::Grpo(plan))
}

/// GRPO on the policy that samples: 4 prompts a step, 4 rollouts each, one update. The data set is called `data`, the
/// reward `reward`.
pub fn grpo(steps: u64) -> GrpoPlan {
    GrpoPlan {
        data: vec![data_ref("data")],
        rewards: vec!["reward".to_owned()],
        steps,
        prompts_per_step: 4,
        group_size: 4,
        sampling: sampling(4),
        epochs: 1,
        updates_per_epoch: 1,
        micro_batch_size: 4,
        optimizer: optimizer(1e-3),
        advantage: advantage(AdvantageKind::GroupNormalized),
        loss: LossPlan::Surrogate(surrogate()),
        zero_signal: ZeroSignal::Keep,
        truncated: Truncated::Keep,
        top_entropy_share: 1.0,
        share_prompts: false,
        critic: None,
    }
}

/// Distillation of a small plan's policy on what it begins with, over worked solutions.
pub fn distill(steps: u64) -> DistillPlan {
    let (divergence, other_tokens) = (DivergencePlan::ForwardKl, OtherTokens::None);
    DistillPlan {
        teacher: TeacherPlan { model: None, weights: WeightsFrom::Base },
        data: vec![data_ref("data")],
        texts: DistilledTexts::Solutions,
        steps,
        batch_size: 4,
        micro_batch_size: 4,
        optimizer: optimizer(1e-3),
        temperature: 1.0,
        top: 8,
        loss: DistillationPlan { divergence, other_tokens },
    }
}

/// An estimator of advantages over plain sums of rewards.
pub fn advantage(kind: AdvantageKind) -> AdvantagePlan {
    AdvantagePlan { kind, eps: 1e-4, combine: CombinePlan::default() }
}

/// The surrogate with the mean over tokens and no penalty.
pub fn surrogate() -> SurrogatePlan {
    let (ratio, aggregation) = (RatioLevel::Token, Aggregation::TokenMean);
    let clip = ClipPlan::Pessimistic(clip());
    SurrogatePlan { ratio, clip, max_divergence: None, kl: kl(), entropy_coef: 0.0, aggregation }
}

/// The surrogate that a stage learns with, to be changed.
///
/// # Panics
/// When the stage has another loss.
pub fn surrogate_of(plan: &mut GrpoPlan) -> &mut SurrogatePlan {
    match &mut plan.loss {
        LossPlan::Surrogate(surrogate) => surrogate,
        other => panic!("a surrogate, not {other:?}"),
    }
}

/// Ratios from 0.8 to 1.2.
pub fn clip() -> RatioBounds {
    RatioBounds { low: 0.2, high: 0.2, max_ratio: None }
}

/// No penalty, hence no reference policy.
pub fn kl() -> KlPlan {
    KlPlan {
        coef: 0.0,
        counted_in: KlPlace::Loss,
        estimator: KlEstimator::K3,
        refresh_every: None,
        refresh_mix: 1.0,
    }
}

/// A stage of supervised fine-tuning called `sft`.
pub fn sft_stage(plan: SftPlan) -> StagePlan {
    stage("sft", StageKind::Sft(plan))
}

/// Supervised fine-tuning in batches of 4 on a data set called `data`.
pub fn sft(steps: u64) -> SftPlan {
    SftPlan {
        data: vec![data_ref("data")],
        steps,
        batch_size: 4,
        micro_batch_size: 2,
        optimizer: optimizer(1e-3),
    }
}

/// Rejection sampling with 4 prompts a step and 4 completions of each, of which all that the reward `reward` gives 1 are
/// kept. The data set is called `data`.
pub fn reject(steps: u64) -> RejectPlan {
    RejectPlan {
        data: vec![data_ref("data")],
        rewards: vec!["reward".to_owned()],
        steps,
        prompts_per_step: 4,
        samples: 4,
        sampling: sampling(4),
        keep: vec![LeastPlan { reward: "reward".to_owned(), at_least: 1.0 }],
        text: TextFilterPlan::default(),
        pass_rate: PassRatePlan::ANY,
        per_prompt: 4,
        prefer: Preference::First,
    }
}

/// A stage that trains a reward model, called `judge`.
pub fn reward_model_stage(plan: RewardModelPlan) -> StagePlan {
    stage("judge", StageKind::RewardModel(plan))
}

/// Training of a reward model in batches of 4 pairs on a data set called `data`, without held-out figures.
pub fn reward_model(steps: u64) -> RewardModelPlan {
    RewardModelPlan {
        data: vec![data_ref("data")],
        heldout: Vec::new(),
        heldout_every: None,
        steps,
        batch_size: 4,
        micro_batch_size: 2,
        optimizer: optimizer(1e-3),
        loss: RewardLossPlan::Pair { margin: 0.0 },
        reads: ReadPart::Response,
        share_prompts: false,
    }
}

/// A stage of direct preference optimisation, called `dpo`.
pub fn dpo_stage(plan: DpoPlan) -> StagePlan {
    stage("dpo", StageKind::Dpo(plan))
}

/// Direct preference optimisation in batches of 4 pairs on a data set called `data`.
pub fn dpo(steps: u64) -> DpoPlan {
    let kind = PreferenceKind::Sigmoid { label_smoothing: 0.0 };
    DpoPlan {
        data: vec![data_ref("data")],
        steps,
        batch_size: 4,
        micro_batch_size: 2,
        optimizer: optimizer(1e-3),
        loss: PreferencePlan { kind, beta: 0.1 },
        share_prompts: false,
    }
}

/// A suite with one sample for each held-out problem of a data set called `data`, graded by a reward called `reward`.
/// It runs only in stages that name it.
pub fn eval(id: &str) -> EvalPlan {
    EvalPlan {
        id: id.to_owned(),
        data: DataRef { split: Split::Heldout, ..data_ref("data") },
        samples: 1,
        sampling: sampling(4),
        grade: "reward".to_owned(),
        threshold: 1.0,
        pass_at: vec![1],
        when: EvalWhen { start: false, stage_end: false, every: None },
        gate: BTreeMap::new(),
    }
}

/// Draws from the whole distribution at temperature 1.
pub fn sampling(max_tokens: usize) -> SamplingPlan {
    SamplingPlan { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, max_tokens }
}

/// AdamW at a constant rate, without decay of weights; gradients are cut at a norm of 1.
pub fn optimizer(lr: f64) -> OptimizerPlan {
    OptimizerPlan {
        lr,
        schedule: SchedulePlan { kind: ScheduleKind::Constant, warmup_steps: 0, final_ratio: 1.0 },
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.0,
        grad_clip: 1.0,
    }
}
