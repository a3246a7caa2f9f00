//! The plan: what a spec becomes once nothing is implicit.
//!
//! Equal plans mean equal runs on the same code and kind of machine, so everything that can influence a
//! result is here, and nothing else (threads, paths of the store and of outputs are not). Must not know
//! YAML, nor where a value came from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::capability::{Capability, JudgePlan};
use crate::problem::Split;

mod shaping;

pub use shaping::{
    AppliesPlan, Bounds, ColumnPlan, CombineOrder, CombinePlan, CoursePlan, GatePlan, Otherwise,
    ShapingPlan, WeightPoint,
};

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    /// Name of the experiment; runs are called `name-word-word`.
    pub name: String,
    /// The seed of every stream.
    pub seed: u64,
    /// Labels for people.
    pub tags: Vec<String>,
    /// The policy.
    pub model: ModelPlan,
    /// Data sets by id.
    pub data: BTreeMap<String, DataPlan>,
    /// Frozen models that rewards may ask, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub judges: BTreeMap<String, JudgePlan>,
    /// Rewards in the order of the spec.
    pub rewards: Vec<RewardPlan>,
    /// Stages in order.
    pub stages: Vec<StagePlan>,
    /// Evaluation suites in order.
    pub evals: Vec<EvalPlan>,
    /// What of a rollout is kept.
    pub record: RecordPlan,
    /// When weights are saved.
    pub checkpoints: CheckpointPlan,
}

/// The policy: a decoder-only transformer trained from random weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelPlan {
    /// How text becomes tokens.
    pub tokenizer: TokenizerPlan,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Longest prompt plus completion, tokens.
    pub context_length: usize,
    /// Attention of every layer.
    pub attention: AttentionPlan,
    /// Feed-forward of every layer.
    pub feed_forward: FeedForwardPlan,
    /// Whether the output head shares the embedding matrix.
    pub tie_embeddings: bool,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Added to the mean square in RMSNorm.
    pub norm_eps: f64,
    /// Standard deviation of the initial weights.
    pub init_std: f64,
    /// What the factors of matrix products are; sums, master weights and moments are `f32` in both.
    pub precision: Precision,
    /// Compute a layer's activations again in the backward pass instead of keeping them. Changes memory and time,
    /// not results.
    pub recompute_activations: bool,
}

/// What the factors of matrix products are rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Nothing is rounded.
    F32,
    /// The 8 leading bits: twice the speed where the processor multiplies pairs of them.
    Bf16,
}

/// How text becomes tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenizerPlan {
    /// One token per listed piece of text (longest match first); blanks between pieces are kept only if listed.
    Vocabulary {
        /// The pieces, in token order after `<eos>` (0).
        pieces: Vec<String>,
    },
    /// A `tokenizer.json`.
    File {
        /// Where it is.
        path: String,
        /// sha256 of its bytes, hex.
        sha256: String,
        /// Its end-of-sequence token.
        eos: String,
    },
}

/// Attention shapes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionPlan {
    /// Grouped-query attention.
    Gqa {
        /// Query heads.
        heads: usize,
        /// Key/value heads; divides `heads`.
        kv_heads: usize,
        /// Width of a head.
        head_dim: usize,
    },
    /// Multi-head latent attention (DeepSeek-V2, section 2.1).
    Mla {
        /// Heads.
        heads: usize,
        /// Rank of the query compression; `None` projects queries directly.
        q_lora_rank: Option<usize>,
        /// Width of the cached latent.
        kv_lora_rank: usize,
        /// Width of a head's part without position.
        qk_nope_head_dim: usize,
        /// Width of the rotary part, shared by all heads on the key side.
        qk_rope_head_dim: usize,
        /// Width of a head's value.
        v_head_dim: usize,
    },
}

/// Feed-forward shapes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedForwardPlan {
    /// One SwiGLU.
    Dense {
        /// Its inner width.
        intermediate_size: usize,
    },
    /// DeepSeek-V3's mixture of experts.
    Moe(MoePlan),
}

