//! Facts: what a run leaves behind. They are only ever added.

use crate::checkpoint::CheckpointKind;
use crate::rollout::{ConditionState, CreditedGroup, FinishReason, RewardOutcome, RewardStatus};
use crate::select::Verdict;

/// A stage begins or ends.
#[derive(Clone, Debug, PartialEq)]
pub struct StageFacts {
    /// Position in the plan.
    pub index: usize,
    /// The stage's id in the spec.
    pub id: String,
    /// The word for the kind of stage, as [`crate::plan::StageKind::as_str`] says it; another word for a stage that
    /// another system has run.
    pub kind: &'static str,
    /// The first step this attempt runs (more than 0 after a resume).
    pub start_step: u64,
}

/// What one step of a stage did.
#[derive(Clone, Debug, PartialEq)]
pub struct StepFacts {
    /// Position of the stage in the plan.
    pub stage: usize,
    /// Step inside the stage, from 0.
    pub step: u64,
    /// Rewards that scored the groups, by id, in the order of the outcomes; empty for supervised stages.
    pub rewards: Vec<String>,
    /// Every group with its rollouts, rewards and advantages; empty for supervised stages. Groups from which nobody
    /// learns have no advantages.
    pub groups: Vec<CreditedGroup>,
    /// Log-probs under the reference policy, `[group][rollout][token]`; empty without a KL term. A rollout that
    /// no loss falls on has an empty list, because the reference was not asked about it.
    pub reference_logprobs: Vec<Vec<Vec<f32>>>,
    /// What became of each rollout, `[group][rollout]`, in a stage that makes data; empty in other stages.
    pub verdicts: Vec<Vec<Verdict>>,
    /// Named numbers of the step (`loss`, `reward.mean`, `grad_norm`, `lr`, ...), in a fixed order.
    pub metrics: Vec<(String, f64)>,
}

/// One graded sample of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct EvalSample {
    /// Completion text.
    pub text: String,
    /// Completion tokens.
    pub tokens: Vec<u32>,
    /// Log-prob of each token.
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub finish: FinishReason,
    /// What the grading reward said.
    pub value: Option<f64>,
    /// Whether the condition of that reward is met; `None` for a reward without a condition.
    pub condition: Option<ConditionState>,
    /// Its value as it counts: inside its bounds, and as its condition lets it.
    pub score: Option<f64>,
    /// How grading ended.
    pub status: RewardStatus,
    /// Whether the score reaches the suite's threshold.
    pub correct: bool,
    /// What every reward of the evaluation said, in the order of [`EvalFacts::rewards`].
    pub outcomes: Vec<RewardOutcome>,
}

/// One figure of an evaluation, e.g. `pass@1`.
#[derive(Clone, Debug, PartialEq)]
pub struct EvalMetric {
    /// `pass@k`, `truncated`, `tokens`.
    pub metric: String,
    /// Mean over the items.
    pub value: f64,
    /// Standard error of that mean over items.
    pub stderr: f64,
    /// Items in the mean.
    pub n_items: usize,
    /// Samples per item.
    pub n_samples: usize,
}

/// One evaluation of one suite.
#[derive(Clone, Debug, PartialEq)]
pub struct EvalFacts {
    /// Position of the stage after (or inside) which it ran; `None` before the first stage.
    pub stage: Option<usize>,
    /// The label of the row: `start`, or the id of the stage.
    pub label: String,
    /// Steps of the stage done at that time.
    pub step: u64,
    /// The suite's id.
    pub suite: String,
    /// Rewards that scored the samples, by id: the grade, then those that decide whether it counts.
    pub rewards: Vec<String>,
    /// The items: problem key, prompt, gold answer, and the samples.
    pub items: Vec<(crate::problem::Problem, Vec<EvalSample>)>,
    /// The figures.
    pub metrics: Vec<EvalMetric>,
}

/// A checkpoint was written.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointFacts {
    /// Position of the stage in the plan.
    pub stage: usize,
    /// Steps of that stage done.
    pub step: u64,
    /// Why it was made.
    pub kind: CheckpointKind,
    /// Path relative to the run's folder.
    pub path: String,
    /// sha256 of the weights file, hex.
    pub sha256: String,
    /// sha256 of its state, hex: the cursor, and the hashes of everything else in it.
    pub state_sha256: String,
    /// Size on disk of everything in it.
    pub bytes: u64,
}
