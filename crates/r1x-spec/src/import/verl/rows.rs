//! The keys of verl's `main_ppo`. Defaults are those of its configuration of January 2026; those that the name `verl-2026.08`
//! stands for were no others in August.

use crate::import::row::Group::{Devices, Files, Idle, Kernels, Loading, Logging, Sampler};
use crate::import::row::Method::Grpo;
use crate::import::row::Takes::{Anything, Flag, Number, Text, Texts, Whole};
use crate::import::row::{Row, Word};

const WARMUP: &str = "STAGE.schedule.warmup_steps";
const NO_IMAGES: &str = "r1x reads text alone: problems lose what is to be seen in them";
const NO_SCORE: &str = "r1x has no such loss; the bounds of PPO were written";

const SCHEDULES: &[Word] = &[
    Word::is("constant", &[("STAGE.schedule.kind", "constant")]),
    Word::is("cosine", &[("STAGE.schedule.kind", "cosine")]),
];

/// Schedules of Megatron.
const DECAYS: &[Word] = &[
    Word::is("constant", &[("STAGE.schedule.kind", "constant")]),
    Word::is("linear", &[("STAGE.schedule.kind", "linear")]),
    Word::is("cosine", &[("STAGE.schedule.kind", "cosine")]),
    Word::is("inverse_square_root", &[("STAGE.schedule.kind", "constant")])
        .lacking("r1x has no such course; a constant rate was written"),
    Word::is("inverse-square-root", &[("STAGE.schedule.kind", "constant")])
        .lacking("r1x has no such course; a constant rate was written"),
];

const LOSSES: &[Word] = &[
    Word::is("vanilla", &[("STAGE.clip.kind", "pessimistic"), ("STAGE.ratio", "token")]),
    Word::is("gspo", &[("STAGE.clip.kind", "pessimistic"), ("STAGE.ratio", "sequence_token")])
        .but("its ratio is at most e^10 in verl"),
    Word::is("sapo", &[("STAGE.clip.kind", "sigmoid"), ("STAGE.ratio", "token")]),
    Word::is("cispo", &[("STAGE.clip.kind", "weight"), ("STAGE.ratio", "token")])
        .but("verl bounds the weight on both sides, and so does the spec"),
    Word::is("dppo_tv", &[("STAGE.clip.kind", "probability"), ("STAGE.ratio", "token")])
        .but("how far a probability may move is taken from the bounds of the ratio"),
    Word::is("geo_mean", &[("STAGE.clip.kind", "pessimistic"), ("STAGE.ratio", "sequence")])
        .lacking("r1x clips the ratio of a sequence, and not those of its tokens before their mean; GSPO's was written"),
    Word::is("gpg", &[("STAGE.clip.kind", "pessimistic"), ("STAGE.ratio", "token")]).lacking(NO_SCORE),
    Word::is("clip_cov", &[("STAGE.clip.kind", "pessimistic"), ("STAGE.ratio", "token")]).lacking(NO_SCORE),
    Word::is("kl_cov", &[("STAGE.clip.kind", "pessimistic"), ("STAGE.ratio", "token")]).lacking(NO_SCORE),
    Word::is("dppo_kl", &[("STAGE.clip.kind", "pessimistic"), ("STAGE.ratio", "token")]).lacking(NO_SCORE),
    Word::is("bypass_mode", &[("STAGE.clip.kind", "pessimistic"), ("STAGE.ratio", "token")]).lacking(NO_SCORE),
];

const AGGREGATIONS: &[Word] = &[
    Word::is("token-mean", &[("STAGE.aggregation", "token_mean")]),
    Word::is("seq-mean-token-mean", &[("STAGE.aggregation", "sequence_mean")]),
    Word::is("seq-mean-token-sum", &[("STAGE.aggregation", "fixed_length")])
        .but("r1x divides by the longest completion as well: a constant factor, which AdamW does not see and `grad_clip` does"),
    Word::is("seq-mean-token-sum-norm", &[("STAGE.aggregation", "fixed_length")]),
];

