//! The parts of the benchmarks: one file each, a list of workloads with ids.

mod decode;
mod generate;
mod group;
mod grpo;
mod load;
mod matmul;
mod moe_scaling;
mod peak;
mod prefill;
mod reward;
mod sampling;
mod scale;
mod store;
mod train;

use crate::failure::Failure;
use crate::measure::Options;
use crate::row::Row;

/// Measures one workload.
pub type Run = Box<dyn Fn(&Options) -> Result<Vec<Row>, Failure>>;

/// A workload that runs in a process of its own.
pub struct Case {
    /// `part/model/workload/precision`, as far as it has them.
    pub id: String,
    /// Measures it.
    pub run: Run,
    /// When it is measured.
    pub asked: Asked,
}

/// When a workload is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// When nothing is named, and when it is.
    Always,
    /// When it or its part is named: it takes long, or much room.
    ByName,
}

impl Case {
    fn new(
        id: impl Into<String>,
        run: impl Fn(&Options) -> Result<Vec<Row>, Failure> + 'static,
    ) -> Self {
        Self { id: id.into(), run: Box::new(run), asked: Asked::Always }
    }
}

/// A part: its name, what it measures, and its workloads.
pub type Part = (&'static str, &'static str, fn() -> Vec<Case>);

/// Every part, in the order of the table.
pub const PARTS: &[Part] = &[
    (
        "peak",
        "multiply-adds in registers and copies of memory: what the machine gives",
        peak::cases,
    ),
    ("matmul", "the matrix product at the shapes of the models, one thread", matmul::cases),
    ("prefill", "prompts of several lengths", prefill::cases),
    ("decode", "tokens after a prompt: batch sizes and context lengths", decode::cases),
    ("group", "one long prompt with 1, 8 and 64 samples", group::cases),
    ("generate", "16 prompts of 32 tokens x 8 samples, 128 tokens each or ragged", generate::cases),
    (
        "moe-scaling",
        "generation with 8, 16 and 32 routed experts, two of them active",
        moe_scaling::cases,
    ),
    ("train", "16 sequences of 160 tokens: forward, backward, AdamW", train::cases),
    ("grpo", "a whole step: 16 prompts x 8, generation, rewards, update", grpo::cases),
    ("reward", "1000 completions of 2 kB through the countdown plugin", reward::cases),
    ("store", "one step of 1024 rollouts of 128 tokens", store::cases),
    (
        "scale",
        "a million rollouts in one store: 10 GB of disk, and only when it is named",
        scale::cases,
    ),
    ("load", "a weights file of 1 GiB into memory, beside reading it", load::cases),
];

/// All workloads.
pub fn cases() -> Vec<Case> {
    PARTS.iter().flat_map(|(_, _, cases)| cases()).collect()
}

/// The ids of workloads that the words select: without words all that need not be named, else those at or below one of
/// them.
pub fn select(workloads: &[(String, Asked)], words: &[String]) -> Result<Vec<String>, Failure> {
    let selects = |word: &str, id: &str| {
        id.strip_prefix(word.trim_end_matches('/'))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    for word in words {
        if !workloads.iter().any(|(id, _)| selects(word, id)) {
            let names: Vec<&str> = PARTS.iter().map(|(name, ..)| *name).collect();
            return Err(Failure::new(
                format!("there is no workload `{word}`"),
                format!("parts are {}; `--list` shows their workloads", names.join(", ")),
            ));
        }
    }
    let chosen = |id: &str, asked: Asked| match words {
        [] => asked == Asked::Always,
        words => words.iter().any(|word| selects(word, id)),
    };
    let chosen = workloads.iter().filter(|(id, asked)| chosen(id, *asked));
    Ok(chosen.map(|(id, _)| id.clone()).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_begin_with_their_part() {
        let mut seen = BTreeSet::new();
        for (name, _, cases) in PARTS {
            let cases = cases();
            assert!(!cases.is_empty(), "{name}");
            for case in cases {
                let inside = case.id == *name || case.id.starts_with(&format!("{name}/"));
                assert!(inside && seen.insert(case.id.clone()), "{}", case.id);
            }
        }
    }

    #[test]
    fn words_select_what_lies_below_them() {
        let ids = ["decode/small/a", "decode/small-moe/a", "train/small", "scale/million"];
        let workloads = ids.map(|id| {
            let asked = if id.starts_with("scale") { Asked::ByName } else { Asked::Always };
            (id.to_owned(), asked)
        });
        let select = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            select(&workloads, &words)
        };
        assert_eq!(select(&[]).unwrap(), ids[..3]);
        assert_eq!(select(&["scale"]).unwrap(), ["scale/million"]);
        assert_eq!(select(&["decode/small"]).unwrap(), ["decode/small/a"]);
        assert_eq!(select(&["train", "decode/small-moe/"]).unwrap(), ids[1..3]);
        let message = select(&["dec"]).unwrap_err().to_string();
        assert!(message.contains("there is no workload `dec`"), "{message}");
    }
}
