//! From problems to rewarded groups: tokenise, sample, score, sum.
//!
//! Used by training and by evaluations alike. Must not know losses, advantages or what the groups are for.

use r1x_core::plan::SamplingPlan;
use r1x_core::port::GenerateRequest;
use r1x_core::reward::Combination;
use r1x_core::{
    Policy, PortError, Problem, RewardedGroup, Rewarder, Rollout, RolloutGroup, Stream,
};

use crate::credit;
use crate::error::TrainError;

/// How the rollouts of one step or one evaluation are drawn.
#[derive(Clone, Copy)]
pub(crate) struct Sampler<'a> {
    /// Rollouts per problem.
    pub(crate) samples: usize,
    /// How tokens are drawn.
    pub(crate) sampling: &'a SamplingPlan,
    /// Where chance comes from.
    pub(crate) stream: Stream,
    /// Who asks, for errors.
    pub(crate) place: &'a str,
}

/// The tokens of a problem's prompt, with room for `max_tokens` after them.
pub(crate) fn encode_prompt(
    policy: &dyn Policy,
    problem: &Problem,
    max_tokens: usize,
    place: &str,
) -> Result<Vec<u32>, PortError> {
    let tokens = policy.encode(&problem.prompt)?;
    if tokens.is_empty() {
        return Err(TrainError::EmptyPrompt {
            place: place.to_owned(),
            problem: problem.key.clone(),
        }
        .into());
    }
    if tokens.len() + max_tokens > policy.context_length() {
        return Err(TrainError::PromptTooLong {
            place: place.to_owned(),
            problem: problem.key.clone(),
            prompt: tokens.len(),
            max_tokens,
            context: policy.context_length(),
        }
        .into());
    }
    Ok(tokens)
}

/// Samples a group of rollouts for every problem; problem `i` draws from address `first_address + i`.
pub(crate) fn generate_groups(
    policy: &mut dyn Policy,
    sampler: Sampler<'_>,
    problems: &[&Problem],
    first_address: u64,
) -> Result<Vec<RolloutGroup>, PortError> {
    let mut requests = Vec::with_capacity(problems.len());
    for (problem, address) in problems.iter().zip(first_address..) {
        requests.push(GenerateRequest {
            prompt: encode_prompt(policy, problem, sampler.sampling.max_tokens, sampler.place)?,
            samples: sampler.samples,
            address,
            lengths: Vec::new(),
        });
    }
    let completions = policy.generate(&requests, sampler.sampling, sampler.stream)?;
    check_shape(
        sampler.place,
        "policy",
        "groups of completions",
        completions.len(),
        requests.len(),
    )?;
    let mut groups = Vec::with_capacity(problems.len());
    for ((problem, request), completions) in problems.iter().zip(requests).zip(completions) {
        check_shape(sampler.place, "policy", "completions", completions.len(), sampler.samples)?;
        let rollouts = completions
            .into_iter()
            .map(|completion| Rollout { text: policy.decode(&completion.tokens), completion })
            .collect();
        groups.push(RolloutGroup {
            problem: (*problem).clone(),
            prompt_tokens: request.prompt,
            rollouts,
        });
    }
    Ok(groups)
}

/// Scores every rollout with every reward, in the order given, and puts the values together.
pub(crate) fn reward_groups(
    rewarder: &mut dyn Rewarder,
    combination: &Combination<'_>,
    groups: Vec<RolloutGroup>,
    place: &str,
) -> Result<Vec<RewardedGroup>, PortError> {
    let rewards = combination.rewards();
    let scores = rewarder.score(rewards, &groups)?;
    check_shape(place, "rewarder", "lists of scores", scores.len(), rewards.len())?;
    let mut scores: Vec<_> = scores.into_iter().map(Vec::into_iter).collect();
    let mut rewarded = Vec::with_capacity(groups.len());
    for group in groups {
        let mut columns = Vec::with_capacity(scores.len());
        for per_reward in &mut scores {
            let column = per_reward.next().unwrap_or_default();
            check_shape(
                place,
                "rewarder",
                "scores of a group",
                column.len(),
                group.rollouts.len(),
            )?;
            columns.push(column.into_iter());
        }
        let mut rollouts = Vec::with_capacity(group.rollouts.len());
        for rollout in group.rollouts {
            let outcomes = columns.iter_mut().filter_map(Iterator::next).collect();
            let problem = &group.problem.key;
            rollouts.push(credit::rewarded(combination, rollout, outcomes, place, problem)?);
        }
        rewarded.push(RewardedGroup {
            problem: group.problem,
            prompt_tokens: group.prompt_tokens,
            rollouts,
        });
    }
    Ok(rewarded)
}

/// An error unless a port returned as many things as were asked for.
pub(crate) fn check_shape(
    place: &str,
    port: &'static str,
    what: &'static str,
    got: usize,
    expected: usize,
) -> Result<(), PortError> {
    if got == expected {
        return Ok(());
    }
    Err(TrainError::Shape { place: place.to_owned(), port, what, got, expected }.into())
}
