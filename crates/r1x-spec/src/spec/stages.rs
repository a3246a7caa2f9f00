//! The keys of stages.

use r1x_core::plan::{
    AdvantageKind, Aggregation, CombineOrder, KlEstimator, KlPlace, Preference, RatioLevel,
    ScheduleKind, Truncated,
};

use super::critic::CriticSpec;
use super::distill::DistillSpec;
use super::merge::MergeSpec;
use super::pairs::{DpoSpec, RewardModelSpec};
use super::ranges::*;
use crate::algorithm::Algorithm;
use crate::lists::Dict;
use crate::loss_values::{ClipKind, ZeroSignalKind};
use crate::read::{At, one_of, record};
use crate::schema_tree::Range;
use crate::shaping_values::{Between, DataNames};
use crate::value_types::Name;

record! {
    /// One stage.
    pub struct StageSpec {
        /// The id of the stage.
        id: Name => required;
        /// The model that the stage works on, one of `models`. Left out, it is the policy.
        model: Name => optional;
        /// The weights that the stage begins with: `base`, which its model begins with, or the id of a stage above. Left
        /// out, they are those of the nearest stage above that works on the model too, and `base` where there is none. A `merge`
        /// says it under `parts`.
        weights: Name => optional;
        /// What it does.
        kind: StageKindSpec => flat;
    }
}

one_of! {
    /// What a stage does.
    pub enum StageKindSpec {
        /// Supervised fine-tuning on worked solutions.
        "sft" => Sft(SftSpec),
        /// Group-relative policy optimisation: reinforcement learning from rewards.
        "grpo" => Grpo(GrpoSpec),
        /// Rejection sampling: completions that pass filters become data for stages below.
        "reject" => Reject(RejectSpec),
        /// Training of a reward model: which of two responses is better.
        "reward_model" => RewardModel(RewardModelSpec),
        /// Direct preference optimisation: learning from pairs of completions without a reward.
        "dpo" => Dpo(DpoSpec),
        /// Distillation: a student learns the distributions of a teacher, token by token.
        "distill" => Distill(DistillSpec),
        /// The average of the weights of several stages.
        "merge" => Merge(MergeSpec),
        /// Evaluation and nothing else.
        "evaluate" => Evaluate(EvaluateSpec),
    }
}

record! {
    /// AdamW with gradient clipping and a learning-rate schedule.
    pub struct OptimizerSpec {
        /// The highest learning rate, which is reached at the end of the warm-up.
        lr: f64 => required, Range::above(0.0).to(1e30);
        /// The course of the learning rate over the steps of the stage.
        schedule: ScheduleSpec => nested;
        /// The decay of the first moment, per update.
        beta1: f64 => default(0.9), MOMENT_DECAY;
        /// The decay of the second moment, per update.
        beta2: f64 => default(0.95), MOMENT_DECAY;
        /// The number added to the root of the second moment, so that nothing is divided by 0.
        eps: f64 => default(1e-8), Range::from(1e-30).to(1.0);
        /// The decay of weight matrices, per update and times the learning rate. It is decoupled from the gradient.
        weight_decay: f64 => default(0.0), FACTOR;
        /// The largest norm of the gradient over all weights; a longer gradient is scaled down to it. 0 turns it
        /// off.
        grad_clip: f64 => default(1.0), Range::from(1e-9).to(1e30).or_zero();
    }
}

record! {
    /// Course of a learning rate or weight: a linear warm-up, then a decay to `final_ratio`.
    pub struct ScheduleSpec {
        /// The course after the warm-up.
        kind: ScheduleKind => default(ScheduleKind::Constant);
        /// The number of steps in which the value rises to its highest in equal parts, the last of which is the highest.
        warmup_steps: u64 => default(0), COUNT_OR_NONE;
        /// What the course ends at, as a share of the highest value. `constant` does not use it.
        final_ratio: f64 => default(0.0), SHARE;
    }
}

