//! Programs that a model wrote, run in sandboxes of their own: an interpreter is a component without imports
//! but the deterministic system, and every program gets an instance nobody used before.
//!
//! Work is counted, not timed, so that a program is cut at the same place on every machine. What is expected of a
//! program never comes here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wasmtime::component::{ComponentType, InstancePre, Lift, Linker, Lower, TypedFunc};
use wasmtime::{Store, Trap};

use crate::compile::Kind;
use crate::engines::Engines;
use crate::error::{Fault, RewardError};
use crate::limits::{Limiter, MAX_COMPONENT_HANDLES, ticks};
use crate::wasi::{self, Exited, System, WithSystem};

/// Units of work in a nominal millisecond.
const UNITS_PER_MS: u64 = 5_000_000;
/// A sandbox that is counted cannot hang, but a machine can be so slow that nobody would wait: this much more
/// than the nominal time ends it too.
const PATIENCE: u32 = 50;
/// Most that one run may take.
const MAX_TIME_MS: u32 = 600_000;
const MAX_MEMORY_BYTES: u64 = 4 << 30;
/// What a sandbox may have of them in any case: that is what an interpreter usually gets. More is given up to the limit
/// of the reward that asks for it.
pub(crate) const USUAL_MEMORY_BYTES: u64 = 256 << 20;
/// Most runs in one batch.
const MAX_RUNS: usize = 100_000;
/// Most bytes a program may hand over in one run.
const MAX_OUTPUT_BYTES: usize = 4 << 20;
/// Most bytes that all runs of a batch may hand over together: the host holds them until the last run has ended.
const MAX_BATCH_OUTPUT_BYTES: usize = 64 << 20;
/// Stack of a thread that runs programs, bytes: the guest's share and as much again for the host.
const THREAD_STACK_BYTES: usize = 4 << 20;
/// How wasmtime words that a guest handed over too much; there is no type to ask for.
const HOSTCALL_FUEL: &str = "fuel allocated for hostcalls";

/// What a program is given in one run.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Input {
    function: Option<String>,
    text: String,
}

/// A program, its runs, and what each of them may use.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Job {
    language: String,
    code: String,
    inputs: Vec<Input>,
    #[component(name = "time-ms")]
    time_ms: u32,
    #[component(name = "memory-bytes")]
    memory_bytes: u64,
}

/// The end of a program that ended itself.
#[derive(Clone, Debug, PartialEq, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Exit {
    status: i32,
    output: String,
}

/// How one run ended.
#[derive(Clone, Debug, PartialEq, ComponentType, Lower)]
#[component(variant)]
pub(crate) enum Outcome {
    #[component(name = "ok")]
    Ok(String),
    #[component(name = "failed")]
    Failed(String),
    #[component(name = "exited")]
    Exited(Exit),
    #[component(name = "timed-out")]
    TimedOut,
    #[component(name = "out-of-memory")]
    OutOfMemory,
    #[component(name = "crashed")]
    Crashed(String),
    #[component(name = "unsupported-import")]
    UnsupportedImport(String),
}

impl Outcome {
    /// Bytes that the host holds for it.
    fn bytes(&self) -> usize {
        let text = match self {
            Outcome::Ok(text)
            | Outcome::Failed(text)
            | Outcome::Crashed(text)
            | Outcome::UnsupportedImport(text) => text,
            Outcome::Exited(exit) => &exit.output,
            Outcome::TimedOut | Outcome::OutOfMemory => return size_of::<Self>(),
        };
        size_of::<Self>() + text.len()
    }
}

/// The end of a guest that had programs hand over too much at once.
#[derive(Debug, thiserror::Error)]
#[error("the programs of one batch hand over more than {} MiB", MAX_BATCH_OUTPUT_BYTES >> 20)]
pub(crate) struct TooMuch;

/// Interpreters by the word of their language, and how many threads run them. Clones share everything.
#[derive(Clone)]
pub struct Exec(Arc<Inner>);

struct Inner {
    engines: Arc<Engines>,
    /// Threads that run programs.
    workers: usize,
    languages: BTreeMap<String, InstancePre<Program>>,
}

/// The host's side of one instance of an interpreter: it is granted nothing, and nobody reads what it logs.
#[derive(Default)]
struct Program {
    limiter: Limiter,
    system: System,
}

impl WithSystem for Program {
    fn system(&self) -> &System {
        &self.system
    }

    fn system_mut(&mut self) -> &mut System {
        &mut self.system
    }
}

