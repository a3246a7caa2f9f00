//! Data sets: two disjoint lists of problems, made by one file per kind of source.
//!
//! A new kind of source is one file here, one variant of the plan's `SourcePlan`, and one arm in the functions
//! below.

pub mod countdown;
pub mod rows;
pub(crate) mod tiny;

use r1x_core::plan::{DataPlan, SourcePlan};
use r1x_core::{Markup, Problem, PromptForm};

use crate::digest::Fields;
use crate::error::TaskError;
use tiny::{Arithmetic, Requests, Strings};

/// Most bytes of memory that the problems of a data set take, where nobody says how many there are.
pub const MOST_BYTES: u64 = 4 << 30;
/// Bytes of a problem, and of a column of one, besides their texts.
const PROBLEM_BYTES: u64 = 360;
const COLUMN_BYTES: u64 = 96;

/// An error when this many problems of `each_bytes` would take more than `most_bytes` of memory.
pub(crate) fn fits(problems: usize, each_bytes: u64, most_bytes: u64) -> Result<(), TaskError> {
    let bytes = (problems as u64).saturating_mul(each_bytes);
    if bytes <= most_bytes {
        return Ok(());
    }
    let reason = format!(
        "{problems} problems take about {} MiB of memory, more than {}",
        bytes >> 20,
        most_bytes >> 20
    );
    Err(TaskError::Rules { reason, hint: "lower `train` or `heldout`".to_owned() })
}

/// Bytes of memory that a problem takes, about.
pub fn bytes_of(problem: &Problem) -> u64 {
    let optional = [&problem.solution, &problem.rejected, &problem.answer];
    let texts = std::iter::once(&problem.prompt).chain(optional.into_iter().flatten());
    let texts: usize = texts.map(String::len).sum();
    let columns = problem.columns.iter();
    let columns = columns.map(|(name, value)| COLUMN_BYTES + (name.len() + value.len()) as u64);
    PROBLEM_BYTES + texts as u64 + columns.sum::<u64>()
}

/// The problems of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSet {
    /// Problems the policy may train on, in a fixed order.
    pub train: Vec<Problem>,
    /// Problems it is only evaluated on, none of them in `train` in any order of its numbers or rows.
    pub heldout: Vec<Problem>,
    /// sha256 over every field of every problem of both splits, hex.
    pub sha256: String,
    /// Where the problems stand in their file; no file for generated ones.
    pub lines: Lines,
    /// The columns of a file, by the names it has for them, in the order they first appear.
    pub columns: Vec<Column>,
}

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the file.
    pub name: String,
    /// Rows that have it.
    pub rows: usize,
}

/// The place of every problem, in the order of the problems.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The files.
    pub files: Vec<String>,
    /// Places of the training problems.
    pub train: Vec<Place>,
    /// Places of the held-out problems.
    pub heldout: Vec<Place>,
}

/// The place of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which of the files.
    pub file: usize,
    /// The line, or the row where rows have no lines, from 1.
    pub line: usize,
}

impl DataSet {
    pub(crate) fn new(train: Vec<Problem>, heldout: Vec<Problem>) -> Self {
        let mut fields = Fields::new();
        for split in [&train, &heldout] {
            fields.count(split.len());
            split.iter().for_each(|problem| add_problem(&mut fields, problem));
        }
        let sha256 = fields.finish();
        Self { train, heldout, sha256, lines: Lines::default(), columns: Vec::new() }
    }

    /// The file and line of a problem of this set, when it comes from a file.
    pub fn line_of(&self, problem: &Problem) -> Option<String> {
        let train = self.train.iter().zip(&self.lines.train);
        let mut all = train.chain(self.heldout.iter().zip(&self.lines.heldout));
        let (_, Place { file, line }) = all.find(|(known, _)| *known == problem)?;
        Some(format!("{}:{line}", self.lines.files.get(*file)?))
    }
}

