//! Mistakes about further models of a run, and about the stages that work on them.

use super::{Case, edit, set};

/// A further model, and a last stage that works on it.
const STUDENT: (&str, &str) = ("\ndata:\n", "\nmodels:\n  student: {layers: 1}\ndata:\n");
const LAST: &str = "  - id: small\n    model: student\n    sft: {data: countdown.train, steps: 4, batch_size: 8, lr: 1e-3}\nevals:\n";

pub const CASES: &[Case] = &[
    set("stage of a model where there are none", &["stages.rl.model=student"]),
    edit(
        "stage of a model that is not there",
        &[STUDENT, ("  - id: rl\n", "  - id: rl\n    model: studnet\n")],
    ),
    edit(
        "stage with weights of a model of another shape",
        &[
            STUDENT,
            ("evals:\n", LAST),
            ("    model: student\n", "    model: student\n    weights: rl\n"),
        ],
    ),
    edit(
        "further model that reads other tokens",
        &[("\ndata:\n", "\nmodels:\n  other: {from: models/tiny}\ndata:\n")],
    ),
    edit(
        "further model with a mistake of its own",
        &[("\ndata:\n", "\nmodels:\n  student: {layers: 0, hiden_size: 8}\ndata:\n")],
    ),
    edit(
        "further model of a model with a mistake",
        &[STUDENT, ("  layers: 2\n", "  layers: two\n")],
    ),
    edit(
        "reward of a stage that trains no reward model",
        &[
            ("rewards:\n", "rewards:\n  liked: {reward_model: rl, grant: [exec]}\n"),
            ("    grade: equation\n", "    grade: liked\n"),
            ("rewards: [format, equation]", "rewards: [liked, equation]"),
        ],
    ),
];
