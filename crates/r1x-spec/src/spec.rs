//! The spec as it is written: every key with its type, range, default and meaning.
//!
//! This is the one declaration of the format; reader, merging, `--set` and JSON Schema follow it. Must not
//! know how a spec becomes a plan.

use serde_json::json;

use r1x_core::plan::{
    AdvantageKind, Aggregation, CombineOrder, KlEstimator, OnFailure, Otherwise, Precision,
    ScheduleKind, TraceStyle, Truncated, ZeroSignal,
};

use crate::grant::Grant;
use crate::lists::{Dict, IdList, Texts};
use crate::read::{At, one_of, record};
use crate::shape::Range;
use crate::shaping_terms::{Between, DataNames, Weight};
use crate::terms::{
    Bytes, Counts, DataName, Free, Gate, Interval, Moment, Name, Operations, PassAt,
};

/// Widths and lengths; the upper end keeps products of a few of them inside 64 bits.
const SIZE: Range = Range::from(1.0).to(1_048_576.0);
/// Counts of layers, heads, experts.
const PARTS: Range = Range::from(1.0).to(4_096.0);
/// Counts of steps and problems.
const COUNT: Range = Range::from(1.0).to(1e9);
/// The same, where none is allowed.
const MAYBE: Range = Range::from(0.0).to(1e9);
const POSITIVE: Range = Range::above(0.0);
const NOT_NEGATIVE: Range = Range::from(0.0);
/// Decays: 1 would never forget.
const DECAY: Range = Range::from(0.0).below(1.0);
const SHARE: Range = Range::from(0.0).to(1.0);
/// Numbers and targets of Countdown: exact arithmetic on them stays far inside 64 bits.
const COUNTDOWN: Range = Range::from(1.0).to(1_000_000.0);

record! {
    /// An r1x experiment: a model, data, rewards, and the stages that train it.
    pub struct RunSpec {
        /// Version of the spec format; 1.
        r1x: u64 => part, Range::from(1.0).to(1.0);
        /// Another spec, relative to this file, that this one adds to. Maps merge, lists of entries with ids
        /// merge by id, everything else is replaced; so is a map that holds one of several alternatives when
        /// another alternative is given. `null` drops an inherited key, `drop: true` an inherited entry.
        extends: String => optional;
        /// Name of the experiment; runs are called name-word-word.
        name: Name => part;
        /// Seed of every random stream.
        seed: u64 => soft(1);
        /// Labels for people.
        tags: Texts => soft(Texts::default());
        /// The policy, trained from random weights.
        model: ModelSpec => part;
        /// Data sets by id.
        data: Dict<DataSpec> => nested;
        /// Reward plugins by id.
        rewards: Dict<RewardSpec> => nested;
        /// Frozen models that rewards may ask, by name.
        judges: Dict<JudgeSpec> => nested;
        /// Stages in order.
        stages: IdList<StageSpec> => part;
        /// Evaluation suites in order.
        evals: IdList<EvalSpec> => nested;
        /// What of a rollout is kept besides its numbers.
        record: RecordSpec => nested;
        /// When weights are saved; the end of every training stage always is.
        checkpoints: CheckpointSpec => nested;
    }
}

record! {
    /// A decoder-only transformer.
    pub struct ModelSpec {
        /// How text becomes tokens.
        tokenizer: TokenizerSpec => required;
        /// Width of the residual stream.
        hidden_size: usize => required, SIZE;
        /// Decoder layers.
        layers: usize => required, PARTS;
        /// Longest prompt plus completion, tokens.
        context_length: usize => required, SIZE;
        /// Attention of every layer.
        attention: AttentionSpec => required;
        /// Feed-forward of every layer.
        feed_forward: FeedForwardSpec => required;
        /// Whether the output head shares the embedding matrix.
        tie_embeddings: bool => default(true);
        /// Base of the rotary frequencies.
        rope_theta: f64 => default(10_000.0), POSITIVE;
        /// Added to the mean square in RMSNorm.
        norm_eps: f64 => default(1e-6), POSITIVE;
        /// Standard deviation of the initial weights.
        init_std: f64 => default(0.02), POSITIVE;
        /// What the factors of matrix products are; sums, master weights and moments are f32 in both.
        precision: Precision => default(Precision::Bf16);
        /// Compute activations again in the backward pass instead of keeping them: less memory, the same results.
        recompute_activations: bool => default(false);
    }
}

