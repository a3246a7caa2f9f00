//! The examples of `docs/spec.md`, one or more for each map of keys.
//!
//! Each is a piece of a spec that extends `countdown.yaml`, and a test resolves it there. Must not explain keys.

mod data;
mod stages;

/// An example of the keys of one map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// Path of the map whose keys it shows.
    pub path: &'static str,
    /// The piece of a spec.
    pub text: &'static str,
}

/// Every example; those of one map are in the order of the page.
pub fn examples() -> impl Iterator<Item = &'static Example> {
    EXAMPLES.iter().chain(data::EXAMPLES).chain(stages::EXAMPLES)
}

/// The examples of everything but data and stages.
const EXAMPLES: &[Example] = &[
    Example {
        path: "",
        text: "
r1x: 1
extends: countdown.yaml        # what is not written here comes from there
name: countdown-long
seed: 2
tags: [longer, second-try]
stages:
  - id: rl
    grpo: {steps: 1200}",
    },
    Example {
        path: "model",
        text: "
model:
  from: ../models/smollm2      # takes the place of the model that countdown.yaml describes
  context_length: 512",
    },
    Example {
        path: "model",
        text: "
model:
  layers: 3
  # or `countdown-calm-otter:cold-start`, where that run is in the store
  checkpoint: ../runs/countdown-calm-otter/cold-start/final",
    },
    Example {
        path: "model",
        text: "
model:
  tokenizer: {data: countdown}
  hidden_size: 192
  layers: 3
  context_length: 64
  attention:
    gqa: {heads: 6, kv_heads: 2, head_dim: 32}
  feed_forward:
    dense: {intermediate_size: 384}
  vocabulary_size: 128         # rows for tokens that may come
  head: vocabulary
  tie_embeddings: false
  rope_theta: 10000
  rope_pairs: halves
  rope_scaling:
    linear: {factor: 2}
  norm_eps: 1e-6
  init_std: 0.02
  precision: f32
  recompute_activations: true
  mtp: {depth: 1}",
    },
    Example {
        path: "model.mtp",
        text: "
model:
  mtp: {depth: 2, weight: 0.3}",
    },
    Example {
        path: "model.lora",
        text: "
model:
  lora: {rank: 16}                                   # alpha 32, at every projection",
    },
    Example {
        path: "model.lora",
        text: "
model:
  from: ../models/smollm2
  lora:
    rank: 8
    alpha: 16
    scaling: root_of_rank
    targets: [q_proj, v_proj]",
    },
    Example {
        path: "model.lora",
        text: "
model:
  from: ../models/smollm2
  lora: {from: ../models/smollm2-lora}               # as PEFT writes them",
    },
    Example {
        path: "model.tokenizer",
        text: "
model:
  tokenizer: {data: countdown}                       # a token for each word of the data",
    },
    Example {
        path: "model.tokenizer",
        text: "
model:
  tokenizer: {vocabulary: [\"0\", \"1\", \"2\", \"+\", \"=\", \"->\"]}   # these words and no others",
    },
    Example {
        path: "model.tokenizer",
        text: "
model:
  tokenizer: {file: tokenizer.json, eos: <|endoftext|>}",
    },
    Example {
        path: "model.tokenizer",
        text: "
model:
  tokenizer: {file: tokenizer.json, eos: [<|im_end|>, <|endoftext|>]}   # whichever comes first",
    },
    Example {
        path: "model.tokenizer",
        text: "
model:
  tokenizer: {file: tokenizer.json, eos: <|im_end|>, chat_template: chat_template.jinja}",
    },
    Example {
        path: "model.rope_scaling.linear",
        text: "
model:
  rope_scaling:
    linear: {factor: 4}",
    },
    Example {
        path: "model.rope_scaling.llama3",
        text: "
model:
  rope_theta: 500000
  rope_scaling:
    llama3: {factor: 8, original_context: 8192, low_freq_factor: 1, high_freq_factor: 4}",
    },
    Example {
        path: "model.rope_scaling.yarn",
        text: "
model:
  rope_scaling:
    yarn:                                            # DeepSeek-V3's
      factor: 40
      original_context: 4096
      beta_fast: 32
      beta_slow: 1
      truncate: true
      mscale: 1
      mscale_all_dim: 1",
    },
    Example {
        path: "model.rope_scaling.yarn",
        text: "
model:
  rope_scaling:
    yarn: {factor: 4, original_context: 32768, attention_factor: 1.14}",
    },
    Example {
        path: "model.attention.gqa",
        text: "
model:
  attention:
    gqa:
      heads: 8
      kv_heads: 2
      head_dim: 16
      rotary_dim: 8                                  # half of each head turns
      qkv_bias: true
      output_bias: false
      qk_norm: head
      clip_qkv: 8
      window: {size: 32, layers: [1]}",
    },
    Example {
        path: "model.attention.gqa.window",
        text: "
model:
  attention:
    gqa: {heads: 8, kv_heads: 2, head_dim: 16, window: {size: 32, layers: 1}}   # the first layer",
    },
    Example {
        path: "model.attention.mla",
        text: "
model:
  attention:
    mla:
      heads: 4
      q_lora_rank: 64
      kv_lora_rank: 32
      qk_nope_head_dim: 32
      qk_rope_head_dim: 16
      v_head_dim: 32
      latent_norm_eps: 1e-6
      bias: true",
    },
    Example {
        path: "model.feed_forward.dense",
        text: "
model:
  feed_forward:
    dense: {intermediate_size: 256, bias: true}",
    },
    Example {
        path: "model.feed_forward.moe",
        text: "
model:
  feed_forward:
    moe:
      routed_experts: 16
      shared_experts: 1
      experts_per_token: 4
      expert_intermediate_size: 64
      scoring: sigmoid
      selection_bias: true
      groups: 4
      groups_per_token: 2
      group_score: top_two
      norm_topk_prob: true
      routed_scaling: 1.5
      bias_update_speed: 0.001
      balance_loss: 0.0001
      dense_layers: 1
      dense_intermediate_size: 256",
    },
    Example {
        path: "model.feed_forward.moe",
        text: "
model:
  feed_forward:
    moe:                                             # Qwen2-MoE's
      routed_experts: 8
      experts_per_token: 2
      expert_intermediate_size: 64
      shared_experts: null                           # countdown.yaml says how many; here it is how wide
      shared_intermediate_size: 160
      shared_gate: true
      scoring: softmax
      selection_bias: false
      bias_update_speed: 0
      norm_topk_prob: false
      dense_layers: [1]
      dense_intermediate_size: 256",
    },
    Example {
        path: "rewards.ID",
        text: "
rewards:
  equation:
    plugin: ../plugins/countdown.wasm
    weight: [{step: 0, weight: 0.5}, {step: 100, weight: 1}]
    with: {compat: none}
    on_failure: mask
    max_failed_share: 0.05
  form:
    plugin: ../plugins/format.wasm
    weight: 0.1
    schedule: {kind: linear, warmup_steps: 20, final_ratio: 0.5}
    for: {data: [countdown]}
    clip: [0, 1]
    only_if: {reward: equation, at_least: 0.5}
    limits: {time_ms: 2000}
  tests:
    plugin: ../plugins/code.wasm
    grant: [exec]
stages:
  - id: rl
    grpo: {rewards: [equation, form, tests]}",
    },
    Example {
        path: "rewards.ID.schedule",
        text: "
stages:
  - id: rl
    grpo:
      lr: 3e-4
      schedule: {kind: cosine, warmup_steps: 20, final_ratio: 0.1}",
    },
    Example {
        path: "rewards.ID.for",
        text: "
rewards:
  equation:
    for: {data: [countdown], column: target, values: [\"10\", \"20\"]}
  format:
    for: {data: [countdown]}
evals:
  - {id: heldout, grade: format}",
    },
    Example {
        path: "rewards.ID.only_if",
        text: "
rewards:
  equation:
    only_if: {reward: format, at_least: 1, otherwise: mask}",
    },
    Example {
        path: "rewards.ID.limits",
        text: "
rewards:
  equation:
    limits: {time_ms: 5000, time_per_rollout_ms: 10, memory_bytes: 64MiB, fuel: 50000000}",
    },
    Example {
        path: "judges.ID",
        text: "
judges:
  critic:
    checkpoint: ../runs/critic-calm-otter/sft/final
    model:
      tokenizer: {data: countdown}
      hidden_size: 64
      layers: 2
      context_length: 128
      attention:
        gqa: {heads: 4, kv_heads: 4, head_dim: 16}
      feed_forward:
        dense: {intermediate_size: 192}",
    },
    Example {
        path: "stages.ID",
        text: "
models:
  student: {layers: 1}         # `model` in all else
stages:
  - id: look-back
    weights: cold-start        # and not those of rl, the stage before
    evaluate: {evals: [heldout]}
  - id: small
    model: student
    sft: {data: countdown.train, steps: 100, batch_size: 32, lr: 3e-3}",
    },
    Example {
        path: "evals.ID",
        text: "
evals:
  - id: seen                     # do the problems of the cold start do better?
    data: countdown.train
    skip: 100
    limit: 200
    samples: 4
    sampling: {temperature: 1.0, max_tokens: 32}
    grade: equation
    threshold: 0.5
    report: [pass@1, pass@4]
    gate: {pass@1: 0.4, pass@4: \">= 0.6\"}",
    },
    Example {
        path: "evals.ID.when",
        text: "
evals:
  - id: heldout
    when: {at: [start, stage_end], every: 50}",
    },
    Example {
        path: "record",
        text: "
record: {text: true, tokens: false, logprobs: false}",
    },
    Example {
        path: "record.retention",
        text: "
record:
  retention:                     # `r1x gc` may take the rest
    text: {last_steps: 1000, every: 10}
    tokens: {last_steps: 200}
    logprobs: {last_steps: 50}",
    },
    Example {
        path: "record.retention.text",
        text: "
record:
  retention:
    text: {last_steps: 200, every: 50}",
    },
    Example {
        path: "checkpoints",
        text: "
checkpoints: {every: 50, keep: 3}",
    },
    Example {
        path: "sweep",
        text: "
sweep:
  matrix:                        # six runs
    seed: [1, 2, 3]
    stages.rl.grpo.lr: [1e-4, 3e-4]",
    },
];
