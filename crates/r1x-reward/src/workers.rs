//! Threads that work on jobs as these become ready, while the calling thread makes more of them ready.
//!
//! Results come back in the order of the jobs, whichever thread did them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

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

    /// There will be no more jobs, and those that nobody has begun need not be done.
    fn abandon(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0.clear();
        self.close();
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

/// Threads at work on numbered jobs. Dropped before the end, they finish what they have begun, and nothing else.
pub(crate) struct Workers<T> {
    ready: Arc<Ready>,
    threads: Vec<JoinHandle<Vec<(usize, T)>>>,
    jobs: usize,
}

impl<T: Send + 'static> Workers<T> {
    /// Starts up to `threads` threads, which call `work(job)` for each of the `jobs` once it is said to be ready.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(
        jobs: usize,
        threads: usize,
        work: impl Fn(usize) -> T + Send + Sync + 'static,
    ) -> Result<Self, PortError> {
        let mut workers = Self { ready: Arc::default(), threads: Vec::new(), jobs };
        let work = Arc::new(work);
        for _ in 0..threads.clamp(1, jobs.max(1)) {
            let (ready, work) = (Arc::clone(&workers.ready), Arc::clone(&work));
            let thread = std::thread::Builder::new()
                .name("r1x-reward".to_owned())
                .stack_size(STACK_BYTES)
                .spawn(move || {
                    let mut done = Vec::new();
                    while let Some(job) = ready.next() {
                        done.push((job, work(job)));
                    }
                    done
                });
            // What was started before ends with `workers`.
            workers.threads.push(thread.map_err(|error| no_thread(&error))?);
        }
        Ok(workers)
    }

    /// A job can be done.
    pub(crate) fn ready(&self, job: usize) {
        self.ready.add(job);
    }

    /// What came of each job, in their order; `None` for a job that never was ready.
    ///
    /// # Errors
    /// When a thread has panicked.
    pub(crate) fn finish(mut self) -> Result<Vec<Option<T>>, PortError> {
        self.ready.close();
        let mut results: Vec<Option<T>> = (0..self.jobs).map(|_| None).collect();
        let mut lost = false;
        // All of them, also after a panic: none may still share the jobs afterwards.
        for thread in self.threads.drain(..) {
            match thread.join() {
                Ok(done) => done.into_iter().for_each(|(job, result)| results[job] = Some(result)),
                Err(_) => lost = true,
            }
        }
        if lost { Err(lost_thread()) } else { Ok(results) }
    }
}

impl<T> Drop for Workers<T> {
    fn drop(&mut self) {
        self.ready.abandon();
        for thread in self.threads.drain(..) {
            // Whoever drops them has an error of its own, or is panicking.
            let _ = thread.join();
        }
    }
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
        let work = move |job: usize| {
            done.lock().unwrap().send(job).unwrap();
            job * 10
        };
        let workers = Workers::start(3, 2, work).unwrap();
        for job in [2, 0, 1] {
            workers.ready(job);
            // Were jobs kept until all are ready, this one would never be reported.
            assert_eq!(seen.recv_timeout(Duration::from_secs(60)), Ok(job));
        }
        assert_eq!(workers.finish().unwrap(), [Some(0), Some(10), Some(20)]);
    }

    #[test]
    fn results_are_in_the_order_of_jobs_for_any_number_of_threads() {
        for threads in 0..5 {
            let workers = Workers::start(41, threads, |job| job * job).unwrap();
            (0..40).rev().for_each(|job| workers.ready(job));
            let expected: Vec<_> = (0..40).map(|job| Some(job * job)).chain([None]).collect();
            let results = workers.finish().unwrap();
            assert_eq!(results, expected, "{threads} threads, and one job that never was ready");
        }
    }

    /// The first job holds the only thread until everybody else has been dropped, so the second is never begun.
    #[test]
    fn workers_that_are_dropped_leave_nobody_waiting_and_begin_nothing_new() {
        let (let_go, held) = mpsc::channel::<()>();
        let (begun, seen) = mpsc::channel();
        let shared = Mutex::new((held, begun));
        let workers = Workers::start(2, 1, move |job: usize| {
            let shared = shared.lock().unwrap();
            shared.1.send(job).unwrap();
            let _ = shared.0.recv_timeout(Duration::from_secs(60));
        })
        .unwrap();
        workers.ready(0);
        assert_eq!(seen.recv_timeout(Duration::from_secs(60)), Ok(0));
        workers.ready(1);
        workers.ready.abandon();
        let_go.send(()).unwrap();
        drop(workers);
        assert_eq!(seen.try_iter().count(), 0, "no thread is left, and none has begun the second");
    }

    #[test]
    fn a_job_that_panics_is_an_error() {
        let work = |_| -> u8 { panic!("this message is part of a test") };
        let workers = Workers::start(1, 2, work).unwrap();
        workers.ready(0);
        assert_eq!(workers.finish().unwrap_err().boundary, Boundary::Internal);
    }
}
