//! `r1x run` of a spec that stands for several runs: each of them in a process of its own, one after the other or some at
//! a time, and a table of what came of them.
//!
//! What is to run is in the store before the first run begins. Started again, a sweep goes on: what is done stays, what
//! was begun is finished, and then comes the rest. Must not compute anything itself.

mod children;
pub mod list;
pub mod member;

use std::collections::BTreeMap;

use r1x_spec::{Combination, Sweep, label};
use r1x_store::{MemberStart, RunSummary, SweepCard, SweepMember, SweepStart};

use crate::args::Global;
use crate::command::compare::Comparison;
use crate::command::run::Ask;
use crate::display::{Line, Page, Tone};
use crate::failure::{Failure, code};
use crate::inputs::World;
use crate::memory::Excess;
use crate::notice::Notice;
use crate::output::{self, Stream};
use crate::prepare::{Share, prepare};
use crate::report::Form;
use crate::{plans, stores, wiring};

use children::{Child, Children, Outcome};

/// Makes every run of a sweep that is not there yet.
///
/// # Errors
/// When one of them could not begin. What becomes of a run that has begun is the exit code.
pub fn sweep(global: &Global, ask: &Ask, all: &Sweep, world: &World) -> Result<i32, Failure> {
    let runs = ask.jobs.map_or(1, std::num::NonZeroUsize::get).min(all.combinations.len().max(1));
    let share = Share { threads: (ask.compute.threads / runs).max(1), runs };
    let on_cpu = wiring::device(&ask.compute)?.is_cpu();
    checked(all, world, share, if on_cpu { ask.excess } else { Excess::Elsewhere })?;
    let store = stores::store(global.store())?;
    let name = store.begin_sweep(start(ask, all)?)?;
    let card = store.sweep(&name)?;
    // The processes of the runs are those who write from here on.
    drop(store);
    let tasks = tasks(all, &card)?;
    say_beginning(&card, &tasks);
    let mut waiting: Vec<&Task> = tasks.iter().filter(|task| task.is_left()).collect();
    // What was begun is finished first.
    waiting.sort_by_key(|task| task.state != State::Begun);
    let children = Children::new(global, ask, share, &card);
    let outcome = children.run(waiting.iter().map(|task| task.child()).collect());
    conclude(global, ask, (&card.name, &tasks), &outcome)
}

/// Makes and checks what every run of a sweep needs, so many at a time, and says what should be known of them.
///
/// # Errors
/// Everything that would stop the first of them that cannot begin, and which it is.
pub fn checked(all: &Sweep, world: &World, share: Share, excess: Excess) -> Result<(), Failure> {
    let mut said: Vec<Notice> = Vec::new();
    for combination in &all.combinations {
        let prepared = prepare(&combination.resolved.plan, world, None, share, excess);
        let prepared = prepared.map_err(|failure| {
            output::page(Stream::Err, &failure.page());
            Failure::new(
                failure.code,
                format!("the run with {} cannot begin", label(&combination.values)),
                "nothing was run; mend that, or take its values out of the sweep",
            )
        })?;
        for notice in prepared.notices.iter().filter(|notice| !said.contains(notice)) {
            notice.say();
        }
        said.extend(prepared.notices);
    }
    Ok(())
}

/// What the store is told before the first run.
fn start(ask: &Ask, all: &Sweep) -> Result<SweepStart, Failure> {
    let member = |combination: &Combination| {
        let (_, plan_sha256) = plans::plan_json(&combination.resolved.plan)?;
        Ok(MemberStart { values: combination.values.iter().cloned().collect(), plan_sha256 })
    };
    let experiment = all.combinations.first().map(|first| first.resolved.plan.name.clone());
    Ok(SweepStart {
        experiment: experiment.unwrap_or_default(),
        paths: all.axes.iter().map(|axis| axis.path.clone()).collect(),
        members: all.combinations.iter().map(member).collect::<Result<_, Failure>>()?,
        earlier: ask.earlier,
    })
}

/// How far a combination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No run was begun for it.
    New,
    /// A run was begun, and can go on.
    Begun,
    /// Another process is at work on its run.
    Elsewhere,
    /// Its run has ended with this exit code, and would end so again.
    Ended(i32),
}

