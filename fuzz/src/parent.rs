//! The process that starts children, sees what they die of, and keeps the inputs.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::child::{INPUT, NUMBER, PANIC, panicked};
use crate::corpus::root;
use crate::targets::Target;

/// Reading that takes the processor longer than this is a finding. Where the system does not tell what a process has
/// computed, what counts is time on the wall, of which a busy machine leaves little.
const PATIENCE: Duration = Duration::from_secs(30);
/// Parts of a second in which Linux counts processor time.
const TICKS: u64 = 100;
/// Between two looks at a child.
const LOOK: Duration = Duration::from_millis(250);
/// Inputs that are kept of one finding.
const MOST_KEPT: usize = 3;

/// What was found so far.
struct Findings {
    folder: PathBuf,
    /// How often, by what is said of it.
    by_kind: BTreeMap<String, usize>,
}

/// Runs a target for some minutes and returns how many different findings there were.
pub fn run(target: &Target, minutes: f64, seed: u64, from: u64) -> std::io::Result<usize> {
    let began = Instant::now();
    let time = Duration::from_secs_f64(minutes.clamp(0.0, 1e6) * 60.0);
    let folder = root().join("target/fuzz").join(target.name);
    let mut findings = Findings { folder, by_kind: BTreeMap::new() };
    let mut next = from;
    while began.elapsed() < time {
        let work = tempfile::tempdir()?;
        let (child, lines) = start(target, work.path(), seed, next)?;
        next = watch(child, &lines, work.path(), began + time, &mut findings)? + 1;
    }
    let read = next - from;
    println!(
        "{}: {read} inputs in {:.0} s, {} findings{}",
        target.name,
        began.elapsed().as_secs_f64(),
        findings.by_kind.len(),
        if findings.by_kind.is_empty() {
            String::new()
        } else {
            format!(" in {}", findings.folder.display())
        },
    );
    for (kind, times) in &findings.by_kind {
        println!("  {times} x {kind}");
    }
    Ok(findings.by_kind.len())
}

/// A child, and the lines it prints.
fn start(
    target: &Target,
    folder: &Path,
    seed: u64,
    from: u64,
) -> std::io::Result<(Child, Receiver<String>)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([target.name, "--seed", &seed.to_string(), "--from", &from.to_string(), "--child"])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (sender, lines) = channel();
    let pipes: [Option<Box<dyn std::io::Read + Send>>; 2] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as _),
        child.stderr.take().map(|pipe| Box::new(pipe) as _),
    ];
    for pipe in pipes.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    Ok((child, lines))
}

/// Watches a child to its end and returns the number of its last input.
fn watch(
    mut child: Child,
    lines: &Receiver<String>,
    folder: &Path,
    end: Instant,
    findings: &mut Findings,
) -> std::io::Result<u64> {
    let number = || {
        let text = std::fs::read_to_string(folder.join(NUMBER)).unwrap_or_default();
        text.parse::<u64>().unwrap_or_default()
    };
    let process = child.id();
    let clock = |since: Instant| computed(process).unwrap_or_else(|| since.elapsed());
    let began = Instant::now();
    let (mut last, mut since) = (number(), clock(began));
    let mut said = String::new();
    // A child that died before it read anything has no input to blame.
    let died = |status: &str, said: &str| {
        std::io::Error::other(format!("a child ended before its first input: {status}: {said}"))
    };
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) if line.starts_with(PANIC) => {
                let text = line.trim_start_matches(PANIC);
                let (number, what) = text.split_once(' ').unwrap_or(("", text));
                let input = folder.join(panicked(number.parse().unwrap_or_default()));
                findings.add(&format!("panic: {what}"), &input)?;
                std::fs::remove_file(&input)?;
            }
            Ok(line) => said = line,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        if let Some(status) = child.try_wait()? {
            said = lines.try_iter().last().unwrap_or(said);
            if status.code() == Some(2) {
                return Err(std::io::Error::other(said));
            }
            if !folder.join(INPUT).exists() {
                return Err(died(&status.to_string(), &said));
            }
            findings.add(&format!("{status}: {said}"), &folder.join(INPUT))?;
            return Ok(number().max(last));
        }
        // Numbers only grow; a file that is being written says nothing.
        let now = number().max(last);
        if now != last {
            (last, since) = (now, clock(began));
        }
        let hangs = clock(began).saturating_sub(since) > PATIENCE;
        if hangs {
            findings.add("it takes too long", &folder.join(INPUT))?;
        }
        if hangs || Instant::now() > end {
            child.kill()?;
            child.wait()?;
            return Ok(now);
        }
    }
}

/// Processor time that a process has had, where the system tells.
fn computed(process: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold blanks; user and system time are the 12th and 13th fields behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS))
}

impl Findings {
    fn add(&mut self, what: &str, input: &Path) -> std::io::Result<()> {
        let kind: String = what.chars().filter(|c| !c.is_ascii_digit()).take(160).collect();
        let times = self.by_kind.entry(kind).or_default();
        *times += 1;
        if *times > MOST_KEPT {
            return Ok(());
        }
        std::fs::create_dir_all(&self.folder)?;
        let count = std::fs::read_dir(&self.folder)?.count();
        let kept = self.folder.join(format!("finding-{count:03}"));
        std::fs::copy(input, &kept)?;
        println!("{}: {what}", kept.display());
        Ok(())
    }
}
