//! What this machine is and can do at most, and what this process has used of it.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use r1x::environment;
use r1x_ops::parallel;
use r1x_ops::peak::{self, Arithmetic};
use serde::{Deserialize, Serialize};

/// The machine a table was measured on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Processor as it names itself.
    pub cpu: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Vector instructions the kernels are compiled for.
    pub level: String,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let cpu = environment::current("cpu", cores()).cpu;
        Self {
            cpu: cpu.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: cores(),
            level: format!("{:?}", r1x_ops::simd::level()),
        }
    }
}

/// Cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Seconds that the living threads of this process have been running; `None` where the system does not say.
pub fn cpu_seconds() -> Option<f64> {
    bring_up_to_date();
    let threads = std::fs::read_dir("/proc/self/task").ok()?.flatten();
    threads.map(|thread| seconds_running(&thread.path().join("schedstat"))).sum()
}

/// Seconds that the calling thread has been running, or seconds of a clock where the system does not say.
fn thread_seconds(clock: Instant) -> f64 {
    bring_up_to_date();
    seconds_running("/proc/thread-self/schedstat".as_ref())
        .unwrap_or_else(|| clock.elapsed().as_secs_f64())
}

/// A running thread's time is counted when the scheduler looks at it, so it is made to look.
fn bring_up_to_date() {
    std::thread::yield_now();
}

/// The first number of a `schedstat` is nanoseconds on a processor.
fn seconds_running(path: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(path).ok()?;
    let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds * 1e-9)
}

/// The most memory this process has held so far, bytes; `None` where the system does not say.
pub fn peak_resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Rates of multiply-adds in registers on some cores at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Operations a second by the clock on the wall: what the machine gave just now.
    pub wall: f64,
    /// Operations a second of processor time, times the cores: what they do when nothing else runs.
    pub cpu: f64,
}

/// Bursts of which the best counts.
const BURSTS: usize = 4;
/// Rounds of a burst on a core: about ten milliseconds.
const ROUNDS: u64 = 2_000_000;

/// The arithmetic peak of `threads` cores; `None` without an instruction for it.
pub fn peak(arithmetic: Arithmetic, threads: usize) -> Option<Peak> {
    let mut best = Peak { wall: 0.0, cpu: 0.0 };
    for _ in 0..BURSTS {
        let start = Instant::now();
        let done = parallel::map(vec![(); threads], threads, |()| {
            let before = thread_seconds(start);
            let flops = peak::multiply_add(arithmetic, ROUNDS)? as f64;
            Some((flops, flops / (thread_seconds(start) - before)))
        });
        let wall = start.elapsed().as_secs_f64();
        let done = done.into_iter().collect::<Option<Vec<_>>>()?;
        best.wall = best.wall.max(done.iter().map(|(flops, _)| flops).sum::<f64>() / wall);
        best.cpu = best.cpu.max(done.iter().map(|(_, rate)| rate).sum());
    }
    Some(best)
}

/// Bytes a second that `threads` cores read together from blocks of `bytes` altogether, best of several passes;
/// by processor time, so that other processes do not lower it.
pub fn read_bandwidth(bytes: usize, threads: usize) -> f64 {
    let share = (bytes / threads / size_of::<f32>()).max(1);
    let blocks: Vec<Vec<f32>> = (0..threads).map(|_| vec![1.0; share]).collect();
    // Small blocks are read often enough to be timed well.
    let passes = (256_usize << 20).div_ceil(bytes.max(1)).clamp(1, 16_384);
    let mut best = 0.0_f64;
    for _ in 0..BURSTS {
        let start = Instant::now();
        let rates = parallel::map(blocks.iter().collect(), threads, |block: &Vec<f32>| {
            let before = thread_seconds(start);
            for _ in 0..passes {
                black_box(peak::read(black_box(block)));
            }
            (passes * size_of_val(&block[..])) as f64 / (thread_seconds(start) - before)
        });
        best = best.max(rates.iter().sum());
    }
    best
}

/// Bytes a second that `threads` cores copy together between blocks too large for any cache; a byte that is
/// read and written counts twice.
pub fn copy_bandwidth(threads: usize) -> f64 {
    const LENGTH: usize = 128 << 20;
    let share = LENGTH / threads;
    let mut blocks: Vec<(Vec<u8>, Vec<u8>)> =
        (0..threads).map(|_| (vec![1; share], vec![2; share])).collect();
    let mut best = f64::INFINITY;
    for _ in 0..BURSTS {
        let start = Instant::now();
        parallel::map(blocks.iter_mut().collect(), threads, |block: &mut (Vec<u8>, Vec<u8>)| {
            black_box(&mut block.1).copy_from_slice(black_box(&block.0));
        });
        best = best.min(start.elapsed().as_secs_f64());
    }
    (2 * threads * share) as f64 / best
}
