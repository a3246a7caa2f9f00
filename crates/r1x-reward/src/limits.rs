//! What a guest may use: memory, time, and the sizes of what it says.
//!
//! Deadlines are counted in ticks of the engine's epoch; one thread advances it, and only while a guest runs.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Engine, ResourceLimiter};

/// Length of a tick. A deadline is exact to about two of them.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Messages kept of one call.
pub(crate) const MAX_LOG_LINES: usize = 100;
/// Bytes kept of one message.
pub(crate) const MAX_LOG_BYTES: usize = 4096;
/// Bytes kept of a score's `info`.
pub(crate) const MAX_INFO_BYTES: usize = 4096;
/// Messages kept of one reward in a step; a batch whose calls fail one by one has many calls.
pub(crate) const MAX_STEP_LINES: usize = 1000;
/// Most names in each list of a plugin's `info`.
pub(crate) const MAX_NAMES: usize = 100;
/// Most bytes of a name or a version in a plugin's `info`.
pub(crate) const MAX_NAME_BYTES: usize = 256;
/// Most bytes of the description and of the schema in a plugin's `info`.
pub(crate) const MAX_ABOUT_BYTES: usize = 256 << 10;
/// The largest reward, positive or negative. Sums and squares of so much stay far from the end of 32-bit numbers,
/// in which gradients are computed.
pub(crate) const MAX_REWARD: f64 = 1e9;
/// The largest part, positive or negative. Parts are recorded and averaged.
pub(crate) const MAX_PART: f64 = 1e15;
/// Handles to what the host or the guest itself keeps that an instance may hold at a time.
pub(crate) const MAX_COMPONENT_HANDLES: usize = 10_000;
/// Deepest stack of WebAssembly frames, bytes.
pub(crate) const MAX_STACK_BYTES: usize = 1 << 20;
/// Most bytes a guest may hand to the host in one call.
pub(crate) const MAX_RETURNED_BYTES: usize = 32 << 20;
/// Most rows of all tables of an instance together.
pub(crate) const MAX_TABLE_ROWS: usize = 100_000;
/// A component holds a few core instances, memories and tables; adapters for other languages hold more.
const MAX_INSTANCES: usize = 64;

/// Refuses growth beyond the limits, and remembers that it did: the guest's own reaction is usually a bare
/// `unreachable`, which would tell nobody why.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    memory_limit: usize,
    memory_used: usize,
    table_rows: usize,
    memory_denied: bool,
    table_denied: bool,
}

impl Limiter {
    /// A limit on all linear memories of an instance together.
    pub(crate) fn new(memory_bytes: u64) -> Self {
        let memory_limit = usize::try_from(memory_bytes).unwrap_or(usize::MAX);
        Self { memory_limit, ..Self::default() }
    }

    /// The limit on memory, bytes.
    pub(crate) fn limit_bytes(&self) -> u64 {
        self.memory_limit as u64
    }

    /// Whether the guest asked for more memory than it may have.
    pub(crate) fn memory_denied(&self) -> bool {
        self.memory_denied
    }

    /// Whether the guest asked for more table rows than it may have.
    pub(crate) fn table_denied(&self) -> bool {
        self.table_denied
    }

    /// Bytes of all linear memories. They never shrink, so this is the most there ever was.
    pub(crate) fn memory_used(&self) -> usize {
        self.memory_used
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory_used.saturating_add(desired.saturating_sub(current));
        if total > self.memory_limit {
            self.memory_denied = true;
            return Ok(false);
        }
        self.memory_used = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.table_rows.saturating_add(desired.saturating_sub(current));
        if total > MAX_TABLE_ROWS {
            self.table_denied = true;
            return Ok(false);
        }
        self.table_rows = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_INSTANCES
    }
}

/// A deadline as ticks of the epoch, counted from the current one. The tick under way counts for nothing.
pub(crate) fn ticks(deadline: Duration) -> u64 {
    let ticks = deadline.as_millis().div_ceil(TICK.as_millis());
    u64::try_from(ticks).unwrap_or(u64::MAX / 2).min(u64::MAX / 2) + 1
}

/// The thread that advances the epochs of the engines. It ends when this value is dropped.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<TickerState>,
    wake: Condvar,
}

#[derive(Default)]
struct TickerState {
    running: usize,
    stop: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, TickerState> {
        // Nothing that holds this lock can leave the two fields in disagreement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advance(&self, engines: &[Engine]) {
        let mut state = self.lock();
        while !state.stop {
            if state.running == 0 {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.wake.wait_timeout(state, TICK);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if timeout.timed_out() {
                engines.iter().for_each(Engine::increment_epoch);
            }
        }
    }
}

impl Ticker {
    /// Starts the thread.
    pub(crate) fn start(engines: &[Engine]) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), wake: Condvar::new() });
        let (theirs, engines) = (Arc::clone(&shared), engines.to_vec());
        let thread = std::thread::Builder::new()
            .name("r1x-epoch".to_owned())
            .spawn(move || theirs.advance(&engines))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Time passes while the result lives.
    pub(crate) fn running(&self) -> Running<'_> {
        let mut state = self.shared.lock();
        state.running += 1;
        // Later calls find the thread awake: waking it again would restart the tick under way.
        if state.running == 1 {
            self.shared.wake.notify_one();
        }
        Running { shared: &self.shared }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has been reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

/// While one of these lives, the epoch advances.
pub(crate) struct Running<'a> {
    shared: &'a Shared,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.shared.lock().running -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_over_all_memories() {
        let mut limiter = Limiter::new(300);
        assert!(limiter.memory_growing(0, 100, None).unwrap());
        assert!(limiter.memory_growing(0, 200, None).unwrap());
        assert!(!limiter.memory_denied());
        assert!(!limiter.memory_growing(200, 201, None).unwrap());
        assert!(limiter.memory_denied());
    }

    #[test]
    fn tables_are_limited() {
        let mut limiter = Limiter::new(0);
        assert!(limiter.table_growing(0, MAX_TABLE_ROWS, None).unwrap());
        assert!(!limiter.table_denied());
        assert!(!limiter.table_growing(0, 1, None).unwrap());
        assert!(limiter.table_denied());
    }

    #[test]
    fn deadlines_round_up() {
        assert_eq!(ticks(Duration::ZERO), 1);
        assert_eq!(ticks(Duration::from_millis(1)), 2);
        assert_eq!(ticks(Duration::from_millis(20)), 3);
        assert_eq!(ticks(Duration::MAX), u64::MAX / 2 + 1);
    }

    #[test]
    fn a_stopped_ticker_joins_at_once() {
        let ticker = Ticker::start(&[Engine::default()]).unwrap();
        drop(ticker.running());
        drop(ticker);
    }
}
