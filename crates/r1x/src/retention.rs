//! Which checkpoints stay on the disk.
//!
//! A recorder on the way to the store: it removes older periodic checkpoints once a newer one is safe, and never
//! before. The store keeps the facts of checkpoints that are gone.

use std::fs;
use std::path::Path;

use r1x_core::select::Kept;
use r1x_core::{
    CheckpointFacts, CheckpointKind, EvalFacts, PortError, Recorder, StageFacts, StepFacts,
};
use r1x_model::checkpoint::{PARTIAL, remove};
use r1x_store::RunWriter;

/// The recorder of a run that keeps so many periodic checkpoints of each stage.
pub struct Retention<'a> {
    /// The run in the store.
    pub writer: &'a mut RunWriter,
    keep: usize,
}

impl<'a> Retention<'a> {
    /// At least one checkpoint is kept.
    pub fn new(writer: &'a mut RunWriter, keep: usize) -> Self {
        Self { writer, keep: keep.max(1) }
    }
}

impl Recorder for Retention<'_> {
    fn stage_started(&mut self, facts: &StageFacts) -> Result<(), PortError> {
        self.writer.stage_started(facts)
    }

    fn step(&mut self, facts: StepFacts) -> Result<(), PortError> {
        self.writer.step(facts)
    }

    fn evaluation(&mut self, facts: &EvalFacts) -> Result<(), PortError> {
        self.writer.evaluation(facts)
    }

    fn checkpoint(&mut self, facts: &CheckpointFacts) -> Result<(), PortError> {
        self.writer.checkpoint(facts)?;
        // Older ones go once the newest, and every fact before it, depend on nothing that a power cut can take. When
        // somebody is in the way of that now, they go with the next.
        if self.writer.settle()? && facts.kind == CheckpointKind::Step {
            let newest = self.writer.folder().join(&facts.path);
            newest.parent().into_iter().for_each(|stage| prune(stage, facts.step, self.keep));
        }
        Ok(())
    }

    fn kept(&mut self, stage: usize, before_step: u64) -> Result<Vec<Kept>, PortError> {
        self.writer.kept(stage, before_step)
    }

    fn stage_finished(&mut self, facts: &StageFacts, sha256: &str) -> Result<(), PortError> {
        self.writer.stage_finished(facts, sha256)
    }
}

/// Removes the periodic checkpoints of a stage's folder beyond those to keep, and what a program has left that was stopped
/// while it wrote or removed one. What cannot be removed stays: a full disk is no reason to stop a run that has just saved
/// itself.
fn prune(stage: &Path, newest_step: u64, keep: usize) {
    let Ok(entries) = fs::read_dir(stage) else { return };
    let periodic = |entry: fs::DirEntry| {
        let step = CheckpointKind::periodic_step(entry.file_name().to_str()?)?;
        // Later ones are of an attempt that is being done again, and are replaced when their turn comes.
        (step <= newest_step).then_some((step, entry.path()))
    };
    let is_left = |path: &Path| path.to_str().is_some_and(|path| path.ends_with(PARTIAL));
    let entries: Vec<fs::DirEntry> = entries.flatten().collect();
    let (left, named): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| is_left(&entry.path()));
    let mut found: Vec<_> = named.into_iter().filter_map(periodic).collect();
    found.sort();
    let old = found.iter().rev().skip(keep).map(|(_, path)| (path, remove(path)));
    let left: Vec<_> = left.iter().map(fs::DirEntry::path).collect();
    let left = left.iter().map(|path| (path, fs::remove_dir_all(path)));
    for (path, removed) in old.chain(left) {
        if let Err(error) = removed {
            tracing::warn!("old checkpoint {}: {error}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_periodic_checkpoints_stay_and_nothing_else_goes() {
        let stage = tempfile::tempdir().unwrap();
        let names =
            ["step-000002", "step-000004", "step-000006", "step-000009", "final", "step-x", "mine"];
        // Programs were stopped while they wrote and removed checkpoints.
        let left = ["step-000001.partial", "step-000002.partial", "step-000005.replaced.partial"];
        for name in names.iter().chain(&left) {
            fs::create_dir(stage.path().join(name)).unwrap();
            fs::write(stage.path().join(name).join("state.json"), "{}").unwrap();
        }
        prune(stage.path(), 6, 2);
        let mut left: Vec<_> = fs::read_dir(stage.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let expected = ["final", "mine", "step-000004", "step-000006", "step-000009", "step-x"];
        assert_eq!(left, expected);
    }
}
