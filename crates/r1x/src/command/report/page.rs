//! The page of a report: a template, in which every text is escaped unless it is a picture that was drawn here.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, Value, context};
use r1x_core::shown;
use r1x_store::{EvalRow, RunCard, SpecText};

use super::curves::StageCurves;
use super::samples::Group;
use crate::number::{number, optional, with_error};
use crate::table;

const TEMPLATE: &str = include_str!("page.html");

/// The page as a text.
///
/// # Errors
/// When the template cannot be filled, which is a bug.
pub fn render(
    card: &RunCard,
    (spec, started): (&SpecText, &str),
    curves: &[StageCurves],
    groups: &[Group],
) -> Result<String, Error> {
    let mut environment = Environment::new();
    // Text of models, data and rewards is text in the page as well.
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_filter("seconds", |seconds: f64| table::seconds(seconds));
    environment.add_filter("bytes", |bytes: u64| table::bytes(bytes));
    environment.add_filter("number", |value: f64| number(value));
    environment.add_filter("visible", |text: String| visible(&text));
    environment.add_template("page", TEMPLATE)?;
    let plan: serde_json::Value = serde_json::from_str(&spec.plan_json).unwrap_or_default();
    environment.get_template("page")?.render(context! {
        card => Value::from(Serde(card)),
        spec => Value::from(Serde(spec)),
        plan => serde_json::to_string_pretty(&plan).unwrap_or_default(),
        curves => Value::from(Serde(curves)),
        groups => Value::from(Serde(groups)),
        evaluations => Value::from(Serde(evaluations(&card.evals))),
        started => started,
        version => env!("CARGO_PKG_VERSION"),
    })
}

/// A figure of a suite at each time at which it was evaluated.
#[derive(Debug, PartialEq, serde::Serialize)]
struct Evaluations {
    /// Suites and figures, as columns.
    columns: Vec<String>,
    /// One row for each time.
    rows: Vec<(String, Vec<String>)>,
}

/// Figures as a table: a row for each stage and step, a column for each suite and figure.
fn evaluations(figures: &[EvalRow]) -> Evaluations {
    let mut columns: Vec<String> = Vec::new();
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for row in figures {
        let column = format!("{} {}", row.suite, row.metric);
        let at = columns.iter().position(|known| *known == column).unwrap_or_else(|| {
            columns.push(column);
            columns.len() - 1
        });
        let when = match row.step {
            0 => row.stage.clone(),
            steps => format!("{}, {steps} steps", row.stage),
        };
        if rows.iter().all(|(known, _)| *known != when) {
            rows.push((when.clone(), Vec::new()));
        }
        let cells = rows.iter_mut().find(|(known, _)| *known == when).map(|(_, cells)| cells);
        if let Some(cells) = cells {
            cells.resize(cells.len().max(at + 1), String::new());
            cells[at] = match (row.value, row.stderr) {
                (Some(value), Some(error)) => with_error(value, error),
                (value, _) => optional(value),
            };
        }
    }
    rows.iter_mut().for_each(|(_, cells)| cells.resize(columns.len(), String::new()));
    Evaluations { columns, rows }
}

/// A text with its line breaks, in which every character that would do something else than to appear is seen.
fn visible(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| shown::lines(line).collect()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_beside_each_other() {
        let row = |stage: &str, step: i64, suite: &str, value: f64| EvalRow {
            stage: stage.into(),
            step,
            suite: suite.into(),
            metric: "pass@1".into(),
            value: Some(value),
            stderr: None,
            n_items: 4,
            n_samples: 1,
        };
        let figures = [row("start", 0, "a", 0.5), row("rl", 9, "b", 0.25), row("rl", 9, "a", 0.75)];
        let table = evaluations(&figures);
        assert_eq!(table.columns, ["a pass@1", "b pass@1"]);
        let rows: Vec<(&str, Vec<&str>)> = table
            .rows
            .iter()
            .map(|(when, cells)| (when.as_str(), cells.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!(rows, [("start", vec!["0.5", ""]), ("rl, 9 steps", vec!["0.75", "0.25"])]);
    }

    #[test]
    fn what_would_act_is_seen_and_lines_stay_lines() {
        assert_eq!(visible("a\u{1b}[31m\u{202e}b\n"), "a␛[31m<U+202E>b\n");
        assert_eq!(visible("\n"), "\n");
    }
}
