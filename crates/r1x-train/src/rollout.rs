//! From problems to rewarded groups: tokenise, sample, score, sum. Groups are scored while others are sampled.
//!
//! Used by training and by evaluations alike. Must not know losses, advantages or what the groups are for.

use r1x_core::plan::{AdvantagePlan, RewardPlan, SamplingPlan};
use r1x_core::port::{GenerateRequest, Outcomes};
use r1x_core::{
    Completion, CreditedGroup, PendingGroup, Policy, PortError, Problem, RewardOutcome,
    RewardedGroup, RewardedRollout, Rollout, RolloutGroup, Stream,
};

use crate::error::TrainError;
use crate::run::Ports;

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

/// Samples a group of rollouts for every problem, scores every rollout with every reward, in the order given,
/// and sums the weighted values; problem `i` draws from address `first_address + i`.
pub(crate) fn rewarded_groups(
    ports: &mut Ports<'_>,
    sampler: Sampler<'_>,
    problems: &[&Problem],
    first_address: u64,
    rewards: &[RewardPlan],
) -> Result<Vec<RewardedGroup>, PortError> {
    let (policy, place) = (&*ports.policy, sampler.place);
    let (mut requests, mut pending) = (Vec::new(), Vec::new());
    for (problem, address) in problems.iter().zip(first_address..) {
        let prompt = encode_prompt(policy, problem, sampler.sampling.max_tokens, place)?;
        let (samples, lengths) = (sampler.samples, Vec::new());
        pending.push(PendingGroup::new((*problem).clone(), prompt.clone(), samples));
        requests.push(GenerateRequest { prompt, samples, address, lengths });
    }
    let mut arrivals = |arrived: &mut dyn FnMut(usize)| {
        let mut wrong = None;
        let mut each = |index: usize, completions: Vec<Completion>| {
            let got = completions.len();
            let text = |completion| rollout(policy, completion);
            if pending[index].arrive(completions.into_iter().map(text).collect()) {
                arrived(index);
            } else {
                wrong = Some(got);
            }
        };
        policy.generate_each(&requests, sampler.sampling, sampler.stream, &mut each)?;
        if let Some(got) = wrong {
            check_shape(place, "policy", "completions", got, sampler.samples)?;
        }
        let here = pending.iter().filter(|group| group.rollouts().is_some()).count();
        check_shape(place, "policy", "groups of completions", here, requests.len())
    };
    let scores = ports.rewarder.score_arriving(rewards, &pending, &mut arrivals)?;
    let groups = pending.into_iter().filter_map(PendingGroup::complete).collect();
    with_totals(rewards, groups, scores, place)
}

fn rollout(policy: &dyn Policy, completion: Completion) -> Rollout {
    Rollout { text: policy.decode(&completion.tokens), completion }
}

/// Joins groups with what the rewards said about them.
fn with_totals(
    rewards: &[RewardPlan],
    groups: Vec<RolloutGroup>,
    scores: Outcomes,
    place: &str,
) -> Result<Vec<RewardedGroup>, PortError> {
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
            let outcomes: Vec<_> = columns.iter_mut().filter_map(Iterator::next).collect();
            let total = weighted_total(rewards, &outcomes);
            if let Some(total) = total.filter(|total| !total.is_finite()) {
                return Err(TrainError::TotalNotFinite {
                    place: place.to_owned(),
                    problem: group.problem.key,
                    total,
                }
                .into());
            }
            rollouts.push(RewardedRollout { rollout, outcomes, total });
        }
        rewarded.push(RewardedGroup {
            problem: group.problem,
            prompt_tokens: group.prompt_tokens,
            rollouts,
        });
    }
    Ok(rewarded)
}

/// Turns the totals of every group into advantages.
pub(crate) fn assign_credit(
    plan: &AdvantagePlan,
    groups: Vec<RewardedGroup>,
) -> Vec<CreditedGroup> {
    groups
        .into_iter()
        .map(|group| {
            let totals: Vec<_> = group.rollouts.iter().map(|rollout| rollout.total).collect();
            let credit = r1x_core::advantage::advantages(plan, &totals);
            CreditedGroup { group, advantages: credit.advantages, zero_signal: credit.zero_signal }
        })
        .collect()
}

/// Σ weight · value over the outcomes that have a value; `None` when none has one.
fn weighted_total(rewards: &[RewardPlan], outcomes: &[RewardOutcome]) -> Option<f64> {
    let terms = rewards.iter().zip(outcomes);
    terms
        .filter_map(|(reward, outcome)| Some(reward.weight * outcome.value?))
        .reduce(|sum, term| sum + term)
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
