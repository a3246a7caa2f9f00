//! The kinds of stage: supervised fine-tuning, GRPO, rejection sampling, reward models, direct preference optimisation,
//! distillation, merges, evaluation.
//!
//! A stage that goes in steps says how to begin and how to do one step; everything between steps (recording, evaluations,
//! checkpoints, stopping) is alike for all and lives in `run.rs`.

pub(crate) mod distill;
pub(crate) mod dpo;
pub(crate) mod evaluate;
pub(crate) mod grpo;
pub(crate) mod merge;
pub(crate) mod reject;
pub(crate) mod reward_model;
pub(crate) mod sft;

use r1x_core::plan::{DataRef, RewardPlan, RunPlan, StageKind, StagePlan};
use r1x_core::{
    CheckpointKind, Encoder, Policy, PortError, Problem, ProblemSource, Rng, StepFacts,
};

use crate::draw::{ProblemStream, piles};
use crate::error::TrainError;
use crate::ports::Ports;

/// A stage that does something step by step. How many steps it has and what they draw is in its outline.
pub(crate) trait SteppedStage {
    /// The different problems that its steps will draw, or may draw.
    fn ahead(&mut self) -> Vec<&Problem>;
    /// Finds out before the run what would make a later step fail: every problem the stage will draw.
    fn check(&mut self, encoder: &dyn Encoder) -> Result<(), PortError>;
    /// Prepares the policy when the stage starts anew, with a fresh optimizer and no frozen weights; a resumed stage finds
    /// the policy prepared.
    fn begin(&mut self, _policy: &mut dyn Policy) -> Result<(), PortError> {
        Ok(())
    }
    /// Does one step.
    fn step(&mut self, ports: &mut Ports<'_>, at: StepPlace) -> Result<StepFacts, PortError>;
}

/// Which step of which stage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepPlace {
    /// Position of the stage in the plan.
    pub(crate) stage: usize,
    /// Step of the stage, from 0.
    pub(crate) step: u64,
    /// Problems drawn in the stage before this step.
    pub(crate) drawn: u64,
}

/// What goes in steps behind a stage; `None` for a stage that only evaluates. The table of the kinds of stage: a new kind is
/// a file beside this one and a row here.
pub(crate) fn stepped<'a>(
    run: &'a RunPlan,
    stage: &'a StagePlan,
    source: &'a dyn ProblemSource,
) -> Result<Option<Box<dyn SteppedStage + 'a>>, PortError> {
    Ok(match &stage.kind {
        StageKind::Sft(plan) => Some(Box::new(sft::SftStage::new(run, &stage.id, plan, source)?)),
        StageKind::Grpo(plan) => {
            Some(Box::new(grpo::GrpoStage::new(run, &stage.id, plan, source)?))
        }
        StageKind::Reject(plan) => {
            Some(Box::new(reject::RejectStage::new(run, &stage.id, plan, source)?))
        }
        StageKind::RewardModel(plan) => {
            Some(Box::new(reward_model::RewardModelStage::new(run, &stage.id, plan, source)?))
        }
        StageKind::Dpo(plan) => Some(Box::new(dpo::DpoStage::new(run, &stage.id, plan, source)?)),
        StageKind::Distill(plan) => {
            Some(Box::new(distill::DistillStage::new(run, &stage.id, plan, source)?))
        }
        StageKind::Merge(plan) => Some(Box::new(merge::MergeStage::new(run, plan))),
        StageKind::Evaluate(_) => None,
    })
}

/// The name of the checkpoint that a stage has ended with.
pub(crate) fn last_checkpoint(run: &RunPlan, id: &str) -> Result<String, PortError> {
    match run.stages.iter().find(|stage| stage.id == id) {
        Some(stage) => Ok(CheckpointKind::Stage.path(id, stage.kind.outline().steps)),
        None => Err(TrainError::UnknownStage { id: id.to_owned() }.into()),
    }
}

/// How messages call a stage.
pub(crate) fn stage_place(id: &str) -> String {
    format!("stage `{id}`")
}

/// How messages call an evaluation suite.
pub(crate) fn suite_place(id: &str) -> String {
    format!("eval `{id}`")
}

/// The reward called `id`.
pub(crate) fn reward_by_id(run: &RunPlan, id: &str, place: &str) -> Result<RewardPlan, PortError> {
    run.reward(id).cloned().ok_or_else(|| {
        TrainError::Unknown { place: place.to_owned(), kind: "reward", id: id.to_owned() }.into()
    })
}

/// The rewards of these ids, in order.
fn rewards_by_id(run: &RunPlan, ids: &[String], place: &str) -> Result<Vec<RewardPlan>, PortError> {
    ids.iter().map(|id| reward_by_id(run, id, place)).collect()
}

/// The problems that the steps of a stage draw, so many in each step. Errors when there are fewer than that.
fn problem_stream<'a>(
    run: &RunPlan,
    id: &str,
    (data, per_step): (&[DataRef], usize),
    source: &'a dyn ProblemSource,
) -> Result<ProblemStream<'a>, PortError> {
    let place = stage_place(id);
    let piles = piles(source, data, &place)?;
    let stream = ProblemStream::new(piles, Rng::new(run.seed).stream("problems").named(id));
    check_batch(&place, run, data, stream.pass_length(), per_step)?;
    Ok(stream)
}

/// An error unless the data holds at least one batch of different problems. How many rows a stage makes nobody knows
/// before it has made them, and a run that has come so far goes on: where there are few, a batch goes through them again.
fn check_batch(
    place: &str,
    run: &RunPlan,
    data: &[DataRef],
    available: usize,
    needed: usize,
) -> Result<(), PortError> {
    if available >= needed || data.iter().any(|one| run.maker(&one.data).is_some()) {
        return Ok(());
    }
    let name = |one: &DataRef| format!("`{}.{}`", one.data, one.split.as_str());
    let named: Vec<String> = data.iter().map(name).collect();
    Err(TrainError::FewerThanABatch {
        place: place.to_owned(),
        data: named.join(" and "),
        available,
        needed,
    }
    .into())
}
