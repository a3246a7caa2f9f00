//! A long prompt with groups of 1, 8 and 64 samples: its cost should be paid once.

use super::Case;
use super::sampling::{generate, policy, requests};
use crate::failure::Failure;
use crate::measure::{Options, limit_seconds, repeat, time_row};
use crate::row::Row;
use crate::shape::{PRECISIONS, Precision, SMALL, SMALL_MOE, Shape};
use crate::work::Work;

/// Tokens of the prompt.
const PROMPT: usize = 1024;
/// Tokens of each sample.
const TOKENS: usize = 32;

/// The workloads.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for precision in PRECISIONS {
        for shape in [SMALL, SMALL_MOE] {
            for samples in [1, 8, 64] {
                let name = precision.name();
                let id = format!("group/{}/{samples}-after-{PROMPT}/{name}", shape.name);
                cases.push(Case::new(id.clone(), move |options| {
                    Ok(vec![run(&id, &shape, samples, *precision, options)?])
                }));
            }
        }
    }
    cases
}

fn run(
    id: &str,
    shape: &Shape,
    samples: usize,
    precision: Precision,
    options: &Options,
) -> Result<Row, Failure> {
    let (mut policy, cost) = policy(shape, precision, PROMPT + TOKENS, options)?;
    let requests = requests(shape, PROMPT, &[vec![TOKENS; samples]]);
    let measured = repeat(options, || generate(&mut *policy, &requests, 1).map(|_| None))?;
    let decoded = Work { flops: samples as f64 * cost.decode(PROMPT, TOKENS).flops, bytes: 0.0 };
    let limit = limit_seconds(cost.prefill(PROMPT) + decoded, precision, options);
    Ok(time_row(id, "ms", 1e3, &measured, limit))
}
