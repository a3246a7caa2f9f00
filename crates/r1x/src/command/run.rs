//! `r1x run`: resolve a spec, wire the ports, run the plan, say what came of it. A spec that stands for several runs is
//! handed on to `sweep`.
//!
//! Start reading here to see how the pieces fit.

use std::num::NonZeroUsize;
use std::time::Instant;

use r1x_core::plan::RunPlan;
use r1x_core::port::Cursor;
use r1x_core::{PortError, Recorder};
use r1x_model::Home;
use r1x_ops::device::Device;
use r1x_spec::{Asked, Resolved};
use r1x_store::{EarlierSweep, Level, RunStart, RunStatus, RunWriter, Store};
use r1x_train::{Checked, Ports, RunOutcome};

use crate::args::Global;
use crate::command::sweep;
use crate::failure::{Failure, Told, code};
use crate::inputs::World;
use crate::interrupt::Interrupt;
use crate::lock::{Guard, Locking};
use crate::memory::Excess;
use crate::models::RunModels;
use crate::notice::Notice;
use crate::output::{self, Stream};
use crate::plans::SpecSource;
use crate::prepare::{Prepared, Share, prepare};
use crate::progress::Progress;
use crate::report::{Form, Report, missed_gates};
use crate::reproduction::{Comparing, Repetition, Reproduced};
use crate::reuse::{Reusable, ReuseChoice, Reused};
use crate::rewards::RunRewarder;
use crate::timed::{Shares, Stopwatch, TimedPolicy, TimedRewarder};
use crate::wiring::Compute;
use crate::{diagnosis, earlier, environment, plans, reuse, stores, table, wiring};

/// What is to run, and how.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The spec.
    pub spec: SpecSource,
    /// Where it is computed.
    pub compute: Compute,
    /// What becomes of a run that takes more memory than this machine has.
    pub excess: Excess,
    /// What becomes of a run whose inputs are not those of its lock.
    pub locking: Locking,
    /// Whether stages of earlier runs are taken over.
    pub reuse: ReuseChoice,
    /// How the end is told.
    pub form: Form,
    /// Runs of a sweep at a time; one where nobody said.
    pub jobs: Option<NonZeroUsize>,
    /// What becomes of an earlier sweep that could be gone on with.
    pub earlier: EarlierSweep,
}

impl Ask {
    /// The world in which the spec is read.
    ///
    /// # Errors
    /// When the host of plugins cannot start.
    pub fn world(&self, global: &Global) -> Result<World, Failure> {
        let world = World::with_workers(self.compute.threads)?;
        Ok(world.with_checkpoints(earlier::finder(global.store())))
    }
}

/// Runs an experiment from its beginning, or every run that its spec stands for.
///
/// # Errors
/// Whatever stops it; what was recorded stays.
pub fn run(global: &Global, ask: &Ask) -> Result<i32, Failure> {
    let device = wiring::device(&ask.compute)?;
    let guard = Guard::open(&ask.spec.path, ask.locking)?;
    let world = ask.world(global)?;
    let asked = plans::asked(&ask.spec, &world)?;
    for (path, took) in world.compiled() {
        eprintln!("compiled {path} in {}", table::seconds(took.as_secs_f64()));
    }
    let verdict = guard.compare(&asked, &ask.spec.overrides, &world)?;
    match asked {
        Asked::Sweep(all) => {
            verdict.notice().into_iter().for_each(Notice::say);
            sweep::sweep(global, ask, &all, &world)
        }
        Asked::Run(_) if ask.jobs.is_some() || ask.earlier == EarlierSweep::Leave => {
            Err(Failure::new(
                code::USAGE,
                "`--jobs` and `--anew` are for a spec that stands for several runs",
                "give it a `sweep`, or say `--seeds`",
            ))
        }
        Asked::Run(resolved) => {
            let made = (&*resolved, None, verdict.notice());
            once(global, ask, made, (&world, &device))
        }
    }
}

