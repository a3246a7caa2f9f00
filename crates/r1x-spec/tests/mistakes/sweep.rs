//! Mistakes in what a sweep varies.

use super::{Case, edit, set};

pub const CASES: &[Case] = &[
    edit(
        "sweep over keys that are none",
        &[(
            "stages:\n",
            "sweep:\n  matrix:\n    sed: [1, 2]\n    stages.rl.grpo.lrr: [1e-4, 3e-4]\n    \"stages.rll.grpo.lr\": [1e-4]\n    \
             stages.rl.sft.lr: [1e-4]\n    stages.rl.grpo.lr.peak: [1e-4]\n    extends: [other.yaml]\n    sweep.matrix: [{}]\nstages:\n",
        )],
    ),
    edit(
        "sweep over values that do not fit",
        &[(
            "stages:\n",
            "sweep:\n  matrix:\n    seed: [1, -2, 3]\n    stages.rl.grpo.lr:\n      - 1e-4\n      - fast\n    \
             stages.rl.grpo.group_size: [8, 1]\n    stages.rl.grpo.rewards: [[format], [equations]]\nstages:\n",
        )],
    ),
    edit(
        "sweep with mistakes of its own",
        &[(
            "stages:\n",
            "sweep:\n  matrix:\n    seed: 1\n    stages.rl.grpo.lr: []\n    stages.rl.grpo.steps: [400, 300, 400]\n    \
             stages.rl.grpo.group_size:\n    model.layers: [2, .nan]\n  table: {}\nstages:\n",
        )],
    ),
    edit("sweep over nothing", &[("stages:\n", "sweep: {matrix: {}}\nstages:\n")]),
    edit("sweep without a matrix", &[("stages:\n", "sweep: {}\nstages:\n")]),
    edit("sweep that is a list", &[("stages:\n", "sweep: {matrix: [1, 2]}\nstages:\n")]),
    edit(
        "sweep with too many combinations",
        &[(
            "stages:\n",
            "sweep:\n  matrix:\n    seed: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]\n    model.layers: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n    \
             stages.rl.grpo.steps: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\nstages:\n",
        )],
    ),
    edit(
        "sweep that gives a key two values",
        &[(
            "stages:\n",
            "sweep: {matrix: {stages.rl.grpo: [{lr: 1e-4}, {lr: 2e-4}], stages.rl.grpo.lr: [1e-4, 3e-4]}}\nstages:\n",
        )],
    ),
    edit(
        "sweep of which two combinations are one run",
        &[("stages:\n", "sweep: {matrix: {evals.heldout.report: [[pass@1], null]}}\nstages:\n")],
    ),
    edit(
        "sweep over a spec with a mistake",
        &[("stages:\n", "sweep: {matrix: {seed: [1, 2, 3]}}\nstages:\n"), ("lr: 3e-4", "lr: fast")],
    ),
    edit(
        "sweep with a mistake over a spec with one",
        &[("stages:\n", "sweep: {matrix: {seed: []}}\nstages:\n"), ("lr: 3e-4", "lr: fast")],
    ),
    Case {
        name: "sweep over what is set",
        edits: &[("stages:\n", "sweep: {matrix: {seed: [1, 2], model.layers: [1, 2]}}\nstages:\n")],
        set: &["model.layers=3", "seed=4"],
    },
    set("sweep that is set", &["sweep.matrix={seed: [1, 2], model.layrs: [1, 2]}"]),
    set("sweep of which a part is set", &["sweep.matrix.seed=[1, 2]"]),
];
