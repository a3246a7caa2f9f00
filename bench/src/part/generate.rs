//! Generation as a step of reinforcement learning asks for it: 16 prompts of 32 tokens, 8 samples each.

use super::Case;
use super::sampling::{Lengths, generate, policy, requests};
use crate::ALLOCATOR;
use crate::failure::Failure;
use crate::measure::{Options, allocations, limit_seconds, rate_row, repeat, since};
use crate::row::Row;
use crate::shape::{Precision, SHAPES, SMOLLM2, Shape, measured};
use crate::work::{Cost, Work};

/// Tokens of a prompt.
pub const PROMPT: usize = 32;
/// The longest completion.
pub const LONGEST: usize = 128;

/// The workloads.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (shape, precision) in measured(&SHAPES, &[SMOLLM2]) {
        for lengths in Lengths::ALL {
            let id = format!("generate/{}/{}/{}", shape.name, lengths.name(), precision.name());
            cases.push(Case::new(id.clone(), move |options| {
                Ok(vec![run(&id, &shape, lengths, precision, options)?])
            }));
        }
    }
    cases
}

/// One row: tokens a second, the prompts' time included.
pub fn run(
    id: &str,
    shape: &Shape,
    lengths: Lengths,
    precision: Precision,
    options: &Options,
) -> Result<Row, Failure> {
    let (mut policy, cost) = policy(shape, precision, PROMPT + LONGEST, options)?;
    let groups = lengths.groups();
    let requests_full = requests(shape, PROMPT, &groups);
    let (mut seed, mut count) = (0, 0);
    let samples = repeat(options, || {
        seed += 1;
        count = generate(&mut *policy, &requests_full, seed)?;
        Ok(None)
    })?;
    // What a call allocates once cancels when a call for fewer tokens is taken off.
    let half: Vec<Vec<usize>> = groups
        .iter()
        .map(|group| group.iter().map(|length| length.div_ceil(2)).collect())
        .collect();
    let before = ALLOCATOR.large();
    let shorter = generate(&mut *policy, &requests(shape, PROMPT, &half), seed)?;
    let more = samples.large.saturating_sub(since(before).count);
    let limit = limit_seconds(work(&cost, &groups), precision, options);
    let mut row = rate_row(id, "tokens/s", count as f64, &samples, limit);
    row.allocations = allocations(more, (count - shorter) as f64, "token");
    Ok(row)
}

/// Each prompt once, and every sample.
pub fn work(cost: &Cost, groups: &[Vec<usize>]) -> Work {
    let of_group = |group: &Vec<usize>| {
        let samples = group.iter().map(|length| cost.decode(PROMPT, *length));
        samples.fold(cost.prefill(PROMPT), |sum, sample| sum + sample)
    };
    groups.iter().map(of_group).fold(Work::default(), |sum, group| sum + group)
}