record! {
    /// How text becomes tokens.
    pub struct TokenizerSpec {
        /// Where the vocabulary comes from.
        kind: TokenizerKind => flat;
        /// The end-of-sequence token of a tokenizer `file`.
        eos: String => optional;
    }
}

one_of! {
    /// Where the vocabulary comes from.
    pub enum TokenizerKind {
        /// Id of a data set, which builds a vocabulary for its problems.
        "data" => Data(Name),
        /// The pieces of text that are tokens, besides the end of the sequence.
        "vocabulary" => Vocabulary(Texts),
        /// Path of a `tokenizer.json`.
        "file" => File(String),
    }
}

one_of! {
    /// Attention of every layer.
    pub enum AttentionSpec {
        /// Grouped-query attention.
        "gqa" => Gqa(GqaSpec),
        /// Multi-head latent attention (DeepSeek-V2).
        "mla" => Mla(MlaSpec),
    }
}

record! {
    /// Grouped-query attention.
    pub struct GqaSpec {
        /// Query heads.
        heads: usize => required, PARTS;
        /// Key/value heads; divides `heads`.
        kv_heads: usize => required, PARTS;
        /// Width of a head; even.
        head_dim: usize => required, SIZE;
    }
}

record! {
    /// Multi-head latent attention (DeepSeek-V2).
    pub struct MlaSpec {
        /// Heads.
        heads: usize => required, PARTS;
        /// Rank of the query compression; left out, queries are projected directly.
        q_lora_rank: usize => optional, SIZE;
        /// Width of the cached latent.
        kv_lora_rank: usize => required, SIZE;
        /// Width of a head's part without position.
        qk_nope_head_dim: usize => required, SIZE;
        /// Width of the rotary part, shared by all heads on the key side; even.
        qk_rope_head_dim: usize => required, SIZE;
        /// Width of a head's value.
        v_head_dim: usize => required, SIZE;
    }
}

one_of! {
    /// Feed-forward of every layer.
    pub enum FeedForwardSpec {
        /// One SwiGLU.
        "dense" => Dense(DenseSpec),
        /// A mixture of experts (DeepSeek-V3).
        "moe" => Moe(MoeSpec),
    }
}

record! {
    /// One SwiGLU.
    pub struct DenseSpec {
        /// Its inner width.
        intermediate_size: usize => required, SIZE;
    }
}

record! {
    /// A mixture of experts (DeepSeek-V3): shared experts plus a sigmoid-gated choice of routed ones.
    pub struct MoeSpec {
        /// Routed experts.
        routed_experts: usize => required, PARTS;
        /// Shared experts, which see every token.
        shared_experts: usize => default(1), Range::from(0.0).to(4_096.0);
        /// Routed experts per token.
        experts_per_token: usize => required, PARTS;
        /// Inner width of one expert.
        expert_intermediate_size: usize => required, SIZE;
        /// Groups the routed experts are split into.
        groups: usize => default(1), PARTS;
        /// Groups a token may choose experts from.
        groups_per_token: usize => default(1), PARTS;
        /// Whether the chosen gate values are divided by their sum.
        normalize_gate: bool => default(true);
        /// Factor on the routed experts' output.
        routed_scaling: f64 => default(1.0), POSITIVE;
        /// Step of the loss-free bias update, per optimizer update; 0 turns it off.
        bias_update_speed: f64 => default(0.001), NOT_NEGATIVE;
        /// Factor of the sequence-wise balance loss; 0 turns it off.
        balance_loss: f64 => default(0.0001), NOT_NEGATIVE;
        /// Leading layers that are dense instead.
        dense_layers: usize => default(0), Range::from(0.0).to(4_096.0);
        /// Inner width of those; needed when there are any.
        dense_intermediate_size: usize => optional, SIZE;
    }
}

record! {
    /// A data set: problems in two disjoint splits, `train` and `heldout`.
    pub struct DataSpec {
        /// Where the problems come from.
        source: SourceSpec => flat;
        /// Template of the prompt (minijinja); the columns of a problem are its variables.
        prompt: String => required;
    }
}

one_of! {
    /// Where problems come from.
    pub enum SourceSpec {
        /// Generated problems of the Countdown numbers game.
        "countdown" => Countdown(CountdownSpec),
        /// A file with one JSON object per line.
        "jsonl" => Jsonl(JsonlSpec),
    }
}

