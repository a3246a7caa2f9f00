//! What is recorded of a run that another system made, in the place where other runs have their plan.
//!
//! The provenance of an imported run says which files its rollouts are from and how they were read. Nothing can be computed
//! from a provenance, so whoever needs a plan is told in words that the run has none.

use r1x_core::plan::RecordPlan;
use r1x_store::SpecText;

use crate::failure::{Failure, code};

/// Where the rollouts of a run are from.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Provenance {
    /// Name of the run, without the words that make it unique.
    pub name: String,
    /// What was read, and how.
    pub imported: Source,
    /// What of a rollout is kept.
    pub record: RecordPlan,
}

/// What was read, and how.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Source {
    /// The word for the system whose files they are.
    pub from: String,
    /// The files, in the order of their steps.
    pub files: Vec<SourceFile>,
    /// The rewards, in the order of their columns.
    pub rewards: Vec<SourceReward>,
    /// The column of the right answers.
    pub answer: String,
    /// sha256 of the tokenizer that has counted tokens, hex.
    pub tokenizer: Option<String>,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SourceFile {
    /// Its name, without the folder in which it lay.
    pub name: String,
    /// sha256 of it, hex.
    pub sha256: String,
    /// Rows in it.
    pub rows: u64,
}

/// A reward that was read.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SourceReward {
    /// Its name.
    pub name: String,
    /// Its weight in the total, where a row does not say another one.
    pub weight: f64,
}

/// Where the rollouts of a run are from, if another system made it.
pub fn provenance(spec: &SpecText) -> Option<Provenance> {
    serde_json::from_str(&spec.plan_json).ok()
}

/// The mistake of asking for something that needs a plan.
pub fn has_no_plan(run: &str, of: &Provenance) -> Failure {
    let from = &of.imported.from;
    Failure::new(
        code::INPUT,
        format!(
            "run `{run}` was imported from {from}: it has rollouts, and no plan to compute with"
        ),
        "`r1x show`, `r1x sql`, `r1x export`, `r1x report` and `r1x rescore` take such a run",
    )
}
