//! From problems to rewarded groups: tokenise, sample, score, sum. Groups are scored while others are sampled.
//!
//! Used by training and by evaluations alike.

use std::sync::Arc;

use r1x_core::plan::SamplingPlan;
use r1x_core::port::{GenerateRequest, Outcomes};
use r1x_core::reward::Combination;
use r1x_core::{
    Completion, Encoder, PendingGroup, Policy, PortError, Problem, ProblemSource, RewardedGroup,
    Rollout, RolloutGroup, Stream,
};

use crate::credit;
use crate::error::TrainError;
use crate::finite::Guard;
use crate::ports::Ports;

/// How the rollouts of one step or one evaluation are drawn.
#[derive(Clone, Copy)]
pub(crate) struct Draws<'a> {
    /// Rollouts per problem.
    pub(crate) samples: usize,
    /// How tokens are drawn.
    pub(crate) sampling: &'a SamplingPlan,
    /// Where chance comes from.
    pub(crate) stream: Stream,
    /// Who asks, for errors.
    pub(crate) guard: Guard<'a>,
}

/// The tokens of a problem's prompt, with room for `max_tokens` after them.
pub(crate) fn encode_prompt(
    encoder: &dyn Encoder,
    source: &dyn ProblemSource,
    problem: &Problem,
    max_tokens: usize,
    place: &str,
) -> Result<Vec<u32>, PortError> {
    let tokens = prompt_tokens(encoder, source, problem, place)?;
    let (place, context) = (place.to_owned(), encoder.context_length());
    if tokens.len() + max_tokens > context {
        let (problem, prompt) = (source.origin(problem), tokens.len());
        return Err(
            TrainError::PromptTooLong { place, problem, prompt, max_tokens, context }.into()
        );
    }
    Ok(tokens)
}

/// The tokens of a problem's prompt, at least one.
pub(crate) fn prompt_tokens(
    encoder: &dyn Encoder,
    source: &dyn ProblemSource,
    problem: &Problem,
    place: &str,
) -> Result<Vec<u32>, PortError> {
    let tokens = encoder.encode_prompt(&problem.prompt, &problem.form);
    let tokens = tokens.map_err(|error| of_problem(error, source, problem, place))?;
    if tokens.is_empty() {
        let (place, problem) = (place.to_owned(), source.origin(problem));
        return Err(TrainError::EmptyPrompt { place, problem }.into());
    }
    Ok(tokens)
}

/// An error about a problem, which says where the problem stands.
pub(crate) fn of_problem(
    error: PortError,
    source: &dyn ProblemSource,
    problem: &Problem,
    place: &str,
) -> PortError {
    PortError {
        message: format!("{place}: {}: {}", source.origin(problem), error.message),
        ..error
    }
}

/// Samples a group of rollouts for every problem, scores every rollout with every reward, in the order given,
/// and puts the values together; problem `i` draws from address `first_address + i`.
pub(crate) fn rewarded_groups(
    ports: &mut Ports<'_>,
    draws: Draws<'_>,
    problems: &[&Problem],
    first_address: u64,
    combination: &Combination<'_>,
) -> Result<Vec<RewardedGroup>, PortError> {
    let (policy, place) = (&*ports.policy, draws.guard.place);
    let (mut requests, mut pending) = (Vec::new(), Vec::new());
    for (problem, address) in problems.iter().zip(first_address..) {
        let max_tokens = draws.sampling.max_tokens;
        let prompt = encode_prompt(policy, ports.problems, problem, max_tokens, place)?;
        let (samples, lengths) = (draws.samples, Vec::new());
        pending.push(PendingGroup::new((*problem).clone(), prompt.clone(), samples));
        requests.push(GenerateRequest { prompt, samples, address, lengths });
    }
    // Groups are judged while others are still being sampled, so both hold them.
    let pending = Arc::new(pending);
    let mut scoring = ports.rewarder.begin(combination.rewards(), Arc::clone(&pending))?;
    let mut wrong = None;
    let mut each = |index: usize, completions: Vec<Completion>| {
        let (got, problem) = (completions.len(), problems[index]);
        let rollouts =
            completions.into_iter().map(|completion| rollout(policy, problem, completion));
        if pending[index].arrive(rollouts.collect()) {
            scoring.arrived(index);
        } else {
            wrong = Some(got);
        }
    };
    policy.generate_each(&requests, draws.sampling, draws.stream, &mut each)?;
    if let Some(got) = wrong {
        check_shape(place, "policy", "completions", got, draws.samples)?;
    }
    let here = pending.iter().filter(|group| group.rollouts().is_some()).count();
    check_shape(place, "policy", "groups of completions", here, requests.len())?;
    let scores = scoring.finish()?;
    // The session is over, so this is the only owner; a session that kept a share costs a copy.
    let pending = Arc::try_unwrap(pending).unwrap_or_else(|shared| (*shared).clone());
    let groups: Vec<_> = pending.into_iter().filter_map(PendingGroup::complete).collect();
    groups.iter().try_for_each(|group| draws.guard.sampled(group, ports.problems))?;
    with_totals(combination, groups, scores, ports.problems, place)
}

fn rollout(policy: &dyn Policy, problem: &Problem, completion: Completion) -> Rollout {
    Rollout { text: problem.answered(&policy.decode(&completion.tokens)), completion }
}

/// Joins groups with what the rewards said about them, and puts the values together.
fn with_totals(
    combination: &Combination<'_>,
    groups: Vec<RolloutGroup>,
    scores: Outcomes,
    source: &dyn ProblemSource,
    place: &str,
) -> Result<Vec<RewardedGroup>, PortError> {
    let rewards = combination.rewards();
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
            let rewarded = credit::rewarded(combination, rollout, outcomes);
            rollouts.push(rewarded.map_err(|total| TrainError::TotalNotFinite {
                place: place.to_owned(),
                problem: source.origin(&group.problem),
                total,
            })?);
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
