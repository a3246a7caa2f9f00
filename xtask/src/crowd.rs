//! `cargo xtask crowd`: many runs and readers on one store, for minutes: nobody dies of the others, and each run ends with
//! the digest that it has alone.

use std::collections::BTreeMap;
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
    /// Runs in the store that ended as they do alone, and those that did not.
    alike: u64,
    other: Vec<String>,
    dead: Vec<String>,
}

/// Runs the task.
pub fn run(context: &Context) -> Result<(), Failure> {
    let [minutes, runs, readers] =
        numbers(&context.arguments, [("minutes", 10), ("runs", 8), ("readers", 3)])?;
    let field = Field::new(context, "crowd")?;
    let alone = alone(&field, runs)?;
    let (began, end) = (Instant::now(), Duration::from_secs(60 * minutes));
    let mut tally = Tally::default();
    let mut number = 0;
    let mut writers = Vec::new();
    let mut asking = Vec::new();
    loop {
        let over = began.elapsed() >= end;
        while !over && (writers.len() as u64) < runs {
            number += 1;
            let seed = (number % runs).to_string();
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
    let waits = field.json(&["sql", WAITS, "--format", "json"])?;
    let ended = field.json(&["sql", ENDED, "--format", "json"])?;
    compare(&alone, &ended, &mut tally);
    report(&tally, &waits[0], (runs, readers), began.elapsed())
}

/// How long steps waited for the store, in milliseconds: half of them, 99 of 100, and all of them at most.
const WAITS: &str = "
    WITH waits AS (SELECT store_ms AS ms, ntile(100) OVER (ORDER BY store_ms) AS hundredth FROM step)
    SELECT max(ms) FILTER (WHERE hundredth <= 50) AS half, max(ms) FILTER (WHERE hundredth <= 99) AS most, max(ms) AS all_of_them,
        count(*) AS steps FROM waits";

/// What every run of a seed has ended with.
const ENDED: &str = "SELECT seed, status, coalesce(digest, '') AS digest, count(*) AS runs FROM run GROUP BY seed, status, digest";

/// The digest of a run of each seed that has the store for itself.
fn alone(field: &Field, seeds: u64) -> Result<BTreeMap<u64, String>, Failure> {
    let digest = |seed: u64| {
        let number = seed.to_string();
        let made = field.json(&["run", "tiny.yaml", "--no-reuse", "--json", "--seed", &number])?;
        Ok((seed, made["digest"].as_str().unwrap_or_default().to_owned()))
    };
    (0..seeds).map(digest).collect()
}

/// Counts the runs that did not end as they do alone.
fn compare(alone: &BTreeMap<u64, String>, ended: &serde_json::Value, tally: &mut Tally) {
    for group in ended.as_array().into_iter().flatten() {
        let count = group["runs"].as_u64().unwrap_or_default();
        let digest = group["seed"].as_u64().and_then(|seed| alone.get(&seed));
        match digest {
            Some(digest) if group["status"] == "done" && group["digest"] == digest.as_str() => {
                tally.alike += count;
            }
            _ => tally.other.push(format!("{count} runs: {group}")),
        }
    }
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
    waits: &serde_json::Value,
    (runs, readers): (u64, u64),
    took: Duration,
) -> Result<(), Failure> {
    let ms = |key: &str| waits[key].as_f64().unwrap_or(f64::NAN);
    println!("{runs} runs and {readers} readers at a time for {} s", took.as_secs());
    println!("  runs that ended               {}", tally.runs);
    println!("  digests as of a run alone     {}", tally.alike);
    println!("  answers                       {}", tally.answers);
    println!("  slowest answer                {:.2} s", tally.slowest_answer.as_secs_f64());
    println!("  steps                         {}", waits["steps"]);
    println!("  waits of steps, half within   {:.1} ms", ms("half"));
    println!("  waits of steps, 99 % within   {:.1} ms", ms("most"));
    println!("  worst wait of a step          {:.1} ms", ms("all_of_them"));
    println!("  waits worth a word            {}", tally.waits);
    println!("  dead                          {}", tally.dead.len());
    if tally.dead.is_empty() && tally.other.is_empty() {
        return Ok(());
    }
    let wrong = [tally.dead.join("\n  "), tally.other.join("\n  ")].join("\n  ");
    Err(Failure::new(
        wrong,
        "nobody may die of others who use the store, or end otherwise for them",
    ))
}
