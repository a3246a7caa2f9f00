//! Repeating a piece of work, and what its repetitions say: median, spread, allocations, the limit's share.

use std::time::Instant;

use r1x_ops::allocations::LargeAllocations;

use crate::ALLOCATOR;
use crate::failure::Failure;
use crate::machine;
use crate::row::{Allocations, Row};
use crate::shape::Precision;
use crate::work::Work;

/// How a run of benchmarks measures.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Threads of the model and of the limit.
    pub threads: usize,
    /// Fewer repetitions, for a look rather than a figure.
    pub quick: bool,
    /// Count seconds of processor time instead of those on the wall.
    pub cpu_time: bool,
}

impl Options {
    /// Repetitions at least and at most, and the seconds after which no further one begins.
    fn repetitions(&self) -> (usize, usize, f64) {
        if self.quick { (1, 3, 2.0) } else { (3, 9, 20.0) }
    }

    /// Whether enough was measured.
    pub fn enough(&self, done: usize, seconds: f64) -> bool {
        let (least, most, limit) = self.repetitions();
        done >= most || (done >= least && seconds >= limit)
    }

    /// The clock as figures are told by it, seconds. Processor time is that of one thread.
    pub fn now(&self) -> Tick {
        let cpu = if self.cpu_time { machine::cpu_seconds() } else { None };
        Tick { wall: Instant::now(), cpu }
    }
}

/// A moment.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    wall: Instant,
    cpu: Option<f64>,
}

impl Tick {
    /// Seconds since then.
    pub fn seconds(&self) -> f64 {
        let running = self.cpu.and_then(|cpu| Some(machine::cpu_seconds()? - cpu));
        running.unwrap_or_else(|| self.wall.elapsed().as_secs_f64())
    }
}

/// What repetitions took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Seconds of each.
    pub seconds: Vec<f64>,
    /// Large allocations of the last.
    pub large: u64,
}

/// Does the work once to warm up and then until enough was measured; it returns the seconds that count, or
/// `None` for all it took.
pub fn repeat(
    options: &Options,
    mut work: impl FnMut() -> Result<Option<f64>, Failure>,
) -> Result<Samples, Failure> {
    work()?;
    let begun = Instant::now();
    let mut samples = Samples::default();
    while !options.enough(samples.seconds.len(), begun.elapsed().as_secs_f64()) {
        let (before, tick) = (ALLOCATOR.large(), options.now());
        let counted = work()?;
        samples.seconds.push(counted.unwrap_or_else(|| tick.seconds()));
        samples.large = since(before).count;
    }
    Ok(samples)
}

/// Large allocations since then.
pub fn since(before: LargeAllocations) -> LargeAllocations {
    let now = ALLOCATOR.large();
    LargeAllocations { count: now.count - before.count, bytes: now.bytes - before.bytes }
}

/// Median of some numbers; NaN without any.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// The seconds that work takes at least on this machine, as it is now.
pub fn limit_seconds(work: Work, precision: Precision, options: &Options) -> Option<f64> {
    let peak = machine::peak(precision.arithmetic(), options.threads)?.cpu;
    Some(work.flops / peak)
}

/// As [`limit_seconds`], where `steps` steps read `work.bytes` together: memory may be the limit.
pub fn limit_seconds_reading(
    work: Work,
    steps: usize,
    precision: Precision,
    options: &Options,
) -> Option<f64> {
    let computing = limit_seconds(work, precision, options)?;
    let block = (work.bytes / steps.max(1) as f64).min(256e6) as usize;
    Some(computing.max(work.bytes / machine::read_bandwidth(block, options.threads)))
}

/// A row of `amount` per second.
pub fn rate_row(
    id: &str,
    unit: &str,
    amount: f64,
    samples: &Samples,
    limit_seconds: Option<f64>,
) -> Row {
    let rates: Vec<f64> = samples.seconds.iter().map(|seconds| amount / seconds).collect();
    Row::new(id, unit, &rates, limit_seconds.map(|seconds| amount / seconds))
}

/// A row of the seconds themselves, times `scale`.
pub fn time_row(
    id: &str,
    unit: &str,
    scale: f64,
    samples: &Samples,
    limit_seconds: Option<f64>,
) -> Row {
    let times: Vec<f64> = samples.seconds.iter().map(|seconds| seconds * scale).collect();
    Row::new(id, unit, &times, limit_seconds.map(|seconds| seconds * scale))
}

/// Allocations as a table tells them.
pub fn allocations(count: u64, amount: f64, per: &str) -> Option<Allocations> {
    Some(Allocations { count: count as f64 / amount, per: per.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_middles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn repetitions_end_at_the_most_or_after_the_time() {
        let options = Options { threads: 1, quick: false, cpu_time: false };
        assert!(!options.enough(2, 1e9), "three are the least");
        assert!(options.enough(3, 20.0));
        assert!(!options.enough(8, 1.0) && options.enough(9, 0.0));
    }
}
