//! The plan of a stage that only evaluates.

use serde::{Deserialize, Serialize};

use super::StageOutline;

/// Evaluation only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluatePlan {
    /// Ids of the suites to run.
    pub evals: Vec<String>,
}

impl EvaluatePlan {
    pub(super) fn outline(&self) -> StageOutline<'_> {
        StageOutline { suites: &self.evals, ..StageOutline::default() }
    }
}
