//! `r1x run`: resolve a spec, wire the ports, run the plan, say what came of it.
//!
//! Start reading here to see how the pieces fit.

use std::time::Instant;

use r1x_core::PortError;
use r1x_core::plan::RunPlan;
use r1x_core::port::Cursor;
use r1x_model::Home;
use r1x_store::{Level, RunStart, RunStatus, RunWriter, Store};
use r1x_train::{Checked, Ports, RunOutcome};

use crate::args::Global;
use crate::failure::{Failure, code};
use crate::inputs::World;
use crate::interrupt::Interrupt;
use crate::memory::Excess;
use crate::models::RunModels;
use crate::notice::Notice;
use crate::output::{self, Stream};
use crate::plans::SpecSource;
use crate::prepare::{Prepared, prepare};
use crate::progress::Progress;
use crate::report::{Form, Report, missed_gates};
use crate::rewards::RunRewarder;
use crate::timed::{Shares, Stopwatch, TimedPolicy, TimedRewarder};
use crate::wiring::Compute;
use crate::{earlier, environment, plans, stores, table, wiring};

/// Runs an experiment from its beginning.
///
/// # Errors
/// Whatever stops it; what was recorded stays.
pub fn run(
    global: &Global,
    spec: &SpecSource,
    compute: &Compute,
    excess: Excess,
    json: bool,
) -> Result<i32, Failure> {
    let device = wiring::device(compute)?;
    let world =
        World::with_workers(compute.threads)?.with_checkpoints(earlier::finder(global.store()));
    let resolved = plans::resolved(spec, &world)?;
    for (path, took) in world.compiled() {
        eprintln!("compiled {path} in {}", table::seconds(took.as_secs_f64()));
    }
    let plan = &resolved.plan;
    let excess = if device.is_cpu() { excess } else { Excess::Elsewhere };
    let Prepared { checked, problems, mut rewarder, plugins, notices } =
        prepare(plan, &world, compute.threads, excess)?;
    notices.iter().for_each(Notice::say);
    // Last, because it takes the most: a run that cannot begin leaves nothing in the store.
    let mut models = RunModels::new(plan, compute, &device)?;
    let (plan_json, plan_sha256) = plans::plan_json(plan)?;
    let store = stores::store(global.store())?;
    let mut writer = store
        .begin_run(RunStart {
            name: plan.name.clone(),
            seed: plan.seed,
            spec_path: Some(spec.path.display().to_string()),
            spec_text: resolved.source_text.clone(),
            overrides: resolved.overrides.clone(),
            plan_json,
            plan_sha256,
            environment: environment::current(&compute.device, compute.threads),
            datasets: wiring::datasets(plan, &problems),
            plugins,
            parent: None,
            folder: plans::folder(),
        })
        .map_err(PortError::from)?;
    for notice in &notices {
        writer.event(Level::Warn, "check", &notice.message).map_err(PortError::from)?;
    }
    rewarder.keep_failures(wiring::failures(writer.folder()));
    let home = Home { folder: writer.folder().to_owned(), run: writer.uid().to_owned() };
    models.keep_in(home.clone());
    let rewarder = RunRewarder::new(rewarder, plan, (compute, &device), home);
    let wired = Wired { plan, checked, models, rewarder, problems, store: &store };
    drive(wired, &mut writer, json)
}

/// A run with everything it needs.
pub struct Wired<'a> {
    /// What to run.
    pub plan: &'a RunPlan,
    /// The checked form of `plan`, and where to begin.
    pub checked: Checked<'a>,
    /// The models, of which the one is at work that the run goes on with.
    pub models: RunModels<'a>,
    /// The rewards.
    pub rewarder: RunRewarder<'a>,
    /// The data.
    pub problems: r1x_tasks::Problems,
    /// Where it is recorded.
    pub store: &'a Store,
}

