//! The Countdown numbers game: reach the target by using every number exactly once.
//!
//! The rules are those of a blackboard: every intermediate result is a positive whole number, divisions leave no
//! remainder, and no result exceeds [`Rules::bound`]. (Rewards may accept more than what is generated here.)

mod generate;
mod solve;
mod trace;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use minijinja::value::{Serde, Value};
use r1x_core::plan::{CountdownPlan, PromptPlan};
use r1x_core::{Markup, Position, Problem, Rng, Stream};

use crate::dataset::DataSet;
use crate::digest::{key_number, problem_key};
use crate::error::TaskError;
use crate::prompt::{Prompt, Writer};
use crate::template::Columns;

pub use solve::{Expression, Operation, Table};
pub use trace::{worked_search, worked_steps};

/// Fewest and most numbers of a problem; above six the table of a problem takes too long to fill.
const COUNTS: (usize, usize) = (2, 6);
/// Bytes of memory of a problem with its worked solution, about.
const GENERATED_BYTES: u64 = 800;
/// Largest number, target and intermediate result, because each has a token of its own.
const LARGEST: u32 = 65_000;

/// A Countdown plan whose ranges make sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Fewest and most numbers in a problem.
    pub counts: (usize, usize),
    /// Smallest and largest number.
    pub numbers: (u32, u32),
    /// Smallest and largest target.
    pub targets: (u32, u32),
    /// Allowed operations, in the order `+ - * /`.
    pub operations: Vec<Operation>,
    /// No intermediate result is above this: the largest target or the largest number. It bounds the
    /// vocabulary, which has a token per number, and so how much arithmetic there is to learn.
    pub bound: u32,
}

/// An error when the problems of a plan would take more than `most_bytes` of memory.
///
/// # Errors
/// With what they would take.
pub fn fits(plan: &CountdownPlan, most_bytes: u64) -> Result<(), TaskError> {
    crate::dataset::fits(plan.train.saturating_add(plan.heldout), GENERATED_BYTES, most_bytes)
}

impl Rules {
    /// Checks a plan.
    ///
    /// # Errors
    /// When a range is empty, starts at 0 or is too large, or the operations are not some of `+-*/`.
    pub fn new(plan: &CountdownPlan) -> Result<Self, TaskError> {
        let counts = (plan.min_count, plan.max_count);
        if counts.0 > counts.1 || counts.0 < COUNTS.0 || counts.1 > COUNTS.1 {
            let reason = format!("a problem cannot have {} to {} numbers", counts.0, counts.1);
            let hint = format!("choose counts from {} to {}", COUNTS.0, COUNTS.1);
            return Err(TaskError::Rules { reason, hint });
        }
        let numbers = positive_range("numbers", plan.min_number, plan.max_number)?;
        let targets = positive_range("targets", plan.min_target, plan.max_target)?;
        Ok(Self {
            counts,
            numbers,
            targets,
            operations: operations(&plan.operations)?,
            bound: numbers.1.max(targets.1),
        })
    }
}

fn positive_range(what: &str, low: u32, high: u32) -> Result<(u32, u32), TaskError> {
    if low >= 1 && low <= high && high <= LARGEST {
        return Ok((low, high));
    }
    let reason = format!("{what} cannot range from {low} to {high}");
    let hint = format!("write the smaller end first, from 1 to {LARGEST}");
    Err(TaskError::Rules { reason, hint })
}

fn operations(symbols: &str) -> Result<Vec<Operation>, TaskError> {
    let known = symbols.chars().all(|c| Operation::ALL.iter().any(|op| op.symbol() == c));
    let allowed: Vec<Operation> =
        Operation::ALL.into_iter().filter(|op| symbols.contains(op.symbol())).collect();
    if symbols.is_empty() || !known || allowed.len() != symbols.chars().count() {
        let reason = format!("the operations `{symbols}` are not one or more of `+-*/`, each once");
        return Err(TaskError::Rules { reason, hint: "write for example `+-*/`".to_owned() });
    }
    Ok(allowed)
}

/// The columns every Countdown problem has.
pub(crate) fn columns() -> Vec<String> {
    vec!["nums".to_owned(), "target".to_owned()]
}

/// What writes the prompts of problems.
///
/// # Errors
/// When a template is malformed, names a column that there is not, or there is no chat template for messages.
pub(crate) fn writer<'m>(prompt: &PromptPlan, markup: &'m Markup) -> Result<Writer<'m>, TaskError> {
    Writer::new(prompt, markup, Columns::Known(&columns()))
}