const ESTIMATORS: &[Word] = &[
    Word::is("grpo", &[]),
    Word::is("grpo_vectorized", &[]),
    Word::is("gae", &[("STAGE.advantage.kind", "gae")]),
    Word::is("rloo", &[("STAGE.advantage.kind", "leave_one_out")]),
    Word::is("rloo_vectorized", &[("STAGE.advantage.kind", "leave_one_out")]),
    Word::is("reinforce_plus_plus", &[("STAGE.advantage.kind", "batch_normalized")]),
    Word::is(
        "reinforce_plus_plus_baseline",
        &[("STAGE.advantage.kind", "group_centered"), ("STAGE.advantage.whiten", "true")],
    ),
    Word::is(
        "gdpo",
        &[
            ("STAGE.advantage.kind", "group_normalized"),
            ("STAGE.advantage.combine", "normalize_then_sum"),
        ],
    ),
    Word::is("grpo_passk", &[])
        .lacking("r1x has no advantage of the best alone; GRPO's was written"),
    Word::is("opo", &[("STAGE.advantage.kind", "group_centered")])
        .lacking("r1x has no baseline by length; the mean of the group was written"),
    Word::is("gpg", &[("STAGE.advantage.kind", "group_centered")])
        .lacking("r1x has no factor for groups without signal; the mean of the group was written"),
    Word::is("remax", &[("STAGE.advantage.kind", "leave_one_out")]).lacking(
        "r1x samples no greedy completion to compare with; the others of the group were written",
    ),
    Word::is("optimal_token_baseline", &[("STAGE.advantage.kind", "leave_one_out")])
        .lacking("r1x has no baseline of a token; the others of the group were written"),
    Word::is("tir_optimal_token_baseline", &[("STAGE.advantage.kind", "leave_one_out")])
        .lacking("r1x has no baseline of a token; the others of the group were written"),
];

/// The penalties in the loss by the words of verl, each with its estimator.
const PENALTIES: &[Word] = &[
    Word::is("kl", &[("STAGE.kl.estimator", "k1")]),
    Word::is("k1", &[("STAGE.kl.estimator", "k1")]),
    Word::is("mse", &[("STAGE.kl.estimator", "k2")]),
    Word::is("k2", &[("STAGE.kl.estimator", "k2")]),
    Word::is("low_var_kl", &[("STAGE.kl.estimator", "k3")]).but(CLAMPED),
    Word::is("k3", &[("STAGE.kl.estimator", "k3")]).but(CLAMPED),
    Word::is("k1+", &[("STAGE.kl.estimator", "k2")]).but(STRAIGHT),
    Word::is("kl+", &[("STAGE.kl.estimator", "k2")]).but(STRAIGHT),
    Word::is("k3+", &[("STAGE.kl.estimator", "k3_plus")]).but(CLAMPED),
    Word::is("low_var_kl+", &[("STAGE.kl.estimator", "k3_plus")]).but(CLAMPED),
    Word::is("abs", &[("STAGE.kl.estimator", "k2")])
        .lacking("r1x has no absolute value of the log-ratio; k2 was written"),
    Word::is("full", &[("STAGE.kl.estimator", "k2")])
        .lacking("r1x estimates the divergence from sampled tokens; k2 was written"),
];

/// The penalties in the reward, of which only the value counts.
const PENALTIES_IN_REWARD: &[Word] = &[
    Word::is("kl", &[("STAGE.kl.estimator", "k1")]),
    Word::is("k1", &[("STAGE.kl.estimator", "k1")]),
    Word::is("k1+", &[("STAGE.kl.estimator", "k1")]),
    Word::is("kl+", &[("STAGE.kl.estimator", "k1")]),
    Word::is("mse", &[("STAGE.kl.estimator", "k2")]),
    Word::is("k2", &[("STAGE.kl.estimator", "k2")]),
    Word::is("low_var_kl", &[("STAGE.kl.estimator", "k3")]).but(CLAMPED),
    Word::is("k3", &[("STAGE.kl.estimator", "k3")]).but(CLAMPED),
    Word::is("low_var_kl+", &[("STAGE.kl.estimator", "k3")]).but(CLAMPED),
    Word::is("k3+", &[("STAGE.kl.estimator", "k3")]).but(CLAMPED),
    Word::is("abs", &[("STAGE.kl.estimator", "k1")])
        .lacking("r1x has no absolute value of the log-ratio; k1 was written"),
    Word::is("full", &[("STAGE.kl.estimator", "k1")])
        .lacking("r1x estimates the divergence from sampled tokens; k1 was written"),
];

