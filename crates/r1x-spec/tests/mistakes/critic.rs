//! Mistakes about critics.

use super::{Case, edit};

pub const CASES: &[Case] = &[
    edit(
        "advantages without a critic, and a critic without advantages",
        &[
            ("stages:\n", "models:\n  critic: {head: value}\nstages:\n"),
            (
                "  - id: rl\n",
                "  - id: unasked\n    grpo: {data: countdown.train, rewards: [equation], steps: 10, prompts_per_step: 8, group_size: \
                 4, sampling: {max_tokens: 40}, lr: 1e-4, critic: {model: critic, lr: 1e-4}}\n  - id: rl\n",
            ),
            ("    grpo:\n", "    grpo:\n      algorithm: ppo\n"),
        ],
    ),
    edit(
        "critics that cannot be one",
        &[
            (
                "stages:\n",
                "models:\n  short: {head: value, context_length: 32}\n  writer: {layers: 1}\nstages:\n",
            ),
            (
                "  - id: rl\n",
                "  - id: look\n    evaluate: {evals: [heldout]}\n  - id: a\n    grpo: {data: countdown.train, rewards: [equation], \
                 steps: 10, prompts_per_step: 8, group_size: 1, sampling: {max_tokens: 20}, lr: 1e-4, algorithm: ppo, critic: \
                 {model: nobody, lr: 1e-4}}\n  - id: b\n    grpo: {data: countdown.train, rewards: [equation], steps: 10, \
                 prompts_per_step: 8, group_size: 1, sampling: {max_tokens: 20}, lr: 1e-4, algorithm: ppo, critic: {model: writer, \
                 lr: 1e-4}}\n  - id: c\n    grpo: {data: countdown.train, rewards: [equation], steps: 10, prompts_per_step: 8, \
                 group_size: 1, sampling: {max_tokens: 20}, lr: 1e-4, algorithm: ppo, critic: {model: short, weights: look, lr: \
                 1e-4}}\n  - id: rl\n",
            ),
        ],
    ),
    edit(
        "what says nothing beside a critic",
        &[
            ("stages:\n", "models:\n  critic: {head: value}\nstages:\n"),
            (
                "    grpo:\n",
                "    grpo:\n      algorithm: ppo\n      critic: {model: critic, lr: 1e-4, alone_steps: 400, schedule: {warmup_steps: 100000}}\n      zero_signal: drop\n      advantage: {combine: normalize_then_sum, whiten: true}\n",
            ),
        ],
    ),
    edit(
        "numbers of a critic",
        &[
            ("stages:\n", "models:\n  critic: {head: value}\nstages:\n"),
            (
                "    grpo:\n",
                "    grpo:\n      algorithm: ppo\n      critic: {model: critic, lambda: 1.5, gamma: -1, value_clip: -0.1, alone: 3}\n",
            ),
        ],
    ),
];