/// Generates the planned problems. Held-out problems are drawn first, so that another number of training
/// problems leaves them as they are.
pub(crate) fn generate(plan: &CountdownPlan, writer: &Writer<'_>) -> Result<DataSet, TaskError> {
    let rules = Rules::new(plan)?;
    let rng = Rng::new(plan.seed);
    let wanted = plan.heldout.saturating_add(plan.train);
    let mut drawn = generate::draw(&rules, wanted, rng)?;
    let train = drawn.split_off(plan.heldout);
    let solutions = rng.stream("countdown.solution");
    let finish = |problems: Vec<Drawn>| {
        let finish = |problem: &Drawn| finish(problem, &rules, plan, writer, solutions);
        problems.iter().map(finish).collect::<Result<Vec<_>, _>>()
    };
    Ok(DataSet::new(finish(train)?, finish(drawn)?))
}

/// Checks ranges and templates, the latter on a problem made up for it, and the number of problems where it is
/// quickly counted.
pub(crate) fn check(plan: &CountdownPlan, writer: &Writer<'_>) -> Result<(), TaskError> {
    probe_prompts(plan, writer, 1)?;
    let wanted = plan.heldout.saturating_add(plan.train);
    generate::listed(&Rules::new(plan)?, wanted).map(drop)
}

/// Prompts of made-up problems that cover the ends of every range; they need not be solvable.
pub(crate) fn probe_prompts(
    plan: &CountdownPlan,
    writer: &Writer<'_>,
    count: u64,
) -> Result<Vec<String>, TaskError> {
    let rules = Rules::new(plan)?;
    let stream = Rng::new(plan.seed).stream("countdown.probe");
    let probe = |index: u64| {
        let mut chance = stream.at(&[index]);
        let pick = |(low, high): (u32, u32), chance: &mut Position| match index {
            0 => low,
            1 => high,
            _ => between(low, high, chance),
        };
        let counts = (rules.counts.0 as u32, rules.counts.1 as u32);
        let numbers = (0..pick(counts, &mut chance)).map(|_| pick(rules.numbers, &mut chance));
        let numbers: Vec<u32> = numbers.collect();
        Ok(written(writer, &numbers, pick(rules.targets, &mut chance))?.text)
    };
    (0..count).map(probe).collect()
}

/// A whole number from `low` to `high`, both included.
fn between(low: u32, high: u32, chance: &mut Position) -> u32 {
    low + chance.below(u64::from(high - low) + 1) as u32
}

/// Numbers in the order they are shown, and their target.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Drawn {
    numbers: Vec<u32>,
    target: u32,
}

impl Drawn {
    /// What makes two problems the same one: their numbers in any order, and their target.
    fn canonical(&self) -> (Vec<u32>, u32) {
        let mut sorted = self.numbers.clone();
        sorted.sort_unstable();
        (sorted, self.target)
    }
}

fn written(writer: &Writer<'_>, numbers: &[u32], target: u32) -> Result<Prompt, TaskError> {
    let values =
        BTreeMap::from([("nums", Value::from(Serde(numbers))), ("target", Value::from(target))]);
    writer.write(&values)
}

fn finish(
    drawn: &Drawn,
    rules: &Rules,
    plan: &CountdownPlan,
    writer: &Writer<'_>,
    solutions: Stream,
) -> Result<Problem, TaskError> {
    let (sorted, target) = drawn.canonical();
    let words = |numbers: &[u32], separator: &str| {
        numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(separator)
    };
    let key = problem_key(&format!("countdown {} -> {target}", words(&sorted, " ")));
    // Addressed by the problem itself: its solution does not depend on where it stands in the data set.
    let mut chance = solutions.at(&[key_number(&key)]);
    let table = Table::new(&sorted, &rules.operations, rules.bound);
    let solution = trace::worked(&table, &drawn.numbers, target, plan.trace, &mut chance);
    let prompt = written(writer, &drawn.numbers, target)?;
    Ok(Problem {
        data: String::new(),
        key,
        prompt: prompt.text,
        form: prompt.form,
        solution: Some(solution),
        solution_tokens: None,
        rejected: None,
        answer: Some(target.to_string()),
        columns: BTreeMap::from([
            ("nums".to_owned(), format!("[{}]", words(&drawn.numbers, ","))),
            ("target".to_owned(), target.to_string()),
        ]),
    })
}