/// DeepSeek-V3's mixture of experts: shared experts plus a sigmoid-gated top-k of routed ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MoePlan {
    /// Routed experts.
    pub routed_experts: usize,
    /// Shared experts, computed as one SwiGLU of their joint width; may be 0.
    pub shared_experts: usize,
    /// Routed experts per token.
    pub experts_per_token: usize,
    /// Inner width of one expert.
    pub expert_intermediate_size: usize,
    /// Groups the routed experts are split into.
    pub groups: usize,
    /// Groups a token may choose experts from.
    pub groups_per_token: usize,
    /// Whether the chosen gate values are divided by their sum.
    pub normalize_gate: bool,
    /// Factor on the routed experts' output.
    pub routed_scaling: f64,
    /// Step γ of the loss-free bias update, per optimizer update; 0 turns it off.
    pub bias_update_speed: f64,
    /// Factor α of the sequence-wise balance loss; 0 turns it off.
    pub balance_loss: f64,
    /// Leading layers that are dense instead.
    pub dense_layers: usize,
    /// Inner width of those.
    pub dense_intermediate_size: usize,
}

/// A data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataPlan {
    /// Where problems come from.
    pub source: SourcePlan,
    /// minijinja template of the prompt; the columns are its variables.
    pub prompt: String,
}

/// Where problems come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourcePlan {
    /// Generated Countdown problems.
    Countdown(CountdownPlan),
    /// A file of JSON lines.
    Jsonl {
        /// Where it is.
        path: String,
        /// sha256 of its bytes, hex.
        sha256: String,
        /// Share of the problems held out, chosen by hash of the canonical form.
        heldout: f64,
        /// Columns every row must have, by the names that the template and the rewards use; every column a row has
        /// where it is `None`.
        columns: Option<Vec<String>>,
        /// What the file calls columns that have another name here.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        renamed: BTreeMap<String, String>,
        /// Column with the worked completion, where there is one.
        solution: Option<String>,
        /// Column with the gold answer, where there is one.
        answer: Option<String>,
    },
}

/// How Countdown problems are generated. A problem is a multiset of numbers and a target reachable from them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountdownPlan {
    /// Fewest numbers in a problem.
    pub min_count: usize,
    /// Most numbers in a problem.
    pub max_count: usize,
    /// Smallest number.
    pub min_number: u32,
    /// Largest number.
    pub max_number: u32,
    /// Smallest target.
    pub min_target: u32,
    /// Largest target.
    pub max_target: u32,
    /// Allowed operations, a subset of `+-*/`.
    pub operations: String,
    /// Training problems.
    pub train: usize,
    /// Held-out problems; no canonical form is in both splits.
    pub heldout: usize,
    /// How worked solutions are written.
    pub trace: TraceStyle,
    /// Seed of the generator, apart from the run's seed so that seeds share their problems.
    pub seed: u64,
}

/// How worked solutions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceStyle {
    /// The steps of one solution.
    Steps,
    /// A search: failed tries first, then the solution.
    Search,
}

/// A reward plugin and its place in the total.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RewardPlan {
    /// Its id in the spec.
    pub id: String,
    /// Path of the component.
    pub plugin: String,
    /// sha256 of the component, hex.
    pub sha256: String,
    /// Weight in the total; where that has a course, its peak or its first point.
    pub weight: f64,
    /// JSON text handed to the plugin's `configure`.
    pub config: String,
    /// What it may use.
    pub limits: LimitsPlan,
    /// What a failure counts as.
    pub on_failure: OnFailure,
    /// Share of the rollouts scored together that may fail before the run stops; one always may. Plans made
    /// before there was such a bound had none.
    #[serde(default = "no_bound")]
    pub max_failed_share: f64,
    /// How its values enter the total.
    #[serde(default, skip_serializing_if = "ShapingPlan::is_plain")]
    pub shaping: ShapingPlan,
    /// What it may ask for beyond text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant: Vec<Capability>,
}

fn no_bound() -> f64 {
    1.0
}

/// What one reward plugin may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitsPlan {
    /// Milliseconds for a call, before the share per rollout.
    pub time_ms: u64,
    /// Milliseconds added per rollout in the call.
    pub time_per_rollout_ms: u64,
    /// Bytes of linear memory.
    pub memory_bytes: u64,
    /// Units of work for a call, the same on every machine; `None` counts none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
}

/// What a failed score counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Stop the run.
    Fail,
    /// No value: the rollout is left out of this reward.
    Mask,
    /// The value 0.
    Zero,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StagePlan {
    /// Its id in the spec.
    pub id: String,
    /// What it does.
    pub kind: StageKind,
}

