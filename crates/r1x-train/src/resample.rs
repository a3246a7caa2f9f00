//! Dynamic sampling: other problems are drawn in place of those whose groups have nothing to teach.
//!
//! Source: Yu et al. 2025, "DAPO", arXiv 2503.14476, section 3.2. A round draws as many problems as places are free, so
//! no group with a signal is sampled in vain, and the problems of a step stay neighbours in the stage's stream of them.
//! Whether a group has a signal is known from its rewards alone, so that how many rounds there are is as reproducible as
//! the rewards. What is set aside is recorded like everything else; it is in no update, in no mean of the advantages, and
//! in no deviation of the step.

use r1x_core::plan::{AdvantagePlan, GrpoPlan, ZeroSignal};
use r1x_core::{CreditedGroup, PortError, RewardedGroup};

use crate::credit::{assign_credit, has_signal};

/// The groups of a step, in the order in which their problems were drawn.
pub(crate) struct Sampled {
    groups: Vec<RewardedGroup>,
    /// What came of drawing others in place of some; `None` where the plan does not say so.
    refilled: Option<Refilled>,
}

/// What came of drawing other problems.
struct Refilled {
    /// Whether each group is learnt from, in the order of the groups.
    taught: Vec<bool>,
    /// Groups that were sampled in place of others.
    further: usize,
    /// How often others were drawn.
    rounds: u64,
    /// Places that no group with a signal was found for.
    missing: usize,
}

/// Samples the groups of a step. `sample` is asked for so many groups behind so many that the step has drawn already.
pub(crate) fn sample(
    plan: &GrpoPlan,
    weights: &[f64],
    mut sample: impl FnMut(usize, usize) -> Result<Vec<RewardedGroup>, PortError>,
) -> Result<Sampled, PortError> {
    let (places, most) = (plan.prompts_per_step, plan.most_prompts_per_step());
    let mut groups = sample(0, places)?;
    match plan.zero_signal {
        ZeroSignal::Keep | ZeroSignal::Drop => return Ok(Sampled { groups, refilled: None }),
        ZeroSignal::Resample { .. } => {}
    }
    let mut taught: Vec<bool> = Vec::new();
    let mut rounds = 0;
    loop {
        let fresh = groups.iter().skip(taught.len());
        let fresh: Vec<bool> =
            fresh.map(|group| has_signal(&plan.advantage, weights, group)).collect();
        taught.extend(fresh);
        let missing = places.saturating_sub(taught.iter().filter(|taught| **taught).count());
        let next = missing.min(most.saturating_sub(groups.len()));
        if next == 0 {
            let further = groups.len().saturating_sub(places);
            let refilled = Some(Refilled { taught, further, rounds, missing });
            return Ok(Sampled { groups, refilled });
        }
        groups.extend(sample(groups.len(), next)?);
        rounds += 1;
    }
}

