//! Problems that are asked by messages: the prompt gives the beginning of the answer, which belongs to the completion
//! that rewards and records see, and is not learnt twice.

use r1x_core::{Problem, PromptForm};
use r1x_train::RunOutcome;

use crate::support::{
    FixedProblems, TablePolicy, World, grpo_plan, grpo_stage, run_plan, sft_plan, sft_stage,
};

/// What every answer begins with.
const PREFILL: &str = "7";

/// Each digit is asked by a prompt that ends with the beginning of the answer.
fn asked(solution: impl Fn(&str) -> String) -> FixedProblems {
    let mut problems = FixedProblems::digits();
    for problem in &mut problems.problems {
        *problem = Problem {
            prompt: format!("{}{PREFILL}", problem.prompt),
            form: PromptForm::Messages { prefill: PREFILL.to_owned() },
            solution: problem.solution.as_deref().map(&solution),
            ..problem.clone()
        };
    }
    problems
}

#[test]
fn a_completion_begins_with_what_the_prompt_gives_of_it() {
    let world = World { problems: asked(str::to_owned), ..World::default() };
    let finished = world.run(&run_plan(vec![grpo_stage(grpo_plan(2))]));
    assert_eq!(finished.outcome, Ok(RunOutcome::Done));
    let mut seen = 0;
    for credited in finished.steps().into_iter().flat_map(|step| &step.groups) {
        for rollout in &credited.group.rollouts {
            let tokens = rollout.rollout.completion.tokens.iter();
            let written: String =
                tokens.filter(|token| **token != 0).map(|token| (token - 1).to_string()).collect();
            assert_eq!(rollout.rollout.text, format!("{PREFILL}{written}"));
            seen += 1;
        }
    }
    assert_eq!(seen, 80);
}

/// The tokens of the demonstrations of a step, and where their completions begin.
fn learnt(solution: impl Fn(&str) -> String) -> Vec<(Vec<u32>, usize)> {
    let policy = TablePolicy::new();
    let world = World { policy, problems: asked(solution), ..World::default() };
    let finished = world.run(&run_plan(vec![sft_stage(sft_plan(1))]));
    assert_eq!(finished.outcome, Ok(RunOutcome::Done));
    let sequences = finished.policy.batches.iter().flatten();
    sequences.map(|sequence| (sequence.tokens.clone(), sequence.prompt_len)).collect()
}

#[test]
fn a_demonstration_follows_the_prompt_without_its_beginning_twice() {
    // A digit is its successor, so 7 is 8, and 0 ends a sequence.
    let whole = learnt(|digit| format!("{PREFILL}{digit}"));
    let rest = learnt(|digit| format!("6{digit}"));
    assert_eq!((whole.len(), rest.len()), (4, 4));
    for (tokens, prompt_len) in whole {
        assert_eq!((&tokens[..], prompt_len), (&[tokens[0], 8, tokens[0], 0][..], 2));
    }
    for (tokens, prompt_len) in rest {
        assert_eq!((&tokens[..], prompt_len), (&[tokens[0], 8, 7, tokens[0], 0][..], 2));
    }
}

#[test]
fn only_the_white_space_behind_the_beginning_may_differ() {
    let problem = Problem {
        form: PromptForm::Messages { prefill: "<think>\n".to_owned() },
        ..FixedProblems::digit(1)
    };
    for (whole, rest) in [
        ("<think>\nSo 3", "So 3"),
        ("<think> So 3", " So 3"),
        ("So <think>\n3", "So <think>\n3"),
        ("<think>", ""),
        ("", ""),
    ] {
        assert_eq!(problem.continued(whole), rest, "{whole:?}");
    }
    assert_eq!(problem.answered("So 3"), "<think>\nSo 3");
    let text = FixedProblems::digit(1);
    assert_eq!((text.continued("<think>\n"), text.answered("a")), ("<think>\n", "a".to_owned()));
}
