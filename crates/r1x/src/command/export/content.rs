//! What of a run is exported, as columns and rows: completions, answers in evaluations, metrics, data that stages have
//! made, and problems with how well they were solved. Rows are read from the store a page at a time.

use std::collections::{BTreeMap, HashSet};

use r1x_store::{
    Completion, PROBLEMS_VIEW, Rollouts, RunEvaluation, RunStep, Store, Tokens, TriedProblem,
};

use super::problem::{Form, problem_columns};
use super::row::{Cell, Column, Element, Kind, Sink};
use super::{made, tried};
use crate::failure::{Failure, code};

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Every completion that was sampled in training.
    Rollouts,
    /// Every answer in an evaluation.
    Evals,
    /// The metrics of every step, and the figures of every evaluation.
    Metrics,
    /// The rows that stages which make data have kept.
    Data,
    /// Every problem that was tried in training, with the mean of each reward.
    Problems,
}

/// A part of a run, and how much of it.
pub struct Part<'a> {
    /// The store.
    pub store: &'a Store,
    /// The name of the run.
    pub run: &'a str,
    /// One stage of it.
    pub stage: Option<&'a str>,
    /// SQL of a person over the view of the rows.
    pub condition: Option<&'a str>,
    /// Whether tokens and log-probs are columns.
    pub tokens: Tokens,
    /// Whether somebody has asked to stop.
    pub stopped: &'a dyn Fn() -> bool,
}

