//! What a run says at its end: its evaluations as a table or as JSON, those before a resume included, and gates that
//! were missed.

use r1x_core::plan::RunPlan;
use r1x_store::{EvalRow, evaluations, newest_evaluation};

use crate::display::{Line, Page, Table, Tone};
use crate::number::with_error;
use crate::output::{self, Stream};
use crate::reproduction::Reproduced;
use crate::reuse::Reused;
use crate::table;
use crate::timed::Shares;

/// What there is to say at the end.
pub struct Report {
    /// Where the time of steps went.
    pub shares: Shares,
    /// The stages that were taken over from earlier runs.
    pub reused: Vec<Reused>,
    /// Every figure of every evaluation that counts, in order.
    pub evals: Vec<EvalRow>,
    /// Time of this process, seconds.
    pub seconds: f64,
    /// Time of every process that worked on the run, seconds.
    pub total_seconds: f64,
    /// How it is said.
    pub form: Form,
    /// What came of comparing it with the run that it makes again, if it makes one again.
    pub reproduced: Option<Reproduced>,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Tables for people.
    Tables,
    /// One JSON object.
    Json,
}

impl Report {
    /// Prints it.
    pub fn print(&self, name: &str, status: &str, digest: Option<&str>) {
        if self.form == Form::Json {
            output::json(&self.json(name, status, digest).to_string());
            return;
        }
        let shares = self.shares.line();
        if !shares.is_empty() {
            eprintln!("{shares}");
        }
        let mut page = Page::default();
        if let Some(table) = evaluations_table(&self.evals) {
            page.table(table);
        }
        output::page(Stream::Out, &page);
        let mut end = Page::default();
        end.line(
            Line::of(Tone::Plain, format!("{name}: "))
                .and(Tone::of_status(status), status)
                .and(Tone::Plain, format!(" in {}", self.took())),
        );
        output::page(Stream::Err, &end);
        if let Some(digest) = digest {
            eprintln!("digest {digest}");
        }
        if let Some(reproduced) = &self.reproduced {
            output::page(Stream::Out, &verdict(reproduced));
        }
    }

    fn took(&self) -> String {
        let here = table::seconds(self.seconds);
        // What was done before a resume takes at least a moment.
        if self.total_seconds < self.seconds + 1.0 {
            return here;
        }
        format!("{here}, {} with what was done before", table::seconds(self.total_seconds))
    }

    fn json(&self, name: &str, status: &str, digest: Option<&str>) -> serde_json::Value {
        let evals: Vec<serde_json::Value> = self
            .evals
            .iter()
            .map(|row| {
                serde_json::json!({
                    "stage": row.stage,
                    "step": row.step,
                    "suite": row.suite,
                    "metric": row.metric,
                    "value": row.value,
                    "stderr": row.stderr,
                    "n_items": row.n_items,
                    "n_samples": row.n_samples,
                })
            })
            .collect();
        let s = &self.shares;
        let mut json = serde_json::json!({
            "run": name,
            "status": status,
            "digest": digest,
            "seconds": self.seconds,
            "total_seconds": self.total_seconds,
            "evals": evals,
            "reused": self.reused,
            "time": {
                "steps": s.steps, "wall": s.wall, "generate": s.generate,
                "reward": s.reward, "train": s.train, "store": s.store,
            },
        });
        if let Some(reproduced) = &self.reproduced {
            json["reproduction"] = serde_json::json!(reproduced);
        }
        json
    }
}

/// Whether a run that was made again is what was recorded.
fn verdict(reproduced: &Reproduced) -> Page {
    let mut page = Page::default();
    let mut lines = reproduced.lines().into_iter();
    let tone = if reproduced.matches { Tone::Good } else { Tone::Bad };
    if let Some(first) = lines.next() {
        page.line(Line::of(tone, first));
    }
    for line in lines {
        page.line(line);
    }
    page
}

/// One line per final figure below its gate.
pub fn missed_gates(plan: &RunPlan, evals: &[EvalRow]) -> Vec<String> {
    let mut missed = Vec::new();
    for suite in plan.evals.iter().filter(|suite| !suite.gate.is_empty()) {
        let Some(last) = newest_evaluation(evals, &suite.id) else {
            missed.push(format!("gate missed: {} was never evaluated", suite.id));
            continue;
        };
        for (metric, least) in &suite.gate {
            let found = last.iter().find(|row| row.metric == *metric);
            match found.map(|row| row.value) {
                Some(Some(value)) if value >= *least => {}
                Some(value) => missed.push(format!(
                    "gate missed: {} {metric} is {}, at least {least} was asked for",
                    suite.id,
                    value.map_or("not a number".to_owned(), crate::number::number)
                )),
                None => missed.push(format!("gate missed: {} does not report {metric}", suite.id)),
            }
        }
    }
    missed
}

/// Evaluations as a table, one row for each: after how many steps of which stage, and what every suite reports.
fn evaluations_table(evals: &[EvalRow]) -> Option<Table> {
    let mut metrics: Vec<&str> = Vec::new();
    for row in evals {
        if !metrics.contains(&row.metric.as_str()) {
            metrics.push(&row.metric);
        }
    }
    if metrics.is_empty() {
        return None;
    }
    let mut header = vec!["suite", "after", "steps"];
    header.extend(&metrics);
    header.push("problems");
    let rows: Vec<Vec<String>> = evaluations(evals)
        .map(|figures| {
            let first = &figures[0];
            let mut row = vec![first.suite.clone(), first.stage.clone(), first.step.to_string()];
            for metric in &metrics {
                let found = figures.iter().find(|figure| figure.metric == *metric);
                row.push(found.map_or("-".to_owned(), figure));
            }
            row.push(format!("{} × {}", first.n_items, first.n_samples));
            row
        })
        .collect();
    Some(Table::of(&header, &rows).whole(&["suite", "after"]))
}

fn figure(row: &EvalRow) -> String {
    with_error(row.value.unwrap_or(f64::NAN), row.stderr.unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::View;

    fn row(suite: &str, stage: &str, step: i64, metric: &str, value: f64) -> EvalRow {
        EvalRow {
            stage: stage.to_owned(),
            step,
            suite: suite.to_owned(),
            metric: metric.to_owned(),
            value: Some(value),
            stderr: Some(0.01),
            n_items: 20,
            n_samples: 4,
        }
    }

    /// Suites that report different figures share a table, and rows of one stage are told apart by their steps.
    #[test]
    fn every_evaluation_is_a_row_with_its_steps() {
        let evals = [
            row("small", "start", 0, "pass@1", 0.1),
            row("small", "rl", 50, "pass@1", 0.25),
            row("small", "rl", 50, "tokens", 12.0),
            row("hard", "rl", 100, "pass@4", 0.5),
        ];
        let mut page = Page::default();
        page.table(evaluations_table(&evals).unwrap());
        let text = page.draw(View::default()).text;
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split("  ").filter(|c| !c.is_empty()).collect()).collect();
        let cells = |line: usize| lines[line].iter().map(|cell| cell.trim()).collect::<Vec<_>>();
        assert_eq!(cells(0), ["suite", "after", "steps", "pass@1", "tokens", "pass@4", "problems"]);
        assert_eq!(
            cells(3),
            ["small", "rl", "50", "0.250 ± 0.010", "12.000 ± 0.010", "-", "20 × 4"]
        );
        assert_eq!(cells(4), ["hard", "rl", "100", "-", "-", "0.500 ± 0.010", "20 × 4"]);
        assert!(evaluations_table(&[]).is_none());
    }
}
