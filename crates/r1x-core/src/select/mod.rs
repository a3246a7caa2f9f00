//! Rejection: which completions of a group become worked problems, and which filter dropped each of the others.
//!
//! The filters are asked in one order, from what is cheap to tell to what depends on other completions, and the first
//! that a completion does not pass is its verdict. So the counts of the filters add up to the completions that were
//! sampled.

mod text;

use std::collections::HashSet;

use crate::plan::{PassRatePlan, Preference, ReadPart, RejectPlan, TextFilterPlan};
use crate::problem::Problem;
use crate::rollout::{CreditedGroup, FinishReason, RewardedGroup, RewardedRollout, Rollout};

pub use text::{longest_paragraph, repetition, similarity};

/// What became of a completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The completion is a row of the data that the stage makes.
    Kept,
    /// A filter dropped the completion; the filter's name.
    Dropped(String),
}

impl Verdict {
    /// The filter that dropped the completion; `None` where it was kept.
    pub fn dropped_by(&self) -> Option<&str> {
        match self {
            Verdict::Kept => None,
            Verdict::Dropped(filter) => Some(filter),
        }
    }
}

/// The filter of completions that the token limit ended.
const TRUNCATED: &str = "truncated";
/// The filter of completions without a word.
const EMPTY: &str = "empty";
/// The filter of completions whose prompt is too hard or too easy.
const PASS_RATE: &str = "pass_rate";
/// The filter of completions whose answer another one of their prompt has.
const SAME_ANSWER: &str = "same_answer";
/// The filter of completions that are too much like another one of their prompt.
const SIMILAR: &str = "similar";
/// The filter of completions that pass when enough of their prompt were kept.
const SURPLUS: &str = "surplus";

/// The names of all filters of a plan, in the order in which they are asked.
pub fn filters(plan: &RejectPlan) -> Vec<String> {
    let TextFilterPlan {
        drop_code_blocks,
        longest_paragraph,
        most_repetition,
        drop_same_answers,
        most_similarity,
    } = plan.text;
    let mut names = vec![TRUNCATED.to_owned(), EMPTY.to_owned()];
    names.extend(plan.keep.iter().map(|least| reward_filter(&least.reward)));
    let optional = [
        (drop_code_blocks, text::CODE_BLOCK),
        (longest_paragraph.is_some(), text::PARAGRAPH),
        (most_repetition.is_some(), text::REPETITION),
        (plan.pass_rate != PassRatePlan::ANY, PASS_RATE),
        (drop_same_answers, SAME_ANSWER),
        (most_similarity.is_some(), SIMILAR),
    ];
    names.extend(optional.into_iter().filter(|(on, _)| *on).map(|(_, name)| name.to_owned()));
    names.push(SURPLUS.to_owned());
    names
}

fn reward_filter(reward: &str) -> String {
    format!("reward.{reward}")
}

/// The verdicts on a group, one per rollout. `earlier` are the texts that were kept of its prompt before.
pub fn select(plan: &RejectPlan, group: &RewardedGroup, earlier: &[&str]) -> Vec<Verdict> {
    let alone = |rollout| match dropped_alone(plan, &group.problem, rollout) {
        None => Verdict::Kept,
        Some(filter) => Verdict::Dropped(filter),
    };
    let mut verdicts: Vec<Verdict> = group.rollouts.iter().map(alone).collect();
    let passing = verdicts.iter().filter(|verdict| **verdict == Verdict::Kept).count();
    if !plan.pass_rate.holds(passing as f64 / verdicts.len().max(1) as f64) {
        let passing = verdicts.iter_mut().filter(|verdict| **verdict == Verdict::Kept);
        passing.for_each(|verdict| *verdict = Verdict::Dropped(PASS_RATE.to_owned()));
    }
    let mut kept: Vec<&str> = earlier.to_vec();
    let mut answers: HashSet<String> = match plan.text.drop_same_answers {
        true => earlier.iter().map(|text| answer(&group.problem, text)).collect(),
        false => HashSet::new(),
    };
    for index in preferred(plan, &group.rollouts) {
        if verdicts[index] != Verdict::Kept {
            continue;
        }
        let written = group.rollouts[index].rollout.text.as_str();
        let is_similar = |most: f64| kept.iter().any(|other| similarity(written, other) >= most);
        let answer = answer(&group.problem, written);
        if plan.text.drop_same_answers && answers.contains(&answer) {
            verdicts[index] = Verdict::Dropped(SAME_ANSWER.to_owned());
        } else if plan.text.most_similarity.is_some_and(is_similar) {
            verdicts[index] = Verdict::Dropped(SIMILAR.to_owned());
        } else if kept.len() >= plan.per_prompt {
            verdicts[index] = Verdict::Dropped(SURPLUS.to_owned());
        } else {
            kept.push(written);
            answers.insert(answer);
        }
    }
    verdicts
}

