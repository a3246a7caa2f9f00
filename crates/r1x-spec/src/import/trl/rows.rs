//! The keys of TRL's `trl grpo --config` and `trl sft --config`: those of its configurations, of `transformers`, of models and
//! of data sets. Defaults are those of TRL 1.16.

use crate::import::row::Group::{Devices, Files, Hub, Idle, Kernels, Loading, Logging, Sampler};
use crate::import::row::Method::{Grpo, Sft};
use crate::import::row::Takes::{Anything, Flag, Number, Text, Texts, Whole};
use crate::import::row::{Row, Word};

/// The file that says on how many devices a recipe runs.
pub(super) const ACCELERATE: &str = "accelerate_config";
const STEPS: &str = "STAGE.steps";
const WARMUP: &str = "STAGE.schedule.warmup_steps";
const FINAL: &str = "STAGE.schedule.final_ratio";

/// Learning-rate schedules of `transformers`.
const SCHEDULES: &[Word] = &[
    Word::is("linear", &[("STAGE.schedule.kind", "linear")]),
    Word::is("cosine", &[("STAGE.schedule.kind", "cosine")]),
    Word::is("cosine_with_min_lr", &[("STAGE.schedule.kind", "cosine")]),
    Word::is("constant", &[("STAGE.schedule.kind", "constant")]),
    Word::is("constant_with_warmup", &[("STAGE.schedule.kind", "constant")]),
    Word::is("cosine_with_restarts", &[("STAGE.schedule.kind", "cosine")])
        .lacking("r1x has no restarts; one cosine was written"),
    Word::is("polynomial", &[("STAGE.schedule.kind", "linear")])
        .lacking("r1x has no powers; a straight line was written"),
    Word::is("inverse_sqrt", &[("STAGE.schedule.kind", "constant")])
        .lacking("r1x has no such course; a constant rate was written"),
    Word::is("reduce_lr_on_plateau", &[("STAGE.schedule.kind", "constant")])
        .lacking("no course of r1x follows a measure; a constant rate was written"),
    Word::is("warmup_stable_decay", &[("STAGE.schedule.kind", "constant")])
        .lacking("r1x has no decay at the end alone; a constant rate was written"),
    Word::is("cosine_warmup_with_min_lr", &[("STAGE.schedule.kind", "cosine")])
        .but("the warm-up of r1x is a straight line from 0"),
];

const MEAN_OF_SEQUENCES: &str =
    "a sequence of which no token is trained counts in TRL's mean, and not in r1x's";
const NO_DROPOUT: &str =
    "r1x has no dropout: a token would have another log-probability when it is learnt from";

/// What the losses of TRL are called.
const LOSSES: &[Word] = &[
    Word::is("dapo", &[("STAGE.aggregation", "token_mean"), ("STAGE.clip.kind", "pessimistic")]),
    Word::is("grpo", &[("STAGE.aggregation", "sequence_mean"), ("STAGE.clip.kind", "pessimistic")])
        .but(MEAN_OF_SEQUENCES),
    Word::is("dr_grpo", &[("STAGE.aggregation", "fixed_length"), ("STAGE.clip.kind", "pessimistic")])
        .but("the deviation is a key of its own, `scale_rewards`; Dr. GRPO has `none` there"),
    Word::is("bnpo", &[("STAGE.aggregation", "token_mean"), ("STAGE.clip.kind", "pessimistic")]).lacking(
        "its mean is over a micro-batch, so that the gradient depends on the size of one; the mean over all tokens of \
         an update was written",
    ),
    Word::is("cispo", &[("STAGE.aggregation", "token_mean"), ("STAGE.clip.kind", "weight")])
        .but("TRL bounds the weight by `epsilon_high`, r1x by 1 + `high`"),
    Word::is("sapo", &[("STAGE.aggregation", "sequence_mean"), ("STAGE.clip.kind", "sigmoid")]),
    Word::is("luspo", &[("STAGE.aggregation", "fixed_length"), ("STAGE.clip.kind", "pessimistic")])
        .lacking("r1x has no loss of a sequence times its length; a fixed length was written"),
    Word::is("vespo", &[("STAGE.aggregation", "token_mean"), ("STAGE.clip.kind", "pessimistic")])
        .lacking("r1x has no such weights; the bounds of PPO were written"),
];

