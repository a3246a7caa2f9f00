//! From credited groups to training sequences, and from those to the updates of a step.
//!
//! Decides what is left out of the loss (truncated completions, groups without signal) and in which order sequences
//! meet the optimizer.

use std::sync::Arc;

use r1x_core::loss::trained_tokens;
use r1x_core::plan::{GrpoPlan, Truncated};
use r1x_core::{CreditedGroup, FinishReason, Stream, TrainingSequence};

/// A training sequence and the rollout it came from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PackedRollout {
    /// Index of the group in the step.
    pub(crate) group: usize,
    /// Index of the rollout in its group.
    pub(crate) rollout: usize,
    /// What is trained on.
    pub(crate) sequence: Arc<TrainingSequence>,
}

impl PackedRollout {
    /// Whether the loss falls on any of its tokens. The policy need not compute other sequences.
    pub(crate) fn is_trained(&self) -> bool {
        trained_tokens(&self.sequence) > 0
    }
}

/// The sequences of a step in the order of its groups, without those that the plan drops.
///
/// A rollout without a total stays with every token masked, as a truncated one does where the plan says so: no
/// token of it is trained on, neither towards a reward nor towards the reference, and it is in no mean.
pub(crate) fn pack(groups: &[CreditedGroup], plan: &GrpoPlan) -> Vec<PackedRollout> {
    let mut packed = Vec::new();
    for (group_index, credited) in groups.iter().enumerate() {
        if credited.zero_signal && !plan.zero_signal.is_kept() {
            continue;
        }
        let rollouts = credited.group.rollouts.iter().zip(&credited.advantages);
        for (rollout_index, (rewarded, &advantage)) in rollouts.enumerate() {
            let completion = &rewarded.rollout.completion;
            let whole = match plan.truncated {
                Truncated::Keep => true,
                Truncated::Mask => completion.finish != FinishReason::Length,
            };
            let trained = whole && rewarded.total.is_some();
            let prompt = &credited.group.prompt_tokens;
            packed.push(PackedRollout {
                group: group_index,
                rollout: rollout_index,
                sequence: Arc::new(TrainingSequence {
                    mask: vec![trained; completion.tokens.len()],
                    advantages: vec![advantage; completion.tokens.len()],
                    sampled_logprobs: completion.logprobs.clone(),
                    ..TrainingSequence::new(prompt, &completion.tokens)
                }),
            });
        }
    }
    packed
}

/// Leaves an advantage only to a share of the trained tokens, those that were drawn from the distributions of the highest
/// entropy; of equal ones to those that stand first. Other tokens stay in the denominators, and keep their penalty towards
/// the reference (Beyond the 80/20 Rule: High-Entropy Minority Tokens Drive Effective Reinforcement Learning for LLM
/// Reasoning, 2025, arXiv 2506.01939).
pub(crate) fn keep_top_entropies(
    packed: &mut [PackedRollout],
    groups: &[CreditedGroup],
    share: f64,
) {
    if share >= 1.0 {
        return;
    }
    let trained = packed.iter().enumerate().filter(|(_, one)| one.is_trained());
    let mut tokens: Vec<(f32, usize, usize)> = trained
        .flat_map(|(index, one)| {
            let rewarded = &groups[one.group].group.rollouts[one.rollout];
            let entropies = rewarded.rollout.completion.entropies.iter();
            entropies.enumerate().map(move |(token, entropy)| (*entropy, index, token))
        })
        .collect();
    // The sort is stable, so the order of the groups decides between equal entropies.
    tokens.sort_by(|one, other| other.0.total_cmp(&one.0));
    let kept = (share * tokens.len() as f64).ceil() as usize;
    for (_, index, token) in tokens.into_iter().skip(kept) {
        Arc::make_mut(&mut packed[index].sequence).advantages[token] = 0.0;
    }
}