impl Exec {
    /// Loads interpreters: components of the world `interpreter`, by the word of their language.
    ///
    /// # Errors
    /// When one of them is none.
    pub(crate) fn new(
        engines: Arc<Engines>,
        workers: usize,
        languages: &[(&str, &[u8])],
    ) -> Result<Self, RewardError> {
        let mut loaded = BTreeMap::new();
        for (language, bytes) in languages {
            let pre =
                prepare(&engines, bytes).map_err(|fault| RewardError::new(*language, fault))?;
            loaded.insert((*language).to_owned(), pre);
        }
        Ok(Self(Arc::new(Inner { engines, workers, languages: loaded })))
    }
}

fn prepare(engines: &Engines, bytes: &[u8]) -> Result<InstancePre<Program>, Fault> {
    let engine = engines.of(Kind::Metered);
    let (component, _) = engines.compile(Kind::Metered, bytes)?;
    for (name, _) in component.component_type().imports(engine) {
        if !wasi::is_offered(name) {
            return Err(Fault::UnknownImport(name.to_owned()));
        }
    }
    if component.get_export_index(None, "run").is_none() {
        let exports: Vec<String> =
            component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect();
        let exports = if exports.is_empty() { "none".to_owned() } else { exports.join(", ") };
        return Err(Fault::WrongExports { missing: "run".to_owned(), exports });
    }
    let mut linker = Linker::new(engine);
    let linked = wasi::link(&mut linker, engine, &component);
    linked
        .and_then(|()| linker.instantiate_pre(&component))
        .map_err(|error| Fault::WrongTypes(format!("{error:#}")))
}

/// Why there are no outcomes.
pub(crate) enum Refusal {
    /// The runs together hand over more than the host holds.
    TooMuch,
    /// Anything else, in words for the guest.
    Told(String),
}

impl From<String> for Refusal {
    fn from(sentence: String) -> Self {
        Self::Told(sentence)
    }
}

impl Exec {
    /// Runs jobs on the threads of the host; outcomes come back in the order of the jobs, and none depends on
    /// how many threads there are. A sandbox gets no more memory than `most_bytes`.
    pub(crate) fn run(&self, jobs: &[Job], most_bytes: u64) -> Result<Vec<Vec<Outcome>>, Refusal> {
        self.check(jobs)?;
        let threads = self.0.workers.min(jobs.len());
        let next = AtomicUsize::new(0);
        let held = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                // The sum is the same in every order, so whether it is too much does not depend on threads.
                let spent = held.load(Ordering::Relaxed) > MAX_BATCH_OUTPUT_BYTES;
                let Some(job) = jobs.get(index).filter(|_| !spent) else { return done };
                done.push((index, self.job(job, most_bytes, &held)));
            }
        };
        let results = std::thread::scope(|scope| {
            // All of them start before any is waited for.
            let spawned: Result<Vec<_>, _> = (0..threads)
                .map(|_| {
                    std::thread::Builder::new()
                        .name("r1x-exec".to_owned())
                        .stack_size(THREAD_STACK_BYTES)
                        .spawn_scoped(scope, work)
                })
                .collect();
            let mut results = Vec::with_capacity(jobs.len());
            for thread in spawned.map_err(|error| format!("cannot start a thread: {error}"))? {
                results.extend(thread.join().map_err(|_| "a thread ended with a panic")?);
            }
            Ok::<_, String>(results)
        });
        let mut results = results?;
        if held.into_inner() > MAX_BATCH_OUTPUT_BYTES {
            return Err(Refusal::TooMuch);
        }
        results.sort_by_key(|(index, _)| *index);
        Ok(results.into_iter().map(|(_, outcomes)| outcomes).collect())
    }

    fn check(&self, jobs: &[Job]) -> Result<(), String> {
        if jobs.iter().map(|job| job.inputs.len()).sum::<usize>() > MAX_RUNS {
            return Err(format!("more than {MAX_RUNS} runs in one batch"));
        }
        for job in jobs {
            if !self.0.languages.contains_key(&job.language) {
                let known: Vec<&str> = self.0.languages.keys().map(String::as_str).collect();
                let (language, known) = (&job.language, known.join(", "));
                return Err(format!("`{language}` cannot be run here; there are: {known}"));
            }
            if !(1..=MAX_TIME_MS).contains(&job.time_ms) {
                return Err(format!(
                    "time-ms must be from 1 to {MAX_TIME_MS}, not {}",
                    job.time_ms
                ));
            }
            if job.memory_bytes > MAX_MEMORY_BYTES {
                return Err(format!("memory-bytes must be at most {MAX_MEMORY_BYTES}"));
            }
        }
        Ok(())
    }

    fn job(&self, job: &Job, most_bytes: u64, held: &AtomicUsize) -> Vec<Outcome> {
        let Some(pre) = self.0.languages.get(&job.language) else { return Vec::new() };
        let mut sandbox = None;
        let mut outcomes = Vec::with_capacity(job.inputs.len());
        for input in &job.inputs {
            if held.load(Ordering::Relaxed) > MAX_BATCH_OUTPUT_BYTES {
                break;
            }
            let usable = match sandbox.take() {
                Some(sandbox) => Ok(sandbox),
                None => Sandbox::start(&self.0.engines, pre, job, most_bytes),
            };
            let outcome = match usable {
                Err(outcome) => outcome,
                Ok(mut used) => {
                    let outcome = used.run(&self.0.engines, job, input);
                    // Whatever did not end by itself may have left anything behind.
                    let whole = matches!(outcome, Outcome::Ok(_)) && !used.denied();
                    sandbox = whole.then_some(used);
                    outcome
                }
            };
            held.fetch_add(outcome.bytes(), Ordering::Relaxed);
            outcomes.push(outcome);
        }
        outcomes
    }
}

