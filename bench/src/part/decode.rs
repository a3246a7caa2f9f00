//! Decoding alone: tokens after the first, at several batch sizes and context lengths.
//!
//! The time of a call for one token is taken off that of a call for many, each measured next to the other.

use super::Case;
use super::sampling::{generate, policy, requests};
use crate::failure::Failure;
use crate::measure::{Options, limit_seconds_reading, rate_row, repeat};
use crate::row::Row;
use crate::shape::{BIG, PRECISIONS, Precision, QWEN, SMALL, SMALL_MOE, SMOLLM2, Shape};
use crate::work::Work;

/// Tokens of each sample.
const TOKENS: usize = 64;

/// Model, prompts, samples of each, tokens of a prompt. Long contexts are one group, whose prompt is computed
/// once; the last rows of each model say what the same costs without sharing.
const WORKLOADS: [(Shape, usize, usize, usize); 13] = [
    (SMALL, 1, 1, 32),
    (SMALL, 2, 1, 32),
    (SMALL, 16, 1, 32),
    (SMALL, 16, 8, 32),
    (SMALL, 1, 8, 1024),
    (SMALL, 8, 1, 1024),
    (SMALL, 1, 8, 8192),
    (BIG, 1, 1, 32),
    (BIG, 16, 8, 32),
    (BIG, 1, 8, 1024),
    (SMALL_MOE, 16, 8, 32),
    (SMALL_MOE, 1, 8, 1024),
    (SMALL_MOE, 1, 8, 8192),
];

/// Workloads of published shapes, in bf16 only.
const OF_PUBLISHED: [(Shape, usize, usize, usize); 3] =
    [(SMOLLM2, 1, 1, 32), (SMOLLM2, 16, 8, 32), (QWEN, 1, 1, 32)];

/// The workloads.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for precision in PRECISIONS {
        // Published shapes take minutes, and most in f32.
        let published = if *precision == Precision::Bf16 { &OF_PUBLISHED[..] } else { &[] };
        for (shape, prompts, samples, context) in WORKLOADS.iter().chain(published).copied() {
            let name = precision.name();
            let id = format!("decode/{}/{prompts}x{samples}-after-{context}/{name}", shape.name);
            let workload = (prompts, samples, context);
            cases.push(Case::new(id.clone(), move |options| {
                Ok(vec![run(&id, &shape, workload, *precision, options)?])
            }));
        }
    }
    cases
}

fn run(
    id: &str,
    shape: &Shape,
    (prompts, samples, context): (usize, usize, usize),
    precision: Precision,
    options: &Options,
) -> Result<Row, Failure> {
    let (mut policy, cost) = policy(shape, precision, context + TOKENS, options)?;
    let of_length = |length: usize| requests(shape, context, &vec![vec![length; samples]; prompts]);
    let (first, all) = (of_length(1), of_length(TOKENS));
    let measured = repeat(options, || {
        let tick = options.now();
        generate(&mut *policy, &first, 1)?;
        let prompt = tick.seconds();
        generate(&mut *policy, &all, 1)?;
        Ok(Some(tick.seconds() - 2.0 * prompt))
    })?;
    let batch = prompts * samples;
    let flops = batch as f64 * cost.decode(context, TOKENS).flops;
    // A prompt's cache is read once for its group, a sample's own for itself.
    let positions = prompts * context + batch * TOKENS / 2;
    let work = Work { flops, bytes: cost.decode_bytes(TOKENS - 1, positions) };
    let limit = limit_seconds_reading(work, TOKENS - 1, precision, options);
    Ok(rate_row(id, "tokens/s", (batch * (TOKENS - 1)) as f64, &measured, limit))
}
