//! One instance of a plugin: started, configured, asked, thrown away.
//!
//! Turns everything that can happen inside a guest into [`Failure`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use r1x_core::RewardStatus;
use r1x_core::plan::LimitsPlan;
use wasmtime::{Engine, Store, Trap};

use crate::abi::{Guest, Linked};
use crate::carried::Carried;
use crate::contract::{Answer, CallLog, GuestError, LogLevel, PluginInfo, Question};
use crate::error::CONFIGURATION_HINT;
use crate::grants::Grants;
use crate::limits::{
    Limiter, MAX_COMPONENT_HANDLES, MAX_RETURNED_BYTES, MAX_TABLE_ROWS, Ticker, ticks,
};
use crate::sandbox;
use crate::state::State;
use crate::wasi::System;

/// How wasmtime words that a guest handed over too much; there is no type to ask for.
const HOSTCALL_FUEL: &str = "fuel allocated for hostcalls";

/// How a call into a guest can fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The deadline passed.
    Timeout { deadline: Duration },
    /// It asked for more memory than it may have.
    Memory { limit_bytes: u64 },
    /// It asked for more table rows than it may have.
    Table,
    /// Its work cost more than it may.
    Fuel { limit: u64 },
    /// It handed more data to the host than it may.
    Returned,
    /// Programs that it had run handed over more than they may; the limit in words.
    Programs { told: String },
    /// It trapped; the reason in words, and its last message if there was one.
    Trap { reason: String, last_message: Option<String> },
    /// It returned an error.
    Refused(GuestError),
    /// It returned another number of scores than rollouts.
    WrongLength { scores: usize, rollouts: usize },
}

impl Failure {
    /// The outcome's status.
    pub(crate) fn status(&self) -> RewardStatus {
        match self {
            Failure::Timeout { .. } | Failure::Fuel { .. } => RewardStatus::Timeout,
            Failure::WrongLength { .. } => RewardStatus::Invalid,
            Failure::Memory { .. }
            | Failure::Table
            | Failure::Returned
            | Failure::Programs { .. }
            | Failure::Trap { .. }
            | Failure::Refused(_) => RewardStatus::Trap,
        }
    }

    /// What happened, naming the limit where there is one.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Failure::Timeout { deadline } => {
                format!("no answer in {} ms (limits.time_ms)", deadline.as_millis())
            }
            Failure::Memory { limit_bytes } => {
                format!("wanted more memory than {limit_bytes} bytes (limits.memory_bytes)")
            }
            Failure::Table => format!("wanted more than {MAX_TABLE_ROWS} rows in its tables"),
            Failure::Fuel { limit } => {
                format!("no answer within {limit} units of work (limits.fuel)")
            }
            Failure::Returned => {
                format!("handed over more than {} MiB in one call", MAX_RETURNED_BYTES >> 20)
            }
            Failure::Programs { told } => told.clone(),
            Failure::Trap { reason, last_message: None } => format!("trapped: {reason}"),
            Failure::Trap { reason, last_message: Some(message) } => {
                format!("trapped: {reason}; its last message: {message}")
            }
            Failure::Refused(GuestError::BadConfig(reason)) => {
                format!("refused its configuration: {reason}")
            }
            Failure::Refused(GuestError::BadRollout { reason, .. }) => {
                format!("cannot judge this rollout: {reason}")
            }
            Failure::Refused(GuestError::Other(reason)) => format!("returned an error: {reason}"),
            Failure::WrongLength { scores, rollouts } => {
                format!(
                    "returned {} for {}",
                    counted(*scores, "score"),
                    counted(*rollouts, "rollout")
                )
            }
        }
    }

    /// How to mend it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Failure::Timeout { .. } => {
                "raise the reward's time limits if the plugin is right, or set on_failure to mask or zero"
            }
            Failure::Memory { .. } => {
                "raise the reward's memory limit if the plugin is right, or set on_failure to mask or zero"
            }
            Failure::Fuel { .. } => {
                "raise the reward's limits.fuel if the plugin is right; `r1x plugin bench` tells what a rollout costs"
            }
            Failure::Table => {
                "a reward needs no tables of that size: look for calls through functions made at run time"
            }
            Failure::Returned => "shorten what the plugin writes into parts and info",
            Failure::Programs { .. } => "have programs print less, or fewer of them run",
            Failure::Refused(GuestError::BadConfig(_)) => CONFIGURATION_HINT,
            Failure::WrongLength { .. } => {
                "return one score for each rollout, in their order: without that nobody knows which score is \
                 whose, so the whole call is refused"
            }
            Failure::Trap { .. } | Failure::Refused(_) => {
                "mend the plugin, or set on_failure to mask or zero"
            }
        }
    }

    /// Whether a limit on the whole call ended it, which fewer rollouts may well keep.
    pub(crate) fn is_of_size(&self) -> bool {
        match self {
            Failure::Timeout { .. }
            | Failure::Memory { .. }
            | Failure::Table
            | Failure::Fuel { .. }
            | Failure::Programs { .. }
            | Failure::Returned => true,
            Failure::Trap { .. } | Failure::Refused(_) | Failure::WrongLength { .. } => false,
        }
    }
}