/// What a stage does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "a plan has a few stages, and they are never moved in bulk"
)]
pub enum StageKind {
    /// Supervised fine-tuning on worked solutions.
    Sft(SftPlan),
    /// Group-relative policy optimisation.
    Grpo(GrpoPlan),
    /// Evaluation only.
    Evaluate(EvaluatePlan),
}

impl StageKind {
    /// The word used in specs and in the store.
    pub fn as_str(&self) -> &'static str {
        match self {
            StageKind::Sft(_) => "sft",
            StageKind::Grpo(_) => "grpo",
            StageKind::Evaluate(_) => "evaluate",
        }
    }
}

/// Which problems: a range of a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataRef {
    /// Data set id.
    pub data: String,
    /// Split of it.
    pub split: Split,
    /// Leave out this many problems from the start of the split.
    pub skip: usize,
    /// Use only the first `limit` problems after those.
    pub limit: Option<usize>,
}

/// Supervised fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SftPlan {
    /// Worked solutions.
    pub data: DataRef,
    /// Optimizer updates.
    pub steps: u64,
    /// Sequences per update.
    pub batch_size: usize,
    /// Sequences computed together.
    pub micro_batch_size: usize,
    /// Optimizer.
    pub optimizer: OptimizerPlan,
}

/// Group-relative policy optimisation (DeepSeekMath, section 4; DeepSeek-R1, section 2.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrpoPlan {
    /// Problems.
    pub data: DataRef,
    /// Further problems, mixed with those: a pass over the data has every one of all of them once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mixed: Vec<DataRef>,
    /// Ids of the rewards that are summed.
    pub rewards: Vec<String>,
    /// Steps: one batch of rollouts each.
    pub steps: u64,
    /// Prompts per step.
    pub prompts_per_step: usize,
    /// Rollouts per prompt.
    pub group_size: usize,
    /// How rollouts are sampled.
    pub sampling: SamplingPlan,
    /// Passes over each batch of rollouts.
    pub epochs: usize,
    /// Optimizer updates a pass is split into.
    pub updates_per_epoch: usize,
    /// Sequences computed together.
    pub micro_batch_size: usize,
    /// Optimizer.
    pub optimizer: OptimizerPlan,
    /// How totals become advantages.
    pub advantage: AdvantagePlan,
    /// Bounds of the probability ratio.
    pub clip: ClipPlan,
    /// Penalty towards the reference policy.
    pub kl: KlPlan,
    /// How token losses become one number.
    pub aggregation: Aggregation,
    /// What happens to groups whose totals are all equal.
    pub zero_signal: ZeroSignal,
    /// What happens to truncated completions.
    pub truncated: Truncated,
    /// Compute a group's prompt once for all its completions in training, as in sampling. The gradient is the
    /// same up to rounding.
    pub share_prompts: bool,
}

impl GrpoPlan {
    /// What `fixed_length` divides an update by: its share of the step's rollouts, groups that will be dropped
    /// included, times the longest completion. The same number in every update.
    pub fn fixed_length(&self) -> f64 {
        let rollouts = self.prompts_per_step * self.group_size;
        rollouts as f64 / self.updates_per_epoch as f64 * self.sampling.max_tokens as f64
    }
}

/// Evaluation only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluatePlan {
    /// Ids of the suites to run.
    pub evals: Vec<String>,
}

/// How tokens are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamplingPlan {
    /// Softmax temperature; 0 means greedy.
    pub temperature: f64,
    /// Keep only the `top_k` likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of likeliest tokens with at least this mass; 1 keeps all.
    pub top_p: f64,
    /// Keep tokens at least this likely relative to the likeliest; 0 keeps all.
    pub min_p: f64,
    /// Longest completion, tokens.
    pub max_tokens: usize,
}

/// AdamW (Loshchilov & Hutter) with clipping and a learning-rate schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizerPlan {
    /// Peak learning rate.
    pub lr: f64,
    /// Its course over the stage.
    pub schedule: SchedulePlan,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled decay of matrices (vectors are never decayed).
    pub weight_decay: f64,
    /// Largest global gradient norm; 0 turns clipping off.
    pub grad_clip: f64,
}

/// Course of the learning rate: linear warm-up, then a decay to `final_ratio`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchedulePlan {
    /// Shape after the warm-up.
    pub kind: ScheduleKind,
    /// Steps of the warm-up.
    pub warmup_steps: u64,
    /// Learning rate at the end, as a share of the peak.
    pub final_ratio: f64,
}

