//! Prompts: many short ones, a long one, a very long one.
//!
//! After each prompt a single token is drawn, which is the least that a prompt is computed for.

use super::Case;
use super::sampling::{generate, policy, requests};
use crate::failure::Failure;
use crate::measure::{Options, limit_seconds, rate_row, repeat};
use crate::row::Row;
use crate::shape::{BIG, PRECISIONS, Precision, QWEN, SMALL, SMALL_MOE, SMOLLM2, Shape};
use crate::work::Work;

/// Model, prompts, tokens of each.
const WORKLOADS: [(Shape, usize, usize); 8] = [
    (SMALL, 16, 32),
    (SMALL, 1, 1024),
    (SMALL, 1, 8192),
    (BIG, 16, 32),
    (BIG, 1, 1024),
    (SMALL_MOE, 16, 32),
    (SMALL_MOE, 1, 1024),
    (SMALL_MOE, 1, 8192),
];

/// Workloads of published shapes, in bf16 only.
const OF_PUBLISHED: [(Shape, usize, usize); 2] = [(SMOLLM2, 1, 1024), (QWEN, 1, 1024)];

/// The workloads.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for precision in PRECISIONS {
        // Published shapes take minutes, and most in f32.
        let published = if *precision == Precision::Bf16 { &OF_PUBLISHED[..] } else { &[] };
        for (shape, prompts, length) in WORKLOADS.iter().chain(published).copied() {
            let name = precision.name();
            let id = format!("prefill/{}/{prompts}x{length}/{name}", shape.name);
            cases.push(Case::new(id.clone(), move |options| {
                Ok(vec![run(&id, &shape, (prompts, length), *precision, options)?])
            }));
        }
    }
    cases
}

fn run(
    id: &str,
    shape: &Shape,
    (prompts, length): (usize, usize),
    precision: Precision,
    options: &Options,
) -> Result<Row, Failure> {
    let (mut policy, cost) = policy(shape, precision, length + 1, options)?;
    let requests = requests(shape, length, &vec![vec![1]; prompts]);
    let samples = repeat(options, || generate(&mut *policy, &requests, 1).map(|_| None))?;
    let work = Work { flops: prompts as f64 * cost.prefill(length).flops, bytes: 0.0 };
    let limit = limit_seconds(work, precision, options);
    Ok(rate_row(id, "tokens/s", (prompts * length) as f64, &samples, limit))
}
