//! Data and plans that cannot work are refused before the first step, with what, where and how to mend.

use r1x_core::plan::{RunPlan, StageKind, WeightsFrom};
use r1x_core::port::Cursor;
use r1x_core::{Boundary, PortError};

use crate::support::{
    FixedProblems, Rules, TablePolicy, World, eval_plan, evaluate_stage, grpo_plan, grpo_stage,
    run_plan, sft_plan, sft_stage,
};

/// The error of a run that must fail before it records anything.
fn refused(world: World, plan: &RunPlan) -> PortError {
    let finished = world.run(plan);
    assert!(finished.facts.is_empty(), "{:?}", finished.facts);
    let error = finished.outcome.expect_err("the plan cannot work");
    assert!(error.hint.is_some(), "{error}");
    error
}

fn assert_error(error: &PortError, boundary: Boundary, parts: &[&str]) {
    assert_eq!(error.boundary, boundary, "{error}");
    for part in parts {
        assert!(error.message.contains(part), "`{part}` is not in: {error}");
    }
}

fn problems(change: impl Fn(&mut FixedProblems)) -> World {
    let mut problems = FixedProblems::digits();
    change(&mut problems);
    World { problems, ..World::default() }
}

#[test]
fn data_sets_that_are_empty_or_smaller_than_a_batch() {
    let sft = run_plan(vec![sft_stage(sft_plan(1))]);
    let grpo = run_plan(vec![grpo_stage(grpo_plan(1))]);
    for plan in [&sft, &grpo] {
        let error = refused(problems(|all| all.problems.clear()), plan);
        assert_error(&error, Boundary::Data, &["`digits` has no train problems"]);
    }
    let error = refused(problems(|all| all.problems.truncate(3)), &sft);
    assert_error(
        &error,
        Boundary::Data,
        &["stage `sft`", "`digits.train` offers 3 problems", "draws 4"],
    );
    let error = refused(problems(|all| all.problems.truncate(3)), &grpo);
    assert_error(
        &error,
        Boundary::Data,
        &["stage `rl`", "`digits.train` offers 3 problems", "draws 5"],
    );
}

#[test]
fn a_limit_counts_as_the_size_of_the_data_set() {
    let mut sft = sft_plan(3);
    sft.data[0].limit = Some(4);
    let finished = World::default().run(&run_plan(vec![sft_stage(sft.clone())]));
    assert_eq!(finished.curve("epoch"), vec![1.0, 2.0, 3.0]);
    sft.data[0].limit = Some(2);
    let error = refused(World::default(), &run_plan(vec![sft_stage(sft)]));
    assert_error(&error, Boundary::Data, &["`digits.train` offers 2 problems"]);
}

#[test]
fn prompts_that_leave_no_room_name_their_problem() {
    let long = |all: &mut FixedProblems| all.problems[7].prompt = "1234567".to_owned();
    let error = refused(problems(long), &run_plan(vec![grpo_stage(grpo_plan(9))]));
    let parts = ["stage `rl`", "`digit-7`", "7 tokens", "with 2 for", "context of 8"];
    assert_error(&error, Boundary::Data, &parts);

    let mut plan = run_plan(vec![evaluate_stage()]);
    plan.evals.push(eval_plan());
    let error = refused(problems(long), &plan);
    assert_error(&error, Boundary::Data, &["eval `digits`", "`digit-7`"]);
}

#[test]
fn examples_longer_than_the_context_name_their_problem() {
    let world = World {
        policy: TablePolicy { context: Some(2), ..TablePolicy::new() },
        ..World::default()
    };
    let error = refused(world, &run_plan(vec![sft_stage(sft_plan(1))]));
    assert_error(&error, Boundary::Data, &["stage `sft`", "3 tokens", "context of 2"]);
}

#[test]
fn problems_without_a_prompt_or_solution_or_with_unknown_text() {
    let plan = run_plan(vec![sft_stage(sft_plan(9))]);
    let error = refused(problems(|all| all.problems[2].solution = None), &plan);
    assert_error(&error, Boundary::Data, &["`digit-2`", "no worked solution", "`digits`"]);
    let error = refused(problems(|all| all.problems[2].prompt.clear()), &plan);
    assert_error(
        &error,
        Boundary::Data,
        &["stage `sft`: problem `digit-2`: the prompt has no token"],
    );
    let error = refused(problems(|all| all.problems[2].prompt = "x".to_owned()), &plan);
    assert_error(&error, Boundary::Data, &["stage `sft`: problem `digit-2`: `x` is no digit"]);
}

#[test]
fn ids_and_numbers_that_do_not_fit_together() {
    let mut grpo = grpo_plan(1);
    grpo.rewards.push("nobody".to_owned());
    let error = refused(World::default(), &run_plan(vec![grpo_stage(grpo)]));
    assert_error(&error, Boundary::Spec, &["stage `rl`", "no reward called `nobody`"]);

    let mut greedy = grpo_plan(1);
    greedy.sampling.temperature = 0.0;
    let error = refused(World::default(), &run_plan(vec![grpo_stage(greedy)]));
    assert_error(&error, Boundary::Spec, &["sampling.temperature is 0"]);

    let error = refused(World::default(), &run_plan(vec![evaluate_stage()]));
    assert_error(&error, Boundary::Spec, &["no eval called `digits`"]);

    let mut plan = run_plan(vec![evaluate_stage()]);
    plan.evals.push(eval_plan());
    plan.evals[0].pass_at = vec![1, 5];
    let error = refused(World::default(), &plan);
    assert_error(&error, Boundary::Spec, &["eval `digits`", "pass@5", "between 1 and 4"]);
}

#[test]
fn a_checkpoint_beyond_the_plan() {
    let world = World { from: Cursor::at("sft", 9, 36), ..World::default() };
    let error = refused(world, &run_plan(vec![sft_stage(sft_plan(3))]));
    assert_error(&error, Boundary::Data, &["9 steps done", "only 3"]);
}

#[test]
fn a_rewarder_that_forgets_a_group_and_totals_that_overflow() {
    let world = World { rules: Rules { forget_a_group: true }, ..World::default() };
    let finished = world.run(&run_plan(vec![grpo_stage(grpo_plan(1))]));
    let error = finished.outcome.expect_err("scores are missing");
    assert_error(&error, Boundary::Internal, &["rewarder returned 0 scores", "expected 8"]);

    let mut plan = run_plan(vec![grpo_stage(grpo_plan(1))]);
    plan.rewards.iter_mut().for_each(|reward| reward.weight = f64::MAX);
    if let StageKind::Grpo(grpo) = &mut plan.stages[0].kind {
        grpo.rewards = vec!["same".to_owned(), "same".to_owned()];
    }
    let error = World::default().run(&plan).outcome.expect_err("the total overflows");
    assert_error(&error, Boundary::Reward, &["weighted total", "inf"]);
}

#[test]
fn a_stage_that_begins_with_weights_nobody_has_made_by_then_is_refused() {
    let stages = vec![sft_stage(sft_plan(2)), grpo_stage(grpo_plan(1))];
    let mut plan = run_plan(stages);
    plan.stages[0].weights = WeightsFrom::Stage("rl".to_owned());
    let error = refused(World::default(), &plan);
    assert_error(&error, Boundary::Spec, &["stage `sft`", "stage `rl`, which is not above it"]);
    plan.stages[0].weights = WeightsFrom::Base;
    plan.stages[1].weights = WeightsFrom::Stage("other".to_owned());
    let error = refused(World::default(), &plan);
    assert_error(&error, Boundary::Spec, &["stage `rl`", "a stage `other`", "does not have"]);
}