record! {
    /// Generated problems of the Countdown numbers game: reach the target with the numbers.
    pub struct CountdownSpec {
        /// How many numbers a problem has: `3` or `[3, 4]`.
        count: Counts => required, Range::from(2.0).to(6.0);
        /// Smallest and largest number.
        numbers: Interval => required, COUNTDOWN;
        /// Smallest and largest target.
        target: Interval => required, COUNTDOWN;
        /// Allowed operations.
        operations: Operations => default(Operations("+-*/".to_owned()));
        /// Training problems.
        train: usize => required, COUNT;
        /// Held-out problems; none of them is a training problem in another order.
        heldout: usize => required, MAYBE;
        /// How worked solutions are written.
        trace: TraceStyle => default(TraceStyle::Steps);
        /// Seed of the generator, apart from the run's, so that runs with other seeds share their problems.
        seed: u64 => default(0);
    }
}

record! {
    /// A file with one JSON object per line.
    pub struct JsonlSpec {
        /// The file.
        path: String => required;
        /// Share of the problems that is held out, chosen by hash.
        heldout: f64 => default(0.1), DECAY;
        /// Columns every row must have.
        columns: Texts => default(Texts::default());
        /// Column with the worked completion; supervised stages need it.
        solution: String => optional;
        /// Column with the short gold answer.
        answer: String => optional;
    }
}

record! {
    /// A frozen model that rewards may ask.
    pub struct JudgeSpec {
        /// Its checkpoint: a folder that a run of r1x wrote.
        checkpoint: String => required;
        /// Its shape and tokenizer; those of the policy when left out.
        model: ModelSpec => optional;
    }
}

record! {
    /// A reward plugin and its place in the total.
    pub struct RewardSpec {
        /// Path of the WebAssembly component, or of a plugin's sources: a folder with a plugin.toml, or one file.
        plugin: String => required;
        /// Weight in the total: a number, or points `[{step, weight}, ...]` of a stage with straight lines
        /// between them.
        weight: Weight => default(Weight::Constant(1.0));
        /// Course of the weight over a stage, from which it is the peak; not beside points.
        schedule: ScheduleSpec => optional;
        /// Problems it judges, all when left out. It is not asked about others.
        r#for: ForSpec => optional;
        /// Bounds its value is moved into, `[lowest, highest]`; none when left out.
        clip: Between => optional;
        /// Another reward that decides whether it counts; it always does when left out.
        only_if: OnlyIfSpec => optional;
        /// What the plugin is configured with.
        with: Free => default(Free(json!({})));
        /// What it may use.
        limits: LimitsSpec => nested;
        /// What a failed score counts as.
        on_failure: OnFailure => default(OnFailure::Mask);
        /// Share of the rollouts scored together that may fail before the run stops; one always may.
        max_failed_share: f64 => default(0.01), SHARE;
        /// What its plugin may ask for beyond text.
        grant: Grant => default(Grant::default());
    }
}

record! {
    /// Problems a reward judges: those that meet every condition given.
    pub struct ForSpec {
        /// Ids of data sets they come from.
        data: Vec<At<Name>> => optional;
        /// A column that tells, beside `values`.
        column: String => optional;
        /// What it holds; a column with a list holds each of its entries.
        values: Texts => optional;
    }
}

record! {
    /// A gate: a reward counts only if another one reaches a bound.
    pub struct OnlyIfSpec {
        /// Id of the deciding reward. Where it has no value, the gated reward has none either.
        reward: Name => required;
        /// What it has to count at least.
        at_least: f64 => required;
        /// What the gated reward is when the deciding one counts less.
        otherwise: Otherwise => default(Otherwise::Zero);
    }
}

record! {
    /// What one reward plugin may use.
    pub struct LimitsSpec {
        /// Milliseconds for a call, before the share per rollout.
        time_ms: u64 => default(10_000), Range::from(1.0).to(3_600_000.0);
        /// Milliseconds added per rollout in the call.
        time_per_rollout_ms: u64 => default(20), Range::from(0.0).to(3_600_000.0);
        /// Memory of the plugin, in bytes or as 256MiB.
        memory_bytes: Bytes => default(Bytes(268_435_456)), Range::from(65_536.0).to(4_294_967_296.0);
        /// Units of work for a call, the same on every machine; costs a third of the speed.
        fuel: u64 => optional, Range::from(1.0).to(1e15);
    }
}