record! {
    /// Supervised fine-tuning on worked solutions.
    pub struct SftSpec {
        /// The problems, which must have worked solutions: `<data id>.train`, where the id may be
        /// that of a stage above that makes data, or a list of such, whose problems are mixed, or a map from such to their parts in a mixture.
        data: DataNames => required;
        /// How many problems are left out from the start of the split, for one data set only. Left out, none are.
        skip: usize => optional, COUNT;
        /// How many problems are used after those, for one data set only. Left out, all are.
        limit: usize => optional, COUNT;
        /// The number of optimizer updates. Left out, `epochs` says how many there are.
        steps: u64 => optional, COUNT;
        /// How often the problems are gone through, in place of `steps`: the updates are as many as that takes, the last of
        /// which goes on into the next pass where its batch is not full. Left out, `steps` are counted.
        epochs: f64 => optional, Range::above(0.0).to(1e6);
        /// The number of sequences in an update.
        batch_size: usize => required, SIZE;
        /// The number of sequences that are computed together, which decides how much memory it takes. Left out, it
        /// is 32, or `batch_size` where that is smaller.
        micro_batch_size: usize => optional, SIZE;
        /// AdamW.
        optimizer: OptimizerSpec => flat;
    }
}

record! {
    /// Group-relative policy optimisation (DeepSeekMath, DeepSeek-R1).
    pub struct GrpoSpec {
        /// The problems, `<data id>.train`, where the id may be that of a stage above that makes data, or a list of
        /// such, whose problems are mixed, or a map from such to their parts in a mixture.
        data: DataNames => required;
        /// How many problems are left out from the start of the split, for one data set only. Left out, none are.
        skip: usize => optional, COUNT;
        /// How many problems are used after those, for one data set only. Left out, all are.
        limit: usize => optional, COUNT;
        /// The ids of the rewards that make up the total.
        rewards: Vec<At<Name>> => required;
        /// The number of steps, each of which samples one batch of rollouts and learns from it.
        steps: u64 => required, COUNT;
        /// The number of prompts in a step.
        prompts_per_step: usize => required, SIZE;
        /// The number of rollouts of each prompt, which are compared with each other unless a critic is asked.
        group_size: usize => required, SIZE;
        /// How rollouts are sampled.
        sampling: SamplingSpec => required;
        /// The number of passes over each batch of rollouts.
        epochs: usize => default(1), PARTS;
        /// The number of optimizer updates that a pass is split into.
        updates_per_epoch: usize => default(1), SIZE;
        /// The number of sequences that are computed together, which decides how much memory it takes. Left out, it
        /// is 32, or those of an update where they are fewer.
        micro_batch_size: usize => optional, SIZE;
        /// AdamW.
        optimizer: OptimizerSpec => flat;
        /// A published algorithm, whose choices are the defaults of `advantage.kind`, `ratio`, `clip`, `aggregation`,
        /// `zero_signal` and `kl.in`, or a system, whose own defaults are those of `advantage.eps`, `kl.coef`, `kl.estimator`
        /// and `sampling.temperature` too; each may be written all the same. Left out, the defaults are those of this page.
        algorithm: Algorithm => optional;
        /// How totals become advantages.
        advantage: AdvantageSpec => nested;
        /// The model that advantages of the kind `gae` are estimated with. Left out, there is none.
        critic: CriticSpec => optional;
        /// What the probability ratio between the policy that learns and the one that sampled is taken of.
        ratio: RatioLevel => default(RatioLevel::Token);
        /// What holds the probability ratio near 1.
        clip: ClipSpec => nested;
        /// The penalty on moving away from a reference policy.
        kl: KlSpec => nested;
        /// What the entropy of the policy has to do with learning.
        entropy: EntropySpec => nested;
        /// How the losses of tokens become one number.
        aggregation: Aggregation => default(Aggregation::TokenMean);
        /// What happens to groups whose totals are all equal, from which nothing can be learned.
        zero_signal: ZeroSignalKind => default(ZeroSignalKind::Keep);
        /// The most problems that a step draws with `zero_signal: resample`, in batches of `prompts_per_step`: those that it
        /// begins with are the first. A step that has drawn them learns from the groups that it has. Left out, it is 10.
        max_batches: usize => optional, Range::from(2.0).to(1000.0);
        /// What happens to completions that the token limit ended.
        truncated: Truncated => default(Truncated::Keep);
        /// Whether the prompt of a group is computed once for all its completions in training, as it is in
        /// sampling.
        share_prompts: bool => default(true);
    }
}

