//! A run being written: the store's side of the `Recorder` port.
//!
//! A call returns once its transaction is committed; a step is committed while the next one is computed, as the
//! [`Recorder`] says. Rows are made in `record`; here is what becomes of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use r1x_core::facts::{CheckpointFacts, EvalFacts, StageFacts, StepFacts};
use r1x_core::plan::RecordPlan;
use r1x_core::port::{PortError, Recorder, Reuse};
use r1x_core::select::Kept;

use crate::digest;
use crate::error::StoreError;
use crate::read::reusable::StageOrigin;
use crate::record::{self, EvalPlace, StepRecord, StepTiming};
use crate::run_begin::Begun;
use crate::sitting::{now_ms, stand_up};
use crate::writer::{Pending, Tx, WriterHandle};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// All stages are done.
    Done,
    /// All stages are done, and a figure is below its gate.
    GateMissed,
    /// An error stopped it.
    Failed,
    /// A person stopped it; it can go on.
    Interrupted,
    /// A value was not finite.
    Diverged,
    /// The run makes an earlier run again, and a fact of the run differs from the recorded fact of the earlier one.
    Differs,
    /// Another system ran it, and what that has written was brought in whole.
    Imported,
}

impl RunStatus {
    /// The word used in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Done => "done",
            RunStatus::GateMissed => "gate missed",
            RunStatus::Failed => "failed",
            RunStatus::Interrupted => "interrupted",
            RunStatus::Diverged => "diverged",
            RunStatus::Differs => "differs",
            RunStatus::Imported => "imported",
        }
    }
}

/// How grave an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Worth looking at.
    Warn,
    /// Something failed.
    Error,
}

impl Level {
    /// The word used in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

/// What every transaction of a run needs to know.
struct Shared {
    run_id: i64,
    record: RecordPlan,
    reward_keys: HashMap<String, i64>,
}

/// What the groups of a step must say about advantages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Advantages {
    /// Each compared rollout has one: a run that computes them has them.
    #[default]
    Needed,
    /// All rollouts of a group have one, or none has: another system may not have written them down.
    WhereKnown,
}

/// The writing end of one run. Dropped without `finish`, the run is marked as crashed.
pub struct RunWriter {
    writer: Arc<WriterHandle>,
    shared: Arc<Shared>,
    name: String,
    uid: String,
    folder: PathBuf,
    stages: HashMap<usize, i64>,
    /// The keys of the stages of the plan, where they are known.
    keys: Vec<String>,
    timing: Option<StepTiming>,
    advantages: Advantages,
    last_ms: i64,
    /// Cost of the newest step, written with the next fact: a step cannot contain its own cost.
    owed: Option<StoreCost>,
    /// A step that was handed over and not waited for.
    pending: Option<Pending<()>>,
    store_ms: f64,
    finished: bool,
}

/// When a transaction is safe from a power cut. A program that is stopped never takes one back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasting {
    /// With one of the next ones.
    Soon,
    /// When it is committed, and everything before it.
    Now,
}

#[derive(Clone, Copy, Debug)]
struct StoreCost {
    stage_id: i64,
    step: u64,
    store_ms: f64,
}

impl RunWriter {
    pub(crate) fn new(writer: Arc<WriterHandle>, begun: Begun, folders: &Path) -> Self {
        let Begun { run_id, name, uid, record, reward_keys, stages } = begun;
        Self {
            writer,
            shared: Arc::new(Shared { run_id, record, reward_keys }),
            folder: folders.join(&name),
            name,
            uid,
            stages,
            keys: Vec::new(),
            timing: None,
            advantages: Advantages::default(),
            last_ms: now_ms(),
            owed: None,
            pending: None,
            store_ms: 0.0,
            finished: false,
        }
    }

    /// Number of the run in this store.
    pub fn run_id(&self) -> i64 {
        self.shared.run_id
    }

