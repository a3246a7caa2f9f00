//! Scores one batch whatever its completions do to the plugin.
//!
//! A call that fails is split in two, each half in a fresh instance, until the rollouts at fault stand alone: one
//! bad completion costs itself and nothing else. What halving would hide is no fault of a completion, and the whole
//! batch pays for it: a wrong number of scores, and scores that depend on what else stands in the call.

use r1x_core::plan::{PluginPlan, RewardPlan};
use r1x_core::{RewardOutcome, RewardStatus};

use crate::contract::{Answer, CallLog, Question};
use crate::failure_budget::BatchTally;
use crate::guest::{Failure, counted};
use crate::host::Plugin;
use crate::limits::MAX_STEP_LINES;
use crate::outcome;
use crate::replay::{Replay, Sample};

/// Failing calls of one batch after which failures are no longer narrowed down. The counts are of calls, not
/// of seconds, so that traps give the same outcomes on slow and fast machines.
const MAX_FAILED_CALLS: u32 = 1024;
/// Calls of one batch that run into their deadline after which failures are no longer narrowed down: such a call costs
/// far more than one that traps.
const MAX_TIMEOUTS: u32 = 24;

/// What became of a batch.
#[derive(Default)]
pub(crate) struct BatchResult {
    /// One outcome per rollout.
    pub(crate) outcomes: Vec<RewardOutcome>,
    /// What the guest wrote in the calls that count.
    pub(crate) log: CallLog,
    /// How to mend the first failing rollout, when there is one.
    pub(crate) hint: Option<&'static str>,
    /// The first call that failed and could not be narrowed down any further.
    pub(crate) replay: Option<Replay>,
    /// Rollouts that were not judged any more, because the run stops anyhow. Their outcomes are failures.
    pub(crate) skipped: usize,
}

/// Scores a batch with fresh instances. `tally` is what became of the reward's rollouts in the whole step.
pub(crate) fn score(
    plugin: &Plugin,
    (plan, planned): (&RewardPlan, &PluginPlan),
    batch: &[Question<'_>],
    tally: &BatchTally<'_>,
) -> BatchResult {
    let mut recovery = Recovery {
        plugin,
        plan,
        planned,
        tally,
        counted: 0,
        failed_calls: 0,
        timeouts: 0,
        second_chances: SecondChances::Given,
        answered: Vec::with_capacity(batch.len()),
        answers: 0,
        fault: None,
        result: BatchResult::default(),
    };
    recovery.score(batch);
    recovery.confirm(batch);
    recovery.blame(batch);
    recovery.note_invalid(batch);
    recovery.result
}

/// How to mend scores that depend on what else stands in a call.
const DEPENDS: &str = "a score may depend on its own rollout, and on those of its group where the plugin declares \
                       `groups`; nothing may be carried from one call to the next";

/// What is wrong with the plugin itself, whatever its completions are.
struct Fault {
    sentence: String,
    hint: &'static str,
    replay: Replay,
}

/// Whether a rollout that ran into its deadline is asked about once more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SecondChances {
    Given,
    /// One was of no use: it is the plugin that takes too long, and not the machine.
    Over,
}

struct Recovery<'a> {
    plugin: &'a Plugin,
    plan: &'a RewardPlan,
    /// What the plan says of the plugin.
    planned: &'a PluginPlan,
    tally: &'a BatchTally<'a>,
    /// Failures of this batch that the tally knows of.
    counted: usize,
    failed_calls: u32,
    timeouts: u32,
    second_chances: SecondChances,
    /// Which rollouts stood in a call that went well.
    answered: Vec<bool>,
    /// Calls that went well.
    answers: u32,
    fault: Option<Fault>,
    result: BatchResult,
}