/// Shape of the decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// Stays at the peak.
    Constant,
    /// Straight line.
    Linear,
    /// Half a cosine.
    Cosine,
}

/// How totals become advantages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdvantagePlan {
    /// The estimator.
    pub kind: AdvantageKind,
    /// Added to the standard deviation.
    pub eps: f64,
    /// How the rewards of a rollout are put together.
    #[serde(default, skip_serializing_if = "CombinePlan::is_plain")]
    pub combine: CombinePlan,
}

/// The estimator of advantages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdvantageKind {
    /// (r − mean) / (std + eps) inside the group: GRPO.
    GroupNormalized,
    /// r − mean inside the group: Dr.GRPO.
    GroupCentered,
    /// r − mean of the other rollouts: RLOO.
    LeaveOneOut,
}

/// Bounds of the probability ratio ρ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipPlan {
    /// Lower bound is 1 − low.
    pub low: f64,
    /// Upper bound is 1 + high.
    pub high: f64,
    /// Two-sided clipping: ρ itself is capped at this value for negative advantages too.
    pub max_ratio: Option<f64>,
}

/// Penalty towards the reference policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KlPlan {
    /// Its factor β; 0 means no reference policy at all.
    pub coef: f64,
    /// Estimator.
    pub estimator: KlEstimator,
    /// The reference becomes the current policy every so many steps; `None` keeps the stage's first weights.
    pub refresh_every: Option<u64>,
}

/// Schulman's estimators of KL(π‖ref) from one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlEstimator {
    /// −d, with d = log ref − log π. As a term of the loss its gradient is 0 on average.
    K1,
    /// d²/2.
    K2,
    /// exp(d) − 1 − d; a straight line beyond 10 nats.
    K3,
}

/// How token losses become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Mean over tokens in a sequence, then over sequences with a trained token (GRPO).
    SequenceMean,
    /// Mean over all trained tokens of the update (DAPO).
    TokenMean,
    /// Sum divided by planned rollouts × `max_tokens`, a constant (Dr.GRPO).
    FixedLength,
}

impl Aggregation {
    /// What the token losses of an update are divided by, in words.
    pub fn divisor(self) -> &'static str {
        match self {
            Aggregation::SequenceMean => {
                "each sequence by its trained tokens, then by the sequences that have any"
            }
            Aggregation::TokenMean => "by the trained tokens of the update",
            Aggregation::FixedLength => "by planned rollouts x max_tokens, whatever was sampled",
        }
    }
}

/// What happens to groups whose totals are all equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroSignal {
    /// They stay in the batch with advantage 0, and count in the denominators.
    Keep,
    /// They are left out of the update.
    Drop,
}

/// What happens to truncated completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truncated {
    /// They are trained on like the others.
    Keep,
    /// Their tokens are left out of the loss; their rewards still count in the group.
    Mask,
}

/// An evaluation suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalPlan {
    /// Its id in the spec.
    pub id: String,
    /// Problems.
    pub data: DataRef,
    /// Samples per problem.
    pub samples: usize,
    /// How they are sampled.
    pub sampling: SamplingPlan,
    /// Reward whose value decides.
    pub grade: String,
    /// A sample is correct when the grade is at least this.
    pub threshold: f64,
    /// The k of each reported pass@k, ascending, none above `samples`.
    pub pass_at: Vec<usize>,
    /// When it runs besides `evaluate` stages that name it.
    pub when: EvalWhen,
    /// Lowest acceptable final values by metric name; missing one exits 5.
    pub gate: BTreeMap<String, f64>,
}

/// When a suite runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalWhen {
    /// Before the first stage.
    pub start: bool,
    /// After every training stage.
    pub stage_end: bool,
    /// Every so many steps inside training stages.
    pub every: Option<u64>,
}

/// What of a rollout is kept besides its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordPlan {
    /// Completion text.
    pub text: bool,
    /// Token ids.
    pub tokens: bool,
    /// Log-prob per token.
    pub logprobs: bool,
}

/// When weights are saved. The end of every training stage always is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointPlan {
    /// Every so many steps; `None` saves at stage ends only.
    pub every: Option<u64>,
    /// Periodic checkpoints kept per stage.
    pub keep: usize,
}
