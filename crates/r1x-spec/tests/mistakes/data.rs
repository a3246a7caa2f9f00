//! Mistakes of data sets that are generated small tasks or hold pairs, and of vocabularies from several of them.

use super::{Case, edit};

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
    edit("vocabulary of no data set", &[("{data: countdown}", "{data: []}")]),
    edit(
        "vocabulary of unknown data sets",
        &[("{data: countdown}", "{data: [countdown, filter, fil]}")],
    ),
];
