//! A run that leaves the finite numbers stops before it records or saves them.

use r1x_core::testing;
use r1x_core::{Boundary, PortError};

use crate::support::{
    Fact, Finished, TablePolicy, World, eval_plan, grpo_plan, grpo_stage, run_plan, sft_plan,
    sft_stage,
};

fn run(policy: TablePolicy) -> Finished {
    let mut plan = run_plan(vec![sft_stage(sft_plan(2)), grpo_stage(grpo_plan(6))]);
    plan.checkpoints.every = Some(1);
    World { policy, ..World::default() }.run(&plan)
}

fn error(finished: &Finished) -> &PortError {
    finished.outcome.as_ref().expect_err("the run diverges")
}

fn saved(finished: &Finished) -> usize {
    finished.facts.iter().filter(|fact| matches!(fact, Fact::Checkpoint(_))).count()
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_before_the_update() {
    let finished = run(TablePolicy { nan_loss_at: Some(5), ..TablePolicy::new() });
    let error = error(&finished);
    assert_eq!(error.boundary, Boundary::Diverged);
    assert!(error.message.contains("stage `rl`, step 3, update 1"), "{error}");
    assert!(error.message.contains("the log-prob of token 0 of rollout 0 of "), "{error}");
    assert!(error.message.contains(" is NaN; the step is not recorded"), "{error}");
    assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("learning rate")));
    assert_eq!(finished.policy.updates_done, 5, "the weights are untouched");
    assert_eq!(finished.steps().len(), 5);
    assert_eq!(saved(&finished), 5);
}

#[test]
fn a_gradient_that_is_not_finite_stops_the_run_before_anything_is_kept() {
    let finished = run(TablePolicy { infinite_norm_at: Some(1), ..TablePolicy::new() });
    let error = error(&finished);
    assert_eq!(error.boundary, Boundary::Diverged);
    assert!(error.message.contains("stage `sft`, step 1, update 1"), "{error}");
    assert!(error.message.contains("the gradient norm is inf"), "{error}");
    assert_eq!(finished.steps().len(), 1);
    assert_eq!(saved(&finished), 1);
}

#[test]
fn samples_that_are_not_finite_stop_the_run_although_nothing_is_learnt_from_them() {
    let finished = run(TablePolicy { nan_samples_at: Some(4), ..TablePolicy::new() });
    let error = error(&finished);
    assert_eq!(error.boundary, Boundary::Diverged);
    assert!(error.message.contains("stage `rl`, step 2: the log-prob of token 0 of"), "{error}");
    assert!(error.message.contains("rollout 0 of"), "{error}");
    assert_eq!(finished.policy.updates_done, 4, "the weights are untouched");
    assert_eq!(finished.steps().len(), 4);
}

#[test]
fn an_evaluation_of_what_is_not_finite_is_not_recorded() {
    let mut plan = run_plan(vec![sft_stage(sft_plan(2))]);
    plan.evals = vec![eval_plan()];
    plan.evals[0].when.start = true;
    let policy = TablePolicy { nan_samples_at: Some(0), ..TablePolicy::new() };
    let finished = World { policy, ..World::default() }.run(&plan);
    let error = error(&finished);
    assert_eq!(error.boundary, Boundary::Diverged);
    assert!(error.message.contains("eval `digits`: the log-prob of token 0"), "{error}");
    assert!(error.message.contains("the evaluation is not recorded"), "{error}");
    assert!(!finished.facts.iter().any(|fact| matches!(fact, Fact::Evaluation(_))));
}

#[test]
fn a_weight_that_is_not_finite_stops_the_run_by_its_name() {
    let finished = run(TablePolicy { nan_weight_at: Some(3), ..TablePolicy::new() });
    let error = error(&finished);
    assert_eq!(error.boundary, Boundary::Diverged);
    assert!(
        error.message.contains("stage `rl`, step 1, update 1: the weight in `table` is NaN"),
        "{error}"
    );
    assert_eq!(finished.steps().len(), 3);
    assert_eq!(saved(&finished), 3);
}

#[test]
fn a_reference_that_is_not_finite_stops_the_run() {
    let mut stage = grpo_plan(3);
    testing::surrogate_of(&mut stage).kl.coef = 0.1;
    let policy = TablePolicy { infinite_reference: true, ..TablePolicy::new() };
    let finished = World { policy, ..World::default() }.run(&run_plan(vec![grpo_stage(stage)]));
    let error = error(&finished);
    assert_eq!(error.boundary, Boundary::Diverged);
    assert!(error.message.contains("stage `rl`, step 0: the log-prob of token 0"), "{error}");
    assert!(error.message.contains("under the reference is -inf"), "{error}");
    assert_eq!(finished.policy.updates_done, 0);
}
