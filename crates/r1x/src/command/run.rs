//! `r1x run`: resolve a spec, wire the ports, run the plan, say what came of it.
//!
//! Start reading here to see how the pieces fit. Must not know how any of them works.

use std::time::Instant;

use r1x_core::plan::RunPlan;
use r1x_core::port::Cursor;
use r1x_core::{EvalFacts, PortError};
use r1x_store::{RunStart, RunStatus, RunWriter};
use r1x_train::{Ports, RunOutcome};

use crate::cli::{ComputeArgs, Global, SpecArgs};
use crate::display::{Line, Page, Table, Tone};
use crate::failure::{Failure, code};
use crate::interrupt::Interrupt;
use crate::output::{self, Stream};
use crate::progress::{Progress, Shares};
use crate::timed::{Stopwatch, TimedPolicy, TimedRewarder};
use crate::{environment, session, table};

/// Runs an experiment from its beginning.
///
/// # Errors
/// Whatever stops it; what was recorded stays.
pub fn run(
    global: &Global,
    spec: &SpecArgs,
    compute: &ComputeArgs,
    json: bool,
) -> Result<i32, Failure> {
    let device = session::device(compute)?;
    let world = session::world(compute.threads())?;
    let resolved = session::resolved(spec, &world)?;
    for (path, took) in world.compiled() {
        eprintln!("compiled {path} in {}", table::seconds(took.as_secs_f64()));
    }
    let plan = &resolved.plan;
    let problems = session::problems(plan)?;
    let (mut rewarder, plugins) = session::rewarder(plan, &world)?;
    session::rehearse(plan, &problems, &mut rewarder)?;
    let (plan_json, plan_sha256) = session::plan_json(plan)?;
    let store = session::store(global)?;
    let mut writer = store
        .begin_run(RunStart {
            name: plan.name.clone(),
            seed: plan.seed,
            spec_path: Some(spec.spec.display().to_string()),
            spec_text: resolved.source_text.clone(),
            overrides: resolved.overrides.clone(),
            plan_json,
            plan_sha256,
            environment: environment::current(&compute.device, compute.threads()),
            datasets: session::datasets(plan, &problems),
            plugins,
            parent: None,
        })
        .map_err(PortError::from)?;
    rewarder.keep_failures(session::failures(writer.folder()));
    let policy = session::policy(plan, compute, &device, writer.folder())?;
    let wired = Wired { plan, policy, rewarder, problems, from: Cursor::default() };
    drive(wired, &mut writer, json)
}

/// A run with everything it needs.
pub struct Wired<'a> {
    /// What to run.
    pub plan: &'a RunPlan,
    /// The model.
    pub policy: Box<dyn r1x_model::Model>,
    /// The rewards.
    pub rewarder: r1x_reward::WasmRewarder,
    /// The data.
    pub problems: r1x_tasks::Problems,
    /// Where to begin.
    pub from: Cursor,
}

/// Runs to the end, to an interruption or to an error, and reports it.
///
/// # Errors
/// Whatever stopped the run, after it was marked in the store.
pub fn drive(mut wired: Wired<'_>, writer: &mut RunWriter, json: bool) -> Result<i32, Failure> {
    let began = Instant::now();
    let interrupt = Interrupt::listen();
    let stopwatch = Stopwatch::default();
    eprintln!(
        "{}  seed {}  {} parameters",
        writer.name(),
        wired.plan.seed,
        table::count(wired.policy.parameter_count() as u64)
    );
    let mut progress = Progress::new(writer, wired.plan, stopwatch.clone());
    let result = {
        let mut policy = TimedPolicy { inner: wired.policy.as_mut(), stopwatch: stopwatch.clone() };
        let mut rewarder = TimedRewarder { inner: wired.rewarder, stopwatch };
        let ports = Ports {
            policy: &mut policy,
            rewarder: &mut rewarder,
            problems: &wired.problems,
            recorder: &mut progress,
        };
        r1x_train::run(wired.plan, ports, wired.from, &|| interrupt.requested())
    };
    progress.finish();
    let (shares, evaluations) = (progress.shares, std::mem::take(&mut progress.evaluations));
    let report = Report { shares, evaluations, seconds: began.elapsed().as_secs_f64(), json };
    conclude(result, wired.plan, writer, &report)
}

/// What there is to say at the end.
struct Report {
    shares: Shares,
    evaluations: Vec<EvalFacts>,
    seconds: f64,
    json: bool,
}