const CLAMPED: &str =
    "verl holds the penalty of a token within 10; r1x goes on in a straight line there";
const STRAIGHT: &str =
    "r1x has no value with another gradient; k2, whose gradient it is, was written";

const NO_DROPOUT: &str =
    "r1x has no dropout: a token would have another log-probability when it is learnt from";

/// The keys of an actor, of its rollouts and its reference.
pub(super) const ACTOR: &[Row] = &[
    Row::key("actor_rollout_ref.actor.optim.lr", Number, "1e-6", "STAGE.lr"),
    Row::words("actor_rollout_ref.actor.optim.lr_scheduler_type", "constant", SCHEDULES),
    Row::words("actor_rollout_ref.actor.optim.warmup_style", "", SCHEDULES),
    Row::words("actor_rollout_ref.actor.optim.lr_decay_style", "", DECAYS),
    Row::part("actor_rollout_ref.actor.optim.lr_warmup_steps", Whole, "-1", &[WARMUP]),
    Row::part("actor_rollout_ref.actor.optim.lr_warmup_steps_ratio", Number, "0", &[WARMUP]),
    Row::key(
        "actor_rollout_ref.actor.optim.min_lr_ratio",
        Number,
        "0",
        "STAGE.schedule.final_ratio",
    ),
    Row::nothing(
        "actor_rollout_ref.actor.optim.num_cycles",
        Number,
        "0.5",
        "r1x has half a cosine, which is 0.5",
    ),
    Row::key("actor_rollout_ref.actor.optim.weight_decay", Number, "0.01", "STAGE.weight_decay"),
    Row::part("actor_rollout_ref.actor.optim.betas", Anything, "", &["STAGE.beta1", "STAGE.beta2"]),
    Row::words(
        "actor_rollout_ref.actor.optim.optimizer",
        "AdamW",
        &[
            Word::is("AdamW", &[]),
            Word::is("adam", &[]),
            Word::is("Adam", &[]).lacking("r1x has AdamW alone"),
            Word::is("SGD", &[]).lacking("r1x has AdamW alone"),
        ],
    ),
    Row::no_matter("actor_rollout_ref.actor.optim._target_", Idle),
    Row::no_matter("actor_rollout_ref.actor.optim.optimizer_impl", Kernels),
    Row::no_matter("actor_rollout_ref.actor.optim.total_training_steps", Idle),
    Row::no_matter("actor_rollout_ref.actor.optim.clip_grad", Idle),
    Row::no_matter("actor_rollout_ref.actor.optim.override_optimizer_config*", Kernels),
    Row::key("actor_rollout_ref.actor.grad_clip", Number, "1", "STAGE.grad_clip"),
    Row::part(
        "actor_rollout_ref.actor.ppo_mini_batch_size",
        Whole,
        "256",
        &["STAGE.updates_per_epoch"],
    )
    .but("verl counts prompts of an update, r1x updates of a pass"),
    Row::part(
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu",
        Whole,
        "",
        &["STAGE.micro_batch_size"],
    ),
    Row::part(
        "actor_rollout_ref.actor.ppo_micro_batch_size",
        Whole,
        "",
        &["STAGE.micro_batch_size"],
    ),
    Row::key("actor_rollout_ref.actor.ppo_epochs", Whole, "1", "STAGE.epochs"),
    Row::part(
        "actor_rollout_ref.actor.clip_ratio",
        Number,
        "0.2",
        &["STAGE.clip.low", "STAGE.clip.high"],
    ),
    Row::part("actor_rollout_ref.actor.clip_ratio_low", Number, "0.2", &["STAGE.clip.low"]),
    Row::part("actor_rollout_ref.actor.clip_ratio_high", Number, "0.2", &["STAGE.clip.high"]),
    Row::part("actor_rollout_ref.actor.clip_ratio_c", Number, "3", &["STAGE.clip.max_ratio"]),
    Row::part("actor_rollout_ref.actor.tau_pos", Number, "1", &["STAGE.clip.tau_positive"]),
    Row::part("actor_rollout_ref.actor.tau_neg", Number, "1.05", &["STAGE.clip.tau_negative"]),
    Row::words("actor_rollout_ref.actor.policy_loss.loss_mode", "vanilla", LOSSES),
    Row::no_matter("actor_rollout_ref.actor.policy_loss.*", Idle),
    Row::chosen("actor_rollout_ref.actor.loss_agg_mode", "token-mean", AGGREGATIONS),
    Row::nothing(
        "actor_rollout_ref.actor.loss_scale_factor",
        Number,
        "",
        "r1x divides by the longest completion",
    ),
    Row::key("actor_rollout_ref.actor.entropy_coeff", Number, "0", "STAGE.entropy.coef"),
    Row::part("actor_rollout_ref.actor.use_kl_loss", Flag, "false", &["STAGE.kl.coef"]),
    Row::part("actor_rollout_ref.actor.kl_loss_coef", Number, "0.001", &["STAGE.kl.coef"]),
    Row::chosen("actor_rollout_ref.actor.kl_loss_type", "low_var_kl", PENALTIES),
    Row::no_matter("actor_rollout_ref.actor.shuffle", Loading),
    Row::no_matter("actor_rollout_ref.actor.data_loader_seed", Loading),
    Row::no_matter("actor_rollout_ref.actor.strategy", Devices),
    Row::no_matter("actor_rollout_ref.actor.rollout_n", Idle),
    Row::no_matter("actor_rollout_ref.actor.use_dynamic_bsz", Kernels),
    Row::no_matter("actor_rollout_ref.actor.ppo_max_token_len_per_gpu", Kernels),
    Row::no_matter("actor_rollout_ref.actor.ppo_infer_max_token_len_per_gpu", Kernels),
    Row::no_matter("actor_rollout_ref.actor.use_torch_compile", Kernels),
    Row::no_matter("actor_rollout_ref.actor.use_remove_padding", Kernels),
    Row::no_matter("actor_rollout_ref.actor.use_fused_kernels", Kernels),
    Row::no_matter("actor_rollout_ref.actor.use_prefix_grouper", Kernels),
    Row::no_matter("actor_rollout_ref.actor.entropy_*", Kernels),
    Row::no_matter("actor_rollout_ref.actor.calculate_*", Idle),
    Row::no_matter("actor_rollout_ref.actor.sum_pi_squared_checkpointing", Kernels),
    Row::no_matter("actor_rollout_ref.actor.freeze_vision_tower", Idle),
    Row::no_matter("actor_rollout_ref.actor.router_replay.*", Devices),
    Row::no_matter("actor_rollout_ref.actor.ulysses_sequence_parallel_size", Devices),
    Row::no_matter("actor_rollout_ref.actor.fsdp_config.*", Devices),
    Row::no_matter("actor_rollout_ref.actor.megatron.*", Devices),
    Row::no_matter("actor_rollout_ref.actor.checkpoint.*", Files),
    Row::no_matter("actor_rollout_ref.actor.profiler.*", Logging),
    Row::no_matter("actor_rollout_ref.actor._target_", Idle),
    Row::no_matter("actor_rollout_ref.ref.*", Kernels),
    Row::no_matter("actor_rollout_ref.hybrid_engine", Sampler),
    Row::no_matter("actor_rollout_ref.nccl_timeout", Devices),
    Row::no_matter("actor_rollout_ref.profiler.*", Logging),
];