/// A number of things, in words that fit one of them too.
pub(crate) fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A running instance.
pub(crate) struct Instance<'a> {
    store: Store<State>,
    guest: Guest,
    ticker: &'a Ticker,
    limits: LimitsPlan,
}

impl<'a> Instance<'a> {
    /// Starts an instance with what it is granted; `configure` has not been called.
    pub(crate) fn start(
        linked: &Linked,
        ticker: &'a Ticker,
        limits: &LimitsPlan,
        (grants, carried): (&Grants, &Carried),
    ) -> Result<Self, Failure> {
        let mut store = store(linked.engine(), limits, (grants, carried));
        let deadline = Duration::from_millis(limits.time_ms);
        store.set_epoch_deadline(ticks(deadline));
        let started = {
            let _running = ticker.running();
            linked.instantiate(&mut store)
        };
        match started {
            Ok(guest) => Ok(Self { store, guest, ticker, limits: limits.clone() }),
            Err(error) => Err(explain(&error, &mut store, deadline, limits)),
        }
    }

    /// Calls a function without parameters that returns bytes and texts, or a refusal, in an instance of its own.
    pub(crate) fn prepare(
        linked: &Linked,
        ticker: &Ticker,
        limits: &LimitsPlan,
        given: (&Grants, &Carried),
        function: &str,
    ) -> Result<Result<(Vec<u8>, Vec<String>), String>, Failure> {
        let mut store = store(linked.engine(), limits, given);
        let deadline = Duration::from_millis(limits.time_ms);
        store.set_epoch_deadline(ticks(deadline));
        let _running = ticker.running();
        let called = linked.instance_pre().instantiate(&mut store).and_then(|instance| {
            let function = instance.get_typed_func(&mut store, function)?;
            function.call(&mut store, ())
        });
        let called: wasmtime::Result<(Result<(Vec<u8>, Vec<String>), String>,)> = called;
        let (answer,) = called.map_err(|error| explain(&error, &mut store, deadline, limits))?;
        Ok(answer)
    }

    /// Calls `info`.
    pub(crate) fn info(&mut self) -> Result<PluginInfo, Failure> {
        self.call(1, 0, Guest::info)
    }

    /// Calls `configure`, with `patience` times the usual deadline.
    pub(crate) fn configure(&mut self, config_json: &str, patience: u32) -> Result<(), Failure> {
        self.call(patience, 0, |guest, store| guest.configure(store, config_json))?
            .map_err(Failure::Refused)
    }

