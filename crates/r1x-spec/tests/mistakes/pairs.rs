//! Mistakes about stages that learn from pairs, and about models that say values.

use super::{Case, edit};

pub const CASES: &[Case] = &[
    edit(
        "stages that learn from pairs",
        &[(
            "  - id: rl\n",
            "  - id: judge\n    reward_model: {data: [countdown.train, file.train], steps: 10, batch_size: 4, micro_batch_size: 9, \
             lr: 1e-5, loss: point, margin: 1}\n  - id: prefer\n    dpo: {data: countdown.heldout, steps: 10, \
             batch_size: 4, lr: 1e-6, kind: ipo, label_smoothing: 0.1}\n  - id: rl\n",
        )],
    ),
    edit(
        "numbers of a loss over pairs",
        &[(
            "  - id: rl\n",
            "  - id: prefer\n    dpo: {data: countdown.train, steps: 10, batch_size: 4, lr: 1e-6, beta: 0, label_smoothing: 0.5}\n  - id: judge\n    reward_model: {data: countdown.train, steps: 10, \
             batch_size: 4, lr: 1e-5, reads: thought}\n  \
             - id: rl\n",
        )],
    ),
    edit(
        "a value head beside what needs another",
        &[("  hidden_size: 128\n", "  hidden_size: 128\n  head: value\n  lora: {rank: 4}\n")],
    ),
    edit(
        "a value head beside multi-token prediction",
        &[("  hidden_size: 128\n", "  hidden_size: 128\n  head: value\n  mtp: {depth: 1}\n")],
    ),
];
