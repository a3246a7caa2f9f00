//! Ctrl-C and termination: once asks the run to finish its step, twice stops at once.
//!
//! Must not know what a step is. The one piece of process-wide state, because signals are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts requests to stop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicU32>);

impl Interrupt {
    /// Listens from now on. A second signal ends the process with code 130.
    pub fn listen() -> Self {
        let interrupt = Self::default();
        let counter = interrupt.0.clone();
        // A handler that cannot be installed leaves the default one: Ctrl-C then stops at once.
        let _ = ctrlc::set_handler(move || {
            if counter.fetch_add(1, Ordering::SeqCst) > 0 {
                std::process::exit(super::failure::code::INTERRUPTED);
            }
            eprintln!("\nfinishing this step, then saving (Ctrl-C again stops at once)");
        });
        interrupt
    }

    /// Whether somebody asked to stop.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}