/// Marks the end of the run in the store and says it.
fn conclude(
    result: Result<RunOutcome, PortError>,
    plan: &RunPlan,
    writer: &mut RunWriter,
    report: &Report,
) -> Result<i32, Failure> {
    match result {
        Ok(RunOutcome::Done) => {
            let missed = missed_gates(plan, &report.evaluations);
            let exit = if missed.is_empty() { 0 } else { code::GATE };
            let digest = writer.digest()?;
            writer.finish(RunStatus::Done, exit, None, Some(&digest))?;
            report.print(writer.name(), "done", Some(&digest));
            for line in &missed {
                eprintln!("error: {line}");
            }
            Ok(exit)
        }
        Ok(RunOutcome::Interrupted { cursor }) => {
            writer
                .finish(RunStatus::Interrupted, code::INTERRUPTED, None, None)
                .map_err(PortError::from)?;
            let stage = plan.stages.get(cursor.stage).map_or("the end", |stage| stage.id.as_str());
            eprintln!("interrupted: saved at step {} of {stage}", cursor.step);
            eprintln!("  go on: r1x resume {}", writer.name());
            report.print(writer.name(), "interrupted", None);
            Ok(code::INTERRUPTED)
        }
        Err(error) => {
            let failure = Failure::from(error);
            let status = if failure.code == code::DIVERGED {
                RunStatus::Diverged
            } else {
                RunStatus::Failed
            };
            // The run's own error matters more than one from marking it.
            if let Err(second) = writer.finish(status, failure.code, Some(&failure.message), None) {
                tracing::warn!("the run could not be marked as failed: {second}");
            }
            output::page(Stream::Err, &failure.page());
            eprintln!("  run: {}; recorded steps are safe", writer.name());
            Ok(failure.code)
        }
    }
}

/// One line per final figure below its gate.
fn missed_gates(plan: &RunPlan, evaluations: &[EvalFacts]) -> Vec<String> {
    let mut missed = Vec::new();
    for suite in &plan.evals {
        let Some(last) = evaluations.iter().rev().find(|e| e.suite == suite.id) else { continue };
        for (metric, least) in &suite.gate {
            match last.metrics.iter().find(|m| m.metric == *metric) {
                Some(found) if found.value >= *least => {}
                Some(found) => missed.push(format!(
                    "gate missed: {} {metric} is {:.4}, at least {least} was asked for",
                    suite.id, found.value
                )),
                None => missed.push(format!("gate missed: {} does not report {metric}", suite.id)),
            }
        }
    }
    missed
}

impl Report {
    fn print(&self, name: &str, status: &str, digest: Option<&str>) {
        if self.json {
            output::json(&self.json(name, status, digest).to_string());
            return;
        }
        let shares = self.shares.line();
        if !shares.is_empty() {
            eprintln!("{shares}");
        }
        let mut page = Page::default();
        if let Some(table) = evaluations_table(&self.evaluations) {
            page.table(table);
        }
        output::page(Stream::Out, &page);
        let took = format!(" in {}", table::seconds(self.seconds));
        let mut end = Page::default();
        end.line(
            Line::of(Tone::Plain, format!("{name}: "))
                .and(Tone::of_status(status), status)
                .and(Tone::Plain, took),
        );
        output::page(Stream::Err, &end);
        if let Some(digest) = digest {
            eprintln!("digest {digest}");
        }
    }

    fn json(&self, name: &str, status: &str, digest: Option<&str>) -> serde_json::Value {
        let mut evals = Vec::new();
        for facts in &self.evaluations {
            for m in &facts.metrics {
                evals.push(serde_json::json!({
                    "stage": facts.label,
                    "step": facts.step,
                    "suite": facts.suite,
                    "metric": m.metric,
                    "value": m.value,
                    "stderr": m.stderr,
                    "n_items": m.n_items,
                    "n_samples": m.n_samples,
                }));
            }
        }
        let s = &self.shares;
        serde_json::json!({
            "run": name,
            "status": status,
            "digest": digest,
            "seconds": self.seconds,
            "evals": evals,
            "time": {
                "steps": s.steps, "wall": s.wall, "generate": s.generate,
                "reward": s.reward, "train": s.train, "store": s.store,
            },
        })
    }
}

/// Evaluations as a table, one row per evaluation.
pub fn evaluations_table(evaluations: &[EvalFacts]) -> Option<Table> {
    let first = evaluations.first()?;
    let metrics: Vec<&str> = first.metrics.iter().map(|m| m.metric.as_str()).collect();
    let mut header = vec!["suite", "after"];
    header.extend(&metrics);
    header.push("problems");
    let rows: Vec<Vec<String>> = evaluations
        .iter()
        .map(|facts| {
            let mut row = vec![facts.suite.clone(), facts.label.clone()];
            for metric in &metrics {
                let found = facts.metrics.iter().find(|m| m.metric == *metric);
                row.push(
                    found.map_or("-".to_owned(), |m| format!("{:.4} ± {:.4}", m.value, m.stderr)),
                );
            }
            let first = facts.metrics.first();
            row.push(first.map_or("-".to_owned(), |m| format!("{} × {}", m.n_items, m.n_samples)));
            row
        })
        .collect();
    Some(Table::of(&header, &rows).whole(&["suite", "after"]))
}
