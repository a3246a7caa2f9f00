//! Evaluation suites and when they run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DataRef, SamplingPlan};

/// An evaluation suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalPlan {
    /// Its id in the spec.
    pub id: String,
    /// Problems.
    pub data: DataRef,
    /// Samples per problem.
    pub samples: usize,
    /// How they are sampled.
    pub sampling: SamplingPlan,
    /// Reward whose value decides.
    pub grade: String,
    /// A sample is correct when the grade is at least this.
    pub threshold: f64,
    /// The k of each reported pass@k, ascending, none above `samples`.
    pub pass_at: Vec<usize>,
    /// When it runs besides `evaluate` stages that name it.
    pub when: EvalWhen,
    /// Lowest acceptable final values by metric name; missing one exits 5.
    pub gate: BTreeMap<String, f64>,
}

/// When a suite runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalWhen {
    /// Before the first stage.
    pub start: bool,
    /// After every training stage.
    pub stage_end: bool,
    /// Every so many steps inside training stages.
    pub every: Option<u64>,
}