    /// Name of the run.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Identity of the run across stores, a UUIDv7.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Where the run's files go; the folder exists.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Says the keys of the stages of the plan, in order: what is recorded from now on is found by them.
    pub fn set_stage_keys(&mut self, keys: Vec<String>) {
        self.keys = keys;
    }

    /// Takes a stage over that an earlier run has run: its facts become facts of this run. `checkpoint` is the checkpoint that
    /// the stage ended with, which lies in the folder of this run by now. A stage that somebody has removed meanwhile, or that
    /// counts no more, is not taken.
    ///
    /// # Errors
    /// When it cannot be written; then nothing of it is.
    pub fn reuse(
        &mut self,
        facts: &StageFacts,
        origin: &StageOrigin,
        checkpoint: Option<CheckpointFacts>,
    ) -> Result<Reuse, StoreError> {
        let index = facts.index;
        let key = self.keys.get(index).cloned().unwrap_or_default();
        let (facts, origin) = (facts.clone(), origin.clone());
        let stage_id = self.write(Lasting::Now, async move |tx, shared| {
            let (place, checkpoint) = ((shared.run_id, key.as_str()), checkpoint.as_ref());
            record::reuse(tx, place, &facts, &origin, checkpoint, now_ms()).await
        })?;
        Ok(match stage_id {
            Some(stage_id) => {
                self.stages.insert(index, stage_id);
                Reuse::Taken
            }
            None => Reuse::NotKnown,
        })
    }

    /// What the groups of the following steps must say about advantages.
    pub fn set_advantages(&mut self, advantages: Advantages) {
        self.advantages = advantages;
    }

    /// How long the parts of the next step took; used once.
    pub fn set_timing(&mut self, timing: StepTiming) {
        self.timing = Some(timing);
    }

    /// Time spent in this writer so far, milliseconds.
    pub fn store_ms_total(&self) -> f64 {
        self.store_ms
    }

    /// Writes down a warning or an error; `target` is the part of r1x it comes from.
    pub fn event(&mut self, level: Level, target: &str, message: &str) -> Result<(), StoreError> {
        let (target, message) = (target.to_owned(), message.to_owned());
        self.write(Lasting::Soon, async move |tx, shared| {
            tx.execute(
                "INSERT INTO event (run_id, ts_ms, level, target, message) VALUES (?, ?, ?, ?, ?)",
                [
                    shared.run_id.into(),
                    now_ms().into(),
                    level.as_str().into(),
                    target.into(),
                    message.into(),
                ],
            )
            .await
            .map(|_| ())
        })
    }

    /// The hash over every fact recorded so far, attempts that were done again left out; hex.
    pub fn digest(&mut self) -> Result<String, StoreError> {
        self.write(Lasting::Soon, async move |tx, shared| digest::run(tx, shared.run_id).await)
    }

    /// Makes what was recorded so far independent of the log, and says whether that was possible: somebody who reads
    /// the store may be in the way. What it depends on may go only afterwards.
    pub fn settle(&mut self) -> Result<bool, StoreError> {
        self.flush()?;
        let begun = Instant::now();
        let settled = self.writer.call(|writer| Ok(writer.settle()));
        self.store_ms += begun.elapsed().as_secs_f64() * 1e3;
        settled
    }

