//! How fast this machine samples and learns: measured by `r1x doctor` or when it is first asked for, kept for later,
//! and what an estimate of work takes at that speed.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use r1x_core::PortError;
use r1x_core::plan::Precision;
use r1x_model::load::{Done, ModelLoad, Shape};
use r1x_spec::{Estimate, Work, forward_flops};
use serde::{Deserialize, Serialize};

use crate::environment;
use crate::hosting;

/// How long each rate is measured. The fastest round counts: a slower one shared the machine with something else.
const WATCH: Duration = Duration::from_millis(250);
const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// What was measured of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The model's name.
    pub model: String,
    /// The operands of its products.
    pub precision: Precision,
    /// Floating-point operations of one of its tokens, forward.
    pub token_flops: f64,
    /// Floating-point operations a second in sampling.
    pub sampling: f64,
    /// Floating-point operations a second in training.
    pub training: f64,
}

/// The speed of a machine and build, with all its cores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// What it holds for.
    machine: Machine,
    /// When it was measured, milliseconds since 1970.
    pub measured_ms: u64,
    /// What was measured.
    pub points: Vec<Point>,
}

/// What a measured speed depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Machine {
    r1x: String,
    cpu: Option<String>,
    kernels: String,
    threads: usize,
}

/// Seconds that work takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Seconds {
    /// With the lengths that are likely.
    pub likely: f64,
    /// With the greatest lengths.
    pub most: f64,
}

impl Point {
    /// What the factors of its products are.
    pub fn precision_name(&self) -> &'static str {
        match self.precision {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }
}

impl Machine {
    fn current(threads: usize) -> Self {
        let facts = environment::current("cpu", threads);
        Self {
            r1x: format!("{} {}", facts.r1x_version, facts.git_commit.unwrap_or_default()),
            cpu: facts.cpu,
            kernels: r1x_ops::simd::level().name().to_owned(),
            threads,
        }
    }
}

impl Speed {
    /// Measures, which takes about two seconds, and keeps the result for later commands.
    ///
    /// # Errors
    /// When memory does not suffice for a small model.
    pub fn measure(threads: usize) -> Result<Self, PortError> {
        let mut points = Vec::new();
        for shape in Shape::ALL {
            for precision in PRECISIONS {
                points.push(point(shape, precision, threads)?);
            }
        }
        let machine = Machine::current(threads);
        let speed = Self { machine, measured_ms: now_ms(), points };
        speed.keep();
        Ok(speed)
    }

    /// What was measured earlier with this build on this machine with as many threads.
    pub fn known(threads: usize) -> Option<Self> {
        let text = std::fs::read_to_string(place()?).ok()?;
        let known: Self = serde_json::from_str(&text).ok()?;
        (known.machine == Machine::current(threads)).then_some(known)
    }

    /// A machine without a place for caches measures again each time; that costs seconds and nothing else.
    fn keep(&self) {
        // Estimates are for all cores, so what was measured on fewer is of no use to them.
        let Some(place) = place().filter(|_| self.threads() == all_cores()) else { return };
        let Ok(text) = serde_json::to_string_pretty(self) else { return };
        let folder = place.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) = folder.and_then(|()| std::fs::write(&place, text)) {
            tracing::debug!("the measured speed is not kept in {}: {error}", place.display());
        }
    }

    /// Threads it was measured with.
    pub fn threads(&self) -> usize {
        self.machine.threads
    }

    /// How long ago it was measured.
    pub fn age(&self) -> Duration {
        Duration::from_millis(now_ms().saturating_sub(self.measured_ms))
    }

    /// What a plan's work takes.
    pub fn seconds(&self, estimate: &Estimate, precision: Precision) -> Seconds {
        let rate = |of: fn(&Point) -> f64| self.rate(estimate.token_flops, precision, of);
        let (sampling, training) = (rate(|point| point.sampling), rate(|point| point.training));
        let sum = |of: fn(&r1x_spec::StageEstimate) -> Work| -> f64 {
            let work = estimate.stages.iter().map(of);
            work.map(|w| w.sampling_flops / sampling + w.training_flops / training).sum()
        };
        Seconds { likely: sum(|stage| stage.likely), most: sum(|stage| stage.most) }
    }

    /// The rate of a model between those that were measured, by the logarithms of its size and of theirs; one outside
    /// is as fast as the nearest.
    fn rate(&self, token_flops: f64, precision: Precision, of: fn(&Point) -> f64) -> f64 {
        let mut points: Vec<&Point> =
            self.points.iter().filter(|point| point.precision == precision).collect();
        points.sort_by(|a, b| a.token_flops.total_cmp(&b.token_flops));
        let place = |low: &Point, high: &Point| {
            let share =
                (token_flops / low.token_flops).ln() / (high.token_flops / low.token_flops).ln();
            of(low) * (of(high) / of(low)).powf(share.clamp(0.0, 1.0))
        };
        match points.as_slice() {
            // A file that somebody else has written: nothing is known, and nothing is promised.
            [] => f64::NAN,
            [only] => of(only),
            [low, .., high] => place(low, high),
        }
    }
}

/// The threads of a run that says nothing about them.
pub fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn place() -> Option<PathBuf> {
    hosting::cache_root().map(|root| root.join("speed.json"))
}

fn point(shape: Shape, precision: Precision, threads: usize) -> Result<Point, PortError> {
    let mut load = ModelLoad::new(shape, precision, threads)?;
    let plan = shape.plan(precision);
    let forward = |done: Done| forward_flops(&plan, done.tokens, done.length);
    let sampling = fastest(|| load.sample().map(forward))?;
    let training = fastest(|| load.train().map(|done| 3.0 * forward(done)))?;
    let token_flops = forward_flops(&plan, 1.0, 0.0);
    Ok(Point { model: shape.name().to_owned(), precision, token_flops, sampling, training })
}

/// What the fastest round gets done a second, after one that is not counted.
fn fastest(mut round: impl FnMut() -> Result<f64, PortError>) -> Result<f64, PortError> {
    round()?;
    let began = Instant::now();
    let mut best = 0.0_f64;
    while best == 0.0 || began.elapsed() < WATCH {
        let start = Instant::now();
        let done = round()?;
        best = best.max(done / start.elapsed().as_secs_f64().max(1e-9));
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed() -> Speed {
        let point = |token_flops, precision, sampling| Point {
            model: String::new(),
            precision,
            token_flops,
            sampling,
            training: 2.0 * sampling,
        };
        let points = vec![
            point(1e6, Precision::Bf16, 1e9),
            point(1e8, Precision::Bf16, 1e11),
            point(1e6, Precision::F32, 5e8),
        ];
        Speed { machine: Machine::current(2), measured_ms: 0, points }
    }

    #[test]
    fn rates_lie_between_those_that_were_measured() {
        let rate = |flops| speed().rate(flops, Precision::Bf16, |point| point.sampling);
        for (flops, expected) in [(1e6, 1e9), (1e7, 1e10), (1e8, 1e11), (1e3, 1e9), (1e12, 1e11)] {
            assert!((rate(flops) / expected - 1.0).abs() < 1e-9, "{flops}: {}", rate(flops));
        }
        assert_eq!(speed().rate(1e9, Precision::F32, |point| point.training), 1e9);
    }

    #[test]
    fn a_measurement_names_every_model_in_both_precisions() {
        let points: Vec<Point> =
            PRECISIONS.map(|precision| point(Shape::Small, precision, 1).unwrap()).to_vec();
        assert!(points.iter().all(|p| p.sampling > 0.0 && p.training > 0.0 && p.token_flops > 1e5));
    }
}