impl Sampled {
    /// The figures of the step that say what resampling did; none without it.
    pub(crate) fn figures(&self) -> Vec<(String, f64)> {
        let Some(refilled) = &self.refilled else { return Vec::new() };
        let figures = [
            ("resampled.groups", refilled.further as f64),
            ("resampled.rounds", refilled.rounds as f64),
            ("resampled.missing", refilled.missing as f64),
        ];
        figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The groups, for totals that are less by a penalty while they are compared.
    pub(crate) fn groups_mut(&mut self) -> &mut [RewardedGroup] {
        &mut self.groups
    }

    /// Turns rewards into advantages. Groups that were set aside have advantage 0, and the step that some estimators
    /// compare with is that of the other groups.
    pub(crate) fn credit(self, plan: &AdvantagePlan, weights: &[f64]) -> Vec<CreditedGroup> {
        let Some(Refilled { taught, .. }) = self.refilled else {
            return assign_credit(plan, weights, self.groups);
        };
        let (mut learnt, mut aside) = (Vec::new(), Vec::new());
        for (group, taught) in self.groups.into_iter().zip(&taught) {
            if *taught { learnt.push(group) } else { aside.push(group) }
        }
        let mut learnt = assign_credit(plan, weights, learnt).into_iter();
        // Each is a step of its own, in which there is nothing to compare.
        let mut aside =
            aside.into_iter().flat_map(|group| assign_credit(plan, weights, vec![group]));
        let in_order =
            taught.iter().filter_map(|taught| if *taught { learnt.next() } else { aside.next() });
        in_order.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use r1x_core::plan::{AdvantageKind, CombineOrder};
    use r1x_core::{RewardTerm, RewardedRollout, Rollout, testing};

    /// A group of these totals, all of which one reward has given.
    fn group(totals: &[f64]) -> RewardedGroup {
        let rollout = |total: &f64| RewardedRollout {
            rollout: Rollout { completion: testing::completion(1), text: String::new() },
            outcomes: vec![testing::outcome(*total)],
            terms: vec![RewardTerm {
                clipped: Some(*total),
                condition: None,
                counted: Some(*total),
                weight: 1.0,
                normalized: None,
            }],
            unclipped: Some(*total),
            total: Some(*total),
        };
        RewardedGroup {
            problem: testing::problem("", ""),
            prompt_tokens: vec![1],
            rollouts: totals.iter().map(rollout).collect(),
        }
    }

    fn plan(places: usize, most_batches: usize) -> GrpoPlan {
        let zero_signal = ZeroSignal::Resample { most_batches };
        GrpoPlan { prompts_per_step: places, group_size: 2, zero_signal, ..testing::grpo(1) }
    }

    /// Samples from a stream in which the problems at these positions have a signal. What was asked for, and the figures.
    fn asked(plan: &GrpoPlan, teaching: &[usize]) -> (Vec<(usize, usize)>, Vec<f64>) {
        let mut asked = Vec::new();
        let sampled = sample(plan, &[1.0], |earlier, count| {
            asked.push((earlier, count));
            let of = |at| group(if teaching.contains(&at) { &[0.0, 1.0] } else { &[1.0, 1.0] });
            Ok((earlier..earlier + count).map(of).collect())
        });
        let figures = sampled.unwrap().figures().into_iter().map(|(_, value)| value).collect();
        (asked, figures)
    }

    /// Four places and at most twelve problems. What is asked for, then the groups in place of others, the rounds, and the
    /// places that stay empty, all worked out by hand.
    #[test]
    fn a_round_draws_as_many_as_are_missing_until_all_are_there_or_the_bound_is_reached() {
        for (teaching, rounds, figures) in [
            (&[0, 1, 2, 3][..], vec![(0, 4)], [0.0, 0.0, 0.0]),
            (&[1, 2, 3, 4], vec![(0, 4), (4, 1)], [1.0, 1.0, 0.0]),
            (&[0, 1, 7, 9], vec![(0, 4), (4, 2), (6, 2), (8, 1), (9, 1)], [6.0, 4.0, 0.0]),
            (
                &[0, 2, 5],
                vec![(0, 4), (4, 2), (6, 1), (7, 1), (8, 1), (9, 1), (10, 1), (11, 1)],
                [8.0, 7.0, 1.0],
            ),
            (&[], vec![(0, 4), (4, 4), (8, 4)], [8.0, 2.0, 4.0]),
            (&[4, 5, 6], vec![(0, 4), (4, 4), (8, 1), (9, 1), (10, 1), (11, 1)], [8.0, 5.0, 1.0]),
        ] {
            assert_eq!(asked(&plan(4, 3), teaching), (rounds, figures.to_vec()), "{teaching:?}");
        }
        // Without resampling nothing more is asked for, and nothing is said about it.
        for zero_signal in [ZeroSignal::Keep, ZeroSignal::Drop] {
            let plan = GrpoPlan { zero_signal, ..plan(4, 3) };
            assert_eq!(asked(&plan, &[1]), (vec![(0, 4)], Vec::new()));
        }
    }

    /// Totals (1, 1), (0, 1), (5, 5), (2, 4): the step that counts is 0, 1, 2, 4 with deviation √(35/12), and the group that
    /// was set aside in between keeps its place.
    #[test]
    fn what_is_set_aside_is_in_no_deviation_and_stays_where_it_was_drawn() {
        let totals = [[1.0, 1.0], [0.0, 1.0], [5.0, 5.0], [2.0, 4.0]];
        let plan = plan(2, 4);
        let sampled = sample(&plan, &[1.0], |earlier, count| {
            Ok(totals[earlier..earlier + count].iter().map(|totals| group(totals)).collect())
        });
        let scaled = AdvantagePlan { eps: 0.0, ..testing::advantage(AdvantageKind::BatchScaled) };
        let credited = sampled.unwrap().credit(&scaled, &[1.0]);
        let deviation = (35.0_f64 / 12.0).sqrt();
        let expected = [[0.0, 0.0], [-0.5, 0.5], [0.0, 0.0], [-1.0, 1.0]];
        for ((credited, expected), totals) in credited.iter().zip(expected).zip(totals) {
            let found: Vec<_> = credited.group.rollouts.iter().map(|one| one.total).collect();
            assert_eq!(found, totals.map(Some), "the groups are in their order");
            assert_eq!(credited.zero_signal, totals[0] == totals[1]);
            for (found, expected) in credited.advantages.iter().zip(expected) {
                assert!((found - expected / deviation).abs() < 1e-12, "{found} {expected}");
            }
        }
        assert_eq!(credited.len(), 4);
    }

    /// One by one, a reward without a weight is no signal, and one with a weight is, whatever the totals are.
    #[test]
    fn a_signal_is_what_the_estimator_finds_in_the_group_alone() {
        let mut plan = testing::advantage(AdvantageKind::GroupNormalized);
        let (differs, equal) = (group(&[0.1, 0.2]), group(&[0.1, 0.1]));
        assert!(has_signal(&plan, &[1.0], &differs) && !has_signal(&plan, &[1.0], &equal));
        plan.combine.order = CombineOrder::NormalizeThenSum;
        assert!(has_signal(&plan, &[-1.0], &differs) && !has_signal(&plan, &[-1.0], &equal));
        assert!(!has_signal(&plan, &[0.0], &differs));
    }
}