/// What a completion says behind its thought, one blank between words.
fn answer(asked: &Problem, written: &str) -> String {
    let (_, answer) = ReadPart::Answer.of(asked, written);
    answer.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The filter that drops a completion whatever the others are.
fn dropped_alone(plan: &RejectPlan, asked: &Problem, rewarded: &RewardedRollout) -> Option<String> {
    let rollout = &rewarded.rollout;
    if rollout.completion.finish == FinishReason::Length {
        return Some(TRUNCATED.to_owned());
    }
    // What the prompt gives of the answer, nobody has written.
    if asked.continued(&rollout.text).trim().is_empty() {
        return Some(EMPTY.to_owned());
    }
    for least in &plan.keep {
        let asked = plan.rewards.iter().position(|reward| *reward == least.reward);
        let counted = asked.and_then(|index| rewarded.terms.get(index)?.counted);
        // A completion without a value has not shown that it is good enough.
        if counted.is_none_or(|value| value < least.at_least) {
            return Some(reward_filter(&least.reward));
        }
    }
    text::dropped_by(&plan.text, &rollout.text).map(str::to_owned)
}

/// Positions of the rollouts in the order in which the plan prefers them; equals stay in their order.
fn preferred(plan: &RejectPlan, rollouts: &[RewardedRollout]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rollouts.len()).collect();
    match plan.prefer {
        Preference::First => {}
        Preference::Shortest => {
            order.sort_by_key(|&index| rollouts[index].rollout.completion.tokens.len());
        }
        Preference::Best => {
            let total = |index: usize| rollouts[index].total.unwrap_or(f64::NEG_INFINITY);
            order.sort_by(|&one, &other| total(other).total_cmp(&total(one)));
        }
    }
    order
}

/// A completion that was kept, as whoever remembers gives it back. What it answers is named, and known to the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Id of the data set of the problem that was asked.
    pub data: String,
    /// The problem's key.
    pub key: String,
    /// The text of the completion.
    pub text: String,
    /// The tokens that were sampled.
    pub tokens: Vec<u32>,
}

impl Kept {
    /// The row of the data that a stage makes: the problem that was asked, with the completion as its solution.
    pub fn worked(self, stage: &str, asked: &Problem) -> Problem {
        Problem {
            data: stage.to_owned(),
            solution: Some(self.text),
            solution_tokens: Some(self.tokens),
            rejected: None,
            ..asked.clone()
        }
    }
}

/// The completions that a step keeps, in the order of its rollouts, each with the problem that was asked.
pub fn kept<'g>(
    groups: &'g [CreditedGroup],
    verdicts: &'g [Vec<Verdict>],
) -> impl Iterator<Item = (Kept, &'g Problem)> {
    groups.iter().zip(verdicts).flat_map(|(credited, verdicts)| {
        let asked = &credited.group.problem;
        let rollouts = credited.group.rollouts.iter().zip(verdicts);
        rollouts.filter(|(_, verdict)| **verdict == Verdict::Kept).map(move |(rewarded, _)| {
            let Rollout { text, completion } = rewarded.rollout.clone();
            let (data, key) = (asked.data.clone(), asked.key.clone());
            (Kept { data, key, text, tokens: completion.tokens }, asked)
        })
    })
}

#[cfg(test)]
mod tests;
