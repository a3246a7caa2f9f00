//! Ctrl-C and termination: once asks the run to finish its step, twice stops at once.
//!
//! Must not know what a step is. The one piece of process-wide state, because signals are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

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
            eprintln!("finishing this step, then saving (Ctrl-C again stops at once)");
        });
        interrupt
    }

    /// Whether somebody asked to stop.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

/// Listens for the prompt: whoever makes the flag false while something runs finds it true once that is to stop.
/// A signal while it is true ends the process with code 130; while a line is typed, the editor takes Ctrl-C.
pub fn while_asked() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(true));
    let asked = stop.clone();
    // A handler that cannot be installed leaves the default one: Ctrl-C then leaves the prompt.
    let _ = ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::SeqCst) {
            std::process::exit(super::failure::code::INTERRUPTED);
        }
    });
    stop
}
