//! What failures of a reward mean for the run: how many are too many, and where the evidence is kept.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use r1x_core::plan::{OnFailure, RewardPlan};
use r1x_core::{Boundary, PortError, RewardOutcome, RewardStatus};

use crate::outcome::{self, Scored};
use crate::replay::{Replay, SHOWN_CHARACTERS, start_of};

/// Replay files kept of one reward; more would tell nothing new.
const MAX_REPLAYS: u32 = 8;

/// Where failing calls are kept.
#[derive(Debug)]
pub(crate) struct FailureFolder {
    folder: PathBuf,
    written: BTreeMap<String, u32>,
}

impl FailureFolder {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, written: BTreeMap::new() }
    }

    /// Writes a failing call, unless there are enough of this reward. The path, when there is one.
    fn keep(&mut self, replay: &Replay) -> Option<PathBuf> {
        let written = self.written.entry(replay.reward.clone()).or_default();
        if *written >= MAX_REPLAYS {
            return None;
        }
        *written += 1;
        // An earlier attempt of a resumed run may have left files of its own.
        let name = |number| self.folder.join(format!("{}-{number}.json", replay.reward));
        let free = (1..=10_000).map(name).find(|path| !path.exists())?;
        match replay.write(&free) {
            Ok(()) => Some(free),
            Err(error) => {
                let path = free.display();
                tracing::warn!("a failing call of a reward could not be kept in {path}: {error}");
                None
            }
        }
    }
}

/// The failures of one reward in one step so far, shared by the threads that score it: what the run stops for is not
/// worth any more time.
#[derive(Debug)]
pub(crate) struct Tally {
    on_failure: OnFailure,
    tolerated: usize,
    failed: AtomicUsize,
    /// The first batch, in their order, in which something failed.
    first: AtomicUsize,
}

impl Tally {
    /// Of a reward that is asked about so many rollouts.
    pub(crate) fn new(plan: &RewardPlan, total: usize) -> Self {
        Self {
            on_failure: plan.on_failure,
            tolerated: tolerated(plan, total),
            failed: AtomicUsize::new(0),
            first: AtomicUsize::new(usize::MAX),
        }
    }

    /// As a batch sees it.
    pub(crate) fn of_batch(&self, batch: usize, rollouts: usize) -> BatchTally<'_> {
        BatchTally { tally: self, batch, rollouts }
    }
}

/// A tally as one batch sees it.
pub(crate) struct BatchTally<'a> {
    tally: &'a Tally,
    batch: usize,
    /// Rollouts of the batch.
    pub(crate) rollouts: usize,
}

impl BatchTally<'_> {
    /// Notes failures of this batch.
    pub(crate) fn add(&self, failures: usize) {
        if failures > 0 {
            self.tally.failed.fetch_add(failures, Ordering::Relaxed);
            self.tally.first.fetch_min(self.batch, Ordering::Relaxed);
        }
    }

    /// Whether the run stops whatever else becomes of this batch. A reward that may not fail is told by its first
    /// failure, so what stands before that is judged to its end.
    pub(crate) fn stops(&self) -> bool {
        match self.tally.on_failure {
            OnFailure::Fail => self.tally.first.load(Ordering::Relaxed) <= self.batch,
            OnFailure::Mask | OnFailure::Zero => {
                self.tally.failed.load(Ordering::Relaxed) > self.tally.tolerated
            }
        }
    }
}

/// Reports the failures of each reward, keeps one call of each, and decides whether the run goes on: `stop`
/// is the error of a reward that may not fail at all.
pub(crate) fn apply(
    rewards: &[RewardPlan],
    scored: &[Scored],
    mut folder: Option<&mut FailureFolder>,
    mut stop: Option<PortError>,
) -> Option<PortError> {
    for (plan, scored) in rewards.iter().zip(scored) {
        let Some(replay) = &scored.replay else { continue };
        let kept = folder.as_deref_mut().and_then(|folder| folder.keep(replay));
        let command = kept.map(|path| format!("r1x plugin test --replay {}", path.display()));
        let outcomes = || scored.groups.iter().flatten();
        let failed = outcomes().filter(|outcome| outcome::is_failure(outcome)).count();
        let failed = failed - scored.skipped;
        let asked = |outcome: &&RewardOutcome| outcome.status != RewardStatus::Unasked;
        let total = outcomes().filter(asked).count();
        let first = &first_failure(replay);
        if plan.on_failure == OnFailure::Fail {
            if let (Some(error), Some(command)) = (&mut stop, command) {
                add_hint(error, &command);
            }
        } else if failed > tolerated(plan, total) {
            let so_far = if scored.skipped > 0 { " so far" } else { "" };
            let counts = format!("{failed} of {total} rollouts failed{so_far}");
            stop = stop.or_else(|| Some(too_many(plan, &counts, first, command)));
        } else {
            let counted =
                if plan.on_failure == OnFailure::Zero { "count 0" } else { "are left out" };
            tracing::warn!(
                "reward `{}`: {failed} of {total} rollouts {counted}; the first: {first}{}",
                plan.id,
                command.map_or_else(String::new, |command| format!("; replay: {command}"))
            );
        }
    }
    stop
}