impl Recovery<'_> {
    fn score(&mut self, batch: &[Question<'_>]) {
        if self.fault.is_some() {
            return;
        }
        if self.tally.stops() {
            // The rest of the batch is not worth any time.
            return self.skip(batch);
        }
        let failure = match self.call(batch, 1) {
            Ok(()) => return,
            // Halves would end at rollouts that stand alone, where one score is the right number.
            Err(failure @ Failure::WrongLength { .. }) => {
                return self.accuse(batch, failure.sentence(), failure.hint());
            }
            Err(failure) => failure,
        };
        match self.middle(batch) {
            Some(_) if !self.is_spent() && matches!(failure, Failure::Timeout { .. }) => {
                self.first_ones_alone(batch);
            }
            Some(_) if !self.is_spent() => self.halves(batch),
            Some(_) => {
                let sentence = format!(
                    "one of {} rollouts judged together: {}; too many calls failed to find out which",
                    batch.len(),
                    failure.sentence()
                );
                self.give_up(batch, sentence, Some(&failure));
            }
            None => self.last_try(batch, failure),
        }
    }

    fn is_spent(&self) -> bool {
        self.failed_calls >= MAX_FAILED_CALLS || self.timeouts >= MAX_TIMEOUTS
    }

    fn halves(&mut self, batch: &[Question<'_>]) {
        let Some(middle) = self.middle(batch) else { return self.score(batch) };
        self.score(&batch[..middle]);
        self.score(&batch[middle..]);
    }

    /// Every call that runs into its deadline costs all of it, and where one rollout does, so may each of them. The
    /// first ones are asked about alone, until one of them is answered.
    fn first_ones_alone(&mut self, batch: &[Question<'_>]) {
        let mut rest = batch;
        while let Some(first) = self.first_unit(rest) {
            let before = self.timeouts;
            self.score(&rest[..first]);
            rest = &rest[first..];
            if self.timeouts == before {
                return self.halves(rest);
            }
            if self.is_spent() {
                break;
            }
        }
        self.score(rest);
    }

    /// Asks once more about everything that was answered in pieces, in one call: the number of scores must be
    /// right there too, and they must be the scores of the pieces.
    fn confirm(&mut self, batch: &[Question<'_>]) {
        if self.answers < 2 || self.tally.stops() || self.fault.is_some() {
            return;
        }
        let kept = batch.iter().zip(&self.answered).filter(|(_, answered)| **answered);
        let together: Vec<Question<'_>> = kept.map(|(question, _)| question.clone()).collect();
        let size = counted(together.len(), "rollout");
        let answers = match self.ask(&together, 1).1 {
            Ok(answers) => answers,
            // A limit on the call is a reason to make it smaller, and no fault.
            Err(failure) if failure.is_of_size() => return,
            Err(failure @ Failure::WrongLength { .. }) => {
                return self.accuse(&together, failure.sentence(), failure.hint());
            }
            Err(failure) => {
                let sentence = failure.sentence();
                let sentence =
                    format!("fails on {size} together and on none of them apart: {sentence}");
                return self.accuse(&together, sentence, DEPENDS);
            }
        };
        let apart =
            self.result.outcomes.iter().zip(&self.answered).filter(|(_, answered)| **answered);
        let different = apart
            .zip(self.judged(answers))
            .find(|((before, _), now)| !outcome::same(before, now))
            .map(|((before, _), now)| (outcome::shown(before), outcome::shown(&now)));
        if let Some((before, now)) = different {
            let sentence = format!(
                "gives other scores to {size} together than apart: {now} instead of {before}"
            );
            self.accuse(&together, sentence, DEPENDS);
        }
    }

    fn accuse(&mut self, batch: &[Question<'_>], sentence: String, hint: &'static str) {
        let replay = self.replay(batch, RewardStatus::Invalid, sentence.clone());
        self.count(self.tally.rollouts - self.counted);
        self.fault = Some(Fault { sentence, hint, replay });
    }

    /// A fault of the plugin itself makes every score of the batch worthless.
    fn blame(&mut self, batch: &[Question<'_>]) {
        let Some(fault) = self.fault.take() else { return };
        let outcome = outcome::failed(RewardStatus::Invalid, fault.sentence, self.plan.on_failure);
        self.result.outcomes = vec![outcome; batch.len()];
        self.result.hint = Some(fault.hint);
        self.result.replay = Some(fault.replay);
        self.result.skipped = 0;
    }

    /// A timeout may be the machine's fault, so it gets a second chance with twice the time; once that was of no
    /// use, no other rollout of the batch does.
    fn last_try(&mut self, batch: &[Question<'_>], failure: Failure) {
        let again = self.second_chances == SecondChances::Given;
        let failure = match failure {
            Failure::Timeout { .. } if again => match self.call(batch, 2) {
                Ok(()) => return,
                Err(failure) => {
                    self.second_chances = SecondChances::Over;
                    failure
                }
            },
            other => other,
        };
        let sentence = match batch.len() {
            1 => failure.sentence(),
            count => format!("in a group of {count}, judged together: {}", failure.sentence()),
        };
        self.give_up(batch, sentence, Some(&failure));
    }

    fn give_up(&mut self, batch: &[Question<'_>], sentence: String, failure: Option<&Failure>) {
        let status = failure.map_or(RewardStatus::Trap, Failure::status);
        if let (None, Some(failure)) = (self.result.hint, failure) {
            self.result.hint = Some(failure.hint());
            self.result.replay = Some(self.replay(batch, status, sentence.clone()));
        }
        self.count(batch.len());
        self.unanswered(batch, outcome::failed(status, sentence, self.plan.on_failure));
    }

    /// What the run stops before: nobody will read the outcomes.
    fn skip(&mut self, batch: &[Question<'_>]) {
        let sentence = "not judged, because the run stops for earlier failures".to_owned();
        self.result.skipped += batch.len();
        self.unanswered(batch, outcome::failed(RewardStatus::Trap, sentence, self.plan.on_failure));
    }

    fn unanswered(&mut self, batch: &[Question<'_>], outcome: RewardOutcome) {
        self.answered.extend(std::iter::repeat_n(false, batch.len()));
        self.result.outcomes.extend(std::iter::repeat_n(outcome, batch.len()));
    }

    fn count(&mut self, failures: usize) {
        self.counted += failures;
        self.tally.add(failures);
    }

    /// A value that is refused is a failure too, of a call that went well.
    fn note_invalid(&mut self, batch: &[Question<'_>]) {
        if self.result.replay.is_some() {
            return;
        }
        // What was skipped stands at the end, and has not failed by itself.
        let judged = self.result.outcomes.len() - self.result.skipped;
        let found = self.result.outcomes[..judged].iter().position(outcome::is_failure);
        if let Some(position) = found
            && let Some(question) = batch.get(position)
        {
            let outcome = &self.result.outcomes[position];
            let sentence = outcome.info.clone().unwrap_or_default();
            let replay = self.replay(std::slice::from_ref(question), outcome.status, sentence);
            self.result.replay = Some(replay);
        }
    }

    fn replay(&self, batch: &[Question<'_>], status: RewardStatus, sentence: String) -> Replay {
        Replay {
            r1x_replay: Replay::VERSION,
            reward: self.plan.id.clone(),
            plugin: self.planned.path.clone(),
            sha256: self.planned.sha256.clone(),
            config: self.planned.config.clone(),
            limits: self.planned.limits.clone(),
            status,
            sentence,
            rollouts: batch.iter().map(Sample::of).collect(),
        }
    }

    /// One call in a fresh instance; adds the outcomes if it succeeds.
    fn call(&mut self, batch: &[Question<'_>], patience: u32) -> Result<(), Failure> {
        let (log, scored) = self.ask(batch, patience);
        // Of a failing call only the last, smallest one counts: otherwise each message would come again
        // with every halving.
        if scored.is_ok() || self.middle(batch).is_none() {
            self.result.log.append(log, MAX_STEP_LINES);
        }
        match scored {
            Ok(answers) => {
                self.answers += 1;
                self.answered.extend(std::iter::repeat_n(true, batch.len()));
                let judged = self.judged(answers);
                self.count(judged.iter().filter(|outcome| outcome::is_failure(outcome)).count());
                self.result.outcomes.extend(judged);
                Ok(())
            }
            Err(failure) => {
                self.failed_calls += 1;
                self.timeouts += u32::from(matches!(failure, Failure::Timeout { .. }));
                Err(failure)
            }
        }
    }

    /// One call in a fresh instance, and nothing else.
    fn ask(
        &self,
        batch: &[Question<'_>],
        patience: u32,
    ) -> (CallLog, Result<Vec<Answer>, Failure>) {
        let mut instance = match self.plugin.start(&self.planned.limits) {
            Ok(instance) => instance,
            Err(failure) => return (CallLog::default(), Err(failure)),
        };
        let scored = instance
            .configure(&self.planned.config, patience)
            .and_then(|()| instance.score(&regrouped(batch), patience));
        (instance.take_log(), scored)
    }

    fn judged(&self, answers: Vec<Answer>) -> Vec<RewardOutcome> {
        let info = self.plugin.info();
        let judge = |answer| outcome::judge(info, answer, self.plan.on_failure);
        answers.into_iter().map(judge).collect()
    }

    /// How many rollouts at the beginning stay together, when others follow them.
    fn first_unit(&self, batch: &[Question<'_>]) -> Option<usize> {
        let whole = self.plugin.info().needs.groups;
        (1..batch.len()).find(|&at| !whole || batch[at].group != batch[at - 1].group)
    }

    /// Where to split, or `None` when nothing may be split: groups stay whole for plugins that need them.
    fn middle(&self, batch: &[Question<'_>]) -> Option<usize> {
        if batch.len() < 2 {
            return None;
        }
        let middle = batch.len() / 2;
        if !self.plugin.info().needs.groups {
            return Some(middle);
        }
        let starts = (1..batch.len()).filter(|&at| batch[at].group != batch[at - 1].group);
        starts.min_by_key(|at| at.abs_diff(middle))
    }
}

/// The questions with their groups counted from 0, as the contract has it for every call.
fn regrouped<'a>(batch: &[Question<'a>]) -> Vec<Question<'a>> {
    let mut last = None;
    let mut groups = 0;
    let numbered = batch.iter().map(|question| {
        if last != Some(question.group) {
            last = Some(question.group);
            groups += 1;
        }
        Question { group: groups - 1, ..question.clone() }
    });
    numbered.collect()
}
