//! A person's deletion of whole runs: everything that is recorded of them, and their folders.
//!
//! Facts are only added, and this is the one way that they go: all of a run, because somebody asked for it, and never a
//! part of one. Rows that runs share stay until nobody has the store open: see `shrink`.

use std::path::{Path, PathBuf};

use crate::about::is_folder_name;
use crate::error::StoreError;
use crate::read::descent::Descent;
use crate::run_resume::refuse_live_run;
use crate::sitting::now_ms;
use crate::store::Store;

/// What becomes of runs that stand on a run that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoodOn {
    /// Nothing is removed.
    Refused,
    /// They stay without it, and an event of theirs says what they came from.
    LeftAlone,
}

/// What is about to go, or went.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Removed {
    /// Name of the run.
    pub run: String,
    /// Identity of the run across stores.
    pub uid: String,
    /// Steps that were recorded and count.
    pub steps: u64,
    /// What lies in the folder of the run: checkpoints and failed calls of rewards, bytes.
    pub folder_bytes: u64,
}

impl Store {
    /// What would go with these runs, each of them once.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn removal(&self, references: &[String]) -> Result<Vec<Removed>, StoreError> {
        let mut removed: Vec<Removed> = Vec::new();
        for reference in references {
            let run = self.run(reference)?;
            if removed.iter().any(|other| other.uid == run.uid) {
                continue;
            }
            let folder_bytes = self.own_folder(&run.name).map_or(0, |own| bytes_below(&own));
            removed.push(Removed { run: run.name, uid: run.uid, steps: run.steps, folder_bytes });
        }
        Ok(removed)
    }

    /// Finds out whether these runs may go, before anybody is asked.
    ///
    /// # Errors
    /// When a program is at work on one of them, or another run stands on one of them and that is refused.
    pub fn check_removal(&self, runs: &[Removed], stood_on: StoodOn) -> Result<(), StoreError> {
        let left = self.standing_on(runs)?;
        if stood_on == StoodOn::Refused
            && let Some(first) = left.first()
        {
            let of = left.iter().filter(|line| line.from == first.from);
            let by = of.map(|line| format!("{} {}", line.run, line.how.sentence())).collect();
            return Err(StoreError::StoodOn { run: first.from.clone(), by });
        }
        let gone: Vec<(String, String)> = pairs(runs);
        self.writer()?.call(move |writer| {
            writer.transaction(async |tx| {
                for (uid, name) in &gone {
                    let row: Option<(i64,)> =
                        tx.fetch("SELECT run_id FROM run WHERE uid = ?", [uid.into()]).await?;
                    if let Some((run_id,)) = row {
                        refuse_live_run(tx, run_id, name).await?;
                    }
                }
                Ok(())
            })
        })
    }

    /// Removes runs from the store, all or none, and their folders after that. A folder that cannot be removed stays, and
    /// is returned with the reason.
    ///
    /// # Errors
    /// When a program is at work on one of them, or another run stands on one of them and that is refused.
    pub fn remove_runs(
        &self,
        runs: &[Removed],
        stood_on: StoodOn,
    ) -> Result<Vec<(PathBuf, std::io::Error)>, StoreError> {
        self.check_removal(runs, stood_on)?;
        let (left, gone) = (self.standing_on(runs)?, pairs(runs));
        self.writer()?.call(move |writer| {
            let result = writer.lasting_transaction(async |tx| {
                for line in &left {
                    let told = format!(
                        "run {}, which this run {}, was removed from the store",
                        line.from,
                        line.how.sentence_of_child()
                    );
                    tx.execute(
                        "INSERT INTO event (run_id, ts_ms, level, target, message)
                         VALUES (?, ?, 'info', 'rm', ?)",
                        [line.run_id.into(), now_ms().into(), told.into()],
                    )
                    .await?;
                }
                for (uid, name) in &gone {
                    let row: Option<(i64,)> =
                        tx.fetch("SELECT run_id FROM run WHERE uid = ?", [uid.into()]).await?;
                    let Some((run_id,)) = row else { continue };
                    refuse_live_run(tx, run_id, name).await?;
                    tx.execute(
                        "UPDATE run SET parent_run_id = NULL, relation = NULL WHERE parent_run_id = ?",
                        [run_id.into()],
                    )
                    .await?;
                    // Everything of a run goes with its row.
                    tx.execute("DELETE FROM run WHERE run_id = ?", [run_id.into()]).await?;
                }
                Ok(())
            });
            writer.settle();
            result
        })?;
        let folders = runs.iter().filter_map(|run| self.own_folder(&run.run));
        let tried = folders.map(|folder| (std::fs::remove_dir_all(&folder), folder));
        Ok(tried
            .filter_map(|(result, folder)| Some((folder, result.err()?)))
            .filter(|(_, error)| error.kind() != std::io::ErrorKind::NotFound)
            .collect())
    }

    /// The folder of a run, where its name cannot lead anywhere else.
    fn own_folder(&self, name: &str) -> Option<PathBuf> {
        is_folder_name(name).then(|| self.run_folder(name))
    }

    /// Lines from runs that stay to runs that go.
    fn standing_on(&self, runs: &[Removed]) -> Result<Vec<Descent>, StoreError> {
        let goes = |uid: &str| runs.iter().any(|run| run.uid == uid);
        let mut lines = self.descents()?;
        lines.retain(|line| goes(&line.from_uid) && !goes(&line.uid));
        Ok(lines)
    }
}

/// Identity and name of each run.
fn pairs(runs: &[Removed]) -> Vec<(String, String)> {
    runs.iter().map(|run| (run.uid.clone(), run.run.clone())).collect()
}

/// Bytes of all regular files in a folder and those below it; links are not followed.
fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        Ok(meta) if meta.is_file() => meta.len(),
        _ => 0,
    };
    entries.flatten().map(bytes).sum()
}
