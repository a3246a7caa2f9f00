//! Small generated tasks: sums on a wheel, letters, and everyday requests, in English and German.
//!
//! A task lists how many different problems it has, sort by sort, and makes the one at an index; which indices a data
//! set takes, their split and their languages are decided here. An index says everything but the language, so a problem
//! that is held out in one language is not trained on in another. Nothing is drawn twice and nothing is looked for: a
//! keyed permutation of the indices gives as many different ones as are wanted, up to all of them.

mod arithmetic;
mod order;
mod phrase;
mod requests;
mod strings;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use minijinja::value::{Serde, Value as TemplateValue};
use r1x_core::plan::{DrawPlan, Language, PromptPlan};
use r1x_core::{Markup, Position, Problem, Rng};
use serde_json::Value;

use crate::dataset::{DataSet, fits};
use crate::digest::{key_number, problem_key};
use crate::error::TaskError;
use crate::prompt::Writer;
use crate::template::Columns;

pub(crate) use arithmetic::Arithmetic;
pub(crate) use requests::Requests;
pub(crate) use strings::Strings;

use order::Permutation;

/// Bytes of memory of a problem with its worked solution, about.
const GENERATED_BYTES: u64 = 1_600;
/// Problems whose prompts are written to learn the words of a template.
const PROBES: usize = 48;

/// A small task, whose plan makes sense.
pub(crate) trait Task {
    /// The key of specs, and the beginning of canonical forms.
    fn name(&self) -> &'static str;

    /// How many problems there are, and in which languages.
    fn draw(&self) -> &DrawPlan;

    /// The share of worked solutions whose thought is in another language than the problem.
    fn mixed_thoughts(&self) -> f64;

    /// The columns of every problem.
    fn columns(&self) -> &'static [&'static str];

    /// How many different problems there are. The shares of the groups add up to 1.
    fn groups(&self) -> Vec<Group>;

    /// What makes two problems the same one, whatever the language.
    fn canonical(&self, spot: Spot) -> String;

    /// The problem at a spot.
    fn make(&self, spot: Spot, spoken: Spoken, chance: &mut Position) -> Made;

    /// Every word that a problem or a completion may have, without the words of templates.
    fn pieces(&self) -> Vec<String>;
}

/// Problems that have a share of the data set. The sorts of a group take turns; one that is used up is passed over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    /// Its share.
    pub(crate) share: f64,
    /// How many different problems each sort has.
    pub(crate) sorts: Vec<u64>,
}

impl Group {
    /// How many different problems it has.
    fn size(&self) -> u64 {
        self.sorts.iter().fold(0, |sum, size| sum.saturating_add(*size))
    }
}

/// Where a problem stands among all of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Spot {
    pub(crate) group: usize,
    pub(crate) sort: usize,
    /// Below the size of the sort.
    pub(crate) index: u64,
}

/// The languages of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spoken {
    pub(crate) asked: Language,
    /// The language of the thought of its worked solution.
    pub(crate) thought: Language,
}

/// What a task makes of a spot.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Made {
    /// A value for each of the columns, in their order.
    pub(crate) columns: Vec<Value>,
    pub(crate) solution: String,
    pub(crate) rejected: Option<String>,
    pub(crate) answer: String,
}

/// Checks what all small tasks have in common.
pub(crate) fn check_languages(draw: &DrawPlan, mixed_thoughts: f64) -> Result<(), TaskError> {
    let refused = |reason: &str, hint: &str| {
        Err(TaskError::Rules { reason: reason.to_owned(), hint: hint.to_owned() })
    };
    let languages = &draw.languages;
    if languages.is_empty() {
        return refused("there is no language to ask in", "write for example `languages: [en]`");
    }
    if (1..languages.len()).any(|at| languages[..at].contains(&languages[at])) {
        return refused("a language is listed twice", "list every language once");
    }
    if mixed_thoughts > 0.0 && languages.len() < 2 {
        let reason = "thoughts in another language need two languages";
        return refused(reason, "write `languages: [en, de]`, or leave `mixed_thoughts` out");
    }
    Ok(())
}

/// Looks at a task without making its problems; the names of its columns.
///
/// # Errors
/// When the problems take more than `most_bytes` of memory, are more than there are, or cannot be asked with this prompt.
pub(crate) fn check(
    task: &impl Task,
    prompt: &PromptPlan,
    markup: &Markup,
    most_bytes: u64,
) -> Result<Vec<String>, TaskError> {
    let wanted = wanted(task);
    fits(wanted, GENERATED_BYTES, most_bytes)?;
    check_enough(&task.groups(), wanted)?;
    let columns: Vec<String> = task.columns().iter().map(|name| (*name).to_owned()).collect();
    let making = Making::new(task, prompt, markup, &columns)?;
    spots(task, 1.min(wanted)).into_iter().try_for_each(|spot| making.problem(spot).map(drop))?;
    Ok(columns)
}

/// The planned problems. Held-out problems are drawn first, so that another number of training problems leaves them as
/// they are.
///
/// # Errors
/// The errors of [`check`].
pub(crate) fn generate(
    task: &impl Task,
    prompt: &PromptPlan,
    markup: &Markup,
    most_bytes: u64,
) -> Result<DataSet, TaskError> {
    let columns = check(task, prompt, markup, most_bytes)?;
    let making = Making::new(task, prompt, markup, &columns)?;
    let mut heldout = spots(task, wanted(task));
    let train = heldout.split_off(task.draw().heldout);
    let make = |spots: Vec<Spot>| -> Result<Vec<Problem>, TaskError> {
        spots.into_iter().map(|spot| making.problem(spot)).collect()
    };
    Ok(DataSet::new(make(train)?, make(heldout)?))
}

