//! How long the problems of a plan are, and what they take in memory: what estimates rest on.

use std::collections::BTreeMap;

use r1x_core::{Encoder, Problem};
use r1x_spec::DataSize;
use r1x_tasks::dataset::bytes_of;
use r1x_tasks::{DataSet, Problems};

/// Problems of a data set whose lengths are looked at.
const LOOKED_AT: usize = 500;

/// The sizes of all data sets by id. Texts that an encoder refuses say nothing.
pub fn sizes(problems: &Problems, encoder: Option<&dyn Encoder>) -> BTreeMap<String, DataSize> {
    let tokens = |text: &str| Some(encoder?.encode(text).ok()?.len() as u64);
    let size = |set: &DataSet| {
        let looked_at = || set.train.iter().chain(&set.heldout).take(LOOKED_AT);
        let prompt = |problem: &Problem| {
            let tokens = encoder?.encode_prompt(&problem.prompt, &problem.form);
            Some(tokens.ok()?.len() as u64)
        };
        let prompts: Vec<u64> = looked_at().filter_map(prompt).collect();
        // A completion ends with a token of its own.
        let solution =
            |problem: &Problem| Some(tokens(problem.continued(problem.solution.as_deref()?))? + 1);
        let solutions: Vec<u64> = looked_at().filter_map(solution).collect();
        let example = |problem: &Problem| Some(prompt(problem)? + solution(problem)?);
        // The longest of those that nobody looked at may be longer.
        let all = set.train.len() + set.heldout.len() <= LOOKED_AT;
        let longest = |tokens: u64| if all { tokens } else { tokens + tokens / 4 };
        DataSize {
            train: set.train.len(),
            heldout: set.heldout.len(),
            longest_prompt: prompts.iter().max().copied(),
            prompt: mean(&prompts),
            solution: mean(&solutions),
            longest_example: looked_at().filter_map(example).max().map(longest),
            bytes: set.train.iter().chain(&set.heldout).map(bytes_of).sum(),
        }
    };
    problems.sets().map(|(id, set)| (id.to_owned(), size(set))).collect()
}

fn mean(values: &[u64]) -> Option<f64> {
    let sum: u64 = values.iter().sum();
    (!values.is_empty()).then(|| sum as f64 / values.len() as f64)
}
