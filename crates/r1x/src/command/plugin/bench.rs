//! `r1x plugin bench`: what a plugin costs.
//!
//! Must not judge the plugin; a failing one is reported and not measured.

use std::time::Instant;

use r1x_build::Case;
use r1x_core::plan::LimitsPlan;
use r1x_reward::{Origin, ProbeError, Sample};

use super::{Opened, config, granted};
use crate::args::{Global, PluginArgs};
use crate::display::{Fields, Page};
use crate::failure::{Failure, code};
use crate::output::{self, Stream};
use crate::{stores, table};

/// Fuel enough for anything that ends within the deadline.
const PLENTY: u64 = 1 << 50;

/// What is measured.
pub struct Work {
    /// Completions in a batch.
    pub n: usize,
    /// Length of a completion, bytes.
    pub bytes: usize,
    /// Batches that are timed.
    pub rounds: usize,
    /// Length of a step to compare with, milliseconds.
    pub step_ms: Option<f64>,
}

/// Bytes of completions in a batch at most.
const MOST_BATCH_BYTES: usize = 1 << 30;

/// Refuses work that cannot be done.
fn check(work: &Work) -> Result<(), Failure> {
    if work.n == 0 || work.rounds == 0 {
        let message = "-n and --rounds must be at least 1";
        return Err(Failure::new(code::INPUT, message, "leave them out for the defaults"));
    }
    if work.n.checked_mul(work.bytes).is_none_or(|bytes| bytes > MOST_BATCH_BYTES) {
        let message = format!(
            "{} completions of {} bytes are more than a batch has room for ({})",
            work.n,
            work.bytes,
            table::bytes(MOST_BATCH_BYTES as u64)
        );
        return Err(Failure::new(code::INPUT, message, "lower -n or --bytes"));
    }
    if work.step_ms.is_some_and(|step_ms| !step_ms.is_finite() || step_ms <= 0.0) {
        let message = "--step-ms is a length above 0";
        return Err(Failure::new(code::INPUT, message, "leave it out for that of the newest run"));
    }
    Ok(())
}

/// Measures and prints.
///
/// # Errors
/// When the plugin cannot score the batch.
pub fn bench(global: &Global, arguments: &PluginArgs, work: &Work) -> Result<i32, Failure> {
    check(work)?;
    let config = config(arguments.with.as_deref())?;
    let opened = granted(arguments)?;
    let limits = LimitsPlan { fuel: None, ..opened.limits() };
    let batch = batch(&opened, work)?;
    let failed = |error: ProbeError| {
        let message = format!("the batch cannot be scored: {}", error.sentence);
        Failure::new(code::REWARD, message, error.hint)
    };
    let began = Instant::now();
    let mut probe = opened.plugin.probe(&config, &limits).map_err(failed)?;
    let started = began.elapsed();
    let mut times = Vec::with_capacity(work.rounds);
    for _ in 0..work.rounds {
        let began = Instant::now();
        probe.score(&batch).map_err(failed)?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let memory = probe.memory_bytes();
    let metered = LimitsPlan { fuel: Some(PLENTY), ..limits };
    let mut counting = opened.plugin.probe(&config, &metered).map_err(failed)?;
    counting.score(&batch).map_err(failed)?;
    let fuel = counting.fuel_used().unwrap_or_default();

    let median = times[times.len() / 2];
    let per_sample = median * 1e3 / work.n as f64;
    let info = opened.plugin.info();
    let load = match opened.plugin.origin() {
        Origin::Cache => "compiled before",
        Origin::Compiled => "compiled just now, once for this machine",
    };
    let mut page = Page::default();
    let head = format!("{} completions of {} bytes", work.n, work.bytes);
    page.line(format!("{} {}  {head}", info.name, info.version));
    let rows = [
        ("load", format!("{}  ({load})", seconds(opened.plugin.load_time().as_secs_f64()))),
        ("instance", seconds(started.as_secs_f64())),
        ("batch", format!("{median:.2} ms median, {:.2} ms fastest of {}", times[0], work.rounds)),
        (
            "rollout",
            format!("{per_sample:.2} µs, {} units of work", table::count(fuel / work.n as u64)),
        ),
        ("memory", table::bytes(memory)),
        ("step", share(global, work, per_sample)),
    ];
    let mut fields = Fields::default();
    for (name, value) in rows {
        fields.add(name, value);
    }
    page.fields(fields);
    output::page(Stream::Out, &page);
    Ok(0)
}

fn seconds(value: f64) -> String {
    if value < 1e-3 { format!("{:.0} µs", value * 1e6) } else { table::seconds(value) }
}

/// Completions like those of the plugin's first case, of the length asked for.
fn batch(opened: &Opened, work: &Work) -> Result<Vec<Sample>, Failure> {
    let cases = &opened.source.manifest.tests;
    let model = cases.iter().find(|case| case.expected.reward.is_some());
    let columns = model.map(Case::columns_json);
    let needed = &opened.plugin.info().columns;
    let Some(columns) = columns.or_else(|| needed.is_empty().then(|| "{}".to_owned())) else {
        return Err(Failure::new(
            code::INPUT,
            format!(
                "the plugin needs the columns {}, and there is no case with them",
                needed.join(", ")
            ),
            opened.source.where_cases_go(),
        ));
    };
    let end = model.map_or("", |case| case.completion.as_str());
    let filler = "3 + 5 = 8 ; that is not it . ";
    let missing = work.bytes.saturating_sub(end.len());
    let thought: String = filler.chars().cycle().take(missing).collect();
    let prompt = model.and_then(|case| case.prompt.clone());
    let sample = Sample { prompt, ..Sample::new(format!("{thought}{end}"), columns) };
    let numbered = (0..work.n as u64).map(|id| Sample {
        id,
        group: u32::try_from(id / 8).unwrap_or(u32::MAX),
        ..sample.clone()
    });
    Ok(numbered.collect())
}

/// What part of a step goes to this plugin, where a step is known.
fn share(global: &Global, work: &Work, per_sample_us: f64) -> String {
    let given = work.step_ms.map(|step_ms| (step_ms, work.n as f64, "the given step".to_owned()));
    let Some((step_ms, rollouts, of)) = given.or_else(|| newest_step(global)) else {
        return "no run in the store to compare with; give --step-ms".to_owned();
    };
    let reward_ms = per_sample_us * rollouts / 1e3;
    format!(
        "{reward_ms:.2} ms for {rollouts} rollouts, {:.2} % of {step_ms:.0} ms, {of}",
        100.0 * reward_ms / step_ms
    )
}

/// Length and rollouts of a step of the newest run that has some, on average.
fn newest_step(global: &Global) -> Option<(f64, f64, String)> {
    let step = stores::reading(global.store()).ok()?.mean_step().ok()??;
    Some((step.ms, step.rollouts.round(), format!("a step of {}", step.run)))
}
