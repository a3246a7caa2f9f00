//! Data sets, and which of their problems a stage or a suite takes.

mod tiny;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::problem::Split;

pub use tiny::{ArithmeticPlan, DrawPlan, Language, RequestsPlan, StringTask, StringsPlan};

/// A data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataPlan {
    /// Where problems come from.
    pub source: SourcePlan,
    /// How a problem becomes a prompt.
    pub prompt: PromptPlan,
}

/// How a problem becomes a prompt. Templates are minijinja's; the columns are their variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptPlan {
    /// The template of the whole prompt.
    Text(String),
    /// Messages, which the chat template of the model makes a prompt of.
    Messages(MessagesPlan),
}

impl PromptPlan {
    /// A prompt that is one template.
    pub fn text(template: impl Into<String>) -> Self {
        Self::Text(template.into())
    }
}

/// The messages that ask a problem, each by its template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagesPlan {
    /// What the model is told before the conversation, where it is told anything.
    pub system: Option<String>,
    /// What is asked.
    pub user: String,
    /// What the answer begins with, where that is given to the model.
    pub prefill: Option<String>,
}

/// Where problems come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourcePlan {
    /// Generated Countdown problems.
    Countdown(CountdownPlan),
    /// Generated sums on a wheel.
    Arithmetic(ArithmeticPlan),
    /// Generated problems about letters.
    Strings(StringsPlan),
    /// Generated everyday requests with a better and a worse completion.
    Requests(RequestsPlan),
    /// Rows of a file, or of the files of a folder.
    Rows {
        /// Where the file or the folder is.
        path: String,
        /// How its rows are written.
        format: RowFormat,
        /// sha256 of its bytes, hex; of a folder the one over the names and hashes of its files.
        sha256: String,
        /// Share of the problems held out, chosen by hash of the canonical form, where no file is held out.
        heldout: f64,
        /// Columns every row must have, by the names that the template and the rewards use; every column a row has
        /// where it is `None`.
        columns: Option<Vec<String>>,
        /// What the file calls columns that have another name here.
        renamed: BTreeMap<String, String>,
        /// Column with the worked completion, where there is one.
        solution: Option<String>,
        /// Column with a completion that is worse than the solution, where there is one.
        rejected: Option<String>,
        /// Column with the gold answer, where there is one.
        answer: Option<String>,
        /// The mark in that column behind which the answer stands; the whole column is the answer where it is `None`.
        answer_after: Option<String>,
    },
}

impl SourcePlan {
    /// The key of a spec that names such a source.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Countdown(_) => "countdown",
            Self::Arithmetic(_) => "arithmetic",
            Self::Strings(_) => "strings",
            Self::Requests(_) => "requests",
            Self::Rows { format, .. } => format.key(),
        }
    }

    /// Whether its problems have a worse completion beside their solution.
    pub fn has_pairs(&self) -> bool {
        match self {
            Self::Countdown(_) | Self::Arithmetic(_) | Self::Strings(_) => false,
            // Beside a flawed demonstration nothing is surely worse.
            Self::Requests(plan) => plan.flawed == 0.0,
            Self::Rows { rejected, .. } => rejected.is_some(),
        }
    }

    /// How many problems of each split are generated, `train` first; `None` where rows are read.
    pub fn generated(&self) -> Option<(usize, usize)> {
        let of = |draw: &DrawPlan| Some((draw.train, draw.heldout));
        match self {
            Self::Countdown(plan) => Some((plan.train, plan.heldout)),
            Self::Arithmetic(plan) => of(&plan.draw),
            Self::Strings(plan) => of(&plan.draw),
            Self::Requests(plan) => of(&plan.draw),
            Self::Rows { .. } => None,
        }
    }
}

/// How rows are written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowFormat {
    /// A JSON object on each line.
    JsonLines,
    /// Apache Parquet.
    Parquet,
}

impl RowFormat {
    /// What the names of such files end with.
    pub fn endings(self) -> &'static [&'static str] {
        match self {
            Self::JsonLines => &["jsonl", "json", "ndjson"],
            Self::Parquet => &["parquet"],
        }
    }

    /// The key of a spec that names such a source.
    pub fn key(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Parquet => "parquet",
        }
    }
}

/// How Countdown problems are generated. A problem is a multiset of numbers and a target reachable from them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountdownPlan {
    /// Fewest numbers in a problem.
    pub min_count: usize,
    /// Most numbers in a problem.
    pub max_count: usize,
    /// Smallest number.
    pub min_number: u32,
    /// Largest number.
    pub max_number: u32,
    /// Smallest target.
    pub min_target: u32,
    /// Largest target.
    pub max_target: u32,
    /// Allowed operations, a subset of `+-*/`.
    pub operations: String,
    /// Training problems.
    pub train: usize,
    /// Held-out problems; no canonical form is in both splits.
    pub heldout: usize,
    /// How worked solutions are written.
    pub trace: TraceStyle,
    /// Seed of the generator, apart from the run's seed so that seeds share their problems.
    pub seed: u64,
}

/// How worked solutions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceStyle {
    /// The steps of one solution.
    Steps,
    /// A search: failed tries first, then the solution.
    Search,
}

/// Which problems: a range of a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataRef {
    /// Data set id.
    pub data: String,
    /// Split of it.
    pub split: Split,
    /// Leave out this many problems from the start of the split.
    pub skip: usize,
    /// Use only the first `limit` problems after those.
    pub limit: Option<usize>,
    /// Its parts in a mixture: of as many draws as all data sets of the stage have parts together, this many are of it. `None`
    /// where nothing is mixed by parts: every problem of all of them is drawn once in a pass.
    pub parts: Option<u32>,
}
