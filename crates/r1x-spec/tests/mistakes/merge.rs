//! Mistakes about stages that average weights.

use super::{Case, edit};

pub const CASES: &[Case] = &[
    edit(
        "averages of what there is not",
        &[(
            "  - id: rl\n",
            "  - id: look\n    evaluate: {evals: [heldout]}\n  - id: nobody\n    merge: {parts: {cold-start: 1, cold-strat: 1}}\n  - id: \
             below\n    merge: {parts: {cold-start: 1, rl: 1}}\n  - id: itself\n    merge: {parts: {cold-start: 1, itself: 1}}\n  - id: \
             unchanged\n    merge: {parts: {cold-start: 1, look: 1}}\n  - id: rl\n",
        )],
    ),
    edit(
        "numbers of averages",
        &[(
            "  - id: rl\n",
            "  - id: none\n    merge: {}\n  - id: empty\n    merge: {parts: {}}\n  - id: one\n    merge: {parts: {cold-start: 1}}\n  - id: \
             zero\n    merge: {parts: {base: 0, cold-start: 1}}\n  - id: less\n    merge: {parts: {base: -1, cold-start: 2}}\n  - id: \
             begins\n    weights: base\n    merge: {parts: {base: 1, cold-start: 2}}\n  - id: rl\n",
        )],
    ),
    edit(
        "averages of models of other shapes",
        &[
            ("stages:\n", "models:\n  small: {layers: 1}\nstages:\n"),
            (
                "  - id: rl\n",
                "  - id: small-sft\n    model: small\n    sft: {data: countdown.train, steps: 10, batch_size: 4, lr: 1e-4}\n  - id: \
                 both\n    merge: {parts: {cold-start: 1, small-sft: 1}}\n  - id: rl\n",
            ),
        ],
    ),
    edit(
        "averages of models that judge",
        &[
            ("stages:\n", "models:\n  judge: {head: value}\nstages:\n"),
            (
                "  - id: rl\n",
                "  - id: both\n    model: judge\n    merge: {parts: {base: 1, cold-start: 1}}\n  - id: rl\n",
            ),
        ],
    ),
    edit(
        "averages of adapters",
        &[
            ("stages:\n", "models:\n  adapted: {lora: {rank: 4}}\nstages:\n"),
            (
                "  - id: rl\n",
                "  - id: a\n    model: adapted\n    sft: {data: countdown.train, steps: 10, batch_size: 4, lr: 1e-4}\n  - id: b\n    \
                 model: adapted\n    weights: base\n    sft: {data: countdown.train, steps: 9, batch_size: 4, lr: 1e-4}\n  - id: \
                 both\n    model: adapted\n    merge: {parts: {a: 1, b: 1}}\n  - id: rl\n",
            ),
        ],
    ),
];
