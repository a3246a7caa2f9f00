//! Stages that an earlier run in the store has run already: a run takes them over instead of running them again.
//!
//! Which stages are equal is decided by their keys (`crates/r1x-core/src/plan/key.rs`), which take in the build of r1x and
//! where it computes. A stage whose checkpoint is gone or changed is run.

use std::path::PathBuf;

use r1x_core::plan::RunPlan;
use r1x_core::port::Reuse;
use r1x_core::{CheckpointFacts, CheckpointKind, PortError, StageFacts};
use r1x_model::{Expected, Home};
use r1x_store::{Level, OriginCheckpoint, RunWriter, StageOrigin, Store};

use crate::environment;
use crate::failure::Failure;
use crate::notice::Notice;

/// Whether a run takes stages of earlier runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReuseChoice {
    /// Where there are any.
    Allowed,
    /// Every stage is run.
    Refused,
}

/// The keys of the stages of a plan as this program computes them on a device; none where its own file cannot be read.
pub fn keys(plan: &RunPlan, device: &str) -> Vec<String> {
    let computed_by = environment::computed_by(device);
    computed_by.map(|computed_by| plan.stage_keys(&computed_by)).unwrap_or_default()
}

/// The stages of a plan that need not be run.
#[derive(Debug, Default)]
pub struct Reusable {
    /// Of each stage of the plan those of earlier runs, the best one first.
    origins: Vec<Vec<StageOrigin>>,
    /// The folder of the runs of the store.
    runs: PathBuf,
}

/// A stage that is taken over.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Reused {
    /// Id of the stage.
    pub stage: String,
    /// Name of the run that it is taken from.
    pub from: String,
}

impl Reusable {
    /// Looks for stages of these keys in a store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn find(store: &Store, plan: &RunPlan, keys: &[String]) -> Result<Self, Failure> {
        let runs = store.run_folder("");
        let mut origins = Vec::new();
        for (stage, key) in plan.stages.iter().zip(keys) {
            let mut found = store.reusable(key, stage.kind.outline().steps)?;
            found.retain(|origin| {
                let path = origin.checkpoint.as_ref().map(|saved| &saved.path);
                path.is_none_or(|path| runs.join(&origin.run).join(path).exists())
            });
            origins.push(found);
        }
        Ok(Self { origins, runs })
    }

    /// The stages that are taken over, as far as can be known beforehand.
    pub fn stages(&self, plan: &RunPlan) -> Vec<Reused> {
        let named = plan.stages.iter().zip(&self.origins);
        let first = named.filter_map(|(stage, origins)| Some((stage, origins.first()?)));
        let reused = first
            .map(|(stage, origin)| Reused { stage: stage.id.clone(), from: origin.run.clone() });
        reused.collect()
    }

    /// Takes a stage over, where there is one, and returns the name of the run that it was run in.
    ///
    /// # Errors
    /// When its facts cannot be recorded.
    pub fn take(
        &self,
        facts: &StageFacts,
        steps: u64,
        writer: &mut RunWriter,
    ) -> Result<Option<String>, PortError> {
        for origin in self.origins.get(facts.index).into_iter().flatten() {
            let checkpoint = match &origin.checkpoint {
                None => None,
                Some(saved) => match self.share(origin, saved, writer) {
                    Ok(saved) => Some(CheckpointFacts {
                        stage: facts.index,
                        step: steps,
                        kind: CheckpointKind::Stage,
                        path: saved.path,
                        sha256: saved.sha256,
                        state_sha256: saved.state_sha256,
                        bytes: saved.bytes,
                    }),
                    Err(error) => {
                        let notice = Notice::new(
                            format!(
                                "stage `{}` cannot be taken over from run {}: {}",
                                facts.id, origin.run, error.message
                            ),
                            "nothing is to be done: the stage is run again",
                        );
                        notice.say();
                        writer.event(Level::Warn, "reuse", &notice.message)?;
                        continue;
                    }
                },
            };
            if writer.reuse(facts, origin, checkpoint)? == Reuse::Taken {
                return Ok(Some(origin.run.clone()));
            }
        }
        Ok(None)
    }

    fn share(
        &self,
        origin: &StageOrigin,
        saved: &OriginCheckpoint,
        writer: &RunWriter,
    ) -> Result<r1x_core::port::SavedCheckpoint, PortError> {
        let expected = Expected {
            weights_sha256: Some(&saved.sha256),
            state_sha256: Some(&saved.state_sha256),
            run: Some(&origin.uid),
        };
        let (folder, run) = (writer.folder().to_owned(), writer.uid().to_owned());
        let home = Home { folder, run, ..Home::default() };
        let from = self.runs.join(&origin.run).join(&saved.path);
        Ok(r1x_model::checkpoint::share(&from, &expected, &home, &saved.path)?)
    }
}
