//! Small things on the other side of ports: problems in a list, rewards that are a function, completions of a length.

use std::collections::BTreeMap;

use crate::Boundary;
use crate::plan::RewardPlan;
use crate::port::{Outcomes, PendingGroups, PortError, ProblemSource, Rewarder, Scoring};
use crate::problem::{Problem, PromptForm, Split};
use crate::reward::applies;
use crate::rollout::{
    Completion, FinishReason, PendingGroup, RewardOutcome, RewardStatus, Rollout,
};

/// A problem without a solution, an answer or columns, of no data set.
pub fn problem(key: &str, prompt: &str) -> Problem {
    Problem {
        data: String::new(),
        key: key.to_owned(),
        prompt: prompt.to_owned(),
        form: PromptForm::Text,
        solution: None,
        solution_tokens: None,
        rejected: None,
        answer: None,
        columns: BTreeMap::new(),
    }
}

/// Problems in a list, whatever the data set and the split.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListedProblems(pub Vec<Problem>);

impl ProblemSource for ListedProblems {
    fn problems(&self, _: &str, _: Split) -> Result<&[Problem], PortError> {
        Ok(&self.0)
    }
}

/// A completion of so many tokens that ended by itself, each token certain.
pub fn completion(tokens: usize) -> Completion {
    Completion {
        tokens: vec![1; tokens],
        logprobs: vec![0.0; tokens],
        entropies: vec![0.0; tokens],
        finish: FinishReason::Stop,
    }
}

/// The outcome of a reward that has given this value and says nothing else.
pub fn outcome(value: f64) -> RewardOutcome {
    RewardOutcome { value: Some(value), status: RewardStatus::Ok, parts: Vec::new(), info: None }
}

/// What a rule is told of a rollout: the id of the reward, the problem, the rollout's position in its group, and the
/// rollout.
pub type Ruled<'r> = (&'r str, &'r Problem, usize, &'r Rollout);

/// Rewards that are a function.
#[derive(Clone, Copy, Debug)]
pub struct RuleRewarder<F>(pub F);

impl<F: Fn(Ruled<'_>) -> RewardOutcome> Rewarder for RuleRewarder<F> {
    fn begin(
        &mut self,
        rewards: &[RewardPlan],
        groups: PendingGroups,
    ) -> Result<Box<dyn Scoring + '_>, PortError> {
        Ok(by_rule(rewards, groups, &self.0))
    }
}

/// Scoring by a rule, at the end of the session. It fails when a group was announced twice, or never.
pub fn by_rule<'f>(
    rewards: &[RewardPlan],
    groups: PendingGroups,
    rule: impl Fn(Ruled<'_>) -> RewardOutcome + 'f,
) -> Box<dyn Scoring + 'f> {
    let arrived = vec![0; groups.len()];
    Box::new(ByRule { rewards: rewards.to_vec(), groups, arrived, rule })
}

struct ByRule<F> {
    rewards: Vec<RewardPlan>,
    groups: PendingGroups,
    /// How often each group was announced.
    arrived: Vec<usize>,
    rule: F,
}

impl<F: Fn(Ruled<'_>) -> RewardOutcome> Scoring for ByRule<F> {
    fn arrived(&mut self, group: usize) {
        self.arrived[group] += 1;
    }

    fn finish(self: Box<Self>) -> Result<Outcomes, PortError> {
        let Self { rewards, groups, arrived, rule } = *self;
        let wrong = |message: String| {
            PortError::new(Boundary::Internal, message, "a test or a measurement is wrong")
        };
        if let Some(group) = arrived.iter().position(|times| *times != 1) {
            return Err(wrong(format!("group {group} was announced {} times", arrived[group])));
        }
        let of_group = |reward: &RewardPlan, group: &PendingGroup| {
            if !applies(reward, &group.problem) {
                return Ok(vec![RewardOutcome::unasked(); group.samples]);
            }
            let rollouts = group.rollouts().ok_or_else(|| {
                wrong(format!("the group of {} was announced and is not there", group.problem.key))
            })?;
            let ruled = rollouts.iter().enumerate();
            Ok(ruled.map(|(at, rollout)| rule((&reward.id, &group.problem, at, rollout))).collect())
        };
        let of_reward =
            |reward: &RewardPlan| groups.iter().map(|group| of_group(reward, group)).collect();
        rewards.iter().map(of_reward).collect()
    }
}