    /// Calls `score-batch`, with `patience` times the usual deadline.
    pub(crate) fn score(
        &mut self,
        batch: &[Question<'_>],
        patience: u32,
    ) -> Result<Vec<Answer>, Failure> {
        let scored =
            self.call(patience, batch.len(), |guest, store| guest.score_batch(store, batch))?;
        match scored {
            Err(refusal) => Err(Failure::Refused(refusal)),
            Ok(answers) if answers.len() != batch.len() => {
                Err(Failure::WrongLength { scores: answers.len(), rollouts: batch.len() })
            }
            Ok(answers) => Ok(answers),
        }
    }

    /// Units of work since the last call began; `None` when they are not counted.
    pub(crate) fn fuel_used(&self) -> Option<u64> {
        let left = self.store.get_fuel().ok()?;
        self.limits.fuel.map(|fuel| fuel.saturating_sub(left))
    }

    /// The most linear memory it ever had, bytes.
    pub(crate) fn memory_used(&self) -> usize {
        self.store.data().limiter.memory_used()
    }

    /// The messages since the last time they were taken.
    pub(crate) fn take_log(&mut self) -> CallLog {
        self.store.data_mut().system.take_log()
    }

    fn call<T>(
        &mut self,
        patience: u32,
        rollouts: usize,
        function: impl FnOnce(&Guest, &mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<T, Failure> {
        let deadline = deadline(&self.limits, rollouts).saturating_mul(patience);
        self.store.set_epoch_deadline(ticks(deadline));
        refuel(&mut self.store, &self.limits);
        let state = self.store.data_mut();
        (state.capability_calls, state.ends) = (0, Instant::now().checked_add(deadline));
        let _running = self.ticker.running();
        function(&self.guest, &mut self.store)
            .map_err(|error| explain(&error, &mut self.store, deadline, &self.limits))
    }
}

/// The host's side of a new instance.
fn store(
    engine: &Engine,
    limits: &LimitsPlan,
    (grants, carried): (&Grants, &Carried),
) -> Store<State> {
    let state = State {
        limiter: Limiter::new(limits.memory_bytes),
        grants: grants.clone(),
        assets: Arc::clone(&carried.assets),
        system: System::with_files(Arc::clone(&carried.files)),
        ..State::default()
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(MAX_RETURNED_BYTES);
    store.set_max_component_handles(MAX_COMPONENT_HANDLES);
    refuel(&mut store, limits);
    store
}

/// Gives a metered instance what it may use in its next call. An engine that does not meter refuses, which is
/// what `None` asks for.
fn refuel(store: &mut Store<State>, limits: &LimitsPlan) {
    if let Some(fuel) = limits.fuel {
        let metered = store.set_fuel(fuel);
        debug_assert!(metered.is_ok(), "a limit on fuel needs the metering engine");
    }
}

/// The time a call with so many rollouts may take.
pub(crate) fn deadline(limits: &LimitsPlan, rollouts: usize) -> Duration {
    let rollouts = u64::try_from(rollouts).unwrap_or(u64::MAX);
    let share = limits.time_per_rollout_ms.saturating_mul(rollouts);
    Duration::from_millis(limits.time_ms.saturating_add(share))
}

pub(crate) fn explain(
    error: &wasmtime::Error,
    store: &mut Store<State>,
    deadline: Duration,
    limits: &LimitsPlan,
) -> Failure {
    let trap = error.downcast_ref::<Trap>();
    let state = store.data_mut();
    state.system.flush();
    if trap == Some(&Trap::Interrupt) {
        return Failure::Timeout { deadline };
    }
    if trap == Some(&Trap::OutOfFuel) {
        return Failure::Fuel { limit: limits.fuel.unwrap_or_default() };
    }
    if state.limiter.memory_denied() {
        return Failure::Memory { limit_bytes: limits.memory_bytes };
    }
    if state.limiter.table_denied() {
        return Failure::Table;
    }
    if trap.is_none() && error.root_cause().to_string().contains(HOSTCALL_FUEL) {
        return Failure::Returned;
    }
    if let Some(told) = error.downcast_ref::<sandbox::TooMuch>() {
        return Failure::Programs { told: told.to_string() };
    }
    let reason = match trap {
        // Rust and C guests keep a stack of their own in linear memory and run off its end.
        Some(Trap::MemoryOutOfBounds) => {
            "memory access out of bounds, or a stack overflow".to_owned()
        }
        Some(Trap::StackOverflow) => "stack overflow".to_owned(),
        Some(Trap::UnreachableCodeReached) => "it gave up (unreachable)".to_owned(),
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    let warnings = state.system.log.lines.iter().rev().filter(|line| line.level == LogLevel::Warn);
    let last_message = warnings.map(|line| line.message.clone()).next();
    Failure::Trap { reason, last_message }
}
