//! `cargo xtask crowd`: many runs and readers on one store, for minutes: nobody dies of the others.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Context;
use crate::failure::Failure;
use crate::field::{Field, numbers};

/// What readers ask, by turns.
const QUESTIONS: [&[&str]; 3] = [
    &["ls"],
    &["show"],
    &["sql", "SELECT run, count(*), avg(reward) FROM v_rollouts GROUP BY run", "--format", "csv"],
];
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Somebody at work on the store.
struct Worker {
    child: Child,
    errors: PathBuf,
    since: Instant,
    what: String,
}

/// What came of all of them.
#[derive(Default)]
struct Tally {
    runs: u64,
    answers: u64,
    slowest_answer: Duration,
    /// Whoever said that it waits.
    waits: u64,
    dead: Vec<String>,
}

/// Runs the task.
pub fn run(context: &Context) -> Result<(), Failure> {
    let [minutes, runs, readers] =
        numbers(&context.arguments, [("minutes", 10), ("runs", 8), ("readers", 3)])?;
    let field = Field::new(context, "crowd")?;
    // Compiles the plugins.
    field.json(&["run", "tiny.yaml", "--json"])?;
    let (began, end) = (Instant::now(), Duration::from_secs(60 * minutes));
    let mut tally = Tally::default();
    let mut number = 0;
    let mut writers = Vec::new();
    let mut asking = Vec::new();
    loop {
        let over = began.elapsed() >= end;
        while !over && (writers.len() as u64) < runs {
            number += 1;
            let seed = number.to_string();
            writers.push(start(
                &field,
                number,
                &["run", "tiny.yaml", "--no-reuse", "--threads", "1", "--seed", &seed],
            )?);
        }
        while !over && (asking.len() as u64) < readers {
            number += 1;
            asking.push(start(&field, number, QUESTIONS[number as usize % QUESTIONS.len()])?);
        }
        tally.runs += reap(&mut writers, &mut tally.dead, &mut tally.waits, |_| ());
        let slowest = &mut tally.slowest_answer;
        let mut timed = |took: Duration| *slowest = took.max(*slowest);
        tally.answers += reap(&mut asking, &mut tally.dead, &mut tally.waits, &mut timed);
        if over && writers.is_empty() && asking.is_empty() {
            break;
        }
        sleep(LOOK_EVERY);
    }
    let worst = "SELECT max(store_ms) AS ms, (SELECT count(*) FROM run WHERE status <> 'done') AS dead FROM step";
    let stored = field.json(&["sql", worst, "--format", "json"])?;
    report(&tally, &stored[0], runs, readers, began.elapsed())
}

fn start(field: &Field, number: u64, arguments: &[&str]) -> Result<Worker, Failure> {
    let told =
        |error: std::io::Error| Failure::new(format!("r1x does not start: {error}"), "build it");
    let what = arguments.join(" ");
    let errors = field.path(&format!("errors-{number}"));
    let file = fs::File::create(&errors).map_err(told)?;
    let child =
        field.command(arguments).stdout(Stdio::null()).stderr(file).spawn().map_err(told)?;
    Ok(Worker { child, errors, since: Instant::now(), what })
}

/// Takes out those who have ended; how many did well.
fn reap(
    workers: &mut Vec<Worker>,
    dead: &mut Vec<String>,
    waits: &mut u64,
    mut each: impl FnMut(Duration),
) -> u64 {
    let mut well = 0;
    workers.retain_mut(|worker| {
        let Ok(Some(status)) = worker.child.try_wait() else { return true };
        let said = fs::read_to_string(&worker.errors).unwrap_or_default();
        *waits += said.matches("another program holds the lock").count() as u64;
        match status.success() {
            true => well += 1,
            false => dead.push(format!("{} ({status}): {said}", worker.what)),
        }
        let _ = fs::remove_file(&worker.errors);
        each(worker.since.elapsed());
        false
    });
    well
}

fn report(
    tally: &Tally,
    stored: &serde_json::Value,
    runs: u64,
    readers: u64,
    took: Duration,
) -> Result<(), Failure> {
    let seconds = |ms: &serde_json::Value| ms.as_f64().unwrap_or(f64::NAN) / 1e3;
    println!("{runs} runs and {readers} readers at a time for {} s", took.as_secs());
    println!("  runs that ended               {}", tally.runs);
    println!("  answers                       {}", tally.answers);
    println!("  slowest answer                {:.2} s", tally.slowest_answer.as_secs_f64());
    println!("  worst wait of a step          {:.2} s", seconds(&stored["ms"]));
    println!("  waits worth a word            {}", tally.waits);
    println!("  dead                          {}", tally.dead.len());
    if tally.dead.is_empty() && stored["dead"] == 0 {
        return Ok(());
    }
    Err(Failure::new(
        format!("{}; runs not done in the store: {}", tally.dead.join("\n  "), stored["dead"]),
        "nobody may die of others who use the store",
    ))
}