/// Reinforcement: `GRPOConfig` and the arguments of `trl grpo`.
pub(in crate::import) const GRPO: &[Row] = &[
    Row::part("num_generations", Whole, "8", &["STAGE.group_size", "STAGE.prompts_per_step"]).of(Grpo),
    Row::part("generation_batch_size", Whole, "", &["STAGE.prompts_per_step", "STAGE.updates_per_epoch"])
        .of(Grpo),
    Row::part("steps_per_generation", Whole, "", &["STAGE.prompts_per_step", "STAGE.updates_per_epoch"])
        .of(Grpo),
    Row::key("num_iterations", Whole, "1", "STAGE.epochs").of(Grpo),
    Row::key("learning_rate", Number, "1e-6", "STAGE.lr").of(Grpo),
    Row::part("max_prompt_length", Whole, "", &["model.context_length"])
        .of(Grpo)
        .but("TRL cut longer prompts down to their end (1.16 has no such key any more); r1x refuses them"),
    Row::key("max_completion_length", Whole, "512", "STAGE.sampling.max_tokens").of(Grpo),
    Row::key("temperature", Number, "1", "STAGE.sampling.temperature").of(Grpo),
    Row::key("top_p", Number, "1", "STAGE.sampling.top_p").of(Grpo),
    Row::key("top_k", Whole, "0", "STAGE.sampling.top_k").of(Grpo),
    Row::key("min_p", Number, "", "STAGE.sampling.min_p").of(Grpo),
    Row::nothing("repetition_penalty", Number, "1", "r1x draws from what the model says; a reward such as `repetition` can count against repetition").of(Grpo),
    Row::nothing("generation_kwargs.*", Anything, "", "r1x has no such setting of sampling").of(Grpo),
    Row::nothing("generation_kwargs", Anything, "{}", "r1x has no such setting of sampling").of(Grpo),
    Row::words("loss_type", "dapo", LOSSES).of(Grpo),
    Row::part("epsilon", Number, "0.2", &["STAGE.clip.low", "STAGE.clip.high"]).of(Grpo),
    Row::part("epsilon_high", Number, "", &["STAGE.clip.high"]).of(Grpo),
    Row::part("delta", Number, "", &["STAGE.clip.max_ratio"]).of(Grpo),
    Row::part("sapo_temperature_pos", Number, "1", &["STAGE.clip.tau_positive"]).of(Grpo),
    Row::part("sapo_temperature_neg", Number, "1.05", &["STAGE.clip.tau_negative"]).of(Grpo),
    Row::no_matter("vespo_*", Idle).of(Grpo),
    Row::words("importance_sampling_level", "token", &[
        Word::is("token", &[("STAGE.ratio", "token")]),
        Word::is("sequence", &[("STAGE.ratio", "sequence")]),
    ])
    .of(Grpo),
    Row::words("scale_rewards", "group", &[
        Word::is("group", &[("STAGE.advantage.kind", "group_normalized")]),
        Word::is("true", &[("STAGE.advantage.kind", "group_normalized")]),
        Word::is("batch", &[("STAGE.advantage.kind", "batch_scaled")]),
        Word::is("none", &[("STAGE.advantage.kind", "group_centered")]),
        Word::is("false", &[("STAGE.advantage.kind", "group_centered")]),
    ])
    .of(Grpo),
    Row::words("multi_objective_aggregation", "sum_then_normalize", &[
        Word::is("sum_then_normalize", &[("STAGE.advantage.combine", "sum_then_normalize")]),
        Word::is("normalize_then_sum", &[("STAGE.advantage.combine", "normalize_then_sum")]),
    ])
    .of(Grpo),
    Row::key("beta", Number, "0", "STAGE.kl.coef").of(Grpo),
    Row::chosen("use_bias_correction_kl", "true", &[
        Word::is("false", &[("STAGE.kl.estimator", "k3")]),
        Word::is("true", &[("STAGE.kl.estimator", "k3_unbiased")]),
    ])
    .of(Grpo),
    Row::part("sync_ref_model", Flag, "false", &["STAGE.kl.refresh_every"]).of(Grpo),
    Row::part("ref_model_sync_steps", Whole, "512", &["STAGE.kl.refresh_every"]).of(Grpo),
    Row::part("ref_model_mixup_alpha", Number, "0.6", &["STAGE.kl.refresh_mix"]).of(Grpo),
    Row::words("mask_truncated_completions", "false", &[
        Word::is("false", &[("STAGE.truncated", "keep")]),
        Word::is("true", &[("STAGE.truncated", "mask")]),
    ])
    .of(Grpo),
    Row::key("top_entropy_quantile", Number, "1", "STAGE.entropy.top_share")
        .of(Grpo)
        .but("TRL takes the share of the tokens that are computed together, r1x of those of a step"),
    Row::key("entropy_coef", Number, "0", "STAGE.entropy.coef").of(Grpo),
    Row::nothing("use_adaptive_entropy", Flag, "false", "r1x has a bonus for entropy with one factor").of(Grpo),
    Row::no_matter("entropy_*", Idle).of(Grpo),
    Row::key("off_policy_mask_threshold", Number, "", "STAGE.clip.max_divergence").of(Grpo),
    Row::nothing("max_tool_calling_iterations", Whole, "", "r1x has no tools").of(Grpo),
    Row::part("reward_funcs", Texts, "", &["rewards.ID.plugin", "rewards.ID.with", "STAGE.rewards"]).of(Grpo),
    Row::part("reward_weights", Anything, "", &["rewards.ID.weight"]).of(Grpo),
    Row::nothing("reward_model_name_or_path", Text, "", "no published reward model is read; a run of r1x can train one (docs/stages.md)").of(Grpo),
    Row::part("num_generations_eval", Whole, "", &["evals.ID.samples"]).of(Grpo),
    Row::no_matter("vllm_*", Sampler).of(Grpo),
    Row::no_matter("use_vllm", Sampler).of(Grpo),
    Row::no_matter("cache_implementation", Sampler).of(Grpo),
    Row::no_matter("use_transformers_*", Sampler).of(Grpo),
    Row::no_matter("transformers_continuous_batching_config*", Sampler).of(Grpo),
    Row::no_matter("ds3_gather_for_generation", Devices).of(Grpo),
    Row::no_matter("log_completions*", Logging).of(Grpo),
    Row::no_matter("log_multimodal", Logging).of(Grpo),
    Row::no_matter("log_unique_prompts", Logging).of(Grpo),
    Row::no_matter("num_completions_to_print", Logging).of(Grpo),
];