record! {
    /// Rejection sampling (DeepSeek-R1): the completions that pass every filter become the worked problems of a data set
    /// that has the id of the stage.
    pub struct RejectSpec {
        /// The problems, `<data id>.train`, where the id may be that of a stage above that makes data, or a list of
        /// such, whose problems are mixed, or a map from such to their parts in a mixture.
        data: DataNames => required;
        /// How many problems are left out from the start of the split, for one data set only. Left out, none are.
        skip: usize => optional, COUNT;
        /// How many problems are used after those, for one data set only. Left out, all are.
        limit: usize => optional, COUNT;
        /// The ids of the rewards that score every completion.
        rewards: Vec<At<Name>> => required;
        /// The number of steps, each of which samples one batch of completions.
        steps: u64 => required, COUNT;
        /// The number of prompts in a step.
        prompts_per_step: usize => required, SIZE;
        /// The number of completions of each prompt.
        samples: usize => required, SIZE;
        /// How completions are sampled.
        sampling: SamplingSpec => required;
        /// The least values with which a completion is kept, by the ids of rewards that the stage scores: as they count,
        /// inside a reward's `clip` and as its `only_if` lets them. Left out, it is kept whatever they are.
        keep: Dict<f64> => nested;
        /// What the text of a completion must not be like. A completion that the token limit ended, or without a word, is
        /// never kept.
        drop: DropSpec => nested;
        /// How many completions of a prompt must pass all of that for any of them to be kept: a prompt that the model hardly
        /// ever answers right, or nearly always, teaches it little. The rows of the stage are then prompts of a measured
        /// difficulty, which a `grpo` stage below may learn from.
        pass_rate: PassRateSpec => nested;
        /// The most completions that are kept of a prompt. Left out, all that pass are.
        per_prompt: usize => optional, SIZE;
        /// Which completions of a prompt are kept where more pass than may be.
        prefer: Preference => default(Preference::First);
    }
}

record! {
    /// What the text of a completion must not be like.
    pub struct DropSpec {
        /// Whether completions with a fenced block of code are dropped.
        code_blocks: bool => default(false);
        /// The most characters of a paragraph. Left out, paragraphs may be of any length.
        paragraph_above: usize => optional, COUNT;
        /// The largest share of runs of four words that occurred before in the completion. Left out, there is none.
        repetition_above: f64 => optional, SHARE;
        /// Whether completions are dropped whose answer another one has that is kept of the prompt already. The answer is all
        /// that stands behind the thought, or all of a completion without one.
        same_answer: bool => default(false);
        /// The similarity to a completion that is kept of the prompt already, from which on a completion is dropped: shared
        /// runs of four words over all of both. 1 drops what another one says word for word. Left out, nothing is compared.
        similarity_from: f64 => optional, Range::above(0.0).to(1.0);
    }
}

record! {
    /// The share of the completions of a prompt that pass.
    pub struct PassRateSpec {
        /// The least share of the completions of a prompt that pass. 0 means that no prompt is too hard.
        at_least: f64 => default(0.0), SHARE;
        /// The largest share of the completions of a prompt that pass. 1 means that no prompt is too easy.
        at_most: f64 => default(1.0), SHARE;
    }
}

record! {
    /// Evaluation only.
    pub struct EvaluateSpec {
        /// The ids of the suites to run.
        evals: Vec<At<Name>> => required;
    }
}

record! {
    /// How tokens are drawn.
    pub struct SamplingSpec {
        /// The temperature of the softmax. 0 takes the likeliest token.
        temperature: f64 => default(1.0), TEMPERATURE;
        /// The number of likeliest tokens that are kept. 0 keeps all.
        top_k: usize => default(0), COUNT_OR_NONE;
        /// The probability that the smallest set of likeliest tokens must reach to be kept. 1 keeps all.
        top_p: f64 => default(1.0), Range::from(0.001).to(1.0);
        /// The share of the likeliest token's probability that a token must have to be kept. 0 keeps all.
        min_p: f64 => default(0.0), DECAY;
        /// The longest completion, in tokens.
        max_tokens: usize => required, SIZE;
    }
}

