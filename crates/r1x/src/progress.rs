//! What a person sees while a run goes on: a block on a terminal, plain lines elsewhere.
//!
//! Wraps the recorder: it sees every fact on its way to the store and changes none of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use r1x_core::plan::RunPlan;
use r1x_core::port::Reuse;
use r1x_core::select::Kept;
use r1x_core::{
    CheckpointFacts, EvalFacts, PortError, Recorder, RewardOutcome, RewardStatus, StageFacts,
    StepFacts,
};
use r1x_store::{Level, RunWriter, StepTiming};

use crate::display::{Line, Tone, fitted};
use crate::interrupt::Interrupt;
use crate::number::{number, with_error};
use crate::output::{self, Stream};
use crate::retention::Retention;
use crate::reuse::{Reusable, Reused};
use crate::table;
use crate::timed::{Shares, Split, Stopwatch};
use crate::watch::SignalWatch;

/// A plain line is printed at least this often.
const LINE_EVERY: Duration = Duration::from_secs(10);
const SPARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The recorder with an audience.
pub struct Progress<'a> {
    recorder: Retention<'a>,
    plan: &'a RunPlan,
    stopwatch: Stopwatch,
    bar: Option<ProgressBar>,
    quiet: bool,
    rewards: VecDeque<f64>,
    stage_began: Instant,
    step_began: Instant,
    last_line: Instant,
    first_step: u64,
    store_seconds: f64,
    failures: u64,
    interrupt: Interrupt,
    signal: SignalWatch,
    reusable: Reusable,
    /// Where the time went so far.
    pub shares: Shares,
    /// The stages that were taken over from earlier runs so far.
    pub reused: Vec<Reused>,
}

impl<'a> Progress<'a> {
    /// Watches a run being written.
    pub fn new(
        writer: &'a mut RunWriter,
        plan: &'a RunPlan,
        stopwatch: Stopwatch,
        interrupt: Interrupt,
        reusable: Reusable,
    ) -> Self {
        interrupt.note(|saved| saved.run = writer.name().to_owned());
        let terminal = output::is_terminal(Stream::Err);
        let now = Instant::now();
        let signal = SignalWatch::of(writer.name());
        Self {
            recorder: Retention::new(writer, plan.checkpoints.keep),
            plan,
            stopwatch,
            bar: terminal.then(block),
            quiet: false,
            rewards: VecDeque::new(),
            stage_began: now,
            step_began: now,
            last_line: now,
            first_step: 0,
            store_seconds: 0.0,
            failures: 0,
            interrupt,
            signal,
            reusable,
            shares: Shares::default(),
            reused: Vec::new(),
        }
    }

    /// Takes the block off the screen.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            output::keep_below(None);
            bar.finish_and_clear();
        }
        self.quiet = true;
    }

    fn say(&self, line: &str) {
        if self.bar.is_some() || !self.quiet {
            eprintln!("{line}");
        }
    }

    fn steps(&self, stage: usize) -> u64 {
        self.plan.stages[stage].kind.outline().steps
    }

    /// So many steps of a stage, in words.
    fn done(&self, stage: usize, done: u64) -> String {
        let id = self.plan.stages.get(stage).map_or("?", |stage| stage.id.as_str());
        match self.steps(stage) {
            0 => format!("stage `{id}`"),
            steps => format!("{done} of {steps} steps of stage `{id}`"),
        }
    }

    fn show(&mut self, glance: &Glance, split: Split, wall: f64) {
        let (done, steps) = (glance.step + 1, self.steps(glance.stage));
        let elapsed = self.stage_began.elapsed().as_secs_f64();
        let per_step = elapsed / (done - self.first_step).max(1) as f64;
        let left = table::seconds(per_step * steps.saturating_sub(done) as f64);
        let stage = &self.plan.stages[glance.stage].id;
        let head = format!("{stage} {done}/{steps} steps");
        let numbers = &glance.numbers;
        if let Some(bar) = &self.bar {
            let pace = format!(
                "  {head}  {}%  {}/step  left {left}",
                100 * done / steps.max(1),
                table::seconds(per_step),
            );
            let spark = if self.rewards.is_empty() {
                String::new()
            } else {
                format!("{}  ", sparkline(&self.rewards))
            };
            let mut lines = vec![
                Line::of(Tone::Strong, self.recorder.writer.name()).and(Tone::Plain, pace),
                Line::of(Tone::Busy, spark).and(Tone::Plain, numbers.as_str()),
                Line::of(Tone::Faint, parts(split, self.store_seconds, wall)),
            ];
            if self.failures > 0 {
                let said = format!("reward failures so far: {}", self.failures);
                lines.push(Line::of(Tone::Warn, said));
            }
            let view = output::view(Stream::Err);
            let lines: Vec<String> = lines.iter().map(|line| fitted(line, view)).collect();
            bar.set_message(lines.join("\n"));
            bar.tick();
        } else if self.last_line.elapsed() >= LINE_EVERY || done == steps {
            self.last_line = Instant::now();
            self.say(&format!(
                "{head}  {numbers}  {}  left {left}",
                parts(split, self.store_seconds, wall)
            ));
        }
    }
}

