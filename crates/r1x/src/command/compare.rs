//! `r1x compare`: the combinations of a sweep side by side, as means over its seeds with their standard errors.
//!
//! Runs that have not ended count in no mean, because their figures are those of a model that has learnt for a shorter
//! time; they are counted beside it. Must not change the store.

use r1x_store::{RunSummary, Store, SweepCard, SweepMember, newest_evaluation};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::args::Global;
use crate::display::{Page, Table};
use crate::failure::Failure;
use crate::number::{number, with_error};
use crate::output::{self, Stream};
use crate::{plans, stores};

/// The path over whose values means are taken.
const SEED: &str = "seed";

/// Compares the combinations of a sweep.
///
/// # Errors
/// When there is no such sweep, or the store cannot be read.
pub fn compare(global: &Global, sweep: &str, json: bool) -> Result<i32, Failure> {
    let store = stores::reading(global.store())?;
    let card = store.sweep(sweep)?;
    let comparison = Comparison::of(&store, &card)?;
    match json {
        true => output::json(&plans::json(&comparison)?),
        false => output::page(Stream::Out, &comparison.page()),
    }
    Ok(0)
}

/// A sweep as its combinations.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// Name of the sweep.
    pub sweep: String,
    /// Its identity across stores.
    pub uid: String,
    /// The paths that differ between the rows: all that are varied but the seed.
    pub paths: Vec<String>,
    /// A row for each combination of their values.
    pub rows: Vec<Row>,
}

/// Runs that differ in the seed only.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The value of each path.
    pub values: Map<String, Json>,
    /// Runs that were asked for.
    pub runs: usize,
    /// Runs that have ended, which are those in the means.
    pub ended: usize,
    /// How many of the other runs are how far.
    pub others: Map<String, Json>,
    /// Means over the runs that have ended.
    pub figures: Vec<Figure>,
    /// The runs themselves.
    pub members: Vec<SweepMember>,
}

/// A figure at the end of runs.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// The suite that it comes from; none of a metric of the last step.
    pub suite: Option<String>,
    /// Its name.
    pub metric: String,
    /// Mean over runs; none without a value.
    pub mean: Option<f64>,
    /// Standard error of the mean; none of fewer than two values.
    pub stderr: Option<f64>,
    /// Runs with a value that is finite.
    pub n: usize,
}

impl Comparison {
    /// Asks the store.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(store: &Store, card: &SweepCard) -> Result<Self, Failure> {
        let paths = card.paths.iter().filter(|path| *path != SEED).cloned().collect();
        let mut rows: Vec<(Map<String, Json>, Vec<SweepMember>)> = Vec::new();
        for member in &card.members {
            let mut values = member.values.clone();
            values.shift_remove(SEED);
            match rows.iter_mut().find(|(known, _)| *known == values) {
                Some((_, members)) => members.push(member.clone()),
                None => rows.push((values, vec![member.clone()])),
            }
        }
        let rows = rows.into_iter().map(|(values, members)| Row::of(store, values, members));
        Ok(Self {
            sweep: card.name.clone(),
            uid: card.uid.clone(),
            paths,
            rows: rows.collect::<Result<_, Failure>>()?,
        })
    }

    /// The comparison as a table.
    pub fn page(&self) -> Page {
        let mut names: Vec<String> = Vec::new();
        for figure in self.rows.iter().flat_map(|row| &row.figures) {
            if !names.contains(&figure.name()) {
                names.push(figure.name());
            }
        }
        let mut header: Vec<&str> = self.paths.iter().map(String::as_str).collect();
        header.extend(["runs", "not ended"]);
        header.extend(names.iter().map(String::as_str));
        let cell = |row: &Row, name: &String| {
            let found = row.figures.iter().find(|figure| figure.name() == *name);
            found.map_or_else(|| "-".to_owned(), |figure| figure.cell(row.ended))
        };
        let line = |row: &Row| {
            let mut cells: Vec<String> =
                self.paths.iter().map(|path| shown(row.values.get(path))).collect();
            cells.push(format!("{} of {}", row.ended, row.runs));
            let others = row.others.iter().map(|(status, count)| format!("{count} {status}"));
            let others: Vec<String> = others.collect();
            cells.push(if others.is_empty() { "-".to_owned() } else { others.join(", ") });
            cells.extend(names.iter().map(|name| cell(row, name)));
            cells
        };
        let rows: Vec<Vec<String>> = self.rows.iter().map(line).collect();
        let mut page = Page::default();
        page.line(format!("{}: means over seeds ± their standard errors", self.sweep));
        page.table(Table::of(&header, &rows));
        page
    }
}