/// How completions are sampled, and the model.
pub(super) const ROLLOUT: &[Row] = &[
    Row::key("actor_rollout_ref.rollout.n", Whole, "1", "STAGE.group_size"),
    Row::key("actor_rollout_ref.rollout.temperature", Number, "1", "STAGE.sampling.temperature"),
    Row::key("actor_rollout_ref.rollout.top_p", Number, "1", "STAGE.sampling.top_p"),
    Row::part("actor_rollout_ref.rollout.top_k", Whole, "-1", &["STAGE.sampling.top_k"]),
    Row::nothing(
        "actor_rollout_ref.rollout.do_sample",
        Flag,
        "true",
        "a stage learns from samples",
    ),
    Row::nothing(
        "actor_rollout_ref.rollout.ignore_eos",
        Flag,
        "false",
        "a completion of r1x ends where the model ends it",
    ),
    Row::part("actor_rollout_ref.rollout.val_kwargs.n", Whole, "1", &["evals.ID.samples"]),
    Row::part(
        "actor_rollout_ref.rollout.val_kwargs.temperature",
        Number,
        "0",
        &["evals.ID.sampling.temperature"],
    ),
    Row::part(
        "actor_rollout_ref.rollout.val_kwargs.top_p",
        Number,
        "1",
        &["evals.ID.sampling.top_p"],
    ),
    Row::part(
        "actor_rollout_ref.rollout.val_kwargs.top_k",
        Whole,
        "-1",
        &["evals.ID.sampling.top_k"],
    ),
    Row::part(
        "actor_rollout_ref.rollout.val_kwargs.do_sample",
        Flag,
        "false",
        &["evals.ID.sampling.temperature"],
    ),
    Row::nothing(
        "actor_rollout_ref.rollout.multi_turn.enable",
        Flag,
        "false",
        "r1x has one turn and no tools",
    ),
    Row::no_matter("actor_rollout_ref.rollout.multi_turn.*", Idle),
    Row::nothing(
        "actor_rollout_ref.rollout.over_sample_rate",
        Number,
        "0",
        "r1x samples what a step needs",
    ),
    Row::no_matter("actor_rollout_ref.rollout.name", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.mode", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.dtype", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.nnodes", Devices),
    Row::no_matter("actor_rollout_ref.rollout.n_gpus_per_node", Devices),
    Row::no_matter("actor_rollout_ref.rollout.prompt_length", Idle),
    Row::no_matter("actor_rollout_ref.rollout.response_length", Idle),
    Row::no_matter("actor_rollout_ref.rollout.gpu_memory_utilization", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.enforce_eager", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.cudagraph_capture_sizes", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.free_cache_engine", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.tensor_model_parallel_size", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.data_parallel_size", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.expert_parallel_size", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.pipeline_model_parallel_size", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.max_*", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.enable_*", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.logprobs_mode", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.scheduling_policy", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.load_format", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.layered_summon", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.log_prob_*", Kernels),
    Row::no_matter("actor_rollout_ref.rollout.disable_log_stats", Logging),
    Row::no_matter("actor_rollout_ref.rollout.multi_stage_wake_up", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.engine_kwargs*", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.calculate_log_probs", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.agent.*", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.checkpoint_engine.*", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.update_weights_bucket_megabytes", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.trace.*", Logging),
    Row::no_matter("actor_rollout_ref.rollout.prometheus.*", Logging),
    Row::no_matter("actor_rollout_ref.rollout.profiler.*", Logging),
    Row::no_matter("actor_rollout_ref.rollout.skip_*", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.quantization*", Sampler),
    Row::no_matter("actor_rollout_ref.rollout.mtp*", Sampler),
    Row::no_matter("actor_rollout_ref.rollout._target_", Idle),
    Row::no_matter("actor_rollout_ref.rollout.val_kwargs._target_", Idle),
    Row::part("actor_rollout_ref.model.path", Text, "", &["model.from"]),
    Row::key(
        "actor_rollout_ref.model.enable_gradient_checkpointing",
        Flag,
        "true",
        "model.recompute_activations",
    ),
    Row::part("actor_rollout_ref.model.lora_rank", Whole, "0", &["model.lora.rank"]),
    Row::part("actor_rollout_ref.model.lora_alpha", Number, "16", &["model.lora.alpha"]),
    Row::part(
        "actor_rollout_ref.model.target_modules",
        Texts,
        "all-linear",
        &["model.lora.targets"],
    ),
    Row::part("actor_rollout_ref.model.lora.rank", Whole, "0", &["model.lora.rank"]),
    Row::part("actor_rollout_ref.model.lora.alpha", Number, "32", &["model.lora.alpha"]),
    Row::part(
        "actor_rollout_ref.model.lora.target_modules",
        Texts,
        "linear_qkv, linear_proj, linear_fc1, linear_fc2",
        &["model.lora.targets"],
    ),
    Row::nothing("actor_rollout_ref.model.lora.dropout", Number, "0", NO_DROPOUT),
    Row::nothing(
        "actor_rollout_ref.model.lora.adapter_path",
        Text,
        "",
        "adapters of a folder are model.lora.from",
    ),
    Row::no_matter("actor_rollout_ref.model.lora.*", Kernels),
    Row::nothing(
        "actor_rollout_ref.model.exclude_modules",
        Anything,
        "",
        "r1x names the projections that have adapters: model.lora.targets",
    ),
    Row::nothing(
        "actor_rollout_ref.model.lora_adapter_path",
        Text,
        "",
        "adapters of a folder are model.lora.from",
    ),
    Row::nothing(
        "actor_rollout_ref.model.custom_chat_template",
        Text,
        "",
        "r1x takes the chat template in the folder of the model: put it there as chat_template.jinja",
    ),
    Row::nothing(
        "actor_rollout_ref.model.override_config*",
        Anything,
        "{}",
        "the folder of the model says its configuration; keys of `model` may say otherwise",
    ),
    Row::nothing(
        "actor_rollout_ref.model.mtp.enable",
        Flag,
        "false",
        "multi-token prediction is model.mtp, and stages of reinforcement do not train it",
    ),
    Row::no_matter("actor_rollout_ref.model.mtp.*", Idle),
    Row::no_matter("actor_rollout_ref.model.use_*", Kernels),
    Row::no_matter("actor_rollout_ref.model.enable_activation_offload", Kernels),
    Row::no_matter("actor_rollout_ref.model.fused_kernel_options*", Kernels),
    Row::no_matter("actor_rollout_ref.model.tiled_mlp.*", Kernels),
    Row::no_matter("actor_rollout_ref.model.torch_dtype", Kernels),
    Row::no_matter("actor_rollout_ref.model.trust_remote_code", Files),
    Row::no_matter("actor_rollout_ref.model.hf_config_path", Files),
    Row::no_matter("actor_rollout_ref.model.tokenizer_path", Files),
    Row::no_matter("actor_rollout_ref.model.external_lib", Files),
    Row::no_matter("actor_rollout_ref.model._target_", Idle),
];

/// Data, rewards, the algorithm and the trainer.
pub(super) const REST: &[Row] = &[
    Row::part("data.train_files", Texts, "", &["data.ID.parquet.path"]),
    Row::part("data.val_files", Texts, "", &["data.ID.parquet.path"])
        .but("r1x takes files of a folder whose names begin with `test` for held-out ones"),
    Row::part("data.prompt_key", Text, "prompt", &["data.ID.messages.user"]),
    Row::part(
        "data.train_batch_size",
        Whole,
        "1024",
        &["STAGE.prompts_per_step", "STAGE.updates_per_epoch"],
    ),
    Row::part("data.gen_batch_size", Whole, "", &["STAGE.prompts_per_step"])
        .but("r1x draws the prompts of a step, and then one for each group that is to be replaced"),
    Row::part("data.max_prompt_length", Whole, "512", &["model.context_length"])
        .but("r1x refuses a longer prompt; verl can cut it or leave it out"),
    Row::key("data.max_response_length", Whole, "512", "STAGE.sampling.max_tokens"),
    Row::part("data.train_max_samples", Whole, "-1", &["STAGE.limit"]),
    Row::part("data.val_max_samples", Whole, "-1", &["evals.ID.limit"]),
    Row::part("data.seed", Whole, "", &["seed"]),
    Row::nothing(
        "data.filter_overlong_prompts",
        Flag,
        "false",
        "r1x leaves no prompt out: `r1x check` names the first that is too long",
    ),
    Row::words(
        "data.truncation",
        "error",
        &[
            Word::is("error", &[]),
            Word::is("left", &[]).lacking("r1x cuts no prompt"),
            Word::is("right", &[]).lacking("r1x cuts no prompt"),
            Word::is("middle", &[]).lacking("r1x cuts no prompt"),
        ],
    ),
    Row::nothing("data.shuffle", Flag, "true", "r1x draws problems in a random order"),
    Row::nothing("data.custom_cls.*", Anything, "", "data of r1x are rows of a file"),
    Row::nothing("data.sampler.*", Anything, "", "r1x draws problems in a random order"),
    Row::nothing("data.datagen.*", Anything, "", "data of r1x are rows of a file"),
    Row::nothing(
        "data.apply_chat_template_kwargs*",
        Anything,
        "{}",
        "the chat template is called with messages alone",
    ),
    Row::no_matter("data.reward_fn_key", Idle),
    Row::no_matter("data.tokenizer", Files),
    Row::no_matter("data.use_shm", Loading),
    Row::no_matter("data.val_batch_size", Loading),
    Row::no_matter("data.return_*", Loading),
    Row::no_matter("data.dataloader_num_workers", Loading),
    Row::no_matter("data.filter_overlong_prompts_workers", Loading),
    Row::no_matter("data.validation_shuffle", Loading),
    Row::nothing("data.image_key", Text, "images", NO_IMAGES),
    Row::nothing("data.video_key", Text, "videos", NO_IMAGES),
    Row::no_matter("data.image_*", Idle),
    Row::no_matter("data.trust_remote_code", Files),
    Row::no_matter("data.tool_config_path", Idle),
    Row::chosen("algorithm.adv_estimator", "gae", ESTIMATORS),
    Row::words(
        "algorithm.norm_adv_by_std_in_grpo",
        "true",
        &[
            Word::is("true", &[("STAGE.advantage.kind", "group_normalized")]),
            Word::is("false", &[("STAGE.advantage.kind", "group_centered")]),
        ],
    ),
    Row::part("algorithm.use_kl_in_reward", Flag, "false", &["STAGE.kl.in"]).but(
        "verl takes the penalty of each token off its reward; r1x does so with a critic, and takes that of a completion off its total without one",
    ),
    Row::part("algorithm.kl_ctrl.kl_coef", Number, "0.001", &["STAGE.kl.coef"]),
    Row::chosen("algorithm.kl_penalty", "kl", PENALTIES_IN_REWARD),
    Row::chosen(
        "algorithm.kl_ctrl.type",
        "fixed",
        &[
            Word::is("fixed", &[]),
            Word::is("adaptive", &[])
                .lacking("the factor of r1x stays what it is; what it begins with was written"),
        ],
    ),
    Row::no_matter("algorithm.kl_ctrl.*", Idle),
    Row::words(
        "algorithm.filter_groups.enable",
        "false",
        &[
            Word::is("false", &[("STAGE.zero_signal", "keep")]),
            Word::is("true", &[("STAGE.zero_signal", "resample")]).but(
                "verl looks at one figure of the reward (`metric`), r1x at the total of all rewards",
            ),
        ],
    ),
    Row::part("algorithm.filter_groups.metric", Text, "", &["STAGE.zero_signal"])
        .but("r1x looks at the total of all rewards, whatever is named"),
    Row::part("algorithm.filter_groups.max_num_gen_batches", Whole, "0", &["STAGE.max_batches"])
        .but("verl counts batches of `data.gen_batch_size`, r1x those of a step; 0 is no limit in verl"),
    Row::no_matter("algorithm.filter_groups._target_", Idle),
    Row::nothing("algorithm.use_pf_ppo", Flag, "false", "r1x weighs no samples again"),
    Row::no_matter("algorithm.pf_ppo*", Idle),
    Row::no_matter("algorithm.rollout_correction.*", Sampler),
    Row::no_matter("algorithm._target_", Idle),
    Row::part("custom_reward_function.path", Text, "", &["rewards.ID.plugin"]),
    Row::part("custom_reward_function.name", Text, "compute_score", &["rewards.ID.plugin"]),
    Row::nothing(
        "custom_reward_function.reward_kwargs*",
        Anything,
        "",
        "a reward of r1x is configured under `with`",
    ),
    Row::nothing(
        "reward_model.enable",
        Flag,
        "false",
        "no published reward model is read; a run of r1x can train one (docs/stages.md)",
    ),
    Row::no_matter("reward_model.reward_manager", Idle),
    Row::part("reward_model.overlong_buffer.enable", Flag, "false", &["rewards.ID.plugin"]),
    Row::part("reward_model.overlong_buffer.len", Whole, "", &["rewards.ID.with"]),
    Row::part("reward_model.overlong_buffer.penalty_factor", Number, "1", &["rewards.ID.weight"]),
    Row::no_matter("reward_model.overlong_buffer.log", Logging),
    Row::part(
        "reward_model.reward_kwargs.overlong_buffer_cfg.enable",
        Flag,
        "false",
        &["rewards.ID.plugin"],
    ),
    Row::part(
        "reward_model.reward_kwargs.overlong_buffer_cfg.len",
        Whole,
        "",
        &["rewards.ID.with"],
    ),
    Row::part(
        "reward_model.reward_kwargs.overlong_buffer_cfg.penalty_factor",
        Number,
        "1",
        &["rewards.ID.weight"],
    ),
    Row::no_matter("reward_model.reward_kwargs.overlong_buffer_cfg.log", Logging),
    Row::part("reward_model.reward_kwargs.max_resp_len", Whole, "", &["rewards.ID.with"]),
    Row::no_matter("reward_model.*", Idle),
    Row::no_matter("reward_manager.*", Idle),
    Row::no_matter("critic.*", Idle),
    Row::part("trainer.total_epochs", Number, "30", &["STAGE.steps"]),
    Row::part("trainer.total_training_steps", Whole, "", &["STAGE.steps"]),
    Row::part("trainer.save_freq", Whole, "-1", &["checkpoints.every"]),
    Row::part("trainer.test_freq", Whole, "-1", &["evals.ID.when.every"]),
    Row::part("trainer.val_before_train", Flag, "true", &["evals.ID.when.at"]),
    Row::part("trainer.max_actor_ckpt_to_keep", Whole, "", &["checkpoints.keep"]),
    Row::part("trainer.experiment_name", Text, "", &["name"]),
    Row::nothing("trainer.val_only", Flag, "false", "a stage `evaluate` is evaluation alone"),
    Row::no_matter("trainer.max_critic_ckpt_to_keep", Idle),
    Row::no_matter("trainer.project_name", Logging),
    Row::no_matter("trainer.logger", Logging),
    Row::no_matter("trainer.log_val_generations", Logging),
    Row::no_matter("trainer.rollout_data_dir", Logging),
    Row::no_matter("trainer.validation_data_dir", Logging),
    Row::no_matter("trainer.profile_steps", Logging),
    Row::no_matter("trainer.npu_profile.*", Logging),
    Row::no_matter("trainer.controller_nsight_options.*", Logging),
    Row::no_matter("trainer.worker_nsight_options.*", Logging),
    Row::no_matter("trainer.nnodes", Devices),
    Row::no_matter("trainer.n_gpus_per_node", Devices),
    Row::no_matter("trainer.balance_batch", Devices),
    Row::no_matter("trainer.device", Devices),
    Row::no_matter("trainer.use_legacy_worker_impl", Devices),
    Row::no_matter("trainer.ray_wait_register_center_timeout", Devices),
    Row::no_matter("trainer.esi_redundant_time", Devices),
    Row::no_matter("trainer.resume_*", Files),
    Row::no_matter("trainer.default_*", Files),
    Row::no_matter("trainer.del_local_ckpt_after_load", Files),
    Row::no_matter("global_profiler.*", Logging),
    Row::no_matter("ray_kwargs.*", Devices),
    Row::no_matter("ray_init.*", Devices),
    Row::no_matter("transfer_queue.*", Devices),
    Row::nothing(
        "defaults",
        Anything,
        "",
        "files that a configuration is put together from are not read: import the file that is whole",
    ),
    Row::no_matter("hydra.*", Files),
];

/// What verl trains by is reinforcement in every row.
pub(super) const METHOD: crate::import::row::Method = Grpo;
