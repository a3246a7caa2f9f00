//! A run that goes on: what no longer counts, who is at work on it, and what became of runs whose program has died.

use crate::error::StoreError;
use crate::process_liveness::Process;
use crate::run_begin::{Begun, record_plan, reward_keys};
use crate::sitting::{now_ms, sit_down, stand_up};
use crate::text::{MaybeText, Text};
use crate::writer::{Cell, Tx};

/// A point in a run: so many steps of a stage are done. Points are in the order of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StagePoint {
    /// Position of the stage in the plan.
    pub stage: usize,
    /// Steps of it that are done.
    pub step: u64,
}

/// Makes a run go on from a point: what comes after it no longer counts, and stays.
pub(crate) async fn resume(
    tx: &mut Tx<'_>,
    run_id: i64,
    from: StagePoint,
    folder: Option<&str>,
) -> Result<Begun, StoreError> {
    let row: Option<(Text, Text, Text)> = tx
        .fetch(
            "SELECT name, uid, plan_json FROM run JOIN spec USING (spec_id) WHERE run_id = ?",
            [run_id.into()],
        )
        .await?;
    let (Text(name), Text(uid), Text(plan_json)) =
        row.ok_or_else(|| tx.internal(format!("run {run_id} has gone")))?;
    refuse_live_run(tx, run_id, &name).await?;
    supersede(tx, run_id, from).await?;
    let me = Process::current();
    let now = now_ms();
    sit_down(tx, run_id, folder, now).await?;
    tx.execute(
        "UPDATE run SET status = 'running', exit_code = NULL, error = NULL, digest = NULL, ended_ms = NULL,
             machine = ?, pid = ?, pid_start = ?, boot_id = ?, heartbeat_ms = ? WHERE run_id = ?",
        [
            me.machine.into(),
            me.pid.into(),
            me.pid_start.into(),
            me.boot_id.into(),
            now.into(),
            run_id.into(),
        ],
    )
    .await?;
    let stages: Vec<(i64, i64)> = tx
        .fetch_all(
            "SELECT idx, stage_id FROM stage WHERE run_id = ? AND idx < ? AND superseded_from IS NULL ORDER BY attempt",
            [run_id.into(), from.stage.into()],
        )
        .await?;
    let stages = stages.into_iter().map(|(idx, id)| (idx as usize, id)).collect();
    let record = record_plan(&name, &plan_json)?;
    let reward_keys = reward_keys(tx, run_id).await?;
    Ok(Begun { run_id, name, uid, record, reward_keys, stages })
}

async fn supersede(tx: &mut Tx<'_>, run_id: i64, from: StagePoint) -> Result<(), StoreError> {
    let at: [Cell; 3] = [run_id.into(), from.stage.into(), from.step.into()];
    // -1 for later stages: not even a checkpoint after 0 of their steps still counts.
    tx.execute(
        "UPDATE stage SET superseded_from = CASE WHEN idx = ?2
                THEN min(coalesce(superseded_from, ?3), ?3) ELSE -1 END
          WHERE run_id = ?1 AND idx >= ?2",
        at.clone(),
    )
    .await?;
    tx.execute(
        "UPDATE eval_run SET superseded = 1 WHERE run_id = ?1 AND stage_id IN
                (SELECT stage_id FROM stage WHERE run_id = ?1
                    AND (idx > ?2 OR (idx = ?2 AND eval_run.step > ?3)))",
        at,
    )
    .await?;
    Ok(())
}

type ProcessRow = (i64, MaybeText, Option<i64>, Option<i64>, MaybeText, i64);

fn process(row: &ProcessRow) -> (Process, i64) {
    let process = Process {
        machine: row.1.0.clone(),
        pid: row.2.unwrap_or(0),
        pid_start: row.3,
        boot_id: row.4.0.clone(),
    };
    (process, row.5)
}

async fn running(tx: &mut Tx<'_>) -> Result<Vec<ProcessRow>, StoreError> {
    tx.fetch_all(
        "SELECT run_id, machine, pid, pid_start, boot_id, heartbeat_ms FROM run WHERE status = 'running'",
        [],
    )
    .await
}

/// Names of the runs that a living program is at work on.
pub(crate) async fn at_work(tx: &mut Tx<'_>) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for row in running(tx).await? {
        let (process, heartbeat_ms) = process(&row);
        if process.is_alive(heartbeat_ms, now_ms()) {
            let name: Option<(Text,)> =
                tx.fetch("SELECT name FROM run WHERE run_id = ?", [row.0.into()]).await?;
            names.extend(name.map(|(Text(name),)| name));
        }
    }
    Ok(names)
}

/// An error where a living program is at work on a run.
pub(crate) async fn refuse_live_run(
    tx: &mut Tx<'_>,
    run_id: i64,
    name: &str,
) -> Result<(), StoreError> {
    for row in running(tx).await?.iter().filter(|row| row.0 == run_id) {
        let (process, heartbeat_ms) = process(row);
        if process.is_alive(heartbeat_ms, now_ms()) {
            return Err(StoreError::StillRunning { run: name.to_owned(), pid: process.pid });
        }
    }
    Ok(())
}

/// Marks runs whose process has died without a word.
pub(crate) async fn mark_crashed(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let now = now_ms();
    for row in running(tx).await? {
        let (process, heartbeat_ms) = process(&row);
        if !process.is_alive(heartbeat_ms, now) {
            stand_up(tx, row.0, "crashed", heartbeat_ms).await?;
            tx.execute(
                "UPDATE run SET status = 'crashed', ended_ms = heartbeat_ms,
                        error = 'its process ended without a word' WHERE run_id = ?",
                [row.0.into()],
            )
            .await?;
        }
    }
    Ok(())
}