/// The block at the bottom of the terminal; messages are printed above it.
fn block() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    let style = ProgressStyle::with_template("{msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    output::keep_below(Some(bar.clone()));
    bar
}

/// How many outcomes are failures of a reward.
fn failed<'o>(outcomes: impl Iterator<Item = &'o RewardOutcome>) -> u64 {
    let fine =
        |status| matches!(status, RewardStatus::Ok | RewardStatus::Abstain | RewardStatus::Unasked);
    outcomes.filter(|outcome| !fine(outcome.status)).count() as u64
}

/// What a person sees of a step.
struct Glance {
    /// Position of the stage in the plan.
    stage: usize,
    /// Step of the stage, from 0.
    step: u64,
    /// Whether there were rollouts, as in reinforcement learning.
    has_rollouts: bool,
    mean_reward: Option<f64>,
    /// Outcomes that are failures of a reward.
    failures: u64,
    /// The few numbers worth a look at every step.
    numbers: String,
}

impl Glance {
    fn of(facts: &StepFacts) -> Self {
        let rollouts = facts.groups.iter().flat_map(|group| &group.group.rollouts);
        Self {
            stage: facts.stage,
            step: facts.step,
            has_rollouts: !facts.groups.is_empty(),
            mean_reward: metric(facts, "reward.mean"),
            failures: failed(rollouts.flat_map(|rollout| &rollout.outcomes)),
            numbers: numbers(facts),
        }
    }
}

fn metric(facts: &StepFacts, name: &str) -> Option<f64> {
    facts.metrics.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
}

fn numbers(facts: &StepFacts) -> String {
    let names = [
        ("loss", "loss"),
        ("accuracy", "accuracy"),
        ("heldout.accuracy", "held out"),
        ("reward.mean", "reward"),
        ("entropy", "entropy"),
        ("tokens.mean", "tokens"),
        ("truncated", "truncated"),
        ("zero_signal", "no signal"),
        ("kept", "kept"),
        ("kl", "kl"),
        ("grad_norm", "grad"),
    ];
    let mut text = Vec::new();
    for (name, label) in names {
        match metric(facts, name) {
            // A policy loss is near zero by construction and says nothing.
            Some(_) if name == "loss" && !facts.groups.is_empty() => {}
            Some(value) => text.push(format!("{label} {}", number(value))),
            None => {}
        }
    }
    text.join("  ")
}

fn parts(split: Split, store: f64, wall: f64) -> String {
    let rate = if split.generate > 0.0 { split.tokens as f64 / split.generate } else { 0.0 };
    let share = |part: f64| format!("{:.1}%", 100.0 * part / wall.max(1e-9));
    if split.tokens == 0 {
        return format!("train {}  store {}", share(split.train), share(store));
    }
    format!(
        "gen {} ({rate:.0} tok/s)  reward {}  train {}  store {}",
        share(split.generate),
        share(split.reward),
        share(split.train),
        share(store),
    )
}

fn sparkline(values: &VecDeque<f64>) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let spark = |value: f64| {
        let level = if high > low { (value - low) / (high - low) } else { 0.0 };
        SPARKS[(level * 7.0).round() as usize]
    };
    values.iter().map(|value| spark(*value)).collect()
}