/// Supervised fine-tuning: `SFTConfig` and the arguments of `trl sft`.
pub(in crate::import) const SFT: &[Row] = &[
    Row::key("learning_rate", Number, "2e-5", "STAGE.lr").of(Sft),
    Row::part("max_length", Whole, "1024", &["model.context_length"])
        .of(Sft)
        .but("TRL cuts longer examples; r1x refuses them"),
    Row::part("max_seq_length", Whole, "", &["model.context_length"])
        .of(Sft)
        .but("TRL cuts longer examples; r1x refuses them"),
    Row::nothing("packing", Flag, "false", "r1x packs nothing: its batches count examples, and TRL's count packed rows").of(Sft),
    Row::no_matter("packing_strategy", Idle).of(Sft),
    Row::no_matter("eval_packing", Idle).of(Sft),
    Row::no_matter("padding_free", Kernels).of(Sft),
    Row::no_matter("truncation_mode", Idle).of(Sft),
    Row::words("completion_only_loss", "", &[
        Word::is("true", &[]),
        Word::is("false", &[]).lacking("the loss of r1x falls on the completion and its end only"),
    ])
    .of(Sft),
    Row::words("assistant_only_loss", "false", &[
        Word::is("true", &[]).but("r1x learns the last message of the assistant, and not those before it"),
        Word::is("false", &[]).but(
            "of conversations TRL learns every token, the prompt's too; r1x learns the last message of the assistant",
        ),
    ])
    .of(Sft),
    Row::nothing("loss_type", Text, "nll", "r1x has the negative log-likelihood alone").of(Sft),
    Row::nothing("neftune_noise_alpha", Number, "", "r1x adds no noise to embeddings").of(Sft),
    Row::part("dataset_text_field", Text, "text", &["data.ID.jsonl.solution"]).of(Sft),
    Row::no_matter("dataset_kwargs*", Loading).of(Sft),
    Row::no_matter("activation_offloading", Kernels).of(Sft),
    Row::nothing("chat_template_path", Text, "", "r1x takes the chat template in the folder of the model: put it there as chat_template.jinja").of(Sft),
    Row::nothing("eos_token", Text, "", "r1x takes the end of a text from the folder of the model: generation_config.json there says it").of(Sft),
    Row::no_matter("pad_token", Idle).of(Sft),
];

