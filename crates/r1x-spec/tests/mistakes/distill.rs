//! Mistakes about stages that learn from a teacher, and about entropies.

use super::{Case, edit};

pub const CASES: &[Case] = &[
    edit(
        "teachers that there are not",
        &[(
            "  - id: rl\n",
            "  - id: nobody\n    distill: {data: countdown.train, steps: 10, batch_size: 4, lr: 1e-4}\n  - id: both\n    distill: {teacher: \
             cold-start, teacher_model: big, data: countdown.train, steps: 10, batch_size: 4, lr: 1e-4}\n  - id: below\n    distill: \
             {teacher: rl, data: countdown.train, steps: 10, batch_size: 4, lr: 1e-4}\n  - id: unknown\n    distill: {teacher_model: \
             big, data: countdown.train, steps: 10, batch_size: 4, lr: 1e-4}\n  - id: rl\n",
        )],
    ),
    edit(
        "teachers that have nothing to teach",
        &[
            (
                "stages:\n",
                "models:\n  short: {context_length: 32}\n  judge: {head: value}\nstages:\n",
            ),
            (
                "  - id: rl\n",
                "  - id: look\n    evaluate: {evals: [heldout]}\n  - id: short-sft\n    model: short\n    sft: {data: countdown.train, \
                 steps: 10, batch_size: 4, lr: 1e-4}\n  - id: preferences\n    model: judge\n    reward_model: {data: countdown.train, \
                 steps: 10, batch_size: 4, lr: 1e-4}\n  - id: a\n    distill: {teacher: look, data: countdown.train, steps: 10, \
                 batch_size: 4, lr: 1e-4}\n  - id: b\n    distill: {teacher: short-sft, data: countdown.train, steps: 10, batch_size: 4, \
                 lr: 1e-4}\n  - id: c\n    distill: {teacher: preferences, data: countdown.train, steps: 10, batch_size: 4, lr: \
                 1e-4}\n  - id: d\n    distill: {teacher_model: short, data: countdown.train, steps: 10, batch_size: 4, lr: 1e-4}\n  - \
                 id: rl\n",
            ),
        ],
    ),
    edit(
        "numbers of distillation",
        &[(
            "  - id: rl\n",
            "  - id: student\n    distill: {teacher: cold-start, data: [countdown.train, file.train], samples: 2, steps: 10, batch_size: 4, \
             micro_batch_size: 9, lr: 1e-4, beta: 0.5, top: 0, temperature: 0, divergence: kl}\n  - id: rl\n",
        )],
    ),
    edit(
        "a pass rate that no share has",
        &[(
            "  - id: rl\n",
            "  - id: harvest\n    reject: {data: countdown.train, rewards: [equation], steps: 10, prompts_per_step: 8, samples: 4, \
             sampling: {max_tokens: 40}, pass_rate: {at_least: 0.75, at_most: 0.25}}\n  - id: rl\n",
        )],
    ),
    edit(
        "shares and factors of entropies",
        &[("    grpo:\n", "    grpo:\n      entropy: {coef: -0.1, top_share: 0, bonus: 1}\n")],
    ),
];