/// Makes one run, which may be that of a member of a sweep, with what is to be said of its lock.
///
/// # Errors
/// Whatever stops it; what was recorded stays.
pub fn once(
    global: &Global,
    ask: &Ask,
    (resolved, member, stale): (&Resolved, Option<i64>, Option<&Notice>),
    (world, device): (&World, &Device),
) -> Result<i32, Failure> {
    let (plan, compute) = (&resolved.plan, &ask.compute);
    let excess = if device.is_cpu() { ask.excess } else { Excess::Elsewhere };
    let mut prepared = prepare(plan, world, None, Share::alone(compute.threads), excess)?;
    prepared.notices.splice(0..0, stale.cloned());
    prepared.notices.iter().for_each(Notice::say);
    // Last, because it takes the most: a run that cannot begin leaves nothing in the store.
    let models = RunModels::new(plan, compute, device)?;
    let (plan_json, plan_sha256) = plans::plan_json(plan)?;
    let store = stores::store(global.store())?;
    let start = RunStart {
        name: plan.name.clone(),
        seed: plan.seed,
        spec_path: Some(ask.spec.path.display().to_string()),
        spec_text: resolved.source_text.clone(),
        overrides: resolved.overrides.clone(),
        plan_json,
        plan_sha256,
        environment: environment::current(&compute.device, compute.threads),
        datasets: wiring::datasets(plan, &prepared.problems),
        plugins: std::mem::take(&mut prepared.plugins),
        parent: None,
        member,
        folder: plans::folder(),
    };
    let (store, place, repeats) = (&store, (compute, device), None);
    let reuse = ask.reuse;
    let beginning = Beginning { plan, prepared, models, place, store, repeats, reuse };
    beginning.begin(start, ask.form == Form::Json)
}

/// A run about to begin, with everything that was made and checked for it.
pub struct Beginning<'a> {
    /// What to run.
    pub plan: &'a RunPlan,
    /// What was prepared.
    pub prepared: Prepared<'a>,
    /// The models.
    pub models: RunModels<'a>,
    /// Where it is computed.
    pub place: (&'a Compute, &'a Device),
    /// Where it is recorded.
    pub store: &'a Store,
    /// The run that it makes again, if it does.
    pub repeats: Option<Repetition<'a>>,
    /// Whether it takes stages of earlier runs over.
    pub reuse: ReuseChoice,
}

impl Beginning<'_> {
    /// Begins the run in the store and runs it.
    ///
    /// # Errors
    /// Whatever stops it; what was recorded stays.
    pub fn begin(self, start: RunStart, json: bool) -> Result<i32, Failure> {
        let Self { plan, prepared, mut models, place, store, repeats, reuse } = self;
        let Prepared { checked, problems, mut rewarder, notices, .. } = prepared;
        let keys = reuse::keys(plan, &place.0.device);
        let reusable = match reuse {
            ReuseChoice::Allowed => Reusable::find(store, plan, &keys)?,
            ReuseChoice::Refused => Reusable::default(),
        };
        let mut writer = store.begin_run(start).map_err(PortError::from)?;
        writer.set_stage_keys(keys);
        for notice in &notices {
            writer.event(Level::Warn, "check", &notice.message).map_err(PortError::from)?;
        }
        rewarder.keep_failures(wiring::failures(writer.folder()));
        let (folder, run) = (writer.folder().to_owned(), writer.uid().to_owned());
        let home = Home { folder, run, ..Home::default() };
        models.keep_in(home.clone());
        let rewarder = RunRewarder::new(rewarder, plan, place, home);
        let wired = Wired { plan, checked, models, rewarder, problems, store, repeats, reusable };
        drive(wired, &mut writer, json)
    }
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
    /// The run that it makes again, if it does.
    pub repeats: Option<Repetition<'a>>,
    /// The stages of earlier runs that it takes over.
    pub reusable: Reusable,
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
    let (repeats, run_id) = (wired.repeats, writer.run_id());
    let (reusable, stops) = (wired.reusable, interrupt.clone());
    let mut progress = Progress::new(writer, wired.plan, stopwatch.clone(), stops, reusable);
    let result = {
        let mut comparing = None;
        let recorder: &mut dyn Recorder = match &repeats {
            Some(repeats) => comparing.insert(Comparing::new(&mut progress, repeats, run_id)),
            None => &mut progress,
        };
        let is_over = || repeats.as_ref().is_some_and(Repetition::is_over);
        let mut policy = TimedPolicy { inner: &mut wired.models, stopwatch: stopwatch.clone() };
        let mut rewarder = TimedRewarder { inner: wired.rewarder, stopwatch };
        let ports = Ports {
            policy: &mut policy,
            rewarder: &mut rewarder,
            problems: &wired.problems,
            recorder,
        };
        wired.checked.run(ports, &|| interrupt.requested() || is_over())
    };
    progress.finish();
    let (shares, reused) = (progress.shares, std::mem::take(&mut progress.reused));
    let seconds = began.elapsed().as_secs_f64();
    let form = if json { Form::Json } else { Form::Tables };
    let (plan, store) = (wired.plan, wired.store);
    let end = End { plan, store, shares, reused, seconds, form, repeats: repeats.as_ref() };
    end.conclude(result, writer)
}

/// What is known at the end of a run.
struct End<'a> {
    plan: &'a RunPlan,
    store: &'a Store,
    shares: Shares,
    reused: Vec<Reused>,
    seconds: f64,
    form: Form,
    repeats: Option<&'a Repetition<'a>>,
}

