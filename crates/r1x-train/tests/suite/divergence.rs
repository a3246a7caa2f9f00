//! A run that leaves the finite numbers stops before it records or saves them.
//!
//! Must not know why a policy diverges.

use r1x_core::{Boundary, PortError};

use crate::support::{
    Fact, Finished, TablePolicy, World, grpo_plan, grpo_stage, run_plan, sft_plan, sft_stage,
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
    assert!(error.message.contains("the loss is NaN"), "{error}");
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
