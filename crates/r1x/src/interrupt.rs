//! Ctrl-C and termination: once asks the run to finish its step, twice stops at once. A terminal that is closed asks
//! too, however often it says so: a shell and the system each send a hang-up, and nobody is there to be in a hurry.
//!
//! The one piece of process-wide state, because signals are.

use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use r1x_store::Stopper;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::code;

/// How long the store may take to note that the run was stopped; whoever asks twice does not wait for a disk.
const NOTE_WITHIN: Duration = Duration::from_secs(2);

/// What there is to say about a run that is stopped at once.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// The run's name.
    pub run: String,
    /// What was recorded last, in words.
    pub recorded: Option<String>,
    /// The newest checkpoint and where in the run it is, in words.
    pub checkpoint: Option<String>,
}

impl Saved {
    /// Lines for a person who wants to know what is left.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec!["stopped at once: the step under way is lost".to_owned()];
        if let Some(recorded) = &self.recorded {
            lines.push(format!("  recorded: {recorded}"));
        }
        lines.extend(match &self.checkpoint {
            Some(checkpoint) => [
                format!("  saved: {checkpoint}"),
                format!("  go on from there: r1x resume {}", self.run),
            ],
            None => {
                ["  saved: no checkpoint yet".to_owned(), "  start again with `r1x run`".to_owned()]
            }
        });
        lines
    }
}

/// Counts requests to stop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    requests: Arc<AtomicU32>,
    saved: Arc<Mutex<Saved>>,
}

impl Interrupt {
    /// Listens from now on. A second signal marks the run as interrupted, says what is saved and ends the process with
    /// code 130.
    pub fn listen(stopper: Stopper) -> Self {
        let interrupt = Self::default();
        let heard = interrupt.clone();
        let stopper = Arc::new(stopper);
        on_signals(move |signal| {
            crate::output::over_echo();
            let before = match signal {
                SIGHUP => heard.requests.fetch_max(1, Ordering::SeqCst),
                _ => heard.requests.fetch_add(1, Ordering::SeqCst),
            };
            match (before, signal) {
                (0, _) => eprintln!(
                    "finishing the step or evaluation under way, then saving (Ctrl-C again stops at once)"
                ),
                (_, SIGHUP) => {}
                _ => heard.stop(&stopper),
            }
        });
        interrupt
    }

    /// Whether somebody asked to stop.
    pub fn requested(&self) -> bool {
        self.requests.load(Ordering::SeqCst) > 0
    }

    /// Changes what will be said about a run that is stopped at once.
    pub fn note(&self, change: impl FnOnce(&mut Saved)) {
        change(&mut self.saved.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn stop(&self, stopper: &Arc<Stopper>) -> ! {
        let (noted, done) = mpsc::sync_channel(1);
        let stopper = Arc::clone(stopper);
        std::thread::spawn(move || {
            let why = "stopped at once, in the middle of a step";
            let _ = noted.send(stopper.interrupt(code::INTERRUPTED, why));
        });
        let marked = matches!(done.recv_timeout(NOTE_WITHIN), Ok(Ok(())));
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner).clone();
        crate::output::end_block();
        saved.lines().iter().for_each(|line| eprintln!("{line}"));
        if !marked {
            eprintln!("  the store did not note it in time: `r1x ls` will call the run crashed");
        }
        std::process::exit(code::INTERRUPTED)
    }
}

/// Listens for the prompt: whoever makes the flag false while something runs finds it true once that is to stop.
/// A signal while it is true ends the process with code 130; while a line is typed, the editor takes Ctrl-C.
pub fn while_asked() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(true));
    let asked = stop.clone();
    on_signals(move |signal| {
        if asked.swap(true, Ordering::SeqCst) || signal == SIGHUP {
            std::process::exit(code::INTERRUPTED);
        }
    });
    stop
}

/// Calls a function for every signal that asks to stop, on a thread of its own. Where signals cannot be listened to,
/// they keep their usual effect: Ctrl-C stops at once.
pub fn on_signals(mut heard: impl FnMut(i32) + Send + 'static) {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    std::thread::spawn(move || signals.forever().for_each(&mut heard));
}

/// Takes orders to stop from the r1x that has started this one, and holds the other end of standard input: each byte is
/// what Ctrl-C is to a run that nobody has started so, and when the other one has gone, that is a hang-up.
pub fn take_orders() {
    std::thread::spawn(|| {
        let mut order = [0];
        while let Ok(1) = std::io::stdin().read(&mut order) {
            // Without a handler the signal ends the process, which has begun nothing yet.
            let _ = signal_hook::low_level::raise(SIGINT);
        }
        let _ = signal_hook::low_level::raise(SIGHUP);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_stopped_at_once_says_what_is_left_of_it() {
        let mut saved = Saved { run: "otter".to_owned(), ..Saved::default() };
        assert_eq!(saved.lines().last().unwrap(), "  start again with `r1x run`");
        saved.recorded = Some("17 of 60 steps of stage `rl`".to_owned());
        saved.checkpoint = Some("rl/step-000010 (10 steps of stage `rl`)".to_owned());
        let text = saved.lines().join("\n");
        assert!(text.contains("  recorded: 17 of 60 steps of stage `rl`\n"), "{text}");
        assert!(text.ends_with("r1x resume otter"), "{text}");
    }
}