type Run = TypedFunc<(String, Option<String>, String), ((String, i32, String),)>;

/// An interpreter nobody else uses.
struct Sandbox {
    store: Store<Program>,
    run: Run,
}

impl Sandbox {
    fn start(
        engines: &Engines,
        pre: &InstancePre<Program>,
        job: &Job,
        most_bytes: u64,
    ) -> Result<Self, Outcome> {
        let limiter = Limiter::new(job.memory_bytes.min(most_bytes));
        let program = Program { limiter, ..Program::default() };
        let mut store = Store::new(pre.engine(), program);
        store.limiter(|program| &mut program.limiter);
        store.set_max_component_handles(MAX_COMPONENT_HANDLES);
        arm(&mut store, job).map_err(|error| Outcome::Crashed(error.to_string()))?;
        let _running = engines.ticker().running();
        let started = pre.instantiate(&mut store).and_then(|instance| {
            instance.get_typed_func::<_, ((String, i32, String),)>(&mut store, "run")
        });
        match started {
            Ok(run) => Ok(Self { store, run }),
            Err(error) => Err(explain(&error, &store)),
        }
    }

    fn run(&mut self, engines: &Engines, job: &Job, input: &Input) -> Outcome {
        if let Err(error) = arm(&mut self.store, job) {
            return Outcome::Crashed(error.to_string());
        }
        let arguments = (job.code.clone(), input.function.clone(), input.text.clone());
        let _running = engines.ticker().running();
        match self.run.call(&mut self.store, arguments) {
            Ok(((word, status, text),)) => self.told(&word, status, text),
            Err(error) => explain(&error, &self.store),
        }
    }

    fn told(&self, word: &str, status: i32, text: String) -> Outcome {
        match word {
            "ok" => Outcome::Ok(text),
            "exit" => Outcome::Exited(Exit { status, output: text }),
            "import" => Outcome::UnsupportedImport(text),
            // An exception for want of memory is about memory.
            "failed" if self.denied() => Outcome::OutOfMemory,
            "failed" => Outcome::Failed(text),
            other => Outcome::Crashed(format!("the interpreter said `{}`", other.escape_debug())),
        }
    }

    fn denied(&self) -> bool {
        self.store.data().limiter.memory_denied()
    }
}

/// Gives an instance what it may use in its next run.
fn arm(store: &mut Store<Program>, job: &Job) -> wasmtime::Result<()> {
    store.set_fuel(u64::from(job.time_ms) * UNITS_PER_MS)?;
    let nominal = Duration::from_millis(u64::from(job.time_ms)) + Duration::from_secs(1);
    store.set_epoch_deadline(ticks(nominal * PATIENCE));
    store.set_hostcall_fuel(MAX_OUTPUT_BYTES);
    Ok(())
}

fn explain(error: &wasmtime::Error, store: &Store<Program>) -> Outcome {
    let trap = error.downcast_ref::<Trap>();
    if matches!(trap, Some(Trap::OutOfFuel | Trap::Interrupt)) {
        return Outcome::TimedOut;
    }
    if store.data().limiter.memory_denied() {
        return Outcome::OutOfMemory;
    }
    if let Some(exited) = error.downcast_ref::<Exited>() {
        return Outcome::Exited(Exit { status: i32::from(exited.0), output: String::new() });
    }
    let reason = error.root_cause().to_string();
    if trap.is_none() && reason.contains(HOSTCALL_FUEL) {
        let most = MAX_OUTPUT_BYTES >> 20;
        return Outcome::Failed(format!("its output is longer than {most} MiB"));
    }
    Outcome::Crashed(match trap {
        Some(Trap::StackOverflow) => "stack overflow".to_owned(),
        Some(Trap::UnreachableCodeReached) => "it gave up (unreachable)".to_owned(),
        Some(trap) => trap.to_string(),
        None => reason,
    })
}
