//! Sittings of a run: the spans of time in which a program was at work on it, and the times that facts are stamped with.

use crate::error::StoreError;
use crate::writer::Tx;

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

/// A process begins to work on a run.
pub(crate) async fn sit_down(
    tx: &mut Tx<'_>,
    run_id: i64,
    folder: Option<&str>,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO sitting (run_id, number, folder, started_ms)
         SELECT ?1, 1 + coalesce(max(number), 0), ?2, ?3 FROM sitting WHERE run_id = ?1",
        [run_id.into(), folder.into(), now_ms.into()],
    )
    .await
    .map(|_| ())
}

/// The process that worked on a run has ended, and with it every stage that is not done. `status` is the run's.
pub(crate) async fn stand_up(
    tx: &mut Tx<'_>,
    run_id: i64,
    status: &'static str,
    ended_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE sitting SET ended_ms = ?2 WHERE run_id = ?1 AND ended_ms IS NULL",
        [run_id.into(), ended_ms.into()],
    )
    .await?;
    // A run that is done, whatever its gates say, has no stage left to end.
    tx.execute(
        "UPDATE stage SET status = ?2, ended_ms = ?3
          WHERE run_id = ?1 AND status = 'running' AND ?2 NOT IN ('done', 'gate missed')",
        [run_id.into(), status.into(), ended_ms.into()],
    )
    .await
    .map(|_| ())
}
