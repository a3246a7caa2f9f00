//! Verdicts on groups, and the filters of texts by value.

use super::*;
use crate::plan::{LeastPlan, PassRatePlan, Preference};
use crate::problem::PromptForm;
use crate::rollout::{RewardTerm, Rollout};
use crate::testing;

/// A rollout of so many tokens with a text and the value of the one reward.
fn rollout(text: &str, tokens: usize, value: Option<f64>) -> RewardedRollout {
    let term = RewardTerm {
        clipped: value,
        condition: None,
        counted: value,
        weight: 1.0,
        normalized: None,
    };
    RewardedRollout {
        rollout: Rollout { text: text.to_owned(), completion: testing::completion(tokens) },
        outcomes: value.map(testing::outcome).into_iter().collect(),
        terms: vec![term],
        unclipped: value,
        total: value,
    }
}

fn group(rollouts: Vec<RewardedRollout>) -> RewardedGroup {
    RewardedGroup { problem: testing::problem("key", "prompt"), prompt_tokens: vec![1], rollouts }
}

/// The words of the verdicts, `kept` for one that is kept.
fn verdicts(plan: &RejectPlan, rollouts: Vec<RewardedRollout>, earlier: &[&str]) -> Vec<String> {
    let verdicts = select(plan, &group(rollouts), earlier);
    verdicts.iter().map(|verdict| verdict.dropped_by().unwrap_or("kept").to_owned()).collect()
}

#[test]
fn the_first_filter_that_is_not_passed_is_the_verdict() {
    let plan = RejectPlan {
        rewards: vec!["style".to_owned(), "reward".to_owned()],
        keep: vec![LeastPlan { reward: "style".to_owned(), at_least: 0.5 }],
        ..testing::reject(1)
    };
    let mut cut = rollout("```", 3, Some(0.0));
    cut.rollout.completion.finish = FinishReason::Length;
    let plan = RejectPlan {
        text: TextFilterPlan { drop_code_blocks: true, ..TextFilterPlan::default() },
        ..plan
    };
    let rollouts = vec![
        cut,
        rollout(" \n", 3, Some(1.0)),
        rollout("```", 3, Some(0.4)),
        rollout("a", 3, None),
        rollout("a\n  ```rust\n", 3, Some(0.5)),
        rollout("a", 3, Some(0.5)),
    ];
    let expected = ["truncated", "empty", "reward.style", "reward.style", "code_block", "kept"];
    assert_eq!(verdicts(&plan, rollouts, &[]), expected);
    let names = ["truncated", "empty", "reward.style", "code_block", "surplus"];
    assert_eq!(filters(&plan), names);
}

#[test]
fn the_beginning_that_a_prompt_gives_is_no_word_of_the_completion() {
    let form = PromptForm::Messages { prefill: "<think>\n".to_owned() };
    let problem = Problem { form, ..testing::problem("key", "prompt <think>\n") };
    let rollouts = ["<think>\n", "<think>\n \n", "<think>\n2"];
    let rollouts = rollouts.map(|text| rollout(text, 3, Some(1.0))).to_vec();
    let group = RewardedGroup { problem, prompt_tokens: vec![1], rollouts };
    let verdicts = select(&testing::reject(1), &group, &[]);
    let dropped: Vec<Option<&str>> = verdicts.iter().map(Verdict::dropped_by).collect();
    assert_eq!(dropped, [Some("empty"), Some("empty"), None]);
}

/// Both bounds are included; what other filters dropped keeps its verdict.
#[test]
fn a_prompt_that_is_too_hard_or_too_easy_has_no_rows() {
    let keep = vec![LeastPlan { reward: "reward".to_owned(), at_least: 1.0 }];
    let with = |at_least, at_most, right: usize| {
        let pass_rate = PassRatePlan { at_least, at_most };
        let plan = RejectPlan { keep: keep.clone(), pass_rate, ..testing::reject(1) };
        let texts = ["a", "b", "c", "d"].into_iter().enumerate();
        let value = |at: usize| Some(f64::from(u8::from(at < right)));
        let rollouts = texts.map(|(at, text)| rollout(text, 1, value(at))).collect();
        verdicts(&plan, rollouts, &[])
    };
    let wrong = "reward.reward";
    assert_eq!(with(0.25, 0.75, 1), ["kept", wrong, wrong, wrong]);
    assert_eq!(with(0.5, 0.75, 1), ["pass_rate", wrong, wrong, wrong]);
    assert_eq!(with(0.5, 0.75, 3), ["kept", "kept", "kept", wrong]);
    assert_eq!(with(0.5, 0.75, 4), ["pass_rate"; 4]);
    assert_eq!(with(0.0, 1.0, 4), ["kept"; 4]);
    let names = |pass_rate| filters(&RejectPlan { pass_rate, ..testing::reject(1) });
    let any = names(PassRatePlan::ANY);
    assert!(!any.contains(&"pass_rate".to_owned()), "{any:?}");
    let bounds = PassRatePlan { at_least: 0.1, at_most: 1.0 };
    let bounded = names(bounds);
    assert_eq!(bounded[bounded.len() - 2..], ["pass_rate", "surplus"]);
    assert_eq!(bounded.len(), any.len() + 1);
}

