//! What a call still has to compute, cut so that batches can share it, and what it has computed, put together again.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use r1x_core::Completion;
use r1x_core::port::GenerateRequest;

/// Samples of one request that are computed in one batch and share their prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Which request.
    pub request: usize,
    /// The first of its samples.
    pub first: usize,
    /// How many samples.
    pub samples: usize,
}

/// Units that no batch has taken yet, in the order of requests.
#[derive(Debug)]
pub struct Queue {
    units: Mutex<VecDeque<Unit>>,
}

impl Queue {
    /// Requests, cut so that no unit has more than `share` samples.
    pub fn new(requests: &[GenerateRequest], share: usize) -> Self {
        let units = requests.iter().enumerate().flat_map(|(request, asked)| {
            (0..asked.samples).step_by(share).map(move |first| {
                let samples = (asked.samples - first).min(share);
                Unit { request, first, samples }
            })
        });
        Self { units: Mutex::new(units.collect()) }
    }

    /// The units that a batch of `active` sequences has room for, when it may have `capacity`. An empty batch gets one
    /// whatever its size.
    pub fn take(&self, active: usize, capacity: usize) -> Vec<Unit> {
        let mut taken = Vec::new();
        let mut samples = active;
        // A look at the queue takes a lock, so it is not worth it for a full batch.
        if samples < capacity {
            let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some(unit) = units.front() {
                if samples > 0 && samples + unit.samples > capacity {
                    break;
                }
                samples += unit.samples;
                taken.extend(units.pop_front());
            }
        }
        taken
    }
}

/// A sample that has ended.
#[derive(Debug)]
pub struct Ended {
    /// What it answers.
    pub request: usize,
    /// Which of the request's samples it is.
    pub sample: usize,
    /// What it says.
    pub completion: Completion,
}

/// Takes samples as they end, and hands a request's samples over when the last of them has ended.
pub fn gather(
    requests: &[GenerateRequest],
    each: &mut dyn FnMut(usize, Vec<Completion>),
) -> impl FnMut(Ended) {
    let mut groups: Vec<(usize, Vec<Option<Completion>>)> =
        requests.iter().map(|r| (r.samples, vec![None; r.samples])).collect();
    for (request, _) in requests.iter().enumerate().filter(|(_, request)| request.samples == 0) {
        each(request, Vec::new());
    }
    move |Ended { request, sample, completion }| {
        let (waiting, group) = &mut groups[request];
        group[sample] = Some(completion);
        *waiting -= 1;
        if *waiting == 0 {
            each(request, std::mem::take(group).into_iter().flatten().collect());
        }
    }
}