impl DataSet {
    /// These problems as problems of the data set `id`.
    fn named(mut self, id: &str) -> Self {
        for problem in self.train.iter_mut().chain(&mut self.heldout) {
            id.clone_into(&mut problem.data);
        }
        self
    }
}

fn add_problem(fields: &mut Fields, problem: &Problem) {
    fields.text(&problem.key);
    fields.text(&problem.prompt);
    // The hashes of prompts that are texts are those of the time when all were.
    if let PromptForm::Messages { prefill } = &problem.form {
        fields.text(prefill);
    }
    fields.optional(problem.solution.as_deref());
    // Likewise those of problems without a worse completion.
    if let Some(rejected) = &problem.rejected {
        fields.text("rejected");
        fields.text(rejected);
    }
    fields.optional(problem.answer.as_deref());
    fields.count(problem.columns.len());
    for (name, json) in &problem.columns {
        fields.text(name);
        fields.text(json);
    }
}

/// Generates or reads the data set `id`. The result depends on the plan (and the file it names) and the markup only.
///
/// # Errors
/// When the plan describes no problems, the template fails, or the file is missing, changed or malformed;
/// the error names the data set.
pub fn load(id: &str, plan: &DataPlan, markup: &Markup) -> Result<DataSet, TaskError> {
    let set = match &plan.source {
        SourcePlan::Countdown(rules) => countdown::fits(rules, MOST_BYTES)
            .and_then(|()| countdown::writer(&plan.prompt, markup))
            .and_then(|writer| countdown::generate(rules, &writer)),
        SourcePlan::Arithmetic(task) => Arithmetic::new(task)
            .and_then(|task| tiny::generate(&task, &plan.prompt, markup, MOST_BYTES)),
        SourcePlan::Strings(task) => Strings::new(task)
            .and_then(|task| tiny::generate(&task, &plan.prompt, markup, MOST_BYTES)),
        SourcePlan::Requests(task) => Requests::new(task)
            .and_then(|task| tiny::generate(&task, &plan.prompt, markup, MOST_BYTES)),
        SourcePlan::Rows { .. } => rows::read(plan, markup),
    };
    let set = set.map(|set| set.named(id));
    set.map_err(|error| TaskError::InData { id: id.to_owned(), error: Box::new(error) })
}

/// A data set before there is a plan that pins it.
#[derive(Clone, Debug, PartialEq)]
pub enum Survey {
    /// A generated one, which was checked without making all of it.
    Generated {
        /// Its columns.
        columns: Vec<String>,
    },
    /// A file, which was read whole.
    File(rows::Opened),
}

/// Looks at a data set whose hash is not known yet: ranges, template and (where it is quickly counted) number of
/// problems of a generated one, which takes milliseconds; every row of a file, which is read for good.
///
/// # Errors
/// What [`load`] would say, without the name, and when the problems take more than `most_bytes` of memory; too few
/// problems in a space too large to count are found by [`load`] alone.
pub fn survey(
    id: &str,
    plan: &DataPlan,
    markup: &Markup,
    most_bytes: u64,
) -> Result<Survey, TaskError> {
    let columns = match &plan.source {
        SourcePlan::Countdown(rules) => {
            countdown::fits(rules, most_bytes)?;
            countdown::check(rules, &countdown::writer(&plan.prompt, markup)?)?;
            countdown::columns()
        }
        SourcePlan::Arithmetic(task) => {
            tiny::check(&Arithmetic::new(task)?, &plan.prompt, markup, most_bytes)?
        }
        SourcePlan::Strings(task) => {
            tiny::check(&Strings::new(task)?, &plan.prompt, markup, most_bytes)?
        }
        SourcePlan::Requests(task) => {
            tiny::check(&Requests::new(task)?, &plan.prompt, markup, most_bytes)?
        }
        SourcePlan::Rows { .. } => {
            let mut opened = rows::open(plan, markup, most_bytes)?;
            opened.set = opened.set.named(id);
            return Ok(Survey::File(opened));
        }
    };
    Ok(Survey::Generated { columns })
}
