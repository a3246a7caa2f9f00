//! Benchmarks: `cargo xtask bench [PART...]` prints one table of figures beside what this machine could reach.
//!
//! Each workload runs in a process of its own, so that peaks of memory do not mix; this process starts them and
//! prints.

mod failure;
mod machine;
mod measure;
mod part;
mod row;
mod shape;
mod table;
mod work;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;
use r1x_ops::allocations::CountingAllocator;

use failure::Failure;
use machine::Machine;
use measure::Options;
use row::{Row, Saved};
use table::Style;

/// Counts allocations of tensor memory.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// Measures r1x on fixed workloads.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Ask {
    /// Parts or workloads: `matmul`, `decode/small`, `grpo/big/ragged`; all without any.
    #[arg(value_name = "PART")]
    words: Vec<String>,
    /// Threads of the model; all cores without it.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Fewer repetitions: for a look, not for a figure.
    #[arg(long)]
    quick: bool,
    /// Count processor seconds of one thread, for a machine that is doing other things.
    #[arg(long)]
    cpu_time: bool,
    /// Save the table as JSON.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Compare with a saved table.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Print the table as Markdown.
    #[arg(long)]
    markdown: bool,
    /// List parts and workloads instead.
    #[arg(long)]
    list: bool,
    /// Measure this workload here and print its rows as JSON.
    #[arg(long, value_name = "ID", hide = true)]
    child: Option<String>,
}

fn main() -> ExitCode {
    let ask = Ask::parse();
    let outcome = match &ask.child {
        Some(id) => child(id, &ask).map(|()| true),
        None if ask.list => {
            list();
            Ok(true)
        }
        None => run(&ask),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    for (name, purpose, cases) in part::PARTS {
        println!("{name}: {purpose}");
        for case in cases() {
            println!("  {}", case.id);
        }
    }
}

impl Ask {
    fn options(&self) -> Result<Options, Failure> {
        let threads = self.threads.unwrap_or(if self.cpu_time { 1 } else { machine::cores() });
        if threads == 0 {
            return Err(Failure::new(
                "no thread is too few",
                "leave `--threads` out for all cores",
            ));
        }
        if self.cpu_time && threads > 1 {
            return Err(Failure::new(
                format!("processor seconds of {threads} threads are no speed"),
                "use `--cpu-time` with one thread, or the wall clock with several",
            ));
        }
        Ok(Options { threads, quick: self.quick, cpu_time: self.cpu_time })
    }
}

/// Measures one workload in this process.
fn child(id: &str, ask: &Ask) -> Result<(), Failure> {
    let options = ask.options()?;
    let cases = part::cases();
    let Some(case) = cases.iter().find(|case| case.id == id) else {
        return Err(Failure::new(format!("there is no workload `{id}`"), "see `--list`"));
    };
    let mut rows = (case.run)(&options)?;
    for row in &mut rows {
        row.peak_bytes = machine::peak_resident();
    }
    let text = serde_json::to_string(&rows);
    let broken = |error| Failure::new(format!("{id}: {error}"), "report a bug");
    println!("{}", text.map_err(broken)?);
    Ok(())
}

/// Measures what was asked for; whether every workload could be.
fn run(ask: &Ask) -> Result<bool, Failure> {
    let options = ask.options()?;
    let saved = ask.compare.as_deref().map(Saved::read).transpose()?;
    let workloads: Vec<_> = part::cases().into_iter().map(|case| (case.id, case.asked)).collect();
    let ids = part::select(&workloads, &ask.words)?;
    let machine = Machine::this();
    println!("{}, {} cores, kernels for {}", machine.cpu, machine.cores, machine.level);
    let clock = if options.cpu_time { "processor seconds" } else { "wall clock" };
    println!("{} threads, {clock}, medians\n", options.threads);
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for (index, id) in ids.iter().enumerate() {
        eprintln!("[{}/{}] {id}", index + 1, ids.len());
        match start(id, ask, &options) {
            Ok(found) => {
                for row in &found {
                    eprintln!("    {}", table::brief(row));
                }
                rows.extend(found);
            }
            Err(failure) => failed.push((id, failure)),
        }
    }
    let style = if ask.markdown { Style::Markdown } else { Style::Plain };
    print!("{}", table::measured(&rows, style));
    if let Some(saved) = &saved {
        println!("\nbeside the saved table ({}, {} threads)", saved.machine.cpu, saved.threads);
        print!("{}", table::compared(&rows, saved));
    }
    for (id, failure) in &failed {
        eprintln!("{id}: {failure}");
    }
    if let Some(path) = &ask.save {
        let (threads, cpu_time) = (options.threads, options.cpu_time);
        Saved { machine, threads, cpu_time, rows }.write(path)?;
    }
    Ok(failed.is_empty())
}

/// Runs one workload in a process of its own.
fn start(id: &str, ask: &Ask, options: &Options) -> Result<Vec<Row>, Failure> {
    let broken = |what: String| Failure::new(format!("{id}: {what}"), "its message is above");
    let program = std::env::current_exe().map_err(|error| broken(error.to_string()))?;
    let mut command = Command::new(program);
    command.args(["--child", id, "--threads", &options.threads.to_string()]);
    for (flag, set) in [("--quick", ask.quick), ("--cpu-time", ask.cpu_time)] {
        if set {
            command.arg(flag);
        }
    }
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| broken(error.to_string()))?;
    if !output.status.success() {
        return Err(broken(format!("ended with {}", output.status)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| broken(error.to_string()))
}