/// A value of a path as a person writes it.
pub fn shown(value: Option<&Json>) -> String {
    match value {
        None => "-".to_owned(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => r1x_spec::written(other),
    }
}

/// How far a member is, in the words of the store.
pub fn status(member: &SweepMember) -> &str {
    member.run.as_ref().map_or("not begun", |run| run.status.as_str())
}

/// Whether all stages of its run are done.
fn has_ended(member: &SweepMember) -> bool {
    ["done", "gate missed"].contains(&status(member))
}

impl Row {
    /// The runs that the means are over.
    pub fn ended_runs(&self) -> impl Iterator<Item = &RunSummary> {
        self.members
            .iter()
            .filter(|member| has_ended(member))
            .filter_map(|member| member.run.as_ref())
    }

    fn of(
        store: &Store,
        values: Map<String, Json>,
        members: Vec<SweepMember>,
    ) -> Result<Self, Failure> {
        let mut found: Vec<(Option<String>, String, Vec<f64>)> = Vec::new();
        let mut add = |suite: Option<&str>, metric: &str, value: Option<f64>| {
            let at = found
                .iter()
                .position(|(known, name, _)| (known.as_deref(), name.as_str()) == (suite, metric));
            let at = at.unwrap_or_else(|| {
                found.push((suite.map(str::to_owned), metric.to_owned(), Vec::new()));
                found.len() - 1
            });
            found[at].2.extend(value.filter(|value| value.is_finite()));
        };
        for member in members.iter().filter(|member| has_ended(member)) {
            let Some(run) = &member.run else { continue };
            if let Some(last) = &run.last_metric {
                add(None, &last.name, last.value);
            }
            let evals = store.eval_results(&run.name)?;
            let mut suites: Vec<&str> = Vec::new();
            for row in &evals {
                if !suites.contains(&row.suite.as_str()) {
                    suites.push(&row.suite);
                }
            }
            for suite in suites {
                for row in newest_evaluation(&evals, suite).unwrap_or_default() {
                    add(Some(suite), &row.metric, row.value);
                }
            }
        }
        let mut others: Map<String, Json> = Map::new();
        for member in members.iter().filter(|member| !has_ended(member)) {
            let before = others.get(status(member)).and_then(Json::as_u64).unwrap_or_default();
            others.insert(status(member).to_owned(), Json::from(before + 1));
        }
        let figure = |(suite, metric, values): (Option<String>, String, Vec<f64>)| {
            let (mean, stderr) = mean_and_error(&values);
            Figure { suite, metric, mean, stderr, n: values.len() }
        };
        Ok(Self {
            values,
            runs: members.len(),
            ended: members.iter().filter(|member| has_ended(member)).count(),
            others,
            figures: found.into_iter().map(figure).collect(),
            members,
        })
    }
}

impl Figure {
    fn name(&self) -> String {
        match &self.suite {
            Some(suite) => format!("{suite} {}", self.metric),
            None => self.metric.clone(),
        }
    }

    /// The mean with its error, and over how many runs where not all have a value.
    fn cell(&self, ended: usize) -> String {
        let Some(mean) = self.mean else { return "-".to_owned() };
        let said = self.stderr.map_or_else(|| number(mean), |error| with_error(mean, error));
        if self.n == ended { said } else { format!("{said} ({} of {ended})", self.n) }
    }
}

/// The mean of values and its standard error, from the deviation of a sample.
pub fn mean_and_error(values: &[f64]) -> (Option<f64>, Option<f64>) {
    let n = values.len() as f64;
    if values.is_empty() {
        return (None, None);
    }
    let mean = values.iter().sum::<f64>() / n;
    if values.len() < 2 {
        return (Some(mean), None);
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (Some(mean), Some((squares / (n - 1.0) / n).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::View;

    fn figure(suite: Option<&str>, metric: &str, values: &[f64]) -> Figure {
        let (mean, stderr) = mean_and_error(values);
        let suite = suite.map(str::to_owned);
        Figure { suite, metric: metric.to_owned(), mean, stderr, n: values.len() }
    }

    #[test]
    fn errors_are_those_of_the_mean() {
        // Deviations -1, 0 and 1: a variance of 1, over three values.
        let (mean, error) = mean_and_error(&[1.0, 2.0, 3.0]);
        assert_eq!(mean, Some(2.0));
        assert!((error.unwrap() - (1.0_f64 / 3.0).sqrt()).abs() < 1e-15);
        assert_eq!(mean_and_error(&[0.5]), (Some(0.5), None));
        assert_eq!(mean_and_error(&[]), (None, None));
    }

    #[test]
    fn a_row_says_what_its_means_are_over() {
        let row = |lr: f64, others: Json, figures: Vec<Figure>| Row {
            values: [("rl.lr".to_owned(), Json::from(lr))].into_iter().collect(),
            runs: 3,
            ended: 3 - others.as_object().map_or(0, Map::len),
            others: others.as_object().cloned().unwrap_or_default(),
            figures,
            members: Vec::new(),
        };
        let comparison = Comparison {
            sweep: "small-sweep-calm-otter".to_owned(),
            uid: String::new(),
            paths: vec!["rl.lr".to_owned()],
            rows: vec![
                row(
                    1e-5,
                    serde_json::json!({}),
                    vec![
                        figure(None, "reward.mean", &[0.25, 0.5, 0.75]),
                        figure(Some("heldout"), "pass@1", &[0.5, 0.75]),
                    ],
                ),
                row(
                    3e-5,
                    serde_json::json!({"failed": 1, "not begun": 1}),
                    vec![figure(None, "reward.mean", &[0.5])],
                ),
            ],
        };
        let text = comparison.page().draw(View::default()).text;
        let cells = |line: usize| -> Vec<String> {
            let line = text.lines().nth(line).unwrap();
            line.split("  ").map(str::trim).filter(|c| !c.is_empty()).map(str::to_owned).collect()
        };
        assert_eq!(cells(1), ["rl.lr", "runs", "not ended", "reward.mean", "heldout pass@1"]);
        assert_eq!(cells(3), ["1e-5", "3 of 3", "-", "0.50 ± 0.14", "0.62 ± 0.12 (2 of 3)"]);
        assert_eq!(cells(4), ["3e-5", "1 of 3", "1 failed, 1 not begun", "0.5", "-"]);
    }
}
