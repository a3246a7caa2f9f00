//! A training step: 16 sequences of 160 tokens forward and backward, every token learnt, and AdamW.

use std::sync::Arc;

use r1x_core::loss::{Loss, LossOutput, Said};
use r1x_core::plan::OptimizerPlan;
use r1x_core::{TrainingBatch, TrainingSequence, testing};

use super::Case;
use super::sampling::{policy, tokens};
use crate::failure::Failure;
use crate::measure::{Options, allocations, limit_seconds, rate_row, repeat};
use crate::row::Row;
use crate::shape::{PUBLISHED, Precision, SHAPES, Shape, measured};
use crate::work::Work;

const SEQUENCES: usize = 16;
/// Tokens that are predicted in each.
const LENGTH: usize = 160;
/// Sequences computed together.
pub const MICRO_BATCH: usize = 8;

/// The workloads.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (shape, precision) in measured(&SHAPES, &PUBLISHED) {
        let id = format!("train/{}/{}", shape.name, precision.name());
        cases.push(Case::new(id.clone(), move |options| {
            Ok(vec![run(&id, &shape, precision, options)?])
        }));
    }
    cases
}

/// A gradient for every token, so that nothing can be left out.
struct EveryToken;

impl Loss for EveryToken {
    fn evaluate(&self, _: &TrainingSequence, said: Said<'_>) -> LossOutput {
        LossOutput { gradient: vec![-1e-3; said.targets.len()], ..LossOutput::default() }
    }
}

/// AdamW as experiments use it.
pub fn optimizer() -> OptimizerPlan {
    OptimizerPlan { weight_decay: 0.01, ..testing::optimizer(1e-4) }
}

fn run(id: &str, shape: &Shape, precision: Precision, options: &Options) -> Result<Row, Failure> {
    let (mut policy, cost) = policy(shape, precision, LENGTH + 1, options)?;
    let sequence = |index: usize| {
        let tokens = tokens(LENGTH + 1, index, shape.vocabulary);
        Arc::new(TrainingSequence::new(&tokens[..1], &tokens[1..]))
    };
    let batch = TrainingBatch {
        sequences: (0..SEQUENCES).map(sequence).collect(),
        micro_batch_size: MICRO_BATCH,
        temperature: 1.0,
        share_prompts: false,
    };
    let optimizer = optimizer();
    let samples = repeat(options, || {
        policy.accumulate(&batch, &EveryToken)?;
        policy.update(&optimizer, optimizer.lr)?;
        Ok(None)
    })?;
    let flops = SEQUENCES as f64 * cost.train(1, LENGTH + 1).flops;
    let limit = limit_seconds(Work { flops, bytes: 0.0 }, precision, options);
    let mut row = rate_row(id, "tokens/s", (SEQUENCES * LENGTH) as f64, &samples, limit);
    row.allocations = allocations(samples.large, shape.layers as f64, "layer");
    Ok(row)
}
