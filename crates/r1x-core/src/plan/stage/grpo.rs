//! The plan of group-relative policy optimisation, and the choices its variants differ in.

use serde::{Deserialize, Serialize};

use super::{CriticPlan, Learning, Prompts, Reference, Rollouts, StageOutline};
use crate::plan::{CombinePlan, DataRef, HeadPlan, KlPlan, LossPlan, OptimizerPlan, SamplingPlan};

/// Group-relative policy optimisation (DeepSeekMath, section 4; DeepSeek-R1, section 2.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrpoPlan {
    /// Problems, at least one data set. A pass over the data meets every problem of all of them once.
    pub data: Vec<DataRef>,
    /// Ids of the rewards that are summed.
    pub rewards: Vec<String>,
    /// Steps: one batch of rollouts each.
    pub steps: u64,
    /// Prompts per step.
    pub prompts_per_step: usize,
    /// Rollouts per prompt.
    pub group_size: usize,
    /// How rollouts are sampled.
    pub sampling: SamplingPlan,
    /// Passes over each batch of rollouts.
    pub epochs: usize,
    /// Optimizer updates a pass is split into.
    pub updates_per_epoch: usize,
    /// Sequences computed together.
    pub micro_batch_size: usize,
    /// Optimizer.
    pub optimizer: OptimizerPlan,
    /// How totals become advantages.
    pub advantage: AdvantagePlan,
    /// What an update minimises.
    pub loss: LossPlan,
    /// What happens to groups whose totals are all equal.
    pub zero_signal: ZeroSignal,
    /// What happens to truncated completions.
    pub truncated: Truncated,
    /// The share of a step's trained tokens, those of the highest entropy, that have a policy gradient; 1 is all of them.
    pub top_entropy_share: f64,
    /// Compute a group's prompt once for all its completions in training, as in sampling. The gradient is the
    /// same up to rounding.
    pub share_prompts: bool,
    /// The model that says what rollouts are worth at each token, where advantages are estimated with one.
    pub critic: Option<Box<CriticPlan>>,
}

impl GrpoPlan {
    pub(super) fn outline(&self) -> StageOutline<'_> {
        let reference = match self.loss.penalty() {
            None => Reference::None,
            Some(kl) if kl.is_average() => Reference::Following,
            Some(KlPlan { refresh_every: Some(_), .. }) => Reference::Refreshed,
            Some(KlPlan { refresh_every: None, .. }) => Reference::Fixed,
        };
        StageOutline {
            steps: self.steps,
            problems_per_step: self.prompts_per_step,
            further_problems_per_step: self.most_prompts_per_step() - self.prompts_per_step,
            data: self.data.iter().collect(),
            rewards: &self.rewards,
            suites: &[],
            head: HeadPlan::Vocabulary,
            values: None,
            rollouts: Some(Rollouts { per_problem: self.group_size, sampling: &self.sampling }),
            merges: &[],
            learning: Some(Learning {
                sequences_per_step: self.prompts_per_step.saturating_mul(self.group_size),
                epochs: self.epochs,
                updates_per_epoch: self.updates_per_epoch,
                micro_batch_size: self.micro_batch_size,
                prompts: if self.share_prompts { Prompts::Shared } else { Prompts::Repeated },
                reference,
                scored_before: 0,
            }),
            teacher: None,
            critic: self.critic.as_deref(),
            makes: None,
            remarks: self.remarks(),
        }
    }

    fn remarks(&self) -> Vec<(&'static str, String)> {
        let critic = self.critic.as_ref().map(|critic| ("critic", critic.words()));
        std::iter::once(("loss", self.divisor())).chain(critic).collect()
    }

    /// What the loss is divided by, and which rollouts it never sees, in words.
    fn divisor(&self) -> String {
        let divided = self.loss.divisor(self.fixed_length());
        let mut untrained = vec!["rollouts without a total"];
        if !self.zero_signal.is_kept() {
            untrained.push("groups of equal totals");
        }
        if self.truncated == Truncated::Mask {
            untrained.push("truncated completions");
        }
        let mut said = format!("divided {divided}\nnot trained on: {}", untrained.join(", "));
        if let ZeroSignal::Resample { .. } = self.zero_signal {
            let (places, most) = (self.prompts_per_step, self.most_prompts_per_step());
            let places = format!("\nsampled until {places} groups of a step have different totals");
            said.push_str(&format!("{places}, or {most} problems were drawn for it"));
        }
        said
    }

    /// The most problems that a step draws, those in place of others included. Never fewer than it is planned to draw.
    pub fn most_prompts_per_step(&self) -> usize {
        match self.zero_signal {
            ZeroSignal::Keep | ZeroSignal::Drop => self.prompts_per_step,
            ZeroSignal::Resample { most_batches } => {
                self.prompts_per_step.saturating_mul(most_batches.max(1))
            }
        }
    }

    /// What `fixed_length` divides an update by: its share of the step's rollouts, groups that will be dropped or
    /// could not be replaced included, times the longest completion. The same number in every update.
    pub fn fixed_length(&self) -> f64 {
        let rollouts = self.prompts_per_step * self.group_size;
        rollouts as f64 / self.updates_per_epoch as f64 * self.sampling.max_tokens as f64
    }
}