/// Runs to the end, to an interruption or to an error, and reports it.
///
/// # Errors
/// Whatever stopped the run, after it was marked in the store.
pub fn drive(mut wired: Wired<'_>, writer: &mut RunWriter, json: bool) -> Result<i32, Failure> {
    let began = Instant::now();
    let interrupt = Interrupt::listen(writer.stopper());
    let stopwatch = Stopwatch::default();
    eprintln!(
        "{}  seed {}  {} parameters",
        writer.name(),
        wired.plan.seed,
        table::count(wired.models.at_work().parameter_count() as u64)
    );
    let mut progress = Progress::new(writer, wired.plan, stopwatch.clone(), interrupt.clone());
    let result = {
        let mut policy = TimedPolicy { inner: &mut wired.models, stopwatch: stopwatch.clone() };
        let mut rewarder = TimedRewarder { inner: wired.rewarder, stopwatch };
        let ports = Ports {
            policy: &mut policy,
            rewarder: &mut rewarder,
            problems: &wired.problems,
            recorder: &mut progress,
        };
        wired.checked.run(ports, &|| interrupt.requested())
    };
    progress.finish();
    let shares = progress.shares;
    let seconds = began.elapsed().as_secs_f64();
    let form = if json { Form::Json } else { Form::Tables };
    let end = End { plan: wired.plan, store: wired.store, shares, seconds, form };
    end.conclude(result, writer)
}

/// What is known at the end of a run.
struct End<'a> {
    plan: &'a RunPlan,
    store: &'a Store,
    shares: Shares,
    seconds: f64,
    form: Form,
}

impl End<'_> {
    /// What there is to say. What was evaluated before a resume counts as well, so the store is asked.
    fn report(&self, writer: &mut RunWriter) -> Result<Report, Failure> {
        writer.flush()?;
        Ok(Report {
            shares: self.shares,
            evals: self.store.eval_results(writer.name())?,
            seconds: self.seconds,
            total_seconds: self.store.run(writer.name())?.seconds,
            form: self.form,
        })
    }

    /// Marks the end of the run in the store and says it.
    fn conclude(
        &self,
        result: Result<RunOutcome, PortError>,
        writer: &mut RunWriter,
    ) -> Result<i32, Failure> {
        match result {
            Ok(RunOutcome::Done) => {
                let report = self.report(writer)?;
                let missed = missed_gates(self.plan, &report.evals);
                let (status, exit, why) = match missed.is_empty() {
                    true => (RunStatus::Done, 0, None),
                    false => (RunStatus::GateMissed, code::GATE, Some(missed.join("; "))),
                };
                let digest = writer.digest()?;
                writer.finish(status, exit, why.as_deref(), Some(&digest))?;
                report.print(writer.name(), status.as_str(), Some(&digest));
                for line in &missed {
                    eprintln!("error: {line}");
                }
                Ok(exit)
            }
            Ok(RunOutcome::Interrupted { cursor }) => {
                let report = self.report(writer)?;
                writer.finish(RunStatus::Interrupted, code::INTERRUPTED, None, None)?;
                eprintln!("interrupted: {}; saved", steps_done(self.plan, &cursor));
                eprintln!("  go on: r1x resume {}", writer.name());
                report.print(writer.name(), "interrupted", None);
                Ok(code::INTERRUPTED)
            }
            Err(error) => {
                let message = error.message.clone();
                let failure = Failure::from(error);
                let status = if failure.code == code::DIVERGED {
                    RunStatus::Diverged
                } else {
                    RunStatus::Failed
                };
                // The run's own error matters more than one from marking it.
                let marked = writer.finish(status, failure.code, Some(&message), None);
                if let Err(second) = marked
                    && failure.code != code::STORE
                {
                    tracing::warn!("the run could not be marked as failed: {second}");
                }
                output::page(Stream::Err, &failure.page());
                // Of a store that is damaged or gone, its own error says what is left.
                let safe =
                    if failure.code == code::STORE { "" } else { "; recorded steps are safe" };
                eprintln!("  run: {}{safe}", writer.name());
                Ok(failure.code)
            }
        }
    }
}

/// How far a cursor is, in words.
pub fn steps_done(plan: &RunPlan, cursor: &Cursor) -> String {
    let Some(stage) = plan.stage_index(cursor).and_then(|index| plan.stages.get(index)) else {
        return "nothing is done".to_owned();
    };
    match cursor.step {
        0 => format!("stage `{}` is next", stage.id),
        1 => format!("1 step of stage `{}` is done", stage.id),
        done => format!("{done} steps of stage `{}` are done", stage.id),
    }
}