record! {
    /// How totals become advantages.
    pub struct AdvantageSpec {
        /// The estimator.
        kind: AdvantageKind => default(AdvantageKind::GroupNormalized);
        /// The number added to the standard deviation, so that nothing is divided by 0.
        eps: f64 => default(1e-4), FACTOR;
        /// Whether the rewards of a rollout are added up first, or compared one by one.
        combine: CombineOrder => default(CombineOrder::SumThenNormalize);
        /// Whether the advantages of a step are divided by their standard deviation. Left out, they are with
        /// `normalize_then_sum` only.
        whiten: bool => optional;
        /// The bounds `[lowest, highest]` that totals are moved into. Left out, there are none.
        clip_total: Between => optional;
    }
}

record! {
    /// What holds the probability ratio near 1.
    pub struct ClipSpec {
        /// The kind of clipping, which decides what the other keys mean.
        kind: ClipKind => default(ClipKind::Pessimistic);
        /// The distance of the lower bound from 1, so that the ratio is held above 1 - `low`. A `weight` has no lower bound
        /// unless this is written; with `probability` it is how far the probability of a token may fall.
        low: f64 => default(0.2), SHARE;
        /// The distance of the upper bound from 1, so that the ratio is held below 1 + `high`. For a `weight` it is 4 unless
        /// it is written; with `probability` it is how far the probability of a token may rise.
        high: f64 => default(0.2), FACTOR;
        /// The largest ratio for negative advantages too (two-sided or dual clipping), `pessimistic` only. Left out, there
        /// is none.
        max_ratio: f64 => optional, Range::above(1.0).to(1e9);
        /// The largest mean of log sampled - log policy over the trained tokens of a sequence, in nats, up to which a
        /// negative advantage counts, with every kind. A sequence beyond it has no policy gradient. Left out, there is none.
        max_divergence: f64 => optional, Range::above(0.0).to(1e9);
        /// How steep the sigmoid is where the advantage is positive, `sigmoid` only. Left out, it is 1.
        tau_positive: f64 => optional, STEEPNESS;
        /// How steep the sigmoid is where the advantage is negative, `sigmoid` only. Left out, it is 1.05.
        tau_negative: f64 => optional, STEEPNESS;
    }
}

record! {
    /// The part of entropies in learning. The entropy at a token is that of the distribution that the token is drawn from, at
    /// the temperature of sampling.
    pub struct EntropySpec {
        /// The factor of the entropy at each trained token, which is taken off the loss so that the policy stays unsure. 0
        /// means no bonus.
        coef: f64 => default(0.0), FACTOR;
        /// The share of the trained tokens of a step that have a policy gradient: those with the highest entropy when they
        /// were sampled (arXiv 2506.01939). 1 means all of them.
        top_share: f64 => default(1.0), Range::above(0.0).to(1.0);
    }
}

record! {
    /// Penalty towards the reference policy, which is the policy the stage begins with.
    pub struct KlSpec {
        /// The factor of the penalty. 0 means that there is no reference policy at all.
        coef: f64 => default(0.0), FACTOR;
        /// Where the penalty is counted.
        r#in: KlPlace => default(KlPlace::Loss);
        /// The estimator of the divergence at each token. With `in: reward` it is k1 unless k2 or k3 is written; the mean of
        /// the log-probs' gradients, weighted by what is taken off, is then the gradient of the divergence with k1 alone.
        estimator: KlEstimator => default(KlEstimator::K3);
        /// The number of steps after which the current policy becomes the reference. Left out, the reference stays
        /// the policy that the stage began with.
        refresh_every: u64 => optional, COUNT;
        /// The share of the current policy in the reference that `refresh_every` makes; the rest is the reference before it.
        /// Left out, it is 1, and the reference is a copy.
        refresh_mix: f64 => optional, Range::above(0.0).to(1.0);
    }
}
