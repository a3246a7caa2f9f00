//! The examples of stages.

use super::Example;

/// Every example of a stage, in the order of the page.
pub(super) const EXAMPLES: &[Example] = &[
    Example {
        path: "stages.ID.sft",
        text: "
stages:
  - id: cold-start
    sft:
      data: countdown.train
      skip: 500
      limit: 2000
      steps: 400
      batch_size: 64
      micro_batch_size: 16
      lr: 3e-3
      schedule: {kind: cosine, warmup_steps: 20}
      beta1: 0.9
      beta2: 0.95
      eps: 1e-8
      weight_decay: 0.1
      grad_clip: 1.0
  - id: again
    sft: {data: countdown.train, epochs: 2, batch_size: 64, lr: 1e-4}",
    },
    Example {
        path: "stages.ID.grpo",
        text: "
stages:
  - id: rl
    grpo:
      data: countdown.train
      skip: 3000
      limit: 5000
      rewards: [format, equation]
      steps: 300
      prompts_per_step: 64
      group_size: 8
      sampling: {temperature: 1.0, max_tokens: 32}
      epochs: 1
      updates_per_epoch: 2
      micro_batch_size: 16
      lr: 3e-4
      schedule: {kind: linear, warmup_steps: 10}
      beta1: 0.9
      beta2: 0.95
      eps: 1e-8
      weight_decay: 0.0
      grad_clip: 1.0
      advantage: {kind: group_normalized}
      ratio: token
      clip: {low: 0.2, high: 0.28}
      kl: {coef: 0.001}
      aggregation: token_mean
      zero_signal: drop
      truncated: mask
      share_prompts: true",
    },
    Example {
        path: "stages.ID.grpo",
        text: "
stages:
  - id: rl
    grpo:
      algorithm: dapo                        # and nothing of it is hidden: `r1x plan` shows what it stands for
      clip: {high: 0.3}",
    },
    Example {
        path: "stages.ID.grpo",
        text: "
stages:
  - id: rl
    grpo:
      zero_signal: resample                  # others in place of groups without signal,
      max_batches: 4                         # until a step has drawn four times its problems",
    },
    Example {
        path: "stages.ID.grpo.sampling",
        text: "
evals:
  - id: heldout
    samples: 8
    sampling: {temperature: 0.7, top_k: 50, top_p: 0.95, min_p: 0.01, max_tokens: 32}",
    },
    Example {
        path: "stages.ID.grpo.advantage",
        text: "
stages:
  - id: rl
    grpo:
      advantage: {kind: group_normalized, eps: 1e-4, combine: sum_then_normalize, clip_total: [-1, 2]}",
    },
    Example {
        path: "stages.ID.grpo.advantage",
        text: "
stages:
  - id: rl
    grpo:
      advantage: {combine: normalize_then_sum, whiten: false}",
    },
    Example {
        path: "stages.ID.grpo.critic",
        text: "
models:
  critic: {head: value}                      # `model` in all else
stages:
  - id: rl
    grpo:
      algorithm: ppo
      group_size: 1                          # nothing is compared in a group
      zero_signal: keep
      critic:
        model: critic
        weights: cold-start                  # all but the head, which is new
        gamma: 1
        lambda: 1
        whiten: true
        value_clip: 0.2
        alone_steps: 10
        lr: 1e-3
        schedule: {kind: linear, warmup_steps: 10}
        beta1: 0.9
        beta2: 0.95
        eps: 1e-8
        weight_decay: 0.0
        grad_clip: 1.0",
    },
    Example {
        path: "stages.ID.grpo.clip",
        text: "
stages:
  - id: rl
    grpo:
      clip: {low: 0.2, high: 0.28, max_ratio: 4}",
    },
    Example {
        path: "stages.ID.grpo.entropy",
        text: "
stages:
  - id: rl
    grpo:
      entropy: {coef: 0.001, top_share: 0.2}",
    },
    Example {
        path: "stages.ID.grpo.clip",
        text: "
stages:
  - id: rl
    grpo:
      ratio: sequence                        # GSPO
      clip: {low: 0.0003, high: 0.0004}
      aggregation: sequence_mean",
    },
    Example {
        path: "stages.ID.grpo.clip",
        text: "
stages:
  - id: rl
    grpo:
      clip: {kind: weight, high: 4}          # CISPO: weights up to 5",
    },
    Example {
        path: "stages.ID.grpo.clip",
        text: "
stages:
  - id: rl
    grpo:
      clip: {kind: sigmoid, tau_positive: 1.0, tau_negative: 1.05}   # SAPO",
    },
    Example {
        path: "stages.ID.grpo.clip",
        text: "
stages:
  - id: rl
    grpo:
      updates_per_epoch: 4
      clip: {max_divergence: 0.1}            # the off-policy sequence mask of DeepSeek-V3.2",
    },
    Example {
        path: "stages.ID.grpo.kl",
        text: "
stages:
  - id: rl
    grpo:
      kl: {coef: 0.001, estimator: k3, refresh_every: 400}",
    },
    Example {
        path: "stages.ID.grpo.kl",
        text: "
stages:
  - id: rl
    grpo:
      kl: {coef: 0.04, refresh_every: 64, refresh_mix: 0.6}   # a moving average of the policy",
    },
    Example {
        path: "stages.ID.grpo.kl",
        text: "
stages:
  - id: rl
    grpo:
      advantage: {kind: leave_one_out}
      kl: {coef: 0.05, in: reward}           # off the totals, as RLOO and REINFORCE++ have it
      zero_signal: keep",
    },
    Example {
        path: "stages.ID.reject",
        text: "
stages:
  - id: harvest
    reject:
      data: countdown.train
      skip: 3000
      limit: 4000
      rewards: [format, equation]
      steps: 125
      prompts_per_step: 32
      samples: 16
      sampling: {temperature: 1.0, max_tokens: 32}
      keep: {equation: 1.0, format: 1.0}
      drop: {similarity_from: 1.0}
      per_prompt: 2
      prefer: shortest
  - id: again
    weights: base
    sft: {data: [harvest.train, countdown.train], steps: 500, batch_size: 64, lr: 3e-3}",
    },
    Example {
        path: "stages.ID.reject.drop",
        text: "
extends: countdown-rejection.yaml
stages:
  - id: harvest
    reject:
      drop: {code_blocks: true, paragraph_above: 2000, repetition_above: 0.5, same_answer: true, similarity_from: 0.9}",
    },
    Example {
        path: "stages.ID.reject.pass_rate",
        text: "
stages:
  - id: within-reach                         # prompts that are answered right sometimes, and not always
    weights: cold-start
    reject:
      data: countdown.train
      rewards: [equation]
      steps: 50
      prompts_per_step: 64
      samples: 8
      sampling: {max_tokens: 32}
      keep: {equation: 1.0}
      pass_rate: {at_least: 0.125, at_most: 0.75}
      per_prompt: 1
  - id: rl-within-reach
    weights: cold-start
    grpo:
      data: within-reach.train
      rewards: [format, equation]
      steps: 100
      prompts_per_step: 16
      group_size: 8
      sampling: {max_tokens: 32}
      lr: 3e-4",
    },
    Example {
        path: "rewards.ID",
        text: "
models:
  judge: {head: value}
data:
  wishes:
    requests: {train: 5000, heldout: 50}
    prompt: \"{{ question }}\"
model:
  tokenizer: {data: [countdown, wishes]}
  context_length: 96
rewards:
  equation: {for: {data: [countdown]}}
  liked: {reward_model: judge, for: {data: [wishes]}, weight: 0.5}
stages:
  - id: judge
    model: judge
    weights: rl
    reward_model: {data: wishes.train, steps: 100, batch_size: 32, lr: 1e-4}
  - id: all
    weights: rl
    grpo:
      data: [countdown.train, wishes.train]
      rewards: [equation, liked]
      steps: 50
      prompts_per_step: 32
      group_size: 8
      sampling: {max_tokens: 32}
      lr: 1e-4",
    },
    Example {
        path: "stages.ID.reward_model",
        text: "
models:
  judge: {head: value}                       # the model judges, and does not write
model:
  tokenizer: {data: [countdown, wishes]}
  context_length: 96
data:
  wishes:
    requests: {train: 5000, heldout: 50}
    prompt: \"{{ question }}\"
stages:
  - id: judge
    model: judge
    reward_model:
      data: wishes.train
      skip: 100
      limit: 4000
      steps: 300
      batch_size: 32
      micro_batch_size: 16
      lr: 1e-5
      schedule: {kind: linear, warmup_steps: 10}
      beta1: 0.9
      beta2: 0.95
      eps: 1e-8
      weight_decay: 0.0
      grad_clip: 1.0
      loss: pair
      margin: 0.0
      reads: answer
      share_prompts: true
      heldout_every: 50",
    },
    Example {
        path: "stages.ID.dpo",
        text: "
model:
  tokenizer: {data: [countdown, wishes]}
  context_length: 96
data:
  wishes:
    requests: {train: 5000, heldout: 50}
    prompt: \"{{ question }}\"
stages:
  - id: prefer
    dpo:
      data: wishes.train
      skip: 100
      limit: 4000
      steps: 300
      batch_size: 32
      micro_batch_size: 16
      lr: 1e-6
      schedule: {kind: linear, warmup_steps: 10}
      beta1: 0.9
      beta2: 0.95
      eps: 1e-8
      weight_decay: 0.0
      grad_clip: 1.0
      kind: sigmoid
      beta: 0.1
      label_smoothing: 0.0
      share_prompts: true",
    },
    Example {
        path: "stages.ID.dpo",
        text: "
model:
  tokenizer: {data: [countdown, wishes]}
  context_length: 96
data:
  wishes:
    requests: {train: 5000, heldout: 50}
    prompt: \"{{ question }}\"
stages:
  - id: prefer
    dpo: {data: wishes.train, steps: 300, batch_size: 32, lr: 1e-6, kind: ipo, beta: 0.05}",
    },
    Example {
        path: "stages.ID.distill",
        text: "
models:
  small: {layers: 1}                         # `model` in all else
stages:
  - id: student
    model: small
    distill:
      teacher: rl                            # the policy as that stage has left it
      data: countdown.train
      skip: 3000
      limit: 5000
      sampling: {temperature: 1.0, max_tokens: 32}
      samples: 2
      steps: 100
      batch_size: 32
      micro_batch_size: 16
      lr: 1e-3
      schedule: {kind: cosine, warmup_steps: 5}
      beta1: 0.9
      beta2: 0.95
      eps: 1e-8
      weight_decay: 0.0
      grad_clip: 1.0
      divergence: jensen_shannon
      beta: 0.1
      temperature: 1.0
      top: 16",
    },
    Example {
        path: "stages.ID.distill",
        text: "
model: {from: ../models/smollm2}
models:
  teacher: {from: ../models/smollm2}         # or a larger one with the tokenizer of `model`
stages:
  - id: student
    distill: {teacher_model: teacher, data: countdown.train, steps: 100, batch_size: 32, lr: 1e-3}",
    },
    Example {
        path: "stages.ID.merge",
        text: "
stages:
  - id: other-rl
    weights: cold-start                        # as `rl` began too
    grpo: {data: countdown.train, rewards: [equation], steps: 300, prompts_per_step: 64, group_size: 8, sampling: \
         {max_tokens: 32}, lr: 1e-4}
  - id: both
    merge:
      parts: {rl: 1, other-rl: 3}              # 0.25 of the one and 0.75 of the other",
    },
    Example {
        path: "stages.ID.evaluate",
        text: "
stages:
  - id: last-look
    evaluate: {evals: [heldout]}",
    },
];