    /// Waits until every fact that was handed over is committed.
    ///
    /// # Errors
    /// The error of the newest step, which could not be reported when it was handed over.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        let begun = Instant::now();
        let flushed = self.pending.take().map_or(Ok(()), Pending::wait);
        self.store_ms += begun.elapsed().as_secs_f64() * 1e3;
        flushed
    }

    /// What another thread needs to mark the run as interrupted while this one is at work.
    pub fn stopper(&self) -> Stopper {
        Stopper { writer: Arc::clone(&self.writer), run_id: self.shared.run_id }
    }

    /// Ends the run. `digest` is the hash over its facts, when all of them were made.
    pub fn finish(
        &mut self,
        status: RunStatus,
        exit_code: i32,
        error: Option<&str>,
        digest: Option<&str>,
    ) -> Result<(), StoreError> {
        let (error, digest) = (error.map(str::to_owned), digest.map(str::to_owned));
        self.end(status.as_str(), Some(exit_code), error, digest)?;
        self.finished = true;
        // Whoever copies the file of a run that has ended has all of it, whether or not the log is there.
        self.settle().map(|_| ())
    }

    fn end(
        &mut self,
        status: &'static str,
        exit_code: Option<i32>,
        error: Option<String>,
        digest: Option<String>,
    ) -> Result<(), StoreError> {
        self.write(Lasting::Now, async move |tx, shared| {
            let now = now_ms();
            stand_up(tx, shared.run_id, status, now).await?;
            tx.execute(
                "UPDATE run SET status = ?, exit_code = ?, error = ?, digest = ?, ended_ms = ? WHERE run_id = ?",
                [
                    status.into(),
                    exit_code.map(i64::from).into(),
                    error.into(),
                    digest.into(),
                    now.into(),
                    shared.run_id.into(),
                ],
            )
            .await
            .map(|_| ())
        })
    }

    /// Runs one transaction of this run, with the heartbeat and the cost owed for the last step.
    fn write<T: Send + 'static>(
        &mut self,
        lasting: Lasting,
        body: impl AsyncFnOnce(&mut Tx<'_>, &Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.flush()?;
        let begun = Instant::now();
        let result = self.hand_over(lasting, body).and_then(Pending::wait);
        self.store_ms += begun.elapsed().as_secs_f64() * 1e3;
        if result.is_ok() {
            self.last_ms = now_ms();
        }
        result
    }

    /// Hands one transaction of this run to the writer, with the heartbeat and the cost owed.
    fn hand_over<T: Send + 'static>(
        &mut self,
        lasting: Lasting,
        body: impl AsyncFnOnce(&mut Tx<'_>, &Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Pending<T>, StoreError> {
        let owed = self.owed.take();
        let shared = Arc::clone(&self.shared);
        self.writer.submit(move |writer| {
            let body = async |tx: &mut Tx<'_>| {
                if let Some(owed) = owed {
                    tx.execute(
                        "UPDATE step SET store_ms = ? WHERE stage_id = ? AND step = ?",
                        [owed.store_ms.into(), owed.stage_id.into(), owed.step.into()],
                    )
                    .await?;
                }
                tx.execute(
                    "UPDATE run SET heartbeat_ms = ? WHERE run_id = ?",
                    [now_ms().into(), shared.run_id.into()],
                )
                .await?;
                body(tx, &shared).await
            };
            match lasting {
                Lasting::Soon => writer.transaction(body),
                Lasting::Now => writer.lasting_transaction(body),
            }
        })
    }

    fn stage_id(&self, index: usize) -> Result<i64, StoreError> {
        self.stages
            .get(&index)
            .copied()
            .ok_or_else(|| self.misfit(format!("stage {index} has not been started")))
    }

    fn misfit(&self, detail: String) -> StoreError {
        StoreError::Facts { run: self.name.clone(), detail }
    }

    /// Hands a step to the writer. It is committed while the next step is computed: whatever is called next waits for
    /// it, and returns its error.
    fn record_step(&mut self, facts: StepFacts) -> Result<(), StoreError> {
        if let Some(detail) = record::misfit(&facts, self.advantages) {
            return Err(self.misfit(format!("step {}: {detail}", facts.step)));
        }
        let (stage_id, step) = (self.stage_id(facts.stage)?, facts.step);
        let record = StepRecord {
            stage_id,
            facts,
            timing: self.timing.take(),
            started_ms: self.last_ms,
            ended_ms: now_ms(),
        };
        // The cost of the step is that of waiting for the one before it and of handing this one over.
        let begun = Instant::now();
        self.pending.take().map_or(Ok(()), Pending::wait)?;
        let pending = self.hand_over(Lasting::Soon, async move |tx, shared| {
            record::step(tx, &shared.record, &shared.reward_keys, &record).await
        })?;
        self.pending = Some(pending);
        self.last_ms = now_ms();
        let store_ms = begun.elapsed().as_secs_f64() * 1e3;
        self.store_ms += store_ms;
        self.owed = Some(StoreCost { stage_id, step, store_ms });
        Ok(())
    }

    fn record_evaluation(&mut self, facts: &EvalFacts) -> Result<(), StoreError> {
        let stage_id = facts.stage.map(|index| self.stage_id(index)).transpose()?;
        let mut samples = facts.items.iter().flat_map(|(_, samples)| samples);
        if samples.any(|sample| sample.outcomes.len() != facts.rewards.len()) {
            let detail = format!("evaluation {}: one outcome per reward is needed", facts.suite);
            return Err(self.misfit(detail));
        }
        let facts = facts.clone();
        self.write(Lasting::Soon, async move |tx, shared| {
            let place = EvalPlace { run_id: shared.run_id, stage_id };
            record::evaluation(tx, place, &shared.record, &shared.reward_keys, &facts).await
        })
    }
}