/// The words of the task, then those that the template adds, in the order in which they first appear in the prompts of
/// 48 problems.
///
/// # Errors
/// The errors of [`check`], and where a number of the prompt touches other characters.
pub(crate) fn vocabulary(task: &impl Task, template: &str) -> Result<Vec<String>, TaskError> {
    let prompt = &PromptPlan::text(template);
    let markup = Markup::default();
    let columns = check(task, prompt, &markup, u64::MAX)?;
    let making = Making::new(task, prompt, &markup, &columns)?;
    let mut pieces = task.pieces();
    for spot in spots(task, PROBES.min(wanted(task))) {
        for word in making.problem(spot)?.prompt.split_whitespace() {
            if pieces.iter().any(|piece| piece == word) {
                continue;
            }
            // A list that was not joined gives words such as `["+`, which differ from problem to problem.
            if word.contains(|c: char| c.is_ascii_digit()) && !template.contains(word) {
                return Err(TaskError::GluedNumber { word: word.to_owned() });
            }
            pieces.push(word.to_owned());
        }
    }
    Ok(pieces)
}

fn wanted(task: &impl Task) -> usize {
    task.draw().train.saturating_add(task.draw().heldout)
}

/// An error where a group has fewer problems than its share comes to.
fn check_enough(groups: &[Group], wanted: usize) -> Result<(), TaskError> {
    let mut given = vec![0_u64; groups.len()];
    for position in 0..wanted {
        let group = due(groups, &given, position);
        given[group] += 1;
    }
    match groups.iter().zip(&given).find(|(group, given)| group.size() < **given) {
        None => Ok(()),
        Some((group, &wanted)) => {
            let found = usize::try_from(group.size()).unwrap_or(usize::MAX);
            Err(TaskError::TooFewProblems { found, wanted: wanted as usize })
        }
    }
}

/// The group that is furthest behind its share.
fn due(groups: &[Group], given: &[u64], position: usize) -> usize {
    let behind = |at: &usize| groups[*at].share * (position + 1) as f64 - given[*at] as f64;
    let furthest = |best: usize, at: usize| if behind(&at) > behind(&best) { at } else { best };
    (0..groups.len()).reduce(furthest).unwrap_or_default()
}

/// The first problems of a task, as many as there are at most. The first ones do not depend on how many are wanted.
fn spots(task: &impl Task, wanted: usize) -> Vec<Spot> {
    let groups = task.groups();
    let stream = Rng::new(task.draw().seed).stream(task.name()).named("order");
    let mut given = vec![0_u64; groups.len()];
    let mut turns = vec![0_usize; groups.len()];
    let mut taken: Vec<Vec<u64>> = groups.iter().map(|group| vec![0; group.sorts.len()]).collect();
    let mut spots = Vec::new();
    for position in 0..wanted {
        let group = due(&groups, &given, position);
        given[group] += 1;
        let sorts = &groups[group].sorts;
        let left = |sort: &usize| taken[group][*sort] < sorts[*sort];
        let turn = turns[group];
        let sort = (0..sorts.len()).map(|step| (turn + step) % sorts.len()).find(left);
        let Some(sort) = sort else { break };
        let order = Permutation::new(sorts[sort], stream, [group as u64, sort as u64]);
        spots.push(Spot { group, sort, index: order.at(taken[group][sort]) });
        taken[group][sort] += 1;
        turns[group] = sort + 1;
    }
    spots
}

/// Makes the problems of a task.
struct Making<'t, T> {
    task: &'t T,
    writer: Writer<'t>,
    rng: Rng,
}

impl<'t, T: Task> Making<'t, T> {
    fn new(
        task: &'t T,
        prompt: &PromptPlan,
        markup: &'t Markup,
        columns: &[String],
    ) -> Result<Self, TaskError> {
        let writer = Writer::new(prompt, markup, Columns::Known(columns))?;
        Ok(Self { task, writer, rng: Rng::new(task.draw().seed) })
    }

    fn problem(&self, spot: Spot) -> Result<Problem, TaskError> {
        let task = self.task;
        let key = problem_key(&format!("{} {}", task.name(), task.canonical(spot)));
        // Addressed by the problem itself: neither depends on where it stands in the data set.
        let stream = self.rng.stream(task.name());
        let spoken = self.spoken(&mut stream.named("language").at(&[key_number(&key)]));
        let made = task.make(spot, spoken, &mut stream.named("solution").at(&[key_number(&key)]));
        let columns: Vec<(&str, Value)> =
            task.columns().iter().copied().zip(made.columns).collect();
        let values: BTreeMap<&str, TemplateValue> =
            columns.iter().map(|(name, value)| (*name, Serde(value).into())).collect();
        let prompt = self.writer.write(&values)?;
        self.writer.check("solution", &made.solution)?;
        if let Some(rejected) = &made.rejected {
            self.writer.check("rejected completion", rejected)?;
        }
        Ok(Problem {
            data: String::new(),
            key,
            prompt: prompt.text,
            form: prompt.form,
            solution: Some(made.solution),
            solution_tokens: None,
            rejected: made.rejected,
            answer: Some(made.answer),
            columns: columns
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_string()))
                .collect(),
        })
    }

    fn spoken(&self, chance: &mut Position) -> Spoken {
        let languages = &self.task.draw().languages;
        let mut pick = |from: &[Language]| from[chance.below(from.len() as u64) as usize];
        let asked = pick(languages);
        let others: Vec<Language> =
            languages.iter().copied().filter(|language| *language != asked).collect();
        let other = if others.is_empty() { asked } else { pick(&others) };
        let is_mixed = chance.uniform() < self.task.mixed_thoughts();
        Spoken { asked, thought: if is_mixed { other } else { asked } }
    }
}