/// Rows of one kind of a part of a run.
pub enum Content<'a> {
    Rollouts(Part<'a>, Vec<RunStep>, Vec<String>),
    /// Columns as TRL has them.
    Trl(Part<'a>, Vec<RunStep>, Vec<String>),
    Evals(Part<'a>, Vec<RunEvaluation>, Vec<String>),
    Metrics(Part<'a>, Vec<Moment>, Vec<String>),
    Data(Part<'a>, Vec<RunStep>, Vec<Column>),
    Problems(Part<'a>, Vec<TriedProblem>, Vec<String>, Vec<Column>),
}

/// A step or an evaluation, in the order of the run.
pub enum Moment {
    /// A step, with its metrics.
    Step(RunStep),
    /// An evaluation, with its figures.
    Evaluation(RunEvaluation),
}

pub const TEXT: Kind = Kind::One(Element::Text);
pub const INTEGER: Kind = Kind::One(Element::Integer);
pub const NUMBER: Kind = Kind::One(Element::Number);

/// Problems whose texts are read at once.
const PAGE_PROBLEMS: usize = 256;

impl<'a> Content<'a> {
    /// Looks up what there is.
    ///
    /// # Errors
    /// When there is no such run or stage, the condition is wrong, or there is nothing of the kind.
    pub fn new(part: Part<'a>, what: What, form: Form) -> Result<Self, Failure> {
        let Part { store, run, stage, condition, .. } = part;
        let view = match what {
            What::Rollouts => Rollouts::All.view(),
            What::Data => Rollouts::Kept.view(),
            What::Evals => "v_eval_samples",
            What::Metrics => "v_metrics",
            What::Problems => PROBLEMS_VIEW,
        };
        if let Some(condition) = condition {
            store.check_condition(view, condition)?;
        }
        let steps = || Ok::<_, Failure>(store.run_steps(run, stage)?);
        Ok(match what {
            What::Rollouts if form == Form::Trl => {
                Self::Trl(part, steps()?, store.reward_names(run)?)
            }
            What::Rollouts => Self::Rollouts(part, steps()?, store.reward_names(run)?),
            What::Evals => {
                let evaluations = store.run_evaluations(run, stage)?;
                Self::Evals(part, evaluations, store.evaluation_reward_names(run)?)
            }
            What::Metrics => {
                let moments = moments(store, run, stage)?;
                let names = scalar_names(store, run, &moments)?;
                Self::Metrics(part, moments, names)
            }
            What::Data => {
                let steps = steps()?;
                let kinds = store.problem_columns(run, stage, Rollouts::Kept)?;
                Self::Data(part, steps, problem_columns(&kinds, form))
            }
            What::Problems => {
                let problems = store.problems_of(run, stage, condition)?;
                let kinds = store.problem_columns(run, stage, Rollouts::All)?;
                let rewards = store.reward_names(run)?;
                Self::Problems(part, problems, rewards, problem_columns(&kinds, form))
            }
        })
    }

    /// The columns of the rows.
    pub fn columns(&self) -> Vec<Column> {
        match self {
            Self::Rollouts(part, _, rewards) => rollout_columns(part.tokens, rewards),
            Self::Trl(_, _, rewards) => trl_columns(rewards),
            Self::Evals(part, _, rewards) => answer_columns(part.tokens, rewards),
            Self::Metrics(_, _, names) => metric_columns(names),
            Self::Data(_, _, problem) => made::columns(problem),
            Self::Problems(_, _, rewards, problem) => tried::columns(rewards, problem),
        }
    }

    /// What a row is, with its article.
    pub fn row_word(&self) -> &'static str {
        match self {
            Self::Rollouts(..) | Self::Trl(..) => "a completion",
            Self::Evals(..) => "an answer in an evaluation",
            Self::Metrics(..) => "a step, or an evaluation,",
            Self::Data(..) => "a kept completion",
            Self::Problems(..) => "a problem",
        }
    }

    /// Hands every row to a sink, and returns how many there are.
    ///
    /// # Errors
    /// When the store cannot be read or the sink not written, and when somebody has asked to stop.
    pub fn write(&self, sink: &mut dyn Sink) -> Result<u64, Failure> {
        let mut count = Counting { sink, rows: 0 };
        match self {
            Self::Rollouts(part, steps, rewards) => {
                part.completions(steps, Rollouts::All, &mut |step, row| {
                    count.row(rollout_row(part, step, row, rewards))
                })?;
            }
            Self::Trl(part, steps, rewards) => {
                part.completions(steps, Rollouts::All, &mut |step, row| {
                    count.row(trl_row(step, row, rewards))
                })?;
            }
            Self::Data(part, steps, problem) => {
                part.completions(steps, Rollouts::Kept, &mut |_, row| {
                    count.row(made::row(row, problem))
                })?;
            }
            Self::Evals(part, evaluations, rewards) => {
                for evaluation in evaluations {
                    part.answers(evaluation, &mut |row| {
                        count.row(answer_row(part, evaluation, row, rewards))
                    })?;
                }
            }
            Self::Problems(part, problems, rewards, problem) => {
                for page in problems.chunks(PAGE_PROBLEMS) {
                    part.go_on()?;
                    let texts = part.store.texts_of_problems(page)?;
                    page.iter()
                        .zip(texts)
                        .try_for_each(|tried| count.row(tried::row(tried, rewards, problem)))?;
                }
            }
            Self::Metrics(part, moments, names) => {
                for moment in moments {
                    part.go_on()?;
                    let scalars = moment.scalars(part.store)?;
                    count.row(metric_row(part.run, moment, scalars, names))?;
                }
            }
        }
        Ok(count.rows)
    }
}

struct Counting<'s> {
    sink: &'s mut dyn Sink,
    rows: u64,
}

impl Counting<'_> {
    fn row(&mut self, cells: Vec<Cell>) -> Result<(), Failure> {
        self.rows += 1;
        self.sink.row(cells)
    }
}

impl Part<'_> {
    /// Fails once somebody has asked to stop.
    ///
    /// # Errors
    /// When somebody has.
    pub fn go_on(&self) -> Result<(), Failure> {
        if !(self.stopped)() {
            return Ok(());
        }
        Err(Failure::new(code::INTERRUPTED, "interrupted", "nothing was left behind: export again"))
    }

    fn completions(
        &self,
        steps: &[RunStep],
        which: Rollouts,
        each: &mut dyn FnMut(&RunStep, Completion) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for step in steps {
            self.go_on()?;
            let rows = self.store.rollouts_of(step, (which, self.tokens), self.condition)?;
            rows.into_iter().try_for_each(|row| each(step, row))?;
        }
        Ok(())
    }

    fn answers(
        &self,
        evaluation: &RunEvaluation,
        each: &mut dyn FnMut(Completion) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut from = Some(0);
        while let Some(first) = from {
            self.go_on()?;
            let page = self.store.answers_of(evaluation, first, self.tokens, self.condition)?;
            page.0.into_iter().try_for_each(&mut *each)?;
            from = page.1;
        }
        Ok(())
    }
}

/// Columns of the rewards, side by side.
pub fn reward_columns(rewards: &[String]) -> impl Iterator<Item = Column> {
    let column = |id: &String| Column::of(id, NUMBER).inside("rewards").where_known();
    rewards.iter().map(column)
}

/// Their cells.
pub fn reward_cells(
    given: &[(String, Option<f64>)],
    rewards: &[String],
) -> impl Iterator<Item = Cell> {
    rewards.iter().map(|id| {
        let found = given.iter().find(|(name, _)| name == id);
        Cell::number(found.and_then(|(_, value)| *value))
    })
}

fn token_columns(tokens: Tokens) -> Vec<Column> {
    match tokens {
        Tokens::Left => Vec::new(),
        Tokens::Read => vec![
            Column::of("prompt_tokens", Kind::List(Element::Token)),
            Column::of("tokens", Kind::List(Element::Token)),
            Column::of("logprobs", Kind::List(Element::Single)),
        ],
    }
}

fn token_cells(tokens: Tokens, row: &mut Completion) -> Vec<Cell> {
    match tokens {
        Tokens::Left => Vec::new(),
        Tokens::Read => vec![
            Cell::tokens(row.prompt_tokens.take()),
            Cell::tokens(row.tokens.take()),
            Cell::singles(row.logprobs.take()),
        ],
    }
}

pub fn all_of(columns: &[(&str, Kind)]) -> Vec<Column> {
    columns.iter().map(|(name, kind)| Column::of(*name, *kind)).collect()
}

fn rollout_columns(tokens: Tokens, rewards: &[String]) -> Vec<Column> {
    let mut columns = all_of(&[
        ("run", TEXT),
        ("stage", TEXT),
        ("step", INTEGER),
        ("group", INTEGER),
        ("sample", INTEGER),
        ("data", TEXT),
        ("prompt_key", TEXT),
        ("prompt", TEXT),
        ("gold", TEXT),
        ("completion", TEXT),
        ("finish", TEXT),
        ("n_tokens", INTEGER),
        ("reward", NUMBER),
        ("advantage", NUMBER),
    ]);
    columns.extend(reward_columns(rewards));
    columns.extend(token_columns(tokens));
    columns
}

fn rollout_row(
    part: &Part<'_>,
    step: &RunStep,
    mut row: Completion,
    rewards: &[String],
) -> Vec<Cell> {
    let tokens = token_cells(part.tokens, &mut row);
    let mut cells = vec![
        Cell::Text(part.run.to_owned()),
        Cell::Text(step.stage.clone()),
        Cell::Integer(step.step.cast_signed()),
        Cell::Integer(row.group),
        Cell::Integer(row.sample),
        Cell::text(row.data),
        Cell::Text(row.prompt_key),
        Cell::Text(row.prompt),
        Cell::text(row.gold),
        Cell::text(row.text),
        Cell::Text(row.finish),
        Cell::Integer(row.n_tokens),
        Cell::number(row.reward),
        Cell::number(row.advantage),
    ];
    cells.extend(reward_cells(&row.rewards, rewards));
    cells.extend(tokens);
    cells
}

/// Columns of TRL's own. A reward that is called as one of them has `rewards.` before its name.
fn trl_columns(rewards: &[String]) -> Vec<Column> {
    let mut columns = all_of(&[("step", INTEGER), ("prompt", TEXT), ("completion", TEXT)]);
    let taken = ["step", "prompt", "completion", "advantage"];
    columns.extend(rewards.iter().map(|id| match taken.contains(&id.as_str()) {
        true => Column::of(id, NUMBER).inside("rewards"),
        false => Column::of(id, NUMBER),
    }));
    columns.push(Column::of("advantage", NUMBER));
    columns
}

fn trl_row(step: &RunStep, row: Completion, rewards: &[String]) -> Vec<Cell> {
    let mut cells = vec![
        Cell::Integer(step.run_step.cast_signed()),
        Cell::Text(row.prompt),
        Cell::text(row.text),
    ];
    cells.extend(reward_cells(&row.rewards, rewards));
    cells.push(Cell::number(row.advantage));
    cells
}

fn answer_columns(tokens: Tokens, rewards: &[String]) -> Vec<Column> {
    let mut columns = all_of(&[
        ("run", TEXT),
        ("stage", TEXT),
        ("step", INTEGER),
        ("suite", TEXT),
        ("item", INTEGER),
        ("sample", INTEGER),
        ("prompt_key", TEXT),
        ("prompt", TEXT),
        ("gold", TEXT),
        ("completion", TEXT),
        ("finish", TEXT),
        ("n_tokens", INTEGER),
        ("value", NUMBER),
        ("correct", Kind::One(Element::Flag)),
    ]);
    columns.extend(reward_columns(rewards));
    columns.extend(token_columns(tokens).into_iter().skip(1));
    columns
}

fn answer_row(
    part: &Part<'_>,
    evaluation: &RunEvaluation,
    mut row: Completion,
    rewards: &[String],
) -> Vec<Cell> {
    let tokens = token_cells(part.tokens, &mut row);
    let mut cells = vec![
        Cell::Text(part.run.to_owned()),
        Cell::Text(evaluation.stage.clone()),
        Cell::Integer(evaluation.step.cast_signed()),
        Cell::Text(evaluation.suite.clone()),
        Cell::Integer(row.group),
        Cell::Integer(row.sample),
        Cell::Text(row.prompt_key),
        Cell::Text(row.prompt),
        Cell::text(row.gold),
        Cell::text(row.text),
        Cell::Text(row.finish),
        Cell::Integer(row.n_tokens),
        Cell::number(row.reward),
        row.correct.map_or(Cell::Null, Cell::Flag),
    ];
    cells.extend(reward_cells(&row.rewards, rewards));
    // An evaluation records no tokens of prompts.
    cells.extend(tokens.into_iter().skip(1));
    cells
}

/// Steps and evaluations in the order of the run. An evaluation after so many steps stands before the step that begins
/// with what it has looked at.
pub fn moments(store: &Store, run: &str, stage: Option<&str>) -> Result<Vec<Moment>, Failure> {
    let evaluations = store.run_evaluations(run, stage)?.into_iter().map(Moment::Evaluation);
    // What is evaluated at the start belongs to no stage.
    let steps = match stage {
        Some("start") => Vec::new(),
        stage => store.run_steps(run, stage)?,
    };
    let mut moments: Vec<Moment> = evaluations.chain(steps.into_iter().map(Moment::Step)).collect();
    moments.sort_by_key(Moment::run_step);
    Ok(moments)
}

impl Moment {
    /// Steps of the run before it.
    pub fn run_step(&self) -> u64 {
        match self {
            Self::Step(step) => step.run_step,
            Self::Evaluation(evaluation) => evaluation.run_step,
        }
    }

    /// When it ended, milliseconds since 1970.
    pub fn ended_ms(&self) -> i64 {
        match self {
            Self::Step(step) => step.ended_ms,
            Self::Evaluation(evaluation) => evaluation.ended_ms,
        }
    }

    /// Its stage, and the step there.
    pub fn place(&self) -> (&str, u64) {
        match self {
            Self::Step(step) => (&step.stage, step.step),
            Self::Evaluation(evaluation) => (&evaluation.stage, evaluation.step),
        }
    }

    /// Its metrics by name, or its figures by `eval/`, the suite and the name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn scalars(&self, store: &Store) -> Result<Vec<(String, f64)>, Failure> {
        Ok(match self {
            Self::Step(step) => store
                .metrics_of(step)?
                .into_iter()
                .map(|metric| (metric.name, metric.value))
                .collect(),
            Self::Evaluation(evaluation) => store
                .figures_of(evaluation)?
                .into_iter()
                .map(|figure| (format!("eval/{}/{}", evaluation.suite, figure.name), figure.value))
                .collect(),
        })
    }
}