/// Marks a run as interrupted from outside of the thread that runs it, for a program about to be ended.
pub struct Stopper {
    writer: Arc<WriterHandle>,
    run_id: i64,
}

impl Stopper {
    /// Marks the run as interrupted, after everything handed over before; a run that has ended stays as it is.
    pub fn interrupt(&self, exit_code: i32, why: &str) -> Result<(), StoreError> {
        let (run_id, why) = (self.run_id, why.to_owned());
        self.writer.call(move |writer| {
            writer.transaction(async |tx| {
                let now = now_ms();
                let changed = tx
                    .execute(
                        "UPDATE run SET status = 'interrupted', exit_code = ?, error = ?, ended_ms = ?
                          WHERE run_id = ? AND status = 'running'",
                        [i64::from(exit_code).into(), why.into(), now.into(), run_id.into()],
                    )
                    .await?;
                if changed == 0 {
                    return Ok(());
                }
                stand_up(tx, run_id, "interrupted", now).await
            })
        })
    }
}

impl Recorder for RunWriter {
    fn stage_started(&mut self, facts: &StageFacts) -> Result<(), PortError> {
        let index = facts.index;
        let (facts, key) = (facts.clone(), self.keys.get(index).cloned());
        let stage_id = self.write(Lasting::Soon, async move |tx, shared| {
            record::stage_started(tx, (shared.run_id, key.as_deref()), &facts, now_ms()).await
        })?;
        self.stages.insert(index, stage_id);
        Ok(())
    }

    fn step(&mut self, facts: StepFacts) -> Result<(), PortError> {
        Ok(self.record_step(facts)?)
    }

    fn evaluation(&mut self, facts: &EvalFacts) -> Result<(), PortError> {
        Ok(self.record_evaluation(facts)?)
    }

    fn checkpoint(&mut self, facts: &CheckpointFacts) -> Result<(), PortError> {
        let stage_id = self.stage_id(facts.stage)?;
        let facts = facts.clone();
        Ok(self.write(Lasting::Now, async move |tx, _| {
            record::checkpoint(tx, stage_id, &facts, now_ms()).await
        })?)
    }

    fn kept(&mut self, stage: usize, before_step: u64) -> Result<Vec<Kept>, PortError> {
        Ok(self.write(Lasting::Soon, async move |tx, shared| {
            record::kept(tx, shared.run_id, stage, before_step).await
        })?)
    }

    fn stage_finished(
        &mut self,
        facts: &StageFacts,
        weights_sha256: &str,
    ) -> Result<(), PortError> {
        let stage_id = self.stage_id(facts.index)?;
        let sha256 = weights_sha256.to_owned();
        Ok(self.write(Lasting::Soon, async move |tx, _| {
            record::stage_finished(tx, stage_id, &sha256, now_ms()).await
        })?)
    }
}

impl Drop for RunWriter {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let error = "the program ended before the run did".to_owned();
        if let Err(error) = self.end("crashed", None, Some(error), None) {
            tracing::debug!("run {} could not be marked as crashed: {error}", self.name);
        }
    }
}
