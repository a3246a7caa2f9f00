//! `r1x doctor`: what this machine has, how fast its arithmetic is, and whether it computes what it should.
//!
//! Must not need a store or a spec, and leaves nothing behind but the measured speed, for `r1x plan`.

use std::time::{Duration, Instant};

use r1x_core::PortError;
use r1x_ops::device::{self, Device};
use r1x_ops::op::selftest::SELFTESTS;
use r1x_ops::op::{DeviceLoad, KernelLoad};

use crate::display::{Fields, Page, Table};
use crate::environment;
use crate::failure::{Failure, code};
use crate::output::{self, Stream};
use crate::speed::Speed;
use crate::table;

/// How long a rate is measured.
const WATCH: Duration = Duration::from_millis(400);
/// Rows and columns of the product on the CPU: its matrices fit the second-level cache together.
const CPU_SIZE: usize = 384;
/// Rows and columns of the product on a card.
const CARD_SIZE: usize = 8192;
/// Bytes of the block copied on a card.
const CARD_COPY_BYTES: usize = 1 << 30;

/// Checks the CPU, or a card.
///
/// # Errors
/// When the card does not open or fails, or something is not computed as it should be.
pub fn doctor(card: Option<usize>, threads: usize) -> Result<i32, Failure> {
    match card {
        None => cpu(threads),
        Some(ordinal) => gpu(&format!("cuda:{ordinal}")),
    }
}

fn cpu(threads: usize) -> Result<i32, Failure> {
    let facts = environment::current("cpu", threads);
    let known = |fact: Option<String>| fact.unwrap_or_else(|| "unknown".to_owned());
    println!("machine  {}", known(facts.os));
    let cores = facts.cores.map_or("unknown".to_owned(), |cores| cores.to_string());
    println!("cpu      {}, {cores} cores", known(facts.cpu));
    println!("memory   {}", facts.ram_bytes.map_or("unknown".to_owned(), table::bytes));
    println!("kernels  {}", r1x_ops::simd::level().name());
    println!("threads  {threads}");
    println!(
        "matmul   {:.0} GFLOP/s on one thread, {:.0} on {threads} (f32, {CPU_SIZE} x {CPU_SIZE})",
        kernel_rate(1)? / 1e9,
        kernel_rate(threads)? / 1e9
    );
    println!();
    let speed = Speed::measure(threads)?;
    output::page(Stream::Out, &speeds(&speed));
    verify(&Device::Cpu, "cpu")
}

/// What was measured of models: arithmetic, and the tokens that come of it.
fn speeds(speed: &Speed) -> Page {
    let mut fields = Fields::default();
    for point in &speed.points {
        let tokens = |rate: f64| table::count((rate / point.token_flops) as u64);
        let (sampling, training) = (point.sampling, point.training);
        fields.add(
            &format!("{} {}", point.model, point.precision_name()),
            format!(
                "sampling {:.0} GFLOP/s, {} tokens/s; training {:.0} GFLOP/s, {} tokens/s",
                sampling / 1e9,
                tokens(sampling),
                training / 1e9,
                tokens(training / 3.0),
            ),
        );
    }
    let mut page = Page::default();
    page.fields(fields);
    page
}

fn gpu(word: &str) -> Result<i32, Failure> {
    let card = r1x_ops::parse_device(word).map_err(|error| {
        Failure::new(
            code::RESOURCE,
            error.to_string(),
            "a card needs a build with `--features cuda` and NVIDIA's driver; `r1x doctor` alone checks the CPU",
        )
    })?;
    println!("card     {}", device::describe(&card));
    let load = DeviceLoad::new(CARD_SIZE, CARD_COPY_BYTES, &card).map_err(refused)?;
    let multiply = rate(|| load.multiply(), || load.wait()).map_err(refused)?;
    println!("matmul   {:.1} TFLOP/s (bf16, {CARD_SIZE} x {CARD_SIZE})", multiply / 1e12);
    let copy = rate(|| load.copy(), || load.wait()).map_err(refused)?;
    println!(
        "copy     {:.2} TB/s read and written ({})",
        copy / 1e12,
        table::bytes(CARD_COPY_BYTES as u64)
    );
    drop(load);
    verify(&card, word)
}

/// Compares every op, and a step of training, with what they should give.
fn verify(device: &Device, word: &str) -> Result<i32, Failure> {
    let mut rows = Vec::new();
    let mut failed = 0;
    let mut add = |name: String, difference: f64, tolerance: f64| {
        let good = difference <= tolerance;
        failed += usize::from(!good);
        let verdict = if good { "ok" } else { "FAILED" };
        rows.push(vec![
            name,
            format!("{difference:.1e}"),
            format!("{tolerance:.0e}"),
            verdict.to_owned(),
        ]);
    };
    for op in SELFTESTS {
        add(op.name.to_owned(), op.run(device).map_err(refused)?, op.tolerance);
    }
    for found in r1x_model::device_selftest::run(device)? {
        add(found.name, found.difference, found.tolerance);
    }
    let count = rows.len();
    let header = ["self-test", "largest difference", "allowed", ""];
    let mut page = Page::default();
    page.blank().table(Table::of(&header, &rows).whole(&["self-test"]).status(&[""]));
    if failed == 0 {
        page.blank().line(format!("all {count} self-tests passed on {word}"));
    }
    output::page(Stream::Out, &page);
    if failed == 0 {
        return Ok(0);
    }
    let code = if device.is_cpu() { code::INTERNAL } else { code::RESOURCE };
    Err(Failure::new(
        code,
        format!("{failed} of {count} self-tests failed on {word}"),
        "do not train there; please report this with the table and the output of `r1x version`",
    ))
}

/// Floating-point operations a second of the kernel on this many threads at once.
fn kernel_rate(threads: usize) -> Result<f64, Failure> {
    let rates = std::thread::scope(|scope| {
        let one = || -> Result<f64, r1x_ops::device::TensorError> {
            let mut load = KernelLoad::new(CPU_SIZE)?;
            rate(|| Ok(load.run()), || Ok(()))
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    let mut sum = 0.0;
    for rate in rates {
        let rate = rate.map_err(|_| {
            Failure::new(code::INTERNAL, "a measuring thread panicked", "please report this")
        })?;
        sum += rate.map_err(refused)?;
    }
    Ok(sum)
}

/// What `work` gets done a second, by its own count, after one repetition that is not counted.
fn rate<E>(
    mut work: impl FnMut() -> Result<f64, E>,
    wait: impl Fn() -> Result<(), E>,
) -> Result<f64, E> {
    work()?;
    wait()?;
    let (began, mut done) = (Instant::now(), 0.0);
    while began.elapsed() < WATCH {
        // Several at a time, so that starting them does not count.
        for _ in 0..4 {
            done += work()?;
        }
        wait()?;
    }
    Ok(done / began.elapsed().as_secs_f64())
}

fn refused(error: r1x_ops::device::TensorError) -> Failure {
    let error = r1x_model::ModelError::from(error);
    Failure::from(PortError::from(error))
}