/// The first failure in one line: the first line of its reason, and the completion where it is known which.
fn first_failure(replay: &Replay) -> String {
    let mut lines = replay.sentence.lines();
    let mut reason = lines.next().unwrap_or("no reason given").to_owned();
    // A panic in Rust is told as its place, a colon, and the message on a line of its own.
    if reason.ends_with(':') {
        reason.extend([" ", lines.next().unwrap_or_default().trim()]);
    }
    match replay.rollouts.as_slice() {
        [one] => {
            format!("{reason}; its completion: {}", start_of(&one.completion, SHOWN_CHARACTERS))
        }
        _ => reason,
    }
}

/// How many of so many rollouts may fail: one, or the plan's share.
fn tolerated(plan: &RewardPlan, total: usize) -> usize {
    ((plan.max_failed_share * total as f64).floor() as usize).max(1)
}

fn too_many(plan: &RewardPlan, counts: &str, first: &str, command: Option<String>) -> PortError {
    let mut error = PortError::new(
        Boundary::Reward,
        format!(
            "reward `{}`: {counts}, more than the share {} it may \
             (max_failed_share); the first: {first}",
            plan.id, plan.max_failed_share
        ),
        "mend the plugin, or raise the reward's max_failed_share",
    );
    if let Some(command) = command {
        add_hint(&mut error, &command);
    }
    error
}

fn add_hint(error: &mut PortError, command: &str) {
    let hint = error.hint.take().unwrap_or_default();
    error.hint = Some(format!("{hint}; try it again with `{command}`"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use r1x_core::{RewardStatus, testing};

    fn plan(share: f64) -> RewardPlan {
        RewardPlan {
            on_failure: OnFailure::Mask,
            max_failed_share: share,
            ..testing::reward("tested")
        }
    }

    fn replay() -> Replay {
        Replay {
            r1x_replay: Replay::VERSION,
            reward: "tested".to_owned(),
            plugin: "x.wasm".to_owned(),
            sha256: "0".to_owned(),
            config: "{}".to_owned(),
            limits: testing::limits(),
            status: RewardStatus::Trap,
            sentence: "trapped".to_owned(),
            rollouts: Vec::new(),
        }
    }

    #[test]
    fn one_may_always_fail_and_a_share_of_many() {
        for (share, total, expected) in
            [(0.01, 8, 1), (0.01, 100, 1), (0.01, 1024, 10), (0.0, 1024, 1), (1.0, 5, 5)]
        {
            assert_eq!(tolerated(&plan(share), total), expected, "{share} of {total}");
        }
    }

    #[test]
    fn a_run_stops_once_its_failures_are_too_many_whatever_else_comes() {
        let tally = Tally::new(&plan(0.25), 8);
        let (first, second) = (tally.of_batch(0, 4), tally.of_batch(1, 4));
        second.add(2);
        assert!(!first.stops() && !second.stops());
        first.add(1);
        assert!(first.stops() && second.stops());

        let strict = RewardPlan { on_failure: OnFailure::Fail, ..plan(1.0) };
        let tally = Tally::new(&strict, 8);
        tally.of_batch(1, 4).add(1);
        let stops = [0, 1, 2].map(|batch| tally.of_batch(batch, 2).stops());
        assert_eq!(stops, [false, true, true], "an earlier batch may hold the first failure");
    }

    #[test]
    fn the_first_failure_is_one_line_with_its_completion() {
        let mut replay = replay();
        replay.sentence = "raised KeyError at a.py:5: 'boom'\n  a.py:5, in judge: x".to_owned();
        assert_eq!(first_failure(&replay), "raised KeyError at a.py:5: 'boom'");
        replay.sentence = "trapped; its last message: panicked at a.rs:1:2:\nasked to".to_owned();
        assert_eq!(
            first_failure(&replay),
            "trapped; its last message: panicked at a.rs:1:2: asked to"
        );
        replay.sentence = "raised KeyError at a.py:5: 'boom'\n  a.py:5, in judge: x".to_owned();
        replay.rollouts = vec![crate::Sample::new("a\u{1b}\n\u{202e}b", "{}")];
        let told = "raised KeyError at a.py:5: 'boom'; its completion: `a\\u{1b}\\n\\u{202e}b`";
        assert_eq!(first_failure(&replay), told);
    }

    #[test]
    fn replay_files_are_numbered_and_bounded() {
        let folder = std::env::temp_dir().join(format!("r1x-policy-{}", std::process::id()));
        let mut kept = FailureFolder::new(folder.clone());
        let replay = replay();
        let paths: Vec<_> = (0..10).filter_map(|_| kept.keep(&replay)).collect();
        assert_eq!(paths.len(), MAX_REPLAYS as usize);
        assert!(paths[0].ends_with("tested-1.json") && paths[7].ends_with("tested-8.json"));
        assert_eq!(Replay::read(&paths[0]).unwrap(), replay);
        let error = Replay::read(&folder).unwrap_err();
        assert!(error.contains("r1x-policy"), "{error}");
        let _ = std::fs::remove_dir_all(folder);
    }
}
