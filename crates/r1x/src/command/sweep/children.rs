//! The processes that make the runs of a sweep, of which so many are there at a time.
//!
//! Each is an r1x in a process group of its own, so that Ctrl-C reaches the one that started them and no other; what it
//! is to be told goes through its standard input, which ends when that one does.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStderr, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use r1x_store::SweepCard;
use signal_hook::consts::SIGHUP;

use crate::args::Global;
use crate::command::run::Ask;
use crate::failure::code;
use crate::memory::Excess;
use crate::prepare::Share;
use crate::reuse::ReuseChoice;
use crate::{helper, interrupt};

/// A run that is to be made.
#[derive(Clone, Debug)]
pub struct Child {
    /// Which member of the sweep it is.
    pub index: u64,
    /// Its values in a row.
    pub label: String,
}

/// What became of the processes.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Exit codes by the index of the member.
    pub codes: BTreeMap<u64, i32>,
    /// Whether somebody asked to stop.
    pub stopped: bool,
}

/// What there is to hear.
enum Event {
    /// The process of a member has ended with this exit code; one that was killed has none.
    Ended(u64, Option<i32>),
    /// A signal that asks to stop.
    Signal(i32),
}

/// How the processes are started.
pub struct Children {
    arguments: Vec<OsString>,
    sweep: String,
    at_a_time: usize,
    /// Members of the whole sweep.
    of: usize,
}

impl Children {
    /// Every process runs what was asked for, but for its member and its share of threads.
    pub fn new(global: &Global, ask: &Ask, share: Share, sweep: &SweepCard) -> Self {
        let mut arguments: Vec<OsString> = vec!["run".into()];
        arguments.extend(global.passed_on());
        for set in &ask.spec.overrides {
            arguments.push(format!("--set={set}").into());
        }
        if !ask.spec.seeds.seeds.is_empty() {
            arguments.push(format!("--seeds={}", ask.spec.seeds.text).into());
        }
        arguments.push(format!("--device={}", ask.compute.device).into());
        arguments.push(format!("--threads={}", share.threads).into());
        // What all of them take together was compared with what there is, before the first one.
        let forced = ask.excess == Excess::Forced || share.runs > 1;
        arguments.extend(forced.then(|| "--force".into()));
        arguments.extend((ask.reuse == ReuseChoice::Refused).then(|| "--no-reuse".into()));
        // A path may look like an option.
        arguments.extend(["--".into(), ask.spec.path.clone().into_os_string()]);
        Self {
            arguments,
            sweep: sweep.name.clone(),
            at_a_time: share.runs,
            of: sweep.members.len(),
        }
    }

    /// Makes these runs, in order. Once somebody asks to stop, no further one begins, and those at work finish their
    /// step; who asks again does not wait for that.
    pub fn run(&self, waiting: Vec<Child>) -> Outcome {
        let (sender, events) = channel();
        let signals = sender.clone();
        interrupt::on_signals(move |signal| {
            let _ = signals.send(Event::Signal(signal));
        });
        let mut outcome = Outcome::default();
        let mut waiting = VecDeque::from(waiting);
        let mut orders: BTreeMap<u64, ChildStdin> = BTreeMap::new();
        loop {
            while !outcome.stopped && orders.len() < self.at_a_time {
                let Some(child) = waiting.pop_front() else { break };
                match self.start(&child, &sender) {
                    Ok(input) => {
                        orders.insert(child.index, input);
                    }
                    Err(error) => {
                        eprintln!("error: {}: no process for it: {error}", child.label);
                        outcome.codes.insert(child.index, code::RESOURCE);
                    }
                }
            }
            if orders.is_empty() {
                return outcome;
            }
            self.hear(&events, &mut orders, &mut outcome);
        }
    }

    /// Waits for something to happen.
    fn hear(
        &self,
        events: &Receiver<Event>,
        orders: &mut BTreeMap<u64, ChildStdin>,
        outcome: &mut Outcome,
    ) {
        match events.recv() {
            Ok(Event::Ended(index, exit)) => {
                orders.remove(&index);
                let killed = if outcome.stopped { code::INTERRUPTED } else { code::INTERNAL };
                outcome.codes.insert(index, exit.unwrap_or(killed));
            }
            // A terminal that is closed says so more than once, and nobody is there to be in a hurry.
            Ok(Event::Signal(SIGHUP)) if outcome.stopped => {}
            Ok(Event::Signal(_)) => {
                outcome.stopped = true;
                for input in orders.values_mut() {
                    // A process that has just ended needs no order.
                    let _ = input.write_all(&[0]).and_then(|()| input.flush());
                }
                if self.at_a_time > 1 {
                    eprintln!("stopping {} runs", orders.len());
                }
            }
            // This process holds a sender itself.
            Err(_) => orders.clear(),
        }
    }

    fn start(&self, child: &Child, sender: &Sender<Event>) -> std::io::Result<ChildStdin> {
        eprintln!("run {} of {}: {}", child.index + 1, self.of, child.label);
        let mut command = Command::new(helper::program());
        let (first, rest) = self.arguments.split_at(1);
        command
            .args(first)
            .arg(format!("--member={}/{}", self.sweep, child.index))
            .args(rest)
            .stdin(Stdio::piped())
            // Its tables are in the one of the sweep.
            .stdout(Stdio::null());
        if self.at_a_time > 1 {
            command.stderr(Stdio::piped());
        }
        apart(&mut command);
        let mut process = command.spawn()?;
        let input = process.stdin.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        let (said, index, sender) = (process.stderr.take(), child.index, sender.clone());
        std::thread::spawn(move || {
            if let Some(said) = said {
                pass_on(said, index);
            }
            let exit = process.wait().ok().and_then(|status| status.code());
            let _ = sender.send(Event::Ended(index, exit));
        });
        Ok(input)
    }
}

/// Says what a process says, with the number of its run before each line.
fn pass_on(said: ChildStderr, index: u64) {
    let mut lines = BufReader::new(said);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line);
        eprintln!("[{}] {}", index + 1, text.trim_end_matches(['\n', '\r']));
        line.clear();
    }
}

/// Keeps the signals of the terminal from a process.
#[cfg(unix)]
fn apart(command: &mut Command) {
    use std::os::unix::process::CommandExt;

    command.process_group(0);
}

#[cfg(not(unix))]
fn apart(_: &mut Command) {}