#[test]
fn a_reward_that_the_stage_does_not_ask_keeps_nothing() {
    let keep = vec![LeastPlan { reward: "other".to_owned(), at_least: 0.0 }];
    let plan = RejectPlan { keep, ..testing::reject(1) };
    assert_eq!(verdicts(&plan, vec![rollout("a", 1, Some(1.0))], &[]), ["reward.other"]);
}

#[test]
fn of_many_that_pass_the_preferred_ones_are_kept() {
    let rollouts = || {
        vec![
            rollout("a", 3, Some(1.0)),
            rollout("b", 1, Some(2.0)),
            rollout("c", 2, Some(3.0)),
            rollout("d", 1, Some(2.0)),
        ]
    };
    let plan = |prefer| RejectPlan { prefer, per_prompt: 2, ..testing::reject(1) };
    let of = |prefer| verdicts(&plan(prefer), rollouts(), &[]);
    assert_eq!(of(Preference::First), ["kept", "kept", "surplus", "surplus"]);
    assert_eq!(of(Preference::Shortest), ["surplus", "kept", "surplus", "kept"]);
    assert_eq!(of(Preference::Best), ["surplus", "kept", "kept", "surplus"]);
    // What was kept of the prompt before counts.
    let again = verdicts(&plan(Preference::First), rollouts(), &["x"]);
    assert_eq!(again, ["kept", "surplus", "surplus", "surplus"]);
}

#[test]
fn what_is_like_a_kept_one_is_dropped() {
    let text = TextFilterPlan { most_similarity: Some(1.0), ..TextFilterPlan::default() };
    let plan = RejectPlan { text, ..testing::reject(1) };
    let rollouts = vec![
        rollout("one two  three", 1, Some(1.0)),
        rollout("one two three\n", 1, Some(1.0)),
        rollout("one two four", 1, Some(1.0)),
        rollout("seen before", 1, Some(1.0)),
    ];
    let expected = ["kept", "similar", "kept", "similar"];
    assert_eq!(verdicts(&plan, rollouts, &["seen before"]), expected);
}

/// Other thoughts do not make another answer; what was kept of the prompt in an earlier pass counts.
#[test]
fn an_answer_that_is_kept_already_is_dropped() {
    let text = TextFilterPlan { drop_same_answers: true, ..TextFilterPlan::default() };
    let plan = RejectPlan { text, ..testing::reject(1) };
    let rollouts = vec![
        rollout("<think> a </think> 3 + 4", 1, Some(1.0)),
        rollout("<think> b </think>\n3  + 4", 1, Some(1.0)),
        rollout("<think> a </think> 4 + 3", 1, Some(1.0)),
        rollout("<think> c </think> 7", 1, Some(1.0)),
        rollout("4 + 3", 1, Some(1.0)),
    ];
    let expected = ["kept", "same_answer", "kept", "same_answer", "same_answer"];
    assert_eq!(verdicts(&plan, rollouts, &["<think> seen </think> 7"]), expected);
    assert_eq!(filters(&plan), ["truncated", "empty", "reward.reward", "same_answer", "surplus"]);
}

#[test]
fn kept_rollouts_are_worked_problems_with_their_tokens() {
    let group = group(vec![rollout("a", 2, Some(1.0)), rollout("b", 3, Some(1.0))]);
    let credited = CreditedGroup::uncompared(group);
    let verdicts = vec![vec![Verdict::Dropped("surplus".to_owned()), Verdict::Kept]];
    let groups = [credited];
    let rows = kept(&groups, &verdicts).map(|(kept, asked)| kept.worked("harvest", asked));
    let expected = Problem {
        data: "harvest".to_owned(),
        solution: Some("b".to_owned()),
        solution_tokens: Some(vec![1; 3]),
        ..testing::problem("key", "prompt")
    };
    assert_eq!(rows.collect::<Vec<_>>(), [expected]);
}

#[test]
fn paragraphs_are_lines_without_an_empty_one_between_them() {
    for (text, expected) in [
        ("", 0),
        ("abc", 3),
        ("ab\ncd", 5),
        ("ab\n\ncdef", 4),
        ("ab\n \t\ncdef\n", 4),
        ("  ä  \n", 1),
        ("a\r\nb\r\n\r\nc", 3),
    ] {
        assert_eq!(longest_paragraph(text), expected, "{text:?}");
    }
}

#[test]
fn repetition_is_the_share_of_runs_that_were_there_before() {
    assert_eq!(repetition("a b c"), 0.0);
    assert_eq!(repetition("a b c d e f g h"), 0.0);
    // Seven runs of four, of which `a a a a` comes seven times.
    assert_eq!(repetition("a a a a a a a a a a"), 6.0 / 7.0);
    // abab, baba, abab.
    assert_eq!(repetition("a b a b a b"), 1.0 / 3.0);
}

#[test]
fn similarity_is_that_of_sets_of_runs() {
    assert_eq!(similarity("a b", " a\nb "), 1.0);
    assert_eq!(similarity("", " "), 1.0);
    assert_eq!(similarity("a b", "a c"), 0.0);
    assert_eq!(similarity("", "a"), 0.0);
    // abcd, bcde against abcd, bcdf: one of three.
    assert_eq!(similarity("a b c d e", "a b c d f"), 1.0 / 3.0);
    assert_eq!(similarity("a b c d f", "a b c d e"), 1.0 / 3.0);
    // A short text has one run, which the longer one does not have.
    assert_eq!(similarity("a b c", "a b c d"), 0.0);
}