/// What both have: `TrainingArguments`, `ModelConfig` and `ScriptArguments`.
pub(in crate::import) const COMMON: &[Row] = &[
    Row::part(
        "per_device_train_batch_size",
        Whole,
        "8",
        &["STAGE.prompts_per_step", "stages.ID.sft.batch_size", "STAGE.micro_batch_size"],
    ),
    Row::part(
        "gradient_accumulation_steps",
        Whole,
        "1",
        &["STAGE.prompts_per_step", "stages.ID.sft.batch_size"],
    ),
    Row::part("num_processes", Whole, "", &["STAGE.prompts_per_step", "stages.ID.sft.batch_size"]),
    Row::part(ACCELERATE, Text, "", &["STAGE.prompts_per_step", "stages.ID.sft.batch_size"])
        .but("it names a file, which is not read, with the number of devices: `--devices N` says it here"),
    Row::no_matter("env.*", Idle),
    Row::part("max_steps", Whole, "-1", &[STEPS]),
    Row::part("num_train_epochs", Number, "3", &[STEPS]),
    Row::words("lr_scheduler_type", "linear", SCHEDULES),
    Row::part("lr_scheduler_kwargs.min_lr_rate", Number, "", &[FINAL]),
    Row::part("lr_scheduler_kwargs.min_lr", Number, "", &[FINAL]),
    Row::nothing("lr_scheduler_kwargs.*", Anything, "", "r1x has no such setting of a schedule"),
    Row::no_matter("lr_scheduler_kwargs", Idle),
    Row::part("warmup_ratio", Number, "0", &[WARMUP]),
    Row::part("warmup_steps", Number, "0", &[WARMUP]),
    Row::key("adam_beta1", Number, "0.9", "STAGE.beta1"),
    Row::key("adam_beta2", Number, "0.999", "STAGE.beta2"),
    Row::key("adam_epsilon", Number, "1e-8", "STAGE.eps"),
    Row::key("weight_decay", Number, "0", "STAGE.weight_decay"),
    Row::key("max_grad_norm", Number, "1", "STAGE.grad_clip"),
    Row::words(
        "optim",
        "adamw_torch_fused",
        &[
            Word::is("adamw_torch", &[]),
            Word::is("adamw_torch_fused", &[]),
            Word::is("adamw_hf", &[]),
            Word::is("paged_adamw_32bit", &[]),
            Word::is("adamw_8bit", &[]).lacking("the moments of r1x are f32"),
            Word::is("adamw_bnb_8bit", &[]).lacking("the moments of r1x are f32"),
            Word::is("paged_adamw_8bit", &[]).lacking("the moments of r1x are f32"),
            Word::is("adafactor", &[]).lacking("r1x has AdamW alone"),
            Word::is("sgd", &[]).lacking("r1x has AdamW alone"),
            Word::is("lion_32bit", &[]).lacking("r1x has AdamW alone"),
            Word::is("muon", &[]).lacking("r1x has AdamW alone"),
        ],
    ),
    Row::nothing("optim_args", Anything, "", "r1x has AdamW alone, with the keys of a stage"),
    Row::nothing("optim_target_modules", Anything, "", "r1x has AdamW alone, for all weights"),
    Row::nothing("label_smoothing_factor", Number, "0", "r1x smoothes no labels"),
    Row::nothing(
        "router_aux_loss_coef",
        Number,
        "",
        "r1x has the balance loss of a sequence: model.feed_forward.moe.balance_loss",
    ),
    Row::key("seed", Whole, "42", "seed"),
    Row::no_matter("data_seed", Idle),
    Row::no_matter("disable_dropout", Idle),
    Row::part("bf16", Flag, "true", &["model.precision"]),
    Row::part("fp16", Flag, "false", &["model.precision"]),
    Row::key("gradient_checkpointing", Flag, "true", "model.recompute_activations"),
    Row::part("model_name_or_path", Text, "", &["model.from"]),
    Row::part("use_peft", Flag, "false", &["model.lora"]),
    Row::part("lora_r", Whole, "16", &["model.lora.rank"]),
    Row::part("lora_alpha", Number, "32", &["model.lora.alpha"]),
    Row::part("use_rslora", Flag, "false", &["model.lora.scaling"]),
    Row::part("lora_target_modules", Texts, "", &["model.lora.targets"]),
    Row::part("lora_dropout", Number, "0.05", &["model.lora"]).but(NO_DROPOUT),
    Row::nothing("lora_target_parameters", Anything, "", "adapters of r1x are at projections"),
    Row::nothing(
        "lora_modules_to_save",
        Anything,
        "",
        "with adapters r1x trains the adapters alone",
    ),
    Row::no_matter("lora_task_type", Idle),
    Row::nothing("use_dora", Flag, "false", "r1x has LoRA and rsLoRA"),
    Row::nothing("load_in_8bit", Flag, "false", "r1x computes in bf16 or f32"),
    Row::nothing("load_in_4bit", Flag, "false", "r1x computes in bf16 or f32"),
    Row::no_matter("bnb_4bit_*", Idle),
    Row::no_matter("use_bnb_nested_quant", Idle),
    Row::part("dataset_name", Text, "", &["data.ID.parquet.path"]),
    Row::part("dataset_config", Text, "", &["data.ID.parquet.path"]),
    Row::part("datasets", Anything, "", &["data.ID.parquet.path"]).but(
        "one data set was written; further ones are entries of `data`, and a list in the stage",
    ),
    Row::nothing(
        "dataset_mixture*",
        Anything,
        "",
        "one data set was written; further ones are entries of `data`, and a list in the stage",
    ),
    Row::no_matter("dataset_train_split", Loading),
    Row::part("dataset_test_split", Text, "test", &["data.ID.parquet.heldout"]),
    Row::part("test_split_size", Number, "", &["data.ID.parquet.heldout"]),
    Row::part("eval_strategy", Text, "no", &["evals.ID.when"]),
    Row::part("evaluation_strategy", Text, "", &["evals.ID.when"]),
    Row::part("do_eval", Flag, "false", &["evals.ID.when"]),
    Row::part("eval_steps", Number, "", &["evals.ID.when.every"]),
    Row::part("save_strategy", Text, "steps", &["checkpoints.every"]),
    Row::part("save_steps", Number, "500", &["checkpoints.every"]),
    Row::part("save_total_limit", Whole, "", &["checkpoints.keep"]),
    Row::part("run_name", Text, "", &["name"]),
    Row::part("output_dir", Text, "", &["name"]),
    Row::nothing("model_init_kwargs.*", Anything, "", "r1x reads a model as its folder says"),
    Row::nothing(
        "chat_template_kwargs.*",
        Anything,
        "",
        "the chat template is called with messages alone",
    ),
    Row::nothing("attn_implementation_kwargs", Anything, "", "r1x has its own kernels"),
    Row::nothing(
        "auto_find_batch_size",
        Flag,
        "false",
        "r1x estimates memory before it begins, and never changes a batch",
    ),
    Row::no_matter("shuffle_dataset", Loading),
    Row::no_matter("trust_remote_code", Files),
    Row::no_matter("model_revision", Files),
    Row::no_matter("model_init_kwargs", Files),
    Row::no_matter("chat_template_kwargs", Idle),
    Row::no_matter("torch_dtype", Kernels),
    Row::no_matter("dtype", Kernels),
    Row::no_matter("attn_implementation", Kernels),
    Row::no_matter("gradient_checkpointing_kwargs*", Kernels),
    Row::no_matter("use_liger*", Kernels),
    Row::no_matter("liger_kernel_config*", Kernels),
    Row::no_matter("torch_compile*", Kernels),
    Row::no_matter("torch_empty_cache_steps", Kernels),
    Row::no_matter("tf32", Kernels),
    Row::no_matter("bf16_full_eval", Kernels),
    Row::no_matter("fp16_*", Kernels),
    Row::no_matter("half_precision_backend", Kernels),
    Row::no_matter("pad_to_multiple_of", Kernels),
    Row::no_matter("use_cpu", Kernels),
    Row::no_matter("group_by_length", Loading),
    Row::no_matter("length_column_name", Loading),
    Row::no_matter("remove_unused_columns", Loading),
    Row::no_matter("dataloader_*", Loading),
    Row::no_matter("dataset_num_proc", Loading),
    Row::no_matter("dataset_streaming", Loading),
    Row::no_matter("streaming", Loading),
    Row::no_matter("preprocessing_num_workers", Loading),
    Row::no_matter("ignore_data_skip", Loading),
    Row::no_matter("ignore_bias_buffers", Devices),
    Row::no_matter("deepspeed*", Devices),
    Row::no_matter("fsdp*", Devices),
    Row::no_matter("ddp_*", Devices),
    Row::no_matter("local_rank", Devices),
    Row::no_matter("accelerator_config*", Devices),
    Row::no_matter("parallelism_config*", Devices),
    Row::no_matter("average_tokens_across_devices", Devices),
    Row::no_matter("logging_*", Logging),
    Row::no_matter("log_level*", Logging),
    Row::no_matter("log_on_each_node", Logging),
    Row::no_matter("report_to", Logging),
    Row::no_matter("project", Logging),
    Row::no_matter("trackio_space_id", Logging),
    Row::no_matter("disable_tqdm", Logging),
    Row::no_matter("include_tokens_per_second", Logging),
    Row::no_matter("include_num_input_tokens_seen", Logging),
    Row::no_matter("push_to_hub*", Hub),
    Row::no_matter("hub_*", Hub),
    Row::no_matter("overwrite_output_dir", Files),
    Row::no_matter("resume_from_checkpoint", Files),
    Row::no_matter("save_safetensors", Files),
    Row::no_matter("save_only_model", Files),
    Row::no_matter("save_on_each_node", Files),
    Row::no_matter("load_best_model_at_end", Idle),
    Row::no_matter("metric_for_best_model", Idle),
    Row::no_matter("greater_is_better", Idle),
    Row::no_matter("do_train", Idle),
    Row::no_matter("do_predict", Idle),
    Row::no_matter("eval_on_start", Idle),
    Row::no_matter("eval_delay", Idle),
    Row::no_matter("eval_accumulation_steps", Kernels),
    Row::no_matter("per_device_eval_batch_size", Kernels),
    Row::no_matter("full_determinism", Kernels),
];

/// Defaults of keys that were others in earlier versions, of which recipes may be.
pub(super) const DRIFTED: &[(&str, &str)] = &[
    ("temperature", "0.9 up to 0.17"),
    ("beta", "0.04 up to 0.18"),
    ("loss_type", "what is `grpo` now up to 0.15, and `bnpo` from 0.17 to 0.21"),
    ("max_completion_length", "256 up to 1.9"),
    ("max_prompt_length", "512 up to 0.25"),
    ("top_k", "50 in 0.16 and 0.17"),
];

/// A default of the penalty that was another one, which counts where there is a penalty.
pub(super) const DRIFTED_PENALTY: (&str, &str) =
    ("use_bias_correction_kl", "false up to 1.9, which is the estimator `k3`");