/// How totals become advantages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdvantagePlan {
    /// The estimator.
    pub kind: AdvantageKind,
    /// Added to the standard deviation.
    pub eps: f64,
    /// How the rewards of a rollout are put together.
    pub combine: CombinePlan,
}

/// The estimator of advantages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdvantageKind {
    /// (r − mean) / (std + eps) inside the group: GRPO.
    GroupNormalized,
    /// r − mean inside the group: Dr.GRPO.
    GroupCentered,
    /// r − mean of the other rollouts: RLOO.
    LeaveOneOut,
    /// r − mean inside the group, divided by the std + eps of the step.
    BatchScaled,
    /// (r − mean) / (std + eps) over the step: REINFORCE++.
    BatchNormalized,
    /// What came of each token against what a critic had expected: PPO.
    Gae,
}

impl AdvantageKind {
    /// Whether it compares the rollouts of a group with each other, so that one alone has no advantage.
    pub fn compares_group(self) -> bool {
        !matches!(self, AdvantageKind::BatchNormalized | AdvantageKind::Gae)
    }
}

/// What happens to groups whose totals are all equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroSignal {
    /// They stay in the batch with advantage 0, and count in the denominators.
    Keep,
    /// They are left out of the update.
    Drop,
    /// They are left out of the update, and other problems are drawn in their place (dynamic sampling of DAPO).
    Resample {
        /// The most problems that a step draws, in batches of its prompts: those that it begins with are the first.
        most_batches: usize,
    },
}

impl ZeroSignal {
    /// Whether such groups are part of the update.
    pub fn is_kept(self) -> bool {
        self == ZeroSignal::Keep
    }
}

/// What happens to truncated completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truncated {
    /// They are trained on like the others.
    Keep,
    /// Their tokens are left out of the loss; their rewards still count in the group.
    Mask,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// 4 prompts of 4 rollouts of 4 tokens.
    #[test]
    fn a_stage_says_what_it_may_draw_and_what_it_never_trains_on() {
        let said = |zero_signal| {
            let plan = GrpoPlan { zero_signal, ..testing::grpo(1) };
            let outline = plan.outline();
            assert_eq!(plan.fixed_length(), 64.0, "{zero_signal:?}");
            let problems = (outline.problems_per_step, outline.most_problems_per_step());
            (problems, outline.remarks[0].1.lines().skip(1).collect::<Vec<_>>().join("|"))
        };
        let [unjudged, equal] = ["rollouts without a total", "groups of equal totals"];
        for (zero_signal, most, words) in [
            (ZeroSignal::Keep, 4, format!("not trained on: {unjudged}")),
            (ZeroSignal::Drop, 4, format!("not trained on: {unjudged}, {equal}")),
            (
                ZeroSignal::Resample { most_batches: 3 },
                12,
                format!(
                    "not trained on: {unjudged}, {equal}|sampled until 4 groups of a step have different totals, or 12 \
                     problems were drawn for it"
                ),
            ),
        ] {
            assert_eq!(said(zero_signal), ((4, most), words));
        }
    }
}
