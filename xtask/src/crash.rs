//! `cargo xtask crash`: kills runs at random instants, takes the end of the log from some and exchanges the checkpoints
//! of others, and lets them go on: whatever happened, they end with the digest of a run that nobody disturbed.
//! `cargo xtask power` cuts the power of the disk that they write to instead.

mod disk;
mod log;
mod plan;
mod tally;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Context;
use crate::failure::Failure;
use crate::field::{Field, numbers};
use disk::Disk;
use log::Loose;
use plan::{Aftermath, Blow, Draws, Kill};
use tally::Tally;

const STORE: &str = "runs/r1x.sqlite";
/// How often it is looked whether the instant has come.
const LOOK_EVERY: Duration = Duration::from_micros(200);
/// Kills that one run gets before it is let go on to its end.
const KILLS_OF_A_RUN: u64 = 6;

/// Kills runs.
pub fn run(context: &Context) -> Result<(), Failure> {
    let [kills, seed] = numbers(&context.arguments, [("kills", 500), ("seed", 1)])?;
    let field = Field::new(context, "crash")?;
    let foreign = foreign(&field)?;
    Trial::new(&field, seed, Means::Kill { foreign })?.all(kills)?.report("kills", seed)
}

/// Cuts the power of the disk under runs.
pub fn power(context: &Context) -> Result<(), Failure> {
    let [cuts, seed] = numbers(&context.arguments, [("cuts", 100), ("seed", 1)])?;
    let field = Field::new(context, "power")?;
    let disk = Disk::new(field.path("disk"), field.path("runs"))?;
    Trial::new(&field, seed, Means::Power(disk))?.all(cuts)?.report("power cuts", seed)
}

/// The digest of a run in a store of its own.
fn undisturbed(field: &Field, arguments: &[&str]) -> Result<String, Failure> {
    clear(field);
    let digest = field.json(arguments)?["digest"].as_str().unwrap_or_default().to_owned();
    Ok(digest)
}

fn clear(field: &Field) {
    let _ = fs::remove_dir_all(field.path("runs"));
}

/// Checkpoints of another run, by their names.
fn foreign(field: &Field) -> Result<PathBuf, Failure> {
    undisturbed(
        field,
        &["run", "tiny.yaml", "--json", "--seed", "2", "--set", "checkpoints.keep=99"],
    )?;
    let kept = field.path("foreign");
    let runs = fs::read_dir(field.path("runs")).into_iter().flatten().flatten();
    let run = runs.map(|entry| entry.path()).find(|path| path.is_dir());
    let moved = run.is_some_and(|run| fs::rename(run, &kept).is_ok());
    moved.then_some(kept).ok_or_else(|| Failure::new("a run has left no folder", "report it"))
}

/// What ends a program.
enum Means {
    /// A signal, after which something may happen to its files; there are checkpoints of another run for that.
    Kill { foreign: PathBuf },
    /// A power cut.
    Power(Disk),
}

struct Trial<'a> {
    field: &'a Field,
    means: Means,
    began: Instant,
    /// The digest of a run that nobody disturbs, and how long it takes.
    whole: String,
    length: Duration,
    draws: Draws,
    tally: Tally,
    /// Whether a checkpoint of the run under way was exchanged or edited.
    is_tampered: bool,
    /// What has happened to the run under way, in words.
    history: Vec<String>,
}

/// What the store says of its newest run.
enum Latest {
    /// There is no store yet, or nothing in it.
    None,
    /// Its status and its digest.
    Run { name: String, status: String, digest: String },
    /// The store cannot be opened.
    Unopened(String),
}