record! {
    /// One stage.
    pub struct StageSpec {
        /// Its id.
        id: Name => required;
        /// What it does.
        kind: StageKindSpec => flat;
    }
}

one_of! {
    /// What a stage does.
    pub enum StageKindSpec {
        /// Supervised fine-tuning on worked solutions.
        "sft" => Sft(SftSpec),
        /// Group-relative policy optimisation.
        "grpo" => Grpo(GrpoSpec),
        /// Evaluation only.
        "evaluate" => Evaluate(EvaluateSpec),
    }
}

record! {
    /// AdamW with gradient clipping and a learning-rate schedule.
    pub struct OptimizerSpec {
        /// Peak learning rate.
        lr: f64 => required, POSITIVE;
        /// Its course over the stage.
        schedule: ScheduleSpec => nested;
        /// Decay of the first moment.
        beta1: f64 => default(0.9), DECAY;
        /// Decay of the second moment.
        beta2: f64 => default(0.95), DECAY;
        /// Added to the root of the second moment.
        eps: f64 => default(1e-8), POSITIVE;
        /// Decoupled decay of matrices.
        weight_decay: f64 => default(0.0), NOT_NEGATIVE;
        /// Largest global gradient norm; 0 turns clipping off.
        grad_clip: f64 => default(1.0), NOT_NEGATIVE;
    }
}

record! {
    /// Course of a learning rate or weight: a linear warm-up, then a decay to `final_ratio`.
    pub struct ScheduleSpec {
        /// Shape after the warm-up.
        kind: ScheduleKind => default(ScheduleKind::Constant);
        /// Steps of the warm-up.
        warmup_steps: u64 => default(0), MAYBE;
        /// Where it ends, as a share of the peak; `constant` does not use it.
        final_ratio: f64 => default(0.0), SHARE;
    }
}

record! {
    /// Supervised fine-tuning on worked solutions.
    pub struct SftSpec {
        /// Problems with worked solutions, `<data id>.train`.
        data: DataName => required;
        /// Leave out so many problems from the start of the split; none when left out.
        skip: usize => optional, COUNT;
        /// Use only the first so many problems of the rest; all when left out.
        limit: usize => optional, COUNT;
        /// Optimizer updates.
        steps: u64 => required, COUNT;
        /// Sequences per update.
        batch_size: usize => required, SIZE;
        /// Sequences computed together; 32, or the batch where that is smaller, when left out.
        micro_batch_size: usize => optional, SIZE;
        /// AdamW.
        optimizer: OptimizerSpec => flat;
    }
}

record! {
    /// Group-relative policy optimisation (DeepSeekMath, DeepSeek-R1).
    pub struct GrpoSpec {
        /// Problems, `<data id>.train`, or a list of such data sets, which are mixed.
        data: DataNames => required;
        /// Leave out so many problems from the start of the split; none when left out. For one data set only.
        skip: usize => optional, COUNT;
        /// Use only the first so many problems of the rest; all when left out. For one data set only.
        limit: usize => optional, COUNT;
        /// Ids of the rewards that are summed.
        rewards: Vec<At<Name>> => required;
        /// Steps: one batch of rollouts each.
        steps: u64 => required, COUNT;
        /// Prompts per step.
        prompts_per_step: usize => required, SIZE;
        /// Rollouts per prompt.
        group_size: usize => required, SIZE;
        /// How rollouts are sampled.
        sampling: SamplingSpec => required;
        /// Passes over each batch of rollouts.
        epochs: usize => default(1), PARTS;
        /// Optimizer updates a pass is split into.
        updates_per_epoch: usize => default(1), SIZE;
        /// Sequences computed together; 32, or those of an update where that is smaller, when left out.
        micro_batch_size: usize => optional, SIZE;
        /// AdamW.
        optimizer: OptimizerSpec => flat;
        /// How totals become advantages.
        advantage: AdvantageSpec => nested;
        /// Bounds of the probability ratio.
        clip: ClipSpec => nested;
        /// Penalty towards the reference policy.
        kl: KlSpec => nested;
        /// How token losses become one number.
        aggregation: Aggregation => default(Aggregation::TokenMean);
        /// What happens to groups whose totals are all equal.
        zero_signal: ZeroSignal => default(ZeroSignal::Keep);
        /// What happens to truncated completions.
        truncated: Truncated => default(Truncated::Keep);
        /// Compute a group's prompt once for all its completions in training, as in sampling.
        share_prompts: bool => default(true);
    }
}