/// Which sequences each update of a step trains on, as indices: every epoch is cut into `updates` parts that
/// differ by at most one sequence. Parts may be empty when there are fewer sequences than updates.
///
/// With several updates per epoch the sequences are shuffled first, freshly per (step, epoch), so that an
/// update does not consist of a few whole groups; with one update the order is that of the groups.
pub(crate) fn split(
    sequences: usize,
    epochs: usize,
    updates: usize,
    stream: Stream,
    step: u64,
) -> Vec<Vec<usize>> {
    let mut parts = Vec::with_capacity(epochs * updates);
    for epoch in 0..epochs {
        let mut order: Vec<usize> = (0..sequences).collect();
        if updates > 1 {
            stream.at(&[step, epoch as u64]).shuffle(&mut order);
        }
        for update in 0..updates {
            let bounds = update * sequences / updates..(update + 1) * sequences / updates;
            parts.push(order[bounds].to_vec());
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use r1x_core::{Completion, RewardedGroup, RewardedRollout, Rng, Rollout, testing};

    #[test]
    fn every_epoch_trains_on_every_sequence_once_in_nearly_equal_parts() {
        let stream = Rng::new(1).stream("packing");
        let parts = split(11, 2, 3, stream, 5);
        assert_eq!(parts.len(), 6);
        for epoch in parts.chunks(3) {
            assert!(epoch.iter().all(|part| (3..=4).contains(&part.len())));
            let mut all = epoch.concat();
            all.sort_unstable();
            assert_eq!(all, (0..11).collect::<Vec<_>>());
        }
        assert_ne!(parts[..3], parts[3..], "the second epoch has its own order");
        assert_eq!(parts, split(11, 2, 3, stream, 5));
        assert_ne!(parts, split(11, 2, 3, stream, 6));
    }

    /// Two rollouts of one prompt with entropies 0.1, 0.9, 0.5 and 0.9, 0.2.
    fn credited() -> Vec<CreditedGroup> {
        let rollout = |entropies: &[f32]| {
            let length = entropies.len();
            let completion = Completion {
                tokens: vec![1; length],
                logprobs: vec![-1.0; length],
                entropies: entropies.to_vec(),
                finish: FinishReason::Stop,
            };
            RewardedRollout {
                rollout: Rollout { completion, text: String::new() },
                outcomes: Vec::new(),
                terms: Vec::new(),
                unclipped: Some(1.0),
                total: Some(1.0),
            }
        };
        let rollouts = vec![rollout(&[0.1, 0.9, 0.5]), rollout(&[0.9, 0.2])];
        let problem = testing::problem("a", "1");
        let group = RewardedGroup { problem, prompt_tokens: vec![3], rollouts };
        vec![CreditedGroup { group, advantages: vec![2.0, -1.0], zero_signal: false }]
    }

    #[test]
    fn advantages_stay_with_the_tokens_of_the_highest_entropy() {
        let advantages = |share: f64| {
            let mut packed = pack(&credited(), &testing::grpo(1));
            keep_top_entropies(&mut packed, &credited(), share);
            assert!(packed.iter().all(|one| one.sequence.mask.iter().all(|trained| *trained)));
            packed.into_iter().map(|one| one.sequence.advantages.clone()).collect::<Vec<_>>()
        };
        assert_eq!(advantages(1.0), [vec![2.0; 3], vec![-1.0; 2]]);
        assert_eq!(advantages(0.6), [vec![0.0, 2.0, 2.0], vec![-1.0, 0.0]]);
        // A share of five tokens is rounded up.
        assert_eq!(advantages(0.21), [vec![0.0, 2.0, 0.0], vec![-1.0, 0.0]]);
        assert_eq!(advantages(0.1), [vec![0.0, 2.0, 0.0], vec![0.0, 0.0]]);
    }

    #[test]
    fn one_update_keeps_the_order_of_the_groups() {
        let stream = Rng::new(1).stream("packing");
        assert_eq!(split(4, 1, 1, stream, 0), vec![vec![0, 1, 2, 3]]);
        assert_eq!(split(1, 1, 2, stream, 0), vec![vec![], vec![0]]);
    }
}