impl Recorder for Progress<'_> {
    fn stage_started(&mut self, facts: &StageFacts) -> Result<(), PortError> {
        self.recorder.stage_started(facts)?;
        let now = Instant::now();
        (self.stage_began, self.step_began, self.last_line) = (now, now, now);
        self.first_step = facts.start_step;
        self.rewards.clear();
        self.signal.stage(&facts.id, self.steps(facts.index));
        self.stopwatch.take();
        let steps = match (self.steps(facts.index), facts.start_step) {
            (0, _) => String::new(),
            (steps, 0) => format!(", {steps} steps"),
            (steps, done) => format!(", {steps} steps, of which {done} are done"),
        };
        self.say(&format!("stage {} ({}){steps}", facts.id, facts.kind));
        Ok(())
    }

    fn reuse(&mut self, facts: &StageFacts) -> Result<Reuse, PortError> {
        let steps = self.steps(facts.index);
        let taken = self.reusable.take(facts, steps, self.recorder.writer)?;
        let Some(from) = taken else { return Ok(Reuse::NotKnown) };
        self.say(&format!("stage {} ({}): taken over from run {from}", facts.id, facts.kind));
        self.interrupt.note(|saved| saved.recorded = Some(format!("stage `{}`", facts.id)));
        self.reused.push(Reused { stage: facts.id.clone(), from });
        Ok(Reuse::Taken)
    }

    fn step(&mut self, facts: StepFacts) -> Result<(), PortError> {
        let split = self.stopwatch.take();
        self.recorder.writer.set_timing(StepTiming {
            generate_ms: split.generate * 1e3,
            reward_ms: split.reward * 1e3,
            train_ms: split.train * 1e3,
        });
        // The facts move to the store, so what is shown of them is looked at first.
        let glance = Glance::of(&facts);
        let notice = self.signal.step(&facts);
        let begun = Instant::now();
        self.recorder.step(facts)?;
        self.store_seconds = begun.elapsed().as_secs_f64();
        let wall = self.step_began.elapsed().as_secs_f64();
        if glance.has_rollouts {
            self.shares.add(split, self.store_seconds, wall);
        }
        if let Some(reward) = glance.mean_reward {
            self.rewards.push_back(reward);
            if self.rewards.len() > 40 {
                self.rewards.pop_front();
            }
        }
        self.failures += glance.failures;
        let recorded = self.done(glance.stage, glance.step + 1);
        self.interrupt.note(|saved| saved.recorded = Some(recorded));
        self.show(&glance, split, wall);
        if let Some(notice) = notice {
            notice.say();
            self.recorder.writer.event(Level::Warn, "signal", &notice.message)?;
        }
        self.step_began = Instant::now();
        Ok(())
    }

    fn evaluation(&mut self, facts: &EvalFacts) -> Result<(), PortError> {
        self.recorder.evaluation(facts)?;
        let figures: Vec<String> = facts
            .metrics
            .iter()
            .map(|m| format!("{} {}", m.metric, with_error(m.value, m.stderr)))
            .collect();
        let samples = facts.items.iter().flat_map(|(_, samples)| samples);
        let failed = failed(samples.flat_map(|sample| &sample.outcomes));
        self.failures += failed;
        let place = facts.stage.map_or_else(|| facts.label.clone(), |at| self.done(at, facts.step));
        let told = if failed > 0 { format!("  reward failures {failed}") } else { String::new() };
        self.say(&format!("{} after {place}: {}{told}", facts.suite, figures.join("  ")));
        self.stopwatch.take();
        self.step_began = Instant::now();
        Ok(())
    }

    fn checkpoint(&mut self, facts: &CheckpointFacts) -> Result<(), PortError> {
        self.recorder.checkpoint(facts)?;
        let place = format!("{} ({})", facts.path, self.done(facts.stage, facts.step));
        self.interrupt.note(|saved| saved.checkpoint = Some(place));
        self.step_began = Instant::now();
        Ok(())
    }

    fn kept(&mut self, stage: usize, before_step: u64) -> Result<Vec<Kept>, PortError> {
        self.recorder.kept(stage, before_step)
    }

    fn stage_finished(&mut self, facts: &StageFacts, sha256: &str) -> Result<(), PortError> {
        self.recorder.stage_finished(facts, sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparks_span_the_range() {
        assert_eq!(sparkline(&VecDeque::from([0.0, 0.5, 1.0])), "▁▅█");
        assert_eq!(sparkline(&VecDeque::from([2.0, 2.0])), "▁▁");
    }
}