record! {
    /// Evaluation only.
    pub struct EvaluateSpec {
        /// Ids of the suites to run.
        evals: Vec<At<Name>> => required;
    }
}

record! {
    /// How tokens are drawn.
    pub struct SamplingSpec {
        /// Softmax temperature; 0 means greedy.
        temperature: f64 => default(1.0), NOT_NEGATIVE;
        /// Keep only so many of the likeliest tokens; 0 keeps all.
        top_k: usize => default(0), MAYBE;
        /// Keep the smallest set of likeliest tokens with at least this mass; 1 keeps all.
        top_p: f64 => default(1.0), Range::above(0.0).to(1.0);
        /// Keep tokens at least this likely relative to the likeliest; 0 keeps all.
        min_p: f64 => default(0.0), DECAY;
        /// Longest completion, tokens.
        max_tokens: usize => required, SIZE;
    }
}

record! {
    /// How totals become advantages.
    pub struct AdvantageSpec {
        /// The estimator.
        kind: AdvantageKind => default(AdvantageKind::GroupNormalized);
        /// Added to the standard deviation.
        eps: f64 => default(1e-4), NOT_NEGATIVE;
        /// Whether the rewards of a rollout are summed or compared first.
        combine: CombineOrder => default(CombineOrder::SumThenNormalize);
        /// Divide a step's advantages by their standard deviation; when left out, with normalize_then_sum only.
        whiten: bool => optional;
        /// Bounds totals are moved into, `[lowest, highest]`; none when left out.
        clip_total: Between => optional;
    }
}

record! {
    /// Bounds of the probability ratio.
    pub struct ClipSpec {
        /// The lower bound is 1 - low.
        low: f64 => default(0.2), SHARE;
        /// The upper bound is 1 + high.
        high: f64 => default(0.2), NOT_NEGATIVE;
        /// Cap of the ratio for negative advantages too (two-sided clipping); none when left out.
        max_ratio: f64 => optional, Range::above(1.0);
    }
}

record! {
    /// Penalty towards the reference policy, which is the policy the stage begins with.
    pub struct KlSpec {
        /// Its factor; 0 means no reference policy at all.
        coef: f64 => default(0.0), NOT_NEGATIVE;
        /// Estimator.
        estimator: KlEstimator => default(KlEstimator::K3);
        /// The reference becomes the current policy every so many steps; never when left out.
        refresh_every: u64 => optional, COUNT;
    }
}

record! {
    /// An evaluation suite.
    pub struct EvalSpec {
        /// Its id.
        id: Name => required;
        /// Problems, `<data id>.heldout`.
        data: DataName => required;
        /// Leave out so many problems from the start of the split; none when left out.
        skip: usize => optional, COUNT;
        /// Use only the first so many problems of the rest; all when left out.
        limit: usize => optional, COUNT;
        /// Samples per problem.
        samples: usize => default(1), SIZE;
        /// How they are sampled.
        sampling: SamplingSpec => required;
        /// Id of the reward whose value decides.
        grade: Name => required;
        /// A sample is correct when its grade is at least this.
        threshold: f64 => default(1.0);
        /// Figures: pass@1, pass@8 and so on; `[pass@1]` when left out.
        report: Vec<At<PassAt>> => optional;
        /// When the suite runs, besides `evaluate` stages that name it.
        when: WhenSpec => nested;
        /// Lowest acceptable final values by figure; missing one makes `r1x run` exit with 5.
        gate: Gate => nested, SHARE;
    }
}

record! {
    /// When a suite runs, besides `evaluate` stages that name it.
    pub struct WhenSpec {
        /// `start` (before the first stage), `stage_end` (after every training stage); `[stage_end]` when left out.
        at: Vec<At<Moment>> => optional;
        /// Every so many steps inside training stages.
        every: u64 => optional, COUNT;
    }
}

record! {
    /// What of a rollout is kept besides its numbers.
    pub struct RecordSpec {
        /// Completion text.
        text: bool => default(true);
        /// Token ids.
        tokens: bool => default(true);
        /// Log-probability of each token.
        logprobs: bool => default(true);
    }
}

record! {
    /// When weights are saved; the end of every training stage always is.
    pub struct CheckpointSpec {
        /// Every so many steps; at the ends of stages only when left out.
        every: u64 => optional, COUNT;
        /// Periodic checkpoints kept per stage.
        keep: usize => default(2), PARTS;
    }
}