impl End<'_> {
    /// What there is to say. What was evaluated before a resume counts as well, so the store is asked.
    fn report(&self, writer: &mut RunWriter) -> Result<Report, Failure> {
        writer.flush()?;
        Ok(Report {
            shares: self.shares,
            reused: self.reused.clone(),
            evals: self.store.eval_results(writer.name())?,
            seconds: self.seconds,
            total_seconds: self.store.run(writer.name())?.seconds,
            form: self.form,
            reproduced: self.repeats.map(Repetition::outcome),
        })
    }

    /// Marks the end of the run in the store and says it.
    fn conclude(
        &self,
        result: Result<RunOutcome, PortError>,
        writer: &mut RunWriter,
    ) -> Result<i32, Failure> {
        match result {
            Ok(RunOutcome::Done) => self.done(writer),
            Ok(RunOutcome::Interrupted { cursor }) => self.interrupted(&cursor, writer),
            Err(error) => self.failed(error, writer),
        }
    }

    fn done(&self, writer: &mut RunWriter) -> Result<i32, Failure> {
        writer.flush()?;
        let digest = writer.digest()?;
        if let Some(repeats) = self.repeats {
            repeats.digest(&digest);
        }
        let report = self.report(writer)?;
        let missed = missed_gates(self.plan, &report.evals);
        let (status, exit, why) = match missed.is_empty() {
            true => (RunStatus::Done, 0, None),
            false => (RunStatus::GateMissed, code::GATE, Some(missed.join("; "))),
        };
        let (status, exit, why) = match &report.reproduced {
            None => (status, exit, why),
            Some(reproduced) if !reproduced.matches => differs(reproduced),
            // A gate that is missed as it was recorded is no difference.
            Some(_) => (status, 0, why),
        };
        // What is said about a run is no reason to lose its end.
        if let Err(Failure { told: Told::Here { message, .. }, .. }) = self.diagnose(writer) {
            tracing::warn!("the run was not looked at for trouble: {message}");
        }
        writer.finish(status, exit, why.as_deref(), Some(&digest))?;
        report.print(writer.name(), status.as_str(), Some(&digest));
        for line in &missed {
            eprintln!("error: {line}");
        }
        Ok(exit)
    }

    /// Looks for what usually goes wrong, says it and writes it down.
    fn diagnose(&self, writer: &mut RunWriter) -> Result<(), Failure> {
        let card = self.store.run_card(writer.name())?;
        for finding in diagnosis::of(self.store, &card)? {
            if finding.level == Level::Warn {
                finding.notice.say();
            }
            let words = finding.words();
            writer.event(finding.level, finding.check, &words).map_err(PortError::from)?;
        }
        Ok(())
    }

    fn interrupted(&self, cursor: &Cursor, writer: &mut RunWriter) -> Result<i32, Failure> {
        let report = self.report(writer)?;
        let (status, exit, why) = match &report.reproduced {
            None => (RunStatus::Interrupted, code::INTERRUPTED, None),
            Some(reproduced) if !reproduced.matches => differs(reproduced),
            Some(reproduced) => {
                let exit = if reproduced.complete { 0 } else { code::INTERRUPTED };
                (RunStatus::Interrupted, exit, reproduced.lines().into_iter().next())
            }
        };
        writer.finish(status, exit, why.as_deref(), None)?;
        let said = if exit == code::INTERRUPTED { "interrupted" } else { "stopped here" };
        eprintln!("{said}: {}; saved", steps_done(self.plan, cursor));
        if status == RunStatus::Interrupted {
            eprintln!("  go on: r1x resume {}", writer.name());
        }
        report.print(writer.name(), status.as_str(), None);
        Ok(exit)
    }

    fn failed(&self, error: PortError, writer: &mut RunWriter) -> Result<i32, Failure> {
        let message = error.message.clone();
        let failure = Failure::from(error);
        let status =
            if failure.code == code::DIVERGED { RunStatus::Diverged } else { RunStatus::Failed };
        // The run's own error matters more than one from marking it.
        let marked = writer.finish(status, failure.code, Some(&message), None);
        if let Err(second) = marked
            && failure.code != code::STORE
        {
            tracing::warn!("the run could not be marked as failed: {second}");
        }
        output::page(Stream::Err, &failure.page());
        // Of a store that is damaged or gone, its own error says what is left.
        let safe = if failure.code == code::STORE { "" } else { "; recorded steps are safe" };
        eprintln!("  run: {}{safe}", writer.name());
        if let Some(repeats) = self.repeats {
            repeats.outcome().lines().iter().for_each(|line| eprintln!("{line}"));
        }
        Ok(failure.code)
    }
}

/// How a run ends that is not what was recorded.
fn differs(reproduced: &Reproduced) -> (RunStatus, i32, Option<String>) {
    (RunStatus::Differs, code::DIFFERS, reproduced.lines().into_iter().next())
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