impl<'a> Trial<'a> {
    fn new(field: &'a Field, seed: u64, means: Means) -> Result<Self, Failure> {
        let began = Instant::now();
        let whole = undisturbed(field, &["run", "tiny.yaml", "--json"])?;
        // The first run compiles the plugins; the second says how long one takes.
        let begun = Instant::now();
        let again = undisturbed(field, &["run", "tiny.yaml", "--json"])?;
        let length = begun.elapsed();
        if whole != again {
            return Err(Failure::new("two undisturbed runs have different digests", "report it"));
        }
        let (draws, tally, history) = (Draws::new(seed), Tally::default(), Vec::new());
        Ok(Self { field, means, began, whole, length, draws, tally, is_tampered: false, history })
    }

    /// Runs one after the other, until so many have been struck.
    fn all(mut self, kills: u64) -> Result<Self, Failure> {
        while self.tally.kills < kills {
            self.life(kills)?;
            let Tally { kills: done, ended, wrong, .. } = &self.tally;
            eprintln!("{done} of {kills}, {ended} runs ended, {} wrong", wrong.len());
        }
        Ok(self)
    }

    fn report(&self, what: &str, seed: u64) -> Result<(), Failure> {
        self.tally.report(what, seed, self.began.elapsed())
    }

    /// One run from its beginning to its end, with kills in between.
    fn life(&mut self, most: u64) -> Result<(), Failure> {
        clear(self.field);
        self.is_tampered = false;
        self.history.clear();
        let mut blows = 0;
        let mut resume = false;
        loop {
            let quiet = blows >= KILLS_OF_A_RUN || self.tally.kills >= most;
            let arguments: &[&str] = match resume {
                true => &["resume", "--redo-steps", "--json", "--threads", "1"],
                false => &["run", "tiny.yaml", "--no-reuse", "--json", "--threads", "1"],
            };
            let ended = if quiet {
                Some(self.quietly(arguments)?)
            } else {
                blows += 1;
                let mut blow = Blow::draw(&mut self.draws, self.length);
                if matches!(self.means, Means::Power(_)) {
                    blow.aftermath = Aftermath::Nothing;
                }
                self.history.push(format!("{}: {blow:?}", arguments[0]));
                self.strike(arguments, blow)?
            };
            self.history.extend(ended.iter().map(|said| said.trim_end().to_owned()));
            match self.latest()? {
                Latest::Unopened(why) => {
                    self.tally.unopened += 1;
                    self.tally.wrong.push(format!("the store cannot be opened: {why}"));
                    return Ok(());
                }
                Latest::None => resume = false,
                Latest::Run { status, digest, .. } if status == "done" => {
                    self.tally.ended += 1;
                    if digest != self.whole {
                        self.tally.mismatches += 1;
                        let kept = self.keep()?;
                        let what = format!("digest {digest} instead of {}", self.whole);
                        let history = self.history.join("\n    ");
                        self.tally.wrong.push(format!("{what}; {}\n    {history}", kept.display()));
                    }
                    return Ok(());
                }
                Latest::Run { name, .. } => {
                    let refused = ended.filter(|_| resume);
                    resume = match refused {
                        Some(said) => !self.may_begin_anew(&name, &said)?,
                        None => true,
                    };
                    if quiet && resume {
                        self.tally.stuck += 1;
                        self.tally.wrong.push(format!("run {name} does not end"));
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Puts the store and the checkpoints of a run that went wrong where they stay, and says where.
    fn keep(&self) -> Result<PathBuf, Failure> {
        let name = format!("r1x-crash-kept-{}-{}", std::process::id(), self.tally.ended);
        let kept = std::env::temp_dir().join(name);
        // It may lie on another disk than the temporary files.
        let mut copy = Command::new("cp");
        copy.arg("-a").args([&self.field.path("runs"), &kept]);
        copy.status().map_err(|error| told(&kept, &error))?;
        Ok(kept)
    }

    /// Whether a run that cannot go on had nothing to go on from.
    fn may_begin_anew(&mut self, name: &str, said: &str) -> Result<bool, Failure> {
        let none = said.contains("has no checkpoint");
        let beyond = said.contains("has not recorded the steps before it");
        let kept = checkpoints(&self.field.path("runs").join(name));
        // Checkpoints that were exchanged or edited serve nobody.
        let refused =
            said.contains("changed") || said.contains("another run") || said.contains("recorded");
        // What another run has left in the place of a checkpoint that was not recorded yet is nobody's.
        if none && (beyond || refused || self.is_tampered || kept.is_empty()) {
            self.tally.anew += 1;
            return Ok(true);
        }
        self.tally.stuck += 1;
        self.tally.wrong.push(format!("{} checkpoints on disk, and: {said}", kept.len()));
        Ok(none)
    }

    /// Lets a command end by itself and returns what it said.
    fn quietly(&self, arguments: &[&str]) -> Result<String, Failure> {
        Ok(String::from_utf8_lossy(&self.field.output(arguments)?.stderr).into_owned())
    }

    /// Starts a command and kills it; what it said, if it ended before.
    fn strike(&mut self, arguments: &[&str], blow: Blow) -> Result<Option<String>, Failure> {
        let errors = self.field.path("errors");
        let file = fs::File::create(&errors).map_err(|error| told(&errors, &error))?;
        let mut child =
            self.field.command(arguments).stdout(Stdio::null()).stderr(file).spawn().map_err(
                |error| Failure::new(format!("r1x does not start: {error}"), "build it"),
            )?;
        let killed = self.wait_and_kill(&mut child, blow.kill)?;
        let _ = child.wait();
        if !killed {
            return Ok(Some(fs::read_to_string(&errors).unwrap_or_default()));
        }
        self.tally.kills += 1;
        // Whoever opens the store next changes what its log says about itself.
        let loose = Loose::of(&self.field.path(STORE));
        self.verify()?;
        self.aftermath(blow.aftermath, loose)?;
        Ok(None)
    }

    /// Waits for the instant; false when the program has ended before.
    fn wait_and_kill(&mut self, child: &mut Child, kill: Kill) -> Result<bool, Failure> {
        let began = Instant::now();
        let store = self.field.path(STORE);
        let before = stamp(&store);
        let runs = self.field.path("runs");
        let mut instant = None;
        let (mut seen, mut writing) = (0, false);
        loop {
            if !matches!(child.try_wait(), Ok(None)) {
                return Ok(false);
            }
            if instant.is_none() {
                instant = match kill {
                    Kill::After(after) => Some(began + after),
                    Kill::InMigrations(after) => {
                        (stamp(&store) != before).then(|| Instant::now() + after)
                    }
                    Kill::InCheckpoint { nth, after } => {
                        let now = is_writing(&runs);
                        let begins = now && !writing;
                        writing = now;
                        seen += u64::from(begins);
                        (begins && seen > nth).then(|| Instant::now() + after)
                    }
                };
            }
            if instant.is_some_and(|instant| Instant::now() >= instant) {
                let (migrating, saving) = (!store.exists() || is_new(&store), is_writing(&runs));
                self.tally.in_migrations += u64::from(migrating);
                self.tally.in_checkpoints += u64::from(saving);
                return match &mut self.means {
                    Means::Kill { .. } => Ok(child.kill().is_ok()),
                    Means::Power(disk) => disk.cut(child).map(|()| true),
                };
            }
            sleep(LOOK_EVERY);
        }
    }

    /// Compares the store, and the checkpoints that it knows, with what was written, unless the trial has changed one.
    fn verify(&mut self) -> Result<(), Failure> {
        if self.is_tampered {
            return Ok(());
        }
        let output = self.field.output(&["store", "verify"])?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        if said.contains("there is no store") {
            return Ok(());
        }
        self.tally.verified += 1;
        if !output.status.success() {
            self.tally.flawed += 1;
            self.tally.wrong.push(format!("after a kill: {said}"));
        }
        Ok(())
    }

    fn aftermath(&mut self, what: Aftermath, loose: Option<Loose>) -> Result<(), Failure> {
        match what {
            Aftermath::Nothing => {}
            Aftermath::LogCut(hundredths) => {
                let Some(loose) = loose else { return Ok(()) };
                let store = self.field.path(STORE);
                let cut = loose.take(hundredths).map_err(|error| told(&store, &error))?;
                self.tally.logs_cut += u64::from(cut);
                self.history.push(format!("{loose:?} was cut: {cut}"));
            }
            Aftermath::Foreign => {
                self.is_tampered = true;
                self.tally.exchanged += u64::from(self.exchange());
            }
            Aftermath::Edited => {
                self.is_tampered = true;
                self.tally.edited += u64::from(self.edit());
            }
        }
        Ok(())
    }

    /// The newest checkpoint of the newest run.
    fn newest(&self) -> Option<PathBuf> {
        let Ok(Latest::Run { name, .. }) = self.latest() else { return None };
        checkpoints(&self.field.path("runs").join(name)).pop()
    }

    /// Puts the files of another run's checkpoint into the place of the newest.
    fn exchange(&self) -> bool {
        let Some(newest) = self.newest() else { return false };
        let mut parts = newest.components().rev().map(|part| part.as_os_str().to_owned());
        let (Some(name), Some(stage)) = (parts.next(), parts.next()) else { return false };
        let Means::Kill { foreign } = &self.means else { return false };
        let theirs = foreign.join(stage).join(name);
        let files = ["model.safetensors", "optimizer.safetensors", "state.json"];
        files.iter().all(|file| fs::copy(theirs.join(file), newest.join(file)).is_ok())
    }

    /// Makes the newest checkpoint say that it is one step further.
    fn edit(&self) -> bool {
        let Some(state) = self.newest().map(|newest| newest.join("state.json")) else {
            return false;
        };
        let read = fs::read(&state).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let Some(mut json): Option<Value> = read else { return false };
        let step = json["cursor"]["step"].as_u64().unwrap_or(0);
        json["cursor"]["step"] = (step + 1).into();
        fs::write(&state, json.to_string()).is_ok()
    }

    fn latest(&self) -> Result<Latest, Failure> {
        let output = self.field.output(&["ls", "--json"])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() == Some(4) && said.contains("there is no store") {
            return Ok(Latest::None);
        }
        if !output.status.success() {
            return Ok(Latest::Unopened(said));
        }
        let runs: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let text = |key: &str| runs[0][key].as_str().unwrap_or_default().to_owned();
        Ok(match runs.as_array().is_some_and(|runs| !runs.is_empty()) {
            true => {
                Latest::Run { name: text("name"), status: text("status"), digest: text("digest") }
            }
            false => Latest::None,
        })
    }
}

fn told(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{}: {error}", path.display()), "is there space on the disk?")
}

/// Length and time of change, which tell that a file was written to.
fn stamp(path: &Path) -> Option<(u64, Option<std::time::SystemTime>)> {
    fs::metadata(path).ok().map(|meta| (meta.len(), meta.modified().ok()))
}

/// A store of so few bytes has no tables yet.
fn is_new(store: &Path) -> bool {
    fs::metadata(store).is_ok_and(|meta| meta.len() <= 4096)
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Whether a checkpoint of any run is being written, or takes its name.
fn is_writing(runs: &Path) -> bool {
    let passing =
        |path: &PathBuf| path.extension().is_some_and(|end| end == "partial" || end == "replaced");
    below(runs).iter().flat_map(|run| below(run)).any(|stage| below(&stage).iter().any(passing))
}

/// Whole checkpoints of a run, the oldest first.
fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let whole = |path: &PathBuf| path.extension().is_none() && path.join("state.json").is_file();
    let mut found: Vec<_> =
        below(run).iter().flat_map(|stage| below(stage)).filter(whole).collect();
    let age = |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    found.sort_by_key(age);
    found
}