/// Names of all scalars, those of steps first.
fn scalar_names(store: &Store, run: &str, moments: &[Moment]) -> Result<Vec<String>, Failure> {
    let mut names = store.metric_names(run)?;
    let mut seen: HashSet<String> = names.iter().cloned().collect();
    for moment in moments.iter().filter(|moment| matches!(moment, Moment::Evaluation(_))) {
        for (name, _) in moment.scalars(store)? {
            if seen.insert(name.clone()) {
                names.push(name);
            }
        }
    }
    Ok(names)
}

fn metric_columns(names: &[String]) -> Vec<Column> {
    let mut columns = all_of(&[
        ("run", TEXT),
        ("step", INTEGER),
        ("stage", TEXT),
        ("stage_step", INTEGER),
        ("time", NUMBER),
    ]);
    columns.extend(names.iter().map(|name| Column::of(name, NUMBER).where_known()));
    columns
}

fn metric_row(
    run: &str,
    moment: &Moment,
    scalars: Vec<(String, f64)>,
    names: &[String],
) -> Vec<Cell> {
    let (stage, stage_step) = moment.place();
    let mut cells = vec![
        Cell::Text(run.to_owned()),
        Cell::Integer(moment.run_step().cast_signed()),
        Cell::Text(stage.to_owned()),
        Cell::Integer(stage_step.cast_signed()),
        Cell::Number(moment.ended_ms() as f64 / 1e3),
    ];
    let scalars: BTreeMap<String, f64> = scalars.into_iter().collect();
    cells.extend(names.iter().map(|name| Cell::number(scalars.get(name).copied())));
    cells
}
