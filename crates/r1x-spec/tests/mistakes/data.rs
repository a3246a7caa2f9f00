//! Mistakes of data sets that are generated small tasks or hold pairs, and of vocabularies from several of them.

use super::{Case, edit, set};

/// A data set behind those of the base spec.
macro_rules! data {
    ($text:literal) => {
        &[("rewards:\n", concat!("  more:\n", $text, "    prompt: \"{{ question }}\"\nrewards:\n"))]
    };
}

pub const CASES: &[Case] = &[
    edit(
        "sums on a wheel that cannot be",
        data!(
            "    arithmetic: {modulus: 4, steps: [3, 6], operations: \"+%\", mixed_thoughts: 1.5, train: 10, heldout: 2}\n"
        ),
    ),
    edit("sums without a size", data!("    arithmetic: {train: 10, heldout: 2, seeds: 3}\n")),
    edit(
        "letters in an unknown language",
        data!(
            "    strings: {tasks: [reverse, shuffle], letters: 27, length: 1, languages: [en, fr], train: 10, heldout: 2}\n"
        ),
    ),
    edit(
        "requests that are refused too often",
        data!("    requests: {refuse: 2, languages: en, heldout: 2}\n"),
    ),
    edit(
        "two kinds of generated data",
        data!(
            "    requests: {train: 10, heldout: 2}\n    strings: {length: 3, train: 10, heldout: 2}\n"
        ),
    ),
    edit(
        "worse completion without a better one",
        &[("columns: [question]}", "columns: [question], rejected: worse}")],
    ),
    edit(
        "limit beyond a generated task",
        &[
            ("{data: countdown.train, limit: 4000", "{data: more.train, limit: 4000"),
            (
                "rewards:\n",
                "  more:\n    requests: {train: 100, heldout: 2}\n    prompt: \"{{ question }}\"\nrewards:\n",
            ),
        ],
    ),
    edit("a mixture of nothing", &[("      data: countdown.train", "      data: {}")]),
    edit(
        "parts that are none",
        &[(
            "      data: countdown.train",
            "      data: {countdown.train: 0, file.trian: 2, file.train: half}",
        )],
    ),
    edit(
        "fewer problems than a step draws of a mixture",
        &[
            (
                "      data: countdown.train",
                "      data: {countdown.train: 1, more.train: 2}\n      skip: null",
            ),
            (
                "rewards:\n",
                "  more:\n    requests: {train: 20, heldout: 2}\n    prompt: \"{{ question }}\"\nrewards:\n",
            ),
            ("rewards: [format, equation]", "rewards: [format]"),
        ],
    ),
    set("two lengths of a stage", &["stages.cold-start.sft.epochs=2"]),
    set("a stage without a length", &["stages.cold-start.sft.steps=null"]),
    edit(
        "passes over data that is not made yet",
        &[(
            "evals:\n",
            "  - id: harvest\n    reject: {data: countdown.train, rewards: [equation], steps: 10, prompts_per_step: 8, samples: 4, \
             sampling: {max_tokens: 40}}\n  - id: again\n    sft: {data: harvest.train, epochs: 2, batch_size: 4, lr: 1e-4}\nevals:\n",
        )],
    ),
    edit("vocabulary of no data set", &[("{data: countdown}", "{data: []}")]),
    edit(
        "vocabulary of unknown data sets",
        &[("{data: countdown}", "{data: [countdown, filter, fil]}")],
    ),
];