impl State {
    fn of(run: Option<&RunSummary>) -> Self {
        let Some(run) = run else { return State::New };
        let exit = run.exit_code.and_then(|exit| i32::try_from(exit).ok());
        match run.status.as_str() {
            "running" => State::Elsewhere,
            // Numbers that are not finite come again: the plan is what leads to them.
            "diverged" => State::Ended(exit.unwrap_or(code::DIVERGED)),
            _ if run.can_go_on() => State::Begun,
            _ => State::Ended(exit.unwrap_or_default()),
        }
    }
}

/// One combination of the sweep as it was asked for now.
struct Task {
    index: u64,
    label: String,
    state: State,
}

impl Task {
    fn is_left(&self) -> bool {
        matches!(self.state, State::New | State::Begun)
    }

    fn child(&self) -> Child {
        Child { index: self.index, label: self.label.clone() }
    }
}

/// The members of the sweep that are asked for now, in order: an earlier one may have had more.
fn tasks(all: &Sweep, card: &SweepCard) -> Result<Vec<Task>, Failure> {
    let plans: BTreeMap<&str, &SweepMember> =
        card.members.iter().map(|member| (member.plan_sha256.as_str(), member)).collect();
    let mut tasks = Vec::new();
    for combination in &all.combinations {
        let (_, plan) = plans::plan_json(&combination.resolved.plan)?;
        let Some(member) = plans.get(plan.as_str()) else { continue };
        tasks.push(Task {
            index: member.index,
            label: label(&combination.values),
            state: State::of(member.run.as_ref()),
        });
    }
    Ok(tasks)
}

fn say_beginning(card: &SweepCard, tasks: &[Task]) {
    let count = |is: fn(&Task) -> bool| tasks.iter().filter(|task| is(task)).count();
    let ended = count(|task| matches!(task.state, State::Ended(_)));
    let begun = count(|task| task.state == State::Begun);
    let mut said = format!("sweep {}: {} runs", card.name, tasks.len());
    for (number, what) in [(ended, "there already"), (begun, "to go on with")] {
        if number > 0 {
            said = format!("{said}, {number} {what}");
        }
    }
    eprintln!("{said}");
    for task in tasks.iter().filter(|task| task.state == State::Elsewhere) {
        eprintln!("another process is at work on {}", task.label);
    }
}

/// Says what came of all of it, and with which exit code it ends: that of the first combination that has not ended well.
fn conclude(
    global: &Global,
    ask: &Ask,
    (name, tasks): (&str, &[Task]),
    outcome: &Outcome,
) -> Result<i32, Failure> {
    let store = stores::reading(global.store())?;
    let card = store.sweep(name)?;
    let comparison = Comparison::of(&store, &card)?;
    match ask.form {
        Form::Json => output::json(&plans::json(&comparison)?),
        Form::Tables => output::page(Stream::Out, &comparison.page()),
    }
    let run_of = |task: &Task| {
        let member = card.members.iter().find(|member| member.index == task.index);
        member.and_then(|member| member.run.as_ref())
    };
    // How a run has ended is what the store says, whichever process has made it.
    let code_of = |task: &Task| match State::of(run_of(task)) {
        State::Ended(exit) => exit,
        _ => outcome.codes.get(&task.index).copied().unwrap_or_default(),
    };
    let failed: Vec<(&Task, i32)> =
        tasks.iter().map(|task| (task, code_of(task))).filter(|(_, exit)| *exit != 0).collect();
    let mut page = Page::default();
    for (task, exit) in &failed {
        let run = run_of(task);
        let status = run.map_or("not begun", |run| run.status.as_str());
        let name = run.map_or_else(String::new, |run| format!(" {}", run.name));
        page.line(
            Line::of(Tone::of_status(status), status)
                .and(Tone::Plain, format!("  {}{name} (exit code {exit})", task.label)),
        );
    }
    if outcome.stopped {
        page.line(format!("interrupted: the sweep {name} goes on when it is started again"));
    }
    output::page(Stream::Err, &page);
    match (outcome.stopped, failed.first()) {
        (true, _) => Ok(code::INTERRUPTED),
        (false, first) => Ok(first.map_or(0, |(_, exit)| *exit)),
    }
}
