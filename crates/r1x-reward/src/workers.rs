//! Threads that work on jobs as these become ready, while the calling thread makes more of them ready.
//!
//! Results come back in the order of the jobs, whichever thread did them. Must not know what a job is.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

use r1x_core::{Boundary, PortError};

/// Stack of a thread, bytes: the guest's share and as much again for the host.
const STACK_BYTES: usize = 4 << 20;

/// Jobs that are ready and not begun, and whether there will be more.
#[derive(Default)]
struct Ready {
    state: Mutex<(VecDeque<usize>, bool)>,
    changed: Condvar,
}

impl Ready {
    fn add(&self, job: usize) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0.push_back(job);
        self.changed.notify_one();
    }

    /// There will be no more jobs.
    fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.changed.notify_all();
    }

    /// The next job, once there is one; `None` when there will be none.
    fn next(&self) -> Option<usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = state.0.pop_front() {
                return Some(job);
            }
            if state.1 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Closes the queue when dropped: whatever happens to the calling thread, the others end.
struct CloseAtEnd<'a>(&'a Ready);

impl Drop for CloseAtEnd<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Calls `work(job)` on up to `threads` threads for each of the `jobs` that `feed` says is ready, and returns
/// what came of each; `None` for a job that never was.
///
/// # Errors
/// That of `feed`; when a thread cannot be started, or panics.
pub(crate) fn run<T: Send>(
    jobs: usize,
    threads: usize,
    work: impl Fn(usize) -> T + Sync,
    feed: impl FnOnce(&mut dyn FnMut(usize)) -> Result<(), PortError>,
) -> Result<Vec<Option<T>>, PortError> {
    let ready = Ready::default();
    let one_thread = || {
        let mut done = Vec::new();
        while let Some(job) = ready.next() {
            done.push((job, work(job)));
        }
        done
    };
    std::thread::scope(|scope| {
        let close = CloseAtEnd(&ready);
        let spawned: Result<Vec<_>, _> = (0..threads.clamp(1, jobs.max(1)))
            .map(|_| {
                std::thread::Builder::new()
                    .name("r1x-reward".to_owned())
                    .stack_size(STACK_BYTES)
                    .spawn_scoped(scope, one_thread)
            })
            .collect();
        let spawned = spawned.map_err(|error| no_thread(&error))?;
        feed(&mut |job| ready.add(job))?;
        drop(close);
        let mut results: Vec<Option<T>> = (0..jobs).map(|_| None).collect();
        for thread in spawned {
            for (job, result) in thread.join().map_err(|_| lost_thread())? {
                results[job] = Some(result);
            }
        }
        Ok(results)
    })
}

fn no_thread(error: &std::io::Error) -> PortError {
    PortError::new(
        Boundary::Device,
        format!("cannot start a scoring thread: {error}"),
        "use fewer with --threads, or raise the limit on threads",
    )
}

fn lost_thread() -> PortError {
    PortError::new(
        Boundary::Internal,
        "a scoring thread ended with a panic",
        "this is a bug in r1x: please report it with the message above",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_job_is_done_before_the_next_is_ready() {
        let (done, seen) = mpsc::channel();
        let done = Mutex::new(done);
        let work = |job: usize| {
            done.lock().unwrap().send(job).unwrap();
            job * 10
        };
        let results = run(3, 2, work, |ready| {
            for job in [2, 0, 1] {
                ready(job);
                // Were jobs kept until all are ready, this one would never be reported.
                assert_eq!(seen.recv_timeout(Duration::from_secs(60)), Ok(job));
            }
            Ok(())
        });
        assert_eq!(results.unwrap(), [Some(0), Some(10), Some(20)]);
    }

    #[test]
    fn results_are_in_the_order_of_jobs_for_any_number_of_threads() {
        for threads in 0..5 {
            let feed = |ready: &mut dyn FnMut(usize)| {
                (0..40).rev().for_each(ready);
                Ok(())
            };
            let results = run(41, threads, |job| job * job, feed).unwrap();
            let expected: Vec<_> = (0..40).map(|job| Some(job * job)).chain([None]).collect();
            assert_eq!(results, expected, "{threads} threads, and one job that never was ready");
        }
    }

    #[test]
    fn a_feed_that_fails_or_panics_leaves_nobody_waiting() {
        let error = PortError::new(Boundary::Device, "no memory", "buy some");
        let failed = run(2, 2, |job| job, |_| Err(error.clone()));
        assert_eq!(failed, Err(error));
        let panicked =
            std::panic::catch_unwind(|| run(2, 2, |job| job, |_| panic!("the policy has a bug")));
        assert!(panicked.is_err());
    }

    #[test]
    fn a_job_that_panics_is_an_error() {
        let feed = |ready: &mut dyn FnMut(usize)| {
            ready(0);
            Ok(())
        };
        let failed = run(1, 2, |_| -> u8 { panic!("this message is part of a test") }, feed);
        assert_eq!(failed.unwrap_err().boundary, Boundary::Internal);
    }
}
